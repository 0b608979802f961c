"""A thousand connections that rest at each door, all at once: they stay, cost little, keep nobody out, and leave nothing behind.

What one of them takes is told as a remark; docs/operations.md has the figures, and LIMITS is about twice of them.
"""

import contextlib
import http.client
import json
import pathlib
import resource
import socket
import struct
import time

import flightsql
import pytest
from conftest import remark
from security import Asking, Bare, bearer, metric, resident, serving
from test_tokens import ROOT

COUNT = 1000
#: Opened and closed before anything is measured, so that what comes with the first ones is not counted.
WARM = 32
#: KiB of the server's memory that a connection may take.
LIMITS = {"HTTP": 64, "gRPC": 80, "PostgreSQL": 24}
#: Opened once more behind the thousands: they find what they need in what those gave back.
AGAIN = 250
#: KiB of new memory that each of them may take all the same.
LEFT = 8
#: Files for each of the two ends of three thousand connections, the server's reserve and what both have open besides.
FILES = 3 * COUNT + 1024
#: Still connections of HTTP/2 are pinged this often, and closed when nothing comes back for as long again.
KEEPALIVE_S = 3
#: A connection of HTTP/1.1 that rests waits for a head, so this limit closes it: longer than the test takes.
HEAD_MS = 300_000
#: From the last word of the gRPC connections: at least two pings.
STILL_S = 2 * KEEPALIVE_S + 1
GONE_S = 30
QUESTION = "SELECT 1"


@pytest.fixture
def files():
    """Raises the limit of open files, which the server inherits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, FILES) if soft != resource.RLIM_INFINITY else soft
    if hard != resource.RLIM_INFINITY and hard < wanted:
        reason = f"{wanted} open files are needed, and {hard} are allowed"
        remark(f"idle connections were not tried: {reason}")
        pytest.skip(reason)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def lake(files, tmp_path):
    with serving(tmp_path, Bare, connections__keepalive_s=KEEPALIVE_S, connections__header_timeout_ms=HEAD_MS) as found:
        yield found
    assert "fewer connections than set" not in (tmp_path / "server.log").read_text()


class Http:
    """A connection that is kept between requests."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=30)
        self.ask()

    def ask(self):
        headers = {**dict([bearer(ROOT)]), "content-type": "application/json"}
        self.connection.request("POST", "/v1/query", json.dumps({"sql": QUESTION}), headers)
        answer = self.connection.getresponse()
        assert answer.status == 200 and json.load(answer)["rows"] == [[1]] and not answer.will_close

    def close(self):
        self.connection.close()


class Grpc:
    """A channel that shares its connection with no other."""

    def __init__(self, server):
        self.door = flightsql.Door(server, [bearer(ROOT)])
        self.ask()

    def ask(self):
        assert self.door.info(flightsql.asking(QUESTION)).endpoint

    def close(self):
        self.door.channel.close()


class Postgres:
    """A session, by as few bytes as it takes."""

    def __init__(self, server):
        self.begin(server)
        assert self.read() == (b"R", struct.pack("!I", 3)), "a password is asked for"
        self.send(b"p", ROOT.encode() + b"\0")
        self.until_ready()
        self.ask()

    def begin(self, server):
        host, port = server.postgres.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.pending = b""
        words = b"user\0me\0database\0tidemark\0\0"
        self.socket.sendall(struct.pack("!II", len(words) + 8, 3 << 16) + words)

    def ask(self):
        self.send(b"Q", QUESTION.encode() + b"\0")
        assert (b"D", struct.pack("!HI", 1, 1) + b"1") in self.until_ready()

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def take(self, count):
        while len(self.pending) < count:
            more = self.socket.recv(4096)
            assert more, "the connection ended"
            self.pending += more
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def read(self):
        kind, length = struct.unpack("!cI", self.take(5))
        return kind, self.take(length - 4)

    def until_ready(self):
        messages = [self.read()]
        while messages[-1][0] != b"Z":
            assert messages[-1][0] != b"E", messages
            messages.append(self.read())
        return messages

    def close(self):
        self.socket.close()


DOORS = {"HTTP": Http, "gRPC": Grpc, "PostgreSQL": Postgres}


def port(server, door):
    address = {"HTTP": server.http, "gRPC": server.grpc, "PostgreSQL": server.postgres}[door]
    return int(address.rsplit(":", 1)[1])


def peers(server, door):
    """The ports from which connections to a door stand now."""
    local, found = f":{port(server, door):04X}", set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, *_ = line.split()
        if here.endswith(local) and state == "01":
            found.add(there.rsplit(":", 1)[1])
    return found


def until(said, seconds=GONE_S):
    ends = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < ends, "it did not come to that in time"
        time.sleep(0.05)


@contextlib.contextmanager
def resting(server, door, count):
    """So many connections that each got an answer and then say nothing; all are gone behind it."""
    before = peers(server, door)
    opened = []
    try:
        for _ in range(count):
            opened.append(DOORS[door](server))
        assert len(peers(server, door) - before) == count, "each is a connection of its own"
        yield opened
    finally:
        for connection in opened:
            connection.close()
        until(lambda: len(peers(server, door)) <= len(before))


def all_resting(server, count, grown):
    """So many at each door; `grown` gets the bytes that the server's memory grew by, per door."""
    everywhere = contextlib.ExitStack()
    opened = {}
    for door in DOORS:
        before = resident(server)
        opened[door] = everywhere.enter_context(resting(server, door, count))
        grown[door] = resident(server) - before
    return everywhere, opened


def newcomers_are_answered(lake):
    """New clients of every door, libraries and not sockets."""
    asking = Asking(lake)
    try:
        for way in ("http", "statement", "prepared", "simple", "extended"):
            answer = asking.ask(way, "SELECT 41 + 1")
            assert answer.status is None and "42" in answer.text, (way, answer)
    finally:
        asking.close()


def test_a_thousand_rest_at_each_door(lake):
    server = lake.server
    for door in DOORS:
        with resting(server, door, WARM):
            newcomers_are_answered(lake)
    files, start = metric(server, "process_open_fds"), resident(server)

    grown, again = {}, {}
    everywhere, opened = all_resting(server, COUNT, grown)
    with everywhere:
        spoke = time.monotonic()
        stand = {door: peers(server, door) for door in DOORS}
        assert metric(server, "process_open_fds") >= files + 3 * COUNT
        newcomers_are_answered(lake)
        # What is awaited is that nothing happens.
        time.sleep(max(0.0, spoke + STILL_S - time.monotonic()))
        assert all(stand[door] <= peers(server, door) for door in DOORS), "all of them stay"
        most = resident(server)
        for connections in opened.values():
            for connection in connections[::10]:
                connection.ask()
        newcomers_are_answered(lake)
        assert all(stand[door] <= peers(server, door) for door in DOORS), "and none was opened anew to be answered"

    until(lambda: metric(server, "process_open_fds") <= files + WARM)
    rest = resident(server)
    with all_resting(server, AGAIN, again)[0]:
        more = resident(server) - rest

    kib = {door: size / COUNT / 1024 for door, size in grown.items()}
    told = ", ".join(f"{door} {each:.1f}" for door, each in kib.items())
    remark(f"idle connections, {COUNT} at each door at once, KiB of the server's memory each: {told}; in all {start >> 20} MiB before, "
           f"{most >> 20} MiB with them, {rest >> 20} MiB behind them; {more / 3 / AGAIN / 1024:+.1f} KiB for each of {AGAIN} once more")
    assert all(kib[door] <= LIMITS[door] for door in DOORS), kib
    assert most - start <= sum(LIMITS.values()) * COUNT * 1024, "nor does it grow while they rest"
    assert more <= 3 * AGAIN * LEFT * 1024, "what they took is given back"
