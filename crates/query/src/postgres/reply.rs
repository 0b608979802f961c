//! Messages to clients, straight into the buffer of the connection.

use arrow::datatypes::SchemaRef;
use bytes::{BufMut, BytesMut};

use super::{fault::Fault, kind, message::Format};

/// Whether a transaction is open, as clients are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// None is.
    Idle,
    /// One is.
    Open,
    /// One is, and it failed.
    Failed,
}

/// Writes a message: its kind, its length, and what `body` writes.
pub(crate) fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let at = out.len();
    out.put_i32(0);
    body(out);
    let length = i32::try_from(out.len() - at).unwrap_or(i32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn text(out: &mut BytesMut, text: &str) {
    // A zero byte would end the text early.
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.put_u8(0);
}

/// Asks for the password in clear: on loopback or inside of TLS.
pub(crate) fn ask_password(out: &mut BytesMut) {
    message(out, b'R', |out| out.put_i32(3));
}

/// Says that the client is in.
pub(crate) fn admitted(out: &mut BytesMut) {
    message(out, b'R', |out| out.put_i32(0));
}

/// Tells a setting.
pub(crate) fn parameter(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        text(out, name);
        text(out, value);
    });
}

/// Gives the key by which what runs here is cancelled.
pub(crate) fn key(out: &mut BytesMut, process: i32, secret: i32) {
    message(out, b'K', |out| {
        out.put_i32(process);
        out.put_i32(secret);
    });
}

/// Says which minor version is spoken, and which options are not.
pub(crate) fn negotiate(out: &mut BytesMut, version: i32, unknown: &[String]) {
    message(out, b'v', |out| {
        out.put_i32(version);
        out.put_i32(i32::try_from(unknown.len()).unwrap_or(0));
        unknown.iter().for_each(|option| text(out, option));
    });
}

/// Says that the next question may come.
pub(crate) fn ready(out: &mut BytesMut, status: Status) {
    let letter = match status {
        Status::Idle => b'I',
        Status::Open => b'T',
        Status::Failed => b'E',
    };
    message(out, b'Z', |out| out.put_u8(letter));
}

/// Messages without a body.
pub(crate) fn bare(out: &mut BytesMut, tag: u8) {
    message(out, tag, |_nothing| {});
}

/// A statement was prepared.
pub(crate) const PARSED: u8 = b'1';
/// A portal was made.
pub(crate) const BOUND: u8 = b'2';
/// Something was forgotten.
pub(crate) const CLOSED: u8 = b'3';
/// There are no columns.
pub(crate) const NO_DATA: u8 = b'n';
/// There was no statement.
pub(crate) const EMPTY: u8 = b'I';
/// A portal has more rows.
pub(crate) const SUSPENDED: u8 = b's';
/// The rows of a COPY have ended.
pub(crate) const COPY_DONE: u8 = b'c';

/// Says that a statement is done.
pub(crate) fn complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |out| text(out, tag));
}

/// Tells the types of parameters.
pub(crate) fn parameters(out: &mut BytesMut, types: &[u32]) {
    message(out, b't', |out| {
        count(out, types.len());
        types.iter().for_each(|oid| out.put_u32(*oid));
    });
}

/// Tells columns.
pub(crate) fn columns(out: &mut BytesMut, columns: &SchemaRef, formats: &[Format]) {
    message(out, b'T', |out| {
        count(out, columns.fields().len());
        for (nth, field) in columns.fields().iter().enumerate() {
            let kind = kind::of(field.data_type());
            text(out, field.name());
            out.put_i32(0);
            out.put_i16(0);
            out.put_u32(kind.oid);
            out.put_i16(kind.length);
            out.put_i32(kind.modifier);
            out.put_i16(Format::of(formats, nth).code());
        }
    });
}

/// Begins a COPY out.
pub(crate) fn copy_out(out: &mut BytesMut, format: Format, columns: usize) {
    message(out, b'H', |out| {
        out.put_u8(u8::from(format == Format::Binary));
        count(out, columns);
        (0..columns).for_each(|_| out.put_i16(format.code()));
    });
}

fn count(out: &mut BytesMut, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// Tells what went wrong.
pub(crate) fn fault(out: &mut BytesMut, fault: &Fault) {
    message(out, b'E', |out| fields(out, fault));
}

/// Tells what the client may want to know.
pub(crate) fn notice(out: &mut BytesMut, notice: &Fault) {
    message(out, b'N', |out| fields(out, notice));
}

fn fields(out: &mut BytesMut, fault: &Fault) {
    let severity = fault.severity.as_str();
    let position = fault.position.map(|at| at.to_string());
    let all = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(fault.code)),
        (b'M', Some(fault.message.as_str())),
        (b'H', fault.hint.as_deref()),
        (b'P', position.as_deref()),
    ];
    for (letter, value) in all {
        if let Some(value) = value {
            out.put_u8(letter);
            text(out, value);
        }
    }
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves_and_texts_end_once() {
        let mut out = BytesMut::new();
        complete(&mut out, "SEL\0ECT 1");
        ready(&mut out, Status::Failed);
        assert_eq!(&out[..], b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05E");
    }

    #[test]
    fn a_fault_tells_what_is_known() {
        let mut out = BytesMut::new();
        let told = Fault { position: Some(8), ..Fault::error("42601", "no") };
        fault(&mut out, &told);
        assert_eq!(&out[5..], b"SERROR\0VERROR\0C42601\0Mno\0P8\0\0");
    }
}
