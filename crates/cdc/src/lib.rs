//! Room 2: changes of the events table become deltas and states, so that reading a collection is cheap.
//!
//! The room never decides what is true: a collection reads the same before and after everything done here, only
//! faster. It reads `{ns}.events`, owns `{ns}.{collection}`, and leaves the rest to the tables. Work comes in steps of
//! *pick* (manifests → plan, pure), *write* (plan → files) and *publish* (one commit); a crash in between leaves files
//! that nothing refers to, and a lost commit is planned again.
//!
//! 1. [`room`]: the front: what ticks, what settles, and in which order the steps go.
//! 2. `delta`: change events after a collection's mark → delta files, sorted by (`_id`, order descending); files and mark
//!    move in one commit.
//! 3. `fold`: a base and the deltas after its mark → the next base: state parts and tombstones.
//! 4. [`retain`]: which older bases stay within a budget of bytes, so that no instant is far from one.
//! 5. [`config`], [`error`], `metrics`.

pub mod config;
mod delta;
pub mod error;
mod fold;
mod job;
mod metrics;
mod ranges;
pub mod retain;
pub mod room;

pub use config::Config;
pub use error::Error;
pub use room::{Cdc, Deps, More};
