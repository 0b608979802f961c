//! What a process answers while another one owns the lake: that it is alive and not ready, and nothing else.

use std::time::Duration;

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use tidemark_model::Kind;
use tidemark_proto::Problem;

use crate::{
    config::Connections,
    health,
    ports::{Life, Port},
};

/// How long requests to a process that stands by may take to end.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A process that stands by.
#[derive(Debug)]
pub(crate) struct Standby(Life);

impl Standby {
    /// Answers on these ports.
    pub(crate) fn begin(ports: [&Port; 2], postgres: Option<&Port>, connections: &Connections) -> Self {
        let life = Life::default();
        for port in ports {
            port.again().serve(router(), connections.clone(), &life);
        }
        if let Some(port) = postgres {
            // Clients of PostgreSQL's protocol try the next host when one hangs up.
            port.again().hand(connections.max, &life, |stream, _peer, _tls| async move {
                drop(stream);
                Ok(())
            });
        }
        Self(life)
    }

    /// Lets go of the ports: from here on the process answers as an owner.
    pub(crate) async fn end(self) {
        let Life { stop, abandon, tasks } = self.0;
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(END_WITHIN, tasks.wait()).await.is_err() {
            abandon.cancel();
            tasks.wait().await;
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/health", get(|| async { health::answer(&serde_json::json!({"status": "ok", "role": "standby"})) }))
        .route("/version", get(health::version))
        .fallback(|| async { not_here() })
}

fn not_here() -> Response {
    let detail = "this server stands by: another one owns the lake; ask there, or again when it has taken over";
    let mut answer = Problem::new(Kind::Unavailable, "standby", detail.to_owned()).into_response();
    answer.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
    answer
}
