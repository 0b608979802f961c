//! SIGKILL of the real binary under load, over and over, on one folder.
//!
//! Senders post batches with keys: events, and changes of documents. One more connection stands in the middle of a body
//! all the time. At a random moment the server is killed and started again. Then:
//!
//! - every acknowledged batch is there, each of its events once;
//! - every batch whose answer never came is there whole or not at all, and its retry under the same key settles it;
//! - every instant that was asked before answers as before.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tidemark_tests::{
    chance::Chance,
    client::{Client, Reply, Rows},
    remarks,
    server::Server,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

/// Kills of one run, unless `TIDEMARK_KILLS` says another number.
const KILLS: usize = 50;
/// Senders at once.
const SENDERS: usize = 4;
/// Records of a batch.
const BATCH: usize = 20;
/// Documents that changes are about: few, so that they replace each other.
const DOCUMENTS: usize = 50;
/// The longest time under load before a kill.
const LOAD_MAX_MS: u64 = 300;

/// What is known of a batch.
#[derive(Debug, Clone)]
enum Fate {
    Unknown,
    Acknowledged(Value),
}

#[derive(Debug, Default)]
struct Book {
    next: AtomicUsize,
    fates: Mutex<BTreeMap<usize, Fate>>,
}

impl Book {
    fn set(&self, batch: usize, fate: Fate) {
        self.fates.lock().unwrap().insert(batch, fate);
    }

    fn all(&self) -> BTreeMap<usize, Fate> {
        self.fates.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let kills = remarks::variable("TIDEMARK_KILLS").map_or(KILLS, |number| number.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let (chance, book) = (Chance::seeded(7), Arc::new(Book::default()));
    let mut server = Server::start(home.path()).await;
    let mut probes: Vec<(String, Rows)> = Vec::new();
    let (mut unknown, mut torn) = (0, 0);
    for kill in 1..=kills {
        let mut work = JoinSet::new();
        (0..SENDERS).for_each(|_| drop(work.spawn(send_until_gone(server.client(), Arc::clone(&book)))));
        let half = half_a_body(&server).await;
        tokio::time::sleep(Duration::from_millis(5 + chance.below(LOAD_MAX_MS))).await;
        server.kill().await;
        drop(half);
        work.join_all().await;
        server.restart().await;

        let client = server.client();
        let (lost, whole) = settle(&client, &book).await;
        unknown += lost + whole;
        torn += lost;
        for (sql, before) in &probes {
            assert_eq!(&client.rows(sql).await, before, "kill {kill}: {sql}");
        }
        if let Some(probe) = probe(&client, &book, &chance).await {
            probes.push(probe);
        }
        if probes.len() > 12 {
            probes.swap_remove(chance.index(12));
        }
    }
    let batches = book.all().len();
    assert!(batches > kills, "the load was too small: {batches} batches");
    remarks::remark(&format!(
        "{kills} kills under load: {batches} batches, {unknown} of them without an answer ({torn} of these not stored), all once"
    ));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

fn path(batch: usize) -> &'static str {
    if batch.is_multiple_of(2) { "/v1/kill/events" } else { "/v1/kill/docs/changes" }
}

/// Events carry their batch in `subject`; changes in the document.
fn body(batch: usize) -> String {
    let record = |n: usize| {
        let id = format!("b{batch}-{n}");
        if batch.is_multiple_of(2) {
            json!({"type": "load", "id": id, "subject": format!("b{batch}"), "data": {"n": n}})
        } else {
            let key = (batch * 7 + n) % DOCUMENTS;
            json!({"op": "update", "id": format!("d{key}"), "event_id": id, "doc": {"batch": batch, "n": n}})
        }
    };
    (0..BATCH).map(|n| record(n).to_string()).collect::<Vec<_>>().join("\n")
}

async fn post(client: &Client, batch: usize) -> Option<Reply> {
    let key = format!("batch-{batch}");
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key.as_str())];
    client.try_post(path(batch), body(batch), &headers).await.ok()
}

async fn send_until_gone(client: Client, book: Arc<Book>) {
    loop {
        let batch = book.next.fetch_add(1, Ordering::SeqCst);
        book.set(batch, Fate::Unknown);
        let Some(reply) = post(&client, batch).await else { return };
        book.set(batch, Fate::Acknowledged(reply.ok()));
    }
}

/// A request whose second half never comes.
async fn half_a_body(server: &Server) -> TcpStream {
    let text = body(0).replace("b0", "half");
    let head = format!(
        "POST /v1/kill/events HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        server.http(),
        text.len()
    );
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&text.as_bytes()[..text.len() / 2]).await.unwrap();
    stream
}

/// How many records of every batch are stored, and how many different ids they have. Of a change the event's id tells.
async fn stored(client: &Client) -> BTreeMap<usize, (i64, i64)> {
    let sql =
        "SELECT split_part(id, '-', 1) AS batch, count(*) AS n, count(DISTINCT id) AS ids FROM kill.events GROUP BY 1";
    let reply = client.query(sql, &[]).await;
    if reply.status == 404 {
        return BTreeMap::new();
    }
    let answer = reply.ok();
    let rows = answer["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        let batch = row[0].as_str().and_then(|text| text.strip_prefix('b')?.parse().ok());
        let batch = batch.unwrap_or_else(|| panic!("part of a request without an end was stored: {row}"));
        (batch, (row[1].as_i64().unwrap(), row[2].as_i64().unwrap()))
    })
    .collect()
}

/// Checks every batch against what is stored, then retries the unknown ones: (not stored, stored).
async fn settle(client: &Client, book: &Book) -> (usize, usize) {
    let stored = stored(client).await;
    let once = i64::try_from(BATCH).unwrap();
    let (mut lost, mut whole) = (0, 0);
    for (batch, fate) in book.all() {
        match (&fate, stored.get(&batch)) {
            (Fate::Acknowledged(_), Some(found)) => {
                assert_eq!(*found, (once, once), "batch {batch} is doubled or torn")
            }
            (Fate::Acknowledged(receipt), None) => panic!("batch {batch} is lost: {receipt}"),
            (Fate::Unknown, found) => {
                assert!(found.is_none_or(|found| *found == (once, once)), "batch {batch} is torn: {found:?}");
                if found.is_some() {
                    whole += 1
                } else {
                    lost += 1
                }
                let receipt = post(client, batch).await.expect("the server runs").ok();
                assert_eq!(receipt["duplicate"] == json!(true), found.is_some(), "batch {batch}: {receipt}");
                book.set(batch, Fate::Acknowledged(receipt));
            }
        }
    }
    (lost, whole)
}

/// A question about an instant that was acknowledged, with its answer.
async fn probe(client: &Client, book: &Book, chance: &Chance) -> Option<(String, Rows)> {
    let receipts = book.all().into_iter().filter(|(batch, _)| !batch.is_multiple_of(2));
    let receipts: Vec<_> =
        receipts.filter_map(|(_, fate)| if let Fate::Acknowledged(it) = fate { Some(it) } else { None }).collect();
    let at = chance.pick(&receipts)?["system_time"].as_str()?.to_owned();
    let sql = format!("SELECT _id, batch, n FROM kill.docs FOR SYSTEM_TIME AS OF TIMESTAMP '{at}' ORDER BY _id");
    let rows = client.rows(&sql).await;
    assert!(!rows.is_empty(), "{sql}");
    Some((sql, rows))
}
