//! `tidemark snapshot` and `tidemark snapshots`: take, drop and list snapshots of a collection.

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_query::CollectionRef;

use super::{Failure, out};
use crate::{
    cli::{SnapshotArgs, SnapshotsArgs},
    client::{Answer, Client, Column},
    config::Environment,
    table,
};

/// What is shown of a snapshot: its field, and the Arrow type that says how it is aligned.
const SHOWN: [(&str, &str); 7] = [
    ("name", "Utf8"),
    ("kind", "Utf8"),
    ("instant", "Utf8"),
    ("rows", "Int64"),
    ("bytes", "Int64"),
    ("schema_id", "Int64"),
    ("derived_from", "Utf8"),
];

fn path(of: &CollectionRef) -> String {
    format!("/v1/{}/{}/snapshots", of.namespace, of.collection)
}

/// Takes a snapshot, or drops one.
pub(super) async fn take_or_drop(args: &SnapshotArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    if let (true, Some(name)) = (args.drop, &args.name) {
        // What else a name held would be another place of the server, or another snapshot.
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            return Err(Failure::saying("no snapshot has such a name: see tidemark snapshots"));
        }
        client.manage(Method::DELETE, &format!("{}/{name}", path(&args.of)), None).await?;
        return out(format_args!("dropped {name}\n"));
    }
    let mut body = json!({});
    if let Some(name) = &args.name {
        body["name"] = json!(name);
    }
    if let Some(as_of) = &args.as_of {
        body["as_of"] = json!(as_of);
    }
    let taken = client.manage(Method::POST, &path(&args.of), Some(&body)).await?;
    drawn(std::slice::from_ref(&taken))
}

/// Lists snapshots.
pub(super) async fn list(args: &SnapshotsArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let listed = client.manage(Method::GET, &path(&args.of), None).await?;
    drawn(listed["snapshots"].as_array().map_or(&[][..], Vec::as_slice))
}

fn drawn(snapshots: &[Value]) -> Result<(), Failure> {
    let column = |(name, data_type): &(&str, &str)| Column { name: (*name).into(), data_type: (*data_type).into() };
    let row = |snapshot: &Value| SHOWN.iter().map(|(name, _)| snapshot[*name].clone()).collect();
    let answer = Answer { columns: SHOWN.iter().map(column).collect(), rows: snapshots.iter().map(row).collect() };
    out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, None)))
}
