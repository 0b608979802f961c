"""Published Delta tables: deltalake, Polars and DuckDB read them without us and find, row by row, what SQL answers.

The lake is taken through every kind of maintenance; DuckDB reads by deltalake's file list, so that it needs no extension
from the network."""

import datetime
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.request

import deltalake
import duckdb
import polars
import pytest

from conftest import Server, binary

WITHIN_SECONDS = 60
EVENT = "id type ts source subject actor data meta collection document_id op prev bookmark _system_time _shard _seq".split()
STATE = "_id _ts _system_time _seq _doc n state weight gift tags".split()

GRACE_SECONDS = 10
# Clean-up waits as little as queries allow.
QUICK = {
    "cdc.grace_s": GRACE_SECONDS,
    "ingest.grace_s": GRACE_SECONDS,
    "query.timeout_s": GRACE_SECONDS // 2,
    "query.bulk_timeout_s": GRACE_SECONDS // 2,
    "publish.interval_s": 1,
}
# Every change is folded at once.
FOLDS = {**QUICK, "cdc.fold_rows_min": 1, "cdc.fold_ratio": 0}
# Changes stay in deltas, which are rolled up.
ROLLS = {**FOLDS, "cdc.fold_rows_min": 1_000_000, "cdc.rollup_files": 2}
# Events files stay as they were flushed.
SCATTERS = {"ingest.compact_files": 0, "publish.interval_s": 1}
# They are put together, a few into each, so that it takes many commits and several files come out.
COMPACTS = {**QUICK, "ingest.compact_bytes": 40_000}
# Nothing of the past stays.
FORGETS = {**FOLDS, "cdc.history_window_s": 1, "cdc.bases_max": 1, "cdc.external_retention_s": 0}


def plain(value):
    """Instants as microseconds: SQL over HTTP answers RFC 3339, the others datetimes."""
    if isinstance(value, str) and len(value) >= 20 and value[4] == "-" and value[10] == "T" and value.endswith("Z"):
        value = datetime.datetime.fromisoformat(value)
    if isinstance(value, datetime.datetime):
        return round((value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) / datetime.timedelta(microseconds=1))
    return value


def plained(rows):
    return sorted((tuple(plain(value) for value in row) for row in rows), key=repr)


def by_deltalake(root, columns):
    table = deltalake.DeltaTable(root).to_pyarrow_table(columns=columns)
    return plained(tuple(row.values()) for row in table.to_pylist())


def by_polars(root, columns):
    return plained(polars.read_delta(root, columns=columns).select(columns).rows())


def by_duckdb(root, columns):
    files = deltalake.DeltaTable(root).file_uris()
    named = ", ".join(f'"{column}"' for column in columns)
    con = duckdb.connect()
    con.sql("SET TimeZone = 'UTC'")
    return plained(con.sql(f"SELECT {named} FROM read_parquet(?, union_by_name = true)", params=[files]).fetchall())


READERS = (by_deltalake, by_polars, by_duckdb)


class Lake:
    """A server that is started anew with other settings, over the same folder."""

    def __init__(self, home):
        self.home, self.server = home, None
        self.events = str(home / "data" / "lake" / "shop" / "events")
        self.state = str(home / "data" / "lake" / "shop" / "orders" / "state")

    def start(self, settings):
        if self.server:
            assert self.server.stop() == 0
        self.server = Server(self.home, settings=settings)

    def flush(self):
        """Everything acknowledged into files: a snapshot needs them."""
        self.server.post("/v1/shop/orders/snapshots", {})

    def clean_up(self):
        """Again and again while the grace goes by; how many files were deleted in all, how many are left."""
        deleted, deadline = 0, time.monotonic() + GRACE_SECONDS + 2
        while True:
            told = self.server.post("/v1/shop/orders/clean-up", {})
            deleted += told["deleted"]
            if time.monotonic() > deadline:
                return deleted, told["waiting"]
            time.sleep(0.5)

    def ours(self, table, columns):
        named = ", ".join(f'"{column}"' for column in columns)
        return plained(self.server.rows(f"SELECT {named} FROM shop.{table}"))

    def compare(self, columns=STATE):
        """Until what is published is what SQL answers; the job publishes by itself."""
        deadline = time.monotonic() + WITHIN_SECONDS
        for table, root, columns in (("events", self.events, EVENT), ("orders", self.state, columns)):
            ours = self.ours(table, columns)
            assert ours
            while True:
                try:
                    theirs = by_deltalake(root, columns)
                except Exception:
                    if time.monotonic() > deadline:
                        raise
                    theirs = None
                if theirs == ours or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            for reader in READERS:
                assert reader(root, columns) == ours, (table, reader.__name__)

    def verify(self):
        told = subprocess.run([binary(), "verify", "--data", self.home / "data"], capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr


@pytest.fixture
def lake(tmp_path):
    started = Lake(tmp_path)
    yield started
    if started.server and started.server.process.poll() is None:
        started.server.process.kill()
        started.server.process.wait()
    assert "panicked" not in (tmp_path / "server.log").read_text()


def changes(first, last, **fields):
    """One document per number; every third has a tag, every fifth a weight."""
    for n in range(first, last):
        doc = {"n": n, "state": "new", "gift": n % 2 == 0, **fields}
        doc |= {"tags": ["a", n]} if n % 3 == 0 else {}
        doc |= {"weight": n / 4} if n % 5 == 0 else {}
        yield {"op": "insert", "id": f"order-{n:05}-{'x' * (n % 50)}", "ts": f"2026-01-{1 + n % 28:02}T10:00:00.{n:06}Z", "doc": doc}


def test_other_engines_read_what_sql_answers_after_every_kind_of_maintenance(lake):
    lake.start(FOLDS)
    lake.server.post("/v1/shop/events", [{"type": "hello", "id": f"e{n}", "data": {"n": n}} for n in range(50)])
    lake.server.changes("shop/orders", changes(0, 600))
    lake.flush()
    lake.compare()
    first = lake.ours("orders", STATE)

    # A second state: updates, deletes, a new column, and one that widens from integers to text.
    lake.server.changes("shop/orders", changes(300, 700, extra=1))
    lake.server.changes("shop/orders", [{"op": "delete", "id": "order-00000-"}, {"op": "update", "id": "new", "doc": {"n": "many", "weight": 7}}])
    lake.flush()
    lake.compare(STATE + ["extra"])

    # Who still reads the version before reads what it was.
    old = deltalake.DeltaTable(lake.state, version=0).to_pyarrow_table(columns=STATE).to_pylist()
    assert plained(tuple(row.values()) for row in old) == first
    history = deltalake.DeltaTable(lake.state).history()
    assert len(history) == 2 and all("manifest" in version["userMetadata"] for version in history)

    # Statistics let readers skip files and never rows.
    one = f"order-00310-{'x' * 10}"
    for filters, expected in (([("_id", "=", one)], 1), ([("_id", "=", "nobody")], 0)):
        assert deltalake.DeltaTable(lake.state).to_pyarrow_table(filters=filters).num_rows == expected
    late = datetime.datetime(2026, 1, 20, tzinfo=datetime.UTC)
    theirs = polars.scan_delta(lake.events).filter(polars.col("ts") >= late).collect().height
    assert [(theirs,)] == lake.server.rows("SELECT count(*) FROM shop.events WHERE ts >= TIMESTAMP '2026-01-20T00:00:00Z'")

    # Nobody's VACUUM takes what we serve; nobody removes events.
    for root in (lake.events, lake.state):
        table = deltalake.DeltaTable(root)
        assert table.vacuum(retention_hours=None, dry_run=True, full=False) == []
        assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
    assert deltalake.DeltaTable(lake.events).metadata().configuration["delta.appendOnly"] == "true"

    # Deltas that are rolled up; the state stays where it is meanwhile.
    lake.start(ROLLS)
    before = by_deltalake(lake.state, STATE)
    for n in range(4):
        lake.server.changes("shop/orders", changes(700 + n * 10, 710 + n * 10))
        lake.flush()
    lake.start(ROLLS)
    assert by_deltalake(lake.state, STATE) == by_polars(lake.state, STATE) == before
    lake.start(FOLDS)
    lake.compare(STATE + ["extra"])
    lake.verify()

    # Retention, then clean-up: what is gone from the published table for long enough goes.
    time.sleep(1.1)
    lake.start(FORGETS)
    lake.server.changes("shop/orders", changes(740, 760))
    lake.flush()
    lake.compare(STATE + ["extra"])
    deleted, waiting = lake.clean_up()
    assert deleted > 0 and waiting == 0
    lake.compare(STATE + ["extra"])
    lake.verify()

    # Written anew.
    told = subprocess.run([binary(), "publish", "--rebuild", "shop", "--url", lake.server.http], capture_output=True, text=True)
    assert told.returncode == 0 and "shop.orders" in told.stdout, told.stdout + told.stderr
    for root in (lake.state, lake.events):
        plain = [name for name in os.listdir(os.path.join(root, "_delta_log")) if name.endswith(".json")]
        assert [int(name[:20]) for name in plain] == [deltalake.DeltaTable(root).version()], "nothing older is left"
    lake.compare(STATE + ["extra"])
    lake.server.changes("shop/orders", changes(760, 770))
    lake.flush()
    lake.compare(STATE + ["extra"])
    assert lake.server.stop() == 0
    lake.verify()


def declare(server, properties):
    body = json.dumps({"type": "object", "properties": properties}).encode()
    asked = urllib.request.Request(server.http + "/v1/shop/orders/schema?strictness=lenient", body, {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.status == 200


def test_times_of_a_declared_schema_are_timestamps_to_everybody(lake):
    lake.start(FOLDS)
    declare(lake.server, {"at": {"type": "string", "format": "date-time"}})
    lake.server.changes("shop/orders", changes(0, 100, at="2026-02-02T14:30:00.25+01:00"))
    lake.flush()
    lake.compare(STATE + ["at"])
    held = deltalake.DeltaTable(lake.state).to_pyarrow_table(columns=["at"])
    assert str(held.schema.field("at").type) == "timestamp[us, tz=UTC]"
    assert set(held.column("at").to_pylist()) == {datetime.datetime(2026, 2, 2, 13, 30, 0, 250000, datetime.UTC)}

    # Once anything else may come the column is text, to everybody.
    declare(lake.server, {})
    lake.server.changes("shop/orders", changes(100, 120, at="soon"))
    lake.flush()
    lake.compare(STATE + ["at"])
    held = deltalake.DeltaTable(lake.state).to_pyarrow_table(columns=["at"])
    assert set(held.column("at").to_pylist()) == {"2026-02-02T13:30:00.250000Z", "soon"}
    lake.verify()


def test_a_file_stays_for_readers_of_the_version_before(lake):
    """Clean-up finds parts that no manifest names and leaves them, because another engine may still read them."""
    held = {**FORGETS, "cdc.external_retention_s": 3600, "cdc.bases_max": 1}
    lake.start(held)
    for round in range(4):
        lake.server.changes("shop/orders", changes(0, 20 + round))
        lake.flush()
        lake.compare()
    for version in range(deltalake.DeltaTable(lake.state).version() + 1):
        assert deltalake.DeltaTable(lake.state, version=version).to_pyarrow_table().num_rows >= 20
    # Deltas beyond the window go, which nobody else reads; of the parts that were published none does.
    parts = {name for name in os.listdir(lake.state) if name.endswith(".parquet")}
    _, waiting = lake.clean_up()
    assert waiting > 0 and parts <= set(os.listdir(lake.state))
    for version in range(deltalake.DeltaTable(lake.state).version() + 1):
        assert deltalake.DeltaTable(lake.state, version=version).to_pyarrow_table().num_rows >= 20


def is_done(server, job):
    """Whether a job of the server has said that nothing is left to do."""
    with urllib.request.urlopen(server.http + "/metrics", timeout=60) as answer:
        return re.search(f'tidemark_job_ticks_total{{outcome="done",task="{job}"}} [1-9]', answer.read().decode())


def actions(root):
    """Every action of the log, by version."""
    for version in sorted(pathlib.Path(root, "_delta_log").glob("*.json")):
        yield int(version.stem), [json.loads(line) for line in version.read_text().splitlines()]


def test_compacted_events_are_the_same_rows_and_nobody_is_told_that_they_are_new(lake):
    files = 150
    aged = pathlib.Path(binary()).with_name("aged-lake")
    assert aged.exists(), f"{aged} is missing: cargo build --profile quick --workspace --bins"
    subprocess.run([aged, lake.home, str(files), "5"], check=True)
    columns = ["id", "type", "ts", "data", "collection", "document_id", "_system_time", "_shard", "_seq"]

    lake.start(SCATTERS)
    lake.server.post("/v1/publish", {"namespace": "shop", "table": "events"})
    ours = lake.ours("events", columns)
    assert len(ours) == files * 10
    scattered = deltalake.DeltaTable(lake.events)
    before = scattered.version()
    assert len(scattered.file_uris()) == files
    for reader in READERS:
        assert reader(lake.events, columns) == ours, reader.__name__

    # Put together while a reader of the newest published version looks on.
    lake.start(COMPACTS)
    deadline = time.monotonic() + WITHIN_SECONDS
    while not is_done(lake.server, "compaction"):
        assert time.monotonic() < deadline, "compaction is never done"
        assert by_deltalake(lake.events, columns) == ours
        assert lake.server.rows("SELECT count(*), count(DISTINCT id) FROM shop.events") == [(len(ours), len(ours))]
    lake.server.post("/v1/publish", {"namespace": "shop", "table": "events"})
    assert 1 < len(deltalake.DeltaTable(lake.events).file_uris()) < files // 3
    assert lake.ours("events", columns) == ours
    for reader in READERS:
        assert reader(lake.events, columns) == ours, reader.__name__

    # An append-only table takes it, because no row comes and none goes.
    moved = [action for version, of in actions(lake.events) if version > before for action in of]
    added, removed = ([action[kind] for action in moved if kind in action] for kind in ("add", "remove"))
    assert added and removed and not any(action["dataChange"] for action in added + removed)
    assert deltalake.DeltaTable(lake.events).metadata().configuration["delta.appendOnly"] == "true"
    late = datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC)
    theirs = polars.scan_delta(lake.events).filter(polars.col("_system_time") >= late).collect().height
    assert [(theirs,)] == lake.server.rows("SELECT count(*) FROM shop.events WHERE _system_time >= TIMESTAMP '2025-01-02T00:00:00Z'")

    # Who still reads the version before finds its files; what comes later is new.
    old = deltalake.DeltaTable(lake.events, version=before).to_pyarrow_table(columns=columns).to_pylist()
    assert plained(tuple(row.values()) for row in old) == ours
    lake.server.post("/v1/shop/events", [{"type": "late", "id": "late"}])
    lake.server.post("/v1/publish", {"namespace": "shop", "table": "events"})
    newest = [action["add"]["dataChange"] for action in list(actions(lake.events))[-1][1] if "add" in action]
    assert newest == [True] and by_deltalake(lake.events, columns) == lake.ours("events", columns)
    assert lake.server.stop() == 0
    lake.verify()


def test_publishing_can_be_switched_off(lake):
    lake.start({**FOLDS, "publish.enabled": "false"})
    lake.server.changes("shop/orders", changes(0, 10))
    lake.flush()
    time.sleep(2)
    with pytest.raises(deltalake.exceptions.TableNotFoundError):
        deltalake.DeltaTable(lake.events)
    # Asked for, it is done all the same.
    lake.server.post("/v1/publish", {"namespace": "shop"})
    lake.compare()
