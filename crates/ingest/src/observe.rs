//! Which kinds of values the documents of a batch hold, collection by collection: what schemas evolve by.
//!
//! Documents of a request mostly have the same fields in the same order, so the field after the last one seen is tried
//! before anything is searched. Names that can be no column are passed over.

use arrow::array::RecordBatch;
use tidemark_model::{
    CollectionName, Shard, json,
    schema::{Kinds, Observed, is_column_name},
};

use crate::{batch::Group, columns::EventColumns, error::Error, named::Named};

/// What a batch brings to one collection.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    pub(crate) collection: CollectionName,
    pub(crate) shard: Shard,
    pub(crate) observed: Observed,
}

/// The most names that the documents of one request may bring in all.
const NAMES_MAX: usize = 100_000;

/// Looks into every document once.
///
/// # Errors
/// [`Error::TooManyFields`]: every name that may be a column has to be remembered until schemas have evolved.
pub(crate) fn touched(rows: &RecordBatch, groups: &[Group]) -> Result<Vec<Touched>, Error> {
    let columns = EventColumns::of(rows);
    let (mut touched, mut names) = (Vec::new(), 0);
    for group in groups {
        let Some(collection) = &group.collection else { continue };
        let mut seen = Seen::default();
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

#[derive(Debug, Default)]
struct Seen {
    fields: Named<String, Kinds>,
}

impl Seen {
    fn document(&mut self, document: &str) {
        let mut next = 0;
        // The door lets only objects pass, so there is nothing that cannot be read.
        let _unreadable = json::for_each_field(document, |name, raw| {
            let at = match self.fields.get(next) {
                Some((known, _)) if *known == name => next,
                _ if !is_column_name(&name) => return,
                _ => self.place(&name),
            };
            let kinds = Kinds::of(&json::Value::of(raw));
            if let Some(seen) = self.fields.value_mut(at) {
                *seen = seen.union(kinds);
            }
            next = at + 1;
        });
    }

    /// Where a name stands: searched only where documents differ in shape.
    fn place(&mut self, name: &str) -> usize {
        self.fields.find(name).unwrap_or_else(|| {
            self.fields.push(name.to_owned(), Kinds::default());
            self.fields.len() - 1
        })
    }

    fn observed(self) -> Observed {
        let mut observed = Observed::default();
        self.fields.iter().for_each(|(name, kinds)| observed.see(name, *kinds));
        observed
    }
}
