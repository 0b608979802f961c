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
//! 4. `snapshot`: the state exactly as of an instant, of days, of months and by name.
//! 5. `checkpoint`: states bounded in source time, for questions on that axis.
//! 6. `rollup`: small deltas into larger ones with narrow ranges of source time. `retention`: what lies beyond the history
//!    window goes.
//! 7. [`retain`]: which older bases stay within a budget of bytes, so that no instant is far from one.
//! 8. `cleanup`: files that no manifest names any more, and manifests long past.
//! 9. [`config`], [`error`], `metrics`, [`point`] (where tests let it die).

mod checkpoint;
mod cleanup;
pub mod config;
mod delta;
pub mod error;
mod fold;
mod job;
mod metrics;
pub mod point;
mod ranges;
pub mod retain;
mod retention;
mod rollup;
pub mod room;
mod snapshot;

pub use config::Config;
pub use error::Error;
pub use room::{Cdc, CleanedUp, Compacted, Deps, Duty, Mode, More};
