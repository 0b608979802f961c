//! The nouns of Tidemark: what every room means when it says *event*, *change*, *position* or *instant*.
//!
//! No I/O, no async, no Arrow: everything here is a value. Rooms parse untrusted text into these types at
//! their doors and trust them from then on. Read in this order:
//!
//! 1. [`name`]: namespaces, collections, event types — parsed once, never wrong afterwards.
//! 2. [`instant`]: microseconds of UTC, the only resolution of time; [`calendar`]: hours, days, months.
//! 3. [`position`]: shards, sequences, marks — where something stands in the log.
//! 4. [`change`]: operations and the order key that decides which change wins.
//! 5. [`json`]: number texts, value kinds and depth — how a document is looked at without losing a digit.
//! 6. [`schema`]: the typed columns of a collection, how they widen, and which there were when.
//! 7. [`declared`]: what somebody said that documents must look like; [`retention`]: how long their past is kept;
//!    [`standing`]: whether they are there, dropped, or erased.
//! 8. [`clock`] and [`ids`]: time and chance, always passed in.
//! 9. [`principal`]: who asks, and what they may; [`token`]: what they come with, as it is kept. [`rejected`]: what was refused
//!    and is kept.
//! 10. [`error`]: the twelve kinds every error is told as, and their one table to HTTP, gRPC and SQLSTATE. [`hex`]: bytes as
//!     digits.

pub mod calendar;
pub mod change;
pub mod clock;
pub mod declared;
pub mod error;
pub mod hex;
pub mod ids;
pub mod instant;
pub mod json;
pub mod name;
pub mod position;
pub mod principal;
pub mod rejected;
pub mod retention;
pub mod schema;
pub mod standing;
pub mod token;

pub use change::{Op, OrderKey};
pub use clock::Clock;
pub use error::Kind;
pub use ids::Ids;
pub use instant::Instant;
pub use name::{CollectionName, EventType, Namespace, Table};
pub use position::{Mark, Positions, Seq, Shard};
pub use principal::{Denied, Principal, Reach, Scope};
pub use rejected::Rejected;
pub use retention::Retention;
pub use schema::{DocSchema, FieldType};
pub use standing::{Standing, Stood};
pub use token::Token;
