//! The sample goes through the HTTP door like anyone's changes.
//!
//! Every batch has a key and every change an id, so a run that was interrupted or repeated stores nothing twice. Servers
//! remember keys and ids for a day; a demo may be started again after a week, so batches whose first change is in the
//! lake already are left out.

use std::{collections::BTreeSet, io::Cursor};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::{Client, ClientError},
    command::{
        Failure,
        ingest::{
            lines::{Batch, Batches},
            send::{Sender, Tally},
        },
        out,
    },
};

/// The flights of the first week of 2013, see demo/README.md.
const SAMPLE: &[u8] = include_bytes!("../../../demo/flights-2013-01-01-week.ndjson.zst");
/// Changes per request.
const BATCH_LINES: usize = 1000;

/// A batch of the sample.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The event id of its first change.
    pub(super) first: String,
    batch: Batch,
}

#[derive(Deserialize)]
struct Head {
    event_id: String,
}

/// The sample, in batches.
pub(super) fn sample() -> Result<Vec<Part>, Failure> {
    let text = zstd::decode_all(SAMPLE)?;
    Batches::new(Box::new(Cursor::new(text)), BATCH_LINES)
        .map(|batch| {
            let batch = batch?;
            let line = batch.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let head: Head = serde_json::from_slice(line)?;
            Ok(Part { first: head.event_id, batch })
        })
        .collect()
}

/// Sends what is not in the lake yet.
pub(super) async fn load(client: &Client, sample: &[Part]) -> Result<(), Failure> {
    let there = present(client, sample).await?;
    let missing: Vec<&Part> = sample.iter().filter(|part| !there.contains(&part.first)).collect();
    let changes: usize = missing.iter().map(|part| part.batch.numbers.len()).sum();
    if missing.is_empty() {
        return out("The flights of the first week of 2013 are in the lake already.\n");
    }
    let bar = bar(changes as u64);
    let begun = std::time::Instant::now();
    let path = "/v1/nyc/flights/changes".to_owned();
    let (sender, mut tally) = (Sender::new(client.clone(), path, "demo sample".to_owned()), Tally::default());
    for part in missing {
        sender.send(part.batch.clone(), &mut tally).await?;
        bar.set_position(tally.lines);
    }
    bar.finish_and_clear();
    let ms = begun.elapsed().as_millis();
    out(format_args!(
        "Loaded {} changes of real flights out of New York into nyc.flights over HTTP in {ms} ms.\n",
        tally.lines
    ))
}

/// Which batches the lake has: their first changes are found in the events table.
async fn present(client: &Client, sample: &[Part]) -> Result<BTreeSet<String>, Failure> {
    let firsts: Vec<String> = sample.iter().map(|part| format!("'{}'", part.first)).collect();
    let sql = format!("SELECT DISTINCT id FROM nyc.events WHERE id IN ({})", firsts.join(", "));
    match client.answer(&sql, None).await {
        Ok(answer) => {
            let ids = answer.rows.iter().filter_map(|row| row.first().and_then(Value::as_str).map(str::to_owned));
            Ok(ids.collect())
        }
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => Ok(BTreeSet::new()),
        Err(error) => Err(error.into()),
    }
}

fn bar(changes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("loading {bar:40} {pos}/{len} changes  {per_sec}");
    let bar = ProgressBar::with_draw_target(Some(changes), ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_never| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_sample_is_what_its_readme_says() {
        let sample = sample().expect("readable");
        let text: Vec<u8> = sample.iter().flat_map(|part| part.batch.bytes.clone()).collect();
        let (mut ops, mut documents, mut events, mut last) =
            (BTreeMap::new(), BTreeSet::new(), BTreeSet::new(), String::new());
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let change: Value = serde_json::from_slice(line).expect("json");
            let field = |name: &str| change[name].as_str().expect(name).to_owned();
            *ops.entry(field("op")).or_insert(0) += 1;
            documents.insert(field("id"));
            events.insert(field("event_id"));
            assert!(field("ts") >= last, "changes stand in order of time");
            last = field("ts");
        }
        assert_eq!((documents.len(), events.len()), (6_099, 18_241));
        let expected = [("delete", 35), ("insert", 6_099), ("update", 12_107)];
        assert_eq!(ops.iter().map(|(op, n)| (op.as_str(), *n)).collect::<Vec<_>>(), expected);
        assert_eq!(sample.iter().map(|part| part.batch.numbers.len()).max(), Some(BATCH_LINES));
    }
}
