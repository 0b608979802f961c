"""A running Tidemark for tests with clients of other makers: the real binary, on free ports, over a temporary folder."""

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

READY_SECONDS = 60


class Server:
    """The process and its two addresses."""

    def __init__(self, home, token="", settings=None, http="127.0.0.1:0"):
        self.home, self.data = home, home / "data"
        log = open(home / "server.log", "ab")
        self.process = subprocess.Popen(
            [binary(), "serve", "--data", self.data, "--http", http, "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=log, text=True, cwd=home,
            env={**os.environ, **({"AUTH_TOKEN": token} if token else {}), **variables(settings or {})})
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in self.process.stdout], daemon=True).start()
        line = lines.get(timeout=READY_SECONDS)
        while not line.startswith("ready "):
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


@pytest.fixture
def server(tmp_path):
    started = Server(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()
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
