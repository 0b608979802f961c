//! Body bytes → JSON text: what is JSON already stays as it is, other forms are written as JSON once, so that every
//! record passes the same parser and the same rules.
//!
//! - [`binary`]: a CloudEvent in binary mode, attributes in headers, becomes a structured one.
//! - [`arrow`]: an Arrow IPC stream becomes an array of records, a row each.

pub(crate) mod arrow;
pub(crate) mod binary;

use crate::{
    config::Config,
    error::Error,
    inflate::Decoded,
    request::{Format, RawBatch, Target},
};

/// The text of a body, within the limits, and the format it is in now.
pub(crate) fn decoded(batch: &mut RawBatch, target: &Target, limits: &Config) -> Result<(Decoded, Format), Error> {
    let bytes = crate::inflate::bytes(batch, limits.inflated_bytes_max)?;
    match batch.format {
        Format::ArrowStream => {
            let text = arrow::text(&bytes, target, limits)?;
            if batch.place.as_mut().is_some_and(|place| !place.grow(text.len())) {
                return Err(crate::door::crowded(limits.bodies_bytes_max));
            }
            Ok((Decoded::of_text(text), Format::Json))
        }
        Format::CloudEventBinary => {
            let text = binary::structured(&batch.attributes, &bytes)?;
            Ok((Decoded::of_text(text), Format::CloudEvents))
        }
        format => Ok((Decoded::of(bytes)?, format)),
    }
}
