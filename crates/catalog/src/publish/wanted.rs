//! What of a manifest is published: the events files, or the parts of the newest state. Pure functions.
//!
//! Statistics let other engines skip files. Times are cut to milliseconds, the greatest up, because that is what readers
//! of Delta count with; long keys are cut as the format says.

use arrow::datatypes::{DataType, Schema};
use serde_json::{Map, Value, json};
use tidemark_fold::columns::{doc, event, events_schema, state_schema};
use tidemark_model::Instant;
use tidemark_storage::{ObjectPath, paths};

use super::pick::{File, Kind, Wanted};
use crate::{
    CollectionManifest, EventsManifest,
    manifest::{BaseFile, EventsFile},
};

/// Characters of a key that statistics keep.
const KEY_CHARS_MAX: usize = 32;

/// The root of the published events of a table directory.
pub(crate) fn of_events(root: &ObjectPath, manifest: &EventsManifest) -> Wanted {
    let files = manifest.files.iter().filter_map(|file| events_file(root, file)).collect();
    let schema = delta_schema(&events_schema());
    let erased = manifest.erased.as_ref().map(|erased| erased.system_time);
    Wanted { kind: Kind::Events, manifest: manifest.head.version, newest: manifest.system_time, schema, files, erased }
}

/// The newest state. `None` before the first, and where a part of it lies outside of the root: Delta tells files by their
/// path below it.
pub(crate) fn of_state(root: &ObjectPath, manifest: &CollectionManifest) -> Option<Wanted> {
    let state = manifest.bases.last().filter(|base| base.bound.is_none())?;
    let files = state.parts.iter().map(|part| state_part(root, part, state.system_time)).collect::<Option<Vec<_>>>()?;
    let schema = delta_schema(&state_schema(&state.schema));
    let manifest = manifest.head.version;
    Some(Wanted { kind: Kind::State, manifest, newest: state.system_time, schema, files, erased: None })
}

fn events_file(root: &ObjectPath, file: &EventsFile) -> Option<File> {
    let shard = |at: fn(&tidemark_model::Positions) -> i64| {
        let of = file.positions.iter().map(at);
        (of.clone().min().unwrap_or(0), of.max().unwrap_or(0))
    };
    let shards = shard(|run| i64::from(run.shard.0));
    let (first, last) = (shard(|run| run.first).0, shard(|run| run.last).1);
    let mut stats = Stats::of(file.rows);
    stats.times(event::TS, (file.ts.min, file.ts.max));
    stats.times(event::SYSTEM_TIME, (file.system_time.min, file.system_time.max));
    stats.range(event::SHARD, (json!(shards.0), json!(shards.1)));
    stats.range(event::SEQ, (json!(first), json!(last)));
    stats.whole(event::ID);
    stats.whole(event::TYPE);
    let path = paths::below(root, &file.path)?.to_owned();
    Some(File { path, bytes: file.bytes, rows: file.rows, newest: file.system_time.max, stats: stats.json() })
}

fn state_part(root: &ObjectPath, part: &BaseFile, newest: Instant) -> Option<File> {
    let mut stats = Stats::of(part.rows);
    stats.range(doc::ID, (json!(cut(&part.id.min).0), json!(cut(&part.id.max).1)));
    [doc::TS, doc::SYSTEM_TIME, doc::SEQ].into_iter().for_each(|name| stats.whole(name));
    let path = paths::below(root, &part.path)?.to_owned();
    Some(File { path, bytes: part.bytes, rows: part.rows, newest, stats: stats.json() })
}

/// Statistics of one file.
struct Stats {
    rows: u64,
    min: Map<String, Value>,
    max: Map<String, Value>,
    nulls: Map<String, Value>,
}

impl Stats {
    fn of(rows: u64) -> Self {
        Self { rows, min: Map::new(), max: Map::new(), nulls: Map::new() }
    }

    /// A column without nulls.
    fn whole(&mut self, name: &str) {
        self.nulls.insert(name.to_owned(), json!(0));
    }

    /// A column without nulls and its extremes.
    fn range(&mut self, name: &str, (min, max): (Value, Value)) {
        self.min.insert(name.to_owned(), min);
        self.max.insert(name.to_owned(), max);
        self.whole(name);
    }

    /// The same of instants; none of what would end behind the last year that is written with four digits.
    fn times(&mut self, name: &str, (min, max): (Instant, Instant)) {
        match ceil(max) {
            Some(max) => self.range(name, (floor(min), max)),
            None => self.whole(name),
        }
    }

    fn json(self) -> String {
        let Self { rows, min, max, nulls } = self;
        json!({ "numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls }).to_string()
    }
}

fn floor(at: Instant) -> Value {
    millis(at.micros().div_euclid(1000))
}

fn ceil(at: Instant) -> Option<Value> {
    let above = at.micros().saturating_add(999).div_euclid(1000);
    (above <= Instant::MAX.micros().div_euclid(1000)).then(|| millis(above))
}

/// Always with three digits behind the second: not every reader knows fewer.
fn millis(millis: i64) -> Value {
    let seconds = Instant::from_micros(millis.div_euclid(1000) * 1_000_000).to_string();
    let seconds = seconds.split(['.', 'Z']).next().unwrap_or_default().to_owned();
    json!(format!("{seconds}.{:03}Z", millis.rem_euclid(1000)))
}

/// A key as least and as greatest value: its front; as the greatest with something behind it that is above all text.
fn cut(key: &str) -> (String, String) {
    let front: String = key.chars().take(KEY_CHARS_MAX).collect();
    let greatest = if front.len() < key.len() { format!("{front}{}", char::MAX) } else { front.clone() };
    (front, greatest)
}

/// A schema as Delta spells it. Every column may be null: what is not is no promise to others.
fn delta_schema(schema: &Schema) -> String {
    let field = |name: &str, kind| json!({ "name": name, "type": kind, "nullable": true, "metadata": {} });
    let fields = schema.fields().iter().map(|of| field(of.name(), delta_type(of.data_type())));
    json!({ "type": "struct", "fields": fields.collect::<Vec<_>>() }).to_string()
}

/// Columns of ours have one of five types (storage.md, Files).
const fn delta_type(of: &DataType) -> &'static str {
    match of {
        DataType::Boolean => "boolean",
        DataType::Int64 => "long",
        DataType::Float64 => "double",
        DataType::Timestamp(..) => "timestamp",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_never_too_narrow() {
        for (micros, low, high) in [
            (0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"),
            (1_500_001, "1970-01-01T00:00:01.500Z", "1970-01-01T00:00:01.501Z"),
            (-1, "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z"),
        ] {
            let at = Instant::from_micros(micros);
            assert_eq!((floor(at), ceil(at)), (json!(low), Some(json!(high))), "{micros}");
        }
        assert_eq!(ceil(Instant::MAX), None, "a year of five digits is no timestamp to others");
        let (long, short) = ("x".repeat(40), "é".repeat(32));
        assert!(cut(&long).0 < long && cut(&long).1 > long);
        assert_eq!(cut(&short), (short.clone(), short));
    }

    #[test]
    fn types_are_those_of_delta() {
        let schema = delta_schema(&events_schema());
        assert!(schema.contains(r#"{"name":"ts","type":"timestamp","nullable":true,"metadata":{}}"#), "{schema}");
        assert!(schema.contains(r#"{"name":"_seq","type":"long","nullable":true,"metadata":{}}"#), "{schema}");
    }
}
