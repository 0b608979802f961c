//! Settings read anew while the server runs: SIGHUP, and `POST /v1/reload` of whoever has the root token.
//!
//! 1. The same file, environment and flags are read as at the start, secrets in files too. What cannot be read changes nothing.
//! 2. What differs is looked at ([`config::changes`]). If any of it needs a restart, that is said by name and nothing changes.
//! 3. The rest is taken up: the root token, limits of clients, the filter of log lines. Certificates are looked at by
//!    [`crate::tls`] itself, tokens of the lake by [`tidemark_catalog::Tokens`].

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::json;
use tidemark_model::{Kind, Principal};
use tidemark_proto::{By, Problem};
use tokio::sync::Mutex;

use crate::{
    authority::Authority,
    config::{self, Change, ConfigError, Settings, Source},
    limits::Limits,
    metrics::Metrics,
    reply,
    telemetry::Lines,
};

/// Where settings are read from again, and the log lines that follow their filter; none of both in a server that was started
/// with settings of its own making.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The file, the environment and the flags.
    pub source: Option<Source>,
    /// The subscriber of the process.
    pub lines: Option<Lines>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The settings were made by a program.
    #[error("this server was not started with settings that can be read again")]
    NoSource,
    /// They cannot be read, or do not go together.
    #[error("nothing was changed: {0}")]
    Config(#[from] ConfigError),
    /// The filter of log lines is none.
    #[error("nothing was changed: {0}")]
    Filter(String),
    /// Some need a restart.
    #[error("nothing was changed, because a restart is needed for {}", listed(.0))]
    Restart(Vec<Change>),
    /// The task that read them ended early.
    #[error("nothing was changed: the settings were not read: {0}")]
    Ended(String),
}

fn listed(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ReloadError {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoSource | Self::Restart(_) => Kind::Conflict,
            Self::Config(_) | Self::Filter(_) => Kind::Unprocessable,
            Self::Ended(_) => Kind::Internal,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSource => "not_reloadable",
            Self::Restart(_) => "restart_needed",
            Self::Config(_) | Self::Filter(_) => "invalid_settings",
            Self::Ended(_) => "internal",
        }
    }
}

/// Takes settings up while the server runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reading: Reading,
    authority: Arc<Authority>,
    limits: Arc<Limits>,
    metrics: Metrics,
    in_force: Mutex<Settings>,
}

impl Reloader {
    /// Of a server that was started with these settings.
    #[must_use]
    pub fn new(
        settings: Settings,
        reading: Reading,
        (authority, limits): (Arc<Authority>, Arc<Limits>),
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner { reading, authority, limits, metrics, in_force: Mutex::new(settings) }))
    }

    /// Reads the settings anew and takes up what differs; what that was.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing was changed.
    pub async fn reload(&self, by: &str) -> Result<Vec<Change>, ReloadError> {
        let mut in_force = self.0.in_force.lock().await;
        let done = self.take_up(&mut in_force).await;
        let outcome = match &done {
            Ok(changes) if changes.is_empty() => "unchanged",
            Ok(_) => "changed",
            Err(ReloadError::Restart(_)) => "restart_needed",
            Err(_) => "invalid",
        };
        self.0.metrics.settings_reloaded(outcome);
        match &done {
            Ok(changes) => tracing::info!(by, changed = listed(changes), "settings were read anew"),
            Err(error) => tracing::error!(by, %error, "settings were read anew and are not used: those in force stay"),
        }
        done
    }

    async fn take_up(&self, in_force: &mut Settings) -> Result<Vec<Change>, ReloadError> {
        let source = self.0.reading.source.clone().ok_or(ReloadError::NoSource)?;
        let read = tokio::task::spawn_blocking(move || source.load()).await;
        let settings = read.map_err(|ended| ReloadError::Ended(ended.to_string()))??.settings;
        let changes = config::changes(in_force, &settings);
        let (live, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(Change::is_live);
        if !rest.is_empty() {
            return Err(ReloadError::Restart(rest));
        }
        // The only step that can fail goes first.
        if let Some(lines) = self.0.reading.lines.as_ref().filter(|_| in_force.logs.filter != settings.logs.filter) {
            lines.follow(&settings.logs.filter).map_err(ReloadError::Filter)?;
        }
        self.0.limits.set(&settings.limits);
        self.0.authority.set_root(settings.auth.token.as_ref());
        *in_force = settings;
        Ok(live)
    }
}

/// The route.
pub fn router(reloader: Reloader) -> Router {
    Router::new().route("/v1/reload", post(reload)).with_state(reloader)
}

/// Where tokens are asked for only the root token will do: settings say what that is.
async fn reload(State(reloader): State<Reloader>, By(by): By) -> Response {
    if !matches!(by.id(), Principal::ROOT | Principal::ANONYMOUS) {
        let detail = "settings are read anew for the root token alone, or on SIGHUP";
        return Problem::new(Kind::Forbidden, "root_only", detail).into_response();
    }
    match reloader.reload(by.id()).await {
        Ok(changes) => (StatusCode::OK, reply::json(&json!({ "changed": changes }))).into_response(),
        Err(error) => Problem::new(error.kind(), error.code(), error.to_string()).into_response(),
    }
}
