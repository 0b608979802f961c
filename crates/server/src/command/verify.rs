//! `tidemark verify`: looks the lake over, without a server.

use tidemark_catalog::verify::{Depth, Report, verify};
use tidemark_model::Clock as _;

use super::{Failure, out, settings};
use crate::{cli::looking::VerifyArgs, clock::SystemClock, config::Environment, wiring};

/// How long clean-up may take to come by, besides the grace, seconds.
const CLEAN_UP_WITHIN_S: u64 = 1800;

/// Looks and tells; a lake with anything wrong is a failure.
pub(super) async fn run(args: &VerifyArgs, environment: &Environment) -> Result<(), Failure> {
    let settings = settings(&args.serve, environment)?.settings;
    let store = wiring::look_at_store(&settings, environment)?;
    let depth = if args.quick { Depth::Sizes } else { Depth::Checksums };
    // Clean-up sees a file unnamed, waits for the grace, and may have been started anew in between.
    let grace_s = settings.cdc.grace_s.max(settings.ingest.grace_s);
    let grace_s = grace_s.saturating_mul(2).saturating_add(CLEAN_UP_WITHIN_S);
    let report = verify(&store, depth, SystemClock.now(), grace_s).await?;
    let Report { tables, files, bytes, log_objects, complaints } = report;
    for complaint in &complaints {
        out(format_args!("{complaint}\n"))?;
    }
    let looked = format!("{tables} tables, {files} files, {bytes} bytes, {log_objects} objects of logs in the store");
    match complaints.len() {
        0 => out(format_args!("{looked}: nothing is wrong\n")),
        1 => Err(Failure::saying(format_args!("{looked}: one thing is wrong, told on standard output"))),
        wrong => Err(Failure::saying(format_args!("{looked}: {wrong} things are wrong, listed on standard output"))),
    }
}
