"""The contract of the Flight SQL door, row by row of its checklist, over bare messages and through drivers.

A test's name says its rows. What other files test:

| row | test |
|---|---|
| 8 | test_tokens.py: test_tls_on_every_port_is_reloaded_and_may_ask_for_certificates; the spellings of an address here |
| 21, 25 | test_adbc.py: test_objects_are_listed, test_the_announced_schema_is_the_schema_of_the_batches; and here |
| 45 | test_flight_ingest.py: test_sql_that_writes_is_refused_when_prepared; on the other paths here |
| 46 | test_flight_ingest.py: test_documents_are_upserted_by_id, test_nothing_is_no_mistake, test_many_rows_of_many_batches; and here |
| 47, 48 | test_flight_ingest.py: test_a_transaction_reads_at_the_instant_it_began, test_a_transaction_is_ended_once |
| 49 | test_flight_ingest.py: test_pandas_and_polars_write; test_call_sequences.py for drivers that cannot be installed; and here |
| 53 | test_grpc.py: test_reflection_tells_the_services, test_health_needs_no_token_and_everything_else_does |
| 54 | test_grpc.py: test_sigterm_says_go_away_and_loses_nothing for ingest; for queries here |

What is not served has no test: tokens renewed before they end (7), types that some drivers cannot read and several endpoints
on demand (26, 31), a stream idle for longer than a query may take (37), limits of sessions and statements, of which nothing
is kept (55), a log of queries (56), and gRPC's own compression (57).
"""

import base64
import datetime as dt
import hashlib
import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import grpc
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from adbc_driver_flightsql import DatabaseOptions, StatementOptions
from conftest import READY_SECONDS, Server
from flightsql import Door, M, asking, command, frame, frames, read_schema, refused, trailer, unwrapped, wrapped
from google.protobuf import any_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from test_tokens import ROOT, Lake, certificate

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3"
FLOWING = "SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 100000000000)"
MIB = 1 << 20


class Shop(Server):
    """A server with three orders and what else the tests read."""

    def __init__(self, home, **more):
        super().__init__(home, **more)
        first = self.changes("shop/orders", [
            {"op": "insert", "id": "1", "ts": "2026-01-01T10:00:00Z",
             "doc": {"total": 10, "state": "new", "weight": 1.5, "gift": True}},
            {"op": "insert", "id": "2", "ts": "2026-01-01T11:00:00Z", "doc": {"total": 20, "state": "new"}},
        ])
        self.first = first["system_time"]
        self.changes("shop/orders", [
            {"op": "update", "id": "1", "ts": "2026-01-01T12:00:00Z",
             "doc": {"total": 10, "state": "paid", "weight": 1.5, "gift": True}},
            {"op": "insert", "id": "3", "ts": "2026-01-01T12:00:00Z", "doc": {"total": 30, "state": "new"}},
        ])
        self.changes("shop/a_b", [{"op": "insert", "id": "1", "doc": {"under": 1}}])
        self.changes("shop/axb", [{"op": "insert", "id": "1", "doc": {"other": 1}}])
        self.changes("depot/parts", [{"op": "insert", "id": "1", "doc": {"n": 1}}])

    def metric(self, name):
        with urllib.request.urlopen(self.http + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split(" ")[0].split("{")[0] == name)

    def kill(self):
        self.process.kill()
        self.process.wait()


def until(holds, what):
    """Waits for something that has to come."""
    end = time.monotonic() + READY_SECONDS
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    home = tmp_path_factory.mktemp("shop")
    # Longer than anybody waits here: what is cancelled must not end by itself in time.
    server = Shop(home, settings={"query.timeout_s": 600})
    yield server
    server.kill()
    assert "panicked" not in (home / "server.log").read_text()


@pytest.fixture(scope="module")
def door(shop):
    return Door(shop)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A server that asks for tokens."""
    home = tmp_path_factory.mktemp("lake")
    found = Lake(home)
    yield found
    found.server.process.kill()
    found.server.process.wait()
    log = (home / "server.log").read_text()
    assert "panicked" not in log and ROOT not in log


@pytest.fixture
def connection(shop):
    with adbc.connect(shop.grpc, autocommit=True) as connection:
        yield connection


def ask(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def run(door, handle):
    """The rows of a prepared statement."""
    return door.get(door.execute(handle)).rows


def bearer(token):
    return ("authorization", f"Bearer {token}")


def basic(text, padded=True):
    encoded = base64.b64encode(text.encode()).decode()
    return ("authorization", "Basic " + (encoded if padded else encoded.rstrip("=")))


# Connection and auth

USER = "anyone"
assert "=" in basic(f"{USER}:{ROOT}")[1], "a login without padding shows nothing"


@pytest.mark.parametrize("header", [basic(f"{USER}:{ROOT}"), basic(f"{USER}:{ROOT}", padded=False), bearer(ROOT),
                                    ("authorization", f"bEARER {ROOT}")])
def test_rows_1_to_4_a_handshake_is_answered_at_once_with_the_token_in_header_and_message(lake, header):
    silent = queue.Queue()  # the client never ends its side
    answer = Door(lake.server, [header]).call("Handshake", iter(silent.get, None), timeout=20)
    silent.put(None)
    assert answer.headers["authorization"] == f"Bearer {ROOT}"
    assert [message.payload for message in answer.messages] == [ROOT.encode()]


@pytest.mark.parametrize("headers", [[], [bearer("wrong")], [basic("u:wrong")], [("authorization", "Digest x")],
                                     [basic("u:")]])
def test_row_4_a_handshake_without_a_valid_token_is_refused(lake, headers):
    refused(lambda: Door(lake.server, headers).call("Handshake", iter([M.HandshakeRequest()])), "UNAUTHENTICATED")


def test_row_5_every_call_needs_a_token(lake):
    nobody = Door(lake.server)
    ticket = Door(lake.server, [bearer(ROOT)]).info(asking("SELECT 1")).endpoint[0].ticket
    for rpc, request in [
        ("Handshake", iter([M.HandshakeRequest()])), ("ListFlights", M.Criteria()),
        ("GetFlightInfo", asking("SELECT 1")),
        ("PollFlightInfo", asking("SELECT 1")), ("GetSchema", asking("SELECT 1")), ("DoGet", ticket),
        ("DoPut", iter([M.FlightData()])),
        ("DoExchange", iter([M.FlightData()])), ("DoAction", M.Action(type="CloseSession")), ("ListActions", M.Empty()),
    ]:
        refused(lambda: nobody.call(rpc, request), "UNAUTHENTICATED")


def test_row_5_a_ticket_is_redeemed_by_whoever_may(lake):
    root, reader, loader = (Door(lake.server, [bearer(token)]) for token in (ROOT, lake.token("query"),
        lake.token("ingest")))
    orders = "SELECT count(*) AS n FROM shop.orders_shop"
    info = root.info(asking(orders))
    assert root.get(info).rows == reader.get(info).rows == [(2,)]
    for denied in (lambda: loader.info(asking(orders)), lambda: loader.get(info), lambda: loader.prepare(orders)):
        assert trailer(refused(denied, "PERMISSION_DENIED"), "tidemark-code") == "scope_missing"
    rows = frames(pa.table({"_id": ["x"]}))
    refused(lambda: reader.put(into("orders_shop"), rows), "PERMISSION_DENIED")
    # Another's namespace is one that never was.
    hidden = root.info(asking("SELECT * FROM canary7q.orders_canary7q"))
    refused(lambda: reader.get(hidden), "NOT_FOUND")


@pytest.mark.parametrize("header", [basic(f"{USER}:{ROOT}"), basic(f"{USER}:{ROOT}", padded=False),
                                    ("authorization", basic(f"{USER}:{ROOT}")[1].replace("Basic", "bAsIc"))])
def test_row_6_a_login_stands_on_any_call(lake, header):
    assert Door(lake.server, [header]).ask("SELECT 40 + 2 AS n") == [(42,)]


def test_row_7_a_new_token_comes_in_the_response_and_counts_from_the_next_call_on(lake):
    """Tokens are not renewed, they end with their time; what comes is the token with the session behind it."""
    door = Door(lake.server, [bearer(ROOT)])
    set_ = door.call("GetFlightInfo", asking("SET tidemark.nearest = on"))
    new = set_.headers["authorization"]
    assert new.startswith(f"Bearer {ROOT}~")
    assert door.with_headers(("authorization", new)).ask("SHOW tidemark.nearest") == [("on",)]
    assert door.ask("SHOW tidemark.nearest") == [("off",)]
    assert "authorization" not in door.call("GetFlightInfo", asking("SELECT 1")).headers
    with lake.flight(ROOT) as connection:
        ask(connection, "SET tidemark.nearest = on")
        assert ask(connection, "SHOW tidemark.nearest") == [("on",)]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made by openssl")
def test_row_8_tls_and_both_spellings_of_an_address(tmp_path, shop):
    host = shop.grpc.removeprefix("grpc://")
    with adbc.connect(f"flightsql://{host}?transport=tcp", autocommit=True) as connection:
        assert ask(connection, "SELECT 7") == [(7,)]
    ca, _ = certificate(tmp_path, "ca")
    pem, key = certificate(tmp_path, "one", "ca")
    mine = certificate(tmp_path, "mine", "ca")
    server = Server(tmp_path, token=ROOT, settings={"tls.certificate": pem, "tls.key": key, "tls.client_ca": ca})
    url = f"flightsql://localhost:{server.grpc.rsplit(':', 1)[1]}"
    token = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {ROOT}"}
    identity = {DatabaseOptions.MTLS_CERT_CHAIN.value: mine[0].read_text(),
                DatabaseOptions.MTLS_PRIVATE_KEY.value: mine[1].read_text()}
    trust, blind = {DatabaseOptions.TLS_ROOT_CERTS.value: ca.read_text()}, {DatabaseOptions.TLS_SKIP_VERIFY.value: "true"}
    try:
        for options, is_let_in in [(identity | trust, True), (identity | blind, True), (trust, False),
                                   (identity, False)]:
            try:
                with adbc.connect(url, db_kwargs=token | options, autocommit=True) as connection:
                    answered = ask(connection, "SELECT 7") == [(7,)]
            except adbc_driver_manager.Error:
                answered = False
            assert answered == is_let_in, options.keys()
    finally:
        server.process.kill()
        server.process.wait()


def test_row_9_headers(shop, door):
    count = "SELECT count(*) AS n FROM orders"
    assert door.with_headers(("x-nobody-knows", "1"), ("bucket", "x")).ask("SELECT 1 AS n") == [(1,)]
    assert door.with_headers(("database", "shop")).ask(count) == [(3,)]
    assert door.with_headers(("database", "shop"), ("x-as-of", shop.first)).ask(count) == [(2,)]
    assert door.with_headers(("database", "tidemark")).ask("SELECT count(*) AS n FROM shop.orders") == [(3,)]
    refused(lambda: door.with_headers(("database", "depot")).ask(count), "NOT_FOUND")
    for name, value in [("database", "../x"), ("x-as-of", "noon"), ("x-nearest", "maybe"), ("x-schema", "then"),
                        ("x-arrow-compression", "gzip")]:
        error = refused(lambda: door.with_headers((name, value)).ask("SELECT 1"), "INVALID_ARGUMENT")
        assert f"header {name}" in error.details()


def option(key, **value):
    return M.SessionOption(key=key, value=M.SessionOptionValue(**value))


def options_of(door):
    """The options of the session, and the headers that came with them."""
    answer = door.call("DoAction", M.Action(type="GetSessionOptions"))
    found = M.GetSessionOptionsResult.FromString(answer.one.body).session_options
    return {it.key: it.value.string_value for it in found}, answer.headers


def set_options(door, *options):
    """What could not be set, by name, and the connection as it goes on."""
    answer = door.call("DoAction", M.Action(type="SetSessionOptions",
                                            body=M.SetSessionOptionsRequest(session_options=options).SerializeToString()))
    errors = {it.key: it.value.value for it in M.SetSessionOptionsResult.FromString(answer.one.body).errors}
    cookie = answer.headers["set-cookie"].split(";")[0]
    return errors, door.with_headers(("cookie", cookie)), answer.headers


def eventually(read, expected):
    """The driver takes up the token with the session beside its calls: the next call may still go without it."""
    for _ in range(100):
        try:
            if read() == expected:
                return True
        except adbc_driver_manager.Error:
            pass
        time.sleep(0.1)
    return False


def test_row_10_session_options_are_set_got_and_unset(shop, door):
    errors, session, headers = set_options(door, option("catalog", string_value="tidemark"),
                                           option("schema", string_value="shop"),
                                           option("as_of", string_value=shop.first))
    assert errors == {} and headers["authorization"].startswith("Bearer anonymous~")
    assert options_of(session)[0] == {"catalog": "tidemark", "schema": "shop", "as_of": shop.first}
    assert options_of(door.with_headers(("authorization", headers["authorization"])))[0]["schema"] == "shop"
    assert session.ask("SELECT count(*) AS n FROM orders") == [(2,)]
    errors, session, _ = set_options(session, option("as_of"), option("nearest", bool_value=True))
    assert errors == {} and options_of(session)[0] == {"catalog": "tidemark", "schema": "shop", "nearest": "on"}
    assert session.ask("SELECT count(*) AS n FROM orders") == [(3,)]
    invalid_name, invalid_value = 1, 2
    errors, session, _ = set_options(
        session, option("schema", int64_value=1), option("as_of", double_value=1.5),
        option("catalog", string_value="other"),
        option("nearest", string_list_value=M.StringList(values=["on"])), option("time_zone", string_value="UTC"),
        option("nobody", int64_value=-1))
    assert errors == {"schema": invalid_value, "as_of": invalid_value, "catalog": invalid_value,
                      "nearest": invalid_value,
                      "time_zone": invalid_name, "nobody": invalid_name}
    assert options_of(session)[0]["schema"] == "shop"
    with adbc.connect(shop.grpc, autocommit=True) as connection:
        assert connection.adbc_current_catalog == "tidemark"

        def told():
            # The driver may send the next call with the session that was: it is told again.
            connection.adbc_current_db_schema = "shop"
            return connection.adbc_current_db_schema

        assert eventually(told, "shop")
        assert ask(connection, "SELECT count(*) FROM orders") == [(3,)]


def test_row_11_asking_for_options_makes_no_session(door):
    options, headers = options_of(door)
    assert options == {"catalog": "tidemark"}
    assert not {"set-cookie", "authorization"} & headers.keys()
    broken = door.with_headers(("cookie", "arrow_flight_session_id=0123456789abcdef"))
    refused(lambda: options_of(broken), "INVALID_ARGUMENT")


def test_row_12_sessions_are_closed_twice_and_unknown_actions_are_unimplemented(door):
    closed = 1
    for body in (b"", M.CloseSessionRequest().SerializeToString()):
        for _twice in range(2):
            answer = door.call("DoAction", M.Action(type="CloseSession", body=body))
            assert M.CloseSessionResult.FromString(answer.one.body).status == closed
            assert answer.headers["set-cookie"].startswith("arrow_flight_session_id=;")
    for name in ("Nothing", "", "BeginSavepoint", "EndSavepoint", "CreatePreparedSubstraitPlan", "closesession"):
        refused(lambda: door.call("DoAction", M.Action(type=name, body=b"\xff\xff")), "UNIMPLEMENTED")
    for name in ("CreatePreparedStatement", "ClosePreparedStatement", "BeginTransaction", "EndTransaction",
                 "CancelQuery", "CancelFlightInfo",
                 "RenewFlightEndpoint", "SetSessionOptions", "GetSessionOptions", "CloseSession"):
        refused(lambda: door.call("DoAction", M.Action(type=name, body=b"\xff\xff")), "INVALID_ARGUMENT")
    told = {action.type: action.description for action in door.call("ListActions", M.Empty()).messages}
    assert sorted(told) == ["BeginTransaction", "CancelFlightInfo", "CancelQuery", "ClosePreparedStatement",
                            "CloseSession",
                            "CreatePreparedStatement", "EndTransaction", "GetSessionOptions", "RenewFlightEndpoint",
                            "SetSessionOptions"]
    assert all(told.values())


def test_row_13_connections_do_not_see_each_other(shop):
    with adbc.connect(shop.grpc, autocommit=True) as one, adbc.connect(shop.grpc, autocommit=True) as two:
        ask(one, "SET tidemark.nearest = on")
        one.adbc_current_db_schema = "shop"
        two.adbc_current_db_schema = "depot"
        assert eventually(lambda: ask(one, "SELECT count(*) FROM orders"), [(3,)])
        assert eventually(lambda: ask(two, "SELECT count(*) FROM parts"), [(1,)])
        assert (ask(one, "SHOW tidemark.nearest"), ask(two, "SHOW tidemark.nearest")) == ([("on",)], [("off",)])
        with pytest.raises(adbc_driver_manager.Error):
            ask(two, "SELECT count(*) FROM orders")


# Metadata

FOREIGN = """pk_catalog_name string?, pk_db_schema_name string?, pk_table_name string, pk_column_name string, fk_catalog_name string?,
fk_db_schema_name string?, fk_table_name string, fk_column_name string, key_sequence int32, fk_key_name string?, pk_key_name string?,
update_rule uint8, delete_rule uint8""".replace("\n", " ")
TABLES = "catalog_name string?, db_schema_name string?, table_name string, table_type string"
# What drivers compare with: name, type, `?` for nullable; and the first digits of the SHA-256 of the message, which guard
# against an upgrade that encodes otherwise.
SHAPES = [
    (M.CommandGetCatalogs(), "catalog_name string", "44c5ed958448350f"),
    (M.CommandGetDbSchemas(), "catalog_name string?, db_schema_name string", "3c9d26e78a14cf68"),
    (M.CommandGetTables(), TABLES, "6229a03d9a974dc4"),
    (M.CommandGetTables(include_schema=True), TABLES + ", table_schema binary", "c66ca585d8cd1448"),
    (M.CommandGetTableTypes(), "table_type string", "241046b9d2285b87"),
    (M.CommandGetPrimaryKeys(table="orders"),
     "catalog_name string?, db_schema_name string?, table_name string, column_name string, key_sequence int32, key_name string?",
     "cd1a4c242d77e829"),
    (M.CommandGetExportedKeys(table="orders"), FOREIGN, "11c00c840a894590"),
    (M.CommandGetImportedKeys(table="orders"), FOREIGN, "11c00c840a894590"),
    (M.CommandGetCrossReference(pk_table="orders", fk_table="parts"), FOREIGN, "11c00c840a894590"),
    (M.CommandGetXdbcTypeInfo(),
     "type_name string, data_type int32, column_size int32?, literal_prefix string?, literal_suffix string?, "
     "create_params list<item: string not null>?, nullable int32, case_sensitive bool, searchable int32, unsigned_attribute bool?, "
     "fixed_prec_scale bool, auto_increment bool?, local_type_name string?, minimum_scale int32?, maximum_scale int32?, "
     "sql_data_type int32, datetime_subcode int32?, num_prec_radix int32?, interval_precision int32?",
     "6e252cc964c47231"),
    (M.CommandGetSqlInfo(),
     "info_name uint32, value dense_union<string_value: string not null=0, bool_value: bool not null=1, bigint_value: int64 not null=2, "
     "int32_bitmask: int32 not null=3, string_list: list<item: string>=4, int32_to_int32_list_map: map<int32, list<item: int32>>=5>",
     "8ab044e030acbee0"),
]


@pytest.mark.parametrize("message, shape, golden", SHAPES, ids=[f"{it.DESCRIPTOR.name}-{it.ByteSize()}" for it, _,
                                                                _ in SHAPES])
def test_rows_14_15_and_58_metadata_has_the_shape_that_drivers_compare_with(door, message, shape, golden):
    info = door.info(command(message))
    told = read_schema(info.schema)
    assert ", ".join(f"{field.name} {field.type}{'?' if field.nullable else ''}" for field in told) == shape
    assert door.call("GetSchema", command(message)).one.schema == info.schema
    answer = door.get(info)
    assert answer.table.schema.equals(told, check_metadata=True)
    assert read_schema(frame(answer.messages[0])).equals(told, check_metadata=True)
    # A command is its own ticket, as others serve it.
    assert info.endpoint[0].ticket.ticket == wrapped(message)
    assert hashlib.sha256(info.schema).hexdigest().startswith(golden), "the bytes of the schema message changed"


def names(table):
    return [f"{row['db_schema_name']}.{row['table_name']}" for row in table.to_pylist()]


OWN = ["depot.events", "depot.parts", "shop.a_b", "shop.axb", "shop.events", "shop.orders"]


@pytest.mark.parametrize("fields, expected", [
    ({"table_types": ["BASE TABLE"]}, OWN),
    ({"table_types": ["table"]}, OWN),
    ({"table_types": ["BASE TABLE", "table"]}, OWN),
    ({"table_types": ["SYSTEM TABLE"]}, []),
    ({"catalog": "tidemark", "table_types": ["TABLE"]}, OWN),
    ({"catalog": ""}, []),
    ({"catalog": "other"}, []),
    ({"db_schema_filter_pattern": ""}, []),
    ({"table_name_filter_pattern": ""}, []),
    ({"db_schema_filter_pattern": "shop"}, OWN[2:]),
    ({"db_schema_filter_pattern": "s%p"}, OWN[2:]),
    ({"db_schema_filter_pattern": "sh_p", "table_name_filter_pattern": "%"}, OWN[2:]),
    ({"table_name_filter_pattern": "a_b"}, ["shop.a_b", "shop.axb"]),
    ({"table_name_filter_pattern": "a\\_b"}, ["shop.a_b"]),
    ({"table_name_filter_pattern": "ORDERS"}, []),
    ({"table_name_filter_pattern": "select 1"}, []),
    ({"table_name_filter_pattern": "%%%_%\\"}, []),
    ({"table_name_filter_pattern": "'; --\u2603"}, []),
])
def test_rows_16_to_18_tables_are_filtered(door, fields, expected):
    for include_schema in (False, True):
        found = door.told(M.CommandGetTables(include_schema=include_schema, **fields))
        assert names(found) == expected
        assert set(found["catalog_name"].to_pylist()) <= {"tidemark"}


def test_row_18_everything_is_sorted_and_every_type_is_listed(door):
    everything = door.told(M.CommandGetTables())
    rows = [tuple(row.values()) for row in everything.to_pylist()]
    assert rows == sorted(rows) and set(names(everything)) > set(OWN)
    views = door.told(M.CommandGetTables(table_types=["VIEW"]))
    assert {it.split(".")[0] for it in names(views)} == {"information_schema", "system"}
    assert sorted(names(views) + OWN) == names(everything)
    assert door.told(M.CommandGetTableTypes()).to_pydict() == {"table_type": ["BASE TABLE", "VIEW"]}
    assert door.told(M.CommandGetCatalogs()).to_pydict() == {"catalog_name": ["tidemark"]}
    every = ["depot", "information_schema", "shop", "system"]
    for fields, expected in [({}, every), ({"catalog": ""}, []), ({"catalog": "tidemark",
                                                                   "db_schema_filter_pattern": "%o%"}, [*every[:3]]),
                             ({"db_schema_filter_pattern": "sho_"}, ["shop"]), ({"db_schema_filter_pattern": ""}, [])]:
        assert door.told(M.CommandGetDbSchemas(**fields))["db_schema_name"].to_pylist() == expected, fields


def test_row_17_a_pattern_among_thousands_of_tables(tmp_path):
    """Patterns are texts of any kind, and long ones of many wildcards come back."""
    server = Server(tmp_path)
    try:
        for first in range(0, 1500, 500):
            server.post("/v1/many/events", [{"type": "collection.insert", "collection": f"t{n:04}", "docId": "1",
                                             "doc": {"n": n}}
                                            for n in range(first, first + 500)])
        door = Door(server)
        assert len(names(door.told(M.CommandGetTables(db_schema_filter_pattern="many",
                                                      table_name_filter_pattern="t%")))) == 1500
        assert names(door.told(M.CommandGetTables(table_name_filter_pattern="t_42_",
                                                  include_schema=True)))[::7] == ["many.t0420", "many.t0427",
                                                      "many.t1424"]
        assert names(door.told(M.CommandGetTables(table_name_filter_pattern="%t" * 1000))) == []
    finally:
        server.process.kill()
        server.process.wait()


def plain(schema):
    """Name, type and nullability, without what describes them."""
    return [(field.name, field.type, field.nullable) for field in schema]


def test_rows_19_and_24_a_tables_schema_is_that_of_its_rows_and_of_information_schema(door):
    found = door.told(M.CommandGetTables(include_schema=True)).to_pylist()
    listed = door.ask("SELECT table_schema, table_name, column_name, is_nullable FROM information_schema.columns "
                      "ORDER BY table_schema, table_name, ordinal_position")
    for table in found:
        message = table["table_schema"]
        schema = read_schema(message)
        assert pa.ipc.open_stream(pa.py_buffer(message)).schema.equals(schema,
            check_metadata=True), "a stream's reader takes it too"
        name = f'"{table["db_schema_name"]}"."{table["table_name"]}"'
        whole = read_schema(door.info(asking(f"SELECT * FROM {name}")).schema)
        assert plain(schema) == plain(whole), name
        if table["db_schema_name"] != "information_schema":
            columns = [row[2:] for row in listed if row[:2] == (table["db_schema_name"], table["table_name"])]
            assert columns == [(field.name, "YES" if field.nullable else "NO") for field in schema], name
    assert {row[:2] for row in listed} <= {(table["db_schema_name"], table["table_name"]) for table in found}
    tables = door.ask("SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2")
    assert tables == [(it["db_schema_name"], it["table_name"], it["table_type"]) for it in found]


def test_row_20_columns_are_described(door):
    table, = door.told(M.CommandGetTables(db_schema_filter_pattern="shop", table_name_filter_pattern="orders",
                                          include_schema=True)).to_pylist()
    schema = read_schema(table["table_schema"])
    told = {field.name: {key.decode().removeprefix("ARROW:FLIGHT:SQL:"): value.decode() for key,
                         value in field.metadata.items()} for field in schema}
    for notes in told.values():
        assert (notes["CATALOG_NAME"], notes["SCHEMA_NAME"], notes["TABLE_NAME"]) == ("tidemark", "shop", "orders")
        assert (notes["IS_AUTO_INCREMENT"], notes["IS_READ_ONLY"], notes["IS_SEARCHABLE"], notes["REMARKS"]) == ("0",
            "1", "1", "")
    types = {name: (notes["TYPE_NAME"], notes.get("PRECISION"), notes.get("SCALE")) for name, notes in told.items()}
    assert {name: types[name] for name in ("_id", "total", "weight", "gift", "_ts", "_doc")} == {
        "_id": ("VARCHAR", None, None), "total": ("BIGINT", "19", "0"), "weight": ("DOUBLE", "15", "0"),
        "gift": ("BOOLEAN", None, None),
        "_ts": ("TIMESTAMP WITH TIME ZONE", "26", "6"), "_doc": ("VARCHAR", None, None)}
    known = set(door.told(M.CommandGetXdbcTypeInfo())["type_name"].to_pylist())
    assert {notes["TYPE_NAME"] for notes in told.values()} <= known


def test_row_21_objects_at_every_depth_and_a_table_with_an_underscore(connection):
    for depth in ("catalogs", "db_schemas", "tables", "columns", "all"):
        catalog, = connection.adbc_get_objects(depth=depth).read_all().to_pylist()
        assert catalog["catalog_name"] == "tidemark"
        schemas = {it["db_schema_name"]: it["db_schema_tables"] for it in catalog["catalog_db_schemas"] or []}
        assert list(schemas) == ([] if depth == "catalogs" else ["depot", "information_schema", "shop",
                                                                 "system"]), depth
        tables = {it["table_name"]: it for it in schemas.get("shop") or []}
        assert sorted(tables) == (["a_b", "axb", "events", "orders"] if depth in ("tables", "columns",
            "all") else []), depth
        if depth in ("columns", "all"):
            assert [it["column_name"] for it in tables["a_b"]["table_columns"]][:2] == ["_id", "under"]
    assert connection.adbc_get_table_schema("a_b", db_schema_filter="shop").names[:2] == ["_id", "under"]
    assert connection.adbc_get_table_types() == ["BASE TABLE", "VIEW"]


# The child of the union that clients cast to without looking, and the value.
STRING, BOOL, WIDE, MASK, LIST, MAP = range(6)
INFO = {
    0: (STRING, "Tidemark"), 504: (STRING, '"'), 513: (STRING, "\\"), 514: (STRING, ""), 529: (STRING, "schema"),
    530: (STRING, "procedure"), 531: (STRING, "catalog"),
    3: (BOOL, True), 4: (BOOL, True), 9: (BOOL, True), 10: (BOOL, True), 5: (BOOL, False), 11: (BOOL, False),
    503: (WIDE, 3), 505: (WIDE, 0), 507: (WIDE, 0), 562: (WIDE, 0), 541: (WIDE, 0), 561: (WIDE, 0),
    8: (MASK, 1), 100: (MASK, 0), 101: (MASK, 86_400_000), 522: (MASK, 3), 525: (MASK, 2), 526: (MASK, 2),
    528: (MASK, 6), 538: (MASK, 15),
    540: (MASK, 3), 509: (LIST, []), 517: (MAP, []),
}
ALL = sorted([*range(6), 8, 9, 10, 11, 100, 101, *range(500, 577)])


def info_of(door, codes):
    table = door.told(M.CommandGetSqlInfo(info=codes))
    values = table["value"].chunk(0) if table.num_rows else pa.UnionArray.from_dense(pa.array([], pa.int8()),
        pa.array([], pa.int32()), [])
    return dict(zip(table["info_name"].to_pylist(), zip(values.type_codes.to_pylist(), (it.as_py() for it in values))))


def test_row_22_what_the_server_can_do(door):
    everything = info_of(door, [])
    assert sorted(everything) == ALL and max(everything) < 10_000
    assert {code: everything[code] for code in INFO} == INFO
    assert {code: everything[code][0] for code in (*range(541, 556),
                                                   *range(557, 562))} == dict.fromkeys((*range(541, 556),
                                                       *range(557, 562)), WIDE)
    assert {everything[code][0] for code in (533, 534, 535, 564, 567, 568, 569, 570, 571)} == {MASK}
    assert {everything[code][0] for code in (500, 501, 502, 506, 515, 516, 518, 519, 520, 521, 523, 524, 527, 532, 536,
                                             537, 539, 556, 563,
                                             565, 566, 572, 573, 574, 575, 576)} == {BOOL}
    assert {everything[code][0] for code in range(508, 513)} == {LIST}
    for codes in ([8], [0, 1, 2], [0, 2, 3, 504], [10_001, 99_999]):
        known = [code for code in codes if code < 10_000]
        assert info_of(door, codes) == {code: everything[code] for code in known}
    assert everything[1][1].count(".") == 2, "ODBC parses the version"


def test_row_23_keys_are_empty_and_typed(door):
    for table in ("orders", "nothing", "", "a%"):
        for message in (M.CommandGetPrimaryKeys(table=table), M.CommandGetExportedKeys(table=table, catalog="other"),
                        M.CommandGetImportedKeys(table=table, db_schema="shop"),
                        M.CommandGetCrossReference(pk_table=table, fk_table=table)):
            assert door.told(message).num_rows == 0


# Queries

EXPRESSIONS = """
1 ; CAST(1 AS SMALLINT) ; CAST(1 AS TINYINT UNSIGNED) ; 1.5 ; 1.5e0 ; CAST(1 AS REAL)
CAST(1.25 AS DECIMAL(38, 3)) ; 'x' ; '' ; NULL ; true ; CAST('x' AS VARCHAR) ; X'00ff' ; current_date ; now()
current_time ; DATE '2026-01-01' ; TIMESTAMP '2026-01-01T00:00:00' ; TIMESTAMP '2026-01-01T00:00:00Z'
INTERVAL '1 day' ; INTERVAL '1 month' ; struct(1, 'x') ; named_struct('a', 1, 'b', named_struct('c', NULL))
make_array(1, 2) ; make_array('a', NULL) ; make_array(make_array(1)) ; map(['k'], [1])
arrow_cast('x', 'Utf8View') ; arrow_cast('x', 'LargeUtf8') ; arrow_cast('x', 'Dictionary(Int32, Utf8)')
arrow_cast(X'00', 'BinaryView') ; arrow_cast(X'00', 'LargeBinary') ; arrow_cast(X'00', 'FixedSizeBinary(1)')
arrow_cast(make_array(1), 'LargeList(Int64)') ; arrow_cast(make_array(1, 2), 'FixedSizeList(2, Int64)')
arrow_cast(1, 'Timestamp(Second, None)') ; arrow_cast(1, 'Timestamp(Nanosecond, Some("UTC"))')
arrow_cast(1, 'Duration(Millisecond)') ; arrow_cast(1, 'Time32(Second)') ; arrow_cast(1, 'Time64(Nanosecond)')
arrow_cast(1, 'Date64') ; arrow_cast(1, 'Decimal256(50, 2)') ; CASE WHEN random() < 2 THEN 1 END
coalesce(NULL, 1) ; count(*) ; sum(1) ; avg(2) ; max('x') ; array_agg(1) ; row_number() OVER ()
arrow_cast(make_array(arrow_cast('x', 'Utf8View')), 'LargeList(Utf8View)') ; arrow_cast(1, 'Float16')
'a' || 'b' ; -1 % 3 ; arrow_cast('x', 'Dictionary(Int8, LargeUtf8)') ; struct(arrow_cast('x', 'Utf8View'))
""".strip().replace("\n", " ; ").split(" ; ")
SHAPED = ["SELECT {} AS x", "SELECT {} AS x, 'y' AS y WHERE false", "SELECT {} AS x UNION ALL SELECT NULL",
          "SELECT x FROM (SELECT {} AS x) ORDER BY 1 LIMIT 1"]
STATEMENTS = [
    "SELECT * FROM shop.orders", "SELECT * FROM shop.events",
    "SELECT count(*) FROM shop.orders GROUP BY state HAVING count(*) > 9", "EXPLAIN SELECT 1",
    "SHOW TABLES", "SHOW tidemark.as_of", "DESCRIBE shop.orders", "SELECT * FROM system.collections",
    "SELECT * FROM information_schema.columns",
    "SELECT o.*, p.* FROM shop.orders o LEFT JOIN depot.parts p ON o._id = p._id",
    "SELECT * FROM shop.orders o FULL JOIN shop.axb a USING (_id)",
    "SELECT id, id FROM shop.events", "WITH x AS (SELECT 1 AS a) SELECT a, a + 1 FROM x", "VALUES (1, 'a'), (2, NULL)",
    "SELECT * FROM changes('shop.orders')",
    "SELECT * FROM history('shop.orders')", "SELECT * FROM shop.orders FOR SYSTEM_TIME ALL",
    "SELECT * FROM diff('shop.orders', now(), now())",
    "SELECT * FROM shop.\"orders$files\"", "SELECT * FROM generate_series(1, 3)",
    "SELECT unnest(make_array(1, 2)) AS u",
]


def flat(data_type):
    """A type and all those within it."""
    yield data_type
    for index in range(data_type.num_fields):
        yield from flat(data_type.field(index).type)


HARD = ("string_view", "binary_view", "dictionary", "run_end_encoded", "list_view", "large_list_view", "large_list")


def test_rows_25_26_and_28_one_schema_is_told_everywhere_and_every_driver_can_read_it(door):
    """Some expressions the engine does not take in some shapes: they have to be refused at every call alike."""
    statements = STATEMENTS + [shape.format(expression) for expression in EXPRESSIONS for shape in SHAPED]
    taken = []
    for sql in statements:
        try:
            info = door.info(asking(sql))
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED), (sql,
                error.details())
            for again in (lambda: door.prepare(sql), lambda: door.call("GetSchema", asking(sql))):
                refused(again, error.code().name)
            continue
        told = read_schema(info.schema)
        assert read_schema(door.call("GetSchema", asking(sql)).one.schema).equals(told, check_metadata=True), sql
        assert read_schema(door.prepare(sql).dataset_schema).equals(told, check_metadata=True), sql
        try:
            answer = door.get(info)
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED), (sql,
                error.details())
            continue
        came = answer.table.schema
        assert came.equals(told, check_metadata=True), (sql, told, came)
        for field in came:
            assert not [it for it in flat(field.type) if str(it).split("<")[0] in HARD], (sql, field)
        taken.append(sql)
    assert len(taken) >= 200, (len(taken), set(statements) - set(taken))


def test_row_27_times_and_decimals(door):
    def typed(sql):
        return [str(field.type) for field in read_schema(door.info(asking(sql)).schema)]

    assert typed("SELECT _ts, _system_time FROM shop.orders") == ["timestamp[us, tz=UTC]"] * 2
    assert typed("SELECT ts, _system_time FROM shop.events") == ["timestamp[us, tz=UTC]"] * 2
    assert typed("SELECT now()")[0].endswith("tz=UTC]")
    assert typed("SELECT TIMESTAMP '2026-01-01T00:00:00' AS naive")[0] in ("timestamp[ns]", "timestamp[us]")
    assert typed("SELECT CAST(1 AS DECIMAL(38, 7)), arrow_cast(1, 'Decimal256(76, 3)')") == ["decimal128(38, 7)",
        "decimal256(76, 3)"]
    zoned, naive, nothing = door.ask("SELECT TIMESTAMP WITH TIME ZONE '2026-01-01T12:00:00+02:00' AS a, "
                                     "TIMESTAMP '2026-01-01T12:00:00' AS b, CAST(NULL AS TIMESTAMP) AS c")[0]
    assert (pd.Timestamp(zoned), nothing) == (pd.Timestamp("2026-01-01T10:00:00Z"), None)
    assert pd.Timestamp(naive) == pd.Timestamp("2026-01-01T12:00:00")
    assert door.ask("SELECT min(_ts) AS first FROM shop.orders") == [(dt.datetime(2026, 1, 1, 11,
        tzinfo=dt.timezone.utc),)]


def test_row_28_an_answer_without_rows_is_its_schema(door):
    answer = door.get(door.info(asking("SELECT _id, total FROM shop.orders WHERE false")))
    assert len(answer.messages) == 1
    assert [str(field) for field in read_schema(frame(answer.messages[0]))] == [
        "pyarrow.Field<_id: string not null>", "pyarrow.Field<total: int64>"]


@pytest.mark.parametrize("sql, rows", [
    ("SELECT repeat('x', 3145728) AS x", 1),
    ("SELECT repeat('x', 1000) AS x FROM generate_series(1, 31457)", 31_457),
    ("SELECT " + ", ".join(f"value + {n} AS c{n}" for n in range(100)) + " FROM generate_series(1, 40000)", 40_000),
    ("SELECT make_array(repeat('x', 500), repeat('y', 500)) AS x, named_struct('a', value) AS s FROM generate_series(1, 20000)", 20_000),
    # Sliced and filtered views, whose buffers are shared.
    ("SELECT substr(repeat('x', 1000), 1, 100) AS x FROM generate_series(1, 40000) WHERE value % 3 = 0", 13_333),
    ("SELECT arrow_cast('tag' || (value % 5), 'Dictionary(Int32, Utf8)') AS x FROM generate_series(1, 100000)",
     100_000),
    ("SELECT arrow_cast(repeat('z', 40), 'Utf8View') AS x FROM generate_series(1, 50000) WHERE value % 2 = 0 LIMIT 20000", 20_000),
])
def test_rows_29_and_30_messages_are_small_and_few(shop, sql, rows):
    """With the limit of 4 MiB that many clients have."""
    door = Door(shop, receive_bytes_max=4 * MIB)
    answer = door.get(door.info(asking(sql)))
    assert answer.table.num_rows == rows
    sizes = [message.ByteSize() for message in answer.messages]
    batches = -(-rows // 8192)
    assert len(sizes) <= sum(sizes) / MIB + 2 + batches
    assert rows == 1 or max(sizes) <= 2.1 * MIB


def test_row_29_a_row_of_more_than_4_mib(shop, door, connection):
    sql = "SELECT repeat('x', 6291456) AS x"
    refused(lambda: Door(shop, receive_bytes_max=4 * MIB).ask(sql), "RESOURCE_EXHAUSTED")
    assert len(door.ask(sql)[0][0]) == len(ask(connection, sql)[0][0]) == 6 * MIB


def test_row_31_one_endpoint_in_order_and_no_location(door):
    for sql in ("SELECT * FROM shop.orders", "SELECT * FROM shop.orders ORDER BY total DESC", "SELECT 1 WHERE false"):
        info = door.info(asking(sql))
        endpoint, = info.endpoint
        assert info.ordered and not endpoint.location and not endpoint.HasField("expiration_time")
        assert info.flight_descriptor == asking(sql)
    assert [row[0] for row in door.ask("SELECT _id FROM shop.orders ORDER BY total DESC")] == ["3", "2", "1"]
    renewed = door.act("RenewFlightEndpoint", M.RenewFlightEndpointRequest(endpoint=endpoint), M.FlightEndpoint,
                       wrap=False)
    assert renewed == endpoint


def test_row_31_flights_are_listed(door):
    flights = door.call("ListFlights", M.Criteria()).messages
    paths = [list(it.flight_descriptor.path) for it in flights]
    assert [f"{schema}.{name}" for schema, name in paths] == names(door.told(M.CommandGetTables()))
    orders = flights[paths.index(["shop", "orders"])]
    assert orders.flight_descriptor.type == 1 and len(door.get(orders).rows) == 3
    by_path = door.info(orders.flight_descriptor)
    assert read_schema(by_path.schema).equals(read_schema(orders.schema)) and len(door.get(by_path).rows) == 3
    for path in ([], ["shop"], ["shop", "orders", "x"]):
        refused(lambda: door.info(M.FlightDescriptor(type=1, path=path)), "INVALID_ARGUMENT")
    refused(lambda: door.info(M.FlightDescriptor(type=1, path=["shop", 'x" FROM y --'])), "NOT_FOUND")


def test_rows_32_and_52_a_ticket_outlives_its_statement_and_reads_at_its_instant(tmp_path):
    """Redeemed twice, after its statement was closed, after new rows, from another connection, after a restart."""
    server = Shop(tmp_path)
    try:
        door = Door(server)
        handle = door.prepare("SELECT _id, now() AS n FROM shop.orders ORDER BY 1").prepared_statement_handle
        info = door.execute(handle)
        system_time = json.loads(info.app_metadata)["system_time"]
        door.close(handle)
        first = door.get(info).rows
        assert [row[0] for row in first] == ["1", "2", "3"]
        server.changes("shop/orders", [{"op": "delete", "id": "1"}, {"op": "insert", "id": "4", "doc": {}}])
        assert door.get(info).rows == Door(server).get(info).rows == first
        fresh = door.execute(handle)
        assert json.loads(fresh.app_metadata)["system_time"] > system_time
        assert [row[0] for row in door.get(fresh).rows] == ["2", "3", "4"]
        at = f"SELECT _id FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '{system_time}' ORDER BY 1"
        assert door.ask(at) == [("1",), ("2",), ("3",)], "the instant in the answer can be asked again"
        server.kill()
        server = Server(tmp_path)
        assert Door(server).get(info).rows == first
        server.changes("shop/orders", [{"op": "delete", "id": "2"}])
        assert Door(server).get(info).rows == first
    finally:
        server.process.kill()
        server.process.wait()


def test_row_33_what_was_tampered_with_is_refused(shop, door):
    ticket = door.info(asking("SELECT 'some text' AS t")).endpoint[0].ticket.ticket
    redeem = lambda raw: door.call("DoGet", M.Ticket(ticket=raw))
    for at in range(len(ticket)):
        damaged = ticket[:at] + bytes([ticket[at] ^ 0x20]) + ticket[at + 1:]
        assert refused(lambda: redeem(damaged)).code() in (grpc.StatusCode.INVALID_ARGUMENT,
                                                           grpc.StatusCode.UNIMPLEMENTED), at
    for garbage in (b"", b"garbage", ticket[:-1], ticket + b"x", b"\xff" * 100,
                    wrapped(M.TicketStatementQuery(statement_handle=b""))):
        error = refused(lambda: redeem(garbage))
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED), garbage
    for descriptor in (M.FlightDescriptor(), M.FlightDescriptor(type=2, cmd=b"garbage"),
                       M.FlightDescriptor(type=77, cmd=b"\xff"), M.FlightDescriptor(type=1)):
        for rpc in ("GetFlightInfo", "GetSchema", "PollFlightInfo"):
            assert refused(lambda: door.call(rpc, descriptor)).code() in (grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.UNIMPLEMENTED)
    unknown = any_pb2.Any(type_url="type.googleapis.com/some.Other", value=b"").SerializeToString()
    refused(lambda: door.info(M.FlightDescriptor(type=2, cmd=unknown)), "UNIMPLEMENTED")
    refused(lambda: door.info(command(M.CommandStatementSubstraitPlan())), "UNIMPLEMENTED")
    refused(lambda: door.call("DoExchange", iter([M.FlightData()])), "UNIMPLEMENTED")
    assert "panicked" not in (shop.home / "server.log").read_text()


def idle(server):
    return server.metric("tidemark_query_running") == 0


def test_row_34_who_goes_away_stops_the_query(shop, door, connection):
    until(lambda: idle(shop), "something ran before")
    cancelled = shop.metric("tidemark_query_cancelled_total")
    # A stream that is dropped after its first messages.
    stream = door.begin("DoGet", door.info(asking(FLOWING)).endpoint[0].ticket)
    assert [next(stream) and True for _ in range(3)] == [True] * 3
    stream.cancel()
    until(lambda: idle(shop) and shop.metric("tidemark_query_cancelled_total") == cancelled + 1,
          "a dropped stream runs on")
    # ADBC's cancel, while nothing has come yet.
    with connection.cursor() as cursor:
        threading.Timer(0.5, cursor.adbc_cancel).start()
        with pytest.raises(adbc_driver_manager.Error):
            cursor.execute(ENDLESS)
            cursor.fetchall()
    until(lambda: idle(shop), "a cancelled statement runs on")
    # A cursor that is closed early.
    with connection.cursor() as cursor:
        cursor.execute(FLOWING)
        assert cursor.fetchone()[0] == 1
    until(lambda: idle(shop), "a closed cursor's statement runs on")
    # A client that is killed.
    code = (f"import adbc_driver_flightsql.dbapi as adbc; cursor = adbc.connect({shop.grpc!r}, autocommit=True).cursor(); "
            f"cursor.execute({FLOWING!r}); print(cursor.fetchone(), flush=True); input()")
    client = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline().startswith(b"(1,")
    assert not idle(shop)
    client.kill()
    client.wait()
    until(lambda: idle(shop), "a killed client's statement runs on")


def test_row_35_a_deadline_ends_the_query(shop, door, connection):
    ticket = door.info(asking(ENDLESS)).endpoint[0].ticket
    refused(lambda: door.call("DoGet", ticket, timeout=1), "DEADLINE_EXCEEDED")
    until(lambda: idle(shop), "a statement outlives its deadline")
    with adbc.connect(shop.grpc, autocommit=True, db_kwargs={},
                      conn_kwargs={"adbc.flight.sql.rpc.timeout_seconds.fetch": "1"}) as short:
        with pytest.raises(adbc_driver_manager.Error, match="(?i)deadline|timeout"):
            ask(short, ENDLESS)
    until(lambda: idle(shop), "a statement outlives its deadline")


@pytest.mark.parametrize("form", ["CancelFlightInfo", "CancelQuery"])
def test_row_35_a_query_is_cancelled_from_another_connection(shop, door, form):
    def cancel(info):
        other = Door(shop)
        if form == "CancelQuery":
            return other.act(form, M.ActionCancelQueryRequest(info=info.SerializeToString()),
                             M.ActionCancelQueryResult).result
        return other.act(form, M.CancelFlightInfoRequest(info=info), M.CancelFlightInfoResult, wrap=False).status

    info = door.info(asking(f"{ENDLESS} AND '{form}' = '{form}'"))
    refused(lambda: cancel(info), "NOT_FOUND")
    stream = door.begin("DoGet", info.endpoint[0].ticket)
    assert next(stream).data_header, "the schema comes before the first row"
    cancelled = 1
    assert cancel(info) == cancelled
    refused(lambda: next(stream), "CANCELLED")
    until(lambda: idle(shop), "a cancelled statement runs on")
    refused(lambda: cancel(M.FlightInfo()), "NOT_FOUND")


def test_row_35_a_query_that_waits_for_its_turn_is_cancelled(tmp_path):
    server = Shop(tmp_path, settings={"query.concurrency": 1, "query.timeout_s": 600})
    try:
        door = Door(server)
        running, waiting = door.info(asking(FLOWING)), door.info(asking("SELECT 1 AS one"))
        stream = door.begin("DoGet", running.endpoint[0].ticket)
        next(stream)
        waits = door.begin("DoGet", waiting.endpoint[0].ticket)

        def cancelled():
            try:
                return Door(server).act("CancelFlightInfo", M.CancelFlightInfoRequest(info=waiting),
                                        M.CancelFlightInfoResult, wrap=False).status == 1
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND, "it has not come yet"
                return False

        until(cancelled, "what waits cannot be cancelled")
        refused(lambda: next(waits), "CANCELLED")
        stream.cancel()
        until(lambda: idle(server), "a dropped stream runs on")
        assert door.get(waiting).rows == [(1,)]
    finally:
        server.kill()


def test_row_36_the_first_poll_is_the_last(door, shop):
    for descriptor in (asking("SELECT * FROM shop.orders"), asking(ENDLESS), command(M.CommandGetCatalogs())):
        poll = door.call("PollFlightInfo", descriptor).one
        assert poll.progress == 1.0 and not poll.HasField("flight_descriptor") and not poll.HasField("expiration_time")
        info = door.info(descriptor)
        assert poll.info.schema == info.schema and len(poll.info.endpoint) == 1
    with adbc.connect(shop.grpc, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        partitions, schema = cursor.adbc_execute_partitions("SELECT _id FROM shop.orders ORDER BY 1")
        assert len(partitions) == 1 and schema.names == ["_id"]
        connection.adbc_get_info()
        with adbc.connect(shop.grpc, autocommit=True) as other, other.cursor() as reader:
            reader.adbc_read_partition(partitions[0])
            assert reader.fetchall() == [("1",), ("2",), ("3",)]


def test_row_37_a_stream_without_rows_stays_alive(tmp_path):
    """Four times as long as the pings of the connection are apart; ten minutes are more than a query may take."""
    server = Server(tmp_path, settings={"connections.keepalive_s": 1})
    try:
        door = Door(server)
        info = door.info(asking(ENDLESS))
        stream = door.begin("DoGet", info.endpoint[0].ticket)
        assert next(stream).data_header
        threading.Timer(4, lambda: door.act("CancelFlightInfo", M.CancelFlightInfoRequest(info=info),
                                            M.CancelFlightInfoResult, wrap=False)).start()
        refused(lambda: next(stream), "CANCELLED")
    finally:
        server.process.kill()
        server.process.wait()


DETAILS = "grpc-status-details-bin"


@pytest.mark.parametrize("sql, status, word", [
    ("SELEC 1", "INVALID_ARGUMENT", "read_only"),
    ("SELECT 1 FROM", "INVALID_ARGUMENT", "invalid_sql"),
    ("", "INVALID_ARGUMENT", "invalid_sql"),
    ("SELECT nothing FROM shop.orders", "INVALID_ARGUMENT", "invalid_sql"),
    ("SELECT nothing(1)", "INVALID_ARGUMENT", "invalid_sql"),
    ("SELECT * FROM shop.nothing", "NOT_FOUND", "unknown_table"),
    ("SELECT * FROM nowhere.nothing", "NOT_FOUND", "unknown_table"),
    ("SELECT 1; SELECT 2", "INVALID_ARGUMENT", "read_only"),
    ("DROP TABLE shop.orders", "INVALID_ARGUMENT", "read_only"),
    ('CREATE LOCAL TEMPORARY TABLE "#Tableau_1_Connect_Check" (a INT)', "INVALID_ARGUMENT", "read_only"),
    ('SELECT "SUBCOL" AS "COL" FROM (SELECT 1 AS "SUBCOL") "SUBQUERY" GROUP BY 2', "INVALID_ARGUMENT", "invalid_sql"),
    ("SELECT TOP 1 PERCENT * FROM shop.orders", "UNIMPLEMENTED", "unsupported_sql"),
    ("SELECT * FROM shop.orders PIVOT (sum(total) FOR state IN ('new'))", "UNIMPLEMENTED", "unsupported_sql"),
    ("SELECT CAST(1 AS NVARCHAR(3))", "UNIMPLEMENTED", "unsupported_sql"),
    ("SELECT 1 / 0 AS x", "INVALID_ARGUMENT", "engine"),
    ("SELECT '" + "x" * 70_000 + "'", "INVALID_ARGUMENT", "sql_too_large"),
])
def test_row_38_errors_say_what_to_do(door, sql, status, word):
    error = refused(lambda: door.ask(sql))
    assert (error.code().name, trailer(error, "tidemark-code")) == (status, word), error.details()
    assert word.encode() in trailer(error, DETAILS) and b"google.rpc.ErrorInfo" in trailer(error, DETAILS)
    assert len(error.details()) > 10 and not set("{}") & set(error.details()), error.details()
    assert not any(dump in error.details() for dump in ("Ident", "Span", "Some(", "tidemark$",
                                                        "panicked")), error.details()


def test_rows_38_and_55_pressure_says_when_to_come_back(tmp_path):
    settings = {"query.concurrency": 1, "query.queue": 0, "query.query_memory_bytes": 4 * MIB}
    server = Shop(tmp_path, settings=settings)
    try:
        door = Door(server)
        large = "SELECT value, repeat('x', 100) AS x FROM generate_series(1, 3000000) ORDER BY x, value DESC"
        error = refused(lambda: door.ask(large), "RESOURCE_EXHAUSTED")
        assert trailer(error, "tidemark-code") == "memory_exceeded" and b"google.rpc.RetryInfo" in trailer(error,
            DETAILS)
        until(lambda: idle(server), "a refused statement runs on")
        running, waiting = door.info(asking(FLOWING)), door.info(asking("SELECT 1 AS one"))
        stream = door.begin("DoGet", running.endpoint[0].ticket)
        next(stream)
        error = refused(lambda: door.get(waiting), "RESOURCE_EXHAUSTED")
        assert trailer(error, "tidemark-code") == "too_many_queries" and b"google.rpc.RetryInfo" in trailer(error,
            DETAILS)
        with adbc.connect(server.grpc, autocommit=True) as connection, pytest.raises(adbc_driver_manager.Error,
            match="too many"):
            ask(connection, "SELECT 1")
        stream.cancel()
        until(lambda: idle(server), "a dropped stream runs on")
        assert door.get(waiting).rows == [(1,)]
    finally:
        server.kill()


def test_row_55_a_query_has_its_time(tmp_path):
    server = Shop(tmp_path, settings={"query.timeout_s": 1})
    try:
        error = refused(lambda: Door(server).ask(ENDLESS), "DEADLINE_EXCEEDED")
        assert trailer(error, "tidemark-code") == "timed_out" and b"google.rpc.RetryInfo" not in trailer(error, DETAILS)
        until(lambda: idle(server), "a statement outlives its time")
    finally:
        server.kill()


def test_row_39_an_error_behind_rows_is_an_error(door, connection):
    sql = "SELECT 1 / (300000 - value) AS x FROM generate_series(1, 400000)"
    stream = door.begin("DoGet", door.info(asking(sql)).endpoint[0].ticket)
    came = []
    error = refused(lambda: came.extend(stream), "INVALID_ARGUMENT")
    assert "ivide by zero" in error.details()
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error, match="ivide by zero"):
        cursor.execute(sql)
        cursor.fetch_arrow_table()


# Prepared statements, DML, ingest


def parameters(**columns):
    return pa.table(columns)


@pytest.mark.parametrize("sql, row, expected", [
    ("SELECT ? || ? AS x", ("a", "b"), "ab"),
    ("SELECT $2 || $1 AS x", ("a", "b"), "ba"),
    ("SELECT $1 || $1 AS x", ("a",), "aa"),
    ("SELECT '?' || ? || '$2' AS x", ("a",), "?a$2"),
    ("SELECT /* ? $9 */ ? AS x -- ?", ("a",), "a"),
    ("SELECT ? AS \"x?\"", ("a",), "a"),
    ("SELECT 'it''s ?' || ? AS x", ("a",), "it's ?a"),
    ("SELECT E'\\'?' || ? AS x", ("a",), "'?a"),
    ("SELECT " + " || ',' || ".join("?" * 12) + " AS x", tuple("abcdefghijkl"), "a,b,c,d,e,f,g,h,i,j,k,l"),
    ("SELECT " + " || ".join(f"${n}" for n in range(12, 0, -1)) + " AS x", tuple("abcdefghijkl"), "lkjihgfedcba"),
])
def test_row_40_parameters_stand_where_they_stand(door, connection, sql, row, expected):
    prepared = door.prepare(sql)
    assert len(read_schema(prepared.parameter_schema)) == len(row)
    bound = door.bind(prepared.prepared_statement_handle, pa.table({str(n): [value] for n, value in enumerate(row)}))
    assert door.get(door.execute(bound)).rows == [(expected,)]
    assert ask(connection, sql, row) == [(expected,)]


def test_row_40_other_placeholders_are_refused(door):
    for sql in ("SELECT :name AS x", "SELECT $name", "SELECT $0", "SELECT ?, $1",
                "SELECT * FROM shop.orders WHERE state = :state"):
        assert "param" in refused(lambda: door.prepare(sql), "INVALID_ARGUMENT").details()
    assert refused(lambda: door.prepare("SELECT @name")).code() in (grpc.StatusCode.INVALID_ARGUMENT,
                                                                    grpc.StatusCode.UNIMPLEMENTED)


def test_row_41_parameters_have_types_and_their_number_counts(door):
    def typed(sql):
        return [str(field.type) for field in read_schema(door.prepare(sql).parameter_schema)]

    assert typed("SELECT 1") == []
    assert typed("SELECT * FROM shop.orders WHERE total > ? AND state = ? AND _ts < ? AND gift = ?") == ["int64",
        "string", "timestamp[us, tz=UTC]", "bool"]
    assert typed("SELECT ? AS a, CAST(? AS BIGINT) AS b, ?::date AS c, ? || ? AS d") == ["string", "int64",
        "date32[day]", "string", "string"]
    assert typed("SELECT * FROM shop.orders WHERE total IN (?, ?) LIMIT ? OFFSET ?") == ["int64"] * 4
    assert typed("SELECT * FROM shop.orders WHERE total = $1 OR weight = $1") == ["int64"]
    handle = door.prepare("SELECT CAST(? AS BIGINT) + ? AS x").prepared_statement_handle
    for table in (None, parameters(a=[1]), parameters(a=[1], b=[2], c=[3])):
        error = refused(lambda: door.get(door.execute(door.bind(handle, table) if table else handle)),
                        "INVALID_ARGUMENT")
        assert "parameter" in error.details()
    refused(lambda: door.ask("SELECT ? AS x"), "INVALID_ARGUMENT")


@pytest.mark.parametrize("values, expected", [
    (pa.array([1], pa.int64()), [1]),
    (pa.array([1], pa.int32()), [1]),
    (pa.array([3, 1, 2], pa.int16()), [3, 1, 2]),
    (pa.array([None, 2], pa.int64()), [None, 2]),
    (pa.array([], pa.int64()), []),
    (pa.array(["7", "8"]).dictionary_encode(), [7, 8]),
    (pa.array(["7", None], pa.string_view()), [7, None]),
    (pa.array(["7"], pa.large_string()), [7]),
])
def test_row_42_rows_are_bound(door, values, expected):
    handle = door.prepare("SELECT CAST($1 AS BIGINT) AS x").prepared_statement_handle
    info = door.execute(door.bind(handle, pa.table({"1": values})))
    answer = door.get(info).table
    assert answer["x"].to_pylist() == expected
    assert answer.schema.equals(read_schema(info.schema), check_metadata=True)


def test_row_42_nulls_and_rows_of_all_kinds_through_adbc(connection):
    by_total = "SELECT _id FROM shop.orders WHERE total = ?"
    with connection.cursor() as cursor:
        for table, expected in [(parameters(a=pa.array([10, 30], pa.int32())), ["1", "3"]),
                                (parameters(a=pa.array([None], pa.int64())), []),
                                (parameters(a=pa.array([], pa.int64())), [])]:
            cursor.execute(by_total, table)
            assert cursor.fetch_arrow_table()["_id"].to_pylist() == expected


def test_row_43_handles_are_bound_and_closed_in_any_order(door):
    original = door.prepare("SELECT CAST(? AS BIGINT) AS x").prepared_statement_handle
    one = door.bind(original, parameters(a=[1]))
    two = door.bind(one, parameters(a=[2]))
    three = door.bind(original, parameters(a=[3]))
    assert len({original, one, two, three}) == 4
    for handle, expected in ((one, 1), (two, 2), (three, 3), (one, 1)):
        assert door.get(door.execute(handle)).rows == [(expected,)]
    for handle in (two, original, original, one):
        door.close(handle)
    for unknown in (b"", b"unknown", original[:-1], original + b"x"):
        for asked in (lambda: door.close(unknown), lambda: door.execute(unknown),
                      lambda: door.bind(unknown, parameters(a=[1])),
                      lambda: door.call("GetSchema",
                                        command(M.CommandPreparedStatementQuery(prepared_statement_handle=unknown))),
                      lambda: door.put(M.CommandPreparedStatementUpdate(prepared_statement_handle=unknown))):
            refused(asked, "NOT_FOUND")
    # Nothing is kept of statements, so what is limited is what one carries.
    too_many = parameters(a=pa.array(range(1001), pa.int64()))
    refused(lambda: door.bind(original, too_many), "INVALID_ARGUMENT")
    refused(lambda: door.bind(original, parameters(a=["x" * (2 * MIB)])), "INVALID_ARGUMENT")


def test_row_44_what_only_sets_is_an_update(door):
    for sql, is_update in [("SET tidemark.nearest = on", True), ("RESET ALL", True), ("SET tidemark.as_of = ?", True),
                           ("SELECT 1", False),
                           ("SHOW tidemark.nearest", False), ("EXPLAIN SELECT 1", False),
                           ("DESCRIBE shop.orders", False),
                           ("CALL snapshot('shop.orders', 'x')", False)]:
        prepared = door.prepare(sql)
        assert prepared.HasField("is_update") and prepared.is_update == is_update, sql
        assert (len(read_schema(prepared.dataset_schema)) == 0) == is_update, sql
    def update(sql):
        return M.CommandPreparedStatementUpdate(prepared_statement_handle=door.prepare(sql).prepared_statement_handle)

    info = door.info(asking("SET tidemark.nearest = on"))
    assert not info.endpoint and len(read_schema(info.schema)) == 0
    for message, data in [
        (M.CommandStatementUpdate(query="SET tidemark.nearest = on"), []),
        (update("SET tidemark.nearest = on"), []),
        (update("SET tidemark.nearest = on"), frames(pa.table({}), batches=[])),
        (update("SET tidemark.nearest = ?"),
         frames(parameters(a=["on"]))),
    ]:
        answer = door.put(message, data)
        assert M.DoPutUpdateResult.FromString(answer.one.app_metadata).record_count == 0
        session = door.with_headers(("authorization", answer.headers["authorization"]))
        assert session.ask("SHOW tidemark.nearest") == [("on",)]


WRITES = ["INSERT INTO shop.orders VALUES ('9')", "UPDATE shop.orders SET total = 1", "DELETE FROM shop.orders",
          "CREATE TABLE shop.x (a INT)",
          "CREATE TEMPORARY TABLE x (a INT)", "COPY shop.orders TO 'x.csv'", "TRUNCATE shop.orders",
          "CREATE VIEW shop.v AS SELECT 1",
          "EXPLAIN ANALYZE DELETE FROM shop.orders", "WITH x AS (DELETE FROM shop.orders RETURNING *) SELECT * FROM x"]


@pytest.mark.parametrize("sql", WRITES)
def test_row_45_sql_that_writes_is_refused_on_every_path(shop, door, connection, sql):
    for asked in (lambda: door.prepare(sql), lambda: door.info(asking(sql)),
                  lambda: door.call("GetSchema", asking(sql)),
                  lambda: door.put(M.CommandStatementUpdate(query=sql))):
        error = refused(asked, "INVALID_ARGUMENT")
        assert trailer(error, "tidemark-code") in ("read_only", "invalid_sql"), error.details()
    for run in ("execute", "executescript", "executemany"):
        with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error):
            getattr(cursor, run)(*([sql, [("1",)]] if run == "executemany" else [sql]))
    assert shop.rows("SELECT count(*) FROM shop.orders") == [(3,)]


def test_row_45_what_answers_rows_is_no_update(door):
    for sql in ("SELECT 1", "CALL snapshot('shop.orders', 'never')"):
        error = refused(lambda: door.put(M.CommandStatementUpdate(query=sql)), "INVALID_ARGUMENT")
        assert "query" in error.details()
    assert door.ask("SELECT count(*) AS n FROM shop.\"orders$snapshots\" WHERE name = 'never'") == [(0,)]


CREATE, FAIL_ABSENT, FAIL_EXISTS, APPEND, REPLACE = 1, 2, 1, 2, 3


def into(table, absent=CREATE, exists=APPEND, **more):
    options = M.TableDefinitionOptions(if_not_exist=absent, if_exists=exists)
    return M.CommandStatementIngest(table_definition_options=options, table=table, schema="shop", **more)


def count(answer):
    return M.DoPutUpdateResult.FromString(answer.one.app_metadata).record_count


def test_row_46_ingest_modes_and_counts(tmp_path):
    server = Shop(tmp_path)
    try:
        door = Door(server)
        one = lambda name="x": frames(pa.table({"_id": [name]}))
        for absent, exists in [(0, APPEND), (CREATE, 0), (0, 0), (CREATE, FAIL_EXISTS), (CREATE, REPLACE),
                               (FAIL_ABSENT, FAIL_EXISTS), (FAIL_ABSENT, REPLACE)]:
            for table in ("orders", "later"):
                refused(lambda: door.put(into(table, absent, exists), one()), "INVALID_ARGUMENT")
        refused(lambda: door.put(M.CommandStatementIngest(table="orders", schema="shop"), one()), "INVALID_ARGUMENT")
        refused(lambda: door.put(into("later", FAIL_ABSENT), one()), "NOT_FOUND")
        assert "shop.later" not in names(door.told(M.CommandGetTables()))
        assert count(door.put(into("orders", FAIL_ABSENT), one())) == 1
        assert count(door.put(into("later"), one())) == count(door.put(into("later"), one("y"))) == 1
        assert server.rows("SELECT _id FROM shop.later ORDER BY 1") == [("x",), ("y",)]
        # Nothing at all, the schema alone, and no message.
        schema = frames(pa.table({"_id": pa.array([], pa.string())}), batches=[])
        assert count(door.put(into("empty"), schema)) == 0
        assert count(door.call("DoPut", iter([]))) == 0
        # 15 MiB in one message, and a thousand messages: exactly one result each.
        wide = pa.table({"_id": [f"{n}" for n in range(15)], "text": ["x" * MIB] * 15})
        wide = wide.set_column(1, "text", pa.array(["x" * (MIB - 1000)] * 15))
        assert count(door.put(into("wide"), frames(wide))) == 15
        many = pa.table({"_id": [f"{n:04}" for n in range(1000)]})
        assert count(door.put(into("many"), frames(many, many.to_batches(max_chunksize=1)))) == 1000
        assert server.rows("SELECT count(*), min(length(text)) FROM shop.wide") == [(15, MIB - 1000)]
        assert server.rows("SELECT count(*) FROM shop.many") == [(1000,)]
    finally:
        server.kill()


def test_row_46_a_client_that_gives_up_leaves_nothing(shop, door):
    rows = frames(pa.table({"_id": [f"{n}" for n in range(100)]}))
    rows[0].flight_descriptor.CopyFrom(command(into("given_up")))
    sent = queue.Queue()
    for message in rows:
        sent.put(message)
    call = door.begin("DoPut", iter(sent.get, None))
    until(sent.empty, "the rows were not sent")
    call.cancel()
    sent.put(None)
    assert door.ask("SELECT 1 AS one") == [(1,)]
    assert "shop.given_up" not in names(door.told(M.CommandGetTables()))
    bad = frames(pa.table({"_id": ["a", None]}))
    refused(lambda: door.put(into("given_up"), bad), "INVALID_ARGUMENT")
    assert "shop.given_up" not in names(door.told(M.CommandGetTables()))


def test_row_48_transactions_are_told_about(door):
    """Their reading at one instant, and ending twice: test_flight_ingest.py."""
    begun = door.act("BeginTransaction", M.ActionBeginTransactionRequest(),
                     M.ActionBeginTransactionResult).transaction_id
    before = door.ask("SELECT now() AS n", transaction_id=begun)
    assert door.ask("SELECT now() AS n", transaction_id=begun) == before
    door.act("EndTransaction", M.ActionEndTransactionRequest(transaction_id=begun, action=1))
    for action in (1, 2):
        refused(lambda: door.act("EndTransaction", M.ActionEndTransactionRequest(transaction_id=begun, action=action)),
                "NOT_FOUND")
    refused(lambda: door.ask("SELECT 1", transaction_id=begun), "NOT_FOUND")
    assert info_of(door, [8, 101]) == {8: (MASK, 1), 101: (MASK, 86_400_000)}


def test_row_48_a_statement_outlives_the_transaction_it_was_prepared_in(shop, door):
    """Drivers keep the handle of a text over a commit."""
    begun = door.act("BeginTransaction", M.ActionBeginTransactionRequest(),
                     M.ActionBeginTransactionResult).transaction_id
    handle = door.prepare("SELECT now() AS n", transaction_id=begun).prepared_statement_handle
    within = run(door, handle)
    assert run(door, handle) == within == door.ask("SELECT now() AS n", transaction_id=begun)
    door.act("EndTransaction", M.ActionEndTransactionRequest(transaction_id=begun, action=2))
    without = run(door, handle)
    assert within < without < run(door, handle)
    for ended in ("commit", "rollback"):
        with adbc.connect(shop.grpc) as connection, connection.cursor() as cursor:
            answers = []
            for _ in range(2):
                cursor.execute("SELECT now() AS n")
                answers += cursor.fetchall()
                getattr(connection, ended)()
            assert answers[0] < answers[1], ended


def test_row_49_pandas_and_polars_read(shop, connection):
    """DuckDB reads the files: test_duckdb.py. What cannot be installed is replayed: test_call_sequences.py."""
    sql = "SELECT _id, total, _ts FROM shop.orders ORDER BY _id"
    frame = pd.read_sql(sql, connection)
    assert frame["total"].tolist() == [10, 20, 30] and str(frame["_ts"].dt.tz) == "UTC"
    assert pl.read_database(sql, connection)["_id"].to_list() == ["1", "2", "3"]
    uri = shop.grpc.replace("grpc://", "flightsql://") + "?transport=tcp"
    assert pl.read_database_uri(sql, uri, engine="adbc")["total"].to_list() == [10, 20, 30]


# Time travel


def test_row_50_the_ways_to_say_an_instant_and_which_wins(shop, door):
    sql, clause = "SELECT count(*) AS n FROM shop.orders", "SELECT count(*) AS n FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '{}'"
    later = json.loads(door.info(asking(sql)).app_metadata)["system_time"]
    _, session, _ = set_options(door, option("as_of", string_value=shop.first))
    begun = door.act("BeginTransaction", M.ActionBeginTransactionRequest(),
                     M.ActionBeginTransactionResult).transaction_id
    header = door.with_headers(("x-as-of", shop.first))
    assert [it.ask(sql) for it in (door, session, header)] == [[(3,)], [(2,)], [(2,)]]
    assert door.ask(clause.format(shop.first)) == header.ask(clause.format(shop.first)) == [(2,)]
    # A clause wins over everything, a header over a session, what is set over a transaction.
    assert header.ask(clause.format(later)) == session.ask(clause.format(later)) == [(3,)]
    assert session.with_headers(*session.headers, ("x-as-of", later)).ask(sql) == [(3,)]
    assert door.ask(sql, transaction_id=begun) == [(3,)] and session.ask(sql, transaction_id=begun) == [(2,)]
    offset = dt.datetime.fromisoformat(shop.first).astimezone(dt.timezone(dt.timedelta(hours=5,
        minutes=30))).isoformat()
    assert door.ask(clause.format(offset)) == [(2,)]
    with adbc.connect(shop.grpc, autocommit=True,
                      db_kwargs={DatabaseOptions.RPC_CALL_HEADER_PREFIX.value + "x-as-of": shop.first}) as connection:
        assert ask(connection, sql) == [(2,)]
    with adbc.connect(shop.grpc, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{StatementOptions.RPC_CALL_HEADER_PREFIX.value + "x-as-of": shop.first})
        cursor.execute(sql)
        assert cursor.fetchall() == [(2,)]
    error = refused(lambda: door.ask(clause.format("1999-01-01T00:00:00Z")), "INVALID_ARGUMENT")
    assert trailer(error, "tidemark-code") == "before_creation" and "1999-01-01" in error.details()
    error = refused(lambda: door.ask(clause.format("2999-01-01T00:00:00Z")), "INVALID_ARGUMENT")
    assert trailer(error, "tidemark-code") == "instant_in_future"
    error = refused(lambda: door.ask("SELECT * FROM shop.orders FOR VERSION AS OF 999999"), "INVALID_ARGUMENT")
    assert trailer(error, "tidemark-code") == "unknown_version"


def test_row_50_a_prepared_statement_is_run_at_the_settings_of_its_call(shop, door):
    sql = "SELECT count(*) AS n FROM orders"
    handle = door.with_headers(("database", "shop")).prepare(sql).prepared_statement_handle
    _, session, _ = set_options(door, option("as_of", string_value=shop.first))
    header = door.with_headers(("x-as-of", shop.first))
    command_of = wrapped(M.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    for at, expected in ((door, 3), (session, 2), (header, 2), (door, 3)):
        assert run(at, handle) == [(expected,)]
        assert at.call("DoGet", M.Ticket(ticket=command_of)).rows == [(expected,)], "without a FlightInfo too"


def test_row_50_a_header_that_comes_twice_says_the_same_twice(shop, door):
    """Drivers send those of a database, a connection and a statement together, in no order that tells which one was meant."""
    sql, later = "SELECT count(*) AS n FROM shop.orders", json.loads(door.info(asking("SELECT 1")).app_metadata)["system_time"]
    name, first = StatementOptions.RPC_CALL_HEADER_PREFIX.value + "x-as-of", ("x-as-of", shop.first)
    assert door.with_headers(first, first).ask(sql) == [(2,)]
    for headers in ((("x-as-of", later), first), (first, ("x-as-of", later))):
        error = refused(lambda: door.with_headers(*headers).ask(sql), "INVALID_ARGUMENT")
        assert "more than once" in error.details()
    for options in ({"db_kwargs": {name: later}}, {"conn_kwargs": {name: later}}):
        with adbc.connect(shop.grpc, autocommit=True, **options) as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{name: shop.first})
            with pytest.raises(adbc_driver_manager.Error, match="more than once"):
                cursor.execute(sql)
            cursor.adbc_statement.set_options(**{name: ""})
            if "conn_kwargs" in options:
                cursor.adbc_statement.set_options(**{name: shop.first})
                cursor.execute(sql)
                assert cursor.fetchall() == [(2,)]


CLAUSES = ["AT (STATEMENT => 'x')", "BEFORE (VERSION => 1)", "AT (TIMESTAMP => 'noon')", "VERSION AS OF 999999",
           "CHANGES (INFORMATION => DEFAULT)",
           "TABLESAMPLE SYSTEM (1)", "TABLESAMPLE BERNOULLI (10) REPEATABLE (1)", "FOR TIMESTAMP AS OF '2026-01-01'",
           "SAMPLE (10)",
           "FOR SYSTEM_TIME CONTAINED IN ('a', 'b')", "WITH (NOLOCK)", "@v1", "FOR BUSINESS_TIME AS OF now()"]
PLACES = ["SELECT count(*) FROM {}", "SELECT * FROM (SELECT * FROM {}) x",
          "WITH x AS (SELECT * FROM {}) SELECT * FROM x",
          "SELECT * FROM shop.axb a JOIN {} ON true", "SELECT * FROM shop.axb WHERE EXISTS (SELECT 1 FROM {})",
          "EXPLAIN SELECT * FROM {}",
          "SELECT 1 UNION ALL SELECT total FROM {}"]


@pytest.mark.parametrize("clause", CLAUSES)
def test_row_51_clauses_that_are_not_served_are_refused_everywhere(door, clause):
    for place in PLACES:
        refused(lambda: door.ask(place.format(f"shop.orders {clause}")))


def test_row_51_clauses_that_are_served_count_everywhere(shop, door):
    for clause in ("FOR SYSTEM_TIME AS OF {}", "FOR TIMESTAMP AS OF {}", "TIMESTAMP AS OF {}", "AT (TIMESTAMP => {})"):
        clause = clause.format(f"TIMESTAMP '{shop.first}'")
        assert door.ask(f"SELECT count(*) AS n FROM shop.orders {clause}") == [(2,)], clause
    then = f"shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '{shop.first}'"
    for sql in (f"SELECT count(*) AS n FROM {then}", f"SELECT count(*) AS n FROM (SELECT * FROM {then}) x",
                f"WITH x AS (SELECT * FROM {then}) SELECT count(*) AS n FROM x",
                f"SELECT count(*) AS n FROM depot.parts JOIN {then} AS o ON true",
                f"SELECT (SELECT count(*) FROM {then}) AS n"):
        assert door.ask(sql) == [(2,)], sql


# Operations


def test_row_54_sigterm_lets_streams_finish_and_takes_nothing_new(tmp_path):
    server = Shop(tmp_path, settings={"stop.announce_ms": 3000})
    door = Door(server)
    sql = "SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 40000)"
    # More than what may be on its way, so that the end has not been computed yet.
    stream = door.begin("DoGet", door.info(asking(sql)).endpoint[0].ticket)
    came = [next(stream), next(stream)]
    health = health_pb2_grpc.HealthStub(door.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service="arrow.flight.protocol.FlightService"), timeout=60)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    server.process.send_signal(signal.SIGTERM)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    came += stream
    table = pa.ipc.open_stream(pa.py_buffer(b"".join(frame(message) for message in came))).read_all()
    assert table.num_rows == 40_000
    assert server.process.wait(60) == 0
    refused(lambda: Door(server).ask("SELECT 1"), "UNAVAILABLE")
    assert "panicked" not in (tmp_path / "server.log").read_text()


def test_row_57_bodies_are_compressed_on_demand_only(door, connection, shop):
    sql = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 10000)"
    info = door.info(asking(sql))
    bare = door.get(info)
    size = lambda answer: sum(len(message.data_body) for message in answer.messages)
    assert size(bare) > 10_000_000
    for codec in ("lz4", "zstd", "ZSTD"):
        packed = door.with_headers(("x-arrow-compression", codec)).get(info)
        assert size(packed) < size(bare) / 10
        assert packed.table.equals(bare.table)
    assert size(door.with_headers(("x-arrow-compression", "none")).get(info)) == size(bare)
    with adbc.connect(shop.grpc, autocommit=True,
                      db_kwargs={DatabaseOptions.RPC_CALL_HEADER_PREFIX.value + "x-arrow-compression": "zstd"}) as packed:
        with packed.cursor() as cursor:
            cursor.execute(sql)
            assert cursor.fetch_arrow_table().equals(bare.table)
