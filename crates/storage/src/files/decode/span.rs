//! Spans of a sorted column: where its pages begin, and which pages can hold rows of a span.
//!
//! The least values of pages may be cut short, so they only ever tell that a page cannot hold a row.

use arrow::array::{Array, AsArray, StringArray};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, RowSelection, RowSelector},
    errors::Result,
    file::metadata::RowGroupMetaData,
};

use super::{super::Span, Page, prune::converter};

/// The pages of a sorted text column, in order.
pub(super) fn pages(metadata: &ArrowReaderMetadata, column: &str) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for (at, group) in metadata.metadata().row_groups().iter().enumerate() {
        let bytes_per_row = group.total_byte_size().max(0) as f64 / group.num_rows().max(1) as f64;
        for Extent { rows, least, .. } in extents(metadata, column, at)?.unwrap_or_else(|| vec![Extent::of(group)]) {
            pages.push(Page { least: least.unwrap_or_default(), rows, bytes: (rows as f64 * bytes_per_row) as u64 });
        }
    }
    Ok(pages)
}

/// The pages of these row groups that can hold rows of a span; `None` where the file tells nothing of its pages.
pub(super) fn selection(metadata: &ArrowReaderMetadata, groups: &[usize], span: &Span) -> Result<Option<RowSelection>> {
    let mut selectors = Vec::new();
    for group in groups {
        let Some(pages) = extents(metadata, &span.column, *group)? else { return Ok(None) };
        selectors.extend(pages.iter().map(|page| {
            let rows = usize::try_from(page.rows).unwrap_or(usize::MAX);
            let may_hold = match (&page.least, &page.greatest) {
                (Some(least), Some(greatest)) => span.meets(least, greatest),
                _ => true,
            };
            if may_hold { RowSelector::select(rows) } else { RowSelector::skip(rows) }
        }));
    }
    Ok(Some(selectors.into()))
}

/// What is known of a page.
struct Extent {
    rows: u64,
    least: Option<String>,
    greatest: Option<String>,
}

impl Extent {
    fn of(group: &RowGroupMetaData) -> Self {
        Self { rows: u64::try_from(group.num_rows()).unwrap_or(0), least: None, greatest: None }
    }
}

/// The pages of a column of a row group; `None` without a page index.
fn extents(metadata: &ArrowReaderMetadata, column: &str, group: usize) -> Result<Option<Vec<Extent>>> {
    let converter = converter(metadata, column)?;
    let file = metadata.metadata();
    let (Some(index), Some(offsets)) = (file.column_index(), file.offset_index()) else { return Ok(None) };
    let groups = [group];
    let rows = converter.data_page_row_counts(offsets, file.row_groups(), &groups)?;
    let least = converter.data_page_mins(index, offsets, &groups)?;
    let greatest = converter.data_page_maxes(index, offsets, &groups)?;
    let (Some(rows), Some(least), Some(greatest)) = (rows, least.as_string_opt(), greatest.as_string_opt()) else {
        return Ok(None);
    };
    let text = |values: &StringArray, at: usize| values.is_valid(at).then(|| values.value(at).to_owned());
    let extent = |at| Extent { rows: rows.value(at), least: text(least, at), greatest: text(greatest, at) };
    Ok(Some((0..rows.len()).map(extent).collect()))
}
