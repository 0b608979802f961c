//! How a fold is divided: spans of ids, one after the other, so that what is in memory is bounded however long the
//! history is and however many documents there are. A pure function of what footers tell.

use tidemark_catalog::manifest::BaseFile;
use tidemark_fold::columns::doc;
use tidemark_storage::files::{Page, Span};

/// Bytes of a tombstone in memory besides its id, about.
const TOMBSTONE_BYTES: u64 = 64;

/// Spans of ids, ascending, that together are all ids. In each lie changes and tombstones of about so many bytes at most;
/// where that leaves a choice a span ends where a part of the base begins, so that few parts are cut.
pub(crate) fn cut(
    mut changes: Vec<Page>,
    (parts, tombstones): (&[BaseFile], &[BaseFile]),
    bytes_max: u64,
) -> Vec<Span> {
    let of_file = |file: &BaseFile, bytes| Page { least: file.id.min.clone(), rows: file.rows, bytes };
    let of_tombstone = |file: &BaseFile| TOMBSTONE_BYTES + file.id.max.len() as u64;
    changes.extend(tombstones.iter().map(|file| of_file(file, file.rows * of_tombstone(file))));
    // A part weighs nothing: it only says where it begins.
    changes.extend(parts.iter().map(|part| of_file(part, 0)));
    changes.sort_by(|one, other| one.least.cmp(&other.least).then(one.bytes.cmp(&other.bytes)));
    let (mut ends, mut bytes): (Vec<String>, u64) = (Vec::new(), 0);
    let mut begin = changes.first().map(|page| page.least.clone()).unwrap_or_default();
    for page in changes {
        let is_full = bytes > 0 && bytes + page.bytes > bytes_max;
        let may_end = page.bytes == 0 && bytes > bytes_max / 2;
        if (is_full || may_end) && begin < page.least {
            ends.push(page.least.clone());
            (begin, bytes) = (page.least, 0);
        }
        bytes += page.bytes;
    }
    let span = |from: Option<&String>, below: Option<&String>| Span {
        column: doc::ID.to_owned(),
        from: from.cloned(),
        below: below.cloned(),
    };
    let ends: Vec<Option<&String>> = std::iter::once(None).chain(ends.iter().map(Some)).chain([None]).collect();
    ends.windows(2).map(|pair| span(pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::manifest::Range;

    use super::*;

    fn page(least: &str, bytes: u64) -> Page {
        Page { least: least.to_owned(), rows: 1, bytes }
    }

    fn file(min: &str, rows: u64) -> BaseFile {
        let id = Range { min: min.to_owned(), max: format!("{min}z") };
        BaseFile { path: String::new(), rows, bytes: 0, sha256: String::new(), id }
    }

    fn ends(pages: &[(&str, u64)], parts: &[&str], tombstones: &[(&str, u64)]) -> Vec<String> {
        let pages = pages.iter().map(|(least, bytes)| page(least, *bytes)).collect();
        let parts: Vec<BaseFile> = parts.iter().map(|min| file(min, 10)).collect();
        let tombstones: Vec<BaseFile> = tombstones.iter().map(|(min, rows)| file(min, *rows)).collect();
        let spans = cut(pages, (&parts, &tombstones), 1000);
        assert!(
            spans.first().is_some_and(|span| span.from.is_none())
                && spans.last().is_some_and(|span| span.below.is_none())
        );
        assert!(spans.windows(2).all(|pair| pair[0].below == pair[1].from));
        spans.into_iter().filter_map(|span| span.below).collect()
    }

    #[test]
    fn spans_are_bounded_and_end_at_parts_where_they_can() {
        let none: [String; 0] = [];
        assert_eq!(ends(&[], &[], &[]), none);
        assert_eq!(ends(&[("a", 600), ("b", 400)], &["b"], &[]), ["b"]);
        assert_eq!(ends(&[("a", 400), ("b", 400)], &["b"], &[]), none);
        assert_eq!(ends(&[("c", 600), ("a", 600), ("b", 300)], &[], &[]), ["c"]);
        assert_eq!(ends(&[("a", 600), ("c", 300), ("e", 300)], &["b", "d"], &[]), ["b"]);
        assert_eq!(ends(&[("a", 600)], &[], &[("b", 10)]), ["b"]);
        // What has one id cannot be cut.
        assert_eq!(ends(&[("a", 900), ("a", 900), ("a", 900), ("b", 1)], &[], &[]), ["b"]);
        assert_eq!(ends(&[("", 900), ("", 900)], &[], &[]), none);
    }
}
