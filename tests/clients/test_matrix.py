"""Which client is tested to do what: each lists tables, asks now and as of an instant, binds, cancels, and fails cleanly.

`MATRIX` is the table: a row per client, a cell per ability, in it the test that shows it; one without a file stands here.
A cell that begins with `-` says why the client cannot. `test_every_cell_holds` keeps the table true.

What is not of PyPI is installed by `cargo xtask test` and named by two variables: TIDEMARK_NODE_MODULES (packages of
javascript/package-lock.json) and TIDEMARK_FLIGHTSQL_DBAPI (packages of flightsql_dbapi/requirements.txt).
"""

import base64
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc_postgresql
import duckdb
import grpc
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from flightsql import M, frame, frames, refused, unwrapped, wrapped
from test_flightsql import ENDLESS, Shop, idle, until
from test_pgwire import PSQL, psql, url

ABILITIES = ["lists tables", "asks now", "asks as of", "binds", "cancels", "fails cleanly"]
MATRIX = {
    "adbc-driver-flightsql": [
        "test_adbc.py::test_objects_are_listed", "test_adbc.py::test_a_statement_answers_with_types",
        "test_adbc.py::test_instants_on_both_axes", "test_adbc.py::test_prepared_statements_with_parameters",
        "test_flightsql.py::test_row_34_who_goes_away_stops_the_query",
        "test_adbc.py::test_refusals_carry_a_reason_and_leave_the_connection_usable"],
    "pandas": [
        "test_pandas_finds_a_table", "test_flightsql.py::test_row_49_pandas_and_polars_read", "test_pandas_reads_the_past",
        "test_pandas_binds_through_sqlalchemy", "test_ctrl_c_cancels[pandas]", "test_what_pandas_cannot_read_or_write_is_said"],
    "polars": [
        "- it asks for no list; what it writes is looked up: test_flight_ingest.py::test_pandas_and_polars_write",
        "test_flightsql.py::test_row_49_pandas_and_polars_read", "test_polars_reads_the_past", "test_polars_binds",
        "test_polars_goes_away_in_the_middle", "test_what_polars_cannot_read_or_write_is_said"],
    "duckdb over ADBC": [
        "test_duckdb_lists_by_sql", "test_duckdb_asks_now_and_as_of_in_one_statement",
        "test_duckdb_asks_now_and_as_of_in_one_statement", "test_duckdb_reads_what_was_bound", "test_duckdb_is_interrupted",
        "test_duckdb_tells_an_error_behind_rows"],
    "flightsql-dbapi with SQLAlchemy": [
        "test_dbapi_lists_schemas_tables_and_columns", "test_dbapi_builds_statements", "test_dbapi_asks_as_of",
        "test_dbapi_binds_as_literals", "test_dbapi_goes_away_in_the_middle", "test_dbapi_is_refused_and_goes_on"],
    "JavaScript": [
        "test_javascript_lists_tables", "test_javascript_asks_now", "test_javascript_asks_as_of", "test_javascript_binds",
        "test_javascript_cancels", "test_javascript_is_refused_and_goes_on"],
    "psql": [
        "test_pgwire.py::test_psql_describes", "test_pgwire.py::test_psql_describes", "test_psql_asks_as_of",
        "test_psql_quotes_a_variable", "test_ctrl_c_cancels[psql]", "test_psql_ends_with_the_reason"],
    "psycopg": [
        "test_psycopg_lists_tables", "test_pgwire.py::test_types_come_out_as_python_has_them",
        "test_pgwire.py::test_the_past_is_asked_by_clauses_settings_and_parameters",
        "test_pgwire.py::test_the_past_is_asked_by_clauses_settings_and_parameters", "test_pgwire.py::test_cancel",
        "test_pgwire.py::test_what_fails_says_why_and_the_connection_goes_on"],
    "adbc-driver-postgresql": [
        "test_adbc_postgresql_lists_tables", "test_pgwire.py::test_adbc", "test_pgwire.py::test_adbc", "test_pgwire.py::test_adbc",
        "test_adbc_postgresql_cancels", "test_adbc_postgresql_is_refused_and_goes_on"],
    "by reflection, as grpcurl": [
        "test_reflection_lists_tables", "test_reflection_asks_now", "test_reflection_asks_as_of", "test_reflection_binds",
        "test_reflection_cancels", "test_reflection_is_refused_with_a_word"],
}

HERE = pathlib.Path(__file__).parent
NOW = [("1", 10), ("2", 20), ("3", 30)]
ORDERS = "SELECT _id, total FROM shop.orders ORDER BY _id"
UNKNOWN = "SELECT * FROM shop.nothing"
PROGRAM_SECONDS = 60
PRESSES = 6


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    home = tmp_path_factory.mktemp("matrix")
    # Longer than anybody waits here: what is cancelled must not end by itself in time.
    server = Shop(home, settings={"query.timeout_s": 600})
    yield server
    server.kill()
    assert "panicked" not in (home / "server.log").read_text()


@pytest.fixture
def connection(shop):
    with adbc.connect(shop.grpc, autocommit=True) as connection:
        yield connection


def as_of(shop, columns="_id"):
    """Asks for the orders when there were two."""
    return f"SELECT {columns} FROM shop.orders FOR SYSTEM_TIME AS OF '{shop.first}' ORDER BY _id"


def running(shop):
    return shop.metric("tidemark_query_running")


def run(command):
    """What a program of another language or place tells in JSON."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_cell_holds():
    wrong = []
    for client, cells in MATRIX.items():
        assert len(cells) == len(ABILITIES), client
        for cell in cells:
            file, _, test = cell.rpartition("::") if not cell.startswith("-") else cell.rpartition(" ")[2].partition("::")
            text = (HERE / (file or pathlib.Path(__file__).name)).read_text()
            name, _, case = test.rstrip("]").partition("[")
            if not re.search(rf"^def {name}\(", text, re.MULTILINE) or f'"{case}"' not in f'{text}""':
                wrong.append(f"{client}: {cell}")
    assert not wrong, "\n".join(wrong)


# adbc-driver-flightsql: what its dbapi can do besides


FETCHES = {
    "fetchall": lambda cursor: cursor.fetchall(),
    "fetchmany": lambda cursor: cursor.fetchmany(2) + cursor.fetchmany(2),
    "fetchone": lambda cursor: [cursor.fetchone(), cursor.fetchone(), cursor.fetchone()],
    "iteration": list,
    "fetch_df": lambda cursor: list(cursor.fetch_df().itertuples(index=False, name=None)),
    "fetch_polars": lambda cursor: cursor.fetch_polars().rows(),
    "fetch_arrow": lambda cursor: tuples(pa.RecordBatchReader.from_stream(cursor.fetch_arrow()).read_all()),
    "fetch_arrow_table": lambda cursor: tuples(cursor.fetch_arrow_table()),
    "fetchallarrow": lambda cursor: tuples(cursor.fetchallarrow()),
    "fetch_record_batch": lambda cursor: tuples(cursor.fetch_record_batch().read_all()),
}


def tuples(table):
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("way", FETCHES)
def test_adbc_fetches(connection, way):
    with connection.cursor() as cursor:
        cursor.execute(ORDERS)
        assert [column[0] for column in cursor.description] == ["_id", "total"]
        assert FETCHES[way](cursor) == NOW


def test_adbc_asks_on_a_connection_and_on_its_clone(connection):
    assert connection.execute(ORDERS).fetchall() == NOW
    with connection.adbc_clone() as clone:
        assert clone.execute(ORDERS).fetchall() == NOW
    assert connection.execute(ORDERS).fetchall() == NOW


def test_adbc_binds_a_table_of_rows(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT total FROM shop.orders WHERE _id = ?", pa.table({"key": ["1", "3"]}))
        assert cursor.fetchall() == [(10,), (30,)]


def test_adbc_is_told_why_a_value_does_not_fit(connection):
    with pytest.raises(adbc.Error, match="ten"):
        connection.execute("SELECT _id FROM shop.orders WHERE total = ?", ("ten",)).fetchall()


def test_adbc_sets_by_every_way_to_run(connection):
    """What only sets has no rows. Behind `executescript` and `executemany` the driver does not take up the session."""
    with connection.cursor() as cursor:
        for way, words in [("execute", []), ("executescript", []), ("executemany", [[()]])]:
            getattr(cursor, way)("SET tidemark.nearest = on", *words)
        with pytest.raises(adbc.Error, match="answers rows"):
            cursor.executemany("SELECT _id FROM shop.orders WHERE _id = ?", [("1",), ("2",)])


def test_adbc_tells_who_it_talks_to(connection):
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Tidemark" and re.fullmatch(r"\d+\.\d+\.\d+", info["vendor_version"])


@pytest.mark.parametrize("ask", ["adbc_get_statistics", "adbc_get_statistic_names"])
def test_adbc_has_no_statistics_for_flight_sql(connection, ask):
    with pytest.raises(adbc.NotSupportedError):
        getattr(connection, ask)()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_adbc_ends_transactions(shop):
    with adbc.connect(shop.grpc) as connection:
        assert connection.execute(ORDERS).fetchall() == NOW
        connection.commit()
        assert connection.execute(ORDERS).fetchall() == NOW
        connection.rollback()
        assert connection.execute(ORDERS).fetchall() == NOW


# Ctrl-C, where the program can be interrupted; and going away, where it cannot


OPEN = "import adbc_driver_flightsql.dbapi as adbc; connection = adbc.connect({flight!r}, autocommit=True); "
INTERRUPTED = {
    "pandas": [sys.executable, "-c", OPEN + "import pandas; pandas.read_sql({sql!r}, connection)"],
    "psycopg": [sys.executable, "-c", "import psycopg; psycopg.connect({postgres!r}).execute({sql!r})"],
    "psql": ["psql", "-X", "{postgres}", "-c", "{sql}"],
}


def filled(shop, command):
    return [word.format(flight=shop.grpc, postgres=url(shop), sql=ENDLESS) for word in command]


def begin(shop, command):
    """A program that asks what never ends, once the server runs it."""
    until(lambda: idle(shop), "something ran before")
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: running(shop) == 1 or started.poll() is not None, "the statement never ran")
    return started


def interrupt(program):
    """Ctrl-C; once more where it came between two calls that listen, but not while the first is obeyed."""
    for _ in range(PRESSES):
        program.send_signal(signal.SIGINT)
        try:
            return program.wait(PROGRAM_SECONDS / PRESSES)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("Ctrl-C ends nothing")


@pytest.mark.parametrize("client", ["pandas", "psycopg", "psql"])
def test_ctrl_c_cancels(shop, client):
    if client == "psql" and PSQL is None:
        pytest.skip("no psql here")
    program = begin(shop, filled(shop, INTERRUPTED[client]))
    try:
        assert interrupt(program) != 0
        until(lambda: idle(shop), "an interrupted statement runs on")
    finally:
        program.kill()
        program.wait()


def goes_away(shop, command):
    """These wait where no signal reaches them; what is left is to end them."""
    program = begin(shop, command)
    assert program.poll() is None
    program.kill()
    program.wait()
    until(lambda: idle(shop), "the statement of a client that is gone runs on")


def test_polars_goes_away_in_the_middle(shop):
    command = [sys.executable, "-c", OPEN + "import polars; polars.read_database({sql!r}, connection)"]
    goes_away(shop, filled(shop, command))


# pandas


def test_pandas_finds_a_table(connection):
    assert pd.io.sql.has_table("orders", connection, schema="shop")
    assert not pd.io.sql.has_table("nothing", connection, schema="shop")


def test_pandas_reads_the_past(shop, connection):
    assert pd.read_sql(as_of(shop), connection)["_id"].tolist() == ["1", "2"]


def test_pandas_binds_through_sqlalchemy(shop):
    """Over ADBC pandas itself takes no parameters."""
    engine = sqlalchemy.create_engine(url(shop, scheme="postgresql+psycopg"))
    sql = sqlalchemy.text("SELECT _id FROM shop.orders WHERE total >= :least ORDER BY _id")
    assert pd.read_sql(sql, engine, params={"least": 20})["_id"].tolist() == ["2", "3"]
    engine.dispose()


def test_pandas_writes_into_a_table_that_is_there(shop, connection):
    shop.changes("shop/frames", [{"op": "insert", "id": "a", "doc": {"n": 1}}])
    frame = pd.DataFrame({"_id": ["a", "b"], "n": [2, 3]})
    assert frame.to_sql("frames", connection, schema="shop", if_exists="append", index=False) == 2
    assert pd.read_sql("SELECT n FROM shop.frames ORDER BY n", connection)["n"].tolist() == [2, 3]


def test_what_pandas_cannot_read_or_write_is_said(connection):
    with pytest.raises(pd.errors.DatabaseError, match="table shop.nothing does not exist"):
        pd.read_sql(UNKNOWN, connection)
    for table, way, word in [("new_frames", "append", "create_append"), ("orders", "replace", "DROP is not served")]:
        with pytest.raises(pd.errors.DatabaseError) as said:
            pd.DataFrame({"_id": ["a"]}).to_sql(table, connection, schema="shop", if_exists=way, index=False)
        assert word in f"{said.value} {said.value.__cause__}"
    assert pd.read_sql(ORDERS, connection)["total"].tolist() == [10, 20, 30]


# polars


def test_polars_reads_the_past(shop, connection):
    assert pl.read_database(as_of(shop), connection)["_id"].to_list() == ["1", "2"]


def test_polars_binds(shop, connection):
    sql, options = "SELECT _id FROM shop.orders WHERE total >= ? AND state = ? ORDER BY _id", {"parameters": [20, "new"]}
    uri = shop.grpc.replace("grpc://", "flightsql://") + "?transport=tcp"
    assert pl.read_database(sql, connection, execute_options=options)["_id"].to_list() == ["2", "3"]
    assert pl.read_database_uri(sql, uri, engine="adbc", execute_options=options)["_id"].to_list() == ["2", "3"]


def test_polars_writes_into_a_table_that_is_there(shop, connection):
    shop.changes("shop/lazy", [{"op": "insert", "id": "a", "doc": {"n": 1}}])
    assert pl.DataFrame({"_id": ["a"], "n": [2]}).write_database("shop.lazy", connection, if_table_exists="append") == 1
    assert pl.read_database("SELECT n FROM shop.lazy", connection).rows() == [(2,)]


def test_what_polars_cannot_read_or_write_is_said(connection):
    with pytest.raises(adbc.Error, match="table shop.nothing does not exist"):
        pl.read_database(UNKNOWN, connection)
    with pytest.raises(adbc.Error, match="nothing is overwritten"):
        pl.DataFrame({"_id": ["a"]}).write_database("shop.orders", connection, if_table_exists="replace")
    assert pl.read_database(ORDERS, connection).rows() == NOW


# DuckDB over ADBC: it reads the stream of a cursor as a table, without copying it first


@pytest.fixture
def stream(connection):
    """Asks, and gives the answer as a stream, whose cursor stays open until the test is over."""
    cursors = []

    def opened(sql, parameters=None):
        cursors.append(connection.cursor())
        cursors[-1].execute(sql, parameters)
        return cursors[-1].fetch_record_batch()

    yield opened
    for cursor in cursors:
        cursor.close()


def test_duckdb_lists_by_sql(connection):
    objects = connection.adbc_get_objects(depth="tables", db_schema_filter="shop").read_all()  # noqa: F841, DuckDB finds it by name
    found = duckdb.sql("""
        WITH schemas AS (SELECT unnest(catalog_db_schemas) AS s FROM objects),
             tables AS (SELECT unnest(s.db_schema_tables) AS t FROM schemas)
        SELECT t.table_name FROM tables WHERE t.table_name LIKE 'a%' ORDER BY 1""")
    assert found.fetchall() == [("a_b",), ("axb",)]


def test_duckdb_asks_now_and_as_of_in_one_statement(shop, stream):
    present, past = stream(ORDERS), stream(as_of(shop, "_id, state"))  # noqa: F841, found by name
    found = duckdb.sql("SELECT _id, present.total, past.state FROM present LEFT JOIN past USING (_id) ORDER BY _id")
    assert found.fetchall() == [("1", 10, "new"), ("2", 20, "new"), ("3", 30, None)]


def test_duckdb_reads_what_was_bound(stream):
    bound = stream("SELECT _id, total FROM shop.orders WHERE total > ? AND state = ?", (20, "new"))  # noqa: F841
    assert duckdb.sql("SELECT * FROM bound").fetchall() == [("3", 30)]


def test_duckdb_is_interrupted(shop, stream):
    flowing = stream("SELECT value FROM generate_series(1, 100000000000)")
    lake = duckdb.connect()
    lake.register("flowing", flowing)
    until(lambda: running(shop) == 1, "the statement never ran")
    timer = threading.Timer(0.5, lake.interrupt)
    timer.start()
    with pytest.raises(duckdb.InterruptException):
        lake.sql("SELECT count(*) FROM flowing WHERE value % 7 = 3").fetchall()
    timer.join()
    flowing.close()
    until(lambda: idle(shop), "an interrupted statement runs on")


def test_duckdb_tells_an_error_behind_rows(connection, stream):
    broken = stream("SELECT 1 / (300000 - value) AS x FROM generate_series(1, 400000)")  # noqa: F841, found by name
    with pytest.raises(duckdb.Error, match="ivide by zero"):
        duckdb.sql("SELECT sum(x) FROM broken").fetchall()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


# flightsql-dbapi with SQLAlchemy


DBAPI = os.environ.get("TIDEMARK_FLIGHTSQL_DBAPI")
with_dbapi = pytest.mark.skipif(DBAPI is None, reason="TIDEMARK_FLIGHTSQL_DBAPI is not set: `cargo xtask test` sets it")


def dbapi_url(shop, **more):
    words = "".join(f"&{key.replace('_', '-')}={value}" for key, value in more.items())
    return shop.grpc.replace("grpc://", "datafusion+flightsql://someone:secret@") + f"?insecure=True{words}"


def dbapi_command(steps):
    return ["env", f"PYTHONPATH={DBAPI}", sys.executable, str(HERE / "flightsql_dbapi/ask.py"), json.dumps(steps)]


@pytest.fixture(scope="module")
def dbapi(shop):
    """What it tells of everything that is asked here, in one program: it takes long to start."""
    flight, one = dbapi_url(shop), "SELECT count(*) FROM orders"
    return run(dbapi_command({
        "tables": [flight, "tables", "shop"],
        "built": [flight, "built"],
        "as of": [flight, "query", as_of(shop)],
        "headers": [dbapi_url(shop, database="shop", x_as_of=shop.first), "query", one],
        "literals": [flight, "bind", "20", "new"],
        "prepared": [dbapi_url(shop, feature_sqlalchemy_prepared_statements="on"), "bind", "20", "new"],
        "refused": [flight, "again", UNKNOWN, "SELECT 1"],
    }))


@with_dbapi
def test_dbapi_lists_schemas_tables_and_columns(dbapi):
    told = dbapi["tables"]
    assert {"shop", "depot"} <= set(told["schemas"]) and {"orders", "events"} <= set(told["tables"])
    assert told["columns"]["_id"] == "TEXT" and told["columns"]["total"] == "BIGINT"


@with_dbapi
def test_dbapi_builds_statements(dbapi):
    assert dbapi["built"] == [["1", 10], ["2", 20]]


@with_dbapi
def test_dbapi_asks_as_of(dbapi):
    assert dbapi["as of"] == [["1"], ["2"]]


@with_dbapi
def test_dbapi_sends_what_its_url_says_as_headers(dbapi):
    assert dbapi["headers"] == [[2]]


@with_dbapi
def test_dbapi_binds_as_literals(dbapi):
    """What it does unless told otherwise."""
    assert dbapi["literals"] == [["2"]]


@with_dbapi
@pytest.mark.xfail(strict=True, reason="it does not read the handle that DoPut answers, and ours holds the bound rows")
def test_dbapi_binds_by_prepared_statements(dbapi):
    assert dbapi["prepared"] == [["2"]]


@with_dbapi
def test_dbapi_goes_away_in_the_middle(shop):
    goes_away(shop, dbapi_command({"endless": [dbapi_url(shop), "query", ENDLESS]}))


@with_dbapi
def test_dbapi_is_refused_and_goes_on(dbapi):
    assert "table shop.nothing does not exist" in dbapi["refused"]["said"] and dbapi["refused"]["then"] == [[1]]


# JavaScript


NODE_MODULES = os.environ.get("TIDEMARK_NODE_MODULES")
FIRETIGER, GIZMODATA = "@firetiger-oss/flight-sql-client", "@gizmodata/gizmosql-client"
LANCEDB, SPICE = "@lancedb/arrow-flight-sql-client", "@spiceai/spice"
in_javascript = pytest.mark.skipif(NODE_MODULES is None, reason="TIDEMARK_NODE_MODULES is not set: `cargo xtask test` sets it")
either = pytest.mark.parametrize("package", [FIRETIGER, GIZMODATA])


def javascript(shop, package, *words):
    return run(["node", HERE / "javascript/ask.mjs", package, shop.grpc.removeprefix("grpc://"), *words])


@in_javascript
@either
def test_javascript_lists_tables(shop, package):
    listed = javascript(shop, package, "tables", "depot")
    kinds = {"catalog": "tidemark", "schema": "depot", "tableType": "BASE TABLE"}
    assert listed == [{**kinds, "tableName": "events"}, {**kinds, "tableName": "parts"}]


@in_javascript
@either
def test_javascript_asks_now(shop, package):
    assert javascript(shop, package, "query", ORDERS) == [{"_id": key, "total": str(total)} for key, total in NOW]


@in_javascript
@either
def test_javascript_reads_every_type(shop, package):
    types = javascript(shop, package, "types", "SELECT _id, total, weight, gift, _ts FROM shop.orders")
    assert types == ["_id: Utf8", "total: Int64", "weight: Float64", "gift: Bool", "_ts: Timestamp<MICROSECOND, UTC>"]


@in_javascript
@pytest.mark.parametrize("package", [FIRETIGER, GIZMODATA, LANCEDB])
def test_javascript_asks_as_of(shop, package):
    words = ["shop", "secret"] if package == LANCEDB else []
    assert javascript(shop, package, "query", as_of(shop), *words) == [{"_id": "1"}, {"_id": "2"}]


@in_javascript
def test_javascript_logs_in_without_ending_the_handshake(shop):
    """LanceDB's client; the database of its options is the namespace of names without one."""
    assert javascript(shop, LANCEDB, "query", "SELECT count(*) AS n FROM orders", "shop", "secret") == [{"n": "3"}]


@in_javascript
def test_javascript_binds(shop):
    """Spice's client is the one that binds: prepared, as Flight SQL has it."""
    two = "SELECT _id FROM shop.orders WHERE total >= ? AND state = ? ORDER BY _id"
    assert javascript(shop, SPICE, "bind", two, '[20, "new"]') == [{"_id": "2"}, {"_id": "3"}]
    then = "SELECT count(*) AS n FROM shop.orders FOR SYSTEM_TIME AS OF $1"
    assert javascript(shop, SPICE, "bind", then, json.dumps([shop.first])) == [{"n": "2"}]


@in_javascript
@either
def test_javascript_cancels(shop, package):
    assert javascript(shop, package, "cancel", ENDLESS) == {"reader": str(grpc.StatusCode.CANCELLED.value[0])}
    until(lambda: idle(shop), "a cancelled statement runs on")


@in_javascript
@either
def test_javascript_is_refused_and_goes_on(shop, package):
    told = javascript(shop, package, "again", UNKNOWN, "SELECT 1 AS one")
    assert "table shop.nothing does not exist" in told["said"] and told["then"] == [{"one": "1"}]


@in_javascript
def test_javascript_is_refused_a_binding_that_does_not_fit(shop):
    assert "parameters" in javascript(shop, SPICE, "bind", "SELECT ? AS a, ? AS b", "[1]")["refused"]


@in_javascript
def test_javascript_reads_what_the_server_is(shop):
    name, reads_only = 0, 3
    assert javascript(shop, GIZMODATA, "infos") == [[name, "Tidemark"], [reads_only, True]]


# psql


needs_psql = pytest.mark.skipif(PSQL is None, reason="no psql here")


@needs_psql
def test_psql_asks_as_of(shop):
    assert psql(shop, "-Atc", as_of(shop)).stdout == "1\n2\n"
    said = psql(shop, "-At", "-c", f"SET tidemark.as_of = '{shop.first}'", "-c", "SELECT count(*) FROM shop.orders")
    assert said.stdout == "SET\n2\n"


@needs_psql
def test_psql_quotes_a_variable(shop, tmp_path):
    """Its own way to bind; `\\bind` came with version 16."""
    script = tmp_path / "script.sql"
    script.write_text("SELECT _id FROM shop.orders WHERE state = :'state' AND total > :least;\n")
    assert psql(shop, "-At", "-v", "state=new", "-v", "least=20", "-f", script).stdout == "3\n"


@needs_psql
def test_psql_ends_with_the_reason(shop):
    said = psql(shop, "-c", UNKNOWN)
    assert said.returncode == 1 and 'ERROR:  ' in said.stderr and "shop.nothing" in said.stderr
    said = psql(shop, "-c", "PREPARE p AS SELECT $1")
    assert said.returncode == 1 and "HINT:  prepare and bind with the protocol's own messages" in said.stderr


# psycopg


def test_psycopg_lists_tables(shop):
    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_name LIKE %s ORDER BY 1"
    with psycopg.connect(url(shop)) as connection:
        assert connection.execute(sql, ["shop", "a%"]).fetchall() == [("a_b",), ("axb",)]


@pytest.mark.xfail(strict=True, reason="an array that is bound is refused, and one without a type by words that say nothing")
def test_psycopg_binds_a_list(shop):
    with psycopg.connect(url(shop)) as connection:
        found = connection.execute("SELECT _id FROM shop.orders WHERE _id = ANY(%s) ORDER BY 1", [["1", "3"]])
        assert found.fetchall() == [("1",), ("3",)]


# adbc-driver-postgresql


@pytest.fixture
def postgres(shop):
    with adbc_postgresql.connect(url(shop), autocommit=True) as connection:
        yield connection


def test_adbc_postgresql_lists_schemas(postgres):
    [catalog] = postgres.adbc_get_objects(depth="db_schemas").read_all().to_pylist()
    assert {"shop", "depot"} <= {schema["db_schema_name"] for schema in catalog["catalog_db_schemas"]}


@pytest.mark.xfail(strict=True, reason="it binds a list: relkind = ANY($2)")
def test_adbc_postgresql_lists_tables(postgres):
    [catalog] = postgres.adbc_get_objects(depth="tables", db_schema_filter="shop").read_all().to_pylist()
    [schema] = catalog["catalog_db_schemas"]
    assert {"orders", "events"} <= {table["table_name"] for table in schema["db_schema_tables"]}


@pytest.mark.xfail(strict=True, reason="it binds a list: relkind = ANY($2)")
def test_adbc_postgresql_lists_columns(postgres):
    [catalog] = postgres.adbc_get_objects(depth="all", db_schema_filter="shop", table_name_filter="orders").read_all().to_pylist()
    [table] = catalog["catalog_db_schemas"][0]["db_schema_tables"]
    assert "total" in {column["column_name"] for column in table["table_columns"]}


def test_adbc_postgresql_unnests_by_an_alias(postgres):
    """What its list of constraints is made of."""
    assert postgres.execute("SELECT k FROM UNNEST(ARRAY[1, 2]) AS k ORDER BY k").fetchall() == [(1,), (2,)]


def test_adbc_postgresql_describes_a_table(postgres):
    schema = postgres.adbc_get_table_schema("orders", db_schema_filter="shop")
    assert schema.names[:2] == ["_id", "total"] and schema.field("total").type == pa.int64()


def test_adbc_postgresql_cancels(shop, postgres):
    until(lambda: idle(shop), "something ran before")
    with postgres.cursor() as cursor:
        timer = threading.Timer(0.5, cursor.adbc_cancel)
        timer.start()
        with pytest.raises(adbc_postgresql.Error, match="(?i)cancel"):
            cursor.execute(ENDLESS)
            cursor.fetchall()
        timer.join()
    until(lambda: idle(shop), "a cancelled statement runs on")


def test_adbc_postgresql_is_refused_and_goes_on(postgres):
    with pytest.raises(adbc_driver_manager.ProgrammingError, match="nothing"):
        postgres.execute(UNKNOWN).fetchall()
    assert postgres.execute(ORDERS).fetchall() == NOW


# By reflection, as grpcurl does: messages of what the server tells of itself, written in JSON


class Reflected:
    """A channel whose methods and messages are known from reflection alone."""

    def __init__(self, server):
        self.channel = grpc.insecure_channel(server.grpc.removeprefix("grpc://"))
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def begin(self, method, *messages, headers=()):
        """`grpcurl -H … -d …`: the answers under way."""
        service, _, name = method.rpartition("/")
        told = self.pool.FindServiceByName(service).FindMethodByName(name)
        question, answer = map(message_factory.GetMessageClass, (told.input_type, told.output_type))
        kind = "_".join("stream" if streams else "unary" for streams in (told.client_streaming, told.server_streaming))
        make = getattr(self.channel, kind)(f"/{method}", question.SerializeToString, answer.FromString)
        asked = [json_format.ParseDict(message, question()) for message in messages]
        return make(iter(asked) if told.client_streaming else asked[0], metadata=headers, timeout=PROGRAM_SECONDS)

    def call(self, method, *messages, headers=()):
        answers = self.begin(f"{FLIGHT}/{method}", *messages, headers=headers)
        return [answers] if hasattr(answers, "DESCRIPTOR") else list(answers)

    def read(self, info):
        messages = self.call("DoGet", json_format.MessageToDict(info.endpoint[0].ticket))
        return pa.ipc.open_stream(b"".join(frame(message) for message in messages)).read_all()


FLIGHT = "arrow.flight.protocol.FlightService"


def bytes_of(raw):
    return base64.b64encode(raw).decode()


def command(message):
    return {"type": "CMD", "cmd": bytes_of(wrapped(message))}


@pytest.fixture(scope="module")
def reflected(shop):
    return Reflected(shop)


def test_reflection_lists_tables(reflected):
    paths = [list(flight.flight_descriptor.path) for flight in reflected.call("ListFlights", {})]
    assert ["shop", "orders"] in paths and ["depot", "parts"] in paths


def test_reflection_asks_now(reflected):
    [by_path] = reflected.call("GetFlightInfo", {"type": "PATH", "path": ["shop", "orders"]})
    assert sorted(reflected.read(by_path)["total"].to_pylist()) == [10, 20, 30]
    [by_sql] = reflected.call("GetFlightInfo", command(M.CommandStatementQuery(query=ORDERS)))
    assert tuples(reflected.read(by_sql)) == NOW


def test_reflection_asks_as_of(shop, reflected):
    [info] = reflected.call("GetFlightInfo", {"type": "PATH", "path": ["shop", "orders"]}, headers=[("x-as-of", shop.first)])
    assert sorted(reflected.read(info)["_id"].to_pylist()) == ["1", "2"]


def test_reflection_binds(reflected):
    ask = M.ActionCreatePreparedStatementRequest(query="SELECT _id FROM shop.orders WHERE total = ?")
    [made] = reflected.call("DoAction", {"type": "CreatePreparedStatement", "body": bytes_of(wrapped(ask))})
    handle = unwrapped(M.ActionCreatePreparedStatementResult, made.body).prepared_statement_handle
    data = [{"dataHeader": bytes_of(part.data_header), "dataBody": bytes_of(part.data_body)}
            for part in frames(pa.table({"total": pa.array([20], pa.int64())}))]
    data[0]["flightDescriptor"] = command(M.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    [put] = reflected.call("DoPut", *data)
    bound = M.DoPutPreparedStatementResult.FromString(put.app_metadata).prepared_statement_handle
    [info] = reflected.call("GetFlightInfo", command(M.CommandPreparedStatementQuery(prepared_statement_handle=bound)))
    assert tuples(reflected.read(info)) == [("2",)]


def test_reflection_cancels(shop, reflected):
    until(lambda: idle(shop), "something ran before")
    [info] = reflected.call("GetFlightInfo", command(M.CommandStatementQuery(query=ENDLESS)))
    flowing = reflected.begin(f"{FLIGHT}/DoGet", json_format.MessageToDict(info.endpoint[0].ticket))
    assert next(flowing).data_header, "the schema comes before the first row"
    request = M.CancelFlightInfoRequest(info=M.FlightInfo.FromString(info.SerializeToString()))
    reflected.call("DoAction", {"type": "CancelFlightInfo", "body": bytes_of(request.SerializeToString())})
    refused(lambda: list(flowing), "CANCELLED")
    until(lambda: idle(shop), "a cancelled statement runs on")


def test_reflection_is_refused_with_a_word(reflected):
    error = refused(lambda: reflected.call("GetFlightInfo", {"type": "PATH", "path": ["shop", "nothing"]}), "NOT_FOUND")
    assert dict(error.trailing_metadata())["tidemark-code"] == "unknown_table"
    unknown = refused(lambda: reflected.channel.unary_unary(f"/{FLIGHT}/Nothing")(b"", timeout=PROGRAM_SECONDS))
    assert unknown.code() == grpc.StatusCode.UNIMPLEMENTED


def test_reflection_sends_an_event(shop, reflected):
    message = {"target": {"namespace": "post"}, "records": {"text": '{"type": "letter.sent", "id": "l1"}'}}
    receipt = reflected.begin("tidemark.v1.Ingest/Append", message).receipt
    assert receipt.accepted == 1 and shop.rows("SELECT id, type FROM post.events") == [("l1", "letter.sent")]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_answers_in_both_versions(reflected, version):
    list_services, all_of_them = b"\x3a", b"\x00"
    call = reflected.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
    assert FLIGHT.encode() in next(call(iter([list_services + all_of_them]), timeout=PROGRAM_SECONDS))
