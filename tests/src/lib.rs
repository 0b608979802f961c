//! The harness: what tests from outside and from inside stand on.
//!
//! From outside, through the doors of the real binary:
//! 1. [`server`]: starts it on free ports over a folder, waits until it serves, kills it, starts it again.
//! 2. [`client`]: speaks HTTP to it: sends changes and events, asks SQL, reads problem documents. [`bucket`]: a store that lies.
//!
//! From inside, with clock and chance in our hands:
//! 3. [`oracle`]: the list of acknowledged changes, and the fold of time.md, section 2, taken literally.
//! 4. [`history`]: random histories: what is sent, and what is remembered of it.
//! 5. [`lake`]: the rooms of one process over bytes that outlive it; [`halting`]: a store that stops at a chosen write.
//! 6. [`asked`]: questions in SQL, and answers as rows of text.
//! 7. [`aged`]: a lake of long ago, for servers that begin with one.
//! 8. [`linear`]: whether what many clients saw at once has one order. [`seeds`]: many seeds of one test.
//!
//! And besides: [`chance`] (a seeded generator), [`remarks`] (what a run wants to tell people), [`scenario`] (SQL as text),
//! [`examples`] (documents whose examples are run).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot go on fails the test that uses it"
)]

pub mod aged;
pub mod asked;
pub mod bucket;
pub mod chance;
pub mod client;
pub mod examples;
pub mod halting;
pub mod history;
pub mod lake;
pub mod linear;
pub mod oracle;
pub mod remarks;
pub mod scenario;
pub mod seeds;
pub mod server;
