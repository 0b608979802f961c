"""Clients of PostgreSQL's protocol against the lake: psycopg, SQLAlchemy, ADBC, psql. Each lists tables, asks now and as of, binds
parameters, copies rows out, cancels, and fails cleanly."""

import datetime
import decimal
import functools
import os
import pathlib
import shutil
import struct
import subprocess
import threading

import adbc_driver_postgresql.dbapi
import psycopg
import pytest
import sqlalchemy

from conftest import Server
from test_idle import Postgres

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3"
QUERIES = pathlib.Path(__file__).parent / "startup_queries.sql"
PSQL = shutil.which("psql")


class WithoutToken(Postgres):
    """A session of a server that asks for no password."""

    def __init__(self, server):
        self.begin(server)
        self.until_ready()


def url(server, database="tidemark", password="x", scheme="postgresql"):
    return f"{scheme}://me:{password}@{server.postgres}/{database}"


@pytest.fixture
def connection(server):
    with psycopg.connect(url(server), autocommit=True) as opened:
        yield opened


def rows(connection, sql, values=None, **more):
    with connection.cursor(**more) as cursor:
        return cursor.execute(sql, values).fetchall()


def test_types_come_out_as_python_has_them(connection, orders):
    for binary in (False, True):
        found = rows(connection, "SELECT _id, total, weight, gift, tags, _ts FROM shop.orders ORDER BY _id", binary=binary)
        at = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)
        assert found == [("1", 10, 1.5, True, None, at), ("3", 9007199254740993, None, None, None, at)]
        [row] = rows(connection, "SELECT 12.50, DATE '2026-01-02', arrow_cast(-1, 'Int16'), 'ü', NULL, X'00ff', INTERVAL '3 days', [1, 2]", binary=binary)
        assert row == (decimal.Decimal("12.50") if isinstance(row[0], decimal.Decimal) else 12.5, datetime.date(2026, 1, 2), -1, "ü", None, b"\x00\xff", datetime.timedelta(days=3), [1, 2])


def test_the_past_is_asked_by_clauses_settings_and_parameters(connection, orders):
    count = "SELECT count(*), sum(total) FROM shop.orders"
    assert rows(connection, count) == [(2, 9007199254741003)]
    assert rows(connection, f"{count} FOR SYSTEM_TIME AS OF '{orders}'") == [(2, 30)]
    assert rows(connection, f"{count} FOR SYSTEM_TIME AS OF %s", [orders]) == [(2, 30)]
    connection.execute(f"SET tidemark.as_of = '{orders}'")
    assert rows(connection, count) == [(2, 30)]
    connection.execute("RESET tidemark.as_of")
    assert rows(connection, "SELECT _id FROM shop.orders WHERE total = %s", [10]) == [("1",)]
    assert rows(connection, "SELECT _id FROM shop.orders WHERE _ts < %s", [datetime.datetime(2027, 1, 1, tzinfo=datetime.timezone.utc)]) == [("1",), ("3",)]


def test_a_transaction_reads_one_instant(server, orders):
    with psycopg.connect(url(server, "shop")) as connection:
        assert rows(connection, "SELECT count(*) FROM orders") == [(2,)]
        server.changes("shop/orders", [{"op": "insert", "id": "9", "ts": "2026-01-02T00:00:00Z", "doc": {"total": 1, "state": "new"}}])
        assert rows(connection, "SELECT count(*) FROM orders") == [(2,)]
        connection.commit()
        assert rows(connection, "SELECT count(*) FROM orders") == [(3,)]
        with connection.cursor(name="c") as cursor:
            cursor.execute("SELECT _id FROM orders ORDER BY _id")
            assert cursor.fetchmany(2) == [("1",), ("3",)] and cursor.fetchall() == [("9",)]


def test_a_cursor_is_declared_with_values(server, orders):
    with psycopg.connect(url(server, "shop")) as connection, connection.cursor(name="c") as cursor:
        cursor.execute("SELECT _id FROM orders WHERE total > %s ORDER BY _id", (10,))
        assert cursor.fetchall() == [("3",)]


def exchange(client, *messages):
    """Everything that is answered to messages and a Sync behind them."""
    for kind, body in (*messages, (b"S", b"")):
        client.send(kind, body)
    return ready(client)


def ready(client):
    told = [client.read()]
    while told[-1][0] != b"Z":
        told.append(client.read())
    return told


def test_a_statement_whose_columns_changed_is_prepared_anew(server, orders):
    """Drivers that describe a statement once read its rows by what they were told then."""
    client = WithoutToken(server)
    run = functools.partial(exchange, client)
    describe, execute = (b"D", b"Ss\0"), ((b"B", b"\0s\0" + bytes(6)), (b"E", b"\0" + bytes(4)))
    run((b"P", b"s\0SELECT * FROM shop.orders\0" + bytes(2)), describe)
    assert [kind for kind, _ in run(*execute)] == [b"2", b"D", b"D", b"C", b"Z"]
    server.changes("shop/orders", [{"op": "insert", "id": "9", "doc": {"colour": "red"}}])
    [fault] = [body for kind, body in run(*execute) if kind == b"E"]
    assert b"C0A000\0" in fault and b"cached plan must not change result type" in fault
    run(describe)
    assert [kind for kind, _ in run(*execute)] == [b"2", b"D", b"D", b"D", b"C", b"Z"]
    client.close()


def test_a_cursor_is_fetched_as_text_by_text(server):
    """Whatever an earlier FETCH of it was bound to."""
    client = WithoutToken(server)
    client.send(b"Q", b"BEGIN; DECLARE c CURSOR FOR SELECT * FROM (VALUES (1), (2)) ORDER BY 1\0")
    client.until_ready()
    binary = bytes(4) + struct.pack("!HH", 1, 1)
    told = exchange(client, (b"P", b"\0FETCH 1 FROM c\0" + bytes(2)), (b"B", b"\0\0" + binary), (b"E", b"\0" + bytes(4)))
    assert (b"D", struct.pack("!HIQ", 1, 8, 1)) in told
    client.send(b"Q", b"FETCH 1 FROM c\0")
    told = client.until_ready()
    assert (b"D", struct.pack("!HI", 1, 1) + b"2") in told
    [columns] = [body for kind, body in told if kind == b"T"]
    assert columns.endswith(struct.pack("!H", 0)), "as text"
    client.close()


def test_text_that_is_not_utf_8_is_an_error_and_the_connection_goes_on(server):
    client = WithoutToken(server)
    client.send(b"Q", b"SELECT '\xff'\0")
    [(kind, fault), (last, state)] = ready(client)
    assert (kind, last, state) == (b"E", b"Z", b"I") and b"C22021\0" in fault
    told = exchange(client, (b"P", b"\0SELECT '\xff'\0" + bytes(2)), (b"D", b"S\0"))
    assert [kind for kind, _ in told] == [b"E", b"Z"], "what stands behind it is skipped"
    client.ask()
    client.close()


def test_what_fails_says_why_and_the_connection_goes_on(connection, orders):
    for sql, kind in [
        ("SELECT * FROM shop.nothing", psycopg.errors.UndefinedTable),
        ("SELECT nothing FROM shop.orders", psycopg.errors.UndefinedColumn),
        ("SELEC 1", psycopg.errors.ReadOnlySqlTransaction),
        ("SELECT (1", psycopg.errors.SyntaxError),
        ("INSERT INTO shop.orders VALUES (1)", psycopg.errors.ReadOnlySqlTransaction),
        ("DROP TABLE shop.orders", psycopg.errors.ReadOnlySqlTransaction),
    ]:
        with pytest.raises(kind) as raised:
            connection.execute(sql)
        if sql.startswith("INSERT"):
            assert "/changes" in raised.value.diag.message_hint
    assert rows(connection, "SELECT 1") == [(1,)]


def test_cancel(connection, server):
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    # A statement whose time is over has the same state, and another text.
    with pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
        connection.execute(ENDLESS)
    assert rows(connection, "SELECT 1") == [(1,)]
    connection.execute("SET statement_timeout = '100ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute(ENDLESS)
    # Of a text each statement has its own time, by what was set before it.
    connection.execute("RESET statement_timeout")
    with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
        connection.execute(f"SET statement_timeout = '100ms'; {ENDLESS}")


def test_copy_out(connection, orders):
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT _id, total, gift FROM shop.orders ORDER BY _id) TO STDOUT") as copy:
            assert list(copy.rows()) == [("1", "10", "t"), ("3", "9007199254740993", None)]
        with cursor.copy("COPY shop.orders (_id, total) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["text", "int8"])
            assert sorted(copy.rows()) == [("1", 10), ("3", 9007199254740993)]
        with cursor.copy("COPY (SELECT _id, state FROM shop.orders ORDER BY _id) TO STDOUT (FORMAT csv, HEADER)") as copy:
            assert b"".join(copy).decode() == "_id,state\n1,paid\n3,new\n"
    assert rows(connection, "SELECT 1") == [(1,)]


def test_a_token_is_the_password(tmp_path):
    guarded = Server(tmp_path, token="tm_secret")
    try:
        with psycopg.connect(url(guarded, password="tm_secret")) as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
        for password in ("tm_wrong", ""):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(url(guarded, password=password))
    finally:
        guarded.stop()


def test_sqlalchemy(server, orders):
    engine = sqlalchemy.create_engine(url(server, "shop", scheme="postgresql+psycopg"))
    looked = sqlalchemy.inspect(engine)
    assert {"shop"} <= set(looked.get_schema_names())
    assert looked.get_table_names(schema="shop") == ["events", "orders"]
    columns = {column["name"]: str(column["type"]) for column in looked.get_columns("orders", schema="shop")}
    assert columns["_id"] == "TEXT" and columns["total"] == "BIGINT" and columns["_ts"].startswith("TIMESTAMP")
    orders_table = sqlalchemy.Table("orders", sqlalchemy.MetaData(), schema="shop", autoload_with=engine)
    with engine.connect() as connection:
        asked = sqlalchemy.select(orders_table.c._id).where(orders_table.c.total == 10)
        assert connection.execute(asked).scalars().all() == ["1"]
    engine.dispose()


def test_adbc(server, orders):
    with adbc_driver_postgresql.dbapi.connect(url(server, "shop")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT _id, total FROM shop.orders ORDER BY _id")
        assert cursor.fetch_arrow_table().to_pydict() == {"_id": ["1", "3"], "total": [10, 9007199254740993]}
        cursor.execute(f"SELECT count(*) AS n FROM shop.orders FOR SYSTEM_TIME AS OF '{orders}'")
        assert cursor.fetchall() == [(2,)]
        cursor.execute("SELECT _id FROM shop.orders WHERE total = $1", (10,))
        assert cursor.fetchall() == [("1",)]
        with pytest.raises(adbc_driver_postgresql.dbapi.Error):
            cursor.execute("SELECT * FROM shop.nothing")
            cursor.fetchall()


def psql(server, *words):
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10"}
    command = [PSQL, "-X", "-v", "ON_ERROR_STOP=1", url(server), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.skipif(PSQL is None, reason="no psql here")
def test_psql_describes(server, orders):
    for command, words in [
        ("\\dn", ["shop", "tidemark"]),
        ("\\dt", ["shop", "orders", "events"]),
        ("\\dt shop.*", ["orders"]),
        ("\\d", ["orders"]),
        ("\\d shop.orders", ["_id", "text", "total", "bigint", "timestamp with time zone", "not null"]),
        ("\\d+ shop.orders", ["_id", "bigint"]),
        ("\\dt+", ["orders"]),
        ("\\dn+", ["shop"]),
        ("\\l", ["tidemark", "UTF8"]),
        ("\\du", ["tidemark"]),
        ("\\dv", []),
        ("\\di", []),
        ("\\df", []),
        ("\\dT", []),
        ("\\dx", []),
        ("\\db", ["pg_default"]),
        ("\\dp shop.*", ["orders"]),
        ("\\conninfo", ["tidemark"]),
    ]:
        said = psql(server, "-c", command)
        assert said.returncode == 0 and "ERROR" not in said.stderr, f"{command}: {said.stderr}"
        assert all(word in said.stdout for word in words), f"{command}: {said.stdout}"
    assert psql(server, "-Atc", "SELECT _id, total FROM shop.orders ORDER BY 1").stdout == "1|10\n3|9007199254740993\n"
    assert psql(server, "-Atc", "SELEC 1").returncode != 0


def startup_queries():
    """Name of the client and its query, for each block of the file."""
    blocks = QUERIES.read_text().split("\n-- client: ")[1:]
    for number, block in enumerate(blocks):
        client, sql = block.split("\n", 1)
        yield pytest.param(sql.strip(), id=f"{number}-{client.strip()}")


def test_what_tools_ask_when_they_start(connection, orders):
    """Queries as they were captured; each is answered, and the ones that list find the table."""
    wrong = []
    for query in startup_queries():
        [sql] = query.values
        try:
            connection.execute(sql, prepare=False)
        except psycopg.Error as error:
            wrong.append(f"{query.id}: {error}")
    assert not wrong, "\n".join(wrong)
