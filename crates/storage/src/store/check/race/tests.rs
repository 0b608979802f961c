//! Rounds as they may end, and what is made of them.

use super::*;

const A: &str = "0000 a";
const B: &str = "0001 b";
const STRANGE: &str = "0002 c";

/// What one was told and read.
fn told((put, read): (&str, &str)) -> Told {
    let failed = || StoreError::NotFound { path: "timed out".to_owned() };
    let put = match put {
        "created" => Ok(Put::Created),
        "exists" => Ok(Put::Exists),
        _ => Err(failed()),
    };
    let read = match read {
        "" => Ok(None),
        "failed" => Err(failed()),
        bytes => Ok(Some(Bytes::copy_from_slice(bytes.as_bytes()))),
    };
    Told { put, read }
}

#[test]
fn rounds_are_judged() {
    let bodies = [A, B].map(|body| Bytes::from_static(body.as_bytes()));
    for (first, second, remains, expected) in [
        (("created", A), ("exists", A), A, Ok(Round::Won)),
        (("created", A), ("exists", ""), A, Ok(Round::Won)),
        (("created", A), ("failed", ""), A, Ok(Round::Won)),
        (("created", "failed"), ("failed", "failed"), A, Ok(Round::Won)),
        // Nobody was told so, yet one did: its client tried twice, or its answer was lost.
        (("exists", A), ("exists", A), A, Ok(Round::Won)),
        (("exists", ""), ("exists", B), B, Ok(Round::Won)),
        (("failed", ""), ("exists", A), A, Ok(Round::Won)),
        (("exists", ""), ("exists", ""), "", Ok(Round::Refused)),
        (("created", A), ("created", A), A, Err("2 of 2 were told")),
        (("created", A), ("created", B), B, Err("2 of 2 were told")),
        (("created", A), ("exists", ""), "", Err("it is not there")),
        (("created", A), ("exists", A), B, Err("was not told that it created")),
        (("created", A), ("exists", B), A, Err("read what another wrote than remains")),
        (("created", A), ("exists", STRANGE), A, Err("read what nobody wrote")),
        (("created", ""), ("exists", A), A, Err("found nothing there")),
        (("exists", A), ("exists", B), B, Err("the object changed")),
        (("exists", A), ("exists", ""), STRANGE, Err("what remains is what nobody wrote")),
        (("failed", ""), ("exists", ""), "", Err("timed out")),
        (("exists", "failed"), ("exists", ""), "", Err("timed out")),
    ] {
        let remains_bytes = Some(Bytes::copy_from_slice(remains.as_bytes())).filter(|bytes| !bytes.is_empty());
        let judged = judge(&bodies, vec![told(first), told(second)], remains_bytes.as_ref());
        let said = judged.map_err(|wrong| match wrong {
            Wrong::Seen(seen) => seen,
            Wrong::Untried(error) => error.to_string(),
        });
        let is_as_expected = match (&said, expected) {
            (Ok(round), Ok(expected)) => *round == expected,
            (Err(said), Err(words)) => said.contains(words),
            _ => false,
        };
        assert!(is_as_expected, "{first:?} {second:?} {remains:?}: {said:?}");
    }
}
