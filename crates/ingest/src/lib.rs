//! Room 1: what clients send becomes durable, visible at once, and in the end a file of the events table.
//!
//! Data walks one line, and so do the modules:
//!
//! 1. [`http`] and `door`: routes, headers, body limits; [`grpc`]: the same over gRPC. [`request`]: what goes in.
//! 2. `prepare`: `inflate` → `transcode` → `parse` → `fields` → `envelope` → `row` → `columns` → `batch`: bytes become valid rows,
//!    each record read once; what is wrong with one is a `refusal`.
//!    `declared`: documents of a collection with a declared schema must fit it. `rejected`: of what was refused while the rest
//!    was taken is kept why.
//! 3. `dedup`: keys and event ids are claimed; the same request, the same event is stored once.
//! 4. `append`: `observe` which kinds of values came, `admission` evolves schemas under the log's lock, the log makes it
//!    durable, `visible` moves it into the `tail`, and only then the [`receipt`] goes out.
//!    `sequence`: a producer's requests are stored once and in order.
//!    `bulk`: rows that come as Arrow over Flight are appended in parts.
//!    `truncate`: a request whose source deletes all documents at once is stored in parts.
//! 5. `flush`: tails become files, sidecars (`sidecar`) and one commit.
//! 6. `replay`: at start the log comes back into the tails.
//! 7. [`upkeep`]: `compact`: small files become few; and files that nothing names any more go. `standing`: what is dropped is
//!    not added to, and what is erased begins anew. `maintenance`: nothing is added to anything. [`point`]: where tests let it die.
//!
//! `RawBatch → Prepared → ValidBatch → LogBatch → Receipt`: an unvalidated batch cannot be logged, an unlogged one not be
//! acknowledged. [`front`] is the handle, [`tasks`] what runs behind it, `budget` what bounds it, [`config`] its settings.

mod admission;
mod append;
mod batch;
mod budget;
mod bulk;
mod columns;
mod compact;
pub mod config;
mod declared;
mod dedup;
mod door;
mod envelope;
pub mod error;
mod fields;
mod flush;
pub mod front;
pub mod grpc;
mod hash;
pub mod http;
mod inflate;
mod maintenance;
mod metrics;
mod named;
mod observe;
mod parse;
pub mod point;
mod prepare;
pub mod receipt;
pub mod refusal;
mod rejected;
mod replay;
pub mod request;
mod row;
mod schema_http;
pub mod sequence;
mod sidecar;
mod standing;
mod tail;
pub mod tasks;
mod transcode;
mod truncate;
pub mod upkeep;
mod visible;

pub use compact::Compacted;
pub use config::Config;
pub use error::Error;
pub use front::{Deps, Ingest};
pub use receipt::Receipt;
pub use request::{
    Durability, Encoding, Format, OnError, Origin, RawBatch, Reading, Request, Sequenced, Target, Tombstones,
};
pub use tasks::Tasks;
pub use upkeep::{Duty, More};
