//! `tidemark retention` says how long the past is kept, `tidemark clean-up` lets go what is beyond.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Failure, out};
use crate::{
    cli::{CleanUpArgs, KeepArgs, RetentionArgs},
    client::{Answer, Client, Column},
    config::Environment,
    table,
};

/// What is shown of a retention.
const SAID: [&str; 3] = ["history_window_s", "daily", "monthly"];
/// What is shown of a clean-up: its field, and the Arrow type that says how it is aligned.
const WENT: [(&str, &str); 7] = [
    ("exact_from", "Utf8"),
    ("snapshots", "Utf8"),
    ("changes", "Int64"),
    ("files", "Int64"),
    ("bytes", "Int64"),
    ("deleted", "Int64"),
    ("waiting", "Int64"),
];

/// Says, takes back or shows how long the past is kept.
pub(super) async fn say(args: &RetentionArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let path = format!("/v1/{}/retention", args.of.as_str().replacen('.', "/", 1));
    let numbers = said(&args.keep);
    let told = if args.reset {
        client.manage(Method::DELETE, &path, None).await?
    } else {
        let before = client.manage(Method::GET, &path, None).await?;
        match before["said"].as_object().filter(|_| !numbers.is_empty()).cloned() {
            // What is not named stays as it was said before.
            Some(mut body) => {
                body.extend(numbers);
                client.manage(Method::PUT, &path, Some(&Value::Object(body))).await?
            }
            None => before,
        }
    };
    let column = |name: &str| Column { name: name.into(), data_type: "Int64".into() };
    let numbers = |of: &str| SAID.map(|name| told[of][name].clone());
    let named = |of: &str| std::iter::once(json!(of.replace('_', " "))).chain(numbers(of)).collect();
    let columns = std::iter::once(Column { name: String::new(), data_type: "Utf8".into() });
    let columns = columns.chain(SAID.map(column)).collect();
    drawn(Answer { columns, rows: ["said", "in_force"].map(named).into() })
}

/// Lets go what a retention lets go, or tells what would go.
pub(super) async fn clean_up(args: &CleanUpArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let mut body = said(&args.keep);
    body.insert("dry_run".to_owned(), json!(args.dry_run));
    let path = format!("/v1/{}/{}/clean-up", args.of.namespace, args.of.collection);
    let mut told = client.manage(Method::POST, &path, Some(&Value::Object(body))).await?;
    let names = told["snapshots"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
    told["snapshots"] = json!(names.join(" "));
    let column = |(name, data_type): &(&str, &str)| Column { name: (*name).into(), data_type: (*data_type).into() };
    let row = WENT.iter().map(|(name, _)| told[*name].clone()).collect();
    drawn(Answer { columns: WENT.iter().map(column).collect(), rows: vec![row] })
}

fn said(keep: &KeepArgs) -> Map<String, Value> {
    let numbers = SAID.into_iter().zip([keep.history_window, keep.daily, keep.monthly]);
    numbers.filter_map(|(name, number)| Some((name.to_owned(), json!(number?)))).collect()
}

fn drawn(answer: Answer) -> Result<(), Failure> {
    out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, None)))
}
