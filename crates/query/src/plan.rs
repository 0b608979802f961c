//! From a parsed statement to a physical plan.
//!
//! 1. [`session`]: the engine's settings, functions and store, made once; a state of its own per statement.
//! 2. [`names`]: which table of the lake a name means.
//! 3. [`instant`]: the expression of a time clause → an instant.
//! 4. [`question`]: what a clause, a function or the session asks of a table → instants.
//! 5. [`bind`]: every table of the statement → a view and its instants, fixed before planning.
//! 6. [`relation`]: the planner of relations, which knows the bound tables and nothing else.
//! 7. [`metadata`]: what the catalog shows to `information_schema`, `SHOW` and `DESCRIBE`; no I/O.
//! 8. [`setting`]: settings of a session, folded and shown. [`changed`]: the function that a diff needs. [`json`]: what
//!    reads JSON text.
//! 9. [`postgres`]: the schema `pg_catalog`, and the functions that PostgreSQL's clients call.
//! 10. [`shape`]: the columns an answer will have, exactly. [`parameter`]: the types of parameters, before they are bound.
//!     [`type_of`]: the function that tells types.
//!     [`zoned`]: functions of the engine that lose the zone; [`capped`]: those that may make much out of little.
//! 11. [`extent`]: how large a plan may be, and that joins let others work. [`computed`] and [`windows`]: that sorts and
//!     windows stay within the memory of their statement.

pub(crate) mod bind;
pub(crate) mod capped;
pub(crate) mod changed;
pub(crate) mod computed;
pub(crate) mod extent;
pub(crate) mod instant;
pub(crate) mod json;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod parameter;
pub(crate) mod postgres;
pub(crate) mod question;
pub(crate) mod relation;
pub(crate) mod session;
pub(crate) mod setting;
pub(crate) mod shape;
pub(crate) mod type_of;
pub(crate) mod windows;
pub(crate) mod zoned;
