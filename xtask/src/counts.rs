//! Counts of tests, read off the closing lines of the runners.

use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that did not run.
    pub(crate) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Counts {
    /// Takes a line of output in, if it is the closing line of `cargo test` or pytest.
    pub(crate) fn take(&mut self, line: &str) {
        let closing = line.strip_prefix("test result: ").or_else(|| pytest(line));
        if let Some(closing) = closing {
            *self += Self::read(closing);
        }
    }

    fn read(closing: &str) -> Self {
        let mut counts = Self::default();
        let words: Vec<&str> = closing.split([' ', ';', ',', '.']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => counts.passed += number,
                "failed" | "error" | "errors" => counts.failed += number,
                "skipped" | "ignored" => counts.skipped += number,
                _ => {}
            }
        }
        counts
    }
}

/// The inside of pytest's closing line: `==== 3 passed, 1 skipped in 0.12s ====`, or the same without bars when quiet.
fn pytest(line: &str) -> Option<&str> {
    let inside = line.trim_matches(['=', ' ']);
    let first = inside.split_whitespace().next()?.parse::<u64>().is_ok();
    (first && inside.contains(" in ")).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_other_lines_are_not() {
        for (line, passed, failed, skipped) in [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
                12,
                0,
                1,
            ),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", 1, 2, 0),
            ("===== 1 failed, 3 passed, 2 skipped in 0.12s =====", 3, 1, 2),
            ("4 passed, 1 error in 1.20s", 4, 1, 0),
            ("test passed ... ok", 0, 0, 0),
            ("50 kills: every event once", 0, 0, 0),
            ("", 0, 0, 0),
        ] {
            let mut counts = Counts::default();
            counts.take(line);
            assert_eq!(counts, Counts { passed, failed, skipped }, "{line}");
        }
    }
}
