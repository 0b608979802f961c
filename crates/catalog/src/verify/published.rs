//! A published table against the manifest it says it was published from. Pure functions.

use std::collections::BTreeMap;

use crate::publish::pick::{File, Published, Wanted};

/// What other engines see that the manifest does not say, and the other way round.
pub(super) fn against(published: &Published, wanted: &Wanted) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut left: BTreeMap<&str, &File> = wanted.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let (version, manifest) = (published.version, published.manifest);
    for (path, size) in &published.files {
        match left.remove(path.as_str()) {
            None => wrong.push(format!("version {version} names {path}, manifest {manifest} does not")),
            Some(file) if size.bytes != file.bytes || size.rows != Some(file.rows) => {
                wrong.push(format!(
                    "version {version} says {} bytes and {} rows of {path}, manifest {manifest} says {} and {}",
                    size.bytes,
                    size.rows.map_or_else(|| "no".to_owned(), |rows| rows.to_string()),
                    file.bytes,
                    file.rows
                ));
            }
            Some(_) => {}
        }
    }
    wrong.extend(left.into_keys().map(|path| format!("version {version} lacks {path} of manifest {manifest}")));
    if published.schema != wanted.schema {
        wrong.push(format!("version {version} has another schema than manifest {manifest}"));
    }
    wrong
}

/// What is wrong with a published file that has so many bytes, or is not there.
pub(super) fn missing(path: &str, bytes: u64, found: Option<u64>) -> Option<String> {
    match found {
        Some(found) if found == bytes => None,
        Some(found) => Some(format!("{path} has {found} bytes, the log says {bytes}")),
        None => Some(format!("{path} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::Instant;

    use super::*;
    use crate::publish::pick::{Kind, Size};

    #[test]
    fn every_difference_is_told() {
        let file = |path: &str, bytes, rows| File {
            path: path.to_owned(),
            bytes,
            rows,
            newest: Instant::MIN,
            stats: String::new(),
        };
        let files = vec![file("a", 1, 1), file("b", 2, 2)];
        let wanted = Wanted {
            kind: Kind::State,
            manifest: 1,
            newest: Instant::MIN,
            schema: "s".to_owned(),
            files,
            erased: None,
        };
        let size = |bytes, rows| Size { bytes, rows };
        for (files, schema, wrong) in [
            (vec![("a", size(1, Some(1))), ("b", size(2, Some(2)))], "s", 0),
            (vec![("a", size(1, Some(1)))], "s", 1),
            (vec![("a", size(1, Some(1))), ("b", size(2, Some(3)))], "s", 1),
            (vec![("a", size(1, Some(1))), ("b", size(2, None)), ("c", size(1, Some(1)))], "t", 3),
        ] {
            let files = files.into_iter().map(|(path, size)| (path.to_owned(), size)).collect();
            let published =
                Published { version: 1, manifest: 1, newest: Instant::MIN, schema: schema.to_owned(), files };
            assert_eq!(against(&published, &wanted).len(), wrong, "{published:?}");
        }
    }

    #[test]
    fn a_file_is_there_with_its_bytes() {
        assert_eq!([Some(3), Some(4), None].map(|found| missing("a", 3, found).is_some()), [false, true, true]);
    }
}
