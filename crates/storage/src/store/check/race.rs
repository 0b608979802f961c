//! Many create one name at once: one of them succeeds, and what it wrote is what everybody sees from then on.
//!
//! 1. In each round all racers create the same new name at once, each with a body of its own, and read the name back as
//!    soon as they are answered.
//! 2. When all are back the name is read once more: what remains.
//! 3. [`judge`] says whether this can have come from a store that creates once. Rounds in which nobody succeeded are counted:
//!    a store may refuse all of them now and then (a conflict between requests), not as a rule.

use bytes::Bytes;
use futures::future;
use object_store::path::Path;

use super::{
    Step,
    ground::{Ground, Wrong, body, expect},
};
use crate::{StoreError, store::Put};

/// The sizes of bodies, by round: a larger one is longer on its way, and a store that looks first and writes then has more time
/// to err.
const SIZES: [usize; 3] = [200, 16 << 10, 128 << 10];

/// What one racer was told, and what it read then.
#[derive(Debug)]
struct Told {
    put: Result<Put, StoreError>,
    read: Result<Option<Bytes>, StoreError>,
}

/// What a round showed.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// One succeeded.
    Won,
    /// Nobody did.
    Refused,
}

/// Runs the races.
pub(super) async fn run(
    ground: &Ground<'_>,
    (rounds, racers): (u32, usize),
    tell: &(dyn Fn(Step) + Sync),
) -> Result<(), Wrong> {
    let mut refused = 0;
    for (round, size) in (1..=rounds).zip(SIZES.into_iter().cycle()) {
        let path = ground.object("create_race", &round.to_string());
        let bodies: Vec<Bytes> = (0..racers).map(|racer| body_of(racer, size)).collect();
        let told = future::join_all(bodies.iter().map(|body| race(ground, &path, body))).await;
        let remains = ground.read(&path).await?;
        let seen = judge(&bodies, told, remains.as_ref());
        match seen.map_err(|wrong| in_round(wrong, (round, rounds)))? {
            Round::Won => {}
            Round::Refused => refused += 1,
        }
        tell(Step::Raced { round, of: rounds });
    }
    expect(refused * 2 <= rounds, || {
        format!("in {refused} of {rounds} races everybody was refused and nothing was there")
    })
}

/// The same bytes for all, but for who wrote them.
fn body_of(racer: usize, size: usize) -> Bytes {
    let mut bytes = format!("{racer:04} ").into_bytes();
    bytes.extend_from_slice(&body(size));
    bytes.into()
}

async fn race(ground: &Ground<'_>, path: &Path, body: &Bytes) -> Told {
    let put = ground.store.create(path, body.clone()).await;
    Told { put, read: ground.read(path).await }
}

fn in_round(wrong: Wrong, (round, rounds): (u32, u32)) -> Wrong {
    match wrong {
        Wrong::Seen(seen) => Wrong::Seen(format!("race {round} of {rounds}: {seen}")),
        untried @ Wrong::Untried(_) => untried,
    }
}

/// Whether a round can have come from a store that creates once. A racer whose request failed may have succeeded; one that
/// was refused too, if its client tried twice: then what is there is its own (storage.md, principle 5).
fn judge(bodies: &[Bytes], told: Vec<Told>, remains: Option<&Bytes>) -> Result<Round, Wrong> {
    let seen = |text: String| Err(Wrong::Seen(text));
    let owner = |read: &Bytes| bodies.iter().position(|body| body == read);
    let winners: Vec<usize> =
        (0..).zip(&told).filter(|(_, told)| matches!(told.put, Ok(Put::Created))).map(|(at, _)| at).collect();
    let racers = told.len();
    if winners.len() > 1 {
        return seen(format!("{} of {racers} were told that they created the object", winners.len()));
    }
    let Some(remains) = remains else {
        return match winners.first() {
            Some(_) => seen("one was told that it created the object, and it is not there".to_owned()),
            None => first_failure(told).map_or(Ok(Round::Refused), |error| Err(error.into())),
        };
    };
    let Some(by) = owner(remains) else { return seen("what remains is what nobody wrote".to_owned()) };
    if winners.first().is_some_and(|winner| *winner != by) {
        return seen("what remains was written by one that was not told that it created the object".to_owned());
    }
    for (at, told) in told.iter().enumerate() {
        match &told.read {
            Ok(Some(read)) if read != remains => {
                let what = owner(read).map_or("what nobody wrote", |_| "what another wrote than remains");
                return seen(format!("one of {racers} read {what}: the object changed"));
            }
            Ok(None) if winners.first() == Some(&at) => {
                return seen("the one that created the object found nothing there".to_owned());
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(Round::Won)
}

fn first_failure(told: Vec<Told>) -> Option<StoreError> {
    told.into_iter().find_map(|told| told.put.err().or_else(|| told.read.err()))
}

#[cfg(test)]
mod tests;
