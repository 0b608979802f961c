"""Dropping and bringing back, through every door that says so: HTTP, gRPC's catalog service, SQL's CALL, the command line."""

import contextlib
import http.client
import json
import os
import random
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import binary
from test_catalog import Catalog, code, insert
from test_tokens import CANARY, lake  # noqa: F401

KILLS = 8
WAIT_SECONDS = 60


def refused(asked):
    with pytest.raises(urllib.error.HTTPError) as told:
        asked()
    problem = json.load(told.value)
    return told.value.code, problem["code"]


def call(server, path, body=None):
    """A POST whose answer may be empty."""
    raw = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.http + path, data=raw, headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def listed(server):
    with urllib.request.urlopen(server.http + "/v1/dropped", timeout=60) as answer:
        return json.load(answer)["dropped"]


def tidemark(server, *words):
    environment = {**os.environ, "TIDEMARK_URL": server.http}
    done = subprocess.run([binary(), *words], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.every_store
def test_a_dropped_collection_is_found_by_no_door_and_comes_back_as_it_was(server, orders):
    before = server.rows("SELECT _id, total FROM shop.orders ORDER BY _id")
    told = call(server, "/v1/shop/orders/drop", {"grace_s": 3600})
    assert told["namespace"] == "shop" and told["collection"] == "orders" and told["until"] > told["dropped_at"]
    assert refused(lambda: server.rows("SELECT * FROM shop.orders")) == (404, "unknown_table")
    assert server.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'") == [("events",)]
    assert server.rows("SELECT count(*) FROM system.collections") == [(0,)]
    assert server.rows("SELECT namespace, collection FROM system.dropped") == [("shop", "orders")]
    assert listed(server) == [told]
    assert refused(lambda: server.changes("shop/orders", [{"op": "delete", "id": "1"}])) == (409, "dropped")
    assert refused(lambda: server.post("/v1/shop/events", {"events": [{"type": "cdc", "collection": "orders"}]}))[0] in (409, 422)
    assert len(server.rows("SELECT * FROM shop.events")) == 5, "its changes stay events"
    for verb in ("snapshots", "restore", "clean-up"):
        assert refused(lambda: call(server, f"/v1/shop/orders/{verb}", {}))[0] in (400, 404), verb
    assert call(server, "/v1/shop/orders/undrop") is None
    assert server.rows("SELECT _id, total FROM shop.orders ORDER BY _id") == before and not listed(server)
    assert refused(lambda: call(server, "/v1/shop/orders/undrop")) == (409, "not_dropped")
    assert refused(lambda: call(server, "/v1/shop/nothing/drop")) == (404, "unknown_collection")
    assert refused(lambda: call(server, "/v1/nothing/drop"))[0] == 404
    assert refused(lambda: call(server, "/v1/shop/orders/drop", {"grace_s": 10**12})) == (400, "invalid_grace")


@pytest.mark.every_store
def test_a_namespace_goes_with_all_that_is_in_it_and_its_name_begins_anew(server, orders):
    batch = {"events": [{"id": "e1", "type": "click", "data": {"n": 1}}]}
    assert server.post("/v1/shop/events", batch)["accepted"] == 1
    call(server, "/v1/shop/drop")
    assert server.rows("SELECT count(*) FROM system.namespaces") == [(0,)]
    assert refused(lambda: server.post("/v1/shop/events", batch)) == (409, "dropped")
    call(server, "/v1/shop/undrop")
    assert server.post("/v1/shop/events", batch)["duplicates"] == 1
    call(server, "/v1/shop/drop", {"grace_s": 0})
    assert not listed(server)
    assert refused(lambda: call(server, "/v1/shop/undrop"))[0] == 404
    assert server.post("/v1/shop/events", batch)["accepted"] == 1, "what was remembered went too"
    assert server.rows("SELECT id FROM shop.events") == [("e1",)]
    assert refused(lambda: server.rows("SELECT * FROM shop.orders"))[0] == 404
    past = f"SELECT * FROM shop.events FOR SYSTEM_TIME AS OF TIMESTAMP '{orders}'"
    assert refused(lambda: server.rows(past))[1] in ("outside_window", "before_creation")


def test_what_is_over_its_grace_goes_by_itself(server, orders):
    call(server, "/v1/shop/orders/drop", {"grace_s": 1})
    assert left(server) == 0 and not listed(server)
    insert(server, 2)
    assert server.rows("SELECT n, name FROM shop.orders ORDER BY n") == [(0, "n0"), (1, "n1")]
    assert server.rows("SELECT count(*) FROM history('shop.orders') WHERE _op = 'insert'") == [(2,)]


def test_grpc_says_the_same(server, orders):
    catalog = Catalog(server)
    dropped = catalog.DropCollection(namespace="shop", collection="orders", grace_s=60)
    assert (dropped.namespace, dropped.collection, dropped.until_us - dropped.dropped_at_us) == ("shop", "orders", 60_000_000)
    assert [one.collection for one in catalog.ListDropped().dropped] == ["orders"]
    assert code(lambda: catalog.DescribeCollection(namespace="shop", collection="orders")) == "NOT_FOUND"
    assert code(lambda: catalog.CreateCollection(namespace="shop", collection="orders")) in ("FAILED_PRECONDITION", "ALREADY_EXISTS", "ABORTED")
    assert catalog.UndropCollection(namespace="shop", collection="orders").collection == "orders"
    week = catalog.DropNamespace(namespace="shop")
    assert week.until_us - week.dropped_at_us == 7 * 86_400_000_000 and not week.collection
    assert not catalog.ListNamespaces().namespaces
    assert catalog.UndropNamespace(namespace="shop").collections == 1
    catalog.DropNamespace(namespace="shop", grace_s=0)
    assert catalog.CreateCollection(namespace="shop", collection="orders").documents == 0
    assert server.rows("SELECT count(*) FROM shop.orders") == [(0,)]


@pytest.mark.every_store
def test_sql_calls_it_and_records_who_did(server, orders):
    (name, until), = server.rows("CALL drop_collection('shop.orders', grace_s => 60)")
    assert name == "shop.orders" and until.endswith("Z")
    assert server.rows("CALL undrop_collection('shop.orders')") == [("shop.orders",)]
    done = server.rows("SELECT action, object, door, outcome FROM system.audit ORDER BY at")
    assert done == [("drop_collection", "orders", "sql", "ok"), ("undrop_collection", "orders", "sql", "ok")]


def test_the_command_line_drops_lists_and_brings_back(server, orders):
    assert "undrop shop.orders" in tidemark(server, "drop", "shop.orders", "--grace", "2d")
    assert "orders" in tidemark(server, "dropped")
    assert "brought back shop.orders" in tidemark(server, "undrop", "shop.orders")
    assert "erased shop" in tidemark(server, "drop", "shop", "--now")


def test_a_file_is_loaded_again_after_its_collection_was_erased(server, tmp_path):
    file = tmp_path / "orders.ndjson"
    file.write_text("".join(json.dumps({"op": "insert", "id": str(n), "doc": {"n": n}}) + "\n" for n in range(3)))
    load = ("ingest", str(file), "--namespace", "shop", "--collection", "orders")
    tidemark(server, *load)
    tidemark(server, *load)
    assert server.rows("SELECT count(*) FROM history('shop.orders')") == [(3,)], "the same file twice is stored once"
    call(server, "/v1/shop/orders/drop")
    again = subprocess.run([binary(), *load], env={**os.environ, "TIDEMARK_URL": server.http}, capture_output=True, text=True, timeout=60)
    assert again.returncode != 0 and "was dropped" in again.stderr, again
    call(server, "/v1/shop/orders/drop", {"grace_s": 0})
    for _again in range(2):
        tidemark(server, *load)
        assert server.rows("SELECT count(*) FROM history('shop.orders')") == [(3,)]


def test_a_truncate_of_what_was_dropped_is_refused(server, orders):
    truncate = {"op": "t", "source": {"db": "d", "schema": "s", "table": "orders", "lsn": 1, "ts_ms": 1767300000000}, "ts_ms": 1767300000000}
    call(server, "/v1/shop/orders/drop")
    assert refused(lambda: server.post("/v1/shop/orders/changes", truncate)) == (409, "dropped")
    call(server, "/v1/shop/orders/undrop")
    assert server.rows("SELECT count(*) FROM shop.orders") == [(2,)]
    server.post("/v1/shop/orders/changes", truncate)
    assert server.rows("SELECT count(*) FROM shop.orders") == [(0,)]


def test_no_side_door_speaks_of_what_was_dropped(server, orders):
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}}
    server.put("/v1/shop/orders/schema?strictness=lenient", schema)
    partly = [{"op": "insert", "id": "7", "doc": {"total": 7}}, {"op": "insert", "id": "8"}]
    body = "\n".join(json.dumps(change) for change in partly).encode()
    assert server.post("/v1/shop/orders/changes?on_error=partial", body, "application/x-ndjson")["rejected"] == 1
    assert server.rows("SELECT count(*) FROM system.rejected") == [(1,)]
    call(server, "/v1/shop/orders/drop")
    assert refused(lambda: server.put("/v1/shop/orders/schema", schema)) == (409, "dropped")
    assert refused(lambda: server.put("/v1/shop/orders/retention", {"daily": 3})) == (409, "dropped")
    assert refused(lambda: urllib.request.urlopen(server.http + "/v1/shop/orders/schema", timeout=60)) == (409, "dropped")
    assert refused(lambda: server.post("/v1/publish", {"namespace": "shop", "table": "orders"})) == (404, "unknown_table")
    assert server.rows("SELECT count(*) FROM system.rejected") == [(0,)]
    call(server, "/v1/shop/orders/undrop")
    assert server.rows("SELECT count(*) FROM system.rejected") == [(1,)]
    call(server, "/v1/shop/orders/drop", {"grace_s": 0})
    server.changes("shop/orders", [{"op": "insert", "id": "1", "doc": {"total": 1}}])
    assert server.rows("SELECT count(*) FROM system.rejected") == [(0,)], "nor when the name lives again"
    bad = json.dumps({"op": "insert", "id": "8", "text": CANARY}).encode()
    assert server.post("/v1/shop/orders/changes?on_error=partial", bad, "application/x-ndjson")["accepted"] == 0
    assert server.rows("SELECT count(*) FROM system.rejected") == [(1,)]
    call(server, "/v1/shop/orders/drop", {"grace_s": 0})
    server.changes("shop/orders", [{"op": "insert", "id": "1", "doc": {"total": 1}}])
    assert server.rows("SELECT count(*) FROM system.rejected") == [(0,)], "also where nothing was appended behind them"
    assert server.post("/v1/shop/orders/changes?on_error=partial", body, "application/x-ndjson")["rejected"] == 1
    assert server.rows("SELECT count(*) FROM system.rejected") == [(1,)]


def test_what_a_client_has_of_the_past_does_not_outlive_its_table(server, orders):
    server.post("/v1/shop/events", {"events": [{"type": "click", "data": {}}]})
    question = json.dumps({"sql": "SELECT count(*) FROM shop.events", "as_of": orders}).encode()

    def asked(tag=None):
        headers = {"Content-Type": "application/json", **({"If-None-Match": tag} if tag else {})}
        request = urllib.request.Request(server.http + "/v1/query", data=question, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers["ETag"]
        except urllib.error.HTTPError as told:
            return told.code, None

    status, tag = asked()
    assert status == 200 and tag and asked(tag)[0] == 304
    call(server, "/v1/shop/drop")
    assert asked(tag)[0] == 404
    call(server, "/v1/shop/drop", {"grace_s": 0})
    server.post("/v1/shop/events", {"events": [{"type": "click", "data": {}}]})
    assert asked(tag)[0] == 400


def test_only_who_administers_a_namespace_drops_it_or_hears_of_it(lake):
    reader, owner = lake.token("query", "ingest"), lake.token("query", "admin")
    assert lake.ask("POST", "/v1/shop/orders_shop/drop", {}, reader)[0] == 403
    assert lake.ask("POST", f"/v1/{CANARY}/drop", {}, owner)[0] == 404
    assert lake.ask("GET", "/v1/dropped", token=reader)[0] == 403
    assert lake.ask("POST", f"/v1/{CANARY}/orders_{CANARY}/drop", {})[0] == 200
    assert lake.ask("POST", "/v1/shop/orders_shop/drop", {}, owner)[0] == 200
    for seen in (lake.ask("GET", "/v1/dropped", token=owner), lake.sql("SELECT * FROM system.dropped", owner)):
        assert seen[0] == 200 and "orders_shop" in seen[1] and CANARY not in seen[1]
    assert "orders_shop" not in lake.sql("SELECT * FROM system.dropped", reader)[1]
    assert lake.ask("POST", "/v1/shop/orders_shop/undrop", None, reader)[0] == 403
    assert lake.ask("POST", "/v1/shop/orders_shop/undrop", None, owner)[0] == 204


@pytest.mark.every_store
def test_a_kill_while_it_is_erased_is_gone_on_from(server):
    chance, current = random.Random(5), server
    try:
        for round in range(KILLS):
            insert(current, 50)
            current.changes("shop/people", [{"op": "insert", "id": str(round), "doc": {"n": round}}])
            erasing = threading.Thread(target=quietly, args=(lambda: call(current, "/v1/shop/orders/drop", {"grace_s": 0}),))
            erasing.start()
            time.sleep(chance.random() * 0.04)
            current.kill()
            erasing.join(WAIT_SECONDS)
            current = current.again()
            assert current.rows("SELECT count(*) FROM shop.people") == [(round + 1,)]
            # Dropped before it died or not: in the end it is gone, and its name is free.
            quietly(lambda: call(current, "/v1/shop/orders/drop", {"grace_s": 0}))
            assert left(current) == 0
    finally:
        current.kill()


def quietly(asked):
    with contextlib.suppress(OSError, http.client.HTTPException):
        asked()


def left(server):
    """Documents of the collection once nothing of it is being erased."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            server.changes("shop/orders", [{"op": "delete", "id": "nobody"}])
            return server.rows("SELECT count(*) FROM shop.orders")[0][0]
        except urllib.error.HTTPError as refused:
            assert refused.code in (409, 503), refused.read()
            time.sleep(0.2)
    raise AssertionError("it is never erased")
