//! Changes of many collections, and an open loop.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{changes, lake::Lake};

/// One change of each of some collections, the `round`th of them, as events of one request.
pub(super) fn each(collections: std::ops::Range<u64>, round: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for number in collections {
        body.extend_from_slice(one(number, round).as_bytes());
        body.push(b'\n');
    }
    body
}

/// The `round`th change of a collection: of one of a hundred documents, about 200 bytes.
pub(super) fn one(collection: u64, round: u64) -> String {
    let n = collection * 1_000_003 + round;
    let (change, document) = (changes::change(n, 100), changes::key(changes::mix(n) % 100));
    format!(
        r#"{{"type":"collection.update","collection":"c{collection:05}","docId":"{document}","doc":{{"a":{},"b":{},"name":"customer {n}","status":"{}"}}}}"#,
        change.a,
        change.b,
        changes::status(change.a)
    )
}

/// What an open loop saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Milliseconds from when a request was due to its ack, sorted.
    pub(super) acks_ms: Vec<f64>,
    /// Requests that were refused or failed.
    pub(super) refused: u64,
}

/// Sends what `body` says of each number at a rate, for some seconds, whatever the server does.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a schedule of some thousand requests"
)]
pub(super) async fn open_loop(
    lake: &Lake,
    path: &str,
    (rate, seconds): (f64, u64),
    body: impl Fn(u64) -> Vec<u8>,
) -> Seen {
    let (client, url) = lake.handle();
    let url = format!("{url}{path}");
    let (times, refused) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let (start, mut senders) = (Instant::now(), tokio::task::JoinSet::new());
    for n in 0..(rate * seconds as f64) as u64 {
        let due = start + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        while senders.try_join_next().is_some() {}
        let request = client.post(&url).header("content-type", "application/x-ndjson").body(body(n));
        let (times, refused) = (Arc::clone(&times), Arc::clone(&refused));
        senders.spawn(async move {
            let is_taken = match request.send().await {
                Ok(response) => response.status().is_success() && response.bytes().await.is_ok(),
                Err(_gone) => false,
            };
            if is_taken {
                times.lock().unwrap_or_else(PoisonError::into_inner).push(due.elapsed().as_secs_f64() * 1e3);
            } else {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while senders.join_next().await.is_some() {}
    let mut acks_ms = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    acks_ms.sort_by(f64::total_cmp);
    Seen { acks_ms, refused: refused.load(Ordering::Relaxed) }
}
