//! Whether rows are filtered while files are decoded (late materialisation), or after.
//!
//! Filtering first saves the decoding of the other columns where whole pages of them hold nothing that passes, and costs a
//! selection row by row everywhere else. Measured (docs/decisions/0011) over numbers and short text it gains next to
//! nothing at any selectivity and costs up to two thirds; where a row holds a kilobyte or more, so that a page holds few
//! rows, it halves a question for one row in a thousand and loses nothing on half of them. Files and pages are left out by their statistics either way.

use std::collections::HashSet;

use arrow::datatypes::DataType;
use datafusion::{common::Column, logical_expr::Expr};

use super::provider::Wanted;

/// Stored bytes of a row from which on it pays.
const ROW_BYTES_MIN: u64 = 1024;

/// How much the files of a scan hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    /// Bytes of the files, as they are stored.
    pub(crate) bytes: u64,
    /// Their rows.
    pub(crate) rows: u64,
}

/// Whether a scan of rows like these filters them while it decodes: they are wide, and more text is read than what they
/// are filtered by. Limits by a greatest or least value filter too, while they run.
pub(crate) fn pays(wanted: &Wanted, filters: &[Expr], stored: Stored) -> bool {
    stored.bytes >= stored.rows.saturating_mul(ROW_BYTES_MIN) && reads_more_text(wanted, filters)
}

fn reads_more_text(wanted: &Wanted, filters: &[Expr]) -> bool {
    let filtered: HashSet<&Column> = filters.iter().flat_map(Expr::column_refs).collect();
    let is_filtered = |name: &str| filtered.iter().any(|column| column.name == name);
    let is_more = |at: usize| {
        let field = wanted.columns.field(at);
        *field.data_type() == DataType::Utf8View && !is_filtered(field.name())
    };
    match &wanted.projection {
        Some(projection) => projection.iter().copied().any(is_more),
        None => (0..wanted.columns.fields().len()).any(is_more),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn wide_rows_are_filtered_while_they_are_decoded() {
        let text = |name: &str| Field::new(name, DataType::Utf8View, true);
        let columns = Arc::new(Schema::new(vec![text("name"), Field::new("n", DataType::Int64, true), text("note")]));
        let (wide, narrow) = (Stored { bytes: 102_400, rows: 100 }, Stored { bytes: 102_399, rows: 100 });
        let by_name = [col("name").eq(lit("x"))];
        for (projection, filters, stored, expected) in [
            (Some(vec![0, 2]), &by_name[..], wide, true),
            (Some(vec![0, 2]), &by_name[..], narrow, false),
            (Some(vec![0, 1]), &by_name[..], wide, false),
            (Some(vec![0, 1]), &[][..], wide, true),
            (None, &by_name[..], wide, true),
            (Some(vec![1]), &[][..], wide, false),
        ] {
            let wanted = Wanted { columns: Arc::clone(&columns), projection };
            assert_eq!(
                pays(&wanted, filters, stored),
                expected,
                "{:?} by {filters:?} of {stored:?}",
                wanted.projection
            );
        }
    }
}
