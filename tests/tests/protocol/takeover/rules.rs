//! The rules of the take-over, and what goes wrong without each.

use super::TakeOver;

/// The rules; each can be left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A successor creates a fence before it reads.
    pub(crate) fence: bool,
    /// It looks at the floor after the fence.
    pub(crate) probe_after_fence: bool,
    /// It reads up to the fence that stands above the floor, whatever others stand below.
    pub(crate) read_past_fences: bool,
    /// A fence stays for ever.
    pub(crate) keep_fences: bool,
    /// It reads the newest manifest after the logs, not before.
    pub(crate) manifest_after_logs: bool,
    /// Whoever loses a number looks whether the manifest there covers its appends.
    pub(crate) look_at_cover: bool,
    /// So does a flush that begins: others of its process learn of manifests too.
    pub(crate) look_at_cover_first: bool,
    /// An append of unknown outcome is settled before the next.
    pub(crate) settle_before_next: bool,
    /// Whoever commits looks first whether it is still the owner, and no newer one committed before it.
    pub(crate) check_owner: bool,
    /// Groups are released only when a manifest covers them, not when it is on its way.
    pub(crate) release_after_commit: bool,
}

impl Rules {
    pub(crate) const ALL: Self = Self {
        fence: true,
        probe_after_fence: true,
        read_past_fences: true,
        keep_fences: true,
        manifest_after_logs: true,
        look_at_cover: true,
        look_at_cover_first: true,
        settle_before_next: true,
        check_owner: true,
        release_after_commit: true,
    };
}

/// The protocol without one rule each: its name, what is broken then, and bounds within which that is found.
pub(crate) fn without_each_rule() -> Vec<(&'static str, &'static str, TakeOver)> {
    let all = Rules::ALL;
    let (two, three) = (TakeOver::whole(&[2, 1], &[2, 1], 0, 0), TakeOver::whole(&[2, 0, 0], &[1, 0, 0], 0, 0));
    let faulty = TakeOver::whole(&[2, 1], &[2, 1], 1, 1);
    let (seen, once) =
        ("whoever serves sees what was acknowledged, once and in its place", "files hold it once and in its place");
    let durable = "what was acknowledged is in files or will be replayed";
    [
        ("fence", seen, Rules { fence: false, ..all }, &two),
        ("probe after fence", seen, Rules { probe_after_fence: false, ..all }, &two),
        ("read past fences", seen, Rules { read_past_fences: false, ..all }, &three),
        ("keep fences", seen, Rules { keep_fences: false, ..all }, &two),
        ("manifest after logs", seen, Rules { manifest_after_logs: false, ..all }, &two),
        // Nothing fails here: the manifest that is in the way is the zombie's, and it is taken for another's.
        ("look at cover", once, Rules { look_at_cover: false, ..all }, &two),
        ("look at cover first", once, Rules { look_at_cover_first: false, ..all }, &faulty),
        ("settle before next", seen, Rules { settle_before_next: false, ..all }, &faulty),
        ("release after commit", durable, Rules { release_after_commit: false, ..all }, &two),
        ("check owner", "epochs only grow", Rules { check_owner: false, ..all }, &faulty),
    ]
    .into_iter()
    .map(|(name, broken, rules, bounds)| (name, broken, TakeOver { rules, ..bounds.clone() }))
    .collect()
}
