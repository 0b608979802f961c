//! Names of namespaces, collections and event types.
//!
//! A name is parsed at the door and is a type afterwards, so no path, SQL identifier or catalog key can hold
//! `../x`. The rule (storage.md, Layout): `[a-z0-9][a-z0-9_-]{0,62}`, collections also `.`; a leading `_` and the
//! words the lake or SQL need for itself are reserved.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest name of a namespace or a collection, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The longest event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

const RESERVED: [&str; 4] = ["events", "system", "information_schema", "public"];
/// What no namespace is called any more: `/v1/tokens/{id}` stands where its own routes would, `/v1/{namespace}/events`. It is a name
/// for all that, as lakes may hold one.
const TAKEN: &str = "tokens";

/// Why a text is not a name. The message says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, too long, or with a character outside the rule.
    #[error(
        "{what} name {name:?} is not valid: use 1 to 63 of a-z, 0-9, '_' and '-'{dot}, beginning with a letter or digit"
    )]
    Shape {
        /// `namespace` or `collection`.
        what: &'static str,
        /// The text as it came, cut to 80 characters.
        name: String,
        /// What collections may have besides.
        dot: &'static str,
    },
    /// A word the lake keeps for itself.
    #[error("{what} name {name:?} is reserved")]
    Reserved {
        /// `namespace` or `collection`.
        what: &'static str,
        /// The text as it came.
        name: String,
    },
    /// An event type outside `[A-Za-z0-9._-]{1,128}`.
    #[error("event type {0:?} is not valid: use 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-'")]
    EventType(String),
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn check(what: &'static str, text: &str, dot: bool) -> Result<(), NameError> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-' || (dot && b == b'.'));
    if !first || !rest || text.len() > NAME_BYTES_MAX {
        let dot = if dot { " and '.'" } else { "" };
        return Err(NameError::Shape { what, name: shown(text), dot });
    }
    if RESERVED.contains(&text) || text.starts_with("pg_") {
        return Err(NameError::Reserved { what, name: text.to_owned() });
    }
    Ok(())
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $error:ty, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text, or says what is wrong with it.
            ///
            /// # Errors
            /// When the text breaks the rule of this type.
            pub fn parse(text: &str) -> Result<Self, $error> {
                let check: fn(&str) -> Result<(), $error> = $check;
                check(text).map(|()| Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// The tenant: owns one events table and any number of collections. A SQL schema.
    Namespace,
    NameError,
    |text| check("namespace", text, false)
);
impl Namespace {
    /// Whether a namespace of this name may be made.
    ///
    /// # Errors
    /// [`NameError::Reserved`].
    pub fn may_be_made(&self) -> Result<(), NameError> {
        match self.as_str() {
            TAKEN => Err(NameError::Reserved { what: "namespace", name: TAKEN.to_owned() }),
            _ => Ok(()),
        }
    }
}

text_type!(
    /// Documents with a key, folded from changes. A SQL table.
    CollectionName,
    NameError,
    |text| check("collection", text, true)
);
text_type!(
    /// What happened, in the words of the application: `invoice.paid`.
    EventType,
    NameError,
    |text| {
        let fits = (1..=EVENT_TYPE_BYTES_MAX).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits && clean { Ok(()) } else { Err(NameError::EventType(shown(text))) }
    }
);

/// A table of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The log of record: every event.
    Events,
    /// The documents of one collection.
    Collection(CollectionName),
}

impl Table {
    /// The name the events table has in SQL and in paths.
    pub const EVENTS: &'static str = "events";

    /// Reads the name of a table as SQL or a path spells it.
    ///
    /// # Errors
    /// When the text is neither `events` nor the name of a collection.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == Self::EVENTS { Ok(Self::Events) } else { CollectionName::parse(text).map(Self::Collection) }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events => f.write_str(Self::EVENTS),
            Self::Collection(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_no_new_namespace_and_can_be_read() {
        let of = |name| Namespace::parse(name).unwrap().may_be_made();
        assert!(of("shop").is_ok() && of("token").is_ok() && matches!(of("tokens"), Err(NameError::Reserved { .. })));
    }

    #[test]
    fn names_are_parsed_at_the_door() {
        let long = "a".repeat(64);
        for (text, namespace, collection) in [
            ("nyc", true, true),
            ("9-lives_x", true, true),
            ("a.b", false, true),
            ("", false, false),
            ("_x", false, false),
            ("../x", false, false),
            (".x", false, false),
            ("-x", false, false),
            ("Nyc", false, false),
            ("naïve", false, false),
            ("events", false, false),
            ("pg_catalog", false, false),
            ("tokens", true, true),
            (&long[..63], true, true),
            (&long, false, false),
        ] {
            assert_eq!(Namespace::parse(text).is_ok(), namespace, "namespace {text:?}");
            assert_eq!(CollectionName::parse(text).is_ok(), collection, "collection {text:?}");
        }
    }

    #[test]
    fn event_types_keep_their_case() {
        for (text, ok) in [("Invoice.paid-v2_x", true), ("", false), ("a b", false), ("é", false)] {
            assert_eq!(EventType::parse(text).is_ok(), ok, "{text:?}");
        }
        assert!(EventType::parse(&"x".repeat(128)).is_ok());
        assert!(EventType::parse(&"x".repeat(129)).is_err());
    }
}
