//! Manifests as they are stored: JSON, unknown fields refused, zstd above 64 KiB.
//!
//! A reader looks at `head.format` first, so that a newer manifest is told as such and not as an unknown field. Old
//! formats are read for ever; their bytes stay under `fixtures/`.

use std::{borrow::Cow, io::Read};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CollectionManifest, EventsManifest, FORMAT, Head};
use crate::CatalogError;

/// From this size on an entry is compressed.
const COMPRESS_BYTES: usize = 64 << 10;
/// The largest manifest that is read, decoded.
const DECODED_BYTES_MAX: u64 = 1 << 30;
/// The largest that is written: what is read must take what was written, with room for what other releases add to it.
const JSON_BYTES_MAX: usize = 512 << 20;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// What both kinds of manifest share.
pub(crate) trait Manifest: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The word for metrics.
    const TABLE: &'static str;

    /// Its head.
    fn head(&self) -> &Head;

    /// Its head, to be set by the commit.
    fn head_mut(&mut self) -> &mut Head;
}

impl Manifest for EventsManifest {
    const TABLE: &'static str = "events";

    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }
}

impl Manifest for CollectionManifest {
    const TABLE: &'static str = "collection";

    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }
}

/// The JSON of a manifest, which is refused where it could not be read again.
pub(crate) fn to_json(manifest: &impl Manifest) -> Result<Bytes, CatalogError> {
    let json = serde_json::to_vec(manifest).map_err(|error| unreadable("a manifest", error.to_string()))?;
    let (bytes, limit) = (json.len(), JSON_BYTES_MAX);
    if bytes > limit { Err(CatalogError::ManifestTooLarge { bytes, limit }) } else { Ok(json.into()) }
}

/// The bytes of an entry, from its JSON.
pub(crate) fn compressed(json: Bytes) -> Result<Bytes, CatalogError> {
    if json.len() < COMPRESS_BYTES {
        return Ok(json);
    }
    let zstd = zstd::encode_all(json.as_ref(), ZSTD_LEVEL);
    zstd.map(Bytes::from).map_err(|error| unreadable("a manifest", error.to_string()))
}

/// Reads an entry; `path` is for the error.
pub(crate) fn decode<M: Manifest>(path: &str, bytes: &[u8]) -> Result<M, CatalogError> {
    let json = &*plain(path, bytes)?;
    let format = serde_json::from_slice::<AnyFormat>(json).map_err(|error| unreadable(path, error.to_string()))?;
    match format.head.format {
        0 => Err(unreadable(path, "format 0 was never written".to_owned())),
        found if found > FORMAT => Err(CatalogError::NewerFormat { found, known: FORMAT }),
        _ => serde_json::from_slice(json).map_err(|error| unreadable(path, error.to_string())),
    }
}

/// The JSON of an entry; `path` is for the error.
pub(crate) fn plain<'b>(path: &str, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, CatalogError> {
    if !bytes.starts_with(&ZSTD_MAGIC) {
        return Ok(Cow::Borrowed(bytes));
    }
    decompressed(bytes).map(Cow::Owned).map_err(|error| unreadable(path, error.to_string()))
}

#[derive(Deserialize)]
struct AnyFormat {
    head: AnyHead,
}

#[derive(Deserialize)]
struct AnyHead {
    format: u32,
}

fn decompressed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let read = zstd::Decoder::new(bytes)?.take(DECODED_BYTES_MAX + 1).read_to_end(&mut plain)?;
    if read as u64 > DECODED_BYTES_MAX {
        return Err(std::io::Error::other(format!("it holds more than {DECODED_BYTES_MAX} bytes")));
    }
    Ok(plain)
}

fn unreadable(path: &str, reason: String) -> CatalogError {
    CatalogError::Unreadable { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests;
