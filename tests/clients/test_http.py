"""The HTTP port as browsers and programs use it: events as they come, questions behind a receipt, answers that a client has already,
pages of other origins."""

import http.client
import json
import queue
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import Server

WITHIN_SECONDS = 30


class Tail:
    """A stream of Server-Sent Events, read in the background."""

    def __init__(self, server, path, **headers):
        request = urllib.request.Request(server.http + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        self.answer = urllib.request.urlopen(request, timeout=WITHIN_SECONDS)
        assert self.answer.headers["content-type"] == "text/event-stream"
        self.events, self.begun = queue.Queue(), queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        event = {}
        try:
            for line in self.answer:
                line = line.decode().rstrip("\n")
                if not line and event:
                    (self.events.put if "data" in event else self.begun.put)(event)
                    event = {}
                elif line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.events.put(None)

    def next(self):
        event = self.events.get(timeout=WITHIN_SECONDS)
        return event and {**event, "data": json.loads(event["data"])}

    def close(self):
        self.answer.fp.raw._sock.close()


def send(server, *events, namespace="shop"):
    return server.post(f"/v1/{namespace}/events", [{"type": "note", **event} for event in events])


def failing(server, path, **headers):
    request = urllib.request.Request(server.http + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=WITHIN_SECONDS)
    return raised.value.code, json.load(raised.value)["code"]


def test_events_come_as_they_are_sent_once_each(server):
    send(server, {"id": "before"})
    tail = Tail(server, "/v1/shop/events/tail")
    for number in range(20):
        send(server, {"id": f"e{number}", "data": {"n": number, "text": "two\nlines", "big": 9007199254740993}})
    found = [tail.next() for _ in range(20)]
    assert [event["data"]["id"] for event in found] == [f"e{number}" for number in range(20)]
    first = found[0]["data"]
    assert (first["type"], first["data"]) == ("note", {"n": 0, "text": "two\nlines", "big": 9007199254740993})
    assert "subject" not in first and first["_system_time"].endswith("Z")
    # Who comes again with the id of what it had last gets the rest, also from files and in another process.
    again = Tail(server, "/v1/shop/events/tail?after=start", last_event_id=found[11]["id"])
    assert [again.next()["data"]["id"] for _ in range(8)] == [f"e{number}" for number in range(12, 20)]
    everything = Tail(server, "/v1/shop/events/tail?after=start")
    assert {everything.next()["data"]["id"] for _ in range(21)} == {"before", *(f"e{number}" for number in range(20))}


def test_a_stream_goes_on_over_a_restart_out_of_files(tmp_path):
    server = Server(tmp_path)
    try:
        send(server, *({"id": f"a{number}"} for number in range(50)))
        tail = Tail(server, "/v1/shop/events/tail?after=start")
        had = [tail.next() for _ in range(50)]
        assert server.stop() == 0 and tail.next() is None
        server = Server(tmp_path)
        again = Tail(server, "/v1/shop/events/tail", last_event_id=had[29]["id"])
        send(server, {"id": "new"})
        found = [again.next()["data"]["id"] for _ in range(21)]
        assert sorted(found[:20]) == sorted({f"a{number}" for number in range(50)} - {one["data"]["id"] for one in had[:30]})
        assert found[20] == "new"
    finally:
        server.stop()


def test_who_is_cut_off_before_anything_happened_misses_nothing(server):
    send(server, {"id": "before"})
    tail = Tail(server, "/v1/shop/events/tail?type=rare")
    begun = tail.begun.get(timeout=WITHIN_SECONDS)
    assert set(begun) == {"id"}, "an id alone is no event to browsers, and is what they come again with"
    tail.close()
    send(server, {"id": "missed", "type": "rare"})
    again = Tail(server, "/v1/shop/events/tail?type=rare", last_event_id=begun["id"])
    assert again.next()["data"]["id"] == "missed"
    everything = Tail(server, "/v1/shop/events/tail?after=start")
    assert everything.begun.get(timeout=WITHIN_SECONDS) == {"id": "start"}
    assert [everything.next()["data"]["id"] for _ in range(2)] == ["before", "missed"]


def test_types_are_chosen_and_what_is_wrong_is_told(server):
    send(server, {})
    tail = Tail(server, "/v1/shop/events/tail?type=order_*.paid&after=start")
    send(server, {"type": "order_1.paid"}, {"type": "orderx1.paid"}, {"type": "order_2.sent"}, {"type": "order_22.paid"})
    assert sorted(tail.next()["data"]["type"] for _ in range(2)) == ["order_1.paid", "order_22.paid"]
    for path, expected in [
        ("/v1/nowhere/events/tail", (404, "unknown_table")),
        ("/v1/shop/events/tail?after=yesterday", (400, "invalid_request")),
        ("/v1/shop/events/tail?after=", (400, "invalid_request")),
        ("/v1/shop/events/tail?type=a%20b", (400, "invalid_sql")),
        ("/v1/shop/events/tail?kind=a", (400, "invalid_request")),
    ]:
        assert failing(server, path) == expected, path
    assert failing(server, "/v1/shop/events/tail", last_event_id="?") == (400, "invalid_request")


def test_a_revoked_token_ends_its_stream(tmp_path):
    server = Server(tmp_path, token="tm_root", settings={"query.followers_max": 1})
    try:
        def call(method, path, body=None):
            request = urllib.request.Request(server.http + path, method=method, data=json.dumps(body).encode(),
                                             headers={"content-type": "application/json", "authorization": "Bearer tm_root"})
            with urllib.request.urlopen(request, timeout=WITHIN_SECONDS) as answer:
                return json.loads(answer.read() or b"null")

        call("POST", "/v1/shop/events", {"type": "note"})
        made = call("POST", "/v1/tokens", {"name": "reader", "scopes": ["query"], "namespaces": ["shop"]})
        bearer = f"Bearer {made['token']}"
        assert failing(server, "/v1/other/events/tail", authorization=bearer)[0] in (403, 404)
        tail = Tail(server, "/v1/shop/events/tail", authorization=bearer)
        assert failing(server, "/v1/shop/events/tail", authorization=bearer) == (429, "too_many_followers")
        call("POST", "/v1/shop/events", {"type": "note", "id": "seen"})
        assert tail.next()["data"]["id"] == "seen"
        call("DELETE", f"/v1/tokens/{made['id']}")
        ended = tail.next()
        assert (ended["event"], ended["data"]["code"]) == ("error", "invalid_token")
        assert tail.next() is None
    finally:
        server.stop()


def ask(server, sql, **headers):
    """Status, headers and body of a question."""
    request = urllib.request.Request(server.http + "/v1/query", data=json.dumps({"sql": sql}).encode(),
                                     headers={"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_SECONDS) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as refused:
        body = refused.read()
        return refused.code, refused.headers, json.loads(body) if body else None


def posted(server, path, body, **headers):
    """What is answered to somebody who looks for an answer only when everything was sent."""
    connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=WITHIN_SECONDS)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.load(answer)["code"]
    finally:
        connection.close()


def test_refusals_are_seen_by_who_sends_much(tmp_path):
    server = Server(tmp_path, token="tm_root", settings={"ingest.bodies_bytes_max": 1 << 20})
    try:
        known, body = {"authorization": "Bearer tm_root"}, b" " * (48 << 20)
        for path, headers, expected in [
            ("/v1/shop/events", {**known, "content_type": "text/plain"}, (415, "unsupported_content_type")),
            ("/v1/shop/events", {**known, "content_encoding": "br"}, (415, "unsupported_content_encoding")),
            ("/v1/shop/events", known, (413, "body_too_large")),
            ("/v1/Shop/events", known, (400, "invalid_name")),
            ("/v1/nothing", known, (404, "unknown_path")),
            ("/v1/query", {**known, "content_type": "application/json"}, (413, "body_too_large")),
        ]:
            assert posted(server, path, body, **headers) == expected, (path, headers)
        assert posted(server, "/v1/shop/events", body[:8 << 20], **known) == (429, "back_pressure")
        # Of who has no token less is read.
        assert posted(server, "/v1/shop/events", body[:512 << 10])[0] == 401
        assert posted(server, "/v1/shop/events", body[:512 << 10], authorization="Bearer tm_wrong")[0] == 401
    finally:
        server.stop()


def test_a_refused_body_that_waits_to_be_asked_for_is_not(server):
    host, port = server.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN_SECONDS) as stream:
        stream.sendall(b"POST /v1/shop/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 1000000\r\n"
                       b"expect: 100-continue\r\n\r\n")
        assert stream.recv(4096).startswith(b"HTTP/1.1 415 ")


def test_a_question_stands_behind_a_receipt(server):
    receipt = send(server, {"id": "1"})
    positions = json.dumps(receipt["positions"])
    count = "SELECT count(*) FROM shop.events"
    assert ask(server, count, x_tidemark_after=positions)[2]["rows"] == [[1]]
    assert ask(server, count, x_tidemark_after=positions, x_namespace="shop")[0] == 200
    [run] = receipt["positions"]
    ahead = json.dumps([{**run, "last": run["last"] + 1}])
    begun = time.monotonic()
    waiting = threading.Timer(0.5, lambda: [send(server, {"id": f"n{number}", "subject": "x"}) for number in range(200)])
    waiting.start()
    status, _, body = ask(server, count, x_tidemark_after=ahead)
    assert status == 200 and body["rows"][0][0] >= 2, "it waited for what was not there yet"
    assert time.monotonic() - begun >= 0.4
    status, headers, body = ask(server, count, x_tidemark_after=json.dumps([{**run, "last": 10**9}]), x_namespace="shop")
    assert (status, body["code"]) == (503, "unavailable") and "retry-after" in headers
    assert ask(server, count, x_tidemark_after="[3]")[2]["code"] == "invalid_request"


def test_an_answer_about_the_past_is_not_sent_twice(server, orders):
    asked = "SELECT _id, total FROM shop.orders ORDER BY _id"
    status, headers, body = ask(server, asked, x_as_of=orders)
    tag = headers["etag"]
    assert status == 200 and headers["cache-control"] == "private, no-cache"
    status, headers, nothing = ask(server, asked, x_as_of=orders, if_none_match=tag)
    assert (status, headers["etag"], nothing) == (304, tag, None)
    # Another format, another question, another instant, another schema of the lake.
    assert ask(server, asked + " LIMIT 1", x_as_of=orders, if_none_match=tag)[0] == 200
    assert ask(server, asked, x_as_of=orders, if_none_match=tag.replace("json", "csv"))[0] == 200
    server.changes("shop/orders", [{"op": "insert", "id": "77", "doc": {"brand_new": 1}}])
    assert ask(server, asked, x_as_of=orders, if_none_match=tag)[0] == 200
    for sql in [asked, "SELECT now()", "SELECT random()", "SELECT count(*) FROM system.collections", "SHOW TABLES",
                "SELECT count(*) FROM shop.orders FOR SYSTEM_TIME ALL", "SELECT count(*) FROM shop.orders AT (OFFSET => -1)", 'SELECT count(*) FROM shop."orders$files"',
                "SELECT count(*) FROM history('shop.orders')", "SELECT count(*) FROM versions('shop.orders')"]:
        headers = {} if sql == asked else {"x_as_of": orders}
        assert ask(server, sql, **headers)[1]["etag"] is None, sql


def test_pages_of_allowed_origins_may_ask(tmp_path):
    server = Server(tmp_path, token="tm_root", settings={"allowed_origins": "https://app.example"})
    try:
        connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=WITHIN_SECONDS)

        def call(method, origin, **headers):
            connection.request(method, "/v1/query", body=b'{"sql":"select 1"}' if method == "POST" else None,
                               headers={"origin": origin, "content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
            answer = connection.getresponse()
            answer.read()
            return answer

        asked = call("OPTIONS", "https://app.example", access_control_request_method="POST", access_control_request_headers="authorization")
        assert asked.status == 200 and asked.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in asked.headers["access-control-allow-methods"] and "authorization" in asked.headers["access-control-allow-headers"]
        answer = call("POST", "https://app.example", authorization="Bearer tm_root")
        assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-as-of" in answer.headers["access-control-expose-headers"]
        assert call("OPTIONS", "https://evil.example", access_control_request_method="POST").headers["access-control-allow-origin"] is None
        assert call("POST", "https://app.example").status == 401, "a page needs a token like everybody"
    finally:
        server.stop()
