//! Where a change comes from: time, order and names out of the source block, however it is written.
//!
//! Order: what compares as bytes. PostgreSQL `lsn`, twenty digits · MySQL number of the binlog file, position, row ·
//! SQL Server and Db2 `commit_lsn`, `change_lsn`, serial number · Oracle `scn` · MongoDB `ord` inside the second.

use std::borrow::Cow;

use tidemark_model::Instant;

use crate::{
    envelope::object::{Object, scalar_text},
    refusal::{Code, Refusal},
    row::Text,
};

/// Schemas that PostgreSQL and SQL Server put tables into where nobody names one.
const DEFAULT_SCHEMAS: [&str; 2] = ["public", "dbo"];
/// The units source times come in, best first, and how many of them (or what part) a microsecond is.
const TIMES: [(&str, Unit); 3] = [("ts_us", Unit::Micros), ("ts_ns", Unit::Nanos), ("ts_ms", Unit::Millis)];

#[derive(Debug, Clone, Copy)]
enum Unit {
    Micros,
    Nanos,
    Millis,
}

/// The source block, and the fields beside it.
#[derive(Debug, Default)]
pub(super) struct Origin<'a> {
    source: Object<'a>,
    beside: Object<'a>,
}

impl<'a> Origin<'a> {
    /// Of a plain message: `source`, and the times of the connector beside it.
    pub(super) fn of_message(message: &Object<'a>) -> Self {
        let source = message.get("source").and_then(Object::read).unwrap_or_default();
        let mut beside = Object::default();
        for (name, _) in TIMES {
            if let Some(raw) = message.get(name) {
                beside.put(name.into(), raw);
            }
        }
        Self { source, beside }
    }

    /// Of a flattened message: `__source_ts_ms`, `__lsn`, …
    pub(super) fn of_metadata(metadata: &[(&Cow<'a, str>, &'a str)]) -> Self {
        let mut origin = Self::default();
        for (name, raw) in metadata {
            let name = name.strip_prefix("__").unwrap_or(name);
            match name.strip_prefix("source_") {
                Some(name) => origin.source.put(name.to_owned().into(), raw),
                None => origin.beside.put(name.to_owned().into(), raw),
            }
        }
        origin
    }

    /// Of a CloudEvent: `iodebeziumtsms`, `iodebeziumlsn`, …
    pub(super) fn of_attributes(attributes: &Object<'a>) -> Self {
        let mut origin = Self::default();
        for (name, raw) in attributes.iter() {
            if let Some(name) = name.strip_prefix("iodebezium") {
                origin.source.put(name.to_owned().into(), raw);
            }
        }
        if let Some(time) = attributes.get("time") {
            origin.beside.put("time".into(), time);
        }
        origin
    }

    fn text(&self, name: &str) -> Option<Text<'a>> {
        let joined = || self.source.text(&name.replace('_', ""));
        self.source.text(name).or_else(joined).or_else(|| self.beside.text(name)).filter(|text| !text.is_empty())
    }

    /// When it happened at the source; the connector's own time where the source told none.
    pub(super) fn ts(&self, latest: Instant) -> Result<Option<Instant>, Refusal> {
        let refuse = |message: String| Refusal::new(Code::InvalidTs, "/source/ts_ms", message);
        let found = [&self.source, &self.beside].into_iter().find_map(|block| {
            TIMES.into_iter().find_map(|(name, unit)| {
                let raw = block.get(name).or_else(|| block.get(&name.replace('_', "")))?;
                Some((scalar_text(raw)?, unit))
            })
        });
        let ts = match found {
            Some((text, unit)) => {
                let number: Result<i64, _> = text.parse();
                let at = number.ok().and_then(|number| instant(number, unit));
                at.ok_or_else(|| refuse(format!("{} is not an instant", crate::error::shown(&text))))?
            }
            None => match self.beside.text("time") {
                Some(text) => Instant::parse(&text).map_err(|error| refuse(error.to_string()))?,
                None => return Ok(None),
            },
        };
        if ts > latest {
            return Err(refuse(format!("{ts} lies too far ahead: at most {latest} is taken now")));
        }
        Ok(Some(ts))
    }

    /// The place in the source's log, as text whose order as bytes is that of the log.
    pub(super) fn bookmark(&self) -> Option<String> {
        if let Some(lsn) = self.text("lsn") {
            return Some(log_sequence_number(&lsn));
        }
        if let (Some(file), Some(position)) = (self.text("file"), self.digits("pos")) {
            let number = file.rsplit('.').next().filter(|number| is_digits(number)).unwrap_or(&file);
            let row = self.digits("row").unwrap_or_else(|| "0".into());
            return Some(format!("{number:0>20}:{position:0>20}:{row:0>10}"));
        }
        if let (Some(commit), Some(change)) = (self.text("commit_lsn"), self.text("change_lsn")) {
            let serial = self.digits("event_serial_no").unwrap_or_else(|| "0".into());
            return Some(format!("{commit}:{change}:{serial:0>20}"));
        }
        let number = self.digits("scn").or_else(|| self.digits("ord"))?;
        Some(format!("{number:0>20}"))
    }

    fn digits(&self, name: &str) -> Option<Text<'a>> {
        self.text(name).filter(|text| is_digits(text))
    }

    /// The collection of a table: `table`, or `schema.table`, `database.table` where the schema is no default one.
    pub(super) fn collection(&self) -> Result<String, Refusal> {
        let table = self.text("table").or_else(|| self.text("collection")).ok_or_else(|| {
            let message = "the message names no table: send it to /v1/{namespace}/{collection}/changes";
            Refusal::new(Code::MissingField, "/source/table", message)
        })?;
        let parent = self.text("schema").or_else(|| self.text("db"));
        let parent = parent.filter(|parent| !DEFAULT_SCHEMAS.contains(&parent.as_ref()));
        let name = parent.map_or_else(|| table.clone().into_owned(), |parent| format!("{parent}.{table}"));
        Ok(name.to_ascii_lowercase())
    }

    /// The logical name of the source.
    pub(super) fn source(&self) -> Option<Text<'a>> {
        self.text("name").or_else(|| self.text("connector"))
    }

    /// Database, schema and table.
    pub(super) fn subject(&self) -> Option<Text<'a>> {
        let table = self.text("table").or_else(|| self.text("collection"));
        let parts = [self.text("db"), self.text("schema"), table];
        let path = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
        (!path.is_empty()).then_some(path.into())
    }
}

fn instant(number: i64, unit: Unit) -> Option<Instant> {
    let micros = match unit {
        Unit::Micros => number,
        Unit::Nanos => number.div_euclid(1000),
        Unit::Millis => number.checked_mul(1000)?,
    };
    let at = Instant::from_micros(micros);
    (Instant::MIN..=Instant::MAX).contains(&at).then_some(at)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `24023128`, or as PostgreSQL shows it, `0/16E8F18`.
fn log_sequence_number(text: &str) -> String {
    if is_digits(text) {
        return format!("{text:0>20}");
    }
    let halves = text.split_once('/').and_then(|(high, low)| {
        Some((
            u64::from_str_radix(high, 16).ok()?,
            u64::from_str_radix(low, 16).ok().filter(|low| *low <= u64::from(u32::MAX))?,
        ))
    });
    halves
        .filter(|(high, _)| *high <= u64::from(u32::MAX))
        .map_or_else(|| text.to_owned(), |(high, low)| format!("{:020}", high << 32 | low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(source: &'static str) -> Origin<'static> {
        Origin { source: Object::read(source).expect("an object"), beside: Object::default() }
    }

    #[test]
    fn bookmarks_compare_like_the_log() {
        for ascending in [
            &[r#"{"lsn":9}"#, r#"{"lsn":10}"#, r#"{"lsn":"11"}"#, r#"{"lsn":"0/16E8F18"}"#, r#"{"lsn":"1/0"}"#][..],
            &[
                r#"{"file":"mysql-bin.000009","pos":900,"row":0}"#,
                r#"{"file":"mysql-bin.000010","pos":5}"#,
                r#"{"file":"mysql-bin.000010","pos":40,"row":0}"#,
                r#"{"file":"mysql-bin.000010","pos":40,"row":2}"#,
                r#"{"file":"mysql-bin.000010","pos":40,"row":10}"#,
                r#"{"file":"mysql-bin.1000000","pos":4}"#,
            ],
            &[
                r#"{"commit_lsn":"00000027:00000ac0:0002","change_lsn":"00000027:00000ac0:0001","event_serial_no":"9"}"#,
                r#"{"commit_lsn":"00000027:00000ac0:0002","change_lsn":"00000027:00000ac0:0001","event_serial_no":"10"}"#,
            ],
            &[r#"{"ord":2}"#, r#"{"ord":31}"#],
            &[r#"{"scn":"999"}"#, r#"{"scn":"2122184"}"#],
        ] {
            let bookmarks: Vec<_> = ascending.iter().map(|source| origin(source).bookmark()).collect();
            assert!(bookmarks.iter().all(Option::is_some) && bookmarks.is_sorted_by(|a, b| a < b), "{bookmarks:?}");
        }
        assert_eq!(origin(r#"{"lsn":null,"pos":7}"#).bookmark(), None);
    }

    #[test]
    fn tables_name_collections() {
        for (source, expected) in [
            (r#"{"db":"shop","schema":"public","table":"orders"}"#, Some("orders")),
            (r#"{"db":"shop","schema":"audit","table":"Orders"}"#, Some("audit.orders")),
            (r#"{"db":"inventory","table":"customers"}"#, Some("inventory.customers")),
            (r#"{"db":"inventory","rs":"rs0","collection":"customers"}"#, Some("inventory.customers")),
            (r#"{"db":"shop"}"#, None),
        ] {
            assert_eq!(origin(source).collection().ok().as_deref(), expected, "{source}");
        }
    }

    #[test]
    fn the_finest_source_time_counts() {
        let latest = Instant::from_micros(2_000_000_000_000_000);
        for (source, micros) in [
            (
                r#"{"ts_ms":1559033904863,"ts_us":1559033904863123,"ts_ns":1559033904863123456}"#,
                Some(1_559_033_904_863_123),
            ),
            (r#"{"ts_ms":1559033904863,"ts_ns":1559033904863123456}"#, Some(1_559_033_904_863_123)),
            (r#"{"tsms":"1559033904863"}"#, Some(1_559_033_904_863_000)),
            (r#"{"ts_ms":0}"#, Some(0)),
            ("{}", None),
        ] {
            let ts = origin(source).ts(latest).expect("an instant");
            assert_eq!(ts.map(Instant::micros), micros, "{source}");
        }
        for bad in [
            r#"{"ts_ms":1.5}"#,
            r#"{"ts_ms":"yesterday"}"#,
            r#"{"ts_ms":9223372036854775807}"#,
            r#"{"ts_us":2000000000000001}"#,
        ] {
            assert_eq!(origin(bad).ts(latest).expect_err("refused").code, Code::InvalidTs, "{bad}");
        }
    }
}
