//! Which namespaces are to be flushed now: a pure function.

use tidemark_model::{Instant, Namespace};
use tidemark_storage::log::Pressure;

/// When a flush is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Decoded bytes of a namespace.
    pub(crate) bytes: usize,
    /// Rows of a namespace.
    pub(crate) rows: usize,
    /// Age of its oldest append, µs.
    pub(crate) age_us: i64,
    /// Bytes of the log.
    pub(crate) log_bytes: u64,
}

impl Pace {
    /// Whether a tail is due by its size.
    pub(crate) const fn is_full(&self, bytes: usize, rows: usize) -> bool {
        bytes >= self.bytes || rows >= self.rows
    }
}

/// What the tail of a namespace holds.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) namespace: Namespace,
    pub(crate) bytes: usize,
    pub(crate) rows: usize,
    pub(crate) oldest: Option<Instant>,
}

/// The namespaces to flush, the most pressing first: those that are full, those that are old; under pressure of the log
/// those that keep its oldest segment; above three quarters of the cap the largest, until half of it is free.
pub(crate) fn due(
    pace: &Pace,
    states: &[State],
    pressure: &Pressure,
    (now, (used, cap)): (Instant, (usize, usize)),
) -> Vec<Namespace> {
    let mut states: Vec<&State> = states.iter().filter(|state| state.oldest.is_some()).collect();
    states.sort_by_key(|state| std::cmp::Reverse(state.bytes));
    let is_old = |state: &State| state.oldest.is_some_and(|oldest| now.micros() - oldest.micros() >= pace.age_us);
    let mut due: Vec<&State> = Vec::new();
    if pressure.bytes >= pace.log_bytes {
        due.extend(states.iter().filter(|state| pressure.oldest.contains(&state.namespace)));
    }
    due.extend(states.iter().filter(|state| pace.is_full(state.bytes, state.rows) || is_old(state)));
    if used >= cap / 4 * 3 {
        let mut left = used;
        due.extend(states.iter().take_while(|state| {
            let wanted = left > cap / 2;
            left = left.saturating_sub(state.bytes);
            wanted
        }));
    }
    let mut picked: Vec<Namespace> = Vec::with_capacity(due.len());
    for state in due {
        if !picked.contains(&state.namespace) {
            picked.push(state.namespace.clone());
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { bytes: 100, rows: 10, age_us: 600, log_bytes: 1000 };

    fn state(name: &str, bytes: usize, rows: usize, oldest: i64) -> State {
        let namespace = Namespace::parse(name).expect("a name");
        State { namespace, bytes, rows, oldest: (rows > 0).then(|| Instant::from_micros(oldest)) }
    }

    #[test]
    fn what_is_full_old_or_in_the_way_is_flushed() {
        let states = [state("a", 10, 1, 500), state("b", 120, 2, 990), state("c", 20, 10, 990), state("d", 0, 0, 0)];
        let log = |bytes| Pressure { segments: 1, bytes, oldest: vec![Namespace::parse("a").expect("a name")] };
        for (now, pressure, used, expected) in [
            (1000, log(0), 150, &["b", "c"][..]),
            (1100, log(0), 150, &["b", "c", "a"][..]),
            (1000, log(1000), 150, &["a", "b", "c"][..]),
            (1000, log(0), 800, &["b", "c", "a"][..]),
        ] {
            let picked = due(&PACE, &states, &pressure, (Instant::from_micros(now), (used, 1000)));
            assert_eq!(picked.iter().map(Namespace::as_str).collect::<Vec<_>>(), expected, "at {now}, {used} used");
        }
        assert!(due(&PACE, &states[..1], &log(0), (Instant::from_micros(1000), (0, 1000))).is_empty());
    }
}
