//! Which table of the lake a name means.

use datafusion::common::TableReference;
use tidemark_catalog::Catalog;
use tidemark_model::{Namespace, Principal, Table};

use crate::Error;

/// The one catalog of SQL.
pub(crate) const CATALOG: &str = "tidemark";
/// The schema of unqualified names where the session names none; no namespace may have this name.
pub(crate) const NO_NAMESPACE: &str = "public";

/// A table that exists.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// The table.
    pub(crate) table: Table,
}

/// What qualifies the columns of a table that was written with these words.
///
/// # Errors
/// [`Error::UnknownTable`] for none, or more than three.
pub(crate) fn qualifier(words: &[String]) -> Result<TableReference, Error> {
    match words {
        [name] => Ok(TableReference::bare(name.as_str())),
        [schema, name] => Ok(TableReference::partial(schema.as_str(), name.as_str())),
        [of, schema, name] => Ok(TableReference::full(of.as_str(), schema.as_str(), name.as_str())),
        _ => Err(Error::UnknownTable(words.join("."))),
    }
}

/// The catalog as somebody sees it: a namespace outside of their reach is not there, and is told as one that is not.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// All there is.
    pub(crate) catalog: Catalog,
    /// Who looks.
    pub(crate) principal: Principal,
}

impl Seen {
    /// The namespaces that can be asked, in order.
    pub(crate) fn namespaces(&self) -> Vec<Namespace> {
        self.catalog.namespaces().into_iter().filter(|namespace| self.shows(namespace)).collect()
    }

    /// Whether what is told of a namespace is told to whoever looks, be it there or not.
    pub(crate) fn shows(&self, namespace: &Namespace) -> bool {
        self.principal.may_query(namespace)
    }

    /// Whether a namespace can be asked.
    pub(crate) fn has(&self, namespace: &Namespace) -> bool {
        self.shows(namespace) && self.catalog.namespaces().contains(namespace)
    }
}

/// Looks a name of one to three parts up.
///
/// # Errors
/// [`Error::UnknownTable`].
pub(crate) fn resolve(seen: &Seen, default: Option<&Namespace>, words: &[String]) -> Result<Named, Error> {
    let unknown = || Error::UnknownTable(words.join("."));
    let (schema, name) = match words {
        [name] => (None, name),
        [schema, name] => (Some(schema), name),
        [of, schema, name] if of == CATALOG => (Some(schema), name),
        _ => return Err(unknown()),
    };
    let namespace = match schema {
        Some(schema) => Namespace::parse(schema).map_err(|_invalid| unknown())?,
        None => default.cloned().ok_or_else(unknown)?,
    };
    let table = table(seen, &namespace, name).ok_or_else(unknown)?;
    Ok(Named { namespace, table })
}

/// The table of a namespace, if it exists for whoever looks.
pub(crate) fn table(seen: &Seen, namespace: &Namespace, name: &str) -> Option<Table> {
    let exists = |table: &Table| match table {
        Table::Events => seen.has(namespace),
        Table::Collection(name) => seen.has(namespace) && seen.catalog.collection(namespace, name).is_some(),
    };
    Table::parse(name).ok().filter(exists)
}
