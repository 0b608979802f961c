"""Flight SQL through ADBC's Python driver: the client that data tools use."""

import datetime as dt

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
import pytest

from conftest import Server


@pytest.fixture
def connection(server, orders):
    with adbc.connect(server.grpc, autocommit=True) as connection:
        yield connection


def ask(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def test_a_login_gives_the_token_and_carries_the_session(tmp_path):
    server = Server(tmp_path, token="sesame")
    try:
        for options in [
            {"username": "anyone", "password": "sesame"},
            {"adbc.flight.sql.authorization_header": "Bearer sesame"},
        ]:
            with adbc.connect(server.grpc, db_kwargs=options) as connection:
                ask(connection, "SET tidemark.as_of = '2020-01-01T00:00:00Z'")
                assert ask(connection, "SELECT 40 + 2") == [(42,)]
        for options in [{"username": "anyone", "password": "wrong"}, {}]:
            with pytest.raises(adbc_driver_manager.Error):
                with adbc.connect(server.grpc, db_kwargs=options) as connection:
                    ask(connection, "SELECT 1")
    finally:
        server.process.kill()
        server.process.wait()


def test_a_statement_answers_with_types(connection):
    rows = ask(connection, "SELECT _id, total, state, weight, gift FROM shop.orders ORDER BY _id")
    assert rows == [("1", 10, "paid", 1.5, True), ("3", 9007199254740993, "new", None, None)]


def test_instants_on_both_axes(connection, orders):
    states = "SELECT _id, state FROM shop.orders {} ORDER BY _id"
    assert ask(connection, states.format(f"FOR SYSTEM_TIME AS OF TIMESTAMP '{orders}'")) == [("1", "new"), ("2", "new")]
    assert ask(connection, states.format("FOR VALID_TIME AS OF TIMESTAMP '2026-01-01T10:30:00Z'")) == [("1", "new")]
    both = f"FOR SYSTEM_TIME AS OF TIMESTAMP '{orders}' FOR VALID_TIME AS OF TIMESTAMP '2026-01-01T10:30:00Z'"
    assert ask(connection, states.format(both)) == [("1", "new")]


def test_the_announced_schema_is_the_schema_of_the_batches(connection):
    with connection.cursor() as cursor:
        announced = cursor.adbc_execute_schema("SELECT * FROM shop.orders")
        cursor.execute("SELECT * FROM shop.orders")
        table = cursor.fetch_arrow_table()
    assert announced.equals(table.schema), f"{announced}\n{table.schema}"
    assert table.schema.field("total").type == pa.int64()
    assert table.schema.field("_ts").type == pa.timestamp("us", tz="UTC")


def test_prepared_statements_with_parameters(connection):
    by_id = "SELECT state FROM shop.orders WHERE _id = ?"
    assert ask(connection, by_id, ("1",)) == [("paid",)]
    assert ask(connection, by_id, ("2",)) == []
    assert ask(connection, "SELECT _id FROM shop.orders WHERE total > $1 AND state = $2", (5, "paid")) == [("1",)]
    with connection.cursor() as cursor:
        cursor.adbc_prepare(by_id)
        for key, expected in (("1", [("paid",)]), ("3", [("new",)]), ("x", [])):
            cursor.execute(by_id, (key,))
            assert cursor.fetchall() == expected


def test_a_timestamp_parameter(connection):
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
    assert ask(connection, "SELECT count(*) FROM shop.orders WHERE _ts >= ?", (noon,)) == [(2,)]


def test_objects_are_listed(connection):
    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    schemas = {s["db_schema_name"]: s for c in objects for s in c["catalog_db_schemas"] or []}
    tables = {t["table_name"]: t for t in schemas["shop"]["db_schema_tables"]}
    assert {"orders", "events"} <= set(tables)
    columns = [column["column_name"] for column in tables["orders"]["table_columns"]]
    assert columns == [field.name for field in connection.adbc_get_table_schema("orders", db_schema_filter="shop")]
    assert columns[0] == "_id" and {"total", "state", "_ts", "_system_time", "_doc"} <= set(columns)


def test_objects_can_be_filtered(connection):
    found = connection.adbc_get_objects(depth="tables", db_schema_filter="shop", table_name_filter="ord%").read_all().to_pylist()
    names = [t["table_name"] for c in found for s in c["catalog_db_schemas"] or [] for t in s["db_schema_tables"] or []]
    assert names == ["orders"]


def test_an_unknown_table_has_no_schema(connection):
    with pytest.raises(adbc_driver_manager.Error):
        connection.adbc_get_table_schema("nothing", db_schema_filter="shop")


@pytest.mark.parametrize("sql", [
    "SELECT * FROM shop.nothing", "SELEC 1", "DROP TABLE shop.orders", "SELECT 1; SELECT 2",
    "SELECT * FROM shop.orders TABLESAMPLE SYSTEM (1)",
    "SELECT * FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '1999-01-01T00:00:00Z'",
])
def test_refusals_carry_a_reason_and_leave_the_connection_usable(connection, sql):
    with pytest.raises(adbc_driver_manager.Error) as refused:
        ask(connection, sql)
    assert len(str(refused.value)) > 20
    assert ask(connection, "SELECT 1 AS one") == [(1,)]


def test_many_rows_in_many_batches(server, connection):
    for start in range(0, 30_000, 10_000):
        server.changes("shop/many", [{"op": "insert", "id": f"{n:05}", "doc": {"n": n}} for n in range(start, start + 10_000)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT _id, n FROM shop.many")
        table = cursor.fetch_arrow_table()
    assert table.num_rows == 30_000 and sorted(table["n"].to_pylist()) == list(range(30_000))


def test_an_empty_answer_has_its_columns(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT _id, total FROM shop.orders WHERE false")
        table = cursor.fetch_arrow_table()
    assert table.num_rows == 0 and table.schema.names == ["_id", "total"]


def test_a_call_keeps_goes_back_and_tells_what_it_did(connection, server, orders):
    with connection.cursor() as cursor:
        announced = cursor.adbc_execute_schema("CALL snapshot('shop.orders', 'early')")
        assert announced.names == ["name", "instant", "rows", "bytes"]
    assert ask(connection, "SELECT count(*) FROM shop.\"orders$snapshots\"") == [(0,)], "described is not done"
    (name, _, rows, _), = ask(connection, "CALL snapshot('shop.orders', 'early')")
    assert (name, rows) == ("early", 2)
    server.changes("shop/orders", [{"op": "delete", "id": "1"}])
    dry = ask(connection, "CALL restore('shop.orders', snapshot => ?, dry_run => true)", ("early",))
    assert dry == [(1, 0, 0, 1, 0)]
    assert ask(connection, "SELECT count(*) FROM shop.orders") == [(1,)]
    assert ask(connection, "CALL restore('shop.orders', snapshot => 'early')") == [(1, 0, 0, 1, 1)]
    assert ask(connection, "SELECT _id FROM shop.orders ORDER BY _id") == [("1",), ("3",)]
    assert ask(connection, "CALL drop_snapshot('shop.orders', 'early')") == [("early",)]
    for wrong in ("CALL nothing()", "CALL drop_snapshot('shop.orders', 'early')", "CALL restore('shop.orders')"):
        with pytest.raises(adbc_driver_manager.Error):
            ask(connection, wrong)


def test_settings_of_the_past_last_in_the_session(connection, orders):
    ask(connection, "SET tidemark.schema = 'as_of'")
    ask(connection, "SET tidemark.nearest = on")
    assert ask(connection, "SHOW tidemark.schema") == [("as_of",)]
    assert ask(connection, "SHOW tidemark.nearest") == [("on",)]
    ask(connection, "RESET ALL")
    assert ask(connection, "SHOW tidemark.nearest") == [("off",)]
