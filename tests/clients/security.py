"""What the tests of security share: every way to ask a statement, what each tells, and bytes made by hand."""

import contextlib
import http.client
import json
import pathlib
import struct
import urllib.request
from typing import NamedTuple

import grpc
import psycopg
import pyarrow as pa
import test_grpc
from conftest import Server
from flightsql import Door, M, asking, frames, trailer, wrapped
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from test_grpc import Stream
from test_tokens import ROOT, Lake

MIB = 1 << 20
#: Of each word of an error: the status over HTTP, that of gRPC, and the SQLSTATEs.
STATUSES = {
    "read_only": (400, "INVALID_ARGUMENT", {"25006"}),
    "invalid_sql": (400, "INVALID_ARGUMENT", {"42601", "42703", "42883"}),
    "unsupported_sql": (400, "UNIMPLEMENTED", {"0A000"}),
    "engine": (400, "INVALID_ARGUMENT", {"22000", "22012"}),
    "unknown_table": (404, "NOT_FOUND", {"42P01"}),
    "unknown_namespace": (404, "NOT_FOUND", {"42P01"}),
    "scope_missing": (403, "PERMISSION_DENIED", {"42501"}),
    "sql_too_large": (413, "INVALID_ARGUMENT", {"54000"}),
    "memory_exceeded": (429, "RESOURCE_EXHAUSTED", {"53200"}),
    "timed_out": (503, "DEADLINE_EXCEEDED", {"57014"}),
    "invalid_token": (401, "UNAUTHENTICATED", {"28P01"}),
    "token_expired": (401, "UNAUTHENTICATED", {"28000"}),
}
POSTGRES = ("simple", "extended")
#: Ways that run a statement.
RUNS = ("http", "statement", "prepared", "ticket", "sealed", *POSTGRES)
#: Ways that only look at one, too.
WAYS = (*RUNS, "schema", "update")


class Told(NamedTuple):
    """What a door told: a status (None where it answered), the word of an error, and all of its text."""

    status: object
    word: str | None
    text: str


class Asking:
    """One token at every door that takes SQL."""

    def __init__(self, lake, token=ROOT):
        self.lake, self.token, self.connection = lake, token, None
        self.door = Door(lake.server, [bearer(token)])

    def close(self):
        self.door.channel.close()
        if self.connection:
            self.connection.close()

    def ask(self, way, sql):
        """What a statement is told on a way."""
        if way == "http":
            status, text = self.lake.sql(sql, self.token)
            return Told(None, None, text) if status == 200 else Told(status, json.loads(text)["code"], text)
        if way in POSTGRES:
            return self._postgres(way, sql)
        try:
            return Told(None, None, repr(self._flight(way, sql)))
        except grpc.RpcError as error:
            return told(error)

    def _flight(self, way, sql):
        door = self.door
        if way == "statement":
            return door.ask(sql)
        if way == "prepared":
            return door.get(door.execute(door.prepare(sql).prepared_statement_handle)).rows
        if way == "ticket":
            return door.call("DoGet", M.Ticket(ticket=wrapped(M.CommandStatementQuery(query=sql)))).rows
        if way == "sealed":
            handle = M.TicketStatementQuery(statement_handle=sealed(sql))
            return door.call("DoGet", M.Ticket(ticket=wrapped(handle))).rows
        if way == "schema":
            return door.call("GetSchema", asking(sql)).one
        assert way == "update"
        return door.put(M.CommandStatementUpdate(query=sql)).messages

    def _postgres(self, way, sql):
        try:
            if self.connection is None or self.connection.closed:
                self.connection = postgres(self.lake.server, self.token)
            with self.connection.cursor() as cursor:
                cursor.execute(sql, prepare=way == "extended", binary=way == "extended")
                return Told(None, None, repr(cursor.fetchall() if cursor.description else []))
        except psycopg.Error as error:
            return Told(error.sqlstate or "gone", None, str(error))

    def check_refused(self, sql, word, ways=WAYS, states=None):
        """Every way refuses a statement with a word, or over PostgreSQL's protocol with other states."""
        for way in ways:
            found = self.ask(way, sql)
            if way in POSTGRES:
                assert found.status in (states or STATUSES[word][2]), (way, sql[:200], found)
            else:
                assert (found.status, found.word) == (STATUSES[word][0 if way == "http" else 1], word), (way, sql[:200], found)


def told(error):
    """What a refused call of gRPC told."""
    return Told(error.code().name, trailer(error, "tidemark-code"), error.details())


def outcome(call):
    """What a call of gRPC tells, refused or not."""
    try:
        return Told(None, None, repr(call()))
    except grpc.RpcError as error:
        return told(error)


def bearer(token):
    return ("authorization", f"Bearer {token}")


def postgres(server, token, database="tidemark", **more):
    words = {"host": "127.0.0.1", "port": server.postgres.rsplit(":", 1)[1], "user": "me", "password": token}
    return psycopg.connect(**words, dbname=database, autocommit=True, connect_timeout=20, **more)


@contextlib.contextmanager
def serving(home, lake=Lake, **more):
    """A lake while a test needs it; nothing panicked in it, and its log holds no token."""
    found = lake(home, **more)
    try:
        yield found
    finally:
        found.server.process.kill()
        found.server.process.wait()
    log = (home / "server.log").read_text()
    assert "panicked" not in log and ROOT not in log


class Bare(Lake):
    """A lake with a root token, settings, and nothing in it but one document in `shop.orders`."""

    def __init__(self, home, **settings):
        self.server = Server(home, token=ROOT, settings={key.replace("__", "."): value for key, value in settings.items()})
        change = {"op": "insert", "id": "1", "doc": {"total": 1}}
        assert self.ask("POST", "/v1/shop/orders/changes", change)[0] == 200


def resident(server):
    """Bytes of memory that the process holds."""
    lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) << 10


def metric(server, name, token=ROOT):
    request = urllib.request.Request(server.http + "/metrics", headers=dict([bearer(token)]))
    with urllib.request.urlopen(request, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split(" ")[0].split("{")[0] == name)


def raw(server, method, path, body=b"", headers=(), token=ROOT):
    """Status and body of a request whose path goes out as it is."""
    connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=30)
    connection._validate_path = lambda _: None
    try:
        connection.putrequest(method, path)
        for name, value in [*headers, bearer(token), ("content-type", "application/json"), ("content-length", str(len(body)))]:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def files(server):
    """Every path below the data folder."""
    return {str(path.relative_to(server.data)) for path in server.data.rglob("*")}


CREATE, FAIL, APPEND = 1, 2, 2
DELETE = '{"op": "delete", "id": "nothing"}'
PRODUCER = ("loader", 1)
ROWS = pa.table({"_id": ["written"]})


class Writing:
    """One token at every door that takes rows, the HTTP door aside; each call writes one row or asks for one producer."""

    DOORS = ("Append", "AppendStream", "GetProducer", "DoPut", "CommandStatementIngest")

    def __init__(self, lake, token=ROOT):
        self.door, self.ingest = Door(lake.server, [bearer(token)]), Ingest(lake, token)

    def close(self):
        self.door.channel.close()
        self.ingest.channel.close()

    def write(self, way, namespace, collection, absent=CREATE):
        """What a door tells of a row for a collection."""
        return outcome(lambda: getattr(self, way)(namespace, collection, absent))

    def Append(self, namespace, collection, _):
        return self.ingest.append(DELETE, {"namespace": namespace, "collection": collection})

    def AppendStream(self, namespace, collection, _):
        stream = Stream(self.ingest, namespace=namespace, collection=collection)
        stream.next("ready")
        stream.close()

    def GetProducer(self, namespace, *_):
        return self.ingest.producer(PRODUCER[0], namespace)

    def DoPut(self, namespace, collection, _):
        data = frames(ROWS)
        data[0].flight_descriptor.CopyFrom(M.FlightDescriptor(type=1, path=[namespace, collection]))
        return self.door.call("DoPut", iter(data)).messages

    def CommandStatementIngest(self, namespace, collection, absent):
        options = M.TableDefinitionOptions(if_not_exist=absent, if_exists=APPEND)
        ingest = M.CommandStatementIngest(table_definition_options=options, table=collection, schema=namespace)
        return self.door.put(ingest, frames(ROWS)).messages


class Ingest(test_grpc.Door):
    """The door of `tidemark.v1.Ingest` where tokens are asked for, also by its reflection."""

    def __init__(self, lake, token):
        super().__init__(lake.server, token)
        asks = grpc.intercept_channel(self.channel, _WithToken(token))
        self.reflection = ProtoReflectionDescriptorDatabase(asks)
        self.pool = descriptor_pool.DescriptorPool(self.reflection)


class _WithToken(grpc.StreamStreamClientInterceptor):
    def __init__(self, token):
        self.metadata = [bearer(token)]

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=self.metadata), requests)


# Bytes by hand

def _crc_table():
    def one(value):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        return value

    return [one(value) for value in range(256)]


CRC = _crc_table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def sealed(sql):
    """A statement as the server seals it into tickets and handles, which anybody can."""
    text, length = sql.encode(), b""
    rest = len(text)
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    message = b"\x0a" + length + bytes([rest]) + text
    return b"\x11" + struct.pack("<I", crc32c(b"\x11" + message)) + message


DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def minted(identity, secret):
    """A token with the checksum that belongs to it."""
    body, digits = f"tm_{identity}_{secret}", ""
    rest = crc32c(body.encode())
    for _ in range(6):
        rest, digit = divmod(rest, len(DIGITS))
        digits = DIGITS[digit] + digits
    return body + digits


def parts(token):
    """Id and secret of a token."""
    _, identity, rest = token.split("_")
    return identity, rest[:-6]
