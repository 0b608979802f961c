//! The typed columns of a collection, and how they appear and widen.
//!
//! A column records which *kinds* of values were ever seen under its name; its type is a pure function of that set.
//! Sets only grow and union in any order, so the schema converges however changes arrive. The owner evolves a schema
//! at admission, before the ack, and the evolution travels in the log group ([`SchemaChange`]): replay repeats it,
//! flush, cdc and fold persist it, nobody infers it again.

mod steps;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

pub use self::steps::{Step, Steps, Unkept};
use crate::{CollectionName, Instant, Shard, json::EXACT_FLOAT_MAX, json::Value};

/// The most typed columns of one collection; fields past it are read from `_doc`.
pub const COLUMNS_MAX: usize = 1000;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// Only `true` and `false` were seen.
    Boolean,
    /// Only integers that fit i64 were seen.
    Int64,
    /// Numbers were seen, and every integer among them is exact as f64.
    Float64,
    /// Strings, or any other mixture: everything has a text.
    Utf8,
    /// Only objects and arrays were seen: their JSON text.
    Json,
    /// Only texts that a declared schema says are instants: microseconds UTC.
    Timestamp,
    /// Instants of a declared schema and other values: text, every instant in it as [`Instant`] shows it, so that it is the
    /// same whether it was a timestamp before or not.
    InstantText,
}

/// Which kinds of values were seen under one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kinds(u8);

impl Kinds {
    const BOOL: u8 = 1;
    const INT: u8 = 2;
    const WIDE_INT: u8 = 4;
    const FLOAT: u8 = 8;
    const BIG: u8 = 16;
    const STRING: u8 = 32;
    const NESTED: u8 = 64;
    const TIME: u8 = 128;

    /// The kind of a text that a declared schema says is an instant, and that is one.
    pub const INSTANT: Self = Self(Self::TIME);

    /// The kind of a value of a field that is declared to hold instants.
    #[must_use]
    pub fn of_declared_instant(value: &Value<'_>) -> Self {
        match value {
            Value::String(text) if Instant::parse(text).is_ok() => Self::INSTANT,
            other => Self::of(other),
        }
    }

    /// The kind of one value; null has none.
    #[must_use]
    pub fn of(value: &Value<'_>) -> Self {
        Self(match value {
            Value::Null => 0,
            Value::Bool(_) => Self::BOOL,
            Value::Int(int) if (-EXACT_FLOAT_MAX..=EXACT_FLOAT_MAX).contains(int) => Self::INT,
            Value::Int(_) => Self::INT | Self::WIDE_INT,
            Value::Float(_) => Self::FLOAT,
            Value::Big(_) => Self::BIG,
            Value::String(_) => Self::STRING,
            Value::Nested(_) => Self::NESTED,
        })
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set after more was seen. A column that holds any text stays as it is when its texts are declared to be
    /// instants: nothing says that the older ones are, and their spelling is kept.
    #[must_use]
    pub const fn after(self, seen: Self) -> Self {
        let is_text = self.0 & (Self::STRING | Self::TIME) == Self::STRING;
        let seen = if is_text { seen.0 & !Self::TIME } else { seen.0 };
        Self(self.0 | seen)
    }

    /// Whether every kind of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing but null was seen.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The type that holds all of the set without dropping anything.
    #[must_use]
    pub const fn column_type(self) -> FieldType {
        const INTS: u8 = Kinds::INT | Kinds::WIDE_INT;
        match self.0 {
            Self::BOOL => FieldType::Boolean,
            Self::NESTED => FieldType::Json,
            Self::TIME => FieldType::Timestamp,
            kinds if kinds & Self::TIME != 0 => FieldType::InstantText,
            kinds if kinds != 0 && kinds & !INTS == 0 => FieldType::Int64,
            kinds if kinds & Self::FLOAT != 0 && kinds & !(Self::FLOAT | Self::INT) == 0 => FieldType::Float64,
            _ => FieldType::Utf8,
        }
    }
}

/// What one request's documents hold: the kinds seen under each name, in order of appearance.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    fields: Vec<(String, Kinds)>,
    index: HashMap<String, usize>,
}

impl Observed {
    /// Takes one field of one document in.
    pub fn see(&mut self, name: &str, kinds: Kinds) {
        if let Some(at) = self.index.get(name) {
            let (_, seen) = &mut self.fields[*at];
            *seen = seen.union(kinds);
        } else {
            self.index.insert(name.to_owned(), self.fields.len());
            self.fields.push((name.to_owned(), kinds));
        }
    }

    /// Takes another request's observations in.
    pub fn see_all(&mut self, other: &Self) {
        other.fields.iter().for_each(|(name, kinds)| self.see(name, *kinds));
    }
}

/// One typed column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Never reused within a collection.
    pub id: u32,
    /// The name of the top-level field of the document.
    pub name: String,
    /// The kinds seen under the name; decides the type.
    pub kinds: Kinds,
}

impl Field {
    /// The type of the column.
    #[must_use]
    pub const fn column_type(&self) -> FieldType {
        self.kinds.column_type()
    }
}

/// The typed columns of a collection. The id grows with every change; id 0 is the empty schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocSchema {
    /// The number of this version of the schema.
    pub id: u32,
    /// The columns in order of appearance; the field id is the order, from 1.
    pub fields: Vec<Field>,
}

impl DocSchema {
    /// The schema after these observations, or `None` when it does not change.
    ///
    /// Names that are no column name, begin with `_`, differ from an earlier one by case only, or come past
    /// [`COLUMNS_MAX`] get no column: they are read from `_doc`.
    #[must_use]
    pub fn evolved(&self, observed: &Observed) -> Option<Self> {
        let index: HashMap<&str, usize> =
            self.fields.iter().enumerate().map(|(at, field)| (field.name.as_str(), at)).collect();
        let is_news = |(name, kinds): &&(String, Kinds)| match index.get(name.as_str()) {
            Some(at) => self.fields[*at].kinds.after(*kinds) != self.fields[*at].kinds,
            None => self.fields.len() < COLUMNS_MAX && !kinds.is_empty() && is_column_name(name),
        };
        let mut news = observed.fields.iter().filter(is_news).peekable();
        news.peek()?;
        let mut next = self.clone();
        // Names as they are compared: without case.
        let mut taken: HashSet<String> = self.fields.iter().map(|field| field.name.to_ascii_lowercase()).collect();
        for (name, kinds) in news {
            match index.get(name.as_str()) {
                Some(at) => next.fields[*at].kinds = next.fields[*at].kinds.after(*kinds),
                None if next.fields.len() < COLUMNS_MAX && taken.insert(name.to_ascii_lowercase()) => {
                    next.append(name, *kinds);
                }
                None => {}
            }
        }
        (next.fields != self.fields).then(|| Self { id: self.id + 1, ..next })
    }

    /// The schema of a collection of which nothing is left: no column, and a number that goes on, so that whatever knows it
    /// by its number takes none of before for one of after.
    #[must_use]
    pub const fn begun_anew(&self) -> Self {
        Self { id: self.id, fields: Vec::new() }
    }

    fn append(&mut self, name: &str, kinds: Kinds) {
        let id = u32::try_from(self.fields.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.fields.push(Field { id, name: name.to_owned(), kinds });
    }
}

/// The longest name of a column, bytes. Every schema holds all of its names.
pub const COLUMN_NAME_BYTES_MAX: usize = 255;

/// Whether a field can be a column: `[A-Za-z][A-Za-z0-9_]*` (a leading `_` belongs to the lake's own columns), at most
/// [`COLUMN_NAME_BYTES_MAX`] bytes.
#[must_use]
pub fn is_column_name(name: &str) -> bool {
    name.len() <= COLUMN_NAME_BYTES_MAX
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A change of the catalog that an append brings with it; written in the append's group and repeated by replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum SchemaChange {
    /// The collection appears with its first change.
    Created {
        /// Its name.
        collection: CollectionName,
        /// Its directory under the namespace; differs from the name once a collection was dropped and made again.
        directory: String,
        /// The shard all its changes go to, for ever.
        shard: Shard,
        /// The system time of its first change.
        created_at: Instant,
    },
    /// The typed columns changed; the schema is the whole new one.
    Evolved {
        /// The collection.
        collection: CollectionName,
        /// Its schema from this append on.
        schema: DocSchema,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(docs: &[&str]) -> Observed {
        let mut observed = Observed::default();
        for doc in docs {
            crate::json::for_each_field(doc, |name, raw| observed.see(&name, Kinds::of(&Value::of(raw))))
                .expect("an object");
        }
        observed
    }

    fn type_after(values: &[&str]) -> Option<FieldType> {
        let docs: Vec<String> = values.iter().map(|value| format!(r#"{{"a":{value}}}"#)).collect();
        let docs: Vec<&str> = docs.iter().map(String::as_str).collect();
        DocSchema::default().evolved(&observed(&docs)).map(|schema| schema.fields[0].column_type())
    }

    #[test]
    fn types_widen_and_drop_nothing() {
        for (values, expected) in [
            (&["null"][..], None),
            (&["1", "null"], Some(FieldType::Int64)),
            (&["1", "9007199254740993"], Some(FieldType::Int64)),
            (&["1", "1.5"], Some(FieldType::Float64)),
            (&["1.5", "9007199254740993"], Some(FieldType::Utf8)),
            (&["1", "18446744073709551616"], Some(FieldType::Utf8)),
            (&["true"], Some(FieldType::Boolean)),
            (&["true", "1"], Some(FieldType::Utf8)),
            (&[r#""x""#, "1"], Some(FieldType::Utf8)),
            (&["{}", "[1]"], Some(FieldType::Json)),
            (&["{}", "1"], Some(FieldType::Utf8)),
        ] {
            assert_eq!(type_after(values), expected, "{values:?}");
            let reversed: Vec<&str> = values.iter().rev().copied().collect();
            assert_eq!(type_after(&reversed), expected, "{reversed:?}");
        }
    }

    #[test]
    fn fields_that_can_be_no_column_stay_in_the_document() {
        let (longest, longer) = ("x".repeat(COLUMN_NAME_BYTES_MAX), "x".repeat(COLUMN_NAME_BYTES_MAX + 1));
        for (name, is_column) in [("a_1", true), (longest.as_str(), true), (longer.as_str(), false)]
            .into_iter()
            .chain(["", "_a", "1a", "a-b", "ä"].map(|name| (name, false)))
        {
            let doc = format!(r#"{{"{name}":1}}"#);
            assert_eq!(DocSchema::default().evolved(&observed(&[&doc])).is_some(), is_column, "{name}");
        }
    }

    #[test]
    fn declared_instants_are_timestamps_until_something_else_comes() {
        let text = Kinds::of(&Value::String("x".into()));
        let int = Kinds::of(&Value::Int(1));
        for (steps, expected) in [
            (&[Kinds::INSTANT][..], FieldType::Timestamp),
            (&[Kinds::INSTANT, Kinds::default()], FieldType::Timestamp),
            (&[Kinds::INSTANT, text], FieldType::InstantText),
            (&[Kinds::INSTANT, int, text], FieldType::InstantText),
            (&[int, Kinds::INSTANT], FieldType::InstantText),
            (&[text, Kinds::INSTANT], FieldType::Utf8),
            (&[text, int, Kinds::INSTANT], FieldType::Utf8),
        ] {
            let schema = steps.iter().fold(DocSchema::default(), |schema, kinds| {
                let mut observed = Observed::default();
                observed.see("at", *kinds);
                schema.evolved(&observed).unwrap_or(schema)
            });
            assert_eq!(schema.fields[0].column_type(), expected, "{steps:?}");
        }
        let of = |text: &'static str| Kinds::of_declared_instant(&Value::String(text.into()));
        assert_eq!(of("2026-01-01T00:00:00+01:00"), Kinds::INSTANT);
        assert_eq!((of("2026-01-01"), Kinds::of_declared_instant(&Value::Int(1))), (text, int));
    }

    #[test]
    fn names_that_cannot_be_columns_stay_in_the_document() {
        let schema =
            DocSchema::default().evolved(&observed(&[r#"{"ok":1,"_no":1,"OK":1,"a b":1,"1a":1}"#])).expect("changes");
        assert_eq!(schema.fields.iter().map(|field| (field.id, field.name.as_str())).collect::<Vec<_>>(), [(1, "ok")]);
        assert_eq!(schema.evolved(&observed(&[r#"{"ok":2,"Ok":"x"}"#])), None);
    }

    #[test]
    fn columns_have_a_cap() {
        let doc: Vec<String> = (0..COLUMNS_MAX + 5).map(|n| format!("\"c{n}\":1")).collect();
        let doc = format!("{{{}}}", doc.join(","));
        let schema = DocSchema::default().evolved(&observed(&[&doc])).expect("changes");
        assert_eq!(schema.fields.len(), COLUMNS_MAX);
        assert_eq!(schema.evolved(&observed(&[&doc])), None);
    }
}
