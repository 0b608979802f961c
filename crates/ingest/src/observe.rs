//! Which kinds of values the documents of a batch hold, collection by collection: what schemas evolve by.
//!
//! Documents of a request mostly have the same fields in the same order, so the field after the last one seen is tried
//! before anything is hashed.

use arrow::array::RecordBatch;
use tidemark_model::{
    CollectionName, Shard, json,
    schema::{Kinds, Observed},
};

use crate::{batch::Group, columns::EventColumns};

/// What a batch brings to one collection.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    pub(crate) collection: CollectionName,
    pub(crate) shard: Shard,
    pub(crate) observed: Observed,
}

/// Looks into every document once.
pub(crate) fn touched(rows: &RecordBatch, groups: &[Group]) -> Vec<Touched> {
    let columns = EventColumns::of(rows);
    let mut touched = Vec::new();
    for group in groups {
        let Some(collection) = &group.collection else { continue };
        let mut seen = Seen::default();
        for document in group.rows.clone().filter_map(|row| columns.data(row)) {
            seen.document(document);
        }
        touched.push(Touched { collection: collection.clone(), shard: group.shard, observed: seen.observed() });
    }
    touched
}

#[derive(Debug, Default)]
struct Seen {
    fields: Vec<(String, Kinds)>,
}

impl Seen {
    fn document(&mut self, document: &str) {
        let mut next = 0;
        // The door lets only objects pass, so there is nothing that cannot be read.
        let _unreadable = json::for_each_field(document, |name, raw| {
            let kinds = Kinds::of(&json::Value::of(raw));
            let at = match self.fields.get(next) {
                Some((known, _)) if *known == name => next,
                _ => self.find(&name),
            };
            let (_, seen) = &mut self.fields[at];
            *seen = seen.union(kinds);
            next = at + 1;
        });
    }

    /// A search through all fields: only where documents differ in shape.
    fn find(&mut self, name: &str) -> usize {
        self.fields.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.fields.push((name.to_owned(), Kinds::default()));
            self.fields.len() - 1
        })
    }

    fn observed(self) -> Observed {
        let mut observed = Observed::default();
        self.fields.iter().for_each(|(name, kinds)| observed.see(name, *kinds));
        observed
    }
}
