"""The security checklist, S8 and S9: SQL that writes, or reads what is no table of the lake, is refused on every way there is.

The table of all rows stands in test_security.py.
"""

import http.server
import re
import threading

import pytest
from flightsql import M, command, refused, wrapped
from security import POSTGRES, RUNS, WAYS, Asking, files, serving

FLIGHT = tuple(way for way in WAYS if way not in POSTGRES)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("lake")) as found:
        yield found


@pytest.fixture(scope="module")
def asking(lake):
    found = Asking(lake, lake.token("query", "ingest", "admin", namespaces=["*"]))
    yield found
    found.close()


def standing(paths):
    """Those that only a statement could make: not the renewals of the lease, pages of the audit trail, and files on their way."""
    return {path for path in paths if not re.search("/audit|/_tidemark/lease/|/[.]tmp/", path)}


@pytest.fixture
def scratch(tmp_path, lake):
    """A file that no statement may make; nor may one change what is stored."""
    before, rows = files(lake.server), lake.sql("SELECT count(*) FROM shop.orders_shop")[1].split('"as_of"')[0]
    yield tmp_path / "scratch.csv"
    assert not list(tmp_path.iterdir())
    assert standing(files(lake.server)) == standing(before)
    assert lake.sql("SELECT count(*) FROM shop.orders_shop")[1].startswith(rows)


# S8

@pytest.mark.parametrize("sql", [
    "INSERT INTO shop.orders_shop VALUES ('9')", "UPDATE shop.orders_shop SET _doc = ''", "DELETE FROM shop.orders_shop",
    "MERGE INTO shop.orders_shop USING shop.orders_shop AS x ON true WHEN MATCHED THEN DELETE", "TRUNCATE shop.orders_shop",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", "CREATE TABLE x (a INT)", "CREATE TABLE x AS SELECT 1",
    "CREATE VIEW v AS SELECT 1", "CREATE FUNCTION f() RETURNS INT RETURN 1", "CREATE SCHEMA s", "CREATE DATABASE d",
    "DROP TABLE shop.orders_shop", "DROP SCHEMA shop", "ALTER TABLE shop.orders_shop ADD COLUMN x INT",
    "EXPLAIN COPY shop.orders_shop TO '{scratch}'", "EXPLAIN ANALYZE COPY shop.orders_shop TO '{scratch}'",
    "EXPLAIN ANALYZE INSERT INTO shop.orders_shop VALUES ('9')", "EXPLAIN ANALYZE CREATE TABLE x (a INT)",
    "WITH x AS (DELETE FROM shop.orders_shop RETURNING *) SELECT * FROM x", "SELECT 1 INTO x", "SELECT * INTO OUTFILE '{scratch}'",
    "COPY shop.orders_shop FROM '/etc/passwd'", "COPY shop.orders_shop FROM PROGRAM 'id'", "ATTACH 'x'", "LOAD 'x'", "INSTALL x",
    "USE x",
    "VACUUM", "GRANT ALL ON x TO y", "DO $$ x $$", "ANALYZE TABLE shop.orders_shop", "/* SELECT */ DROP TABLE x",
    "-- x\nDROP TABLE x",
    "(INSERT INTO shop.orders_shop VALUES ('9'))", "UNLOAD (SELECT 1) TO '{scratch}'", "EXPORT DATABASE '{scratch}'",
])
def test_s8_a_statement_that_writes_is_refused_on_every_way(asking, scratch, sql):
    found = asking.ask("http", sql.replace("{scratch}", str(scratch)))
    assert found.status == 400 and found.word in ("read_only", "invalid_sql"), found
    asking.check_refused(sql.replace("{scratch}", str(scratch)), found.word)


@pytest.mark.parametrize("sql", [
    "COPY shop.orders_shop TO '{scratch}'", "COPY (SELECT 1) TO '{scratch}'",
    "COPY shop.orders_shop TO '{scratch}' STORED AS PARQUET",
    "COPY (SELECT 1) TO PROGRAM 'cat > {scratch}'", "COPY (SELECT 1) TO 'file://{scratch}'",
])
def test_s8_a_copy_into_a_file_is_refused_on_every_way(asking, scratch, sql):
    asking.check_refused(sql.replace("{scratch}", str(scratch)), "read_only", states={"42501"})


@pytest.mark.parametrize("sql, states", [
    ("PREPARE p AS COPY shop.orders_shop TO '{scratch}'", {"0A000"}), ("PREPARE p AS SELECT 1", {"0A000"}), ("EXECUTE p",
    {"0A000"}),
    ("LISTEN x", {"0A000"}), ("DECLARE c CURSOR FOR SELECT 1", {"25P01"}), ("SELECT 1; DROP TABLE x", {"25006", "42601"}),
    ("DROP TABLE x; SELECT 1", {"25006", "42601"}), ("BEGIN; DROP TABLE x", {"25006", "42601", "25P02"}),
])
def test_s8_what_only_a_session_could_do_is_refused_without_one(asking, scratch, sql, states):
    """PostgreSQL's protocol has words of its own for these."""
    asking.check_refused(sql.replace("{scratch}", str(scratch)), "read_only", states=states)
    asking.close()
    asking.__init__(asking.lake, asking.token)


@pytest.mark.parametrize("sql", ["BEGIN", "COMMIT", "SELECT 1; SELECT 2"])
def test_s8_transactions_and_several_statements_are_of_postgresql_alone(asking, sql):
    asking.check_refused(sql, "read_only", ways=FLIGHT)


@pytest.mark.parametrize("sql", [
    "SET datafusion.execution.target_partitions = 1", "SET datafusion.catalog.location = '/etc'",
    "SET datafusion.runtime.memory_limit = '1K'",
    "RESET datafusion.execution.target_partitions",
])
def test_s8_settings_of_the_engine_are_nobodys(asking, sql):
    asking.check_refused(sql, "invalid_sql", states={"42704"})


def test_s8_a_plan_of_substrait_is_not_spoken(asking):
    plan = M.CommandStatementSubstraitPlan(plan=b"\x0a\x00")
    door = asking.door
    for asked in (lambda: door.info(command(plan)), lambda: door.call("GetSchema", command(plan)), lambda: door.put(plan),
                  lambda: door.call("DoGet", M.Ticket(ticket=wrapped(plan))), lambda: door.call("PollFlightInfo", command(plan))):
        refused(asked, "UNIMPLEMENTED")


# S9

@pytest.mark.parametrize("name", [
    "'/etc/passwd'", "'file:///etc/passwd'", '"/etc/passwd"', '"file:///etc/passwd"', '"/etc/passwd.csv"',
    "'s3://bucket/x.parquet'",
    "\"../../../../etc/passwd\"", 'tidemark."..".".."', '"tidemark://lake"."x"', "shop.\"/etc/passwd\"", "as_of('/etc/passwd')",
    "history('file:///etc/passwd')", "STDIN", "'/dev/stdin'",
])
def test_s9_a_file_is_no_table(asking, name):
    asking.check_refused(f"SELECT * FROM {name}", "unknown_table")


@pytest.mark.parametrize("call", [
    "read_csv('/etc/passwd')", "read_parquet('/etc/passwd')", "read_json('/etc/passwd')", "read_text('/etc/passwd')",
    "glob('/etc/*')",
    "parquet_metadata('/etc/passwd')", "arrow_metadata('/etc/passwd')", "pg_ls_dir('/')", "dblink('a', 'b')",
    "url('http://127.0.0.1/')",
])
def test_s9_no_table_function_reads_files(asking, call):
    asking.check_refused(f"SELECT * FROM {call}", "invalid_sql")


@pytest.mark.parametrize("call", [
    "pg_read_file('/etc/passwd')", "pg_read_binary_file('/etc/passwd')", "pg_stat_file('/etc/passwd')", "lo_import('/etc/passwd')",
    "lo_export(1, '/tmp/x')", "load_extension('x')", "getenv('HOME')", "http_get('http://127.0.0.1/')", "readfile('/etc/passwd')",
    "query_to_xml('x')", "dblink_connect('x')",
])
def test_s9_no_function_reads_files_or_asks_others(asking, call):
    asking.check_refused(f"SELECT {call}", "invalid_sql")


def test_s9_a_statement_opens_no_connection(asking):
    """A listener counts whoever comes."""
    came = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            came.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("x", "x.csv", "x.parquet", "x/"):
            for spelled in ("'http://127.0.0.1:{}/{}'", '"http://127.0.0.1:{}/{}"'):
                asking.check_refused("SELECT * FROM " + spelled.format(server.server_port, name), "unknown_table", ways=RUNS)
        server.shutdown()
    assert came == []
