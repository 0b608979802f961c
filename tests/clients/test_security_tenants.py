"""The security checklist, S13: a token of one namespace finds no trace of another, whatever it asks and wherever.

The other is `CANARY`: its name, a field's name and a value of it hold that word, and no answer may. What HTTP answers to each
catalog is in test_tokens.py. The table of all rows stands in test_security.py.
"""

import json
import os
import pathlib
import random
import re

import grpc
import psycopg
import pytest
from flightsql import M, asking as descriptor, command, refused, trailer
from security import POSTGRES, RUNS, Asking, bearer, postgres, serving
from test_tokens import CANARY

NOWHERE = "nowhere7"
TABLE, ABSENT = f"{CANARY}.orders_{CANARY}", f"{NOWHERE}.orders_{NOWHERE}"
SEED = int(os.environ.get("TIDEMARK_SECURITY_SEED", random.SystemRandom().randrange(1 << 32)))
STATEMENTS = 210


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("lake")) as found:
        for namespace in ("shop", CANARY):
            kept = found.ask("POST", f"/v1/{namespace}/orders_{namespace}/snapshots", {"name": f"kept-{namespace}"})
            assert kept[0] in (200, 201), kept
            good = {"op": "insert", "id": "3", "doc": {"value": f"{namespace}-value"}}
            bad = [good, {"op": "insert", "id": f"refused_{namespace}"}]
            assert found.ask("POST", f"/v1/{namespace}/orders_{namespace}/changes?on_error=partial", bad)[0] == 200
        assert found.ask("POST", "/v1/compact", {})[0] == 200
        yield found


@pytest.fixture(scope="module")
def mine(lake):
    """Every scope in `shop`."""
    found = Asking(lake, lake.token("query", "ingest", "admin"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def other(lake):
    """Every scope in the other namespace."""
    found = Asking(lake, lake.token("query", "ingest", "admin", namespaces=[CANARY]))
    yield found
    found.close()


# Catalogs

def relations(lake):
    """Every relation that the catalogs have, by their own lists and by what the source names."""
    listed = lake.sql("""SELECT table_schema || '.' || table_name FROM information_schema.tables
                         WHERE table_schema IN ('information_schema', 'pg_catalog', 'system')""")[1]
    return [row[0] for row in json.loads(listed)["rows"]] + [f"pg_catalog.{name}" for name in pg_catalog()]


def pg_catalog():
    source = pathlib.Path(__file__).parents[2] / "crates/query/src/plan/postgres/columns.rs"
    return sorted(set(re.findall(r'\(\s*"(pg_\w+)",', source.read_text())))


@pytest.mark.parametrize("way", POSTGRES)
def test_s13_no_relation_of_a_catalog_holds_a_trace(lake, mine, other, way):
    found, seen = relations(lake), []
    assert len(found) > 50 and "pg_catalog.pg_class" in found and "system.files" in found
    for name in found:
        told = mine.ask(way, f"SELECT * FROM {name}")
        assert told.status is None, (name, told)
        assert CANARY not in told.text, (name, told.text[:2000])
        if CANARY in other.ask(way, f"SELECT * FROM {name}").text:
            seen.append(name)
    for name in ("pg_catalog.pg_class", "pg_catalog.pg_namespace", "pg_catalog.pg_attribute", "system.files", "system.snapshots",
                 "system.rejected", "information_schema.columns"):
        assert name in seen, f"{name} tells nobody of it: nothing was shown"


@pytest.mark.parametrize("call", [
    "to_regclass('{}')", "'{}'::regclass::text", "pg_table_is_visible(to_regclass('{}'))", "has_table_privilege('{}', 'SELECT')",
    "has_schema_privilege('{}', 'USAGE')", "pg_relation_size(to_regclass('{}'))", "obj_description(to_regclass('{}'))",
    "current_setting('{}', true)",
])
def test_s13_a_function_tells_a_hidden_table_like_one_that_never_was(mine, call):
    for way in ("simple", "extended", "http"):
        hidden, absent = (mine.ask(way, f"SELECT {call.format(name)} AS told") for name in (TABLE, ABSENT))
        assert hidden == absent._replace(text=absent.text.replace(NOWHERE, CANARY)), way


def test_s13_numbers_of_hidden_objects_lead_nowhere(mine, other):
    """OIDs come of names, and anybody can compute them."""
    for cast, named in (("regclass", f"'{TABLE}'::regclass::oid"), ("regnamespace", f"'{CANARY}'::regnamespace::oid")):
        number = other.ask("http", f"SELECT {named} AS told").text.split('"rows":[')[1].split("[")[1].split("]")[0]
        assert CANARY in other.ask("simple", f"SELECT {number}::oid::{cast}::text").text
        assert CANARY not in mine.ask("simple", f"SELECT {number}::oid::{cast}::text").text


@pytest.mark.parametrize("message", [
    M.CommandGetCatalogs(), M.CommandGetDbSchemas(), M.CommandGetDbSchemas(db_schema_filter_pattern=CANARY),
    M.CommandGetDbSchemas(db_schema_filter_pattern="%7q"), M.CommandGetTables(include_schema=True),
    M.CommandGetTables(db_schema_filter_pattern=CANARY, include_schema=True),
    M.CommandGetTables(table_name_filter_pattern="%canary%"),
    M.CommandGetTableTypes(), M.CommandGetSqlInfo(), M.CommandGetXdbcTypeInfo(), M.CommandGetPrimaryKeys(table=f"orders_{CANARY}"),
    M.CommandGetPrimaryKeys(db_schema=CANARY, table=f"orders_{CANARY}"), M.CommandGetExportedKeys(db_schema=CANARY, table="x"),
    M.CommandGetImportedKeys(db_schema=CANARY, table="x"),
    M.CommandGetCrossReference(pk_db_schema=CANARY, pk_table="x", fk_table="y"),
], ids=lambda it: f"{it.DESCRIPTOR.name}-{it.ByteSize()}")
def test_s13_no_metadata_call_of_flight_holds_a_trace(mine, message):
    table = mine.door.told(message)
    assert CANARY not in repr(table.to_pylist()) and CANARY.encode() not in b"".join(table_schemas(table))
    if "Filter" not in message.DESCRIPTOR.name and any(CANARY in str(value) for _, value in message.ListFields()):
        assert table.num_rows == 0 or message.DESCRIPTOR.name == "CommandGetSqlInfo"


def table_schemas(table):
    return table["table_schema"].to_pylist() if "table_schema" in table.schema.names else []


def test_s13_no_flight_is_listed_of_another_namespace(mine, other):
    listed = mine.door.call("ListFlights", M.Criteria()).messages
    assert CANARY not in repr(listed) and "orders_shop" in repr(listed)
    assert CANARY in repr(other.door.call("ListFlights", M.Criteria()).messages)
    for rpc in ("GetFlightInfo", "GetSchema", "PollFlightInfo"):
        path = M.FlightDescriptor(type=1, path=[CANARY, f"orders_{CANARY}"])
        assert trailer(refused(lambda: mine.door.call(rpc, path), "NOT_FOUND"), "tidemark-code") == "unknown_table"


# Errors and plans

@pytest.mark.parametrize("sql", [
    "SELECT * FROM {}", "EXPLAIN SELECT * FROM {}", "EXPLAIN VERBOSE SELECT * FROM {}", "EXPLAIN ANALYZE SELECT * FROM {}",
    "EXPLAIN ANALYZE VERBOSE SELECT * FROM {}", "DESCRIBE {}", "SHOW COLUMNS FROM {}", "SELECT * FROM tidemark.{}",
    "SELECT * FROM as_of('{}')", "SELECT * FROM history('{}')", "SELECT * FROM changes('{}')", "SELECT * FROM versions('{}')",
    "SELECT * FROM diff('{}', now(), now())", "SELECT 1 FROM shop.orders_shop WHERE EXISTS (SELECT 1 FROM {})",
    "WITH x AS (SELECT * FROM {}) SELECT * FROM x", "SELECT * FROM shop.orders_shop NATURAL JOIN {}",
    "SELECT * FROM {} FOR SYSTEM_TIME AS OF now()", "SELECT * FROM {} FOR SYSTEM_TIME ALL", "SELECT nothing FROM {}",
    "CALL snapshot('{}')", "CALL compact('{}')", "CALL restore('shop.orders_shop', as_of => now(), into => '{}')",
])
def test_s13_a_hidden_table_is_told_like_one_that_never_was(mine, sql):
    for way in RUNS:
        hidden, absent = (mine.ask(way, sql.format(name)) for name in (TABLE, ABSENT))
        assert hidden.status is not None and hidden == absent._replace(text=absent.text.replace(NOWHERE, CANARY)), way


@pytest.mark.parametrize("sql", [
    "EXPLAIN SELECT * FROM shop.orders_shop", "EXPLAIN VERBOSE SELECT * FROM shop.orders_shop",
    "EXPLAIN ANALYZE SELECT * FROM shop.orders_shop", "EXPLAIN ANALYZE VERBOSE SELECT * FROM shop.events",
    "EXPLAIN ANALYZE SELECT * FROM system.files", "SELECT * FROM shop.orders", "SELECT * FROM orders_canary",
    "SELECT secret FROM shop.orders_shop", "SHOW TABLES", "SHOW ALL", "SHOW FUNCTIONS", 'SELECT * FROM shop."orders_shop$files"',
])
def test_s13_no_plan_and_no_suggestion_holds_a_trace(mine, sql):
    for way in RUNS:
        assert CANARY not in mine.ask(way, sql).text, way


@pytest.mark.parametrize("database", [CANARY, NOWHERE])
def test_s13_a_hidden_namespace_is_no_database(lake, mine, database):
    with pytest.raises(psycopg.OperationalError) as error:
        postgres(lake.server, mine.token, database=database)
    assert f'database "{database}" does not exist' in str(error.value) and "shop" not in str(error.value)


def test_s13_a_hidden_namespace_in_a_search_path_finds_nothing(lake, mine):
    for namespace in (CANARY, NOWHERE):
        with postgres(lake.server, mine.token) as connection:
            with pytest.raises(psycopg.Error) as error:
                connection.execute(f"SET search_path = {namespace}")
                connection.execute(f"SELECT * FROM orders_{namespace}")
            assert error.value.sqlstate in ("42P01", "3F000", "22023")


# What one token was given, used by another

def test_s13_a_ticket_of_another_tenant_is_worth_nothing(mine, other):
    for sql in (f"SELECT * FROM {TABLE}", f"SELECT count(*) FROM {CANARY}.events"):
        ticket = other.door.info(descriptor(sql)).endpoint[0].ticket
        assert other.door.call("DoGet", ticket).rows
        assert trailer(refused(lambda: mine.door.call("DoGet", ticket), "NOT_FOUND"), "tidemark-code") == "unknown_table"


def test_s13_a_handle_of_another_tenant_is_worth_nothing(mine, other):
    handle = other.door.prepare(f"SELECT * FROM {TABLE}").prepared_statement_handle
    assert other.door.get(other.door.execute(handle)).rows
    bound = M.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    for rpc in ("GetFlightInfo", "GetSchema", "PollFlightInfo"):
        assert trailer(refused(lambda: mine.door.call(rpc, command(bound)), "NOT_FOUND"), "tidemark-code") == "unknown_table"


def test_s13_a_handle_closed_by_another_tenant_stays(mine, other):
    handle = other.door.prepare(f"SELECT * FROM {TABLE}").prepared_statement_handle
    mine.door.close(handle)
    assert other.door.get(other.door.execute(handle)).rows


def test_s13_a_session_of_another_tenant_is_refused(mine, other):
    answer = other.door.call("GetFlightInfo", descriptor("SET tidemark.nearest = on"))
    cookie, session = answer.headers["set-cookie"].split(";")[0], answer.headers["authorization"].rsplit("~", 1)[1]
    for headers in ([bearer(mine.token), ("cookie", cookie)], [bearer(f"{mine.token}~{session}")]):
        refused(lambda: mine.door.with_headers(*headers).ask("SHOW tidemark.nearest"), "UNAUTHENTICATED")


def test_s13_a_query_of_another_tenant_is_not_cancelled(mine, other):
    info = other.door.info(descriptor("SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3"))
    stream = other.door.begin("DoGet", info.endpoint[0].ticket)
    assert next(stream).data_header
    cancel = M.CancelFlightInfoRequest(info=info)
    refused(lambda: mine.door.act("CancelFlightInfo", cancel, M.CancelFlightInfoResult, wrap=False), "NOT_FOUND")
    assert other.door.act("CancelFlightInfo", cancel, M.CancelFlightInfoResult, wrap=False).status == 1


def test_s13_a_transaction_of_another_tenant_is_not_ended(mine, other):
    begun = other.door.act("BeginTransaction", M.ActionBeginTransactionRequest(), M.ActionBeginTransactionResult).transaction_id
    with pytest.raises(grpc.RpcError):
        mine.door.act("EndTransaction", M.ActionEndTransactionRequest(transaction_id=begun, action=1))


# Random SQL

class Chance:
    """Statements by chance, over names of both tenants, of the catalogs and of nobody."""

    TABLES = ["shop.orders_shop", "shop.events", TABLE, f"{CANARY}.events", f'"{CANARY}"."orders_{CANARY}"', f"tidemark.{TABLE}",
              f'{CANARY}."orders_{CANARY}$files"', f"as_of('{TABLE}')", f"history('{TABLE}')", f"changes('{TABLE}')",
              "system.files", "system.collections", "system.rejected", "system.time_travel", "information_schema.columns",
              "information_schema.tables",
              "pg_catalog.pg_class", "pg_catalog.pg_attribute", "pg_catalog.pg_namespace", "pg_catalog.pg_tables"]
    COLUMNS = ["*", "count(*)", "1", "_doc", "namespace", "relname", "table_schema", "to_regclass('shop.orders_shop')", "version()"]
    TAILS = ["", " LIMIT 5", " ORDER BY 1", " FOR SYSTEM_TIME AS OF now()", " WHERE 1 = 1", " OFFSET 1"]
    FRAMES = ["{}", "{}", "EXPLAIN {}", "EXPLAIN VERBOSE {}", "EXPLAIN ANALYZE {}", "SELECT * FROM ({}) AS q",
              "WITH w AS ({}) SELECT * FROM w",
              "SELECT count(*) FROM ({}) AS q", "SELECT * FROM shop.orders_shop WHERE EXISTS ({})"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def select(self, depth=0):
        pick = self.random.choice
        sources = [pick(self.TABLES) for _ in range(self.random.choice([1, 1, 1, 2]))]
        if depth < 2 and self.random.random() < 0.2:
            sources[0] = f"({self.select(depth + 1)}) AS s{depth}"
        sql = f"SELECT {pick(self.COLUMNS)} FROM {', '.join(sources)}{pick(self.TAILS)}"
        if depth == 0 and self.random.random() < 0.2:
            sql = f"{sql.split(' ORDER')[0].split(' LIMIT')[0].split(' OFFSET')[0]} UNION ALL {self.select(1)}"
        return sql

    def statement(self):
        return self.random.choice(self.FRAMES).format(self.select())


def test_s13_random_sql_never_finds_the_other_tenant(mine):
    """A refusal may repeat the name that was asked for; values, columns and files of the other may not appear,
    nor may rows name it."""
    print(f"TIDEMARK_SECURITY_SEED={SEED}")
    chance, answered = Chance(SEED), 0
    for number in range(STATEMENTS):
        sql, way = chance.statement(), RUNS[number % len(RUNS)]
        told = mine.ask(way, sql)
        assert f"secret_{CANARY}" not in told.text and f"{CANARY}-value" not in told.text, (SEED, way, sql, told)
        if told.status is None:
            answered += 1
            assert CANARY not in told.text, (SEED, way, sql, told)
    assert answered > STATEMENTS / 10, (SEED, answered)
