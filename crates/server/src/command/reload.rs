//! `tidemark config reload`: has a running server read its settings anew. A client of HTTP.

use reqwest::Method;
use serde_json::Value;

use super::{Failure, out};
use crate::{cli::maintenance::WhereArgs, client::Client, config::Environment};

/// Asks, and tells what changed.
pub(super) async fn run(args: &WhereArgs, environment: &Environment) -> Result<(), Failure> {
    let told = Client::of(&args.server, environment)?.manage(Method::POST, "/v1/reload", None).await?;
    let changes = told["changed"].as_array().map_or(&[][..], Vec::as_slice);
    if changes.is_empty() {
        return out("nothing has changed\n");
    }
    let text = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    let line = |change: &Value| format!("{}: {} → {}\n", text(change, "key"), text(change, "old"), text(change, "new"));
    out(changes.iter().map(line).collect::<String>())
}
