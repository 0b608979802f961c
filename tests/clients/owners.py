"""Several processes on one lake: each on ports that are known before it answers, what it printed and when is kept, and all end with the test."""

import contextlib
import http.client
import itertools
import json
import queue
import random
import signal
import socket
import subprocess
import threading
import time
import uuid
from typing import NamedTuple

from conftest import binary, environment, variables

#: What anything that is awaited may take at most, however busy the machine is.
WITHIN_SECONDS = 60
VERIFY_SECONDS = 600
#: Below what systems give to those who connect, so that nobody is given one of ours.
PORTS = range(20_000, 32_000)
#: The kernel of the published tables says so where a process that lost the lake ends in the middle of publishing.
PANICS_THAT_END_NOTHING = "TokioMultiThreadExecutor has crashed"


class Answer(NamedTuple):
    """What a server answered over HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: dict

    @property
    def code(self):
        return self.body.get("code")


class Lake:
    """A store in a folder, or in a bucket, and the processes that share it."""

    def __init__(self, home, lease_ms, bucket=None):
        self.home, self.store, self.lease_ms, self.processes = home, home / "store", lease_ms, []
        self.bucket, self.url = bucket, bucket.url if bucket else f"file://{self.store}"

    @property
    def lease_s(self):
        return self.lease_ms / 1000

    def start(self, *flags, log="object", data=None, **settings):
        """A process in a folder of its own; it need not come to serve. A setting is `section__key`."""
        home = self.home / f"process-{len(self.processes)}"
        home.mkdir()
        where = ("--store", self.url, "--data", data or home / "data", *(("--log", log) if log else ()))
        told = {"lease.time_ms": self.lease_ms, **{key.replace("__", "."): value for key, value in settings.items()}}
        started = Process(home, (*where, *flags), told, self.bucket)
        self.processes.append(started)
        return started

    def serve(self, *flags, **options):
        """A process that serves."""
        started = self.start(*flags, **options)
        started.is_ready()
        return started

    def stand_by(self, **options):
        """A process that stands by, and answers so."""
        started = self.start("--standby", **options)
        until(lambda: started.is_standing_by(), f"it does not stand by: {started.log}")
        return started

    def verify(self):
        """`tidemark verify` has nothing to say against the lake."""
        words = [binary(), "verify", "--store", self.url, "--data", self.home / "verify", "--log", "object"]
        told = subprocess.run(
            words, capture_output=True, text=True, timeout=VERIFY_SECONDS, cwd=self.home, env=environment(self.bucket))
        assert told.returncode == 0, told.stdout + told.stderr

    def kill(self):
        for process in self.processes:
            process.kill()

    def end(self):
        self.kill()
        assert not any(process.is_defect() for process in self.processes), [process.log for process in self.processes if process.is_defect()]


class Process:
    """`tidemark serve`, whether it serves, stands by or is refused."""

    def __init__(self, home, flags, settings, bucket=None):
        self.home = home
        self.http, self.grpc, self.postgres = (f"127.0.0.1:{port}" for port in free_ports(3))
        doors = ("--http", self.http, "--grpc", self.grpc, "--postgres", self.postgres)
        with open(home / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [binary(), "serve", *flags, *doors], stdout=subprocess.PIPE, stderr=log, text=True, cwd=home,
                env={**environment(bucket), **variables(settings)})
        self.started_at, self.ready_at, self.ended_at = time.monotonic(), None, None
        self.lines, self.ended = queue.Queue(), threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=self.watch, daemon=True).start()

    def read(self):
        for line in itertools.chain(self.process.stdout, [""]):
            if line.startswith("ready "):
                self.ready_at = time.monotonic()
            self.lines.put(line)

    def watch(self):
        self.process.wait()
        self.ended_at = time.monotonic()
        self.ended.set()

    def is_ready(self, within=WITHIN_SECONDS):
        """When it was; it is to be."""
        while self.ready_at is None:
            line = self.lines.get(timeout=within)
            assert line, f"it ended and never served: {self.log}"
        return self.ready_at

    def ends(self, within=WITHIN_SECONDS):
        """Its exit code, once it has ended by itself."""
        assert self.ended.wait(within), f"it goes on: {self.log}"
        return self.process.returncode

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.ends()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        return self.ends()

    def signal(self, what):
        self.process.send_signal(what)

    @property
    def name(self):
        """The last two folders of where it is."""
        return "/".join(self.home.parts[-2:])

    @property
    def is_alive(self):
        return not self.ended.is_set()

    @property
    def log(self):
        return (self.home / "server.log").read_text()

    def is_defect(self):
        """Whether it told of what must never happen."""
        lines = (line for line in self.log.splitlines() if PANICS_THAT_END_NOTHING not in line)
        return any("panicked" in line or "a defect" in line for line in lines)

    def is_standing_by(self):
        assert self.is_alive, self.log
        try:
            return self.ask("GET", "/health").body.get("role") == "standby"
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, method, path, body=None, headers=None, within=WITHIN_SECONDS):
        """One question on a connection of its own."""
        connection = http.client.HTTPConnection(self.http, timeout=within)
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def rows(self, sql):
        return [tuple(row) for row in self.insist("POST", "/v1/query", {"sql": sql})["rows"]]

    def send(self, *events, namespace="shop"):
        """The receipt."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self.insist("POST", f"/v1/{namespace}/events", [{"type": "note", **event} for event in events], key)

    def insist(self, method, path, body=None, headers=None):
        """The answer of an owner, which on a busy machine may not know for a moment whether it still is one."""
        answers = []
        until(lambda: answers.append(self.ask(method, path, body, headers)) or answers[-1].status != 503, "it is never ready", pause=0.1)
        assert answers[-1].status == 200, answers[-1]
        return answers[-1].body


def ask(connection, method, path, body=None, headers=None):
    """One question on a connection that may have been open for long."""
    raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, raw, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read()
    return Answer(answer.status, answer.headers, json.loads(text) if text else {})


class Asked:
    """A question that is on its way; whoever it was sent to may be stopped."""

    def __init__(self, process, method, path, body=None):
        self.what, self.connection = (method, path, body), http.client.HTTPConnection(process.http, timeout=WITHIN_SECONDS)
        raw = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, raw, {"Content-Type": "application/json"})

    def answer(self):
        """None where there is none: the connection broke."""
        try:
            answer = self.connection.getresponse()
            text = answer.read()
            return Answer(answer.status, answer.headers, json.loads(text) if text else {})
        except (OSError, http.client.HTTPException):
            return None
        finally:
            self.connection.close()


def free_ports(count):
    """Ports that nobody listens on."""
    found, tried = [], random.SystemRandom()
    for port in tried.sample(PORTS, 100 * count):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("there is no free port")


def until(said, otherwise, pause=0.02, unless=lambda: False):
    """Waits for what sends no word: for a condition of another process."""
    ends = time.monotonic() + WITHIN_SECONDS
    while not said() and not unless():
        assert time.monotonic() < ends, otherwise
        time.sleep(pause)


def literal(instant):
    return f"TIMESTAMP '{instant}'"
