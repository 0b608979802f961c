"""What drivers that cannot be installed here send, message by message, as their sources have it: JDBC, ODBC, and what stands on
them; the clients of JavaScript; flightsql-dbapi. Each test is one conversation and asserts what its driver looks at.

JDBC is arrow-java's flight-sql-jdbc-driver 19, ODBC is Arrow's own.
"""

import base64
import queue

import grpc
import pyarrow as pa
import pytest
from flightsql import Door, M, asking, command, frames, read_schema, refused
from test_flightsql import bearer, info_of, option, options_of, set_options, shop  # noqa: F401 (a fixture)
from test_tokens import ROOT, Lake

EMPTY = frames(pa.table({}), batches=[])


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    found = Lake(tmp_path_factory.mktemp("sequences"))
    yield found
    found.server.process.kill()
    found.server.process.wait()


class Jdbc:
    """A connection of the JDBC driver: it keeps cookies, and takes the token of the handshake for all that follows."""

    def __init__(self, server, authorization, catalog=None, **properties):
        self.door = Door(server, [("authorization", authorization), *properties.items()])
        # ClientAuthenticationUtils: Handshake with one empty message, ended; any error fails the connection.
        answer = self.door.call("Handshake", iter([M.HandshakeRequest()]))
        token = answer.headers["authorization"]
        assert token.startswith("Bearer ")
        self.headers, self.cookies = [("authorization", token), *properties.items()], {}
        if catalog is not None:
            result = self.call("DoAction", action("SetSessionOptions",
                                                  M.SetSessionOptionsRequest(session_options=[option("catalog",
                                                      string_value=catalog)])))
            assert not M.SetSessionOptionsResult.FromString(result.one.body).errors

    def call(self, rpc, request):
        answer = self.session().call(rpc, request)
        if "set-cookie" in answer.headers:
            name, value = answer.headers["set-cookie"].split(";")[0].split("=", 1)
            self.cookies[name] = value
            if "Max-Age=0" in answer.headers["set-cookie"]:
                del self.cookies[name]
        return answer

    def session(self):
        """The door with the headers of now, for calls that bring nothing new."""
        cookie = [("cookie",
                   "; ".join(f"{name}={value}" for name, value in self.cookies.items()))] if self.cookies else []
        return self.door.with_headers(*self.headers, *cookie)

    def prepare(self, sql):
        return self.session().prepare(sql)

    def query(self, sql, row=None, types=None):
        """Statement.executeQuery and PreparedStatement.executeQuery: create, bind, plan, read, close with the original handle."""
        prepared = self.prepare(sql)
        assert not prepared.is_update and len(read_schema(prepared.dataset_schema)) > 0, "JDBC takes it for an update"
        asked = read_schema(prepared.parameter_schema)
        handle = prepared.prepared_statement_handle
        if row is not None:
            # Vectors of the types that the server told, filled by setX; an ordinal that it did not tell is an error.
            assert len(asked) == len(row)
            assert types is None or [str(field.type) for field in asked] == types
            columns = [pa.array([value], field.type) for value, field in zip(row, asked)]
            handle = self.session().bind(handle, pa.Table.from_arrays(columns, schema=asked))
            assert handle, "Java takes an absent handle for an empty one"
        info = self.call("GetFlightInfo",
                         command(M.CommandPreparedStatementQuery(prepared_statement_handle=handle))).one
        rows = []
        for endpoint in info.endpoint:
            assert not endpoint.location
            rows += self.call("DoGet", endpoint.ticket).rows
        self.session().close(prepared.prepared_statement_handle)
        return rows

    def update(self, sql, table=None):
        """executeUpdate and executeBatch: one DoPut with all rows, one count back."""
        prepared = self.prepare(sql)
        assert prepared.is_update and len(read_schema(prepared.dataset_schema)) == 0
        data = frames(table) if table else EMPTY
        asked = M.CommandPreparedStatementUpdate(prepared_statement_handle=prepared.prepared_statement_handle)
        data[0].flight_descriptor.CopyFrom(command(asked))
        count = M.DoPutUpdateResult.FromString(self.call("DoPut", iter(data)).one.app_metadata).record_count
        self.session().close(prepared.prepared_statement_handle)
        return count

    def metadata(self, message):
        """A ResultSet of DatabaseMetaData: planned, then read."""
        info = self.call("GetFlightInfo", command(message)).one
        table = self.call("DoGet", info.endpoint[0].ticket).table
        assert table.schema.equals(read_schema(info.schema))
        return table.to_pylist()

    def close(self):
        """Any error here but UNAVAILABLE makes Connection.close throw."""
        self.call("DoAction", action("CloseSession", M.CloseSessionRequest()))
        self.door.channel.close()


def action(name, message):
    return M.Action(type=name, body=message.SerializeToString())


def login(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("authorization", [login("someone", ROOT), f"Bearer {ROOT}"])
def test_jdbc_connects_by_login_and_by_token_asks_and_closes(lake, authorization):
    connection = Jdbc(lake.server, authorization, catalog="tidemark")
    assert connection.query("SELECT _id FROM shop.orders_shop ORDER BY _id") == [("1",), ("2",)]
    assert options_of(connection.session())[0] == {"catalog": "tidemark"}
    connection.close()


@pytest.mark.parametrize("authorization", ["Bearer wrong", login("someone", "wrong")])
def test_jdbc_does_not_connect_with_a_wrong_token(lake, authorization):
    refused(lambda: Jdbc(lake.server, authorization), "UNAUTHENTICATED")


def test_jdbc_takes_unknown_properties_for_headers(shop):
    """`jdbc:arrow-flight-sql://host:port?useEncryption=false&database=shop&x-as-of=…`"""
    now, then = Jdbc(shop, login("u", "p"), database="shop"), Jdbc(shop, login("u", "p"),
                                                                   **{"database": "shop", "x-as-of": shop.first})
    assert now.query("SELECT count(*) AS n FROM orders") == [(3,)]
    assert then.query("SELECT count(*) AS n FROM orders") == [(2,)]


def test_jdbc_binds_typed_parameters_again_and_again(shop):
    connection = Jdbc(shop, login("u", "p"))
    sql = "SELECT _id FROM shop.orders WHERE total >= ? AND state = ? ORDER BY _id LIMIT ?"
    assert connection.query(sql, (10, "new", 10), ["int64", "string", "int64"]) == [("2",), ("3",)]
    assert connection.query(sql, (30, "new", 10)) == [("3",)]
    assert connection.query("SELECT CAST(? AS BIGINT) + 1 AS n", (41,), ["int64"]) == [(42,)]
    assert connection.query("SELECT ? AS x", ("text",), ["string"]) == [("text",)]
    prepared = connection.prepare("SELECT _id FROM shop.orders WHERE total = ?")
    original = prepared.prepared_statement_handle
    for total, expected in ((10, [("1",)]), (11, []), (20, [("2",)])):
        bound = connection.session().bind(original, pa.table({"$1": pa.array([total], pa.int64())}))
        assert connection.session().get(connection.session().execute(bound)).rows == expected
    # Closed by the handle that it was made with, whatever was bound, and again when the connection ends.
    connection.session().close(original)
    connection.session().close(original)


def test_jdbc_sets_for_its_session_and_forgets_with_it(shop):
    """SET is an update to the driver: no columns, `is_update`. What is set comes back in the cookie."""
    connection = Jdbc(shop, login("u", "p"))
    assert connection.query("SHOW tidemark.nearest") == [("off",)]
    assert connection.update("SET tidemark.nearest = on") == 0
    assert connection.query("SHOW tidemark.nearest") == [("on",)]
    assert connection.update("SET tidemark.as_of = ?", pa.table({"$1": [shop.first]})) == 0
    assert connection.query("SELECT count(*) AS n FROM shop.orders") == [(2,)]
    assert connection.update("RESET ALL") == 0
    assert connection.query("SELECT count(*) AS n FROM shop.orders") == [(3,)]
    connection.close()
    assert connection.cookies == {}


@pytest.mark.parametrize("sql", ["INSERT INTO shop.orders (total) VALUES (?)",
                                 "DELETE FROM shop.orders WHERE total = ?", "CREATE TABLE shop.t (a INT)",
                                 'CREATE LOCAL TEMPORARY TABLE "#Tableau_1_2_3_Connect_Check" ("COL" INTEGER)'])
def test_jdbc_is_refused_writes_when_it_prepares_them(shop, sql):
    connection = Jdbc(shop, login("u", "p"))
    refused(lambda: connection.prepare(sql), "INVALID_ARGUMENT")
    assert connection.query("SELECT 1 AS one") == [(1,)], "and the connection is as it was"


def test_jdbc_reads_everything_about_the_server_at_once(shop):
    """DatabaseMetaData: one GetSqlInfo of an empty list, kept; a code that the driver does not know makes it throw."""
    connection = Jdbc(shop, login("u", "p"))
    infos = info_of(connection.session(), [])
    children = {"string": 0, "bool": 1, "long": 2, "int": 3, "list": 4, "map": 5}
    for code, kind in [(0, "string"), (1, "string"), (2, "string"), (3, "bool"), (504, "string"), (503, "long"),
                       (505, "long"), (507, "long"),
                       (562, "long"), (508, "list"), (510, "list"), (517, "map"), (526, "int"), (528, "int"),
                       (540, "int"), (541, "long")]:
        assert infos[code][0] == children[kind], code
    assert max(infos) < 10_000

    def bit(code, ordinal):
        return infos[code][1] >> ordinal & 1 == 1

    # supportsANSI92EntryLevelSQL, …Intermediate…, …Full…; supportsLimitedOuterJoins, supportsFullOuterJoins; core grammar.
    assert [bit(526, level) for level in (0, 1, 2)] == [False, True, False]
    assert [bit(528, kind) for kind in (0, 1, 2)] == [False, True, True]
    assert [bit(525, grammar) for grammar in (0, 1, 2)] == [False, True, False]
    assert infos[504][1] == '"' and infos[3][1] is True


def test_dbeaver_browses_through_jdbc(shop):
    connection = Jdbc(shop, login("u", "p"))
    assert connection.metadata(M.CommandGetCatalogs()) == [{"catalog_name": "tidemark"}]
    schemas = connection.metadata(M.CommandGetDbSchemas(catalog="tidemark"))
    assert [row["db_schema_name"] for row in schemas] == ["depot", "information_schema", "shop", "system"]
    types = [row["table_type"] for row in connection.metadata(M.CommandGetTableTypes())]
    tables = connection.metadata(M.CommandGetTables(catalog="tidemark", db_schema_filter_pattern="shop",
                                                    table_name_filter_pattern="%", table_types=types))
    assert [row["table_name"] for row in tables] == ["a_b", "axb", "events", "orders"]
    assert {row["table_type"] for row in tables} == {"BASE TABLE"} <= set(types)
    # getColumns: GetTables with schemas, read by the driver.
    columns, = connection.metadata(M.CommandGetTables(db_schema_filter_pattern="shop",
                                                      table_name_filter_pattern="orders", include_schema=True))
    told = {field.name: (field.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"],
                         field.nullable) for field in read_schema(columns["table_schema"])}
    assert told["_id"] == (b"VARCHAR", False) and told["total"] == (b"BIGINT", True)
    for keys in (M.CommandGetPrimaryKeys(db_schema="shop", table="orders"),
                 M.CommandGetImportedKeys(db_schema="shop", table="orders"),
                 M.CommandGetExportedKeys(db_schema="shop", table="orders")):
        assert connection.metadata(keys) == []
    # The first page of a table, and what it asks to count it.
    assert len(connection.query('SELECT * FROM "tidemark"."shop"."orders" LIMIT 200')) == 3
    assert connection.query('SELECT count(*) AS n FROM "shop"."orders" x') == [(3,)]
    connection.close()


def test_tableau_checks_a_connection_through_jdbc(shop):
    connection = Jdbc(shop, login("u", "p"))
    assert connection.query('SELECT "SUBCOL" AS "COL" FROM (SELECT 1 AS "SUBCOL") "SUBQUERY" GROUP BY 1') == [(1,)]
    error = refused(lambda: connection.query('SELECT "SUBCOL" AS "COL" FROM (SELECT 1 AS "SUBCOL") "SUBQUERY" GROUP BY 2'), "INVALID_ARGUMENT")
    assert "position 2" in error.details()
    # Aliases with dots, as Tableau makes them.
    assert connection.query('SELECT "shop.orders"."state" AS "state", COUNT(DISTINCT "shop.orders"."_id") AS "n" FROM "shop"."orders" "shop.orders" '
                            'GROUP BY "shop.orders"."state" HAVING COUNT(1) > 0 ORDER BY 1') == [("new", 2),
                                ("paid", 1)]


class Odbc:
    """A connection of the ODBC driver: everything about the server at once, statements unprepared, parameters never."""

    def __init__(self, server, user=None, password=None, token=None):
        header = f"Bearer {token}" if token else login(user, password)
        # AuthenticateBasicToken and the handshake with a bearer send no message at all.
        answer = Door(server, [("authorization", header)]).call("Handshake", iter([]))
        self.door = Door(server, [("authorization", answer.headers["authorization"])])
        self.infos = info_of(self.door, [])

    def exec_direct(self, sql):
        info = self.door.info(asking(sql))
        rows = []
        for endpoint in info.endpoint:
            rows += self.door.call("DoGet", endpoint.ticket).rows
        return rows


@pytest.mark.parametrize("options", [{"user": "someone", "password": ROOT}, {"token": ROOT}])
def test_odbc_connects_loads_all_infos_and_asks(lake, options):
    connection = Odbc(lake.server, **options)
    # Unchecked casts: another child of the union would be undefined behaviour there.
    for code in (503, 505, 507, 562, *range(541, 556), *range(557, 562)):
        assert connection.infos[code][0] == 2, code
    lowest = connection.infos[526][1] & -connection.infos[526][1]
    assert lowest == connection.infos[526][1], "the driver takes the lowest bit for the level"
    major, minor, patch = connection.infos[1][1].split(".")
    assert major.isdigit() and minor.isdigit() and patch
    assert connection.exec_direct("SELECT count(*) AS n FROM shop.orders_shop") == [(2,)]
    prepared = connection.door.prepare("SELECT _id FROM shop.orders_shop ORDER BY 1")  # SQLPrepare, SQLExecute
    assert connection.door.get(connection.door.execute(prepared.prepared_statement_handle)).rows == [("1",), ("2",)]
    connection.door.close(prepared.prepared_statement_handle)


def test_power_bi_reads_types_tables_and_columns_through_odbc(shop):
    connection = Odbc(shop, user="u", password="p")
    types = connection.door.told(M.CommandGetXdbcTypeInfo())  # SQLGetTypeInfo(SQL_ALL_TYPES)
    assert types["data_type"].to_pylist().count(-5) == 2 and types.num_rows == 18
    bigint = connection.door.told(M.CommandGetXdbcTypeInfo(data_type=-5)).to_pylist()
    assert [(it["type_name"], it["column_size"], it["num_prec_radix"]) for it in bigint] == [("BIGINT", 19, 10),
        ("BIGINT UNSIGNED", 19, 10)]
    # SQLTables with a catalog of all, then of none; SQLColumns.
    assert connection.door.told(M.CommandGetCatalogs()).num_rows == 1
    tables = connection.door.told(M.CommandGetTables(catalog="tidemark", db_schema_filter_pattern="%",
                                                     table_name_filter_pattern="%", table_types=["TABLE", "VIEW"]))
    assert tables.num_rows > 6
    described = connection.door.told(M.CommandGetTables(db_schema_filter_pattern="shop",
                                                        table_name_filter_pattern="orders", include_schema=True))
    for field in read_schema(described["table_schema"][0].as_py()):
        assert field.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"], "a type that is not told is None to Power Query"
    # A preview that folds, in pages.
    sql = 'SELECT "_id", "total" FROM "shop"."orders" ORDER BY "_id" LIMIT {} OFFSET {}'
    assert [connection.exec_direct(sql.format(2, offset)) for offset in (0, 2)] == [[("1", 10), ("2", 20)], [("3", 30)]]


def test_grafana_reads_the_first_endpoint_with_4_mib_messages(shop):
    """arrow-go of 2024: GetTables of these two types, statements unprepared, messages as gRPC limits them."""
    door = Door(shop, [bearer("anything"), ("database", "shop"), ("bucket", "x")], receive_bytes_max=4 << 20)
    infos = info_of(door, [])
    assert infos[508][0] == 4
    tables = door.told(M.CommandGetTables(table_types=["BASE TABLE", "table"], include_schema=True))
    assert "orders" in tables["table_name"].to_pylist()
    info = door.info(asking("SELECT date_trunc('hour', _ts) AS time, sum(total) AS total FROM orders GROUP BY 1 ORDER BY 1"))
    assert [str(it) for it in read_schema(info.schema).types][1] == "int64"
    assert [row[1] for row in door.call("DoGet", info.endpoint[0].ticket).rows] == [20, 40]


def test_flightsql_dbapi_and_superset(shop):
    """`datafusion+flightsql://u:p@h:port?insecure=True&database=shop`, by pyarrow's own client."""
    answer = Door(shop, [("authorization", login("u", "p"))]).call("Handshake", iter([]))
    door = Door(shop, [("authorization", answer.headers["authorization"]), ("database", "shop")])
    infos = info_of(door, [0, 2, 3, 504])
    assert sorted(infos) == [0, 2, 3, 504] and infos[504] == (0, '"')
    assert "shop" in door.told(M.CommandGetDbSchemas()).to_pydict()["db_schema_name"]
    assert "orders" in door.told(M.CommandGetTables(db_schema_filter_pattern="shop")).to_pydict()["table_name"]
    tables = door.told(M.CommandGetTables(db_schema_filter_pattern="shop", table_name_filter_pattern="orders",
                                          include_schema=True))
    assert "total" in read_schema(tables["table_schema"][0].as_py()).names
    assert door.ask("SELECT sum(total) AS total FROM orders") == [(60,)]


def test_firetigers_javascript_client(lake):
    """Bearer, one message, ended; it hangs where no message comes back."""
    door = Door(lake.server, [bearer(ROOT)])
    assert [it.payload for it in door.call("Handshake", iter([M.HandshakeRequest()])).messages] == [ROOT.encode()]
    schema = door.call("GetSchema", asking("SELECT _id FROM shop.orders_shop")).one.schema  # getQuerySchema
    assert read_schema(schema).names == ["_id"]
    assert door.ask("SELECT _id FROM shop.orders_shop ORDER BY 1") == [("1",), ("2",)]
    assert door.told(M.CommandGetPrimaryKeys(db_schema="shop", table="orders_shop")).num_rows == 0


def test_lancedbs_javascript_client(lake):
    """A login padded, one message, never ended; the payload is the raw token, and there is one endpoint without a location."""
    silent = queue.Queue()
    silent.put(M.HandshakeRequest())
    call = Door(lake.server, [("authorization", login("someone", ROOT))]).begin("Handshake", iter(silent.get, None),
        timeout=20)
    payload = next(call).payload.decode()
    silent.put(None)
    door = Door(lake.server, [bearer(payload)])
    info = door.info(asking("SELECT _id FROM shop.orders_shop ORDER BY 1"))
    assert len(info.endpoint) == 1 and not info.endpoint[0].location
    assert door.get(info).rows == [("1",), ("2",)]


def test_adbc_prepares_binds_with_the_last_handle_and_closes_with_it(shop):
    """arrow-go: no message in the handshake, a login without padding; each bind brings the handle for the next call."""
    header = login("user", "pw").rstrip("=")
    answer = Door(shop, [("authorization", header)]).call("Handshake", iter([]))
    door = Door(shop, [("authorization", answer.headers["authorization"])])
    assert info_of(door, [8]) == {8: (3, 1)}
    begun = door.act("BeginTransaction", M.ActionBeginTransactionRequest(),
                     M.ActionBeginTransactionResult).transaction_id
    prepared = door.prepare("SELECT _id FROM shop.orders WHERE total = ?", transaction_id=begun)
    handle = prepared.prepared_statement_handle
    for total, expected in ((10, ["1"]), (20, ["2"])):
        handle = door.bind(handle, pa.table({"0": pa.array([total], pa.int64())}))
        info = door.execute(handle)
        answer = door.get(info)
        assert answer.table["_id"].to_pylist() == expected
        assert answer.table.schema.equals(read_schema(info.schema)), "endpoint 0 returned inconsistent schema"
        assert read_schema(info.schema).equals(read_schema(prepared.dataset_schema)), "told when it was prepared"
    door.close(handle)
    door.act("EndTransaction", M.ActionEndTransactionRequest(transaction_id=begun, action=1))
    begun = door.act("BeginTransaction", M.ActionBeginTransactionRequest(),
                     M.ActionBeginTransactionResult).transaction_id
    door.act("EndTransaction", M.ActionEndTransactionRequest(transaction_id=begun, action=2))
    assert M.CloseSessionResult.FromString(door.call("DoAction", action("CloseSession",
        M.CloseSessionRequest())).one.body).status == 1


def test_old_jdbc_tells_updates_by_answers_without_columns(shop):
    """Up to version 18 the driver knows no `is_update`: what has columns is a query, and what has none is put."""
    connection = Jdbc(shop, login("u", "p"))
    for sql in ("SELECT 1 AS one", "SHOW TABLES", "EXPLAIN SELECT 1", "CALL snapshot('shop.orders', 'kept')"):
        assert len(read_schema(connection.prepare(sql).dataset_schema)) > 0, sql
    for sql in ("SET tidemark.nearest = on", "RESET ALL"):
        assert len(read_schema(connection.prepare(sql).dataset_schema)) == 0, sql
    assert connection.query("CALL snapshot('shop.orders', 'kept')")[0][0] == "kept"


def test_a_session_that_was_set_belongs_to_its_token(lake):
    """The cookie of one token is none of another's."""
    one, two = (Door(lake.server, [bearer(token)]) for token in (ROOT, lake.token("query")))
    _, session, _ = set_options(one, option("schema", string_value="shop"))
    stolen = two.with_headers(*two.headers, session.headers[0])
    with pytest.raises(grpc.RpcError) as refusal:
        options_of(stolen)
    assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
