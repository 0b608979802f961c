//! The text of a token: `tm_<id>_<secret><check>`.
//!
//! The id has 8 characters of `a-z0-9`, the secret 43 of base 62, which are 256 bits; the last 6 are a checksum over what
//! stands before, so that a mistyped token, or a text that only looks like one, is refused without looking it up.

use sha2::{Digest, Sha256};

/// How every token begins.
const PREFIX: &str = "tm_";
const ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Of these the ids are made.
const ID_DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// How often chance is asked for another handful of bytes.
const DRAWS_MAX: usize = 64;

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes: a token could not be made")]
pub struct NoChance;

/// Bytes that nobody can guess.
pub type Chance<'c> = &'c dyn Fn(&mut [u8]) -> Result<(), NoChance>;

/// A new token: its id, and its text, which is shown once.
///
/// # Errors
/// [`NoChance`].
pub fn mint(chance: Chance<'_>) -> Result<(String, String), NoChance> {
    let id = drawn(chance, ID_DIGITS, ID_CHARS)?;
    let secret = drawn(chance, DIGITS, SECRET_CHARS)?;
    let body = format!("{PREFIX}{id}_{secret}");
    let check = check(&body);
    Ok((id, format!("{body}{check}")))
}

/// The id in a text that is a token by its shape and its checksum.
#[must_use]
pub fn id_of(text: &str) -> Option<&str> {
    let (body, found) = text.split_at_checked(text.len().checked_sub(CHECK_CHARS)?)?;
    let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
    let is_shaped = id.len() == ID_CHARS && secret.len() == SECRET_CHARS;
    (is_shaped && found == check(body)).then_some(id)
}

/// What is kept of a token: SHA-256 of its text, as hex digits.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digits by chance, each as likely as the other: bytes beyond the last whole round are thrown away.
fn drawn(chance: Chance<'_>, digits: &[u8], count: usize) -> Result<String, NoChance> {
    let rounds = 256 / digits.len() * digits.len();
    let mut text = String::with_capacity(count);
    for _draw in 0..DRAWS_MAX {
        let mut bytes = [0; 64];
        chance(&mut bytes)?;
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < rounds);
        text.extend(fair.map(|byte| char::from(digits[byte % digits.len()])).take(count - text.len()));
        if text.len() == count {
            return Ok(text);
        }
    }
    Err(NoChance)
}

fn check(body: &str) -> String {
    let mut rest = crc32c::crc32c(body.as_bytes()) as usize;
    let mut digits = [0; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn counting() -> impl Fn(&mut [u8]) -> Result<(), NoChance> {
        let next = Cell::new(7u8);
        move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next.get();
                next.set(next.get().wrapping_mul(5).wrapping_add(3));
            }
            Ok(())
        }
    }

    #[test]
    fn what_was_minted_is_known_by_its_shape() {
        let (id, text) = mint(&counting()).expect("minted");
        assert_eq!(id_of(&text), Some(id.as_str()));
        assert_eq!(text.len(), 3 + ID_CHARS + 1 + SECRET_CHARS + CHECK_CHARS);
        assert_eq!(digest(&text).len(), 64);
    }

    #[test]
    fn every_other_text_is_none() {
        let (_, text) = mint(&counting()).expect("minted");
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(id_of(&String::from_utf8(other).expect("text")), None, "{at}");
            assert_eq!(id_of(&text[..at]), None);
        }
        for other in ["", "tm_", "tm_a_b", "tm_ü_öäüöäüö", &format!("{text}~21"), "s3cret"] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }

    #[test]
    fn without_chance_there_is_no_token() {
        assert_eq!(mint(&|_| Err(NoChance)).unwrap_err(), NoChance);
        let stuck = |bytes: &mut [u8]| {
            bytes.fill(255);
            Ok(())
        };
        assert_eq!(mint(&stuck).unwrap_err(), NoChance);
    }
}
