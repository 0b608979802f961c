"""Traces: a collector of OpenTelemetry's protocol is sent the spans of requests and of what they consist of, and nothing of what
is stored."""

import http.server
import threading
import time

import pytest
from conftest import Server
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from security import postgres, raw

Field = descriptor_pb2.FieldDescriptorProto
TOKEN = "a token of these tests"
PARENT_TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
#: Of opentelemetry/proto/trace/v1/trace.proto and its neighbours, what is looked at: name, number, type, whether it repeats.
MESSAGES = {
    "Request": [("resource_spans", 1, "ResourceSpans", True)],
    "ResourceSpans": [("resource", 1, "Resource", False), ("scope_spans", 2, "ScopeSpans", True)],
    "Resource": [("attributes", 1, "KeyValue", True)],
    "ScopeSpans": [("spans", 2, "Span", True)],
    "Span": [
        ("trace_id", 1, Field.TYPE_BYTES, False), ("span_id", 2, Field.TYPE_BYTES, False),
        ("parent_span_id", 4, Field.TYPE_BYTES, False), ("name", 5, Field.TYPE_STRING, False),
        ("kind", 6, Field.TYPE_INT32, False), ("begins", 7, Field.TYPE_FIXED64, False), ("ends", 8, Field.TYPE_FIXED64, False),
        ("attributes", 9, "KeyValue", True),
    ],
    "KeyValue": [("key", 1, Field.TYPE_STRING, False), ("value", 2, "Value", False)],
    "Value": [("text", 1, Field.TYPE_STRING, False), ("int", 3, Field.TYPE_INT64, False)],
}
SERVER = 2
#: Longer than a server may take to end.
HANGS_SECONDS = 90


def request_of_otlp():
    file = descriptor_pb2.FileDescriptorProto(name="otlp.proto", package="otlp", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeats in fields:
            label = Field.LABEL_REPEATED if repeats else Field.LABEL_OPTIONAL
            is_message = isinstance(kind, str)
            message.field.add(name=field, number=number, label=label, type=Field.TYPE_MESSAGE if is_message else kind,
                              type_name=f".otlp.{kind}" if is_message else None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("otlp.Request"))


def attributes(of):
    return {pair.key: pair.value.text or pair.value.int for pair in of.attributes}


class Collector:
    """Takes spans in, and keeps every byte of them."""

    def __init__(self):
        self.bodies, self.refuses, self.was_asked, self.ends = [], threading.Event(), threading.Event(), threading.Event()
        self.hangs = False
        collector, self.request = self, request_of_otlp()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.was_asked.set()
                if collector.hangs:
                    collector.ends.wait(HANGS_SECONDS)
                if not collector.refuses.is_set():
                    collector.bodies.append((self.path, self.headers["content-type"], self.headers.get("x-key"), body))
                self.send_response(503 if collector.refuses.is_set() else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def resources(self):
        return [of for _path, _type, _key, body in list(self.bodies) for of in self.request.FromString(body).resource_spans]

    def spans(self):
        return [span for of in self.resources() for scope in of.scope_spans for span in scope.spans]

    def named(self, name):
        return [span for span in self.spans() if span.name == name]

    def await_span(self, name, seconds=60):
        ends = time.monotonic() + seconds
        while not self.named(name):
            assert time.monotonic() < ends, f"no span {name} but {sorted({span.name for span in self.spans()})}"
            time.sleep(0.1)
        return self.named(name)[0]


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.ends.set()
    found.server.shutdown()
    found.server.server_close()


def serving(home, collector, **settings):
    told = {"traces.endpoint": collector.url, **{key.replace("__", "."): value for key, value in settings.items()}}
    return Server(home, token=TOKEN, settings=told)


def ask(server, method, path, body=b"", headers=()):
    return raw(server, method, path, body, headers, token=TOKEN)


def test_spans_of_a_request_reach_the_collector_under_the_caller_of_it(tmp_path, collector):
    server = serving(tmp_path, collector, env="tests", traces__service_name="my lake")
    try:
        caller = [("traceparent", f"00-{PARENT_TRACE}-{PARENT_SPAN}-01")]
        secret = b'{"op":"insert","id":"s3cret-id","doc":{"name":"s3cret-name"}}'
        assert ask(server, "POST", "/v1/shop/orders/changes", secret, caller)[0] == 200
        assert ask(server, "POST", "/v1/query", b'{"sql":"SELECT \'s3cret-sql\' FROM shop.orders"}', caller)[0] == 200
        query = collector.await_span("POST /v1/query")
        ingest = collector.await_span("POST /v1/{namespace}/{collection}/changes")
        told = attributes(query)
        assert (query.kind, query.trace_id.hex(), query.parent_span_id.hex()) == (SERVER, PARENT_TRACE, PARENT_SPAN)
        assert told["http.request.method"] == "POST" and told["http.route"] == "/v1/query"
        assert told["http.response.status_code"] == 200 and told["id"]
        parts = {span.name: span for span in collector.spans() if span.trace_id.hex() == PARENT_TRACE}
        assert parts["plan"].parent_span_id == query.span_id and parts["append"].parent_span_id == ingest.span_id
        assert collector.await_span("run").parent_span_id == query.span_id
        assert ingest.begins <= parts["append"].begins <= parts["append"].ends <= ingest.ends
        resource = attributes(collector.resources()[0].resource)
        assert resource["service.name"] == "my lake" and resource["deployment.environment.name"] == "tests"
        assert {(path, kind) for path, kind, _key, _body in collector.bodies} == {("/v1/traces", "application/x-protobuf")}
        # An orderly end sends what is left: the flush of what was taken in is a trace of its own.
        assert server.stop() == 0
        flush = collector.named("flush")[0]
        assert not flush.parent_span_id and attributes(flush)["namespace"] == "shop"
        assert any(span.parent_span_id == flush.span_id for span in collector.named("store"))
        everything = b"".join(body for *_of, body in collector.bodies)
        assert b"s3cret" not in everything and TOKEN.encode() not in everything
    finally:
        server.kill()


def test_who_was_not_sampled_by_the_caller_is_not_sent(tmp_path, collector):
    server = serving(tmp_path, collector)
    try:
        assert ask(server, "GET", "/openapi.json", headers=[("traceparent", f"00-{PARENT_TRACE}-{PARENT_SPAN}-00")])[0] == 200
        for malformed in ("", "00-zz-zz-01", "x" * 200, f"00-{'0' * 32}-{PARENT_SPAN}-01"):
            assert ask(server, "GET", "/version", headers=[("traceparent", malformed)])[0] == 200
        assert collector.await_span("GET /version").kind == SERVER
        assert server.stop() == 0
        assert not collector.named("GET /openapi.json")
        assert PARENT_TRACE not in {span.trace_id.hex() for span in collector.spans()}
        assert all(not span.parent_span_id for span in collector.named("GET /version")), "a malformed parent is none"
        # Nothing begins with the work of a job, which ticks all the time.
        known = {span.span_id for span in collector.spans()}
        assert all(not span.parent_span_id or span.parent_span_id in known for span in collector.spans())
        assert not any(span.name == "job" for span in collector.spans())
    finally:
        server.kill()


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_a_collector_that_is_away_holds_nothing_up(tmp_path, collector, hangs):
    collector.refuses.set()
    collector.hangs = hangs
    server = serving(tmp_path, collector, traces__sample_ratio=1)
    try:
        for _ in range(50):
            assert ask(server, "POST", "/v1/shop/events", b'{"type":"a"}')[0] == 200
        with postgres(server, TOKEN) as door:
            assert door.execute("SELECT count(*) FROM shop.events").fetchone() == (50,)
        assert collector.was_asked.wait(60), "nobody sent it anything"
        assert server.stop() == 0
    finally:
        server.kill()


def test_none_is_sent_where_none_is_wanted(tmp_path, collector):
    server = serving(tmp_path, collector, traces__sample_ratio=0)
    try:
        assert ask(server, "GET", "/version")[0] == 200
        assert server.stop() == 0
        assert not collector.bodies
    finally:
        server.kill()


def test_heads_for_the_collector_come_from_its_variable(tmp_path, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other=1,x-key=a%20key")
    server = serving(tmp_path, collector)
    try:
        assert ask(server, "GET", "/version")[0] == 200
        assert server.stop() == 0
        assert {key for _path, _type, key, _body in collector.bodies} == {"a key"}
    finally:
        server.kill()
