//! Whether what clients saw has one order (row R-21 of reliability): a history of appends to a set and of reads of all of it.
//!
//! Each operation takes effect at one moment between its beginning and its answer, or there is no order that explains the
//! history. For a set that only grows that can be decided without trying orders out ([`History::check`]):
//!
//! 1. a read sees every append that was acknowledged before it began, and none that was begun after it ended;
//! 2. of two reads one saw all that the other saw, and the one that began after the other ended saw no less;
//! 3. the lake's own order agrees: an append that was begun after another one was acknowledged has the greater system time.

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// What the clients of one history did and saw.
#[derive(Debug, Default)]
pub struct History {
    moment: AtomicU64,
    appends: Mutex<Vec<Append>>,
    reads: Mutex<Vec<Read>>,
}

/// When it was begun, and when it was first acknowledged.
#[derive(Debug, Clone, Copy)]
struct Append {
    begun: u64,
    acknowledged: Option<u64>,
}

#[derive(Debug)]
struct Read {
    begun: u64,
    ended: u64,
    seen: Seen,
}

/// Numbers of appends.
#[derive(Debug, Default)]
struct Seen {
    bits: Vec<u64>,
    count: usize,
}

impl Seen {
    fn insert(&mut self, append: usize) {
        let (word, bit) = (append / 64, 1 << (append % 64));
        self.bits.resize(self.bits.len().max(word + 1), 0);
        self.count += usize::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }

    fn contains(&self, append: usize) -> bool {
        self.bits.get(append / 64).is_some_and(|word| word & (1 << (append % 64)) != 0)
    }

    fn is_within(&self, other: &Self) -> bool {
        let others = other.bits.iter().copied().chain(std::iter::repeat(0));
        self.bits.iter().zip(others).all(|(mine, other)| mine & !other == 0)
    }
}

/// What a history held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Appends.
    pub appends: usize,
    /// Of them, those nobody acknowledged.
    pub unknown: usize,
    /// Of those, what is there all the same.
    pub unknown_seen: usize,
    /// Reads.
    pub reads: usize,
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.appends += other.appends;
        self.unknown += other.unknown;
        self.unknown_seen += other.unknown_seen;
        self.reads += other.reads;
    }
}

impl History {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    /// A new append begins; its number.
    pub fn begin_append(&self) -> usize {
        let mut appends = lock(&self.appends);
        appends.push(Append { begun: self.now(), acknowledged: None });
        appends.len() - 1
    }

    /// An append was acknowledged, or one of its repetitions.
    ///
    /// # Panics
    /// When it was never begun.
    pub fn acknowledge(&self, append: usize) {
        let now = self.now();
        lock(&self.appends)[append].acknowledged.get_or_insert(now);
    }

    /// Appends that nobody has acknowledged yet.
    pub fn unacknowledged(&self) -> Vec<usize> {
        let appends = lock(&self.appends);
        (0..appends.len()).filter(|append| appends[*append].acknowledged.is_none()).collect()
    }

    /// A read begins; its beginning.
    pub fn begin_read(&self) -> u64 {
        self.now()
    }

    /// A read ended with these appends.
    pub fn end_read(&self, begun: u64, appends: impl IntoIterator<Item = usize>) {
        let ended = self.now();
        let mut seen = Seen::default();
        appends.into_iter().for_each(|append| seen.insert(append));
        lock(&self.reads).push(Read { begun, ended, seen });
    }

    /// Looks for an order. `times` says the system time of each append that is there at the end.
    ///
    /// # Errors
    /// What contradicts every order.
    pub fn check(&self, times: &[(usize, i64)]) -> Result<Counts, String> {
        let (appends, mut reads) = (lock(&self.appends), lock(&self.reads));
        check_appends(&appends, &reads)?;
        check_reads(&mut reads)?;
        check_times(&appends, times)?;
        let unknown = appends.iter().filter(|append| append.acknowledged.is_none()).count();
        let unknown_seen = times.iter().filter(|(append, _)| appends[*append].acknowledged.is_none()).count();
        Ok(Counts { appends: appends.len(), unknown, unknown_seen, reads: reads.len() })
    }
}

fn check_appends(appends: &[Append], reads: &[Read]) -> Result<(), String> {
    for read in reads {
        let told = |what: &str, append: usize| {
            Err(format!("the read from {} to {} {what} append {append}: {:?}", read.begun, read.ended, appends[append]))
        };
        for (number, append) in appends.iter().enumerate() {
            match (read.seen.contains(number), append.acknowledged) {
                (false, Some(acknowledged)) if acknowledged < read.begun => return told("did not see", number),
                (true, _) if append.begun > read.ended => return told("saw, before it was begun,", number),
                _ => {}
            }
        }
    }
    Ok(())
}

fn check_reads(reads: &mut [Read]) -> Result<(), String> {
    reads.sort_by_key(|read| read.seen.count);
    for two in reads.windows(2) {
        if !two[0].seen.is_within(&two[1].seen) {
            return Err(format!("two reads that each saw what the other did not: {two:?}"));
        }
    }
    // All lie within one another by now, so that the number of what they saw tells which saw more.
    let mut ended: Vec<(u64, usize)> = reads.iter().map(|read| (read.ended, read.seen.count)).collect();
    ended.sort_unstable();
    reads.sort_by_key(|read| read.begun);
    let (mut before, mut most) = (ended.iter().peekable(), 0);
    for read in &*reads {
        while let Some((_, count)) = before.next_if(|(ended, _)| *ended < read.begun) {
            most = most.max(*count);
        }
        if read.seen.count < most {
            let (begun, count) = (read.begun, read.seen.count);
            return Err(format!("the read begun at {begun} saw {count} appends, one that had ended by then {most}"));
        }
    }
    Ok(())
}

fn check_times(appends: &[Append], times: &[(usize, i64)]) -> Result<(), String> {
    let mut acknowledged: Vec<(u64, i64)> =
        times.iter().filter_map(|(append, time)| Some((appends[*append].acknowledged?, *time))).collect();
    acknowledged.sort_unstable();
    let mut begun: Vec<(u64, i64, usize)> =
        times.iter().map(|(append, time)| (appends[*append].begun, *time, *append)).collect();
    begun.sort_unstable();
    let (mut before, mut newest) = (acknowledged.iter().peekable(), i64::MIN);
    for (begun, time, append) in begun {
        while let Some((_, time)) = before.next_if(|(acknowledged, _)| *acknowledged < begun) {
            newest = newest.max(*time);
        }
        if time <= newest {
            return Err(format!(
                "append {append} was begun at {begun} and lies at {time}, one acknowledged by then at {newest}"
            ));
        }
    }
    Ok(())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("nobody panics while it is held")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a case expects to be told, and what it does to a history.
    type Case = (&'static str, fn(&History));

    /// Begins two appends; the first is acknowledged.
    fn begun() -> History {
        let history = History::default();
        assert_eq!((history.begin_append(), history.begin_append()), (0, 1));
        history.acknowledge(0);
        history
    }

    #[test]
    fn what_has_an_order_is_told_by_its_counts() {
        let history = begun();
        let (early, late) = (history.begin_read(), history.begin_read());
        history.end_read(late, [0, 1]);
        // It began before the other ended, so it may have looked before.
        history.end_read(early, [0]);
        let counts = Counts { appends: 2, unknown: 1, unknown_seen: 1, reads: 2 };
        assert_eq!(history.check(&[(0, 10), (1, 5)]), Ok(counts));
        assert_eq!(history.unacknowledged(), [1]);
    }

    #[test]
    fn what_has_no_order_is_told() {
        let cases: [Case; 5] = [
            ("did not see append 0", |history| {
                let read = history.begin_read();
                history.end_read(read, []);
            }),
            ("before it was begun", |history| {
                let read = history.begin_read();
                history.end_read(read, [0, 2]);
                history.begin_append();
            }),
            ("each saw what the other did not", |history| {
                history.begin_append();
                let reads = (history.begin_read(), history.begin_read());
                history.end_read(reads.0, [0, 1]);
                history.end_read(reads.1, [0, 2]);
            }),
            ("saw 1 appends, one that had ended by then 2", |history| {
                for seen in [&[0, 1][..], &[0]] {
                    let read = history.begin_read();
                    history.end_read(read, seen.iter().copied());
                }
            }),
            ("append 2 was begun", |history| {
                history.begin_append();
            }),
        ];
        for (expected, what) in cases {
            let history = begun();
            what(&history);
            let times = [(0, 10), (2, 10)];
            let there = lock(&history.appends).len() - 1;
            let told = history.check(&times[..there]).unwrap_err();
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }
}
