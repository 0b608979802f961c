//! The peers: Flight servers that do nothing but send the batches they hold in memory, each in a process of its own.
//!
//! One is here, of the libraries that our door is made of; the other is pyarrow's (`peers/flight_server.py`). What our door does to every message is done here too: the same encoder, no limit of its own on the size of messages, since
//! the batches were cut by ours.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::reader::StreamReader};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
    encode::FlightDataEncoderBuilder,
    flight_service_server::{FlightService, FlightServiceServer},
};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use super::Error;
use crate::{Outcome, lake::ready, measure::cpu_s, peer};

/// What the benchmarks' binary is told to be this server.
pub(crate) const NAME: &str = "bare-flight-server";

/// A running peer. Killed on drop.
#[derive(Debug)]
pub(super) struct Bare {
    /// What it is.
    pub(super) name: &'static str,
    child: Child,
    /// `http://host:port`.
    pub(super) url: String,
}

impl Bare {
    /// Starts both over a file of batches.
    pub(super) fn both(file: &Path) -> Result<[Self; 2], Error> {
        let mut own = Command::new(std::env::current_exe()?);
        own.arg(NAME);
        let theirs = peer::command("flight_server.py");
        Ok([Self::start(("a bare server of tonic", own), file)?, Self::start(("pyarrow's own server", theirs), file)?])
    }

    fn start((name, mut command): (&'static str, Command), file: &Path) -> Result<Self, Error> {
        let child = command.arg(file).stdout(Stdio::piped()).spawn()?;
        let mut started = Self { name, child, url: String::new() };
        started.url = ready(&mut started.child)?.trim_start_matches("ready ").to_owned();
        Ok(started)
    }

    /// CPU seconds so far.
    pub(super) fn cpu(&self) -> f64 {
        cpu_s(&self.child.id().to_string()).unwrap_or(0.0)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Loads the file, says where it answers, and serves until it is killed.
pub(crate) async fn serve(file: &str) -> Outcome {
    let reader = StreamReader::try_new_buffered(File::open(file)?, None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Arc<[RecordBatch]>, _>>()?;
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
    println!("ready http://{}", incoming.local_addr()?);
    let service = FlightServiceServer::new(Held { schema, batches });
    Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
}

/// The batches.
struct Held {
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
}

type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// What this server does not do.
fn nothing<T>() -> Result<T, Status> {
    Err(Status::unimplemented("this server sends its batches and does nothing else"))
}

#[tonic::async_trait]
impl FlightService for Held {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages<FlightData>;
    type DoPutStream = Messages<PutResult>;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;
    type DoExchangeStream = Messages<FlightData>;

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (batches, count) = (Arc::clone(&self.batches), self.batches.len());
        let all = stream::iter((0..count).map(move |at| Ok(batches[at].clone())));
        let encoder = FlightDataEncoderBuilder::new().with_schema(Arc::clone(&self.schema));
        let messages = encoder.with_max_flight_data_size(usize::MAX).build(all);
        Ok(Response::new(messages.map(|message| message.map_err(Status::from)).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        nothing()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        nothing()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        nothing()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        nothing()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        nothing()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        nothing()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        nothing()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        nothing()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        nothing()
    }
}
