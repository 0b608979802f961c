"""A lake in a bucket: what was sent is there now and at every instant, whatever is done to it, to its process and to its disk.

The bucket is one of LocalStack, which `cargo xtask test` starts, or of the endpoint that TIDEMARK_S3_ENDPOINT names
(with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), such as one of rgw.sh. TIDEMARK_S3_KILLS says how many kills there are."""

import functools
import json
import os
import shutil
import subprocess
import time
import urllib.error

import deltalake
import pytest
from book import NAMESPACE, Book

from conftest import Server, binary, remark

KILLS = int(os.environ.get("TIDEMARK_S3_KILLS", 6))
WITHIN_SECONDS = 60
# Everything that waits for an age or a number is due at once: files are many and small, and each round sees each job.
BUSY = {
    "ingest.flush_rows": 400,
    "cdc.delta_rows": 50,
    "cdc.delta_files": 1,
    "cdc.fold_rows_min": 1,
    "cdc.fold_ratio": 0,
    "cdc.interval_ms": 50,
    "publish.interval_s": 1,
}
# Clean-up waits as little as queries allow.
FORGETS = {
    **BUSY,
    "query.timeout_s": 1,
    "query.bulk_timeout_s": 1,
    "cdc.grace_s": 2,
    "ingest.grace_s": 2,
    "cdc.external_retention_s": 0,
    "cdc.bases_max": 1,
}
LEASE_MS = 1000


@functools.cache
def knows_object_log():
    told = subprocess.run([binary(), "serve", "--help"], capture_output=True, text=True, timeout=60).stdout
    return "object" in told.split("--log <")[1].split("\n\n")[0]


@pytest.fixture(params=["local", "object"])
def log(request):
    """How a server keeps its log: on its disk, or in the bucket."""
    if request.param == "object" and not knows_object_log():
        remark("a log in the bucket was not tried: this binary has no --log object")
        pytest.skip("this binary has no --log object")
    return request.param


def started(home, bucket, settings, log="local"):
    lease = {"lease.time_ms": LEASE_MS} if log == "object" else {}
    return Server(home, store=bucket, settings={**settings, **lease}, log=log)


def forget(home):
    """Everything below a folder is gone but what the server told: the machine was lost, or its disk."""
    for path in home.iterdir():
        if path.name != "server.log":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def home(tmp_path):
    """A folder for servers; none of them may have panicked."""
    yield tmp_path
    log = tmp_path / "server.log"
    assert not log.exists() or "panicked" not in log.read_text()


def test_no_kill_loses_or_doubles_anything(home, bucket, log):
    book = Book(durability=log)
    server = started(home, bucket, BUSY, log)
    try:
        for _kill in range(KILLS):
            with book.senders(server):
                # By number, so that a slow machine sends as much before it.
                book.wait(more=book.chance.randrange(2, 200))
                server.kill()
            if log == "object":
                forget(home)
            server = server.again()
            book.audit(server, probes=2)
        assert server.stop() == 0
    finally:
        server.kill()
    server.verify()
    forget(home)
    cold = server.again()
    try:
        book.audit(cold, probes=12)
    finally:
        cold.kill()
    remark(f"{KILLS} kills over a bucket, log {log}: {len(book.receipts)} batches, {book.unknown} of them without an answer "
           f"({book.lost} of these not stored), all once")


def test_every_kind_of_maintenance_and_a_cold_start_change_no_answer(home, bucket):
    book = Book(seed=11)
    server = started(home, bucket, BUSY)
    try:
        for _round in range(3):
            for _batch in range(8):
                assert book.send(server)
            server.post("/v1/compact", {"namespace": NAMESPACE})
            book.audit(server)

        # Kept by name, changed, and made again what it was; the restore is a change like others.
        kept = server.post(f"/v1/{NAMESPACE}/docs/snapshots", {"name": "kept"})
        before = book.documents(kept["instant"])
        assert kept["rows"] == len(before)
        for change in (True, False, True):
            assert book.send(server)
        named = server.post(f"/v1/{NAMESPACE}/docs/restore", {"snapshot": "kept", "into": f"{NAMESPACE}.again"})
        assert named["added"] == len(before)
        assert server.rows(f"SELECT _id, batch, n FROM {NAMESPACE}.again ORDER BY _id") == before
        for instant in book.instants()[::5]:
            assert named["system_time"] > instant
        publishes(server, bucket, ("docs", "again"))
        assert server.stop() == 0
        server.verify()

        # Another process, another machine: nothing of the first one's disk is left.
        forget(home)
        server = server.again()
        # What the restore wrote is in the events table, too.
        assert server.rows(f"SELECT count(*) FROM {NAMESPACE}.events WHERE source = 'tidemark.restore'") == [(len(before),)]
        for at in [None, *book.instants()[::4]]:
            past = f" FOR SYSTEM_TIME AS OF TIMESTAMP '{at}'" if at else ""
            found = server.rows(f"SELECT _id, batch, n FROM {NAMESPACE}.docs{past} ORDER BY _id")
            assert found == book.documents(at), f"as of {at or 'now'}"
        assert server.stop() == 0
    finally:
        server.kill()


def test_verify_reads_the_log_in_the_bucket(home, bucket):
    """What is in no file yet is there alone."""
    book = Book(seed=17, durability="object")
    server = started(home, bucket, {"ingest.flush_age_s": 600}, "object")
    try:
        assert all(book.send(server) for _batch in range(3))
        server.verify()
        server.kill()
        key = min(key for key in bucket.keys() if "/_tidemark/log/" in key and key.endswith(".seg"))
        place = f"/{bucket.name}/{key}"
        whole = bucket.s3.ask("GET", place).body
        for damage in (lambda: bucket.s3.ask("PUT", place, body=whole[:-1] + bytes([whole[-1] ^ 1])), lambda: bucket.s3.ask("DELETE", place)):
            damage()
            told = server.looked_over()
            assert told.returncode == 1 and told.stdout.startswith(key.removeprefix(f"{bucket.prefix}/")), told
        assert bucket.s3.ask("PUT", place, body=whole).status == 200
        server.verify()
        server = server.again()
        book.audit(server)
    finally:
        server.kill()


def publishes(server, bucket, collections):
    """What is published in the bucket is what SQL answers, to a reader who knows nothing of us."""
    server.post("/v1/compact", {"namespace": NAMESPACE})
    server.post("/v1/publish", {"namespace": NAMESPACE})
    options = {**bucket.variables, "AWS_REGION": "us-east-1"}
    for table, root in [("events", "events"), *((name, f"{name}/state") for name in collections)]:
        column = "id" if table == "events" else "_id"
        theirs = deltalake.DeltaTable(f"{bucket.url}/{NAMESPACE}/{root}", storage_options=options).to_pyarrow_table(columns=[column])
        ours = server.rows(f'SELECT {column} FROM {NAMESPACE}."{table}"')
        assert ours and sorted(theirs[column].to_pylist()) == sorted(row[0] for row in ours), table


def data_files(bucket):
    """The files of the documents. Manifests, floors and the audit trail are others."""
    return {key for key in bucket.keys() if f"{NAMESPACE}/docs/" in key and key.endswith(".parquet") and "_delta_log" not in key}


def test_what_is_beyond_retention_goes_and_nothing_else(home, bucket):
    book = Book(seed=13)
    server = started(home, bucket, FORGETS)
    try:
        for _round in range(4):
            for _batch in range(4):
                assert book.send(server)
            server.post("/v1/compact", {"namespace": NAMESPACE})
        old = book.instants()[-1]
        files = data_files(bucket)
        server.put(f"/v1/{NAMESPACE}/docs/retention", {"history_window_s": 1, "daily": 0, "monthly": 0})
        deadline, deleted = time.monotonic() + WITHIN_SECONDS, 0
        while True:
            told = server.post(f"/v1/{NAMESPACE}/docs/clean-up", {})
            deleted += told["deleted"]
            if deleted and not told["waiting"]:
                break
            assert time.monotonic() < deadline, told
            time.sleep(0.2)
        assert len(data_files(bucket)) == len(files) - deleted and data_files(bucket) < files
        with pytest.raises(urllib.error.HTTPError) as beyond:
            server.rows(f"SELECT * FROM {NAMESPACE}.docs FOR SYSTEM_TIME AS OF TIMESTAMP '{old}'")
        assert json.load(beyond.value)["code"] == "outside_window"
        book.settle(server)
        assert server.rows(f"SELECT _id, batch, n FROM {NAMESPACE}.docs ORDER BY _id") == book.documents()
        publishes(server, bucket, ["docs"])
        assert server.stop() == 0
        server.verify()
    finally:
        server.kill()


def test_two_lakes_in_one_bucket_do_not_see_each_other(home, bucket):
    servers = {}
    try:
        for name in ("lake", "lake2", "lake/inner"):
            folder = home / name.replace("/", "-")
            folder.mkdir()
            servers[name] = Server(folder, store=bucket.below(name), settings=BUSY)
            servers[name].changes("shop/orders", [{"op": "insert", "id": name, "doc": {"lake": name}}])
            servers[name].post("/v1/compact", {})
            servers[name].post("/v1/publish", {})
        for name, server in servers.items():
            assert server.rows("SELECT _id, lake FROM shop.orders") == [(name, name)]
            assert server.rows("SELECT namespace FROM system.namespaces") == [("shop",)]
        # What erases one leaves the others.
        servers["lake"].post("/v1/shop/drop", {"grace_s": 0})
        for name in ("lake2", "lake/inner"):
            assert servers[name].stop() == 0
            servers[name].verify()
            servers[name] = servers[name].again()
            assert servers[name].rows("SELECT _id, lake FROM shop.orders") == [(name, name)]
    finally:
        for server in servers.values():
            server.kill()
