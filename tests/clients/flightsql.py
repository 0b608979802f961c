"""Flight SQL without a driver: messages by hand over gRPC, so that tests see what travels and replay what drivers send.

The messages stand here once more, apart from the server's own, as Flight.proto and FlightSql.proto number them.
"""

import struct
from types import SimpleNamespace

import grpc
import pyarrow as pa
import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "arrow.flight.protocol"
KINDS = {"double": 1, "int": 3, "bool": 8, "string": 9, "bytes": 12, "uint": 13, "fixed": 16}
# `*` is repeated; a message that nobody looks into, such as a Timestamp, is bytes; a map is repeated entries.
FLIGHT = """
HandshakeRequest: uint protocol_version=1, bytes payload=2
HandshakeResponse: uint protocol_version=1, bytes payload=2
Empty:
Criteria: bytes expression=1
FlightDescriptor: int type=1, bytes cmd=2, *string path=3
Ticket: bytes ticket=1
Location: string uri=1
FlightEndpoint: Ticket ticket=1, *Location location=2, bytes expiration_time=3, bytes app_metadata=4
FlightInfo: bytes schema=1, FlightDescriptor flight_descriptor=2, *FlightEndpoint endpoint=3, int total_records=4, int total_bytes=5, bool ordered=6, bytes app_metadata=7
PollInfo: FlightInfo info=1, FlightDescriptor flight_descriptor=2, double progress=3, bytes expiration_time=4
SchemaResult: bytes schema=1
FlightData: FlightDescriptor flight_descriptor=1, bytes data_header=2, bytes app_metadata=3, bytes data_body=1000
PutResult: bytes app_metadata=1
Action: string type=1, bytes body=2
ActionType: string type=1, string description=2
Result: bytes body=1
CancelFlightInfoRequest: FlightInfo info=1
CancelFlightInfoResult: int status=1
RenewFlightEndpointRequest: FlightEndpoint endpoint=1
StringList: *string values=1
SessionOptionValue: string string_value=1, bool bool_value=2, fixed int64_value=3, double double_value=4, StringList string_list_value=5
SessionOption: string key=1, SessionOptionValue value=2
SetSessionOptionsRequest: *SessionOption session_options=1
SetSessionOptionsError: int value=1
SetSessionOptionsEntry: string key=1, SetSessionOptionsError value=2
SetSessionOptionsResult: *SetSessionOptionsEntry errors=1
GetSessionOptionsRequest:
GetSessionOptionsResult: *SessionOption session_options=1
CloseSessionRequest:
CloseSessionResult: int status=1
"""
SQL = """
CommandGetSqlInfo: *uint info=1
CommandGetXdbcTypeInfo: int data_type=1
CommandGetCatalogs:
CommandGetDbSchemas: string catalog=1, string db_schema_filter_pattern=2
CommandGetTables: string catalog=1, string db_schema_filter_pattern=2, string table_name_filter_pattern=3, *string table_types=4, bool include_schema=5
CommandGetTableTypes:
CommandGetPrimaryKeys: string catalog=1, string db_schema=2, string table=3
CommandGetExportedKeys: string catalog=1, string db_schema=2, string table=3
CommandGetImportedKeys: string catalog=1, string db_schema=2, string table=3
CommandGetCrossReference: string pk_catalog=1, string pk_db_schema=2, string pk_table=3, string fk_catalog=4, string fk_db_schema=5, string fk_table=6
CommandStatementQuery: string query=1, bytes transaction_id=2
CommandStatementUpdate: string query=1, bytes transaction_id=2
CommandStatementSubstraitPlan: bytes plan=1
CommandPreparedStatementQuery: bytes prepared_statement_handle=1
CommandPreparedStatementUpdate: bytes prepared_statement_handle=1
TableDefinitionOptions: int if_not_exist=1, int if_exists=2
CommandStatementIngest: TableDefinitionOptions table_definition_options=1, string table=2, string schema=3, string catalog=4, bool temporary=5, bytes transaction_id=6
TicketStatementQuery: bytes statement_handle=1
DoPutUpdateResult: int record_count=1
DoPutPreparedStatementResult: bytes prepared_statement_handle=1
ActionCreatePreparedStatementRequest: string query=1, bytes transaction_id=2
ActionCreatePreparedStatementResult: bytes prepared_statement_handle=1, bytes dataset_schema=2, bytes parameter_schema=3, bool is_update=4
ActionClosePreparedStatementRequest: bytes prepared_statement_handle=1
ActionBeginTransactionRequest:
ActionBeginTransactionResult: bytes transaction_id=1
ActionEndTransactionRequest: bytes transaction_id=1, int action=2
ActionCancelQueryRequest: bytes info=1
ActionCancelQueryResult: int result=1
"""
RPCS = {
    "Handshake": ("stream_stream", "HandshakeResponse"),
    "ListFlights": ("unary_stream", "FlightInfo"),
    "GetFlightInfo": ("unary_unary", "FlightInfo"),
    "PollFlightInfo": ("unary_unary", "PollInfo"),
    "GetSchema": ("unary_unary", "SchemaResult"),
    "DoGet": ("unary_stream", "FlightData"),
    "DoPut": ("stream_stream", "PutResult"),
    "DoExchange": ("stream_stream", "FlightData"),
    "DoAction": ("unary_stream", "Result"),
    "ListActions": ("unary_stream", "ActionType"),
}


def _classes():
    """The messages of both tables as a namespace of classes."""
    pool, made = descriptor_pool.DescriptorPool(), {}
    for package, text in ((PACKAGE, FLIGHT), (PACKAGE + ".sql", SQL)):
        # As proto2 every field tells whether it is set.
        file = descriptor_pb2.FileDescriptorProto(name=package, package=package)
        names = [line.split(":")[0] for line in text.strip().splitlines()]
        for line in text.strip().splitlines():
            name, fields = line.split(":")
            message = file.message_type.add(name=name)
            for field in filter(None, (it.strip() for it in fields.split(","))):
                kind, rest = field.split()
                called, number = rest.split("=")
                kind, label = kind.removeprefix("*"), 3 if kind.startswith("*") else 1
                typed = {"type": KINDS[kind]} if kind in KINDS else {"type": 11, "type_name": f".{package}.{kind}"}
                message.field.add(name=called, number=int(number), label=label, **typed)
        pool.Add(file)
        made |= {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in names}
    return SimpleNamespace(**made)


M = _classes()


def wrapped(message):
    """A message of Flight SQL in its `Any`, as descriptors, tickets and its actions hold them."""
    return any_pb2.Any(type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
                       value=message.SerializeToString()).SerializeToString()


def unwrapped(kind, body):
    """What an `Any` holds, which has to be of a kind."""
    found = any_pb2.Any.FromString(body)
    assert found.type_url == f"type.googleapis.com/{kind.DESCRIPTOR.full_name}"
    return kind.FromString(found.value)


def command(message):
    return M.FlightDescriptor(type=2, cmd=wrapped(message))


def asking(sql, **more):
    return command(M.CommandStatementQuery(query=sql, **more))


def read_schema(raw):
    return pa.ipc.read_schema(pa.py_buffer(raw))


def frame(message):
    """A message of Flight as a frame of an IPC stream."""
    header = message.data_header + b"\0" * (-len(message.data_header) % 8)
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(header)) + header + message.data_body


def frames(table, batches=None):
    """The schema and the batches as messages of Flight."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches() if batches is None else batches:
            writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    found = []
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return found
        body = message.body.to_pybytes() if message.body else b""
        found.append(M.FlightData(data_header=message.metadata.to_pybytes(), data_body=body))


class Answer:
    """All messages of an answer, with what stood before and behind them."""

    def __init__(self, call, messages):
        self.messages = messages
        self.headers, self.trailers = ({key: value for key, value in pairs} for pairs in (call.initial_metadata(),
            call.trailing_metadata()))

    @property
    def one(self):
        assert len(self.messages) == 1, self.messages
        return self.messages[0]

    @property
    def table(self):
        """The rows of a DoGet, under the schema they came with."""
        stream = b"".join(frame(message) for message in self.messages if message.data_header)
        return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()

    @property
    def rows(self):
        return list(zip(*(column.to_pylist() for column in self.table.columns)))


class Door:
    """A channel to the server's Flight door, with the headers that go along with every call."""

    def __init__(self, server, headers=(), receive_bytes_max=-1):
        options = [("grpc.max_receive_message_length", receive_bytes_max), ("grpc.max_send_message_length", -1),
                   ("grpc.use_local_subchannel_pool", 1)]
        self.address, self.headers = server.grpc.removeprefix("grpc://"), list(headers)
        self.channel = grpc.insecure_channel(self.address, options=options)

    def with_headers(self, *headers):
        """The same connection with other headers."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"headers": list(headers)}
        return other

    def begin(self, rpc, request, timeout=60):
        """A call under way: its iterator of messages, or for one message its future."""
        kind, answer = RPCS[rpc]
        make = getattr(self.channel, kind)(f"/{PACKAGE}.FlightService/{rpc}",
                                           request_serializer=lambda it: it.SerializeToString(),
                                           response_deserializer=getattr(M, answer).FromString)
        make = make.future if kind == "unary_unary" else make
        return make(request, metadata=self.headers, timeout=timeout)

    def call(self, rpc, request, timeout=60):
        under_way = self.begin(rpc, request, timeout)
        messages = [under_way.result()] if RPCS[rpc][0] == "unary_unary" else list(under_way)
        return Answer(under_way, messages)

    def info(self, descriptor):
        return self.call("GetFlightInfo", descriptor).one

    def get(self, info):
        """What the only endpoint of a FlightInfo holds."""
        assert len(info.endpoint) == 1 and not info.endpoint[0].location
        return self.call("DoGet", info.endpoint[0].ticket)

    def ask(self, sql, **more):
        """The rows of a statement."""
        return self.get(self.info(asking(sql, **more))).rows

    def told(self, message):
        """What a metadata command answers, as a table."""
        info = self.info(command(message))
        table = self.get(info).table
        assert table.schema.equals(read_schema(info.schema), check_metadata=True)
        return table

    def act(self, kind, message, result=None, wrap=True):
        """Does an action; Flight SQL's own wrap their messages, Flight's do not."""
        answer = self.call("DoAction",
                           M.Action(type=kind, body=wrapped(message) if wrap else message.SerializeToString()))
        if result is None:
            assert not answer.messages
            return answer
        return unwrapped(result, answer.one.body) if wrap else result.FromString(answer.one.body)

    def prepare(self, sql, **more):
        ask = M.ActionCreatePreparedStatementRequest(query=sql, **more)
        return self.act("CreatePreparedStatement", ask, M.ActionCreatePreparedStatementResult)

    def close(self, handle):
        self.act("ClosePreparedStatement", M.ActionClosePreparedStatementRequest(prepared_statement_handle=handle))

    def put(self, message, data=()):
        """Puts messages under a command, which stands with the first of them."""
        data = list(data) or [M.FlightData()]
        data[0].flight_descriptor.CopyFrom(command(message))
        return self.call("DoPut", iter(data))

    def bind(self, handle, table):
        """The handle with these rows bound."""
        answer = self.put(M.CommandPreparedStatementQuery(prepared_statement_handle=handle), frames(table)).one
        return M.DoPutPreparedStatementResult.FromString(answer.app_metadata).prepared_statement_handle

    def execute(self, handle):
        return self.info(command(M.CommandPreparedStatementQuery(prepared_statement_handle=handle)))


def refused(asked, code=None):
    """The error of a call that has to fail."""
    with pytest.raises(grpc.RpcError) as refusal:
        asked()
    error = refusal.value
    if code is not None:
        assert error.code() == getattr(grpc.StatusCode, code), (error.code(), error.details())
    return error


def trailer(error, name):
    return {key: value for key, value in error.trailing_metadata()}.get(name)
