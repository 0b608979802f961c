//! The same request and the same event are stored once, also across restarts.

use futures::future::join_all;
use serde_json::json;
use tidemark_ingest::Config;
use tidemark_model::Table;

use crate::bed::{Bed, End, quiet};

const HOUR_US: i64 = 3_600_000_000;

async fn keyed(bed: &Bed, key: &str, body: &str) -> crate::bed::Reply {
    bed.post("/v1/shop/events", body.to_owned(), &[("idempotency-key", key)]).await
}

#[tokio::test]
async fn a_retry_gets_the_first_receipt_also_after_restarts() {
    let mut bed = Bed::new().await;
    let first = keyed(&bed, "k1", r#"{"type":"a","id":"e1"}"#).await.ok();
    let mut expected = first.clone();
    expected["duplicate"] = json!(true);
    for end in [None, Some(End::Killed), Some(End::Drained), Some(End::Killed)] {
        if let Some(end) = end {
            bed = bed.restart(end).await;
        }
        assert_eq!(keyed(&bed, "k1", r#"{"type":"a","id":"e1"}"#).await.ok(), expected, "{end:?}");
        let other = keyed(&bed, "k1", r#"{"type":"a","id":"e2"}"#).await;
        assert_eq!(other.problem(), (422, "idempotency_mismatch"), "{end:?}");
        // The same event under another key, white space aside.
        let copy = keyed(&bed, &format!("other {end:?}"), r#"{ "id":"e1", "type":"a" }"#).await.ok();
        assert_eq!((&copy["accepted"], &copy["duplicates"]), (&json!(0), &json!(1)), "{end:?}");
        let conflict = bed.events(r#"[{"type":"b"},{"type":"a","id":"e1","data":{}}]"#).await;
        assert_eq!(conflict.problem(), (409, "id_conflict"), "{end:?}");
        assert_eq!(conflict.json["errors"][0]["index"], 1);
        assert_eq!(conflict.json["errors"][0]["id"], "e1");
        assert_eq!(bed.count(&Table::Events).await, 1, "{end:?}");
    }
}

#[tokio::test]
async fn the_batch_id_is_a_key() {
    let bed = Bed::new().await;
    let body = r#"{"batchId":"b1","events":[{"type":"a"}]}"#;
    bed.events(body).await.ok();
    assert_eq!(bed.events(body).await.ok()["duplicate"], json!(true));
    assert_eq!(keyed(&bed, "b1", body).await.ok()["duplicate"], json!(true), "header and body name the same key");
    assert_eq!(bed.count(&Table::Events).await, 1);
    // Another collection makes it another request.
    let change = r#"{"op":"delete","id":"1"}"#;
    bed.post("/v1/shop/orders/changes", change, &[("idempotency-key", "c")]).await.ok();
    let other = bed.post("/v1/shop/carts/changes", change, &[("idempotency-key", "c")]).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch"));
    // Another namespace has keys of its own.
    bed.post("/v1/other/events", body, &[]).await.ok();
}

#[tokio::test]
async fn refused_requests_burn_nothing() {
    let bed = Bed::new().await;
    assert_eq!(keyed(&bed, "k", r#"[{"type":"a","id":"e1"},{"type":"a b"}]"#).await.status, 422);
    bed.events(r#"{"type":"a","id":"e0"}"#).await.ok();
    assert_eq!(keyed(&bed, "k", r#"[{"type":"a","id":"e1"},{"type":"b","id":"e0"}]"#).await.status, 409);
    let receipt = keyed(&bed, "k", r#"{"type":"x","id":"e1"}"#).await.ok();
    assert_eq!((&receipt["accepted"], &receipt["duplicates"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn one_id_within_a_request() {
    let bed = Bed::new().await;
    let twice = r#"[{"type":"a","id":"e1","data":{"x": 1}},{"type":"a"},{"data":{"x":1},"type":"a","id":"e1"}]"#;
    let receipt = bed.events(twice).await.ok();
    assert_eq!((&receipt["accepted"], &receipt["duplicates"]), (&json!(2), &json!(1)));
    let unlike = r#"[{"type":"a","id":"e2"},{"type":"b","id":"e2"}]"#;
    assert_eq!(bed.events(unlike).await.problem(), (409, "id_conflict"));
    assert_eq!(bed.count(&Table::Events).await, 2);
}

#[tokio::test]
async fn only_duplicates_and_no_key_append_nothing() {
    let bed = Bed::new().await;
    let first = bed.events(r#"{"type":"a","id":"e1"}"#).await.ok();
    let again = bed.events(r#"{"type":"a","id":"e1"}"#).await.ok();
    assert_eq!((&again["accepted"], &again["duplicates"], &again["positions"]), (&json!(0), &json!(1), &json!([])));
    assert_eq!(again["system_time"], first["system_time"], "the last closed instant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_store_one() {
    let bed = Bed::new().await;
    let body = r#"[{"type":"a","id":"e1"},{"type":"a","id":"e2"}]"#;
    let replies = join_all((0..20).map(|_| keyed(&bed, "k", body))).await;
    let receipts: Vec<_> = replies.into_iter().map(crate::bed::Reply::ok).collect();
    assert_eq!(receipts.iter().filter(|receipt| receipt.get("duplicate").is_none()).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt["system_time"] == receipts[0]["system_time"]));
    // Without a key: each waits for the other's ids, one wins each.
    let overlapping = (0..20).map(|n| {
        let (a, b) = (n % 5, (n + 1) % 5);
        let body = format!(r#"[{{"type":"b","id":"x{a}"}},{{"type":"b","id":"x{b}"}}]"#);
        let bed = &bed;
        async move { bed.events(&body).await.ok()["accepted"].as_u64() }
    });
    let accepted: u64 = join_all(overlapping).await.into_iter().flatten().sum();
    assert_eq!((accepted, bed.count(&Table::Events).await), (5, 7));
}

#[tokio::test]
async fn the_window_ends_after_a_day() {
    let mut bed = Bed::new().await;
    keyed(&bed, "k", r#"{"type":"a","id":"e1"}"#).await.ok();
    bed.clock.step(24 * HOUR_US);
    assert_eq!(keyed(&bed, "k", r#"{"type":"a","id":"e1"}"#).await.ok()["duplicate"], json!(true));
    bed.clock.step(2_000_000);
    bed = bed.restart(End::Drained).await;
    let fresh = keyed(&bed, "k", r#"{"type":"b","id":"e1"}"#).await.ok();
    assert_eq!((&fresh["accepted"], fresh.get("duplicate")), (&json!(1), None));
    bed.ingest.flush_all().await.expect("flushes");
    let sidecars = &bed.catalog.events(&crate::bed::ns("shop")).sidecars;
    assert_eq!(sidecars.len(), 1, "those outside the window left the manifest: {sidecars:?}");
}

#[tokio::test]
async fn full_indexes_say_so() {
    let bed = Bed::with(Config { dedup_ids_max: 2, dedup_keys_max: 1, ..quiet() }).await;
    bed.events(r#"[{"type":"a","id":"1"},{"type":"a","id":"2"},{"type":"a"}]"#).await.ok();
    let full = bed.events(r#"{"type":"a","id":"3"}"#).await;
    assert_eq!(full.problem(), (429, "back_pressure"));
    assert!(full.retry_after.is_some());
    keyed(&bed, "k1", r#"{"type":"a"}"#).await.ok();
    assert_eq!(keyed(&bed, "k2", r#"{"type":"a"}"#).await.problem(), (429, "back_pressure"));
    assert_eq!(keyed(&bed, "k1", r#"{"type":"a"}"#).await.ok()["duplicate"], json!(true));
}
