//! `aged-lake HOME FILES EVENTS`: writes the lake of [`tidemark_tests::aged`], for tests that are not written in Rust.

#![allow(clippy::expect_used, clippy::panic, reason = "a fixture that cannot be written fails the test that wants it")]

use std::path::Path;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_program, home, files, events] = &words[..] else { panic!("aged-lake HOME FILES EVENTS") };
    let number = |text: &String| text.parse().expect("a number");
    tidemark_tests::aged::write(Path::new(home), number(files), number(events));
}
