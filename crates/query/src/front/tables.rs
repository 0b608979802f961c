//! Which tables there are, for metadata calls and for who writes.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::{
    catalog::SchemaProvider,
    catalog::information_schema::{INFORMATION_SCHEMA, INFORMATION_SCHEMA_TABLES, InformationSchemaProvider},
};
use futures::FutureExt;
use tidemark_model::{Namespace, Principal, Table};

use crate::{
    Query, TableInfo,
    plan::{metadata, names::Seen, shape},
    scan::system::{self, SYSTEM},
};

impl Query {
    /// Whether there is such a table, for whoever may write to it.
    pub(crate) fn has_table(&self, namespace: &Namespace, table: &Table) -> bool {
        let catalog = &self.room.lake.catalog;
        match table {
            Table::Events => catalog.namespaces().contains(namespace),
            Table::Collection(name) => catalog.collection(namespace, name).is_some(),
        }
    }

    /// Every table that somebody can ask, ordered by schema and name.
    #[must_use]
    pub fn tables(&self, principal: &Principal) -> Vec<TableInfo> {
        let catalog = &self.room.lake.catalog;
        let seen = Seen { catalog: catalog.clone(), principal: principal.clone() };
        let mut tables = Vec::new();
        for namespace in seen.namespaces() {
            for name in metadata::tables_of(catalog, &namespace) {
                let table = Table::parse(&name).ok();
                let columns = table.and_then(|table| metadata::columns_of(catalog, &namespace, &table));
                let schema_name = namespace.as_str().to_owned();
                tables.extend(columns.map(|columns| TableInfo {
                    schema_name,
                    name,
                    table_type: "BASE TABLE",
                    columns,
                }));
            }
        }
        tables.extend(system::VIEWS.iter().map(|view| TableInfo {
            schema_name: SYSTEM.to_owned(),
            name: view.name.to_owned(),
            table_type: "VIEW",
            columns: view.columns(),
        }));
        tables.extend(described_schema(seen));
        tables.sort_by(|a, b| (&a.schema_name, &a.name).cmp(&(&b.schema_name, &b.name)));
        tables
    }
}

/// The tables of `information_schema`; their columns are known without waiting.
fn described_schema(seen: Seen) -> Vec<TableInfo> {
    let schema = InformationSchemaProvider::new(Arc::new(metadata::Lake(seen)));
    let described = |name: &&str| {
        let provider = schema.table(name).now_or_never()?.ok()??;
        let schema = provider.schema();
        let columns = schema
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), shape::plain(field.data_type()), field.is_nullable()));
        Some(TableInfo {
            schema_name: INFORMATION_SCHEMA.to_owned(),
            name: (*name).to_owned(),
            table_type: "VIEW",
            columns: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
        })
    };
    INFORMATION_SCHEMA_TABLES.iter().filter_map(described).collect()
}
