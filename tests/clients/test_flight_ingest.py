"""Writing over Flight: ADBC's ingest, pandas and polars on it, streams for a path; and the transactions that ADBC begins."""

import json

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight as flight
import pytest

USERS = pa.table({"_id": ["a", "b", "c"], "name": ["Ada", "Bob", None], "age": pa.array([36, 41, 7], pa.int32())})
# INVALID_ARGUMENT and NOT_FOUND are errors of Arrow to pyarrow, not of Flight.
REFUSED = (flight.FlightError, pa.ArrowException)
READ = "SELECT _id, name, age FROM shop.users ORDER BY _id"


@pytest.fixture
def connection(server):
    with adbc.connect(server.grpc, autocommit=True) as connection:
        yield connection


def ingest(connection, table, data, mode="create_append", **options):
    with connection.cursor() as cursor:
        return cursor.adbc_ingest(table, data, mode=mode, db_schema_name="shop", **options)


def ask(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_documents_are_upserted_by_id(server, connection):
    assert ingest(connection, "users", USERS) == 3
    assert ask(connection, READ) == [("a", "Ada", 36), ("b", "Bob", 41), ("c", None, 7)]
    newer = pa.table({"_id": ["b", "d"], "name": ["Bobby", "Dan"], "age": [42, 1]})
    assert ingest(connection, "users", newer, "append") == 2
    assert ask(connection, READ) == [("a", "Ada", 36), ("b", "Bobby", 42), ("c", None, 7), ("d", "Dan", 1)]
    dictionary = pa.table({"_id": pa.array(["a"]).dictionary_encode(), "name": pa.array(["x"], pa.string_view())})
    assert ingest(connection, "users", dictionary, "append") == 1
    assert ask(connection, "SELECT name FROM shop.users WHERE _id = 'a'") == [("x",)]


def test_rows_become_events(connection):
    rows = pa.table({"type": ["order.placed"] * 2, "id": ["e1", "e2"], "total": [10, 20]})
    assert ingest(connection, "events", rows) == 2
    assert ingest(connection, "events", rows, "append") == 2, "stored before, once"
    assert ask(connection, "SELECT id, type, (data->>'total')::bigint FROM shop.events ORDER BY id") == [
        ("e1", "order.placed", 10), ("e2", "order.placed", 20)]


def test_what_is_not_served_is_refused_and_nothing_is_stored(connection):
    for table, data, mode, said in [
        ("users", USERS, "append", "create_append"),
        ("users", USERS, "create", "create_append"),
        ("users", USERS, "replace", "upserts"),
        ("users", pa.table({"name": ["x"]}), "create_append", "name"),
        ("users", pa.table({"_id": ["a", None]}), "create_append", "id"),
        ("users", pa.table({"_id": ["a"], "tags": [["x"]]}), "create_append", "tags"),
        ("users", pa.table({"_id": ["a"], "_doc": ["{}"]}), "create_append", "_doc"),
        ("events", pa.table({"type": ["a", "b c"]}), "create_append", "type"),
        ("Users!", USERS, "create_append", "name"),
    ]:
        with pytest.raises(adbc_driver_manager.Error) as refusal:
            ingest(connection, table, data, mode)
        assert said in str(refusal.value), (table, mode, str(refusal.value))
    with pytest.raises(adbc_driver_manager.Error):
        ask(connection, "SELECT * FROM shop.users")
    with pytest.raises(adbc_driver_manager.Error) as refusal:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("users", USERS, mode="create_append")
    assert "schema" in str(refusal.value)


@pytest.mark.parametrize("sql", ["INSERT INTO shop.users VALUES (1)", "UPDATE shop.users SET age = 1", "DELETE FROM shop.users",
                                 "CREATE TABLE shop.users (a INT)"])
def test_sql_that_writes_is_refused_when_prepared(connection, sql):
    with connection.cursor() as cursor:
        with pytest.raises(adbc_driver_manager.Error) as refusal:
            cursor.adbc_prepare(sql)
        assert "ingest" in str(refusal.value).lower(), str(refusal.value)


def test_nothing_is_no_mistake(connection):
    assert ingest(connection, "users", USERS.slice(0, 0)) in (0, -1)
    empty = pa.RecordBatchReader.from_batches(USERS.schema, [])
    assert ingest(connection, "users", empty) in (0, -1)


def test_many_rows_of_many_batches(server, connection):
    """More than one request may bring, in batches larger and smaller than that, more than is appended at once."""
    table = pa.table({"_id": [f"{n:06}" for n in range(45_000)], "text": ["x" * 500] * 45_000})
    large = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=15_000))
    assert ingest(connection, "many", large) == 45_000
    batches = table.slice(0, 3_000).to_batches(max_chunksize=10)
    reader = pa.RecordBatchReader.from_batches(table.schema, batches)
    assert ingest(connection, "many", reader, "append") == 3_000
    assert ask(connection, "SELECT count(*), count(DISTINCT _id) FROM shop.many") == [(45_000, 45_000)]
    assert server.rows("SELECT count(*) FROM shop.events") == [(48_000,)]


def test_pandas_and_polars_write(server, connection):
    frame = pd.DataFrame({"_id": ["a", "b"], "n": [1, 2]})
    ingest(connection, "frames", pa.Table.from_pandas(frame, preserve_index=False))
    frame.to_sql("frames", connection, schema="shop", if_exists="append", index=False)
    ingest(connection, "lazy", pl.DataFrame({"_id": ["p"], "n": [3]}).to_arrow())
    assert ask(connection, "SELECT n FROM shop.frames ORDER BY n") == [(1,), (2,)]
    assert ask(connection, "SELECT n FROM shop.lazy") == [(3,)]


def acks(client, path, batches, offsets=None):
    descriptor = flight.FlightDescriptor.for_path(*path)
    writer, reader = client.do_put(descriptor, batches[0].schema)
    told = []

    def read():
        ack = reader.read()
        if ack is None:
            writer.close()
        told.append(json.loads(ack.to_pybytes()))

    read()
    for at, batch in enumerate(batches):
        if offsets:
            writer.write_with_metadata(batch, json.dumps({"offset_id": offsets[at]}).encode())
        else:
            writer.write_batch(batch)
        read()
    writer.done_writing()
    writer.close()
    return told


def test_a_stream_for_a_path_is_acknowledged_batch_by_batch(server, connection):
    client = flight.connect(server.grpc)
    batches = USERS.to_batches(max_chunksize=1)
    told = acks(client, ["shop", "users"], batches)
    assert [it["ack_up_to_offset"] for it in told] == [-1, 0, 1, 2]
    assert [it["ack_up_to_records"] for it in told] == [0, 1, 2, 3]
    assert told[1]["batch"]["accepted"] == 1 and told[1]["batch"]["system_time"].endswith("Z")
    assert ask(connection, "SELECT count(*) FROM shop.users") == [(3,)]
    told = acks(client, ["tidemark", "shop", "users"], batches, offsets=[5, 7, 20])
    assert [it["ack_up_to_offset"] for it in told] == [-1, 5, 7, 20]
    for path, batches, offsets in [
        (["shop"], batches, None),
        (["shop", "../x"], batches, None),
        (["shop", "users"], batches, [5, 5, 6]),
        (["shop", "users"], pa.table({"_id": pa.array([None], pa.string())}).to_batches(), None),
    ]:
        with pytest.raises(REFUSED):
            acks(client, path, batches, offsets)


def test_a_transaction_reads_at_the_instant_it_began(server, recwarn):
    server.changes("shop/users", [{"op": "insert", "id": "a", "doc": {"n": 1}}])
    count = "SELECT count(*) FROM shop.users"
    with adbc.connect(server.grpc) as connection:
        assert not [it for it in recwarn if "autocommit" in str(it.message)]
        assert ask(connection, count) == [(1,)]
        server.changes("shop/users", [{"op": "insert", "id": "b", "doc": {"n": 2}}])
        ingest(connection, "users", pa.table({"_id": ["c"]}), "append")
        assert ask(connection, count) == [(1,)], "the same view, whatever comes"
        assert ask(connection, "SELECT n FROM shop.users WHERE _id = 'b'") == []
        connection.commit()
        assert ask(connection, count) == [(3,)]
        server.changes("shop/users", [{"op": "delete", "id": "a"}])
        assert ask(connection, count) == [(3,)]
        connection.rollback()
        assert ask(connection, count) == [(2,)]


def test_a_transaction_is_ended_once(server):
    client = flight.connect(server.grpc)

    def varint(n):
        return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)

    def field(number, value):
        return bytes([number << 3 | 2]) + varint(len(value)) + value

    def act(name, message, body):
        url = f"type.googleapis.com/arrow.flight.protocol.sql.{message}".encode()
        return list(client.do_action(flight.Action(name, field(1, url) + field(2, body))))

    answer = act("BeginTransaction", "ActionBeginTransactionRequest", b"")[0].body.to_pybytes()
    transaction = answer[-16:]
    end = lambda transaction, action: act("EndTransaction", "ActionEndTransactionRequest", field(1, transaction) + bytes([2 << 3, action]))
    with pytest.raises(REFUSED):
        end(transaction, 0)
    assert end(transaction, 1) == []
    for unknown in (transaction, b"nonsense"):
        with pytest.raises(REFUSED) as refusal:
            end(unknown, 2)
        assert "not open" in str(refusal.value)
