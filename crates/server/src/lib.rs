//! The `tidemark` binary as a library: the only crate that reads the environment, opens ports and installs the
//! subscriber of logs.
//!
//! 1. [`cli`] and [`command`]: what can be typed, and what it does.
//! 2. [`config`]: settings from flags, environment and file.
//! 3. [`server`]: a whole server in one value; [`wiring`] says which room gets what, [`schedule`] which job ticks when.
//!    [`fitness`]: whether the store can be trusted at all; `lease`: whose turn it is to own the lake; `standby`: what is
//!    answered meanwhile.
//! 4. [`ports`] accept connections; [`doors`] puts the layers of every request around the rooms; [`guard`] says who
//!    may ask, [`authority`] who they are, [`limits`] how much in a minute; [`health`] and [`metrics`] say how it is going; [`telemetry`] writes logs;
//!    [`openapi`] describes the HTTP port.
//! 5. [`snapshots`]: the routes that take, list and drop snapshots; [`restore`] goes back to one, or to an instant.
//!    [`documents`]: which documents live, for truncates.
//!    [`retention`]: how long the past is kept. [`dropping`]: what is to be there no more. [`publishing`]: the route that publishes tables. [`compaction`]: the one that
//!    makes few files of many. `reply`: how these routes read and answer. [`tokens`]: those that make and revoke tokens;
//!    [`audit`]: who did what. [`maintenance`]: whether anything is taken in. [`reload`]: settings that change meanwhile.
//!    [`administration`] is what several doors do alike; [`catalog`] is gRPC's catalog service.
//! 6. [`client`] talks to a running server; [`statements`] and [`table`] are the prompt's reading and writing.
//! 7. [`doctor`] looks at all that a server stands on. [`shutdown`]: how it ends. [`clock`]: where time and chance come in.

pub mod access;
pub mod administration;
pub mod audit;
pub mod authority;
pub mod catalog;
pub mod claim;
pub mod cli;
pub mod client;
pub mod clock;
pub mod command;
pub mod compaction;
pub mod config;
pub mod doctor;
pub mod documents;
pub mod doors;
pub mod dropping;
pub mod fitness;
pub mod guard;
pub mod health;
mod lease;
pub mod limits;
mod machine;
pub mod maintenance;
pub mod metrics;
pub mod openapi;
pub mod ports;
#[cfg(feature = "postgres")]
mod postgres;
pub mod publishing;
pub mod reload;
mod reply;
pub mod restore;
pub mod retention;
pub mod schedule;
pub mod server;
pub mod shutdown;
pub mod snapshots;
mod standby;
pub mod statements;
pub mod table;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod wiring;

pub use config::{Environment, Settings};
pub use server::Server;
