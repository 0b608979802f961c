//! Where the log lies.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a log in the store is written.
const OBJECT: &str = "object";

/// A directory, or `object`: the lake's store. A directory of that name is written `./object`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// Segment files in this directory.
    Directory(PathBuf),
    /// Objects in the lake's store.
    Object,
}

impl FromStr for LogPlace {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == OBJECT { Self::Object } else { Self::Directory(text.into()) })
    }
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.display().fmt(f),
            Self::Object => f.write_str(OBJECT),
        }
    }
}

impl<'de> Deserialize<'de> for LogPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text == OBJECT { Self::Object } else { Self::Directory(text.into()) })
    }
}

impl Serialize for LogPlace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
