"""gRPC's catalog service as clients of other makers see it: messages are made from what reflection tells."""

import json
import pathlib
import time

import grpc
import pyarrow.parquet as parquet
import pytest
from test_grpc import Door
from test_tokens import CANARY, Lake

SERVICE = "tidemark.v1.Catalog"


class Catalog:
    """The service; methods are calls, their arguments the fields of the request."""

    def __init__(self, server, token=None):
        self.door = Door(server, token)

    def __getattr__(self, method):
        request = self.door.pool.FindServiceByName(SERVICE).FindMethodByName(method).input_type.name
        return lambda **fields: self.door.call(method, self.door.message(request, **fields), SERVICE)


@pytest.fixture
def catalog(server):
    return Catalog(server)


def insert(server, count, first=0):
    changes = [{"op": "insert", "id": str(first + n), "doc": {"n": n, "name": f"n{n}"}} for n in range(count)]
    return server.changes("shop/orders", changes)


def code(asked):
    with pytest.raises(grpc.RpcError) as refused:
        asked()
    return refused.value.code().name


def micros(text):
    import datetime
    at = datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return at // datetime.timedelta(microseconds=1)


def test_namespaces_and_collections_are_made_listed_and_described(server, catalog):
    assert not catalog.ListNamespaces().namespaces
    assert catalog.CreateNamespace(namespace="shop").collections == 0
    assert code(lambda: catalog.CreateNamespace(namespace="shop")) == "ALREADY_EXISTS"
    made = catalog.CreateCollection(namespace="shop", collection="orders")
    assert (made.version, made.documents, list(made.columns)) == (0, 0, [])
    assert code(lambda: catalog.CreateCollection(namespace="shop", collection="orders")) == "ALREADY_EXISTS"
    assert server.rows("SELECT count(*) FROM shop.orders") == [(0,)], "it can be asked before its first change"
    insert(server, 3)
    told = catalog.DescribeCollection(namespace="shop", collection="orders")
    assert [(column.name, column.type) for column in told.columns] == [("n", "Int64"), ("name", "Utf8")]
    assert told.created_at_us == made.created_at_us and told.shard == made.shard
    assert [one.collection for one in catalog.ListCollections(namespace="shop").collections] == ["orders"]
    assert [one.namespace for one in catalog.ListNamespaces().namespaces] == ["shop"]
    for wrong in (lambda: catalog.DescribeNamespace(namespace="nothing"), lambda: catalog.DescribeCollection(namespace="shop", collection="x")):
        assert code(wrong) == "NOT_FOUND"
    assert code(lambda: catalog.CreateCollection(namespace="shop", collection="../x")) == "INVALID_ARGUMENT"


def test_what_was_made_is_there_after_a_restart(server, tmp_path):
    Catalog(server).CreateCollection(namespace="shop", collection="orders")
    server.process.kill()
    server.process.wait()
    again = type(server)(tmp_path)
    try:
        assert [one.collection for one in Catalog(again).ListCollections(namespace="shop").collections] == ["orders"]
        insert(again, 2)
        assert again.rows("SELECT count(*) FROM shop.orders") == [(2,)]
    finally:
        again.stop()


def test_retention_is_said_and_taken_back(catalog):
    catalog.CreateCollection(namespace="shop", collection="orders")
    kept = catalog.SetRetention(namespace="shop", collection="orders", retention={"daily": 3})
    assert (kept.said.daily, kept.in_force.daily, kept.said.HasField("monthly")) == (3, 3, False)
    assert catalog.DescribeCollection(namespace="shop", collection="orders").retention.said.daily == 3
    taken_back = catalog.SetRetention(namespace="shop", collection="orders", retention={})
    assert not taken_back.said.HasField("daily") and taken_back.in_force.daily != 3
    assert code(lambda: catalog.SetRetention(namespace="shop", retention={"daily": 10**9})) == "INVALID_ARGUMENT"


def test_schemas_have_versions(server, catalog):
    schema = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}, "name": {"type": "string"}}})
    assert catalog.DeclareSchema(namespace="shop", collection="orders", schema=schema).version == 1
    assert catalog.DeclareSchema(namespace="shop", collection="orders", schema=schema, lenient=True).version == 2
    insert(server, 1)
    told = catalog.ListSchemaVersions(namespace="shop", collection="orders")
    assert [(one.version, one.lenient, one.schema) for one in told.declared] == [(1, False, schema), (2, True, schema)]
    assert [column.name for column in told.columns[-1].columns] == ["n", "name"] and told.columns[-1].from_us > 0
    assert code(lambda: catalog.DeclareSchema(namespace="shop", collection="orders", schema="{")) == "INVALID_ARGUMENT"


def test_snapshots_are_taken_listed_and_dropped(server, catalog):
    first = insert(server, 3)
    insert(server, 2, first=10)
    taken = catalog.TakeSnapshot(namespace="shop", collection="orders", name="before", as_of_us=micros(first["system_time"]))
    assert (taken.name, taken.kind, taken.rows) == ("before", "named", 3)
    assert [one.name for one in catalog.ListSnapshots(namespace="shop", collection="orders").snapshots] == ["before"]
    assert server.rows('SELECT name, rows FROM shop."orders$snapshots"') == [("before", 3)]
    catalog.DropSnapshot(namespace="shop", collection="orders", name="before")
    assert not catalog.ListSnapshots(namespace="shop", collection="orders").snapshots
    assert code(lambda: catalog.DropSnapshot(namespace="shop", collection="orders", name="before")) == "NOT_FOUND"


def folded(root, listing, at):
    """What another engine makes of the files, as the service's description says."""
    kinds = listing.DESCRIPTOR.fields_by_name["files"].message_type.enum_types_by_name["Kind"].values_by_number
    best = {}
    for file in listing.files:
        kind, table = kinds[file.kind].name, parquet.read_table(root / file.path)
        assert table.num_rows == file.rows
        for row in table.to_pylist():
            if row["_system_time"] > at:
                continue
            row["is_dead"] = kind == "KIND_TOMBSTONES" or row.get("_op") == "delete"
            order = (row["_ts"], row.get("_bookmark") or "", row["_system_time"], row["_seq"])
            if row["_id"] not in best or best[row["_id"]][0] < order:
                best[row["_id"]] = order, row
    return sorted(key for key, (_, row) in best.items() if not row["is_dead"])


def test_another_engine_makes_a_table_as_of_an_instant_of_its_files(server, catalog):
    import datetime
    instants = []
    for step in range(4):
        insert(server, 30, first=30 * step)
        gone = server.changes("shop/orders", [{"op": "delete", "id": str(30 * step + n)} for n in range(5)])
        instants.append(gone["system_time"])
        server.post("/v1/compact", {"namespace": "shop"})
        insert(server, 1, first=1000 + step)
    server.post("/v1/publish", {})
    root = pathlib.Path(server.data) / "lake"
    for text in instants:
        listing = catalog.ListFiles(namespace="shop", table="orders", as_of_us=micros(text))
        assert listing.files and listing.complete_up_to_us >= micros(text)
        expected = [row[0] for row in server.rows(f"SELECT _id FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '{text}' ORDER BY _id")]
        assert folded(root, listing, datetime.datetime.fromisoformat(text)) == expected, text
    events = catalog.ListFiles(namespace="shop", table="events")
    assert sum(file.rows for file in events.files) == server.rows("SELECT count(*) FROM shop.events")[0][0]


def test_changes_are_watched(server, catalog):
    stream = catalog.Watch(namespace="", from_start=True)
    names = catalog.door.message("CatalogChange").DESCRIPTOR.enum_types_by_name["Kind"].values_by_number
    seen, wanted = set(), {("KIND_NAMESPACE_CREATED", ""), ("KIND_COLLECTION_CREATED", "orders"), ("KIND_COLUMNS_CHANGED", "orders"),
                           ("KIND_COMMITTED", "events"), ("KIND_COMMITTED", "orders"), ("KIND_SNAPSHOTS_CHANGED", "orders"),
                           ("KIND_RETENTION_CHANGED", "orders"), ("KIND_SCHEMA_DECLARED", "orders")}
    catalog.DeclareSchema(namespace="shop", collection="orders", schema="{}", lenient=True)
    insert(server, 3)
    catalog.TakeSnapshot(namespace="shop", collection="orders", name="a")
    catalog.SetRetention(namespace="shop", collection="orders", retention={"daily": 2})
    for change in stream:
        seen.add((names[change.kind].name, change.table))
        if wanted <= seen:
            break
    stream.cancel()
    assert wanted <= seen


def test_a_stream_ends_when_the_server_stops(server, catalog):
    stream = catalog.Watch(from_start=False)
    stream.initial_metadata()
    assert server.stop() == 0
    assert list(stream) == []


def test_a_token_of_one_namespace_finds_no_trace_of_another(tmp_path):
    lake = Lake(tmp_path)
    try:
        catalog = Catalog(lake.server, lake.token("query"))
        assert [one.namespace for one in catalog.ListNamespaces().namespaces] == ["shop"]
        absent = f"{CANARY}x"
        for call in ("DescribeNamespace", "ListCollections", "Watch"):
            said = []
            for namespace in (CANARY, absent):
                with pytest.raises(grpc.RpcError) as refused:
                    list(getattr(catalog, call)(namespace=namespace))
                said.append((refused.value.code(), refused.value.details().replace(namespace, "it")))
            assert said[0] == said[1], call
        stream = catalog.Watch(from_start=True)
        found = []
        for change in stream:
            found.append(change.namespace)
            if len(found) == 3:
                stream.cancel()
                break
        assert set(found) == {"shop"}
        for call, fields in (("SetRetention", {"retention": {"daily": 1}}), ("CreateCollection", {"collection": "x"}),
                             ("TakeSnapshot", {"collection": "orders_shop"}), ("DeclareSchema", {"collection": "x", "schema": "{}"})):
            assert code(lambda: getattr(catalog, call)(namespace="shop", **fields)) == "PERMISSION_DENIED", call
        admin = Catalog(lake.server, lake.token("admin", "query"))
        assert code(lambda: admin.CreateNamespace(namespace="another")) == "NOT_FOUND"
        admin.CreateCollection(namespace="shop", collection="made")
        records = json.loads(lake.ask("GET", "/v1/audit")[1])["records"]
        assert [(one["action"], one["object"], one["door"], one["outcome"]) for one in records[:1]] == [("create_collection", "made", "grpc", "ok")]
    finally:
        lake.server.stop()


def test_a_revoked_token_watches_no_longer(tmp_path):
    lake = Lake(tmp_path)
    try:
        token = lake.token("query")
        stream = Catalog(lake.server, token).Watch(from_start=False)
        stream.initial_metadata()
        assert lake.ask("DELETE", f"/v1/tokens/{token.split('_')[1]}")[0] == 204
        begun = time.monotonic()
        with pytest.raises(grpc.RpcError) as ended:
            list(stream)
        assert ended.value.code() == grpc.StatusCode.UNAUTHENTICATED and time.monotonic() - begun < 60
    finally:
        lake.server.stop()
