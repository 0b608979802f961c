"""What people type: commands that say what they did, do no more than was asked, and leave nothing behind where they fail."""

import json
import pathlib
import socket
import subprocess
import threading

import pytest
from conftest import Server, binary, environment

SECONDS = 60
SCRIPT_BYTES_MAX = 16 << 20


def home(tmp_path):
    """A folder for the server, beside what tests write."""
    made = tmp_path / "server"
    made.mkdir()
    return made


@pytest.fixture
def server(tmp_path):
    found = Server(home(tmp_path))
    yield found
    found.kill()


def run(server, *words, given=None, **variables):
    """What became of a command."""
    return subprocess.run([binary(), *words], input=given, capture_output=True, text=True, timeout=SECONDS,
                          env={**environment(), "TIDEMARK_URL": server.http, **variables})


def count(server, table, where="true"):
    return server.rows(f"SELECT count(*) FROM shop.{table} WHERE {where}")[0][0]


def lines(file, *records):
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_a_file_that_is_sent_again_is_stored_once_however_its_refused_lines_are_dealt_with(server, tmp_path):
    file = lines(tmp_path / "notes.ndjson", *({"type": "note", "data": {"n": n}} for n in range(10)), {"no": "type"})
    words = ("ingest", file, "--namespace", "shop", "--batch", "5")
    first = run(server, *words, "--on-error", "reject")
    assert first.returncode != 0 and "line 11" in first.stderr
    assert count(server, "events") == 10
    for on_error in ("partial", "reject", "partial"):
        again = run(server, *words, "--on-error", on_error)
        assert again.returncode != 0 and "in a file of their own" in again.stderr, again.stderr
        assert count(server, "events") == 10, on_error


def test_a_file_goes_into_each_collection_it_is_sent_to(server, tmp_path):
    file = lines(tmp_path / "orders.ndjson", *({"op": "insert", "id": str(n), "doc": {"n": n}} for n in range(3)))
    for collection in ("orders", "copies", "orders"):
        sent = run(server, "ingest", file, "--namespace", "shop", "--collection", collection)
        assert sent.returncode == 0, sent.stderr
    assert [count(server, "events", f"collection = '{name}'") for name in ("orders", "copies")] == [3, 3]


def test_no_other_snapshot_is_dropped_than_the_one_that_is_named(server):
    server.changes("shop/orders", [{"op": "insert", "id": "1", "doc": {}}])
    assert run(server, "snapshot", "shop.orders", "--name", "v10").returncode == 0
    for name in ("v1,0", "v1/0", "v1%300", ""):
        dropped = run(server, "snapshot", "shop.orders", f"--name={name}", "--drop")
        assert dropped.returncode != 0, dropped.stdout
    assert "v10" in run(server, "snapshots", "shop.orders").stdout
    assert run(server, "snapshot", "shop.orders", "--name", "v10", "--drop").returncode == 0


def test_an_export_that_fails_leaves_nothing_and_spoils_nothing(server, tmp_path):
    server.changes("shop/orders", [{"op": "insert", "id": "1", "doc": {"n": 1}}])
    folder = tmp_path / "out"
    folder.mkdir()
    kept = folder / "orders.ndjson"
    assert run(server, "export", "shop.orders", "--output", kept).returncode == 0
    content = kept.read_text()
    assert json.loads(content)["doc"] == {"n": 1}
    for collection in ("nothing", "orders"):
        url = server.http if collection == "nothing" else "http://127.0.0.1:1"
        failed = run(server, "export", f"shop.{collection}", "--output", kept, "--url", url)
        assert failed.returncode != 0, failed.stdout
    # What came whole, and cannot have its name.
    (folder / "taken").mkdir()
    failed = run(server, "export", "shop.orders", "--output", folder / "taken")
    assert failed.returncode != 0, failed.stdout
    assert sorted(path.name for path in folder.iterdir()) == [kept.name, "taken"] and kept.read_text() == content


def test_a_script_is_asked_whole_or_not_at_all(server):
    padding = "-- " + "x" * 1020 + "\n"
    script = "SELECT 1 AS first;\n" + padding * (SCRIPT_BYTES_MAX // len(padding)) + "SELECT 2 AS last;\n"
    refused = run(server, "sql", "--format", "csv", given=script)
    assert refused.returncode != 0 and "16 MiB" in refused.stderr and refused.stdout == ""
    asked = run(server, "sql", "--format", "csv", given="SELECT 1 AS first;\nSELECT 2 AS last;\n")
    assert asked.returncode == 0 and "first" in asked.stdout and "last" in asked.stdout


def test_verify_needs_no_more_than_to_read(server, tmp_path):
    server.changes("shop/orders", [{"op": "insert", "id": "1", "doc": {}}])
    assert server.stop() == 0
    names = lambda: sorted(str(path) for path in pathlib.Path(server.data).rglob("*"))
    before = names()
    server.verify()
    assert names() == before
    nowhere = tmp_path / "nowhere"
    told = subprocess.run([binary(), "verify", "--data", nowhere], capture_output=True, text=True, timeout=SECONDS)
    assert told.returncode != 0 and "No such file" in told.stderr and not nowhere.exists()


def test_settings_of_a_store_may_look_like_numbers(tmp_path):
    named = {"TIDEMARK_OBJECT_STORE__POOL_MAX_IDLE_PER_HOST": "4", "TIDEMARK_OBJECT_STORE__AWS_ALLOW_HTTP": "true",
             "TIDEMARK_AUTH__TOKEN": "12345678901234567890123456789012"}
    told = subprocess.run([binary(), "config", "print", "--data", tmp_path], capture_output=True, text=True, timeout=SECONDS,
                          env={**environment(), **named})
    assert told.returncode == 0, told.stderr
    assert named["TIDEMARK_AUTH__TOKEN"] not in told.stdout + told.stderr


def test_tail_goes_on_behind_a_server_that_comes_again(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        http = f"127.0.0.1:{free.getsockname()[1]}"
    server = Server(home(tmp_path), http=http)
    tail = subprocess.Popen([binary(), "tail", "shop", "--after", "start", "--count", "2"], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, env={**environment(), "TIDEMARK_URL": server.http})
    ended = threading.Timer(SECONDS, tail.kill)
    ended.start()
    try:
        server.post("/v1/shop/events", {"type": "a", "id": "one"})
        assert json.loads(tail.stdout.readline())["id"] == "one"
        assert server.stop() == 0
        server = server.again(http=http)
        server.post("/v1/shop/events", {"type": "a", "id": "two"})
        assert json.loads(tail.stdout.readline())["id"] == "two"
        assert tail.wait(SECONDS) == 0
    finally:
        ended.cancel()
        tail.kill()
        server.kill()


def test_verify_tells_of_all_that_is_wrong(server):
    for name in ("carts", "orders"):
        server.changes(f"shop/{name}", [{"op": "insert", "id": "1", "doc": {}}])
    server.post("/v1/compact", {"namespace": "shop"})
    assert server.stop() == 0
    lake = pathlib.Path(server.data) / "lake"
    damaged = sorted((lake / "shop/carts/_manifest").glob("*.json"))[-1]
    word = sorted((lake / "_tidemark/lease").rglob("*.json"))[-1]
    gone = next((lake / "shop/orders").rglob("*.parquet"))
    for file in (damaged, word):
        file.write_text("damaged")
    gone.unlink()
    told = server.looked_over()
    assert told.returncode != 0
    for file in (damaged, word, gone):
        assert str(file.relative_to(lake)) in told.stdout, (file, told.stdout, told.stderr)
