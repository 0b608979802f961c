//! What a manifest wants other engines to see, what they see, and the difference: pure functions.
//!
//! A published table is named by its files and its schema. The next version adds what is wanted and not there, and removes
//! what is there and no longer wanted. Of events no row ever goes: files that are removed were compacted, their rows stand
//! in added ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use tidemark_model::Instant;

/// Which of the two kinds of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `{ns}.events`: rows are only ever added.
    Events,
    /// The newest state of a collection: replaced.
    State,
}

/// A file as it is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its path from the root of the published table.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// The greatest system time of its rows.
    pub(crate) newest: Instant,
    /// Statistics as JSON.
    pub(crate) stats: String,
}

/// What a manifest says is to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    /// The version of the manifest.
    pub(crate) manifest: u64,
    /// The greatest system time of its rows.
    pub(crate) newest: Instant,
    /// The schema as Delta spells it.
    pub(crate) schema: String,
    pub(crate) files: Vec<File>,
    /// Of events: the system time up to which all were erased.
    pub(crate) erased: Option<Instant>,
}

impl Wanted {
    /// What it says, as one number: manifests that say the same are published the same.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.schema, self.erased.map(Instant::micros)).hash(&mut hasher);
        self.files.iter().for_each(|file| file.path.hash(&mut hasher));
        hasher.finish()
    }
}

/// What other engines see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// The version of the published table.
    pub(crate) version: u64,
    /// The manifest it was published from; 0 where that is not told.
    pub(crate) manifest: u64,
    /// The greatest system time published.
    pub(crate) newest: Instant,
    pub(crate) schema: String,
    /// Files and their bytes and rows.
    pub(crate) files: BTreeMap<String, Size>,
}

/// What is told of a published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    /// `None` where its statistics do not say.
    pub(crate) rows: Option<u64>,
}

/// A file that the next version adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adding {
    pub(crate) file: File,
    /// Whether it holds rows that were not seen before.
    pub(crate) is_news: bool,
}

/// One version to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) adds: Vec<Adding>,
    /// Paths and bytes.
    pub(crate) removes: Vec<(String, u64)>,
    /// Whether rows are gone with the removed files.
    pub(crate) removes_rows: bool,
    /// The schema, where it is another one than before.
    pub(crate) schema: Option<String>,
    /// Whether it says all there is, so that no version before it is needed.
    pub(crate) restates: bool,
}

/// The next version of a published table; `None` where nothing is to be published.
pub(crate) fn pick(published: Option<&Published>, wanted: &Wanted) -> Option<Plan> {
    let Some(published) = published else {
        let adds: Vec<Adding> = wanted.files.iter().map(|file| adding(file, None, wanted.kind)).collect();
        let schema = Some(wanted.schema.clone());
        return (!adds.is_empty()).then_some(Plan {
            adds,
            removes: Vec::new(),
            removes_rows: false,
            schema,
            restates: false,
        });
    };
    // Published from here or from a newer manifest already.
    if published.manifest >= wanted.manifest {
        return None;
    }
    let is_there = |file: &&File| published.files.contains_key(&file.path);
    let newest = Some(published.newest);
    let adds: Vec<Adding> =
        (wanted.files.iter().filter(|file| !is_there(file))).map(|file| adding(file, newest, wanted.kind)).collect();
    let removes = removed(published, wanted);
    let schema = (published.schema != wanted.schema).then(|| wanted.schema.clone());
    let is_nothing = adds.is_empty() && removes.is_empty() && schema.is_none();
    let removes_rows = wanted.kind == Kind::State;
    (!is_nothing).then_some(Plan { adds, removes, removes_rows, schema, restates: false })
}

/// A version that says all that is wanted, whatever was said before.
pub(crate) fn restated(published: &Published, wanted: &Wanted) -> Plan {
    let newest = Some(published.newest);
    let of = |file: &File| {
        let is_there = published.files.contains_key(&file.path);
        let adding = adding(file, newest, wanted.kind);
        Adding { is_news: adding.is_news && !is_there, ..adding }
    };
    let adds = wanted.files.iter().map(of).collect();
    let (removes, removes_rows) = (removed(published, wanted), wanted.kind == Kind::State);
    Plan { adds, removes, removes_rows, schema: Some(wanted.schema.clone()), restates: true }
}

/// What is published and no longer wanted.
fn removed(published: &Published, wanted: &Wanted) -> Vec<(String, u64)> {
    let stays: BTreeSet<&str> = wanted.files.iter().map(|file| file.path.as_str()).collect();
    let gone = published.files.iter().filter(|(path, _)| !stays.contains(path.as_str()));
    gone.map(|(path, size)| (path.clone(), size.bytes)).collect()
}

/// Of events, a file whose rows were all published before is the outcome of a compaction.
fn adding(file: &File, published: Option<Instant>, kind: Kind) -> Adding {
    let is_news = kind == Kind::State || published.is_none_or(|newest| file.newest > newest);
    Adding { file: file.clone(), is_news }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, newest: i64) -> File {
        let newest = Instant::from_micros(newest);
        File { path: path.to_owned(), bytes: 10, rows: 1, newest, stats: String::new() }
    }

    fn wanted(kind: Kind, manifest: u64, files: &[(&str, i64)], schema: &str) -> Wanted {
        let files: Vec<File> = files.iter().map(|(path, newest)| file(path, *newest)).collect();
        let newest = files.iter().map(|file| file.newest).max().unwrap_or(Instant::MIN);
        Wanted { kind, manifest, newest, schema: schema.to_owned(), files, erased: None }
    }

    fn published(manifest: u64, files: &[&str], newest: i64) -> Published {
        let size = Size { bytes: 10, rows: Some(1) };
        let files = files.iter().map(|path| ((*path).to_owned(), size)).collect();
        Published { version: 3, manifest, newest: Instant::from_micros(newest), schema: "s".to_owned(), files }
    }

    /// Adds (those with news marked), removes, whether the schema goes along.
    fn told(plan: Option<Plan>) -> Option<String> {
        let plan = plan?;
        let adds = plan.adds.iter().map(|add| format!("+{}{}", add.file.path, if add.is_news { "!" } else { "" }));
        let removes = plan.removes.iter().map(|(path, _)| format!("-{path}"));
        let schema = plan.schema.map(|schema| format!("={schema}"));
        Some(adds.chain(removes).chain(schema).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_next_version_is_the_difference() {
        use Kind::{Events, State};
        for (before, wanted, expected) in [
            // Nothing there, nothing wanted: no table at all.
            (None, wanted(Events, 1, &[], "s"), None),
            (None, wanted(Events, 1, &[("a", 1)], "s"), Some("+a! =s")),
            // Events only grow.
            (Some(published(1, &["a"], 1)), wanted(Events, 2, &[("a", 1), ("b", 2)], "s"), Some("+b!")),
            (Some(published(1, &["a"], 1)), wanted(Events, 2, &[("a", 1)], "s"), None),
            // Compacted: the same rows in other files; a later flush beside them.
            (Some(published(2, &["a", "b"], 2)), wanted(Events, 3, &[("ab", 2)], "s"), Some("+ab -a -b")),
            (Some(published(2, &["a", "b"], 2)), wanted(Events, 4, &[("ab", 2), ("c", 3)], "s"), Some("+ab +c! -a -b")),
            // A state replaces another one; parts that stay are not told anew.
            (Some(published(1, &["a", "b"], 1)), wanted(State, 2, &[("a", 1), ("c", 1)], "s"), Some("+c! -b")),
            (Some(published(1, &["a"], 1)), wanted(State, 2, &[("b", 1)], "t"), Some("+b! -a =t")),
            // Everything was deleted.
            (Some(published(1, &["a"], 1)), wanted(State, 2, &[], "s"), Some("-a")),
            // Published already, by us or by one who has seen more.
            (Some(published(2, &["a"], 1)), wanted(State, 2, &[("b", 1)], "s"), None),
            (Some(published(3, &["a"], 1)), wanted(State, 2, &[("b", 1)], "s"), None),
        ] {
            assert_eq!(told(pick(before.as_ref(), &wanted)).as_deref(), expected, "{before:?} {wanted:?}");
        }
    }

    #[test]
    fn a_rebuild_says_everything_again() {
        use Kind::{Events, State};
        for (before, wanted, expected) in [
            (published(2, &["a"], 1), wanted(Events, 2, &[("a", 1), ("b", 2)], "s"), "+a +b! =s"),
            (published(9, &["a", "x"], 1), wanted(State, 2, &[("a", 1), ("b", 1)], "t"), "+a +b! -x =t"),
            (published(2, &["a"], 1), wanted(State, 2, &[], "s"), "-a =s"),
        ] {
            assert_eq!(told(Some(restated(&before, &wanted))).as_deref(), Some(expected));
        }
    }

    #[test]
    fn of_events_no_row_goes() {
        let compacted = pick(Some(&published(1, &["a"], 1)), &wanted(Kind::Events, 2, &[("b", 1)], "s"));
        assert!(!compacted.expect("a plan").removes_rows);
        let replaced = pick(Some(&published(1, &["a"], 1)), &wanted(Kind::State, 2, &[("b", 1)], "s"));
        assert!(replaced.expect("a plan").removes_rows);
    }
}
