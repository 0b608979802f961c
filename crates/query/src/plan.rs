//! From a parsed statement to a physical plan.
//!
//! 1. [`session`]: the engine's settings, functions and store, made once; a state of its own per statement.
//! 2. [`names`]: which table of the lake a name means.
//! 3. [`instant`]: the expression of a time clause → an instant.
//! 4. [`bind`]: every table of the statement → a view and its instants, fixed before planning.
//! 5. [`relation`]: the planner of relations, which knows the bound tables and nothing else.
//! 6. [`metadata`]: what the catalog shows to `information_schema`, `SHOW` and `DESCRIBE`; no I/O.
//! 7. [`shape`]: the columns an answer will have, exactly.

pub(crate) mod bind;
pub(crate) mod instant;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod relation;
pub(crate) mod session;
pub(crate) mod shape;
