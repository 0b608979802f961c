//! `cargo xtask bench [name]`: the benchmarks of `benches/`, in release.

use crate::step::Step;

/// Hands everything behind `bench` to the benchmarks' own binary.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let step = Step::cargo("bench", "run --quiet --release --package tidemark-benches --");
    words.iter().fold(step, |step, word| step.word(word)).run()
}
