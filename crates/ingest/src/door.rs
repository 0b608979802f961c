//! The door: headers and body of an HTTP request → a raw batch, with every limit applied while reading.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::{
    budget::{Budget, Reservation},
    config::Config,
    error::{Error, shown},
    request::{Encoding, Format, RawBatch},
    transcode::binary,
};

const TYPES: &str = "application/json, application/x-ndjson, application/cloudevents+json, \
                     application/cloudevents-batch+json or application/vnd.apache.arrow.stream";
const ENCODINGS: &str = "gzip, zstd or identity";

/// Reads the body of a request.
pub(crate) async fn read(headers: &HeaderMap, body: Body, config: &Config, bodies: &Budget) -> Result<RawBatch, Error> {
    let (format, encoding) = (format(headers)?, encoding(headers)?);
    let attributes = if format == Format::CloudEventBinary { binary::attributes(headers)? } else { Vec::new() };
    let announced = text(headers, &header::CONTENT_LENGTH)?.and_then(|length| length.parse::<usize>().ok());
    let too_large = || Error::BodyTooLarge { limit: config.body_bytes_max, where_: "on the wire" };
    if announced.is_some_and(|length| length > config.body_bytes_max) {
        return Err(too_large());
    }
    let place = bodies.reserve(announced.unwrap_or(0)).ok_or_else(|| crowded(bodies.max()))?;
    let patience = Duration::from_secs(config.body_timeout_s);
    let reading = collect(body, place, config.body_bytes_max);
    match tokio::time::timeout(patience, reading).await {
        Ok(Ok((bytes, place))) => Ok(RawBatch { bytes, encoding, format, attributes, place: Some(place) }),
        Ok(Err(Stopped::TooLarge)) => Err(too_large()),
        Ok(Err(Stopped::Crowded)) => Err(crowded(bodies.max())),
        Ok(Err(Stopped::Broken(after, why))) => Err(Error::Body {
            code: "incomplete_body",
            detail: format!("the body could not be read to its end, after {after} bytes: {why}"),
        }),
        Err(_elapsed) => Err(Error::Body {
            code: "body_timeout",
            detail: format!("the body did not arrive within {} s", config.body_timeout_s),
        }),
    }
}

/// Why reading stopped.
enum Stopped {
    TooLarge,
    Crowded,
    Broken(usize, String),
}

async fn collect(mut body: Body, mut place: Reservation, max: usize) -> Result<(Bytes, Reservation), Stopped> {
    let (mut first, mut all, mut length) = (None, BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Stopped::Broken(length, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > max {
            return Err(Stopped::TooLarge);
        }
        if length > place.bytes() && !place.grow(length - place.bytes()) {
            return Err(Stopped::Crowded);
        }
        // Most bodies come in one piece, which is then used as it is.
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(before) => {
                all.reserve(place.bytes());
                all.extend_from_slice(&before);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok((first.unwrap_or_else(|| all.freeze()), place))
}

/// All bodies together take as much as they may.
pub(crate) fn crowded(limit: usize) -> Error {
    Error::Pressure { what: "the bytes of bodies being read", limit }
}

/// A header as text.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_binary| Error::Parameter {
        what: "header",
        value: name.to_string(),
        allowed: "its value must be visible ASCII",
    })
}

fn format(headers: &HeaderMap) -> Result<Format, Error> {
    let sent = text(headers, &header::CONTENT_TYPE)?;
    let is_structured =
        sent.is_some_and(|sent| sent.trim_start().to_ascii_lowercase().starts_with("application/cloudevents"));
    if binary::is_spoken(headers) && !is_structured {
        return Ok(Format::CloudEventBinary);
    }
    let Some(sent) = sent else { return Ok(Format::Json) };
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = sent.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    let mut charset = charset.filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    let is_utf8 = charset.all(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    match essence.as_str() {
        "application/json" | "" if is_utf8 => Ok(Format::Json),
        "application/x-ndjson" if is_utf8 => Ok(Format::Ndjson),
        "application/cloudevents+json" if is_utf8 => Ok(Format::CloudEvents),
        "application/vnd.apache.arrow.stream" => Ok(Format::ArrowStream),
        "application/cloudevents-batch+json" if is_utf8 => Ok(Format::CloudEventsBatch),
        _ => Err(Error::Unsupported { what: "content type", value: shown(sent), allowed: TYPES }),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    let Some(sent) = text(headers, &header::CONTENT_ENCODING)? else { return Ok(Encoding::Identity) };
    match sent.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(Error::Unsupported { what: "content encoding", value: shown(sent), allowed: ENCODINGS }),
    }
}
