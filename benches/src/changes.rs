//! The data: changes of documents, every one a pure function of its number, so that ours and the peers see the same.

use tidemark_model::{DocSchema, Instant, schema::Kinds, schema::Observed};

/// Changes are this far apart in source time: 10 ms.
const STEP_MICROS: i64 = 10_000;
/// 2020-01-01T00:00:00Z.
const START_MICROS: i64 = 1_577_836_800_000_000;

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub key: u64,
    pub delete: bool,
    pub ts: Instant,
    pub a: i64,
    pub b: i64,
}

/// Change number `n` over `keys` documents: one in fifty a delete.
pub(crate) fn change(n: u64, keys: u64) -> Change {
    let random = mix(n);
    let number = |modulus: u64, shift: u32| i64::try_from((random >> shift) % modulus).unwrap_or(0);
    Change {
        key: mix(random) % keys,
        delete: random.is_multiple_of(50),
        ts: source_time(n),
        a: number(1000, 8),
        b: number(77, 24),
    }
}

/// The source time of change number `n`.
pub(crate) fn source_time(n: u64) -> Instant {
    Instant::from_micros(START_MICROS + i64::try_from(n).unwrap_or(0) * STEP_MICROS)
}

/// splitmix64: numbers to numbers without a visible pattern.
pub(crate) fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The key of a document as text.
pub(crate) fn key(key: u64) -> String {
    format!("doc-{key:09}")
}

/// The changes of a range as NDJSON in the native envelope, about 150 bytes each.
pub(crate) fn ndjson(range: std::ops::Range<u64>, keys: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for n in range {
        let Change { key: k, delete, ts, a, b } = change(n, keys);
        let id = key(k);
        let line = if delete {
            format!(r#"{{"op":"delete","id":"{id}","ts":"{ts}"}}"#)
        } else {
            format!(
                r#"{{"op":"update","id":"{id}","ts":"{ts}","doc":{{"a":{a},"b":{b},"name":"customer {k}","status":"{}"}}}}"#,
                status(a)
            )
        };
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    body
}

/// A text column with few values.
pub(crate) fn status(a: i64) -> &'static str {
    ["new", "open", "paid", "shipped", "closed"][usize::try_from(a % 5).unwrap_or(0)]
}

/// Events of about 300 bytes as NDJSON, with ids of their own.
pub(crate) fn events_ndjson(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut body = Vec::new();
    for n in range {
        let (r, ts) = (mix(n), source_time(n));
        let line = format!(
            r#"{{"id":"ev-{n:012}","type":"page.viewed","ts":"{ts}","source":"web-{}","subject":"user-{:06}","data":{{"path":"/products/{}","referrer":"https://example.com/search","duration_ms":{},"country":"DE","price":{}.{:02},"session":"{r:016x}"}}}}"#,
            r % 8,
            r % 100_000,
            r % 5000,
            r % 10_000,
            r % 300,
            r % 100
        );
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    body
}

/// The typed columns `a` and `b`, both Int64.
pub(crate) fn two_integers() -> DocSchema {
    let mut observed = Observed::default();
    ["a", "b"].iter().for_each(|name| observed.see(name, Kinds::of(&tidemark_model::json::Value::Int(1))));
    DocSchema::default().evolved(&observed).unwrap_or_default()
}
