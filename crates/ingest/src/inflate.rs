//! Compressed body → text, counted while inflating so that a bomb is refused when it passes the limit.

use std::io::Read;

use bytes::Bytes;

use crate::{
    error::Error,
    request::{Encoding, RawBatch},
};

/// The largest window of a zstd frame, as a power of two: 8 MiB, what RFC 9659 lets clients use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How much is inflated between two looks at the limit.
const STEP_BYTES: usize = 64 << 10;

/// A decoded body that is UTF-8.
#[derive(Debug)]
pub(crate) struct Decoded(Bytes);

/// The bytes of a body of at most `max` bytes once inflated.
pub(crate) fn bytes(batch: &mut RawBatch, max: usize) -> Result<Bytes, Error> {
    let compressed = batch.bytes.clone();
    match batch.encoding {
        Encoding::Identity if compressed.len() > max => Err(too_large(max)),
        Encoding::Identity => Ok(compressed),
        Encoding::Gzip => {
            inflate(flate2::read::MultiGzDecoder::new(&compressed[..]), ("invalid_gzip", "gzip"), batch, max)
        }
        Encoding::Zstd => {
            let name = ("invalid_zstd", "zstd");
            let mut decoder =
                zstd::stream::read::Decoder::new(&compressed[..]).map_err(|error| broken(name, 0, &error))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| broken(name, 0, &error))?;
            inflate(decoder, name, batch, max)
        }
    }
}

impl Decoded {
    /// Bytes that have to be UTF-8.
    pub(crate) fn of(bytes: Bytes) -> Result<Self, Error> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(error) => Err(Error::Body {
                code: "invalid_utf8",
                detail: format!("the body is not UTF-8 at byte {}", error.valid_up_to()),
            }),
        }
    }

    /// Text of ours.
    pub(crate) fn of_text(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) fn text(&self) -> &str {
        // Checked when it was made; checking again costs less than carrying a second type of buffer.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

type Name = (&'static str, &'static str);

fn inflate(mut from: impl Read, name: Name, batch: &mut RawBatch, max: usize) -> Result<Bytes, Error> {
    let mut out = Vec::with_capacity(batch.bytes.len().saturating_mul(4).min(max).max(STEP_BYTES));
    loop {
        let before = out.len();
        let read = from.by_ref().take(STEP_BYTES as u64).read_to_end(&mut out);
        read.map_err(|error| broken(name, out.len(), &error))?;
        if out.len() > max {
            return Err(too_large(max));
        }
        if out.len() == before {
            return Ok(out.into());
        }
        if batch.place.as_mut().is_some_and(|place| !place.grow(out.len() - before)) {
            return Err(crate::door::crowded(max));
        }
    }
}

fn too_large(limit: usize) -> Error {
    Error::BodyTooLarge { limit, where_: "inflated" }
}

fn broken((code, name): Name, inflated: usize, error: &std::io::Error) -> Error {
    let cut = if error.kind() == std::io::ErrorKind::UnexpectedEof { "it ends too early" } else { "it is broken" };
    Error::Body { code, detail: format!("the body is no {name}: {cut} after {inflated} inflated bytes ({error})") }
}
