//! The sync itself. A kill leaves the page cache alive, so it proves nothing about `fdatasync`; here strace makes every
//! `fdatasync` from the N-th on fail, and then:
//!
//! - no request may be acknowledged whose sync failed: with one request at a time, at most N−1 are;
//! - the process ends by itself, and never tries a sync again;
//! - after a start, everything acknowledged is there, what was unknown 0 or 1 times.
//!
//! What a power cut leaves is tested in the storage crate, on a simulated disk that drops what was not synced.

use std::{ffi::OsString, process::Command};

use serde_json::json;
use tidemark_tests::{
    remarks,
    server::{Options, Server},
};

/// Which `fdatasync` is the first to fail. A start without an append takes fewer than the least of them.
const FAILS_FROM: [usize; 3] = [6, 15, 40];

fn tracer(fails_from: usize) -> Vec<OsString> {
    let inject = format!("inject=fdatasync:error=EIO:when={fails_from}+");
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject].map(OsString::from).into()
}

/// Whether a tracer is there and may trace.
fn can_trace() -> Result<(), String> {
    let tried = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    match tried {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        Err(error) => Err(format!("strace: {error}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_leaves_before_its_sync_and_a_failed_sync_ends_the_process() {
    if let Err(reason) = can_trace() {
        return remarks::skipped("sync", &reason);
    }
    let mut told = Vec::new();
    for fails_from in FAILS_FROM {
        let home = tempfile::tempdir().unwrap();
        let mut server =
            Server::start_with(home.path(), Options { under: tracer(fails_from), ..Options::default() }).await;
        let acknowledged = send_until_refused(&server).await;
        assert!(
            acknowledged < fails_from,
            "{acknowledged} acks, but every fdatasync from number {fails_from} on failed"
        );
        assert!(!server.ended().await.success(), "a log that cannot sync must end the process");
        server.restart_alone().await;
        let client = server.client();
        let stored = if acknowledged == 0 && client.query("SELECT 1 FROM shop.events", &[]).await.status == 404 {
            0
        } else {
            client.number("SELECT count(DISTINCT id) FROM shop.events").await
        };
        let stored = usize::try_from(stored).unwrap();
        assert!((acknowledged..=acknowledged + 1).contains(&stored), "{acknowledged} acknowledged, {stored} stored");
        assert!(!server.log().contains("panicked"), "{}", server.log());
        told.push(format!("{acknowledged} acks before a sync failed at {fails_from}"));
    }
    remarks::remark(&format!("sync: {}", told.join(", ")));
}

/// One request at a time; how many were acknowledged before one was not.
async fn send_until_refused(server: &Server) -> usize {
    let client = server.client();
    for n in 0.. {
        let event = json!({"type": "order.placed", "id": format!("e{n}")}).to_string();
        let reply = client.try_post("/v1/shop/events", event, &[("content-type", "application/json")]).await;
        if reply.is_ok_and(|reply| reply.status == 200) {
            assert!(n < 1000, "no sync ever failed");
            continue;
        }
        return n;
    }
    0
}
