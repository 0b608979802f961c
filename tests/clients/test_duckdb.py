"""The lake's files are plain Parquet: DuckDB reads them and finds what SQL over HTTP answers."""

import duckdb


def flushed(server):
    """Everything in files: a stop flushes; the folder of the namespace."""
    assert server.stop() == 0
    hits = list(server.data.rglob("shop/events"))
    assert len(hits) == 1, hits
    return hits[0].parent


def test_events_files_hold_every_event(server):
    events = [{"type": "order.placed", "id": f"e{n}", "ts": "2026-01-01T10:00:00Z", "data": {"n": n}} for n in range(500)]
    server.post("/v1/shop/events", events)
    ours = server.rows("SELECT id, type, data FROM shop.events ORDER BY id")
    files = flushed(server)
    sql = "SELECT id, type, data FROM read_parquet(?) ORDER BY id"
    theirs = duckdb.sql(sql, params=[str(files / "events" / "[0-9]*" / "**" / "*.parquet")]).fetchall()
    assert len(ours) == 500 and theirs == ours


def test_deltas_fold_to_the_same_documents(server, orders):
    ours = server.rows("SELECT _id, total, state FROM shop.orders ORDER BY _id")
    files = flushed(server)
    deltas = str(files / "orders" / "deltas" / "*.parquet")
    theirs = duckdb.sql("""
        SELECT _id, total, state FROM (
            SELECT * FROM read_parquet(?, union_by_name = true)
            QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC, _bookmark DESC NULLS LAST, _system_time DESC, _seq DESC) = 1)
        WHERE _op <> 'delete' ORDER BY _id""", params=[deltas]).fetchall()
    assert theirs == ours == [("1", 10, "paid"), ("3", 9007199254740993, "new")]


def test_times_are_microseconds_of_utc(server, orders):
    files = flushed(server)
    kinds = duckdb.sql("DESCRIBE SELECT _ts, _system_time, _seq FROM read_parquet(?)", params=[str(files / "orders" / "deltas" / "*.parquet")])
    assert [row[1] for row in kinds.fetchall()] == ["TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE", "BIGINT"]


def test_files_say_what_they_are(server, orders):
    files = flushed(server)
    found = [str(path) for path in files.rglob("*.parquet")]
    assert found
    for path in found:
        entries = dict(duckdb.sql("SELECT key, value FROM parquet_kv_metadata(?)", params=[path]).fetchall())
        entries = {bytes(k).decode(): bytes(v).decode() for k, v in entries.items()}
        assert "tidemark.format" in entries and "tidemark.kind" in entries, (path, entries)
