//! Declared schemas: what a collection's documents must look like, as somebody said, version after version.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CollectionName, Instant};

/// What happens to fields that a declared schema does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// They are refused, unless the schema itself says what they may hold.
    #[default]
    Strict,
    /// They come through.
    Lenient,
}

impl Strictness {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Strict, Self::Lenient].into_iter().find(|word| word.as_str() == text)
    }
}

impl fmt::Display for Strictness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One version of the declared schema of a collection. The newest counts; the others are history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The collection, which may not exist yet.
    pub collection: CollectionName,
    /// From 1, without gaps.
    pub version: u32,
    /// When it was declared, by the clock of the owner.
    pub declared_at: Instant,
    /// What happens to fields that it does not name.
    pub strictness: Strictness,
    /// JSON Schema, as it was sent.
    pub schema: String,
}
