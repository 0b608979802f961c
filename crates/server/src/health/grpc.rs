//! gRPC's health protocol: what `/ready` says, for the server and for each of its services.

use std::time::Duration;

use futures::{StreamExt, stream, stream::BoxStream};
use tidemark_proto::health::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health as Service, HealthServer},
};
use tonic::{Request, Response, Status};

use super::Health;

/// What can be asked for; the empty name is the server as a whole.
const SERVICES: [&str; 4] = ["", "tidemark.v1.Ingest", "tidemark.v1.Catalog", "arrow.flight.protocol.FlightService"];
/// How often a watched status is looked at.
const WATCHED_EVERY: Duration = Duration::from_millis(500);

impl Health {
    /// The service, ready to be put behind a server.
    #[must_use]
    pub fn service(&self) -> HealthServer<Self> {
        HealthServer::new(self.clone())
    }

    /// The services take work together.
    async fn serving(&self) -> ServingStatus {
        if self.unready().await.is_none() { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    /// The status of a watched service when it is another one than before. The last one of a server that stops is that it
    /// does not serve: then the stream ends, because the end waits for it.
    async fn changed(self, known: bool, before: Option<ServingStatus>) -> Option<(ServingStatus, bool)> {
        loop {
            let now = if known { self.serving().await } else { ServingStatus::ServiceUnknown };
            if before != Some(now) {
                return Some((now, self.is_stopping()));
            }
            if self.is_stopping() {
                return None;
            }
            tokio::time::sleep(WATCHED_EVERY).await;
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for Health {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !SERVICES.contains(&name.as_str()) {
            return Err(Status::not_found(format!("there is no such service here: ask for one of {SERVICES:?}")));
        }
        Ok(Response::new(answer(self.serving().await)))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.into_inner().service.as_str());
        let statuses = stream::unfold((self.clone(), None, false), move |(health, before, is_last)| async move {
            if is_last {
                return None;
            }
            let (now, is_last) = health.clone().changed(known, before).await?;
            Some((Ok(answer(now)), (health, Some(now), is_last)))
        });
        Ok(Response::new(statuses.boxed()))
    }
}
