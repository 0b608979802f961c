//! Until when a certificate is valid, read off its DER.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::FILE_BYTES_MAX;

/// Seconds since 1970 at which the first certificate of a PEM file ends; none where that cannot be told.
pub(crate) fn valid_until(file: &Path) -> Option<i64> {
    read(file).as_deref().and_then(end_of)
}

/// The first certificate of a PEM file, which is the server's own, as DER.
fn read(file: &Path) -> Option<Vec<u8>> {
    if std::fs::metadata(file).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    let first = CertificateDer::pem_slice_iter(&std::fs::read(file).ok()?).next()?.ok()?;
    Some(first.to_vec())
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Seconds since 1970 at which a certificate ends (RFC 5280, 4.1): Certificate { TBSCertificate { version?, serial, signature,
/// issuer, Validity { notBefore, notAfter }, … } }.
fn end_of(der: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(der).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _passed in ["serial", "signature", "issuer"] {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _begin, rest) = element(validity)?;
    let (tag, end, _) = element(rest)?;
    time(tag, std::str::from_utf8(end).ok()?)
}

/// Tag, content and what stands behind an element of DER.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &str) -> Option<i64> {
    let text = match tag {
        // Years of two digits are 1950 to 2049.
        UTC_TIME if text.is_ascii() && text.len() == 13 => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME if text.is_ascii() && text.len() == 15 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let (day, clock) = ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 14)?));
    let rfc3339 = format!("{}-{}-{}T{}:{}:{}Z", day.0, day.1, day.2, clock.0, clock.1, clock.2);
    Some(tidemark_model::Instant::parse(&rfc3339).ok()?.micros() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut der = vec![tag];
        match content.len() {
            length @ 0..0x80 => der.push(u8::try_from(length).expect("short")),
            length => der.extend([
                0x82,
                u8::try_from(length >> 8).expect("short"),
                u8::try_from(length & 0xff).expect("short"),
            ]),
        }
        der.extend(content);
        der
    }

    fn certificate(end: &[u8], version: Option<&[u8]>) -> Vec<u8> {
        let validity = tlv(SEQUENCE, &[tlv(UTC_TIME, b"250101000000Z"), end.to_vec()].concat());
        let issuer = tlv(SEQUENCE, &[7; 300]);
        let passed = [version.unwrap_or_default().to_vec(), tlv(2, &[1]), tlv(SEQUENCE, &[]), issuer].concat();
        tlv(SEQUENCE, &tlv(SEQUENCE, &[passed, validity].concat()))
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let version = tlv(VERSION, &tlv(2, &[2]));
        for version in [None, Some(version.as_slice())] {
            for (end, seconds) in [
                (tlv(UTC_TIME, b"270101000000Z"), Some(1_798_761_600)),
                (tlv(UTC_TIME, b"700101000000Z"), Some(0)),
                (tlv(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000)),
                (tlv(UTC_TIME, b"991399999999Z"), None),
                (tlv(4, b"270101000000Z"), None),
            ] {
                assert_eq!(end_of(&certificate(&end, version)), seconds, "{end:?}");
            }
        }
    }

    #[test]
    fn whatever_is_cut_off_is_no_certificate() {
        let whole = certificate(&tlv(UTC_TIME, b"270101000000Z"), None);
        assert!(end_of(&whole).is_some());
        assert!((0..whole.len()).all(|length| end_of(&whole[..length]).is_none()));
        assert_eq!(end_of(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
