//! Restore through the doors: a collection becomes what it was, by changes that win, and the past stays as it was.

use serde_json::{Value, json};
use tidemark_tests::{
    chance::Chance,
    client::{Client, Rows},
    server::Server,
};

const ROUNDS: u64 = 4;
const IDS: u64 = 12;

/// A random history and what it is asked.
struct Run {
    client: Client,
    chance: Chance,
    collection: String,
    /// Instants of acknowledgement, and source times: RFC 3339.
    times: (Vec<String>, Vec<String>),
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl Run {
    /// Rows of the collection behind clauses, by id.
    async fn rows(&self, clauses: &str) -> Rows {
        let sql = format!("SELECT _id, _doc FROM shop.\"{}\" {clauses} ORDER BY _id", self.collection);
        self.client.rows(&sql).await
    }

    async fn restore(&self, body: &Value) -> Value {
        self.client.post_json(&format!("/v1/shop/{}/restore", self.collection), body).await.ok()
    }

    /// Late, present and future changes, deletes of what is and of what never was, with and without a bookmark.
    async fn changes(&mut self) {
        for _ in 0..6 {
            let changes: Vec<Value> = (0..1 + self.chance.below(6)).map(|_| self.change()).collect();
            let receipt = self.client.changes(&format!("shop/{}", self.collection), &json!(changes)).await;
            self.times.0.push(text(&receipt["system_time"]));
        }
        if self.chance.percent(50) {
            let path = format!("/v1/shop/{}/snapshots", self.collection);
            let _done = self.client.post_json(&path, &json!({})).await.ok();
        }
    }

    fn change(&mut self) -> Value {
        let now = tidemark_model::Instant::parse("2026-01-01T00:00:00Z").unwrap();
        let id = format!("d{}", self.chance.below(IDS));
        let kind = ["a", "b"][self.chance.index(2)];
        let doc = json!({"n": self.chance.below(1000), "kind": kind});
        let op = if self.chance.percent(30) { "delete" } else { "update" };
        let mut change = json!({"op": op, "id": id});
        if op != "delete" {
            change["doc"] = doc;
        }
        if self.chance.percent(50) {
            let ts = now.plus_micros(i64::try_from(self.chance.below(5_000_000)).unwrap()).to_string();
            change["ts"] = json!(ts);
            self.times.1.push(ts);
        }
        if self.chance.percent(20) {
            change["bookmark"] = json!("z");
        }
        change
    }

    /// A random past: the body of a restore, and the clauses that ask for it.
    fn past(&self) -> (Value, String) {
        let t = self.chance.pick(&self.times.0).unwrap();
        let v = self.chance.pick(&self.times.1).unwrap();
        let system = format!("FOR SYSTEM_TIME AS OF TIMESTAMP '{t}'");
        let valid = format!("FOR VALID_TIME AS OF TIMESTAMP '{v}'");
        match self.chance.below(3) {
            0 => (json!({"as_of": t}), system),
            1 => (json!({"valid_as_of": v}), valid),
            _ => (json!({"as_of": t, "valid_as_of": v}), format!("{system} {valid}")),
        }
    }
}

#[tokio::test]
async fn a_collection_becomes_what_it_was_and_the_past_stays() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    for seed in 0..6 {
        let (chance, collection) = (Chance::seeded(seed), format!("c{seed}"));
        let mut run = Run { client: server.client(), chance, collection, times: Default::default() };
        for round in 0..ROUNDS {
            run.changes().await;
            round_trip(&run, &format!("seed {seed}, round {round}")).await;
        }
    }
}

async fn round_trip(run: &Run, place: &str) {
    let before_at = run.times.0.last().unwrap().clone();
    let (mut body, clauses) = run.past();
    let (past, before) = (run.rows(&clauses).await, run.rows("").await);
    let probes = [run.past().1, run.past().1, clauses.clone()];
    let mut probed = Vec::new();
    for probe in &probes {
        // Source times alone see what came later with a source time below; compensation never does.
        let fixed = if probe.contains("SYSTEM") { probe.clone() } else { as_known_at(probe, &before_at) };
        probed.push((fixed.clone(), run.rows(&fixed).await));
    }
    let has_condition = run.chance.percent(50);
    let condition = "kind = 'a'";
    if has_condition {
        body["where"] = json!(condition);
    }

    let mut dry = body.clone();
    dry["dry_run"] = json!(true);
    let counted = run.restore(&dry).await;
    assert_eq!(run.rows("").await, before, "{place}: a dry run changes nothing");
    let report = run.restore(&body).await;
    for field in ["added", "changed", "removed", "unchanged", "ids"] {
        assert_eq!(counted[field], report[field], "{place} {body} {field}");
    }
    let differing: i64 = ["added", "changed", "removed"].iter().map(|field| report[*field].as_i64().unwrap()).sum();
    assert_eq!(report["appended"], json!(differing), "{place} {report}");

    if has_condition {
        let (behind, now) = (format!("{clauses} WHERE {condition}"), format!("WHERE {condition}"));
        assert_eq!(run.rows(&now).await, run.rows(&behind).await, "{place} {body}");
    } else {
        assert_eq!(run.rows("").await, past, "{place} {body}");
    }
    for (probe, rows) in &probed {
        assert_eq!(&run.rows(probe).await, rows, "{place}: the past at {probe} after {body}");
    }
    let again = run.restore(&body).await;
    assert_eq!(again["appended"], json!(0), "{place}: there is nothing left to do: {again}");
    run.restore(&json!({"as_of": before_at})).await;
    assert_eq!(run.rows("").await, before, "{place}: undone");
}

fn as_known_at(valid: &str, at: &str) -> String {
    format!("{valid} FOR SYSTEM_TIME AS OF TIMESTAMP '{at}'")
}

/// A delete whose source time lies ahead hides what comes with the present's; the restore must lie above it.
#[tokio::test]
async fn a_restore_wins_over_what_lies_ahead() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let first = json!([
        {"op": "insert", "id": "a", "doc": {"n": 1.50, "s": "é\"\\"}}, {"op": "insert", "id": "b", "doc": {"n": 2}}
    ]);
    let then = text(&client.changes("shop/orders", &first).await["system_time"]);
    let millis = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 + 3_000_000;
    let ahead = json!([
        {"op": "delete", "id": "a", "ts": millis, "bookmark": "zz"}, {"op": "update", "id": "b", "doc": {"n": 3}, "ts": millis}
    ]);
    client.changes("shop/orders", &ahead).await;
    let question = "SELECT _id, _doc FROM shop.orders ORDER BY _id";
    let past = "SELECT _id, _doc FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP";
    let was = client.rows(&format!("{past} '{then}' ORDER BY _id")).await;
    for is_in_files in [false, true] {
        if is_in_files {
            client.changes("shop/orders", &json!([{"op": "delete", "id": "a", "ts": millis + 60_000}])).await;
            let _done = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "held"})).await.ok();
        }
        let _done = client.post_json("/v1/shop/orders/restore", &json!({"as_of": then, "actor": "ann"})).await.ok();
        assert_eq!(client.rows(question).await, was, "in files: {is_in_files}");
    }
    let carried = client
        .rows("SELECT DISTINCT source, actor, meta IS NOT NULL FROM shop.events WHERE source = 'tidemark.restore'")
        .await;
    assert_eq!(json!(carried), json!([["tidemark.restore", "ann", true]]));
}

#[tokio::test]
async fn another_collection_becomes_it_and_what_makes_no_sense_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let docs: Vec<Value> =
        (0..12_000).map(|n| json!({"op": "insert", "id": format!("d{n:05}"), "doc": {"n": n}})).collect();
    for part in docs.chunks(6_000) {
        client.changes("shop/orders", &json!(part)).await;
    }
    let _done = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "full"})).await.ok();
    client.changes("shop/orders", &json!([{"op": "delete", "id": "d00007"}])).await;
    let body = json!({"snapshot": "full", "into": "shop.copy"});
    let reply = client.post("/v1/shop/orders/restore", body.to_string(), &[("accept", "application/x-ndjson")]).await;
    let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 2 && lines[0]["progress"]["appended"].as_i64() < Some(12_000), "{lines:?}");
    assert_eq!(lines.last().unwrap()["restored"]["added"], json!(12_000), "{lines:?}");
    assert_eq!(client.number("SELECT count(*) FROM shop.copy").await, 12_000);
    let differing = "SELECT count(*) FROM shop.copy c FULL JOIN shop.orders o ON o._id = c._id WHERE o._doc IS DISTINCT FROM c._doc";
    assert_eq!(client.number(differing).await, 1);

    for (path, body, code) in [
        ("shop/orders", json!({}), "invalid_restore"),
        ("shop/orders", json!({"snapshot": "nope"}), "unknown_snapshot"),
        ("shop/orders", json!({"snapshot": "full", "as_of": "2026-01-01T00:00:00Z"}), "invalid_restore"),
        ("shop/orders", json!({"as_of": "yesterday"}), "invalid_instant"),
        ("shop/orders", json!({"as_of": "2999-01-01T00:00:00Z"}), "instant_in_future"),
        ("shop/orders", json!({"as_of": "2001-01-01T00:00:00Z"}), "before_creation"),
        ("shop/orders", json!({"snapshot": "full", "where": "n >"}), "invalid_sql"),
        ("shop/orders", json!({"snapshot": "full", "where": "n = 1) OR (TRUE"}), "invalid_sql"),
        ("shop/orders", json!({"snapshot": "full", "where": "n = $1"}), "invalid_sql"),
        ("shop/orders", json!({"snapshot": "full", "where": "nothing = 1"}), "invalid_sql"),
        ("shop/orders", json!({"snapshot": "full", "into": "elsewhere"}), "invalid_path"),
        ("shop/orders", json!({"snapshot": "full", "speed": 9}), "invalid_body"),
        ("shop/none", json!({"valid_as_of": "2026-01-01T00:00:00Z"}), "unknown_table"),
    ] {
        let reply = client.post_json(&format!("/v1/{path}/restore"), &body).await;
        assert_eq!(reply.problem(), code, "{body}");
    }
}

#[tokio::test]
async fn sql_calls_what_keeps_and_goes_back() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let insert = json!([{"op": "insert", "id": "a", "doc": {"n": 1}}, {"op": "insert", "id": "b", "doc": {"n": 2}}]);
    client.changes("shop/orders", &insert).await;
    let kept = client.rows("CALL snapshot('shop.orders', 'early')").await;
    assert_eq!((&kept[0][0], &kept[0][2]), (&json!("early"), &json!(2)));
    let listed = client.rows("SELECT name, kind, system_time, rows, bytes FROM shop.\"orders$snapshots\"").await;
    assert_eq!(json!(listed), json!([["early", "named", kept[0][1], 2, kept[0][3]]]));
    client
        .changes("shop/orders", &json!([{"op": "delete", "id": "a"}, {"op": "update", "id": "b", "doc": {"n": 3}}]))
        .await;
    for (sql, row) in [
        ("CALL restore('shop.orders', snapshot => 'early', dry_run => true)", json!([1, 1, 0, 0, 0])),
        ("CALL restore('shop.orders', snapshot => 'early', \"where\" => 'n = 1')", json!([1, 0, 0, 0, 1])),
        ("CALL restore('shop.orders', now())", json!([0, 0, 0, 2, 0])),
        ("CALL restore('shop.orders', NULL, now(), \"into\" => 'shop.copy')", json!([2, 0, 0, 0, 2])),
        ("CALL drop_snapshot('shop.orders', name => 'early')", json!(["early"])),
    ] {
        assert_eq!(json!(client.rows(sql).await), json!([row]), "{sql}");
    }
    assert_eq!(client.number("SELECT sum(n) FROM shop.orders").await, 4);
    for (sql, code) in [
        ("CALL nothing()", "invalid_sql"),
        ("CALL restore('shop.orders')", "invalid_restore"),
        ("CALL restore()", "invalid_sql"),
        ("CALL restore('orders', now())", "invalid_sql"),
        ("CALL restore('shop.orders', speed => 9)", "invalid_sql"),
        ("CALL restore('shop.orders', now(), as_of => now())", "invalid_sql"),
        ("CALL restore('shop.orders', dry_run => 9)", "invalid_sql"),
        ("CALL drop_snapshot('shop.orders')", "invalid_sql"),
        ("CALL drop_snapshot('shop.orders', 'early')", "unknown_snapshot"),
        ("CALL snapshot('shop.orders'); SELECT 1", "read_only"),
        ("EXPLAIN CALL snapshot('shop.orders')", "read_only"),
    ] {
        assert_eq!(client.query(sql, &[]).await.problem(), code, "{sql}");
    }
}

/// Killed in the middle, a restore has done a part of its work; asked for again it does the rest.
#[tokio::test]
async fn a_restore_that_was_cut_off_does_the_rest() {
    const DOCUMENTS: i64 = 60_000;
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let client = server.client();
    for from in (0..DOCUMENTS).step_by(10_000) {
        let changes: Vec<Value> =
            (from..from + 10_000).map(|n| json!({"op": "insert", "id": format!("d{n:05}"), "doc": {"n": n}})).collect();
        client.changes("shop/orders", &json!(changes)).await;
    }
    let _kept = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "full"})).await.ok();
    let digest = "SELECT count(*), sum(n), count(DISTINCT _doc) FROM shop.copy";
    let restore = json!({"snapshot": "full", "into": "shop.copy"});
    let mut running = tokio::task::JoinSet::new();
    let (asking, body) = (client.clone(), restore.to_string());
    running.spawn(async move { asking.try_post("/v1/shop/orders/restore", body, &[]).await.map(|_| ()) });
    let appended = "SELECT count(*) FROM shop.events WHERE source = 'tidemark.restore'";
    while client.number(appended).await == 0 {
        assert!(running.try_join_next().is_none(), "the restore ended before it was cut off");
        tokio::task::yield_now().await;
    }
    server.kill().await;
    let ended = running.join_next().await.unwrap().unwrap();
    assert!(ended.is_err(), "the restore ended before it was cut off");
    server.restart().await;
    let client = server.client();
    let part = client.number(appended).await;
    assert!((1..DOCUMENTS).contains(&part), "{part} of {DOCUMENTS} were restored");
    assert_eq!(client.number("SELECT count(*) FROM shop.copy").await, part, "what was appended is whole");
    let report = client.post_json("/v1/shop/orders/restore", &restore).await.ok();
    assert_eq!((&report["added"], &report["unchanged"]), (&json!(DOCUMENTS - part), &json!(part)), "{report}");
    let (sum, rows) = (DOCUMENTS * (DOCUMENTS - 1) / 2, client.rows(digest).await);
    assert_eq!(json!(rows), json!([[DOCUMENTS, sum, DOCUMENTS]]));
}

/// A document that was sent over several lines is one document to a restore and to an export, whatever its lines look
/// like.
#[tokio::test]
async fn the_lines_of_a_document_are_no_changes() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let document = "{\"x\":[\n{\"op\":\"delete\",\"id\":\"victim\"}\n]}";
    let sent = format!(
        "[{{\"op\":\"insert\",\"id\":\"a\",\"doc\":{document}}},{{\"op\":\"insert\",\"id\":\"victim\",\"doc\":{{}}}}]"
    );
    let headers = [("content-type", "application/json")];
    let _done = client.post("/v1/shop/orders/changes", sent, &headers).await.ok();
    let _kept = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "early"})).await.ok();
    client.changes("shop/orders", &json!([{"op": "update", "id": "a", "doc": {"x": 1}}])).await;
    let restored = client.post_json("/v1/shop/orders/restore", &json!({"snapshot": "early"})).await.ok();
    assert_eq!(restored["appended"], 1);
    let of = |collection: &str| format!("SELECT _id, _doc FROM shop.{collection} ORDER BY _id");
    assert_eq!(json!(client.rows(&of("orders")).await), json!([["a", document], ["victim", "{}"]]));
    let exported = client.get("/v1/shop/orders/export", &[]).await.body;
    let headers = [("content-type", "application/x-ndjson")];
    let _done = client.post("/v1/shop/copy/changes", exported, &headers).await.ok();
    let on_one_line = document.replace('\n', " ");
    assert_eq!(json!(client.rows(&of("copy")).await), json!([["a", on_one_line], ["victim", "{}"]]));
}

/// Documents of the past stream through a comparison, whichever side has more: of 100 MB of them nothing is held that
/// a budget of 64 MiB would not hold.
#[tokio::test]
async fn a_comparison_holds_no_documents() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("tidemark.toml"), "[query]\nquery_memory_bytes = 67108864\n").unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let text = "x".repeat(2500);
    for from in (0..40_000).step_by(4000) {
        let changes: Vec<Value> = (from..from + 4000)
            .map(|n| json!({"op": "insert", "id": format!("k{n:06}"), "doc": {"a": text, "n": n}}))
            .collect();
        client.changes("shop/orders", &json!(changes)).await;
    }
    let _kept = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "early"})).await.ok();
    for from in (0..44_000).step_by(4000) {
        let changes: Vec<Value> =
            (from..from + 4000).map(|n| json!({"op": "update", "id": format!("k{n:06}"), "doc": {}})).collect();
        client.changes("shop/orders", &json!(changes)).await;
    }
    let _kept = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "late"})).await.ok();
    let wanted = json!({"snapshot": "early", "dry_run": true});
    let found = client.post_json("/v1/shop/orders/restore", &wanted).await.ok();
    assert_eq!((&found["changed"], &found["removed"]), (&json!(40_000), &json!(4_000)));
}
