//! What must hold in every state, and what must be reachable so that the rest says something.

use stateright::Property;

use super::{Append, At, Object, State, TakeOver};

pub(super) fn all() -> Vec<Property<TakeOver>> {
    vec![
        Property::always("what was acknowledged is in files or will be replayed", |_, state: &State| is_durable(state)),
        Property::always("whoever serves sees what was acknowledged, once and in its place", |_, state: &State| {
            is_visible(state)
        }),
        Property::always("files hold it once and in its place", |_, state: &State| is_in_place(state)),
        Property::always("epochs only grow", |_, state: &State| epochs_grow(state)),
        Property::always("manifests do not fork", |_, state: &State| do_not_fork(state)),
        Property::always("system time increases with position", |_, state: &State| times_increase(state)),
        Property::sometimes("a zombie meets a fence", |_, state: &State| state.seen.met_fence),
        Property::sometimes("a zombie finds its successor before it commits", |_, state: &State| {
            state.seen.found_successor
        }),
        Property::sometimes("a zombie commits late", |_, state: &State| state.seen.late_manifest),
        Property::sometimes("a successor takes a zombie's manifest for its own log's", |_, state: &State| {
            state.seen.covered_by_zombie
        }),
        Property::sometimes("a successor applies its appends on a zombie's manifest", |_, state: &State| {
            state.seen.applied_anew
        }),
        Property::sometimes("a fence goes up", |_, state: &State| state.seen.fence_went_up),
        Property::sometimes("a fence falls below the floor", |_, state: &State| state.seen.fence_below_floor),
        Property::sometimes("a fence of another is found", |_, state: &State| state.seen.found_fence),
        Property::sometimes("a group goes while it is read", |_, state: &State| state.seen.deleted_under_reader),
        Property::sometimes("a fence is read past", |_, state: &State| state.seen.read_past_fence),
        Property::sometimes("a request is applied late", |_, state: &State| state.seen.applied_late),
        Property::sometimes("reading back settles an append", |_, state: &State| state.seen.settled_by_reading),
    ]
}

/// Whoever comes next finds it.
fn is_durable(state: &State) -> bool {
    let newest = state.newest_manifest();
    state.acknowledged.iter().all(|(append, _)| {
        let log = &state.logs[usize::from(append.owner) - 1];
        newest.content.contains(append)
            || (append.nth >= log.floor && log.at(append.nth) == Some(Object::Group(*append)))
    })
}

/// Of owners that were succeeded only what they and those before them acknowledged is asked for.
fn is_visible(state: &State) -> bool {
    let serving = (1..).zip(&state.owners).filter(|(_, owner)| owner.at == At::Serves);
    serving.into_iter().all(|(epoch, owner)| {
        let view = owner.view();
        let told = state.acknowledged.iter().filter(|(append, _)| append.owner <= epoch);
        told.into_iter().all(|(append, position)| view.get(usize::from(*position)) == Some(append))
            && has_no_twin(&view)
    })
}

fn has_no_twin(appends: &[Append]) -> bool {
    appends.iter().enumerate().all(|(at, append)| !appends[at + 1..].contains(append))
}

fn is_in_place(state: &State) -> bool {
    state.manifests.iter().all(|manifest| {
        let in_place = |(append, position): &(Append, u8)| {
            manifest.content.get(usize::from(*position)).is_none_or(|there| there == append)
        };
        has_no_twin(&manifest.content) && state.acknowledged.iter().all(in_place)
    })
}

fn do_not_fork(state: &State) -> bool {
    state.manifests.windows(2).all(|pair| pair[1].content.starts_with(&pair[0].content))
}

fn epochs_grow(state: &State) -> bool {
    state.manifests.windows(2).all(|pair| pair[1].epoch >= pair[0].epoch)
}

fn times_increase(state: &State) -> bool {
    let increases = |content: &[Append]| content.windows(2).all(|pair| pair[0].time < pair[1].time);
    state.manifests.iter().all(|manifest| increases(&manifest.content))
}
