//! Caps say so when they are reached, and nothing is lost by it.

use tidemark_ingest::Config;
use tidemark_model::{Principal, Table};

use crate::bed::{Bed, End, quiet};

#[tokio::test]
async fn unflushed_bytes_are_capped_and_a_flush_frees_them() {
    // The first request stays under the three quarters from which on the room flushes by itself.
    let bed = Bed::with(Config { unflushed_bytes_max: 40_000, flush_bytes: 1 << 30, ..quiet() }).await;
    let event = |bytes: usize| format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(bytes));
    bed.events(&event(10_000)).await.ok();
    let fits_alone = event(33_000);
    let refused = bed.events(&fits_alone).await;
    assert_eq!(refused.problem(), (429, "back_pressure"));
    assert!(refused.retry_after.is_some());
    assert_eq!(bed.count(&Table::Events).await, 1, "nothing of it is stored");
    bed.ingest.flush_all().await.expect("flushes");
    bed.events(&fits_alone).await.ok();
    assert_eq!(bed.count(&Table::Events).await, 2);
}

#[tokio::test]
async fn what_small_appends_take_besides_their_values_is_counted() {
    const BATCH_BYTES: usize = 8 << 10;
    let bed = Bed::new().await;
    let change = r#"{"op":"insert","id":"a","doc":{}}"#;
    for _ in 0..300 {
        bed.post("/v1/shop/orders/changes", change, &[]).await.ok();
    }
    let of_one = bed.ingest.unflushed_bytes();
    assert!(of_one < 300 * BATCH_BYTES / 4, "their rows stand together in few batches: {of_one} bytes");
    for collection in 0..50 {
        bed.post(&format!("/v1/shop/orders{collection}/changes"), change, &[]).await.ok();
    }
    let of_many = bed.ingest.unflushed_bytes() - of_one;
    assert!(of_many > 50 * BATCH_BYTES, "a batch of its own for each collection: {of_many} bytes");
    bed.ingest.flush_all().await.expect("flushes");
    assert_eq!(bed.ingest.unflushed_bytes(), 0);
}

#[tokio::test]
async fn bodies_in_flight_are_capped() {
    let bed = Bed::with(Config { bodies_bytes_max: 100, ..quiet() }).await;
    let body = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(100));
    assert_eq!(bed.events(&body).await.problem(), (429, "back_pressure"));
    bed.events(r#"{"type":"a"}"#).await.ok();
    let packed = zstd::encode_all(body.repeat(10).as_bytes(), 1).expect("packs");
    let headers = [("content-encoding", "zstd"), ("content-type", "application/x-ndjson")];
    assert_eq!(bed.post("/v1/shop/events", packed, &headers).await.problem(), (429, "back_pressure"));
    bed.events(r#"{"type":"a"}"#).await.ok();
}

#[tokio::test]
async fn a_draining_room_refuses() {
    let bed = Bed::new().await;
    bed.events(r#"{"type":"a"}"#).await.ok();
    let router = tidemark_ingest::http::router(bed.ingest.clone()).layer(axum::Extension(Principal::lake()));
    let bed = bed.restart(End::Drained).await;
    let request = axum::http::Request::post("/v1/shop/events")
        .body(axum::body::Body::from(r#"{"type":"a"}"#))
        .expect("a request");
    let response = tower::ServiceExt::oneshot(router, request).await.expect("answers");
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(bed.count(&Table::Events).await, 1);
}

#[tokio::test]
async fn a_closed_room_refuses_what_adds_and_goes_on_with_the_rest() {
    let bed = Bed::new().await;
    let (shop, events) = (crate::bed::ns("shop"), Table::Events);
    bed.events(r#"{"type":"a"}"#).await.ok();
    bed.ingest.close(": a new disk").await;
    assert!(bed.ingest.unflushed_bytes() > 0);
    assert_eq!(bed.events(r#"{"type":"b"}"#).await.problem(), (503, "maintenance"));
    let created = bed.ingest.create(&crate::bed::ns("bank"), None).await.unwrap_err();
    let begun = bed.ingest.open_producer(&shop, "p", 1).await.unwrap_err();
    for error in [created, begun] {
        assert_eq!(error.code(), "maintenance");
        assert_eq!(tidemark_proto::Problem::from(error).retry_after, Some(30));
    }
    assert!(bed.ingest.stands(&shop, None).await.is_ok(), "what is there can be administered");
    bed.ingest.flush_all().await.expect("what was acknowledged goes on into files");
    assert_eq!((bed.ingest.unflushed_bytes(), bed.count(&events).await), (0, 1));
    bed.ingest.open_again();
    bed.events(r#"{"type":"b"}"#).await.ok();
    assert_eq!(bed.count(&events).await, 2);
}

#[tokio::test]
async fn replay_flushes_under_the_cap() {
    let event = format!(r#"{{"type":"a","data":"{}"}}"#, "0123456789abcdef".repeat(60));
    let bed = Bed::with(Config { unflushed_bytes_max: 80_000, flush_bytes: 1 << 30, ..quiet() }).await;
    for _ in 0..12 {
        bed.events(&event).await.ok();
    }
    let bed = bed.restart(End::Killed).await;
    assert!(!bed.catalog.events(&crate::bed::ns("shop")).files.is_empty(), "replay flushed");
    assert_eq!(bed.count(&Table::Events).await, 12);
    let bed = bed.restart(End::Killed).await;
    assert_eq!(bed.count(&Table::Events).await, 12, "nothing twice");
}

fn fields(prefix: &str, count: usize) -> String {
    (0..count).map(|n| format!("\"{prefix}{n}\":1")).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn fields_of_a_record_are_capped_and_many_are_cheap() {
    let bed = Bed::new().await;
    let event = |count| format!(r#"{{"type":"a","data":{{"x":1}},{}}}"#, fields("n", count));
    assert_eq!(bed.events(&event(65_537)).await.problem(), (413, "event_too_large"));
    bed.events(&event(65_536)).await.ok();
    let data = &bed.texts(&Table::Events, "data").await[0];
    assert_eq!(data.matches(':').count(), 65_537);
    assert!(data.ends_with(r#""n65535":1}"#), "in order, to the last");
}

#[tokio::test]
async fn names_of_documents_are_capped_and_many_are_cheap() {
    let bed = Bed::new().await;
    let change = |prefix: &str| format!(r#"{{"op":"insert","id":"1","doc":{{{}}}}}"#, fields(prefix, 60_000));
    let both = format!("{}\n{}", change("a"), change("b"));
    assert_eq!(bed.changes(&both).await.problem(), (422, "too_many_fields"));
    assert_eq!(bed.count(&Table::Events).await, 0, "nothing of it is stored");
    // The same names twice, and names that are no columns, count once and not at all.
    let same = format!("{}\n{}\n{}", change("a"), change("a"), change("_"));
    assert_eq!(bed.changes(&same).await.ok()["accepted"], 3);
    let collections = bed.catalog.collections(&crate::bed::ns("shop"));
    assert_eq!(collections[0].schema.fields.len(), tidemark_model::schema::COLUMNS_MAX);
}

#[tokio::test]
async fn collections_are_capped() {
    let bed = Bed::with(Config { collections_max: 2, ..quiet() }).await;
    let change = |name: &str| format!(r#"{{"collection":"{name}","op":"delete","id":"1"}}"#);
    bed.events(&change("a")).await.ok();
    let more = format!("[{},{}]", change("b"), change("c"));
    assert_eq!(bed.events(&more).await.problem(), (422, "too_many_collections"));
    bed.events(&format!("[{},{}]", change("a"), change("b"))).await.ok();
    assert_eq!(bed.catalog.collections(&crate::bed::ns("shop")).len(), 2);
}

#[tokio::test]
async fn namespaces_are_capped() {
    let bed = Bed::with(Config { namespaces_max: 2, ..quiet() }).await;
    let event = r#"{"type":"a"}"#;
    for (namespace, expected) in [("a", 200), ("b", 200), ("c", 422), ("a", 200)] {
        let answer = bed.post(&format!("/v1/{namespace}/events"), event, &[]).await;
        assert_eq!(answer.status, expected, "{namespace}");
        assert!(expected == 200 || answer.problem() == (422, "too_many_namespaces"));
    }
    let created = bed.ingest.create(&crate::bed::ns("c"), None).await.expect_err("one too many");
    assert_eq!(created.code(), "too_many_namespaces");
    assert_eq!(bed.catalog.namespaces().len(), 2);
}
