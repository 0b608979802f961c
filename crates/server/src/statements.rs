//! Where one statement of a text ends and the next begins: at `;` outside quotes and comments.

/// What a text holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// The statements that ended with `;`, without it, none empty.
    pub whole: Vec<String>,
    /// What follows the last `;`: a statement that is not finished, or nothing.
    pub rest: String,
}

/// Splits a text.
#[must_use]
pub fn split(text: &str) -> Split {
    let mut split = Split::default();
    let (mut begin, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        if c == ';' {
            push(&mut split.whole, &text[begin..at]);
            begin = at + 1;
        }
        at += skipped(&text[at..]).unwrap_or(c.len_utf8());
    }
    split.rest = if says_something(&text[begin..]) { text[begin..].trim_start().to_owned() } else { String::new() };
    split
}

/// Whether a statement sets or resets a setting.
#[must_use]
pub fn sets(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default();
    ["SET", "RESET"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

fn push(whole: &mut Vec<String>, statement: &str) {
    if says_something(statement) {
        whole.push(statement.trim().to_owned());
    }
}

/// Whether there is more than white space and finished comments.
fn says_something(text: &str) -> bool {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match skipped(&text[at..]) {
            Some(length) if is_finished_comment(&text[at..at + length]) => at += length,
            None if c.is_whitespace() => at += c.len_utf8(),
            _ => return true,
        }
    }
    false
}

fn is_finished_comment(text: &str) -> bool {
    text.starts_with("--") || (text.starts_with("/*") && text.len() >= 4 && text.ends_with("*/"))
}

/// The length of the quote or comment that the text begins with; all of it when it does not end.
fn skipped(text: &str) -> Option<usize> {
    let until =
        |open: usize, close: &str| Some(text[open..].find(close).map_or(text.len(), |at| open + at + close.len()));
    match text.as_bytes() {
        [b'\'', ..] => until(1, "'"),
        [b'"', ..] => until(1, "\""),
        [b'-', b'-', ..] => until(2, "\n"),
        [b'/', b'*', ..] => Some(block_comment(text)),
        [b'$', ..] => dollar_quote(text),
        _ => None,
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0u32, 0);
    while at < text.len() {
        let (change, step) = match text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        at += step;
        depth = depth.saturating_add_signed(change);
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// `$tag$ … $tag$`; a parameter such as `$1` is none.
fn dollar_quote(text: &str) -> Option<usize> {
    let tag = text[1..].find('$').map(|end| &text[..end + 2])?;
    let inner = &tag[1..tag.len() - 1];
    let is_tag =
        inner.chars().all(|c| c.is_alphanumeric() || c == '_') && !inner.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_by_their_first_word() {
        for (statement, expected) in [
            ("SET tidemark.as_of = now()", true),
            ("set\ttidemark.as_of = now()", true),
            ("RESET ALL", true),
            ("SELECT 'SET'", false),
            ("SETTLE", false),
            ("", false),
        ] {
            assert_eq!(sets(statement), expected, "{statement}");
        }
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        for (text, whole, rest) in [
            ("", vec![], ""),
            ("  \n ", vec![], ""),
            ("SELECT 1", vec![], "SELECT 1"),
            ("SELECT 1;", vec!["SELECT 1"], ""),
            ("SELECT 1;;; SELECT 2 ;\n", vec!["SELECT 1", "SELECT 2"], ""),
            ("SELECT ';' ; SELECT", vec!["SELECT ';'"], "SELECT"),
            ("SELECT 'it''s;' ;", vec!["SELECT 'it''s;'"], ""),
            ("SELECT \"a;b\";", vec!["SELECT \"a;b\""], ""),
            ("SELECT 1 -- no; end\n;", vec!["SELECT 1 -- no; end"], ""),
            ("-- only; a comment", vec![], ""),
            ("-- a comment\n;", vec![], ""),
            ("/* a /* nested; */ one; */ SELECT 1;", vec!["/* a /* nested; */ one; */ SELECT 1"], ""),
            ("/* done */", vec![], ""),
            ("/* open ;", vec![], "/* open ;"),
            ("SELECT 'open ;", vec![], "SELECT 'open ;"),
            ("SELECT $$a;b$$;", vec!["SELECT $$a;b$$"], ""),
            ("SELECT $q$a;$$;b$q$;", vec!["SELECT $q$a;$$;b$q$"], ""),
            ("SELECT $1; SELECT $2;", vec!["SELECT $1", "SELECT $2"], ""),
            ("SELECT 'ü;日本';", vec!["SELECT 'ü;日本'"], ""),
        ] {
            let expected = Split { whole: whole.into_iter().map(str::to_owned).collect(), rest: rest.to_owned() };
            assert_eq!(split(text), expected, "{text:?}");
        }
    }
}
