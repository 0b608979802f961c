//! What the catalog shows to `information_schema`, `SHOW` and `DESCRIBE`: names and columns from memory, no I/O, and of
//! those only what whoever asks may see.
//!
//! These tables cannot be scanned: a statement reads bound tables only, so a table that the walk over the statement
//! missed is an error, never today's rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider},
    common::{Result, internal_err},
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use tidemark_catalog::Catalog;
use tidemark_fold::columns;
use tidemark_model::{Namespace, Table};

use super::{
    names::{self, CATALOG, Seen},
    postgres::{self, PgCatalog},
};
use crate::scan::system::{self, SYSTEM};

/// The columns of a table as `SELECT *` answers them now.
pub(crate) fn columns_of(catalog: &Catalog, namespace: &Namespace, table: &Table) -> Option<SchemaRef> {
    match table {
        Table::Events => Some(columns::events_schema()),
        Table::Collection(name) => {
            catalog.collection(namespace, name).map(|collection| columns::table_schema(&collection.schema))
        }
    }
}

/// The names of a namespace's tables, `events` among them, in order.
pub(crate) fn tables_of(catalog: &Catalog, namespace: &Namespace) -> Vec<String> {
    let mut names: Vec<String> =
        catalog.collections(namespace).iter().map(|collection| collection.name.as_str().to_owned()).collect();
    names.push(Table::EVENTS.to_owned());
    names.sort();
    names
}

/// The list that holds the one catalog.
#[derive(Debug)]
pub(crate) struct Lake(pub(crate) Seen);

impl CatalogProviderList for Lake {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(Namespaces(self.0.clone())) as Arc<dyn CatalogProvider>)
    }
}

#[derive(Debug)]
struct Namespaces(Seen);

impl CatalogProvider for Namespaces {
    fn schema_names(&self) -> Vec<String> {
        let namespaces = self.0.namespaces();
        namespaces.iter().map(Namespace::as_str).chain([SYSTEM]).map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == SYSTEM {
            return Some(Arc::new(SystemViews));
        }
        if name == postgres::SCHEMA {
            return Some(Arc::new(PgCatalog(self.0.clone())));
        }
        let namespace = Namespace::parse(name).ok().filter(|name| self.0.has(name))?;
        Some(Arc::new(Tables { seen: self.0.clone(), namespace }))
    }
}

#[derive(Debug)]
struct Tables {
    seen: Seen,
    namespace: Namespace,
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        tables_of(&self.seen.catalog, &self.namespace)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = names::table(&self.seen, &self.namespace, name);
        let columns = table.and_then(|table| columns_of(&self.seen.catalog, &self.namespace, &table));
        Ok(columns.map(|columns| Arc::new(Described(columns)) as Arc<dyn TableProvider>))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(names::table(&self.seen, &self.namespace, name).map(|_exists| TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        names::table(&self.seen, &self.namespace, name).is_some()
    }
}

/// The schema `system`.
#[derive(Debug)]
struct SystemViews;

#[async_trait]
impl SchemaProvider for SystemViews {
    fn table_names(&self) -> Vec<String> {
        system::VIEWS.iter().map(|view| view.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(system::named(name).map(|view| Arc::new(Described(view.columns())) as Arc<dyn TableProvider>))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(system::named(name).map(|_exists| TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        system::named(name).is_some()
    }
}

/// A table that tells its columns and cannot be scanned.
#[derive(Debug)]
pub(crate) struct Described(pub(crate) SchemaRef);

#[async_trait]
impl TableProvider for Described {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a table of the statement was not bound to an instant")
    }
}
