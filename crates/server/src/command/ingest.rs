//! `tidemark ingest`: a file of JSON lines, in batches, each under a key that makes a second run harmless.
//!
//! A thread reads and cuts batches (`lines`), this task sends them one after the other, so that the order of the file is
//! the order of the log. What a server refuses is told by the number of its line.

pub(super) mod lines;
pub(super) mod send;

use std::{io::Write as _, path::Path, time::Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use self::{
    lines::{Batch, Batches, ReadError, Source},
    send::{Sender, Tally},
};
use super::{Failure, out};
use crate::{
    cli::{IngestArgs, OnError},
    client::Client,
    clock::random_ids,
    config::Environment,
};

/// Batches that wait for being sent.
const BATCHES_AHEAD: usize = 2;
/// Refused lines that are listed.
const REFUSED_LISTED_MAX: usize = 50;

/// Sends the file.
pub(super) async fn run(args: &IngestArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let begun = Instant::now();
    let bar = bar(std::fs::metadata(&args.file).map(|file| file.len()).ok());
    let source = source(&args.file, &bar)?;
    let sender = Sender::new(client, path(args), source.key.clone());
    let (give, mut take) = mpsc::channel::<Result<Batch, ReadError>>(BATCHES_AHEAD);
    let lines_max = usize::try_from(args.batch).unwrap_or(1);
    let reader = tokio::task::spawn_blocking(move || {
        for batch in Batches::new(source.reader, lines_max) {
            if give.blocking_send(batch).is_err() {
                return;
            }
        }
    });
    let mut tally = Tally::default();
    while let Some(batch) = take.recv().await {
        sender.send(batch?, &mut tally).await.inspect_err(|_| bar.abandon())?;
        bar.set_message(format!("{} lines", tally.lines));
    }
    reader.await.map_err(|e| Failure::saying(format_args!("reading ended early: {e}")))?;
    bar.finish_and_clear();
    summary(&tally, begun)
}

/// The file, or standard input, whose every run has a key of its own: the same line piped twice is meant twice.
fn source(file: &Path, bar: &ProgressBar) -> Result<Source, Failure> {
    if file == Path::new("-") {
        let run = random_ids().random();
        return Ok(Source { key: format!("stdin {run:016x}"), reader: Box::new(bar.wrap_read(std::io::stdin())) });
    }
    Source::open(file, |opened| Box::new(bar.wrap_read(opened)))
        .map_err(|e| Failure::saying(format_args!("{} cannot be read: {e}", file.display())))
}

fn path(args: &IngestArgs) -> String {
    let table = args.collection.as_ref().map_or_else(|| "events".to_owned(), |name| format!("{name}/changes"));
    let on_error = match args.on_error {
        OnError::Partial => "partial",
        OnError::Reject => "reject",
    };
    format!("/v1/{}/{table}?on_error={on_error}", args.namespace)
}

/// A bar of bytes read; nothing when standard error is no terminal.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let template = match bytes {
        Some(_) => "{wide_bar} {percent:>3} %  {msg}  {bytes_per_sec}  {eta} left",
        None => "{spinner} {msg}  {bytes}  {bytes_per_sec}",
    };
    let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_never| ProgressStyle::default_bar()))
}

fn summary(tally: &Tally, begun: Instant) -> Result<(), Failure> {
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    let mut stderr = std::io::stderr().lock();
    for refused in tally.refused.iter().take(REFUSED_LISTED_MAX) {
        writeln!(stderr, "line {}: {} ({}{})", refused.line, refused.message, refused.code, refused.place())?;
    }
    let unlisted = tally.refused_lines.saturating_sub(tally.refused.len().min(REFUSED_LISTED_MAX) as u64);
    if unlisted > 0 {
        writeln!(stderr, "and {unlisted} more")?;
    }
    out(format_args!(
        "{} lines in {seconds:.1} s ({:.0} a second): {} stored, {} already there, {} refused\n",
        tally.lines,
        tally.lines as f64 / seconds,
        tally.stored,
        tally.already,
        tally.refused_lines,
    ))?;
    match tally.refused_lines {
        0 => Ok(()),
        n => Err(Failure::saying(format_args!(
            "{n} lines were refused: send them, corrected, in a file of their own (this file, once it is changed, would be \
             stored a second time)"
        ))),
    }
}
