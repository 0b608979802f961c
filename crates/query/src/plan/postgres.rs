//! The schema `pg_catalog`: the lake as PostgreSQL's clients look at it, and the functions that they call.
//!
//! Made of what the catalog knows in memory, for whoever asks, when a statement names it; what the lake does not have
//! (indexes, constraints, triggers …) are tables without rows. `information_schema` does not list it.
//!
//! 1. [`columns`]: which tables there are. 2. [`objects`]: namespaces and tables with their OIDs. 3. [`tables`]: rows.
//! 4. [`functions`]. 5. [`pgtype`] and [`settings`]: what values travel as, and what is set.

pub(crate) mod columns;
pub(crate) mod functions;
pub(crate) mod objects;
pub(crate) mod pgtype;
pub(crate) mod rows;
pub(crate) mod settings;
pub(crate) mod tables;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    common::Result,
    datasource::MemTable,
};

use super::names::Seen;

/// Its name.
pub(crate) const SCHEMA: &str = "pg_catalog";
/// Who owns everything, and whoever asks.
pub(crate) const OWNER: &str = "tidemark";

/// The schema as somebody sees it.
#[derive(Debug)]
pub(crate) struct PgCatalog(pub(crate) Seen);

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        columns::names().map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(schema) = columns::of(name).map(rows::schema) else { return Ok(None) };
        let batch = rows::batch(&schema, &tables::rows(name, &self.0))?;
        Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        columns::of(name).is_some()
    }
}

#[cfg(test)]
mod tests;
