//! The one kernel that decides which change wins. Arrow only: no I/O, no async, no plan.
//!
//! `cdc` folds states with it and `query` builds overlays with it, so both answer alike. Read in this order:
//!
//! 1. [`columns`]: the columns of events, changes, states and tombstones, and their Arrow schemas.
//! 2. [`mod@derive`]: change events → changes: the document becomes typed columns.
//! 3. [`conform`]: a batch written under an older schema → the same rows under a newer one.
//! 4. [`winner`]: changes → the winner of every key, sorted by key; first keys and order alone, rows later.
//! 5. [`shadow`]: winners against a base: which of them stand, which base rows they hide.
//! 6. [`mod@versions`]: changes → version rows: which change held when, on both clocks; [`mod@rest`]: of changes those that a
//!    base does not hold.
//! 7. [`sort`] and [`merge`]: the order of delta files, and a base file with its overlay worked in. [`runs`]: stretches of
//!    rows of several batches as one.
//!
//! `order` is what they share: key and order columns as slices, and the comparison of two changes.

pub mod columns;
pub mod conform;
pub mod derive;
pub mod merge;
mod order;
pub mod rest;
#[cfg(test)]
mod rows;
pub mod runs;
pub mod shadow;
pub mod sort;
pub mod versions;
pub mod winner;

/// What went wrong in a kernel: a batch that has not the columns it should have.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A column is missing or has another type than [`columns`] says.
    #[error("column {0:?} is missing or has another type")]
    Column(&'static str),
    /// A document that is not a JSON object: no door lets one pass, so the row is damaged.
    #[error("the document of change {seq} is not a JSON object")]
    Document {
        /// Its sequence.
        seq: i64,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A column that would have to become narrower.
    #[error("column {column:?} cannot become {to} from {from}: columns only widen")]
    Narrower {
        /// Its name.
        column: String,
        /// The type it has.
        from: arrow::datatypes::DataType,
        /// The type that was wanted.
        to: arrow::datatypes::DataType,
    },
    /// An Arrow kernel failed.
    #[error("an arrow kernel failed")]
    Arrow(#[from] arrow::error::ArrowError),
}
