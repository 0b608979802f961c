//! What must hold in every state, and what must be reachable so that the rest says something.

use stateright::Property;

use super::{FIRST, Manifest, Register, Set, State};

pub(super) fn all() -> Vec<Property<Register>> {
    vec![
        Property::always("a number has one winner", |_, state: &State| !state.seen.two_winners),
        Property::always("what was acknowledged is not replaced", |_, state: &State| winners_stand(state)),
        Property::always("a number tells what was committed under it", |model: &Register, state: &State| {
            tells_what_was_committed(state, model.rules.probe_by_number)
        }),
        Property::always("the chain has no gap", |_, state: &State| has_no_gap(state)),
        Property::always("no reader goes back", |_, state: &State| !state.seen.went_back),
        Property::always("the newest manifest names no file that was deleted", |_, state: &State| {
            names_what_is_there(state)
        }),
        Property::always("an append is in files exactly once", |_, state: &State| has_each_once(state)),
        Property::always("what a manifest covers stays covered", |_, state: &State| marks_grow(state)),
        Property::sometimes("a committer is fenced", |_, state: &State| state.seen.fenced),
        Property::sometimes("a commit loses its number", |_, state: &State| state.seen.lost),
        Property::sometimes("a request is applied late", |_, state: &State| state.seen.applied_late),
        Property::sometimes("reading back settles a create", |_, state: &State| state.seen.settled_by_reading),
        Property::sometimes("a file is written anew", |_, state: &State| state.seen.planned_anew),
        Property::sometimes("a file is deleted", |_, state: &State| state.seen.deleted_file),
        Property::sometimes("a manifest is deleted", |_, state: &State| state.seen.deleted_manifest),
        Property::sometimes("a search begins anew", |_, state: &State| state.seen.searched_again),
    ]
}

/// The manifests above the floor, in order.
fn chain(state: &State) -> impl Iterator<Item = Manifest> {
    let from = usize::from(state.floor.max(FIRST));
    state.manifests[from..].iter().flatten().copied()
}

fn winners_stand(state: &State) -> bool {
    let from = usize::from(state.floor.max(FIRST));
    let mut both = state.won.iter().zip(&state.manifests).skip(from);
    both.all(|(won, there)| won.is_none_or(|won| there.is_some_and(|there| there.put_id == won)))
}

/// Below the floor an entry of one that was fenced may stand for ever.
fn tells_what_was_committed(state: &State, above_floor: bool) -> bool {
    let from = if above_floor { usize::from(state.floor) } else { 0 };
    let mut both = state.won.iter().zip(&state.manifests).skip(from);
    both.all(|both| if let (Some(won), Some(there)) = both { there.put_id == *won } else { true })
}

fn has_no_gap(state: &State) -> bool {
    let from = usize::from(state.floor.max(FIRST));
    let length = state.manifests[from..].iter().take_while(|there| there.is_some()).count();
    length > 0 && chain(state).count() == length
}

fn names_what_is_there(state: &State) -> bool {
    chain(state).last().is_none_or(|newest| state.files.has(newest.files))
}

/// Every manifest, not only the newest: each was the newest once.
fn has_each_once(state: &State) -> bool {
    chain(state).all(|manifest| {
        let (mut all, mut twice) = (Set::default(), false);
        for file in manifest.files.each() {
            let content = state.content[usize::from(file)];
            twice |= !all.without(content).has(all);
            all = all.with(content);
        }
        !twice && all == manifest.mark
    })
}

fn marks_grow(state: &State) -> bool {
    let all: Vec<Manifest> = chain(state).collect();
    all.windows(2).all(|pair| pair[1].mark.has(pair[0].mark) && pair[1].orphans_below >= pair[0].orphans_below)
}
