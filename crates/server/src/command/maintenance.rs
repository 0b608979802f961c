//! `tidemark maintenance`: switches ingest off and on, and tells how it stands. A client of HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Failure, out};
use crate::{
    cli::{
        ServerArgs,
        maintenance::{MaintenanceCommand, OnArgs, WhereArgs},
    },
    client::Client,
    config::Environment,
};

const PATH: &str = "/v1/maintenance";

/// Does what was typed and tells how it stands then.
pub(super) async fn run(command: &MaintenanceCommand, environment: &Environment) -> Result<(), Failure> {
    let asked = |server: &ServerArgs| Client::of(server, environment);
    let told = match command {
        MaintenanceCommand::On(OnArgs { reason, server }) => {
            asked(server)?.manage(Method::PUT, PATH, Some(&json!({ "reason": reason }))).await?
        }
        MaintenanceCommand::Off(WhereArgs { server }) => asked(server)?.manage(Method::DELETE, PATH, None).await?,
        MaintenanceCommand::Status(WhereArgs { server }) => asked(server)?.manage(Method::GET, PATH, None).await?,
    };
    out(said(&told))
}

/// How it stands, for people.
fn said(told: &Value) -> String {
    let text = |key: &str| told[key].as_str().unwrap_or_default();
    let unflushed = told["unflushed_bytes"].as_u64().unwrap_or_default();
    let files = match unflushed {
        0 => "all that is acknowledged is in files".to_owned(),
        bytes => format!("{bytes} bytes are acknowledged and in no file yet"),
    };
    if told["maintenance"] != json!(true) {
        return format!("ingest is on; {files}\n");
    }
    let reason = if text("reason").is_empty() { String::new() } else { format!(": {}", text("reason")) };
    format!("ingest is off since {}, by {}{reason}; {files}\n", text("since"), text("by"))
}
