"""A running Tidemark for tests with clients of other makers: the real binary, on free ports, over a temporary folder."""

import itertools
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import threading
import urllib.request

import pytest

from s3 import S3, Bucket, LocalStack

READY_SECONDS = 60


class Server:
    """The process and its two addresses. Its store is a bucket, or the folder it keeps everything else in."""

    def __init__(self, home, token="", settings=None, http="127.0.0.1:0", store=None, log="local"):
        self.home, self.data, self.store = home, home / "data", store
        self.options = {"token": token, "settings": settings, "store": store, "log": log}
        flags = (["--store", store.url] if store else []) + (["--log", log] if log != "local" else [])
        with open(home / "server.log", "ab") as lines:
            self.process = subprocess.Popen(
                [binary(), "serve", "--data", self.data, *flags, "--http", http, "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"],
                stdout=subprocess.PIPE, stderr=lines, text=True, cwd=home,
                env={**environment(store), **({"AUTH_TOKEN": token} if token else {}), **variables(settings or {})})
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in itertools.chain(self.process.stdout, [""])], daemon=True).start()
        try:
            self.reads(lines)
        except BaseException:
            self.kill()
            raise

    def reads(self, lines):
        """The addresses, off the line that says it is ready."""
        line = lines.get(timeout=READY_SECONDS)
        while not line.startswith("ready "):
            assert line, f"the server did not start: {(self.home / 'server.log').read_text()}"
            line = lines.get(timeout=READY_SECONDS)
        addresses = dict(word.split("=", 1) for word in line.split()[1:])
        self.http = address(addresses["http"], "http://")
        self.grpc = address(addresses["grpc"], "grpc://")
        self.postgres = addresses["postgres"]

    def put(self, path, body, content_type="application/json"):
        return self.post(path, body, content_type, method="PUT")

    def post(self, path, body, content_type="application/json", method="POST"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data=raw, headers={"Content-Type": content_type}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def changes(self, collection, changes):
        body = "\n".join(json.dumps(change) for change in changes).encode()
        return self.post(f"/v1/{collection}/changes", body, "application/x-ndjson")

    def rows(self, sql):
        return [tuple(row) for row in self.post("/v1/query", {"sql": sql})["rows"]]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def again(self, **options):
        """Another one in its place, with the same options but for these."""
        return Server(self.home, **{**self.options, **options})

    def verify(self):
        """`tidemark verify` has nothing to say against its lake."""
        told = self.looked_over()
        assert told.returncode == 0, told.stdout + told.stderr

    def looked_over(self):
        """What `tidemark verify` says."""
        place = ["--store", self.store.url] if self.store else ["--data", self.data]
        return subprocess.run([binary(), "verify", *place], capture_output=True, text=True, cwd=self.home, env=environment(self.store), timeout=300)


def remark(text):
    """Tells people something that is neither passed nor failed: `cargo xtask test` names a file for it, and shows it at the end."""
    file = os.environ.get("TIDEMARK_TEST_REMARKS")
    if file:
        with open(file, "a") as remarks:
            remarks.write(text + "\n")
    else:
        print(text)


def skip(test, reason):
    """Says aloud that a test cannot run here, and fails in CI, where everything has to be there."""
    assert os.environ.get("CI") != "true", f"{test} cannot run, and this is CI: {reason}"
    remark(f"{test}: not tried: {reason}")
    pytest.skip(reason)


def environment(store=None):
    """What of this process's environment a server gets: no S3 but that of its store."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**mine, **(store.variables if store else {})}


def variables(settings):
    """Settings as variables: `publish.interval_s` is `TIDEMARK_PUBLISH__INTERVAL_S`."""
    return {"TIDEMARK_" + key.upper().replace(".", "__"): str(value) for key, value in settings.items()}


def address(text, scheme):
    return scheme + text.split("://")[-1]


def binary():
    told = os.environ.get("TIDEMARK_BIN")
    found = told or shutil.which("tidemark")
    if not found or not pathlib.Path(found).exists():
        pytest.exit(f"no tidemark binary ({found}): run `cargo xtask test`, or set TIDEMARK_BIN", returncode=2)
    return found


def pytest_configure(config):
    config.addinivalue_line("markers", "every_store: runs over a folder and over a bucket; the others run over a folder alone")


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("every_store") and "store" in metafunc.fixturenames:
        metafunc.parametrize("store", ["folder", "bucket"], indirect=True)


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """LocalStack, for as long as the tests run; or the endpoint that was named."""
    named, python = os.environ.get("TIDEMARK_S3_ENDPOINT"), os.environ.get("TIDEMARK_LOCALSTACK")
    if named:
        yield S3(named.rstrip("/"), os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    elif python:
        started = LocalStack(python, tmp_path_factory.mktemp("localstack"))
        yield started.s3
        started.stop()
    else:
        pytest.skip("neither TIDEMARK_LOCALSTACK, which `cargo xtask test` sets, nor TIDEMARK_S3_ENDPOINT is set")


@pytest.fixture
def bucket(s3):
    """A place for a lake in a bucket of its own."""
    made = Bucket(s3).make()
    yield made
    # LocalStack's go with it.
    if "TIDEMARK_S3_ENDPOINT" in os.environ:
        made.remove()


@pytest.fixture
def store(request):
    """Where the lake of a test is: a bucket, or None for the folder of its server."""
    return request.getfixturevalue("bucket") if getattr(request, "param", "folder") == "bucket" else None


@pytest.fixture
def server(tmp_path, store):
    started = Server(tmp_path, store=store)
    yield started
    if started.process.poll() is None:
        started.kill()
    assert "panicked" not in (tmp_path / "server.log").read_text()


@pytest.fixture
def orders(server):
    """Three orders in two requests; the system time of the first."""
    first = server.changes("shop/orders", [
        {"op": "insert", "id": "1", "ts": "2026-01-01T10:00:00Z", "doc": {"total": 10, "state": "new", "weight": 1.5, "gift": True}},
        {"op": "insert", "id": "2", "ts": "2026-01-01T11:00:00Z", "doc": {"total": 20, "state": "new", "tags": ["a", "b"]}},
    ])
    server.changes("shop/orders", [
        {"op": "update", "id": "1", "ts": "2026-01-01T12:00:00Z", "doc": {"total": 10, "state": "paid", "weight": 1.5, "gift": True}},
        {"op": "insert", "id": "3", "ts": "2026-01-01T12:00:00Z", "doc": {"total": 9007199254740993, "state": "new"}},
        {"op": "delete", "id": "2", "ts": "2026-01-01T13:00:00Z"},
    ])
    return first["system_time"]
