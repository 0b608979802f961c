//! The hashes of the room. All of them are persisted (sidecars, shards): they never change.
//!
//! XXH3 tells event ids and contents apart: fast, 128 bits, and whoever makes two of his own ids collide hurts only
//! himself. Idempotency keys and bodies are told apart by SHA-256, cut to 16 bytes.

use sha2::{Digest, Sha256};
use tidemark_model::Shard;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::request::Target;

/// The hash of an event id.
pub(crate) fn event_id(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// The hash of content.
pub(crate) fn content(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The hash of a delivered message: the same bytes are the same message.
pub(crate) fn delivery(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

/// The shard that a text is routed to.
pub(crate) fn shard(text: &[u8], shards: u16) -> Shard {
    let at = xxh3_64(text) % u64::from(shards.max(1));
    Shard(u16::try_from(at).unwrap_or(0))
}

fn first_16(hash: Sha256) -> u128 {
    let (mut first, digest) = ([0; 16], hash.finalize());
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

/// The hash of an idempotency key.
pub(crate) fn key(key: &str) -> u128 {
    first_16(Sha256::new_with_prefix(key))
}

/// The hash of a producer's id, which no key of a client has.
pub(crate) fn producer(id: &str) -> u128 {
    first_16(Sha256::new_with_prefix("producer\0").chain_update(id))
}

/// The hash of a decoded body and of where it goes: the same bytes for another collection are another request.
pub(crate) fn body(target: &Target, decoded: &[u8]) -> u128 {
    let to = match target {
        Target::Events => "",
        Target::Changes(collection) => collection.as_str(),
    };
    first_16(Sha256::new().chain_update(to).chain_update([0]).chain_update(decoded))
}
