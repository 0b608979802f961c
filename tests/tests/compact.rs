//! Compaction in the real binary: readers in a loop never see a row twice or not at all; and what clean-up leaves.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant as Moment},
};

use tidemark_tests::{
    aged,
    client::Client,
    remarks,
    server::{Options, Server, binary},
};

/// Events files of the lake, three in every hour: eight days.
const FILES: u64 = 576;
/// Plain events of every file, and as many changes.
const OF_EACH: u64 = 5;
const ROWS: u64 = FILES * OF_EACH;
/// A compacted file takes so many bytes: a handful of files, so that it takes many commits.
const COMPACT_BYTES: &str = "40000";
/// How long compaction, or clean-up, may take.
const WITHIN: Duration = Duration::from_secs(120);
const READERS: usize = 2;

fn options() -> Options {
    Options::default()
        .variable("TIDEMARK_INGEST__COMPACT_BYTES", COMPACT_BYTES)
        .variable("TIDEMARK_PUBLISH__ENABLED", "false")
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_every_row_once_while_files_are_put_together() {
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap();
    let folder = home.path().to_owned();
    tokio::task::spawn_blocking(move || aged::write(&folder, FILES, OF_EACH)).await.unwrap();
    let before = on_disk(home.path());
    assert_eq!(before as u64, FILES);

    let mut server = Server::start_with(home.path(), options()).await;
    let asked = read_while(&server.client()).await;
    let files = server.client().number(FILES_NOW).await;
    assert!(files > 0 && files < i64::try_from(FILES / 3).unwrap(), "{files} files");
    assert!(on_disk(home.path()) > before, "nothing goes before the grace");
    assert!(server.stop().await.success());

    // While nobody reads, no grace is needed.
    let folder = home.path().to_owned();
    tokio::task::spawn_blocking(move || aged::clean_up(&folder)).await.unwrap();
    server = Server::start_with(home.path(), options()).await;
    every_row_once(&server.client()).await;
    let files = server.client().number(FILES_NOW).await;
    assert_eq!(on_disk(home.path()), usize::try_from(files).unwrap(), "files that no manifest names");
    assert!(server.stop().await.success());
    assert!(!server.log().contains("panicked"));
    let verified =
        std::process::Command::new(binary()).arg("verify").arg("--data").arg(home.path().join("data")).output();
    let verified = verified.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    remarks::remark(&format!(
        "{FILES} events files became {files} under {asked} questions, each row once in every answer"
    ));
}

const FILES_NOW: &str = "SELECT count(*) FROM shop.\"events$files\" WHERE kind = 'events'";

/// Asks over and over until nothing is left to compact; how often was asked.
async fn read_while(client: &Client) -> u64 {
    let asked = AtomicU64::new(0);
    let (begun, is_over) = (Moment::now(), AtomicU64::new(0));
    let reader = async || {
        while is_over.load(Ordering::SeqCst) == 0 {
            every_row_once(client).await;
            asked.fetch_add(1, Ordering::SeqCst);
        }
    };
    let watch = async {
        while !is_done(client).await {
            assert!(begun.elapsed() < WITHIN, "compaction is never done");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        is_over.store(1, Ordering::SeqCst);
    };
    let readers = futures::future::join_all((0..READERS).map(|_| reader()));
    tokio::join!(readers, watch);
    asked.into_inner()
}

/// The events now and as of the middle, and the collection.
async fn every_row_once(client: &Client) {
    let all = "SELECT count(*), count(DISTINCT id), sum(CAST(data->>'n' AS BIGINT)) FROM shop.events";
    let numbers = i64::try_from(ROWS * (ROWS - 1)).unwrap();
    let rows = i64::try_from(ROWS * 2).unwrap();
    assert_eq!(client.rows(all).await, [[rows, rows, numbers].map(serde_json::Value::from)]);
    // Every third file ends an hour.
    let half = "SELECT count(*) FROM shop.events FOR SYSTEM_TIME AS OF TIMESTAMP '2025-01-05T00:00:00Z'";
    assert_eq!(client.number(half).await, rows / 2);
    assert_eq!(client.number("SELECT count(*) FROM shop.orders").await, rows / 2);
}

/// Whether the job has said that nothing is left.
async fn is_done(client: &Client) -> bool {
    let metrics = client.get("/metrics", &[]).await.text();
    let ticks = "tidemark_job_ticks_total{outcome=\"done\",task=\"compaction\"} ";
    metrics.lines().filter_map(|line| line.strip_prefix(ticks)).any(|count| count != "0")
}

/// Events files in the folder, named or not.
fn on_disk(home: &Path) -> usize {
    fn files(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| {
                if path.is_dir() {
                    files(&path)
                } else {
                    usize::from(path.extension().is_some_and(|it| it == "parquet"))
                }
            })
            .sum()
    }
    files(&home.join("data/lake/shop/events/2025"))
}
