//! `tidemark serve`: all rooms in one process until a signal ends it.

use std::convert::Infallible;

use super::{Failure, out, source};
use crate::{
    cli::ServeArgs,
    config::{Environment, Settings},
    reload::Reading,
    server::Server,
    shutdown::{Hangups, Signals},
    telemetry::{self, Telemetry},
};

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(args: &ServeArgs, environment: &Environment) -> Result<(), Failure> {
    let source = source(args, environment);
    let settings = source.load()?.settings;
    let Telemetry { lines, exporter } = telemetry::install(&settings).map_err(Failure::saying)?;
    let reading = Reading { source: Some(source), lines: Some(lines) };
    let served = serve(settings, environment, reading).await;
    if let Some(exporter) = exporter {
        exporter.end().await;
    }
    served
}

async fn serve(settings: Settings, environment: &Environment, reading: Reading) -> Result<(), Failure> {
    let (mut signals, hangups) = (Signals::listen()?, Hangups::listen()?);
    tracing::info!(version = crate::metrics::VERSION, store = settings.store_name(), "starting");
    let server = tokio::select! {
        started = Server::start_reading(settings, environment, reading) => started?,
        // It may stand by for days. What a start has begun, the next one finishes.
        signal = signals.next() => {
            tracing::info!(signal, "stopped before it served");
            return Ok(());
        }
    };
    out(ready(&server))?;
    tokio::select! {
        ended = until_told(&server, &mut signals) => ended?,
        never = reload_when_told(&server, hangups) => match never {},
    }
    stop(server, signals).await
}

/// Reads the settings anew as often as SIGHUP comes.
async fn reload_when_told(server: &Server, mut hangups: Hangups) -> Infallible {
    loop {
        hangups.next().await;
        server.reload_on("SIGHUP").await;
    }
}

/// The line that says where it serves; addresses of TLS carry their scheme, but for the one whose clients ask for TLS.
pub(super) fn ready(server: &Server) -> String {
    let scheme = if server.speaks_tls() { "https://" } else { "" };
    let postgres = server.postgres().map(|address| format!(" postgres={address}")).unwrap_or_default();
    format!("ready http={scheme}{} grpc={scheme}{}{postgres}\n", server.http(), server.grpc())
}

/// Serves until a signal comes, or until the server can no longer be trusted.
pub(super) async fn until_told(server: &Server, signals: &mut Signals) -> Result<(), Failure> {
    let failed = server.failed();
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = failed.cancelled() => return Err(Failure::saying(
            "the log or the lake can no longer be trusted, see the log above: start again to recover what is durable, unless \
             another server owns the lake now",
        )),
    };
    tracing::info!(signal, "stopping: finishing what is under way, a second signal ends at once");
    Ok(())
}

/// Stops in order, unless a further signal comes or the log fails on the way.
pub(super) async fn stop(server: Server, signals: Signals) -> Result<(), Failure> {
    let failed = server.failed();
    tokio::select! {
        stopped = server.stop() => stopped?,
        never = signals.exit_at_next() => match never {},
        () = failed.cancelled() => return Err(Failure::saying("the log failed while stopping")),
    }
    tracing::info!("stopped");
    Ok(())
}
