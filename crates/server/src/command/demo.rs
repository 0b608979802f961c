//! `tidemark demo`: a server on a directory of its own, a week of real flights, five questions with their answers, and a
//! prompt to go on from.
//!
//! 1. The server starts as `serve` does; free ports are taken where nobody chose and the usual ones are in use.
//! 2. `load` sends the sample through the HTTP door, batch by batch, leaving out what is there already.
//! 3. `questions` asks, now, and shows what was answered.
//! 4. A prompt if standard input is a terminal; else it serves until SIGTERM.

mod load;
mod questions;

use std::io::IsTerminal as _;

use tokio::signal::unix::{SignalKind, signal};

use super::{
    Failure, out, serve, settings,
    sql::{Asking, Timing, prompt},
};
use crate::{
    cli::{DemoArgs, Format},
    client::Client,
    config::{Environment, Listen, Loaded, Settings},
    server::{Server, StartError},
    shutdown::Signals,
    telemetry::{self, Telemetry},
};

/// Where the demo keeps its lake unless told otherwise: beside others, and still there for the next run.
const DATA: &str = "./tidemark-data/demo";

/// Runs the demo.
pub(super) async fn run(args: &DemoArgs, environment: &Environment) -> Result<(), Failure> {
    let loaded = settings(&args.serve, environment)?;
    let settings = demo_settings(&loaded);
    if settings.tls.certificate.is_some() {
        return Err(Failure::saying("the demo speaks no TLS: leave tls.certificate out, or use tidemark serve"));
    }
    let Telemetry { exporter, .. } = telemetry::install(&settings).map_err(Failure::saying)?;
    let shown = demonstrate(settings, &loaded, environment).await;
    if let Some(exporter) = exporter {
        exporter.end().await;
    }
    shown
}

async fn demonstrate(settings: Settings, loaded: &Loaded, environment: &Environment) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    out(format_args!(
        "Tidemark demo: the lake is in {}; delete that directory to begin anew.\n",
        settings.data.display()
    ))?;
    let token = settings.auth.token.clone();
    let server = start(settings, loaded, environment).await?;
    let client = Client::at(&format!("http://{}", server.http()), token)?;
    let shown = tokio::select! {
        shown = show(&client) => shown,
        () = server.failed().cancelled_owned() => Err(Failure::saying("the server failed, see the log above")),
    };
    match shown {
        Ok(()) if std::io::stdin().is_terminal() => ask_on(server, client, environment).await,
        Ok(()) => {
            out(serve::ready(&server))?;
            serve::until_told(&server, &mut signals).await?;
            serve::stop(server, signals).await
        }
        Err(failure) => {
            server.stop().await?;
            Err(failure)
        }
    }
}

/// A directory of its own, and quiet logs, unless somebody chose.
fn demo_settings(loaded: &Loaded) -> Settings {
    let mut settings = loaded.settings.clone();
    if !loaded.origins.contains_key("data") {
        settings.data = DATA.into();
    }
    if !loaded.origins.contains_key("logs.filter") {
        settings.logs.filter = "warn".to_owned();
    }
    settings
}

/// Starts on the usual ports, or on free ones if these are in use and nobody chose them.
async fn start(settings: Settings, loaded: &Loaded, environment: &Environment) -> Result<Server, StartError> {
    let chosen = ["http", "grpc", "postgres"].iter().any(|port| loaded.origins.contains_key(*port));
    match Server::start(settings.clone(), environment).await {
        Err(StartError::Port(error)) if !chosen && error.source.kind() == std::io::ErrorKind::AddrInUse => {
            let mut settings = settings;
            settings.http.set_port(0);
            settings.grpc.set_port(0);
            settings.postgres = settings.postgres.or(Some(Listen::DEFAULT_POSTGRES)).map(Listen::on_a_free_port);
            Server::start(settings, environment).await
        }
        started => started,
    }
}

async fn show(client: &Client) -> Result<(), Failure> {
    let sample = load::sample()?;
    load::load(client, &sample).await?;
    questions::show(client, &sample).await
}

/// The prompt; when it is left, or at SIGTERM, the server stops in order.
async fn ask_on(server: Server, client: Client, environment: &Environment) -> Result<(), Failure> {
    out(format_args!(
        "\nHTTP is at http://{}, Flight SQL at grpc://{}, metrics at http://{}/metrics. Your turn:\n",
        server.http(),
        server.grpc(),
        server.http()
    ))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (format, timing) = (Format::Table, Timing::Shown);
    let asking = Asking { client, namespace: None, format, timing, settings: String::new() };
    let left = tokio::select! {
        left = prompt::open(asking, environment) => left,
        _ = terminate.recv() => Ok(()),
        () = server.failed().cancelled_owned() => Err(Failure::saying("the server failed, see the log above")),
    };
    // Listens anew: what was pressed at the prompt is not meant for the end.
    serve::stop(server, Signals::listen()?).await?;
    left
}
