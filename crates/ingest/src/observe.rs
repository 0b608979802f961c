//! Which kinds of values the documents of a batch hold, collection by collection: what schemas evolve by.
//!
//! Documents of a request mostly have the same fields in the same order, so the field after the last one seen is tried
//! before anything is searched. Names that can be no column are passed over.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tidemark_model::{
    CollectionName, Shard, json,
    schema::{Kinds, Observed, is_column_name},
};

use crate::{
    batch::Group,
    columns::EventColumns,
    declared::{Declaration, InForce},
    error::Error,
    named::Named,
};

/// What a batch brings to one collection.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    pub(crate) collection: CollectionName,
    pub(crate) shard: Shard,
    pub(crate) observed: Observed,
}

/// The most names that the documents of one request may bring in all.
const NAMES_MAX: usize = 100_000;

/// Looks into every document once; texts of fields that are declared to be instants are seen as such.
///
/// # Errors
/// [`Error::TooManyFields`]: every name that may be a column has to be remembered until schemas have evolved.
pub(crate) fn touched(rows: &RecordBatch, groups: &[Group], declared: Option<&InForce>) -> Result<Vec<Touched>, Error> {
    let columns = EventColumns::of(rows);
    let (mut touched, mut names) = (Vec::new(), 0);
    for group in groups {
        let Some(collection) = &group.collection else { continue };
        let mut seen = Seen { fields: Named::default(), declared: declared.and_then(|all| all.get(collection)) };
        for document in group.rows.clone().filter_map(|row| columns.data(row)) {
            seen.document(document);
            if names + seen.fields.len() > NAMES_MAX {
                return Err(Error::TooManyFields { limit: NAMES_MAX });
            }
        }
        names += seen.fields.len();
        touched.push(Touched { collection: collection.clone(), shard: group.shard, observed: seen.observed() });
    }
    Ok(touched)
}

#[derive(Debug)]
struct Seen<'d> {
    fields: Named<String, Field>,
    declared: Option<&'d Arc<Declaration>>,
}

#[derive(Debug)]
struct Field {
    kinds: Kinds,
    /// Whether it is declared to hold instants.
    is_instant: bool,
}

impl Seen<'_> {
    fn document(&mut self, document: &str) {
        let mut next = 0;
        // The door lets only objects pass, so there is nothing that cannot be read.
        let _unreadable = json::for_each_field(document, |name, raw| {
            let at = match self.fields.get(next) {
                Some((known, _)) if *known == name => next,
                _ if !is_column_name(&name) => return,
                _ => self.place(&name),
            };
            let value = json::Value::of(raw);
            if let Some(field) = self.fields.value_mut(at) {
                let kinds = if field.is_instant { Kinds::of_declared_instant(&value) } else { Kinds::of(&value) };
                field.kinds = field.kinds.union(kinds);
            }
            next = at + 1;
        });
    }

    /// Where a name stands: searched only where documents differ in shape.
    fn place(&mut self, name: &str) -> usize {
        self.fields.find(name).unwrap_or_else(|| {
            let is_instant = self.declared.is_some_and(|declared| declared.is_instant(name));
            self.fields.push(name.to_owned(), Field { kinds: Kinds::default(), is_instant });
            self.fields.len() - 1
        })
    }

    fn observed(self) -> Observed {
        let mut observed = Observed::default();
        self.fields.iter().for_each(|(name, field)| observed.see(name, field.kinds));
        observed
    }
}
