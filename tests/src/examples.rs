//! Documents whose examples are run, so that what people copy works.
//!
//! The convention: an HTML comment on the line before a fenced block makes it an example.
//!
//! - `<!-- run -->` before a `sql` block: it is asked, and must answer at least one row.
//! - `<!-- run: shows TEXT -->`: the same, and the answer (as CSV) or the output must hold TEXT.
//! - `<!-- run: fails CODE -->` before a `sql` block: it must be refused with this problem code.
//! - before a `sh` block: it is run by `sh -eu` with the built `tidemark` on the path and `TIDEMARK_URL` set to a server
//!   that has the demo's data loaded; it must end with 0.
//!
//! Blocks without such a comment are not run.

use std::path::Path;

/// What an example is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A statement for `POST /v1/query`.
    Sql,
    /// A script for `sh`.
    Sh,
}

/// What must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Works,
    /// It works and its output holds this text.
    Shows(String),
    /// It is refused with this code.
    Fails(String),
}

/// One example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The line of its fence, from 1.
    pub line: usize,
    /// What it is written in.
    pub language: Language,
    /// What must come of it.
    pub outcome: Outcome,
    /// The text.
    pub text: String,
}

/// The examples of a document.
#[must_use]
pub fn read(path: &Path) -> Vec<Example> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    find(&text)
}

fn find(document: &str) -> Vec<Example> {
    let lines: Vec<&str> = document.lines().collect();
    let mut examples = Vec::new();
    for (at, pair) in lines.windows(2).enumerate() {
        let is_marked = pair[0].trim().starts_with("<!-- run");
        let is_run = outcome(pair[0]).is_some() && language(pair[1]).is_some();
        assert!(
            !is_marked || is_run,
            "line {}: a mark that is not understood, or no block of sql or sh behind it",
            at + 1
        );
        let (Some(outcome), Some(language)) = (outcome(pair[0]), language(pair[1])) else { continue };
        let inside = lines[at + 2..].iter().take_while(|line| line.trim() != "```");
        let text = inside.copied().collect::<Vec<_>>().join("\n");
        examples.push(Example { line: at + 2, language, outcome, text });
    }
    examples
}

fn outcome(line: &str) -> Option<Outcome> {
    let words = line.trim().strip_prefix("<!-- run")?.strip_suffix("-->")?.trim();
    let Some(words) = words.strip_prefix(':').map(str::trim) else { return Some(Outcome::Works) };
    let shows = words.strip_prefix("shows ").map(|text| Outcome::Shows(text.to_owned()));
    shows.or_else(|| words.strip_prefix("fails ").map(|code| Outcome::Fails(code.to_owned())))
}

fn language(line: &str) -> Option<Language> {
    match line.trim() {
        "```sql" => Some(Language::Sql),
        "```sh" => Some(Language::Sh),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_examples() {
        let document = "x\n```sql\nSELECT 0\n```\n<!-- run -->\n```sql\nSELECT 1\n```\n<!-- run: shows 42 -->\n```sh\na\nb\n```\n\
                        <!-- run: fails read_only -->\n```sql\nDROP TABLE x\n```\n";
        let found: Vec<_> = find(document).into_iter().map(|it| (it.line, it.language, it.outcome, it.text)).collect();
        let expected = [
            (6, Language::Sql, Outcome::Works, "SELECT 1".to_owned()),
            (10, Language::Sh, Outcome::Shows("42".into()), "a\nb".to_owned()),
            (15, Language::Sql, Outcome::Fails("read_only".into()), "DROP TABLE x".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    #[should_panic(expected = "line 2")]
    fn a_mark_that_marks_nothing_is_told() {
        find("x\n<!-- run -->\n```json\n{}\n```\n");
    }
}
