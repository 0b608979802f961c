//! Which table of the lake a name means.

use datafusion::common::TableReference;
use tidemark_catalog::Catalog;
use tidemark_model::{Namespace, Table};

use crate::Error;

/// The one catalog of SQL.
pub(crate) const CATALOG: &str = "tidemark";
/// The schema of unqualified names where the session names none; no namespace may have this name.
pub(crate) const NO_NAMESPACE: &str = "public";

/// A table that exists, and its name as the statement spelled it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// The table.
    pub(crate) table: Table,
    /// What qualifies its columns.
    pub(crate) written: TableReference,
}

/// Looks a name of one to three parts up.
///
/// # Errors
/// [`Error::UnknownTable`].
pub(crate) fn resolve(catalog: &Catalog, default: Option<&Namespace>, words: &[String]) -> Result<Named, Error> {
    let unknown = || Error::UnknownTable(words.join("."));
    let (written, schema, name) = match words {
        [name] => (TableReference::bare(name.as_str()), None, name),
        [schema, name] => (TableReference::partial(schema.as_str(), name.as_str()), Some(schema), name),
        [of, schema, name] if of == CATALOG => {
            (TableReference::full(of.as_str(), schema.as_str(), name.as_str()), Some(schema), name)
        }
        _ => return Err(unknown()),
    };
    let namespace = match schema {
        Some(schema) => Namespace::parse(schema).map_err(|_invalid| unknown())?,
        None => default.cloned().ok_or_else(unknown)?,
    };
    let table = table(catalog, &namespace, name).ok_or_else(unknown)?;
    Ok(Named { namespace, table, written })
}

/// The table of a namespace, if it exists.
pub(crate) fn table(catalog: &Catalog, namespace: &Namespace, name: &str) -> Option<Table> {
    let exists = |table: &Table| match table {
        Table::Events => catalog.namespaces().contains(namespace),
        Table::Collection(name) => catalog.collection(namespace, name).is_some(),
    };
    Table::parse(name).ok().filter(exists)
}
