//! CPU and wall clocks, medians.

use std::{fs, time::Instant};

/// Seconds of CPU and of wall clock that some work took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// User and system time of the process, all threads.
    pub cpu_s: f64,
    /// Wall clock.
    pub wall_s: f64,
}

/// Ticks of `/proc/*/stat` per second; Linux reports in units of 1/100 s to user space.
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds of a process so far (`"self"` or a pid), its ended threads included.
pub(crate) fn cpu_s(process: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_S)
}

/// A running measurement of this process.
pub(crate) struct Stopwatch {
    cpu_s: f64,
    wall: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { cpu_s: cpu_s("self").unwrap_or(0.0), wall: Instant::now() }
    }

    pub(crate) fn stop(&self) -> Cost {
        Cost { cpu_s: cpu_s("self").unwrap_or(0.0) - self.cpu_s, wall_s: self.wall.elapsed().as_secs_f64() }
    }
}

/// Least, median and greatest of some repeats.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { min: quantile(&sorted, 0.0), median: quantile(&sorted, 0.5), max: quantile(&sorted, 1.0) }
    }
}

/// A quantile of sorted values (nearest rank); 0 of none.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank of a short list"
    )]
    let rank = ((sorted.len().saturating_sub(1)) as f64 * q).round() as usize;
    sorted.get(rank).copied().unwrap_or(0.0)
}
