//! The door through a real connection, with the Rust client and with bare messages.

use std::{
    collections::HashMap,
    io::Cursor,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Int64Type, Schema, SchemaRef},
};
use arrow_flight::{
    CancelFlightInfoRequest, IpcMessage,
    decode::FlightRecordBatchStream,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    flight_service_client::FlightServiceClient,
    sql::{
        Any, CommandGetDbSchemas, CommandGetTables, CommandPreparedStatementQuery, CommandStatementQuery,
        EndTransaction, ProstMessageExt, client::FlightSqlServiceClient,
    },
};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tidemark_catalog::appends::{Appended, Held};
use tidemark_model::{Instant, Namespace, Principal, Table};
use tidemark_proto::Problem;
use tidemark_proto::session::{
    CloseSessionRequest, CloseSessionResult, GetSessionOptionsRequest, GetSessionOptionsResult,
    PreparedStatementResult, SessionOptionValue, SetSessionOptionsRequest, session_option_value::OptionValue,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code,
    service::interceptor::InterceptedService,
    transport::{Channel, Server},
};

use super::*;
use crate::{
    Config,
    door::fixture::{NOW, room},
};

/// The other side of the seam: tells the rows of what it was handed.
#[derive(Debug, Default)]
struct Counted(Mutex<Vec<(String, usize)>>);

/// No limit.
#[derive(Debug)]
struct Unbounded;

impl Held for Unbounded {
    fn hold(&mut self, _bytes: usize) -> Result<(), Problem> {
        Ok(())
    }
}

#[tonic::async_trait]
impl Appends for Counted {
    fn held(&self) -> Box<dyn Held> {
        Box::new(Unbounded)
    }

    async fn append_arrow(
        &self,
        _by: &Principal,
        (namespace, table): (&Namespace, &Table),
        stream: Bytes,
    ) -> Result<Appended, Problem> {
        let batches = StreamReader::try_new(Cursor::new(stream), None).unwrap();
        let rows = batches.map(|batch| batch.unwrap().num_rows()).sum();
        self.0.lock().unwrap().push((format!("{namespace}.{table}"), rows));
        Ok(Appended { accepted: rows as u64, duplicates: 0, system_time: Instant::from_micros(1) })
    }
}

/// A running door; it stops when dropped.
struct House {
    channel: Channel,
    appends: Arc<Counted>,
    _server: JoinSet<()>,
}

impl House {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let appends = Arc::new(Counted::default());
        let service = service(room(Config::default()).await, Arc::clone(&appends) as _);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let authorised = |mut request: Request<()>| {
                request.extensions_mut().insert(Principal::lake());
                Ok(request)
            };
            let service = InterceptedService::new(service, authorised);
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { channel, appends, _server: server }
    }

    fn sql(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel.clone())
    }

    fn bare(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone())
    }

    /// Schema and rows of a ticket.
    async fn get(&self, ticket: Ticket) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
        let data = self.bare().do_get(ticket).await?.into_inner().map_err(FlightError::from);
        let mut stream = FlightRecordBatchStream::new_from_flight_data(data);
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await.map_err(Status::from)? {
            batches.push(batch);
        }
        Ok((stream.schema().cloned().unwrap(), batches))
    }

    async fn act(&self, name: &str, body: Vec<u8>) -> Result<Option<arrow_flight::Result>, Status> {
        let action = Action { r#type: name.to_owned(), body: body.into() };
        self.bare().do_action(action).await?.into_inner().message().await
    }

    async fn prepare(&self, sql: &str) -> Result<PreparedStatementResult, Status> {
        let ask =
            arrow_flight::sql::ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let result = self.act("CreatePreparedStatement", ask.as_any().encode_to_vec()).await?.unwrap();
        let any = Any::decode(result.body).unwrap();
        assert!(any.type_url.ends_with(".sql.ActionCreatePreparedStatementResult"));
        Ok(PreparedStatementResult::decode(any.value).unwrap())
    }
}

fn ask(sql: &str) -> FlightDescriptor {
    let query = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(query.as_any().encode_to_vec())
}

fn ticket_of(info: &FlightInfo) -> Ticket {
    assert_eq!(info.endpoint.len(), 1);
    assert!(info.endpoint[0].location.is_empty());
    info.endpoint[0].ticket.clone().unwrap()
}

fn read_schema(bytes: bytes::Bytes) -> Schema {
    Schema::try_from(IpcMessage(bytes)).unwrap()
}

#[tokio::test]
async fn one_schema_is_told_everywhere() {
    let house = House::open().await;
    for sql in [
        "SELECT 1 AS n, 'x' AS t, NULL AS nothing, true AS b",
        "SELECT current_date, now(), TIMESTAMP '2013-01-01T00:00:00'",
        "SELECT struct(1, 'x') AS s",
        "SELECT make_array(1, 2), arrow_cast(make_array(1, 2), 'LargeList(Int64)')",
        "SELECT arrow_cast('x', 'Utf8View'), arrow_cast('x', 'Dictionary(Int8, Utf8)'), arrow_cast('x', 'LargeUtf8')",
        "SELECT arrow_cast(1, 'Decimal128(38, 3)'), arrow_cast('00', 'BinaryView'), INTERVAL '1 day'",
        "SELECT column1 AS n, count(*) FROM (VALUES (1), (2)) GROUP BY column1 HAVING count(*) > 5",
        "SELECT * FROM nyc.events",
        "SELECT * FROM information_schema.tables",
        "SELECT a.column1, b.column1 FROM (VALUES (1)) a LEFT JOIN (VALUES (2)) b ON a.column1 = b.column1",
        "EXPLAIN SELECT 1",
    ] {
        let info = house.bare().get_flight_info(ask(sql)).await.unwrap().into_inner();
        let told = read_schema(info.schema.clone());
        let prepared = house.prepare(sql).await.unwrap();
        assert_eq!(prepared.is_update, Some(false));
        assert_eq!(read_schema(prepared.dataset_schema), told, "{sql}");
        let schema = house.bare().get_schema(ask(sql)).await.unwrap().into_inner();
        assert_eq!(read_schema(schema.schema), told, "{sql}");
        let (came, batches) = house.get(ticket_of(&info)).await.unwrap();
        assert_eq!(*came, told, "{sql}");
        assert!(batches.iter().all(|batch| batch.schema() == came), "{sql}");
        let poll = house.bare().poll_flight_info(ask(sql)).await.unwrap().into_inner();
        assert!(poll.flight_descriptor.is_none() && poll.info.is_some());
    }
}

#[tokio::test]
async fn a_prepared_statement_is_bound_run_and_closed() {
    let house = House::open().await;
    let mut client = house.sql();
    let mut statement = client.prepare("SELECT $1 + 1 AS n, ? AS t".to_owned(), None).await;
    if statement.is_err() {
        // Mixed styles may be refused; one style must work.
        statement = client.prepare("SELECT CAST(? AS BIGINT) + 1 AS n, CAST(? AS VARCHAR) AS t".to_owned(), None).await;
    }
    let mut statement = statement.unwrap();
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 2);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("0", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("1", Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]))),
    ];
    statement.set_parameters(RecordBatch::try_from_iter(columns).unwrap()).unwrap();
    let info = statement.execute().await.unwrap();
    let told = read_schema(info.schema.clone());
    statement.close().await.unwrap();
    for _twice in 0..2 {
        let (schema, batches) = house.get(ticket_of(&info)).await.unwrap();
        assert_eq!(*schema, told);
        let rows: Vec<i64> =
            batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(rows, [2, 3, 4]);
        let texts: usize = batches.iter().map(|b| b.column(1).null_count()).sum();
        assert_eq!(texts, 1);
    }
}

#[tokio::test]
async fn a_wrong_count_of_parameters_is_refused() {
    let house = House::open().await;
    let handle = house.prepare("SELECT CAST(? AS BIGINT)").await.unwrap().prepared_statement_handle;
    let ask = CommandPreparedStatementQuery { prepared_statement_handle: handle };
    let descriptor = FlightDescriptor::new_cmd(ask.as_any().encode_to_vec());
    let refused = match house.bare().get_flight_info(descriptor).await {
        Ok(info) => house.get(ticket_of(&info.into_inner())).await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_ticket_carries_its_instant() {
    let house = House::open().await;
    let info = house.bare().get_flight_info(ask("SELECT now() AS n")).await.unwrap().into_inner();
    assert_eq!(info.app_metadata, format!("{{\"system_time\":\"{NOW}\"}}"));
    let ticket = ticket_of(&info);
    let first = house.get(ticket.clone()).await.unwrap().1;
    assert_eq!(house.get(ticket.clone()).await.unwrap().1, first);
    for n in 0..ticket.ticket.len() {
        let mut damaged = ticket.ticket.to_vec();
        damaged[n] ^= 0x40;
        let status = house.get(Ticket { ticket: damaged.into() }).await.err();
        let code = status.as_ref().map(Status::code);
        assert!(matches!(code, Some(Code::InvalidArgument | Code::Unimplemented)), "byte {n}: {status:?}");
    }
}

#[tokio::test]
async fn errors_have_the_code_that_says_what_to_do() {
    let house = House::open().await;
    for (sql, code) in [
        ("SELEC 1", Code::InvalidArgument),
        ("", Code::InvalidArgument),
        ("SELECT nothing FROM nyc.events", Code::InvalidArgument),
        ("SELECT * FROM nyc.nothing", Code::NotFound),
        ("SELECT 1; SELECT 2", Code::InvalidArgument),
        ("DROP TABLE nyc.events", Code::InvalidArgument),
        ("INSERT INTO nyc.events VALUES (1)", Code::InvalidArgument),
    ] {
        for status in [
            house.bare().get_flight_info(ask(sql)).await.unwrap_err(),
            house.bare().get_schema(ask(sql)).await.unwrap_err(),
            house.prepare(sql).await.unwrap_err(),
        ] {
            assert_eq!(status.code(), code, "{sql}: {}", status.message());
            assert!(!status.message().is_empty() && status.metadata().get("tidemark-code").is_some(), "{sql}");
        }
    }
    let garbage = FlightDescriptor::new_cmd("garbage");
    assert_eq!(house.bare().get_flight_info(garbage).await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = Any { type_url: "x".to_owned(), value: bytes::Bytes::new() }.encode_to_vec();
    let unknown = FlightDescriptor::new_cmd(unknown);
    assert_eq!(house.bare().get_flight_info(unknown).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn what_writes_is_told_where_to_go() {
    let house = House::open().await;
    let mut client = house.sql();
    let refused = client.execute_update("INSERT INTO nyc.flights VALUES (1)".to_owned(), None).await.unwrap_err();
    assert!(refused.to_string().contains("/v1/{namespace}/{collection}/changes"), "{refused}");
    let prepared = house.prepare("DELETE FROM nyc.flights").await.unwrap_err();
    assert!(prepared.message().contains("/v1/"), "{}", prepared.message());
    let transaction = client.begin_transaction().await.unwrap();
    let within = client.execute("SELECT 1".to_owned(), Some(transaction.clone())).await;
    assert!(within.is_ok(), "{within:?}");
    client.end_transaction(transaction.clone(), EndTransaction::Commit).await.unwrap();
    for ended in [
        client.end_transaction(transaction.clone(), EndTransaction::Commit).await.map(drop),
        client.execute("SELECT 1".to_owned(), Some(transaction.clone())).await.map(drop),
        client.prepare("SELECT 1".to_owned(), Some(transaction)).await.map(drop),
    ] {
        assert!(ended.unwrap_err().to_string().contains("not open"));
    }
}

#[tokio::test]
async fn a_session_is_set_got_and_closed() {
    let house = House::open().await;
    let text = SessionOptionValue { option_value: Some(OptionValue::StringValue("nyc".to_owned())) };
    let set = SetSessionOptionsRequest { session_options: [("schema".to_owned(), text)].into_iter().collect() };
    let action = Action { r#type: "SetSessionOptions".to_owned(), body: set.encode_to_vec().into() };
    let response = house.bare().do_action(action).await.unwrap();
    let bearer = response.metadata().get("authorization").unwrap().clone();
    let get =
        Action { r#type: "GetSessionOptions".to_owned(), body: GetSessionOptionsRequest {}.encode_to_vec().into() };
    let mut request = Request::new(get.clone());
    request.metadata_mut().insert("authorization", bearer.clone());
    let result = house.bare().do_action(request).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let options = GetSessionOptionsResult::decode(result.body).unwrap().session_options;
    assert_eq!(options.keys().collect::<Vec<_>>(), ["catalog", "schema"]);
    let mut request = Request::new(ask("SELECT * FROM events"));
    request.metadata_mut().insert("authorization", bearer);
    assert!(house.bare().get_flight_info(request).await.is_ok());
    assert!(house.bare().get_flight_info(ask("SELECT * FROM events")).await.is_err());
    for _twice in 0..2 {
        let closed = house.act("CloseSession", CloseSessionRequest {}.encode_to_vec()).await.unwrap().unwrap();
        assert_eq!(CloseSessionResult::decode(closed.body).unwrap().status, 1);
    }
    for name in ["Nothing", "BeginSavepoint", "CreatePreparedSubstraitPlan"] {
        assert_eq!(house.act(name, Vec::new()).await.unwrap_err().code(), Code::Unimplemented, "{name}");
    }
}

#[tokio::test]
async fn a_handshake_gives_the_token_twice() {
    let house = House::open().await;
    let token = house.sql().handshake("user", "password").await.unwrap();
    assert!(!token.is_empty());
    for header in ["Basic dTpwdw", "Basic dTpwdw==", "Bearer tm_1_x"] {
        let mut request = Request::new(stream::pending::<HandshakeRequest>());
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        let response = house.bare().handshake(request).await.unwrap();
        let bearer = response.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
        let message = response.into_inner().message().await.unwrap().unwrap();
        assert_eq!(bearer.as_bytes(), [b"Bearer ", &message.payload[..]].concat());
    }
}

#[tokio::test]
async fn the_lake_is_listed() {
    let house = House::open().await;
    let mut client = house.sql();
    let infos = HashMap::from([
        ("catalogs", client.get_catalogs().await.unwrap()),
        ("schemas", client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap()),
        (
            "tables",
            client.get_tables(CommandGetTables { include_schema: true, ..CommandGetTables::default() }).await.unwrap(),
        ),
        ("types", client.get_table_types().await.unwrap()),
        ("info", client.get_sql_info(vec![]).await.unwrap()),
    ]);
    for (name, info) in infos {
        let told = read_schema(info.schema.clone());
        let (schema, batches) = house.get(ticket_of(&info)).await.unwrap();
        assert_eq!(*schema, told, "{name}");
        assert!(batches.iter().map(RecordBatch::num_rows).sum::<usize>() > 0, "{name}");
    }
    let flights: Vec<FlightInfo> =
        house.bare().list_flights(Criteria::default()).await.unwrap().into_inner().try_collect().await.unwrap();
    let events = flights.iter().find(|f| f.flight_descriptor.as_ref().unwrap().path == ["nyc", "events"]).unwrap();
    assert!(house.get(ticket_of(events)).await.is_ok());
    let path = FlightDescriptor::new_path(vec!["nyc".to_owned(), "events".to_owned()]);
    let info = house.bare().get_flight_info(path).await.unwrap().into_inner();
    assert_eq!(read_schema(info.schema.clone()), read_schema(events.schema.clone()));
    assert!(read_schema(info.schema).field_with_name("id").is_ok_and(|id| *id.data_type() == DataType::Utf8));
    let actions: Vec<ActionType> =
        house.bare().list_actions(Empty {}).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(actions.len(), 10);
}

#[tokio::test]
async fn a_running_stream_can_be_cancelled_from_elsewhere() {
    let house = House::open().await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b";
    let Ok(info) = house.bare().get_flight_info(ask(endless)).await else { return };
    let info = info.into_inner();
    let nothing = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
    assert_eq!(house.act("CancelFlightInfo", nothing.clone()).await.unwrap_err().code(), Code::NotFound);
    let mut stream = house.bare().do_get(ticket_of(&info)).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    house.act("CancelFlightInfo", nothing).await.unwrap().unwrap();
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Cancelled);
}

/// `SET` leaves its setting in the token that the client carries on, and holds for what is asked with it.
#[tokio::test]
async fn a_setting_lasts_in_the_session() {
    let house = House::open().await;
    let with = |sql: &str, bearer: Option<&tonic::metadata::MetadataValue<tonic::metadata::Ascii>>| {
        let mut request = Request::new(ask(sql));
        if let Some(bearer) = bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    };
    let set = "SET tidemark.as_of = now() - INTERVAL '1 hour'";
    let response = house.bare().get_flight_info(with(set, None)).await.unwrap();
    let bearer = response.metadata().get("authorization").unwrap().clone();
    let shown = |info: FlightInfo| {
        let ticket = ticket_of(&info);
        async { house.get(ticket).await.unwrap().1[0].clone() }
    };
    for (bearer, expected) in [(Some(&bearer), "2013-01-01T05:00:00.000000Z"), (None, "")] {
        let info = house.bare().get_flight_info(with("SHOW tidemark.as_of", bearer)).await.unwrap().into_inner();
        let rows = shown(info).await;
        assert_eq!(arrow::util::display::array_value_to_string(rows.column(0), 0).unwrap(), expected);
    }
    let response = house.bare().get_flight_info(with("RESET tidemark.as_of", Some(&bearer))).await.unwrap();
    let bearer = response.metadata().get("authorization").unwrap().clone();
    let info = house.bare().get_flight_info(with("SHOW tidemark.as_of", Some(&bearer))).await.unwrap().into_inner();
    assert!(arrow::array::Array::is_null(shown(info).await.column(0).as_ref(), 0));
    let unset = house.bare().get_flight_info(with("SELECT 1", None)).await.unwrap();
    assert!(unset.metadata().get("authorization").is_none());
}

/// Rows for a path are handed on batch by batch, and acknowledged in between; without a message nothing is.
#[tokio::test]
async fn rows_for_a_path_are_handed_on_and_acknowledged() {
    let house = House::open().await;
    let column = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
    let batch = |numbers| RecordBatch::try_from_iter([("n", column(numbers))]).unwrap();
    let batches = futures::stream::iter([Ok(batch(vec![1, 2])), Ok(batch(vec![3]))]);
    let path = FlightDescriptor::new_path(vec!["nyc".to_owned(), "flights".to_owned()]);
    let encoder = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(path)).build(batches);
    let messages: Vec<FlightData> = encoder.try_collect().await.unwrap();
    let put = house.bare().do_put(futures::stream::iter(messages)).await.unwrap().into_inner();
    let acks: Vec<String> =
        put.map_ok(|ack| String::from_utf8(ack.app_metadata.to_vec()).unwrap()).try_collect().await.unwrap();
    let batch = |accepted| {
        format!(r#""batch":{{"accepted":{accepted},"duplicates":0,"system_time":"1970-01-01T00:00:00.000001Z"}}"#)
    };
    let expected = [
        r#"{"ack_up_to_offset":-1,"ack_up_to_records":0}"#.to_owned(),
        format!(r#"{{"ack_up_to_offset":0,"ack_up_to_records":2,{}}}"#, batch(2)),
        format!(r#"{{"ack_up_to_offset":1,"ack_up_to_records":3,{}}}"#, batch(1)),
    ];
    assert_eq!(acks, expected);
    let handed = [("nyc.flights".to_owned(), 2), ("nyc.flights".to_owned(), 1)];
    assert_eq!(*house.appends.0.lock().unwrap(), handed);
    let mut nothing = house.bare().do_put(futures::stream::iter([])).await.unwrap().into_inner();
    let updated = nothing.message().await.unwrap().unwrap();
    assert_eq!(arrow_flight::sql::DoPutUpdateResult::decode(updated.app_metadata).unwrap().record_count, 0);
}
