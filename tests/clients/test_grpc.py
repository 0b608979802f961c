"""The gRPC door of ingest as clients of other makers see it: messages are made from what reflection tells."""

import json
import queue
import random
import re
import signal
import socket
import threading
import time
import urllib.request

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from conftest import Server

SERVICE = "tidemark.v1.Ingest"
KILLS = 20
BATCH = 10


class WithToken(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends a token with every call, those of reflection too."""

    def __init__(self, token):
        self.metadata = [("authorization", f"Bearer {token}")]

    def go_on(self, call, details, request):
        changed = grpc.ClientCallDetails()
        for name in ("method", "timeout", "credentials", "wait_for_ready", "compression"):
            setattr(changed, name, getattr(details, name, None))
        changed.metadata = [*(details.metadata or ()), *self.metadata]
        return call(changed, request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = go_on


class Door:
    """A channel, and the messages and methods of the service."""

    def __init__(self, server, token=None):
        channel = grpc.insecure_channel(server.grpc.removeprefix("grpc://"))
        self.channel = grpc.intercept_channel(channel, WithToken(token)) if token else channel
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.reflection)

    def message(self, kind, /, **fields):
        made = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"tidemark.v1.{kind}"))
        return made(**fields)

    def call(self, method, request, service=SERVICE):
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        answer = message_factory.GetMessageClass(found.output_type)
        kind = {(False, False): "unary_unary", (False, True): "unary_stream", (True, True): "stream_stream"}
        kind = kind[(found.client_streaming, found.server_streaming)]
        make = getattr(self.channel, kind)
        calling = make(f"/{service}/{method}", request_serializer=lambda it: it.SerializeToString(), response_deserializer=answer.FromString)
        return calling(request, timeout=60)

    def append(self, text, target=None, **fields):
        target = {"namespace": "shop", **(target or {})}
        return self.call("Append", self.message("AppendRequest", target=target, records={"text": text}, **fields)).receipt

    def producer(self, producer_id, namespace="shop"):
        return self.call("GetProducer", self.message("GetProducerRequest", namespace=namespace, producer_id=producer_id))


class Stream:
    """A stream of batches; what is answered, by kind."""

    def __init__(self, door, producer=None, **target):
        self.door, self.sent = door, queue.Queue()
        producer = producer and {"id": producer[0], "epoch": producer[1]}
        self.send(open={"target": {"namespace": "shop", **target}, "producer": producer})
        self.replies = door.call("AppendStream", iter(self.sent.get, None))

    def send(self, **message):
        self.sent.put(self.door.message("AppendStreamRequest", **message))

    def batch(self, sequence, text=None):
        self.send(batch={"sequence": sequence, "records": text and {"text": text}})

    def next(self, kind):
        """The next reply of a kind; others are passed over."""
        for reply in self.replies:
            if reply.WhichOneof("message") == kind:
                return getattr(reply, kind)
        raise AssertionError(f"the stream ended without {kind}")

    def durable(self, sequence):
        while self.next("progress").durable < sequence:
            pass

    def close(self):
        self.sent.put(None)
        for _ in self.replies:
            pass


@pytest.fixture
def door(server):
    return Door(server)


def events(sequence, n=BATCH):
    return json.dumps([{"type": "load", "subject": f"s{sequence}", "data": {"n": i}} for i in range(n)])


def refused(asked):
    with pytest.raises(grpc.RpcError) as refusal:
        asked()
    return refusal.value


def test_reflection_tells_the_services(door):
    names = set(door.reflection.get_services())
    assert {SERVICE, "arrow.flight.protocol.FlightService", "grpc.health.v1.Health"} <= names
    flight = door.pool.FindServiceByName("arrow.flight.protocol.FlightService")
    assert flight.FindMethodByName("DoPut").client_streaming
    v1 = door.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    assert SERVICE.encode() in next(v1(iter([b"\x3a\x00"]), timeout=10)), "list_services of version 1"


def test_one_event_by_hand(server, door):
    receipt = door.append('{"type": "order.placed", "id": "e1", "data": {"total": 10}}')
    assert (receipt.accepted, receipt.duplicate, len(receipt.positions)) == (1, False, 1)
    assert door.append('{"type": "order.placed", "id": "e1", "data": {"total": 10}}').duplicates == 1
    change = door.append('{"op": "insert", "id": "7", "doc": {"total": 3}}', {"collection": "orders"})
    assert change.accepted == 1
    assert server.rows("SELECT _id, total FROM shop.orders") == [("7", 3)]
    keyed = [door.append('{"type": "a"}', idempotency_key="k") for _ in range(2)]
    assert [it.duplicate for it in keyed] == [False, True] and keyed[0].positions == keyed[1].positions


@pytest.mark.parametrize("text, fields, code, word", [
    ('{"type": "a b"}', {}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_type"),
    ('{"type": "a", "id": "e1", "data": 1}', {}, grpc.StatusCode.ALREADY_EXISTS, "id_conflict"),
    ("{", {}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_json"),
    ('{"type": "a"}', {"target": {"namespace": "../x"}}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_name"),
    ('{"type": "a"}', {"sequence": 1}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_parameter"),
    ('{"type": "a"}', {"producer": {"id": "p"}}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_parameter"),
    ('{"type": "a"}', {"producer": {"id": "p"}, "sequence": 2}, grpc.StatusCode.OUT_OF_RANGE, "sequence_gap"),
    ('{"type": "a"}', {"producer": {"id": "p"}, "sequence": 1, "idempotency_key": "k"}, grpc.StatusCode.INVALID_ARGUMENT, "invalid_parameter"),
])
def test_refusals_have_codes_and_words(door, text, fields, code, word):
    door.append('{"type": "a", "id": "e1", "data": 0}')
    error = refused(lambda: door.append(text, **fields))
    trailers = {key: value for key, value in error.trailing_metadata()}
    assert (error.code(), trailers["tidemark-code"]) == (code, word), error.details()
    assert word.encode() in trailers["grpc-status-details-bin"], "google.rpc.ErrorInfo"
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        assert b"google.rpc.BadRequest" in trailers["grpc-status-details-bin"]


def test_pressure_says_when_to_come_back(tmp_path):
    server = Server(tmp_path, settings={"ingest.unflushed_bytes_max": 50_000, "ingest.flush_age_s": 10_000, "ingest.flush_bytes": 1 << 30})
    try:
        door = Door(server)
        error = refused(lambda: [door.append(events(n)) for n in range(100)])
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and b"google.rpc.RetryInfo" in details
    finally:
        server.process.kill()
        server.process.wait()


def test_a_batch_waits_for_a_place_among_bodies(tmp_path):
    server = Server(tmp_path, settings={"ingest.bodies_bytes_max": 1_000_000})
    try:
        # Somebody else's body takes all there is while it is sent.
        host, port = server.http.removeprefix("http://").split(":")
        other = socket.create_connection((host, int(port)), timeout=30)
        body = json.dumps({"type": "other"}).encode().ljust(1_000_000)
        other.sendall(b"POST /v1/shop/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:1000])
        held(server, 1_000_000)
        stream = Stream(Door(server))
        stream.next("ready")
        stream.batch(1, events(1))
        # Batches that wait have a quarter of that: one that does not fit there is refused, and not after 30 seconds, when the body
        # would have been given up.
        large = Stream(Door(server))
        large.next("ready")
        large.batch(1, events(1, 10_000))
        error = refused(lambda: large.next("progress"))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        other.sendall(body[1000:])
        assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
        stream.durable(1)
        stream.close()
        assert server.rows("SELECT count(*) FROM shop.events") == [(BATCH + 1,)]
    finally:
        server.process.kill()
        server.process.wait()


def held(server, count):
    """Waits until bodies hold so many bytes."""
    ends = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(server.http + "/metrics", timeout=30) as answer:
            [bodies] = re.findall(r"(?m)^tidemark_ingest_bodies_bytes (\S+)$", answer.read().decode())
        if float(bodies) >= count:
            return
        assert time.monotonic() < ends, "the body was not begun"
        time.sleep(0.05)


def test_a_stream_is_answered_cumulatively(server, door):
    stream = Stream(door)
    ready = stream.next("ready")
    assert ready.durable == 0 and ready.window.bytes == ready.batch_bytes_max > 1 << 20
    for sequence in range(1, 51):
        stream.batch(sequence, events(sequence))
    credit, durable, seen = 0, 0, []
    for reply in stream.replies:
        kind = reply.WhichOneof("message")
        credit += reply.window.bytes if kind == "window" else 0
        if kind == "progress":
            seen.append(reply.progress.durable)
            assert reply.progress.received >= reply.progress.durable
            durable = reply.progress.durable
        if durable == 50 and credit == sum(len(events(n)) for n in range(1, 51)):
            break
    assert seen == sorted(seen), "all of the credit came back, and progress only grows"
    stream.close()
    assert server.rows("SELECT count(*), count(DISTINCT subject) FROM shop.events") == [(500, 50)]


def test_a_bad_batch_does_not_end_the_stream(server, door):
    stream = Stream(door, producer=("p", 1))
    stream.batch(1, events(1))
    stream.batch(2, '[{"type": "a b"}, {"type": "a"}]')
    stream.batch(3, events(3))
    told = [stream.next("result") for _ in range(2)]
    assert [(it.sequence, it.refusal.status, it.refusal.code) for it in told] == [(2, 3, "invalid_type"), (3, 11, "sequence_gap")]
    assert (told[0].refusal.errors[0].index, told[0].refusal.errors[0].pointer) == (0, "/type")
    stream.batch(2)
    stream.batch(3, events(3))
    stream.durable(3)
    stream.batch(3, events(3))
    again = stream.next("result")
    assert (again.sequence, again.receipt.duplicate, again.receipt.accepted) == (3, True, BATCH)
    stream.close()
    partial = Stream(door, on_error=2)
    partial.batch(1, '[{"type": "a b"}, {"type": "partly"}]')
    assert partial.next("result").receipt.rejected == 1
    partial.close()
    assert server.rows("SELECT count(*) FROM shop.events") == [(2 * BATCH + 1,)]


def test_a_newer_epoch_ends_the_older_stream(door):
    old = Stream(door, producer=("p", 1))
    old.batch(1, events(1))
    old.durable(1)
    new = Stream(door, producer=("p", 2))
    assert new.next("ready").durable == 1
    old.batch(2, events(2))
    assert refused(lambda: old.durable(2)).code() == grpc.StatusCode.FAILED_PRECONDITION
    new.batch(2, events(2))
    new.durable(2)
    new.close()
    again = Stream(door, producer=("p", 1))
    assert refused(lambda: again.next("ready")).code() == grpc.StatusCode.FAILED_PRECONDITION
    state = door.producer("p")
    assert (state.epoch, state.durable) == (2, 2)
    assert refused(lambda: door.producer("nobody")).code() == grpc.StatusCode.NOT_FOUND


def test_misuse_ends_the_stream(door):
    for send in (lambda it: it.send(open={"target": {"namespace": "shop"}}), lambda it: it.batch(2, events(2)), lambda it: it.send()):
        stream = Stream(door)
        stream.next("ready")
        send(stream)
        assert refused(lambda: stream.next("progress")).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_sigterm_says_go_away_and_loses_nothing(server, door):
    stream = Stream(door, producer=("p", 1))
    stream.batch(1, events(1))
    stream.durable(1)
    server.process.send_signal(signal.SIGTERM)
    assert stream.next("go_away").within_ms > 0
    stream.batch(2, events(2))
    stream.durable(2)
    stream.close()
    assert server.process.wait(60) == 0
    again = Server(server.home)
    try:
        assert Door(again).producer("p").durable == 2
        assert again.rows("SELECT count(*) FROM shop.events") == [(2 * BATCH,)]
    finally:
        again.process.kill()
        again.process.wait()


def test_a_stream_that_stays_is_ended(tmp_path):
    server = Server(tmp_path, settings={"stop.drain_ms": 2000})
    stream = Stream(Door(server))
    stream.next("ready")
    server.process.send_signal(signal.SIGTERM)
    stream.next("go_away")
    assert refused(lambda: stream.next("progress")).code() == grpc.StatusCode.UNAVAILABLE
    assert server.process.wait(60) == 0


def test_health_needs_no_token_and_everything_else_does(tmp_path):
    server = Server(tmp_path, token="sesame", settings={"stop.announce_ms": 3000})
    door = Door(server)
    health = health_pb2_grpc.HealthStub(door.channel)
    asked = lambda name: health_pb2.HealthCheckRequest(service=name)
    for name in ("", SERVICE, "arrow.flight.protocol.FlightService"):
        assert health.Check(asked(name), timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    assert refused(lambda: health.Check(asked("nothing"), timeout=10)).code() == grpc.StatusCode.NOT_FOUND
    unknown = next(health.Watch(asked("nothing"), timeout=10))
    assert unknown.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert refused(lambda: door.reflection.get_services()).code() == grpc.StatusCode.UNAUTHENTICATED
    append = door.channel.unary_unary(f"/{SERVICE}/Append")
    assert refused(lambda: append(b"", timeout=10)).code() == grpc.StatusCode.UNAUTHENTICATED
    watch = health.Watch(asked(SERVICE), timeout=60)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    server.process.send_signal(signal.SIGTERM)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert list(watch) == [], "a server that stops ends what watches it"
    assert server.process.wait(60) == 0


def test_every_batch_once_over_kills(tmp_path):
    """SIGKILL while a stream is written, over and over: resume behind GetProducer, nothing is lost, nothing doubled."""
    chance, sequence, doubts = random.Random(7), 0, 0
    server = Server(tmp_path, settings={"ingest.flush_rows": 2000})
    try:
        for kill in range(1, KILLS + 1):
            door = Door(server)
            if sequence:
                state = door.producer("loader")
                assert acknowledged <= state.durable <= sequence, f"kill {kill}: acknowledged {acknowledged}, known {state.durable}"
                doubts += state.durable > acknowledged
                sequence = state.durable
            stream = Stream(door, producer=("loader", kill))
            acknowledged = stream.next("ready").durable
            assert acknowledged == sequence
            threading.Timer(chance.uniform(0.02, 0.3), server.process.kill).start()
            try:
                while True:
                    for _ in range(chance.randint(1, 8)):
                        sequence += 1
                        stream.batch(sequence, events(sequence))
                    while acknowledged < sequence:
                        acknowledged = max(acknowledged, stream.next("progress").durable)
            except grpc.RpcError as gone:
                assert gone.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL), gone
            stream.sent.put(None)
            server.process.wait(60)
            server = Server(tmp_path, settings={"ingest.flush_rows": 2000})
        durable = Door(server).producer("loader").durable
        assert acknowledged <= durable <= sequence
        expected = [(durable, durable * BATCH, BATCH, BATCH)]
        found = server.rows("""SELECT count(*), sum(n), min(n), max(n) FROM
            (SELECT subject, count(*) AS n FROM shop.events GROUP BY subject)""")
        assert found == expected
        numbers = server.rows("SELECT min(substr(subject, 2)::bigint), max(substr(subject, 2)::bigint) FROM shop.events")
        assert numbers == [(1, durable)]
        print(f"{KILLS} kills, {durable} batches once each, {doubts} times one was durable whose ack was lost")
    finally:
        server.process.kill()
        server.process.wait()
    assert "panicked" not in (tmp_path / "server.log").read_text()


def test_messages_may_wait_for_credit(server, door):
    """More than the credit is sent at once: the server reads on as it stores, and everything comes through."""
    big = json.dumps([{"type": "big", "data": {"x": "y" * 900_000}}])
    stream = Stream(door, producer=("big", 1))
    count = 2 * stream.next("ready").window.bytes // len(big)
    for sequence in range(1, count + 1):
        stream.batch(sequence, big)
    stream.durable(count)
    stream.close()
    assert server.rows("SELECT count(*) FROM shop.events") == [(count,)]
