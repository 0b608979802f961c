//! A value that is not printed: tokens and credentials.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize, Serializer};

/// The longest secret that is read from a file, bytes.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// A text that shows itself as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret from its text, or from `file:/path`, whose content without surrounding white space is the secret.
    ///
    /// # Errors
    /// Says why the file cannot be read, or that the secret is empty.
    pub fn read(self) -> Result<Self, String> {
        let text = match self.0.strip_prefix("file:") {
            Some(path) => from_file(Path::new(path))?,
            None => self.0,
        };
        if text.is_empty() { Err("it is empty: give it a value, or leave it out".to_owned()) } else { Ok(Self(text)) }
    }

    /// The text itself, for the one who compares or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn from_file(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    if text.len() > SECRET_BYTES_MAX {
        return Err(format!("{} is larger than {SECRET_BYTES_MAX} bytes", path.display()));
    }
    Ok(text.trim().to_owned())
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
