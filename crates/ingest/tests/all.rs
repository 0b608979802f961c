//! The room through its doors: HTTP in, log, tail and files out.

#![allow(clippy::expect_used, clippy::panic, reason = "tests; clippy knows only functions marked as such")]

#[path = "all/bed.rs"]
mod bed;

#[path = "all/arrow_streams.rs"]
mod arrow_streams;
#[path = "all/bad_input.rs"]
mod bad_input;
#[path = "all/bounds.rs"]
mod bounds;
#[path = "all/cloud_events.rs"]
mod cloud_events;
#[path = "all/compact.rs"]
mod compact;
#[path = "all/cost.rs"]
mod cost;
#[path = "all/declared.rs"]
mod declared;
#[path = "all/dedup.rs"]
mod dedup;
#[path = "all/envelopes.rs"]
mod envelopes;
#[path = "all/flaky.rs"]
mod flaky;
#[path = "all/flush.rs"]
mod flush;
#[path = "all/logs.rs"]
mod logs;
#[path = "all/producers.rs"]
mod producers;
#[path = "all/receipts.rs"]
mod receipts;
#[path = "all/rejected.rs"]
mod rejected;
#[path = "all/schema.rs"]
mod schema;
#[path = "all/tail.rs"]
mod tail;
#[path = "all/trouble.rs"]
mod trouble;
