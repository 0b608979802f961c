//! What crosses a wire: problem documents of HTTP, and `tidemark.v1` messages.

pub mod problem;

pub use problem::Problem;
