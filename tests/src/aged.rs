//! A lake whose rows were acknowledged long ago, in many small files: what compaction finds to do as soon as a server starts.

use std::path::Path;

use tidemark_ingest::Duty;
use tidemark_model::{Instant, Namespace};

use crate::lake::{Ended, Job, World};

/// When its first rows were acknowledged.
const BEGIN: &str = "2025-01-01T00:10:00Z";
/// Between two files.
const APART_US: i64 = 20 * 60_000_000;
/// The most plain events of one request.
const REQUEST_MAX: u64 = 2500;

/// Writes a lake under `home/data`, as a server over `home` looks for it: the namespace `shop` in so many events files,
/// three in every hour, each with so many plain events and as many changes of `shop.orders`.
///
/// # Panics
/// When it cannot be written.
pub fn write(home: &Path, files: u64, of_each: u64) {
    let shop = Namespace::parse("shop").expect("a name");
    let mut world = World::over(home, Instant::parse(BEGIN).expect("an instant"));
    let lake = world.start();
    for file in 0..files {
        let end = (file + 1) * of_each;
        for first in (file * of_each..end).step_by(usize::try_from(REQUEST_MAX).expect("small")) {
            let numbers = first..end.min(first + REQUEST_MAX);
            let accepted = 2 * (numbers.end - numbers.start);
            let lines = numbers.flat_map(|n| [event(n), change(n)]).collect::<Vec<_>>().join("\n");
            assert_eq!(lake.send_events(&shop, lines).expect("is taken").accepted, accepted);
        }
        assert_eq!(lake.run(Job::Flush, &shop), Ended::Whole);
        world.clock.step(APART_US);
    }
    lake.drain();
}

/// Deletes what no manifest names any more of such a lake, without a grace: nobody reads it.
///
/// # Panics
/// When it cannot be opened.
pub fn clean_up(home: &Path) {
    let shop = Namespace::parse("shop").expect("a name");
    let mut world = World::over(home, Instant::parse(BEGIN).expect("an instant"));
    (world.ingest.grace_s, world.ingest.external_retention_s) = (0, 0);
    let lake = world.start();
    assert_eq!(lake.run(Job::Events(Duty::CleanUp), &shop), Ended::Whole);
    lake.drain();
}

fn event(n: u64) -> String {
    format!(r#"{{"type":"seen.{}","id":"e{n}","data":{{"n":{n}}}}}"#, n % 3)
}

fn change(n: u64) -> String {
    format!(
        r#"{{"collection":"orders","op":"insert","id":"order-{n}","event_id":"c{n}","doc":{{"n":{n},"state":"new"}}}}"#
    )
}
