//! What a process answers while another one owns the lake: that it is alive and not ready, what it measures of itself, and
//! nothing else.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tidemark_catalog::Tokens;
use tidemark_model::Kind;
use tidemark_proto::Problem;

use crate::{
    access,
    authority::Authority,
    config::{Environment, Settings},
    guard::Guard,
    health,
    metrics::Metrics,
    ports::{Life, Peer, Port},
    server::StartError,
    wiring::{Parts, WiringError, open_store},
};

/// How long reading the tokens of the lake may take.
const TOKENS_WITHIN: Duration = Duration::from_secs(3);
/// How long requests to a process that stands by may take to end.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A process that stands by.
#[derive(Debug)]
pub(crate) struct Standby {
    life: Life,
    metrics: Metrics,
}

/// What is measured, and who may see it.
#[derive(Debug, Clone)]
struct Watched {
    metrics: Metrics,
    tokens: Tokens,
    guard: Guard,
}

impl Standby {
    /// Answers on these ports.
    ///
    /// # Errors
    /// [`StartError`] where a port may not be served like this.
    pub(crate) async fn begin(
        ports: [&Port; 2],
        postgres: Option<&Port>,
        (settings, environment, parts): (&Settings, &Environment, &Parts),
    ) -> Result<Self, StartError> {
        let (life, metrics, connections) = (Life::default(), parts.metrics.clone(), &settings.connections);
        let store = open_store(settings, environment).map_err(WiringError::from)?;
        let tokens = Tokens::of(&store, parts.clock.clone(), parts.ids.clone());
        let authority = Authority::new(&settings.auth, tokens.clone(), parts.clock.clone(), metrics.tokens_refused());
        learn(&tokens).await;
        for port in ports {
            let guard = Guard::of_port(&settings.auth, &authority, port.address())?;
            let router = router(Watched { metrics: metrics.clone(), tokens: tokens.clone(), guard });
            port.again().serve(router, connections.clone(), &life);
        }
        metrics.stands_by(true);
        if let Some(port) = postgres {
            // Clients of PostgreSQL's protocol try the next host when one hangs up.
            port.again().hand(connections.max, &life, |stream, _peer, _tls| async move {
                drop(stream);
                Ok(())
            });
        }
        Ok(Self { life, metrics })
    }

    /// Lets go of the ports: from here on the process answers as an owner.
    pub(crate) async fn end(self) {
        self.metrics.stands_by(false);
        let Life { stop, abandon, tasks, .. } = self.life;
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(END_WITHIN, tasks.wait()).await.is_err() {
            abandon.cancel();
            tasks.wait().await;
        }
    }
}

fn router(watched: Watched) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(watched)
        .route("/health", get(|| async { health::answer(&serde_json::json!({"status": "ok", "role": "standby"})) }))
        .route("/version", get(health::version))
        .fallback(|| async { not_here() })
}

/// Learns which tokens there are, for as long as a store that is away may hold up a process that only says that it lives.
async fn learn(tokens: &Tokens) {
    match tokio::time::timeout(TOKENS_WITHIN, tokens.freshen()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the tokens of the lake are not known"),
        Err(_late) => tracing::warn!("the tokens of the lake are not known: its store does not answer"),
    }
}

async fn metrics(State(watched): State<Watched>, request: Request) -> Response {
    let Watched { metrics, tokens, guard } = watched;
    // The first one may have been made since: from then on they are asked for here too.
    learn(&tokens).await;
    let from = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip());
    let admitted = match guard.check(request.uri(), request.headers(), from).await {
        Ok(admitted) => admitted,
        Err(refused) => return Problem::new(refused.kind(), refused.code(), refused.to_string()).into_response(),
    };
    match access::of(&Method::GET, "/metrics").needs.check(&admitted.principal, None) {
        Ok(()) => health::measured(&metrics),
        Err(denied) => Problem::new(denied.kind(), denied.code(), denied.to_string()).into_response(),
    }
}

fn not_here() -> Response {
    let detail = "this server stands by: another one owns the lake; ask there, or again when it has taken over";
    let mut answer = Problem::new(Kind::Unavailable, "standby", detail.to_owned()).into_response();
    answer.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
    answer
}
