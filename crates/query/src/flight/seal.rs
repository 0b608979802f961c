//! Bytes that clients carry for the door: tickets, handles of prepared statements, session tokens.
//!
//! `version u8 · crc32c u32 little-endian · message`. The checksum finds what was cut or garbled on the way. It is no
//! signature and needs to be none: whoever redeems a ticket is authorised anew, and could as well ask its statement.

use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::status::invalid;

/// What stands in sealed bytes; the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Seal {
    /// [`tidemark_proto::v1::FlightStatement`], format 1.
    Statement = 0x11,
    /// [`tidemark_proto::v1::FlightSession`], format 1.
    Session = 0x21,
}

const HEAD: usize = 5;

fn checksum(seal: Seal, body: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&[seal as u8]), body).to_le_bytes()
}

/// Seals a message.
pub(crate) fn seal(seal: Seal, message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.push(seal as u8);
    bytes.extend_from_slice(&checksum(seal, &body));
    bytes.extend_from_slice(&body);
    bytes.into()
}

/// Opens what [`seal`] made.
///
/// # Errors
/// INVALID_ARGUMENT for anything else.
pub(crate) fn open<M: Message + Default>(seal: Seal, what: &str, bytes: &[u8]) -> Result<M, Status> {
    let refused = || invalid(format!("the {what} is not one of ours, or was damaged: ask for a new one"));
    let (head, body) = bytes.split_at_checked(HEAD).ok_or_else(refused)?;
    if head[0] != seal as u8 || head[1..] != checksum(seal, body) {
        return Err(refused());
    }
    M::decode(body).map_err(|_not_the_message| refused())
}

#[cfg(test)]
mod tests {
    use tidemark_proto::v1::FlightStatement;

    use super::*;

    #[test]
    fn what_was_sealed_can_be_opened_and_nothing_else() {
        let message = FlightStatement { sql: "select 'ü'".to_owned(), ..FlightStatement::default() };
        let bytes = seal(Seal::Statement, &message);
        assert_eq!(open::<FlightStatement>(Seal::Statement, "ticket", &bytes).unwrap(), message);
        assert!(open::<FlightStatement>(Seal::Session, "ticket", &bytes).is_err());
        for n in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[n] ^= 1;
            for bad in [&damaged[..], &bytes[..n]] {
                let status = open::<FlightStatement>(Seal::Statement, "ticket", bad).unwrap_err();
                assert_eq!(status.code(), tonic::Code::InvalidArgument);
            }
        }
    }
}
