//! The rules of manifests and clean-up, and what goes wrong without each.

use super::Register;

/// The rules of the protocol; each can be left out, to see that the check would notice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A committer looks at the floor after its create.
    pub(crate) probe_after_create: bool,
    /// A reader looks at the floor after its search.
    pub(crate) probe_after_search: bool,
    /// A committer gives up a file that clean-up may have taken.
    pub(crate) heed_orphans_below: bool,
    /// Clean-up commits before it deletes files.
    pub(crate) forbid_before_delete: bool,
    /// The floor is raised before manifests are deleted.
    pub(crate) raise_before_delete: bool,
    /// Whoever asks for a manifest by its number looks at the floor.
    pub(crate) probe_by_number: bool,
    /// A committer that lost looks whether its appends are covered.
    pub(crate) look_at_mark: bool,
    /// One that plans looks too: another of its process may have found what an attempt of unknown outcome came to.
    pub(crate) look_at_mark_first: bool,
}

impl Rules {
    pub(crate) const ALL: Self = Self {
        probe_after_create: true,
        probe_after_search: true,
        probe_by_number: true,
        heed_orphans_below: true,
        forbid_before_delete: true,
        raise_before_delete: true,
        look_at_mark: true,
        look_at_mark_first: true,
    };
}

/// The protocol without one rule each: its name, what is broken then, and bounds within which that is found.
pub(crate) fn without_each_rule() -> Vec<(&'static str, &'static str, Register)> {
    let all = Rules::ALL;
    let (slow, faulty) = (Register::whole(&[3, 1], 0, &[1], 0), Register::whole(&[1, 1], 0, &[1], 1));
    let once = "an append is in files exactly once";
    let there = "the newest manifest names no file that was deleted";
    [
        // SlateDB's RFC 0026: a writer that slept takes a number again that clean-up has deleted.
        ("probe after create", "a number has one winner", Rules { probe_after_create: false, ..all }, &slow),
        ("probe after search", "no reader goes back", Rules { probe_after_search: false, ..all }, &slow),
        (
            "probe by number",
            "a number tells what was committed under it",
            Rules { probe_by_number: false, ..all },
            &slow,
        ),
        ("heed orphans_below", there, Rules { heed_orphans_below: false, ..all }, &slow),
        ("forbid before delete", there, Rules { forbid_before_delete: false, ..all }, &slow),
        ("raise before delete", "the chain has no gap", Rules { raise_before_delete: false, ..all }, &slow),
        ("look at mark", once, Rules { look_at_mark: false, ..all }, &faulty),
        ("look at mark first", once, Rules { look_at_mark_first: false, ..all }, &faulty),
    ]
    .into_iter()
    .map(|(name, broken, rules, bounds)| (name, broken, Register { rules, ..bounds.clone() }))
    .collect()
}
