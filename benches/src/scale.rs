//! What a lake costs beyond CPU: requests to the store, time to start, and many collections on one process.
//!
//! 1. [`counted`]: what a server counts, and what requests cost by list price. 2. [`load`]: changes of many collections, and an
//!    open loop that sends them. 3. The parts: [`requests`] per million events, [`idle`], [`start`], [`collections`].
//!
//! `scale [--part requests|idle|start|collections] [--quick]`. Without a part all of them run, one after the other (an hour); each writes its
//! table into `results/scale.json` and leaves the others there. `--quick` is for trying the benchmark out: a tenth of the collections, of the
//! log and of the time, its figures say so.

mod collections;
mod counted;
mod idle;
mod load;
mod requests;
mod start;

use crate::Outcome;

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// What the figures of the whole are divided by.
    part: u64,
}

impl Size {
    fn of(self, whole: u64) -> u64 {
        whole / self.part
    }

    /// Behind what a table tells.
    const fn told(self) -> &'static str {
        if self.part == 1 { "" } else { ". QUICK: a tenth of it all, not the figures of the target" }
    }
}

const PARTS: [&str; 4] = ["requests", "idle", "start", "collections"];

/// The parts that were asked for.
pub(crate) async fn run(words: &[String]) -> Outcome {
    let (mut size, mut asked, mut words) = (Size { part: 1 }, Vec::new(), words.iter().map(String::as_str));
    while let Some(word) = words.next() {
        match (word, words.clone().next()) {
            ("--quick", _) => size.part = 10,
            ("--part", Some(part)) if PARTS.contains(&part) => {
                asked.push(part);
                words.next();
            }
            _ => return Err(format!("scale [--part {}] [--quick]", PARTS.join("|")).into()),
        }
    }
    for part in PARTS.iter().filter(|part| asked.is_empty() || asked.contains(part)) {
        match *part {
            "requests" => requests::run(size).await?,
            "idle" => idle::run(size).await?,
            "start" => start::run(size).await?,
            _ => collections::run(size).await?,
        }
    }
    Ok(())
}
