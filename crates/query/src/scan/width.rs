//! Which columns of a table what is kept of it carries.
//!
//! A question about the past is asked once, of few columns: only these are read, documents least of all. The overlay of
//! the present serves every question and is extended from one to the next: it carries them all.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use tidemark_fold::columns::{self, doc};
use tidemark_model::DocSchema;

/// What decides which change wins; every change carries it.
const DECIDE: [&str; 6] = [doc::ID, doc::OP, doc::TS, doc::SYSTEM_TIME, doc::SEQ, doc::BOOKMARK];
/// Columns of changes that no table shows.
const LEFT_OUT: [&str; 3] = [doc::EVENT_ID, doc::ACTOR, doc::PREV];

/// A set of columns of a collection's table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Width {
    /// Every column.
    All,
    /// These, ascending by their place in the table.
    Only(Arc<[usize]>),
}

impl Width {
    /// The columns of a projection.
    pub(crate) fn of(projection: Option<&[usize]>) -> Self {
        let Some(places) = projection else { return Self::All };
        let mut places = places.to_vec();
        places.sort_unstable();
        places.dedup();
        Self::Only(places.into())
    }

    /// The columns of the table in this width.
    pub(crate) fn table(&self, schema: &DocSchema) -> SchemaRef {
        let table = columns::table_schema(schema);
        match self {
            Self::All => table,
            Self::Only(places) => {
                Arc::new(Schema::new(places.iter().map(|place| table.field(*place).clone()).collect::<Vec<_>>()))
            }
        }
    }

    /// The columns of changes in this width: those that decide, and those of the table.
    pub(crate) fn changes(&self, schema: &DocSchema) -> SchemaRef {
        let (table, full) = (self.table(schema), columns::changes_schema(schema));
        let is_kept = |name: &str| match self {
            Self::All => !LEFT_OUT.contains(&name),
            Self::Only(_) => DECIDE.contains(&name) || table.column_with_name(name).is_some(),
        };
        let kept = full.fields().iter().filter(|field| is_kept(field.name())).cloned();
        Arc::new(Schema::new(kept.collect::<Vec<_>>()))
    }

    /// Where columns of the table stand in this width; `None` when it does not carry one of them.
    pub(crate) fn places(&self, projection: Option<&Vec<usize>>) -> Option<Option<Vec<usize>>> {
        match (self, projection) {
            (Self::All, projection) => Some(projection.cloned()),
            (Self::Only(_), None) => None,
            (Self::Only(carried), Some(wanted)) => {
                let places = wanted.iter().map(|column| carried.binary_search(column).ok());
                places.collect::<Option<Vec<usize>>>().map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_carries_what_its_projection_asks_for() {
        for (projection, carried, wanted, places) in [
            (vec![3, 1, 3], vec![1, 3], vec![3, 1, 3], Some(vec![1, 0, 1])),
            (vec![0], vec![0], vec![1], None),
            (vec![], vec![], vec![], Some(vec![])),
        ] {
            let width = Width::of(Some(&projection));
            assert_eq!(width, Width::Only(carried.into()));
            assert_eq!(width.places(Some(&wanted)), places.map(Some));
            assert_eq!(width.places(None), None);
        }
        assert_eq!(Width::All.places(None), Some(None));
    }

    #[test]
    fn changes_carry_what_decides_whatever_the_width() {
        let schema = DocSchema::default();
        let names = |width: Width| -> Vec<String> {
            width.changes(&schema).fields().iter().map(|field| field.name().clone()).collect()
        };
        assert_eq!(names(Width::Only([].into())), ["_id", "_op", "_ts", "_system_time", "_seq", "_bookmark"]);
        assert!(names(Width::All).contains(&"_doc".to_owned()));
        assert!(!names(Width::All).contains(&"_prev".to_owned()));
    }
}
