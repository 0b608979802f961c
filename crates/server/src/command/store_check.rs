//! `tidemark store-check`: asks a store what it can do, and tells whether a lake can be kept in it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tidemark_model::Clock as _;
use tidemark_storage::store::check::{Extent, Finding, Outcome, Report, Step, Verdict, check};

use super::{Failure, out, settings};
use crate::{
    cli::looking::StoreCheckArgs,
    client::{Answer, Column},
    clock::{SystemClock, random_ids},
    config::Environment,
    table, wiring,
};

/// How often the spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// What is shown of a finding: its heading, and the Arrow type that says how it is aligned.
const SHOWN: [(&str, &str); 5] =
    [("check", "Utf8"), ("needed", "Utf8"), ("outcome", "Utf8"), ("ms", "Int64"), ("what was asked", "Utf8")];

/// Asks and tells; a store in which no lake can be kept is a failure.
pub(super) async fn run(args: &StoreCheckArgs, environment: &Environment) -> Result<(), Failure> {
    let settings = settings(&args.serve(), environment)?.settings;
    let store = wiring::open_store(&settings, environment)?;
    let bar = spinner();
    let id = random_ids().ulid(SystemClock.now());
    let report = check(&store, Extent::whole(args.rounds), id, &|step| bar.set_message(said(step))).await;
    bar.finish_and_clear();
    let told = if args.json { format!("{:#}\n", document(store.url(), &report)) } else { drawn(&report) };
    out(told)?;
    let names = |outcome: &str| listed(&report, outcome);
    match report.verdict() {
        Verdict::Fit if args.json => Ok(()),
        Verdict::Fit => out(format_args!("{}: a lake can be kept here\n", store.url())),
        Verdict::Unfit => Err(Failure::saying(format_args!(
            "{}: no lake can be kept here; what does not hold: {}",
            store.url(),
            names("fails")
        ))),
        Verdict::Unknown => Err(Failure::saying(format_args!(
            "{}: whether a lake can be kept here is not known; what could not be tried: {}",
            store.url(),
            names("untried")
        ))),
    }
}

/// What is being done; nothing where standard error is no terminal.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.enable_steady_tick(TURN_EVERY);
    bar.with_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_never| ProgressStyle::default_bar()),
    )
}

fn said(step: Step) -> String {
    match step {
        Step::Asked(question) => question.asked().to_owned(),
        Step::Raced { round, of } => format!("race {round} of {of}"),
    }
}

/// The outcome in a word, and what was seen or why it could not be tried.
fn told(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Holds => ("holds", None),
        Outcome::Fails(seen) => ("fails", Some(seen.clone())),
        Outcome::Untried(error) => ("untried", Some(Failure::of(error).0)),
    }
}

/// The names of those needed findings that ended like this.
fn listed(report: &Report, outcome: &str) -> String {
    let ended = |finding: &&Finding| finding.question.is_required() && told(&finding.outcome).0 == outcome;
    let names: Vec<&str> = report.findings.iter().filter(ended).map(|finding| finding.question.name()).collect();
    names.join(", ")
}

fn millis(finding: &Finding) -> u64 {
    u64::try_from(finding.took.as_millis()).unwrap_or(u64::MAX)
}

/// A line for each finding; below, what was seen where one does not hold.
fn drawn(report: &Report) -> String {
    let column = |(name, data_type): &(&str, &str)| Column { name: (*name).into(), data_type: (*data_type).into() };
    let row = |finding: &Finding| {
        let needed = if finding.question.is_required() { "yes" } else { "no" };
        let (outcome, question) = (told(&finding.outcome).0, finding.question);
        vec![json!(question.name()), json!(needed), json!(outcome), json!(millis(finding)), json!(question.asked())]
    };
    let answer =
        Answer { columns: SHOWN.iter().map(column).collect(), rows: report.findings.iter().map(row).collect() };
    let seen = report.findings.iter().filter_map(|finding| {
        let (outcome, seen) = told(&finding.outcome);
        seen.map(|seen| format!("{} {outcome}: {seen}\n", finding.question))
    });
    let left = report.left.iter().map(|left| format!("left behind: {left}\n"));
    seen.chain(left).fold(table::draw(&answer), |text, line| text + &line)
}

fn document(url: &str, report: &Report) -> Value {
    let finding = |finding: &Finding| {
        let (outcome, evidence) = told(&finding.outcome);
        json!({
            "name": finding.question.name(), "asked": finding.question.asked(), "needed": finding.question.is_required(),
            "outcome": outcome, "evidence": evidence, "took_ms": millis(finding),
        })
    };
    let verdict = match report.verdict() {
        Verdict::Fit => "fit",
        Verdict::Unfit => "unfit",
        Verdict::Unknown => "unknown",
    };
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    json!({ "url": url, "verdict": verdict, "findings": findings, "left": report.left })
}
