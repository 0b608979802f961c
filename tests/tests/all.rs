//! The integration tests, in one binary: linking is most of what they cost.
//!
//! - [`dropping`]: what is dropped comes back, what is erased is gone, and its name begins anew; a death anywhere in between.
//! - [`doors`]: health, metrics, guards, drain.
//! - [`bad_input`]: every refusal with its status, and nothing stored partly.
//! - [`compact`]: readers see every row once while events files are put together and deleted. [`compact_now`]: when asked for.
//! - [`export`]: what went out comes in again and is equal; Parquet.
//! - [`full_disk`]: a medium without space refuses, answers on, and recovers.
//! - [`kill`]: SIGKILL under load, over and over: every acknowledged event once, the same answers.
//! - [`linear`]: what many clients see at once has one order, whatever dies meanwhile.
//! - [`oracle`]: random histories with crashes in between answer like a fold of thirty lines.
//! - [`points`]: a death at every named point of the work behind the doors.
//! - [`protocol`]: the commit protocol and the take-over, every order of requests within bounds.
//! - [`quiet`]: days and months without a change.
//! - [`retention`]: how long the past is kept, said over the doors.
//! - [`restore`]: a collection becomes again what it was, and the past stays.
//! - [`store_check`]: a start on a store that lies is refused.
//! - [`truncate`]: a source truncates a table.
//! - [`sync`]: no reply leaves before its sync; a sync that fails ends the process.
//! - [`scenarios`]: SQL as text, through the real binary.
//! - [`documents`]: examples of README and docs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bad_input;
mod compact;
mod compact_now;
mod documents;
mod doors;
mod dropping;
mod export;
mod full_disk;
mod kill;
mod linear;
mod oracle;
mod points;
mod protocol;
mod quiet;
mod restore;
mod retention;
mod scenarios;
mod store_check;
mod sync;
mod truncate;
