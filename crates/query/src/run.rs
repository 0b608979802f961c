//! Running statements within limits.
//!
//! 1. [`gate`]: so many at once, so many waiting, the rest is told to come again.
//! 2. [`threads`]: threads of the engine's own, with deep stacks; the doors' threads never plan or compute.
//! 3. [`budget`]: the memory of one statement and of all together.
//! 4. [`log`](mod@log): which statements run, and which have ended.
//! 5. [`answer`]: the rows on their way out; dropping them ends the statement.

pub(crate) mod answer;
pub(crate) mod budget;
pub(crate) mod gate;
pub(crate) mod log;
pub(crate) mod threads;
