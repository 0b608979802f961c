//! Refused records of partly good requests are kept: what of them, for how long, and over every end of a process.

use serde_json::Value;
use tidemark_catalog::Rejects as _;
use tidemark_ingest::Config;
use tidemark_model::{Clock as _, CollectionName};
use tidemark_storage::paths;

use crate::{
    bed::{Bed, End, ns, quiet},
    flaky::{self, Answer, Verb},
};

const PARTIAL: &str = "/v1/shop/events?on_error=partial";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

async fn send(bed: &Bed, body: &str) -> Value {
    bed.post(PARTIAL, body.to_owned(), &[NDJSON]).await.ok()
}

async fn objects(bed: &Bed) -> usize {
    bed.catalog.store().list(&paths::rejected()).await.expect("lists").len()
}

#[tokio::test]
async fn what_was_refused_is_kept_with_its_reason_over_restarts() {
    let mut bed = Bed::new().await;
    let first =
        "{\"type\":\"a\",\"id\":\"e1\"}\n {\"type\":\"bad type\",\"id\":\"e2\",\"data\":{\"x\":1}} \n{\"type\":\n[1]";
    let receipt = send(&bed, first).await;
    assert_eq!((&receipt["accepted"], &receipt["rejected"]), (&1.into(), &3.into()));
    // The same id with other content, in an array, and a collection that the path names.
    bed.post(PARTIAL, r#"[{"type":"a","id":"e1","data":{"y":2}},{"type":"b"}]"#, &[]).await.ok();
    let change = r#"{"op":"insert","id":"1"}"#;
    bed.post("/v1/shop/orders/changes?on_error=partial", change, &[]).await.ok();
    // What refuses a whole request is told to whoever sent it, and not kept.
    assert_eq!(bed.post("/v1/shop/events", r#"{"type":""}"#, &[]).await.status, 422);
    let mut before = None;
    for end in [End::Killed, End::Drained] {
        let kept = bed.ingest.rejected();
        let told = kept
            .iter()
            .map(|one| (one.index, &*one.code, &*one.pointer, one.event_id.as_deref(), one.record.as_deref()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                (1, "invalid_type", "/type", Some("e2"), Some(r#"{"type":"bad type","id":"e2","data":{"x":1}}"#)),
                (2, "invalid_json", "", None, Some("{\"type\":")),
                (3, "not_an_object", "", None, Some("[1]")),
                (0, "id_conflict", "/id", Some("e1"), Some(r#"{"y":2}"#)),
                (0, "missing_field", "/doc", None, Some(change)),
            ]
        );
        assert!(
            kept.iter().all(|one| one.door == "http" && one.namespace.as_str() == "shop" && one.at == bed.clock.now())
        );
        assert_eq!(kept[4].collection.as_ref().map(|name| name.as_str()), Some("orders"));
        assert!(kept.is_sorted_by_key(|one| one.id.clone()) && !kept[0].message.is_empty());
        let ids: Vec<String> = kept.iter().map(|one| one.id.clone()).collect();
        assert_eq!(before.replace(ids.clone()).unwrap_or(ids.clone()), ids, "before {end:?}");
        bed = bed.restart(end).await;
    }
    assert_eq!(bed.ingest.rejected().len(), 5);
    assert_eq!(objects(&bed).await, 3, "one object for each request that had refused records");
}

#[tokio::test]
async fn it_stays_within_its_bounds() {
    let config = Config { rejected_max: 30, rejected_record_bytes_max: 13, ..quiet() };
    let mut bed = Bed::with(config).await;
    for n in 0..100 {
        send(&bed, &format!("{{\"type\":\"é{n:03}é\"}}")).await;
    }
    for _ in 0..2 {
        let kept = bed.ingest.rejected();
        assert_eq!(kept.len(), 30, "the oldest go first");
        // `{"type":"é…` is cut where a character ends.
        assert_eq!(kept[0].record.as_deref(), Some("{\"type\":\"é07"));
        assert_eq!(kept[29].record_bytes, 18);
        assert!(objects(&bed).await <= 65, "many objects became one");
        bed = bed.restart(End::Killed).await;
    }
}

#[tokio::test]
async fn one_request_keeps_a_bounded_part() {
    let bed = Bed::new().await;
    let body: String = (0..3000).map(|_| format!("{{\"type\":\"\",\"x\":\"{}\"}}\n", "x".repeat(3000))).collect();
    let receipt = send(&bed, &body).await;
    assert_eq!(receipt["rejected"], 3000);
    let kept = bed.ingest.rejected();
    assert_eq!(kept.len(), 1000);
    let with_text = kept.iter().filter(|one| one.record.is_some()).count();
    assert!((300..400).contains(&with_text), "{with_text}: a mebibyte of text");
    assert!(kept.iter().all(|one| one.record_bytes > 3000), "how long it was is told all the same");
}

#[tokio::test]
async fn what_is_past_its_time_goes_also_from_the_store() {
    let bed = Bed::with(Config { rejected_s: 1000, ..quiet() }).await;
    send(&bed, "{}").await;
    bed.clock.step(2_000_000_000);
    send(&bed, "{}").await;
    assert_eq!((bed.ingest.rejected().len(), objects(&bed).await), (2, 2));
    bed.clock.step(3_000_000_000);
    // The room looks by itself, every second.
    for _ in 0..100 {
        if bed.ingest.rejected().is_empty() && objects(&bed).await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!((bed.ingest.rejected().len(), objects(&bed).await), (0, 0));
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_shall_be() {
    let bed = Bed::with(Config { rejected_max: 0, ..quiet() }).await;
    assert_eq!(send(&bed, "{}").await["rejected"], 1);
    assert_eq!((bed.ingest.rejected().len(), objects(&bed).await), (0, 0));
}

#[tokio::test]
async fn an_erasure_of_what_was_refused_goes_on_where_it_failed() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, quiet()).await;
    for collection in ["orders", "people"] {
        let path = format!("/v1/shop/{collection}/changes?on_error=partial");
        bed.post(&path, r#"{"op":"insert","id":"1"}"#, &[]).await.ok();
    }
    let orders = CollectionName::parse("orders").expect("a name");
    rules.set(|verb, path| match verb {
        Verb::Put if path.contains("_tidemark/rejected/") => Answer::Failed,
        _ => Answer::Honest,
    });
    assert!(bed.ingest.erase_rejected(&ns("shop"), Some(&orders)).await.is_err());
    rules.heal();
    bed.ingest.erase_rejected(&ns("shop"), Some(&orders)).await.expect("erases");
    let bed = bed.restart(End::Killed).await;
    let left = bed.ingest.rejected();
    let left: Vec<_> = left.iter().map(|one| one.collection.as_ref().map_or("", |name| name.as_str())).collect();
    assert_eq!(left, ["people"], "also in the store");
}
