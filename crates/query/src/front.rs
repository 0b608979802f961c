//! The room's front: settings, parts, verbs.

use std::sync::Arc;

use tidemark_catalog::{Catalog, LiveTail};
use tidemark_model::Clock;

use crate::{Answer, Description, Error, Statement, TableInfo};

/// Settings of the room.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most bytes one query may hold. Default 1 GiB.
    pub query_memory_bytes: usize,
    /// Most bytes all queries may hold together. Default 4 GiB; the server sets half of the machine.
    pub pool_memory_bytes: usize,
    /// Seconds a query may run. Default 60.
    pub timeout_s: u64,
    /// Queries at once. Default 16.
    pub concurrency: usize,
    /// Queries that may wait for a place. Default 64.
    pub queue: usize,
    /// Bytes of SQL text. Default 64 KiB.
    pub text_bytes_max: usize,
    /// Tokens of SQL text. Default 10,000.
    pub tokens_max: usize,
    /// Nesting of parentheses and expressions. Default 64.
    pub depth_max: usize,
    /// Bytes of cached overlays and key columns. Default 512 MiB.
    pub cache_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            query_memory_bytes: 1 << 30,
            pool_memory_bytes: 4 << 30,
            timeout_s: 60,
            concurrency: 16,
            queue: 64,
            text_bytes_max: 64 << 10,
            tokens_max: 10_000,
            depth_max: 64,
            cache_bytes: 512 << 20,
        }
    }
}

/// What the room is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Who exists, and the manifests.
    pub catalog: Catalog,
    /// Durable rows that are in no file yet.
    pub live: Arc<dyn LiveTail>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
}

/// The handle of the room. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Query {}

impl Query {
    /// Opens the room.
    ///
    /// # Errors
    /// [`Error::Internal`] when the runtime of the engine cannot be made.
    pub fn open(config: Config, deps: Deps) -> Result<Self, Error> {
        let _ = (config, deps);
        todo!()
    }

    /// Plans a statement without running it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn describe(&self, statement: &Statement) -> Result<Description, Error> {
        let _ = statement;
        todo!()
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// [`Error`]; failures later than planning come as errors of the stream.
    pub async fn run(&self, statement: &Statement) -> Result<Answer, Error> {
        let _ = statement;
        todo!()
    }

    /// Every table that can be asked, ordered by schema and name.
    #[must_use]
    pub fn tables(&self) -> Vec<TableInfo> {
        todo!()
    }
}
