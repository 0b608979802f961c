//! `tidemark doctor`: looks at all that a server stands on, and tells.

use serde_json::json;

use super::{Failure, out, settings};
use crate::{
    cli::looking::{DoctorArgs, FindingFormat},
    config::Environment,
    doctor::{Depth, Finding, State, examine},
};

/// Looks and tells; anything that failed is a failure.
pub(super) async fn run(args: &DoctorArgs, environment: &Environment) -> Result<(), Failure> {
    let depth = if args.ask_store { Depth::AskingStore } else { Depth::Reading };
    let found = examine(settings(&args.serve, environment), environment, depth).await;
    let worst = found.iter().map(|finding| finding.state).max().unwrap_or(State::Ok);
    out(match args.format {
        FindingFormat::Json => format!("{:#}\n", json!({ "state": worst, "findings": found })),
        FindingFormat::Text => found.iter().map(line).collect(),
    })?;
    let failed: Vec<&str> = found.iter().filter(|one| one.state == State::Failed).map(|one| one.check).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::saying(format_args!("failed: {}", failed.join(", ")))) }
}

/// A finding for people, and on a line of its own what to do.
fn line(finding: &Finding) -> String {
    let next = finding.next.as_ref().map(|next| format!("         → {next}\n")).unwrap_or_default();
    format!("{:<8} {}: {}\n{next}", finding.state.as_str(), finding.check, finding.seen)
}
