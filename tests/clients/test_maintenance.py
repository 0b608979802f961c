"""Maintenance: ingest is switched off at every door and on again, while questions go on; a restart and a successor keep it.

What was acknowledged before goes on into files, and the answers of the switch tell how much has not.
"""

import http.client
import json
import os
import subprocess
import threading

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import grpc
import psycopg
import pyarrow as pa
import pytest
from conftest import Server, binary
from owners import Lake as Owners
from owners import ask, until
from security import bearer, metric, postgres, serving
from test_grpc import Door, Stream
from test_tokens import ROOT, code

PATH = "/v1/maintenance"
EVENT = {"type": "order.placed", "id": "e1"}
CHANGE = {"op": "insert", "id": "9", "doc": {"total": 9}}


@pytest.fixture
def lake(tmp_path):
    with serving(tmp_path) as found:
        yield found


def told(lake, method="GET", body=None, **more):
    status, text = lake.ask(method, PATH, body, **more)
    assert status == 200, text
    return json.loads(text)


def sent(server, method, path, body):
    """The answer with its headers."""
    connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=60)
    try:
        return ask(connection, method, path, body, dict([bearer(ROOT)]))
    finally:
        connection.close()


def ready(lake):
    status, text = lake.ask("GET", "/ready", token=None)
    return status, json.loads(text).get("maintenance")


def actions(lake):
    found = json.loads(lake.ask("GET", "/v1/audit?limit=20")[1])["records"]
    return [(one["action"], one["who"], one["object"], one["outcome"]) for one in found if "maintenance" in one["action"]]


def unavailable(call):
    """A call of gRPC that is refused for now, and told when to come back."""
    with pytest.raises(grpc.RpcError) as refusal:
        call()
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE, refusal.value
    details = dict(refusal.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"google.rpc.RetryInfo" in details and b"maintenance" in details, details


def test_every_door_refuses_and_all_else_goes_on(lake):
    before = told(lake)
    assert before["maintenance"] is False and before["since"] is before["by"] is before["reason"] is None
    assert before["unflushed_bytes"] > 0, "what was just sent is in no file"
    off = told(lake, "PUT", {"reason": "the disk is replaced"})
    assert (off["maintenance"], off["by"], off["reason"]) == (True, "root", "the disk is replaced")
    assert ready(lake) == (200, True) and metric(lake.server, "tidemark_maintenance") == 1

    for method, path, body in [
        ("POST", "/v1/shop/events", EVENT), ("POST", "/v1/shop/orders_shop/changes", CHANGE), ("POST", "/ingest", {"events": [EVENT]}),
        ("POST", "/e", {"events": [EVENT]}), ("POST", "/v1/elsewhere/events", EVENT), ("PUT", "/v1/shop/orders_shop/schema", {"type": "object"}),
    ]:
        answer = sent(lake.server, method, path, body)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "maintenance", "30"), (path, answer)
        assert off["since"] in answer.body["detail"] and "the disk is replaced" in answer.body["detail"]
    door = Door(lake.server, ROOT)
    unavailable(lambda: door.append('{"type":"a"}'))
    stream = Stream(door)
    stream.batch(1, '{"type":"a"}')
    unavailable(lambda: stream.next("result"))
    unavailable(lambda: door.call("CreateNamespace", door.message("CreateNamespaceRequest", namespace="more"), "tidemark.v1.Catalog"))
    with lake.flight(ROOT) as connection, connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as refusal:
        cursor.adbc_ingest("users", pa.table({"_id": ["a"]}), mode="create_append", db_schema_name="shop")
    assert "maintenance" in str(refusal.value)
    restore = "CALL restore('shop.orders_shop', valid_as_of => TIMESTAMP '2000-01-01T00:00:00Z')"
    with postgres(lake.server, ROOT) as connection:
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(restore).fetchall()
        assert refusal.value.sqlstate == "57P03", refusal.value
        assert connection.execute("SELECT count(*) FROM shop.orders_shop").fetchone() == (2,)

    assert json.loads(lake.sql("SELECT count(*) FROM shop.events")[1])["rows"] == [[2]], "nothing of it was stored"
    assert lake.ask("GET", "/v1/shop/orders_shop/export")[0] == 200
    assert lake.ask("POST", "/v1/shop/orders_shop/snapshots", {"name": "before"})[0] == 200
    assert lake.ask("PUT", "/v1/shop/orders_shop/retention", {"daily": 7})[0] == 200
    assert lake.token("query")
    until(lambda: told(lake)["unflushed_bytes"] == 0, "what was acknowledged does not come into files")

    on = told(lake, "DELETE")
    assert on["maintenance"] is False and ready(lake) == (200, False) and metric(lake.server, "tidemark_maintenance") == 0
    assert lake.ask("POST", "/v1/shop/events", EVENT)[0] == 200
    assert door.append('{"type":"a"}').accepted == 1
    assert actions(lake) == [("end_maintenance", "root", None, "ok"), ("begin_maintenance", "root", "the disk is replaced", "ok")]


def test_nothing_is_acknowledged_behind_the_answer(lake):
    """Writers go on as fast as they can; what the switch answered is the last that is taken in."""
    stop, refused, wrong = threading.Event(), threading.Semaphore(0), []

    def write(name):
        number = 0
        while not stop.is_set():
            number += 1
            status, text = lake.ask("POST", "/v1/shop/events", {"type": "load", "id": f"{name}-{number}"})
            if status != 200 and code((status, text)) != (503, "maintenance"):
                wrong.append(text)
            if status == 503:
                refused.release()

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    count = lambda: json.loads(lake.sql("SELECT count(*) FROM shop.events WHERE type = 'load'")[1])["rows"][0][0]
    try:
        until(lambda: count() > 20, "nothing is written")
        for _ in range(5):
            told(lake, "PUT", {})
            first = count()
            # Those of the round before are no proof.
            while refused.acquire(blocking=False):
                pass
            assert all(refused.acquire(timeout=60) for _ in range(8))
            assert count() == first
            told(lake, "DELETE")
            until(lambda: count() > first, "nothing is written again")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not wrong, wrong[:3]


def test_who_may_switch(lake):
    lake.token("admin", namespaces=["shop"])
    narrow, loader, admin = lake.token("admin"), lake.token("ingest"), lake.token("admin", namespaces=["*"])
    for token in (narrow, loader):
        for method in ("GET", "PUT", "DELETE"):
            assert lake.ask(method, PATH, {} if method == "PUT" else None, token=token)[0] == 403
    assert lake.ask("PUT", PATH, {}, token=None)[0] == 401
    said = told(lake, "PUT", {"reason": "one"}, token=admin)
    again = told(lake, "PUT", {"reason": "two"})
    assert (again["since"], again["by"], again["reason"]) == (said["since"], "root", "two"), "it stays since then"
    for body in ({"reason": "x" * 201}, {"reason": "a\nb"}):
        assert code(lake.ask("PUT", PATH, body)) == (400, "invalid_reason")
    assert code(lake.ask("PUT", PATH, {"why": "x"})) == (400, "invalid_body")
    assert told(lake)["reason"] == "two", "what was refused changed nothing"
    told(lake, "DELETE", token=admin)
    told(lake, "DELETE")


def test_a_restart_keeps_it_and_the_command_line_switches(tmp_path):
    server = Server(tmp_path, token=ROOT)

    def cli(*words):
        environment = {**os.environ, "TIDEMARK_TOKEN": ROOT, "TIDEMARK_URL": server.http}
        done = subprocess.run([binary(), "maintenance", *words], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert cli("status").startswith("ingest is on; ")
        assert "by root: a new disk" in cli("on", "--reason", "a new disk")
        for end in ("kill", "stop"):
            getattr(server, end)()
            server = server.again()
            assert metric(server, "tidemark_maintenance") == 1
            assert cli("status").startswith("ingest is off since ") and "a new disk" in cli("status")
            answer = sent(server, "POST", "/v1/shop/events", EVENT)
            assert answer.code == "maintenance" and "a new disk" in answer.body["detail"]
        assert cli("off").startswith("ingest is on; ")
        server.kill()
        server = server.again()
        assert sent(server, "POST", "/v1/shop/events", EVENT).status == 200
    finally:
        server.kill()


def test_a_successor_finds_it(tmp_path):
    lake = Owners(tmp_path, lease_ms=2000)
    try:
        owner = lake.serve()
        standby = lake.stand_by()
        owner.insist("POST", "/v1/shop/events", EVENT)
        owner.insist("PUT", PATH, {"reason": "moving"})
        owner.kill()
        standby.is_ready()
        found = standby.insist("GET", PATH)
        assert (found["maintenance"], found["reason"]) == (True, "moving"), found
        until(lambda: standby.ask("POST", "/v1/shop/events", {"type": "b"}).code == "maintenance", "it takes events in")
        standby.insist("DELETE", PATH)
        standby.send({})
    finally:
        lake.end()
    lake.verify()
