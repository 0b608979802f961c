//! Time clauses, on tokens: what the parser cannot read becomes one clause that it can.
//!
//! The parser reads one `FOR SYSTEM_TIME AS OF` after a table name, no `VALID_TIME`, no second clause. So a run of
//! clauses is replaced by `FOR SYSTEM_TIME AS OF <marker>(<instants>)`, where the marker says which clocks were
//! named; the parser itself finds where each instant ends. Anything that is not a clause stays as it is, and a clause
//! where no table name stands before it is still refused by the parser.

use sqlparser::{
    keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS},
    parser::Parser,
    tokenizer::{Token, TokenWithSpan, Word},
};

use super::{dialect::DIALECT, limits::is_significant};
use crate::Error;

/// The most clauses of one statement: each costs one look of the parser at the rest of the text.
const CLAUSES_MAX: usize = 128;
/// Names of the marker functions.
pub(crate) const SYSTEM: &str = "tidemark$system";
/// See [`SYSTEM`].
pub(crate) const VALID: &str = "tidemark$valid";
/// System time first. See [`SYSTEM`].
pub(crate) const BOTH: &str = "tidemark$both";

/// Which clock a clause asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    System,
    Valid,
}

/// One clause: which clock, and where its instant stands in the tokens.
#[derive(Debug)]
struct Clause {
    axis: Axis,
    instant: std::ops::Range<usize>,
}

/// Puts every run of time clauses into the one form that the parser reads. Says how many runs there were.
///
/// # Errors
/// [`Error::Invalid`] for a clause that is not served, has no instant, or names a clock twice.
pub(crate) fn clauses(tokens: Vec<TokenWithSpan>) -> Result<(Vec<TokenWithSpan>, usize), Error> {
    let (mut out, mut at, mut runs, mut found) = (Vec::with_capacity(tokens.len()), 0, 0, 0);
    while at < tokens.len() {
        let (run, end) = run(&tokens, at)?;
        found += run.len();
        if found > CLAUSES_MAX {
            return Err(Error::TooLarge(format!("the statement has more than {CLAUSES_MAX} time clauses")));
        }
        if run.is_empty() {
            out.push(tokens[at].clone());
            at += 1;
        } else {
            out.extend(marker(&tokens, &run)?);
            runs += 1;
            at = end;
        }
    }
    Ok((out, runs))
}

/// The clauses that stand one behind the other from here on, and where they end.
fn run(tokens: &[TokenWithSpan], from: usize) -> Result<(Vec<Clause>, usize), Error> {
    let (mut run, mut end) = (Vec::new(), from);
    while let Some(clause) = clause(tokens, significant(tokens, end).unwrap_or(tokens.len()), !run.is_empty())? {
        end = clause.instant.end;
        run.push(clause);
        if run.len() > CLAUSES_MAX {
            break;
        }
    }
    Ok((run, end))
}

fn significant(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from..tokens.len()).find(|at| is_significant(&tokens[*at].token))
}

/// The unquoted words from here on, upper case, as far as they are words; at most four.
fn words(tokens: &[TokenWithSpan], from: usize) -> Vec<(String, usize)> {
    let mut words = Vec::with_capacity(4);
    let mut at = from;
    while let Some(next) = significant(tokens, at).filter(|_| words.len() < 4) {
        let Token::Word(Word { value, quote_style: None, .. }) = &tokens[next].token else { break };
        words.push((value.to_ascii_uppercase(), next));
        at = next + 1;
    }
    words
}

/// The clause that begins exactly here, if one does.
fn clause(tokens: &[TokenWithSpan], at: usize, after_clause: bool) -> Result<Option<Clause>, Error> {
    if at >= tokens.len() || !matches!(&tokens[at].token, Token::Word(_)) {
        return Ok(None);
    }
    let words = words(tokens, at);
    let spelled: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
    match spelled.as_slice() {
        ["FOR", "SYSTEM_TIME" | "TIMESTAMP", "AS", "OF"] => instant(tokens, Axis::System, words[3].1 + 1).map(Some),
        ["FOR", "VALID_TIME", "AS", "OF"] => instant(tokens, Axis::Valid, words[3].1 + 1).map(Some),
        [
            "FOR",
            clock @ ("SYSTEM_TIME" | "VALID_TIME" | "TIMESTAMP" | "VERSION"),
            verb @ ("AS" | "BETWEEN" | "FROM" | "ALL" | "CONTAINED"),
            ..,
        ] => Err(Error::Invalid(format!(
            "FOR {clock} {verb} is not served: use FOR SYSTEM_TIME AS OF or FOR VALID_TIME AS OF an instant"
        ))),
        ["TIMESTAMP", "AS", "OF", ..] if after_clause || follows_name(tokens, at) => {
            Ok(instant(tokens, Axis::System, words[2].1 + 1).ok())
        }
        _ => Ok(None),
    }
}

/// Whether the token before this one can end the name of a table: `SELECT timestamp AS of` has no clause.
fn follows_name(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before = tokens[..at].iter().rev().find(|token| is_significant(&token.token));
    match before.map(|token| &token.token) {
        Some(Token::Word(Word { quote_style: Some(_), .. })) => true,
        Some(Token::Word(Word { keyword, .. })) => {
            !RESERVED_FOR_TABLE_ALIAS.contains(keyword)
                && !RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
                && !matches!(keyword, Keyword::DISTINCT | Keyword::ALL)
        }
        _ => false,
    }
}

/// The clause whose instant begins here: the parser says where it ends.
fn instant(tokens: &[TokenWithSpan], axis: Axis, from: usize) -> Result<Clause, Error> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens[from..].to_vec());
    parser.parse_expr().map_err(|e| {
        Error::Invalid(format!("a time clause needs an instant, such as TIMESTAMP '2013-01-01T06:00:00Z': {e}"))
    })?;
    Ok(Clause { axis, instant: from..from + parser.index() })
}

/// `FOR SYSTEM_TIME AS OF marker(instants)` in place of a run.
fn marker(tokens: &[TokenWithSpan], run: &[Clause]) -> Result<Vec<TokenWithSpan>, Error> {
    let of = |axis| -> Vec<&Clause> { run.iter().filter(|clause| clause.axis == axis).collect() };
    let (name, instants) = match (of(Axis::System).as_slice(), of(Axis::Valid).as_slice()) {
        ([system], []) => (SYSTEM, vec![*system]),
        ([], [valid]) => (VALID, vec![*valid]),
        ([system], [valid]) => (BOTH, vec![*system, *valid]),
        _ => return Err(Error::Invalid("a table has two time clauses of one kind: give each at most once".to_owned())),
    };
    let mut out: Vec<TokenWithSpan> =
        ["FOR", "SYSTEM_TIME", "AS", "OF"].map(|word| plain(Token::make_keyword(word))).into();
    out.push(plain(Token::make_word(name, Some('"'))));
    out.push(plain(Token::LParen));
    for (nth, clause) in instants.into_iter().enumerate() {
        if nth > 0 {
            out.push(plain(Token::Comma));
        }
        out.extend(tokens[clause.instant.clone()].iter().cloned());
    }
    out.push(plain(Token::RParen));
    Ok(out)
}

fn plain(token: Token) -> TokenWithSpan {
    TokenWithSpan::wrap(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::limits::{Caps, tokens};

    fn rewritten(sql: &str) -> Result<String, Error> {
        let caps = Caps { bytes: 1 << 16, tokens: 10_000, depth: 64 };
        let (out, _) = clauses(tokens(sql, &caps)?.list)?;
        Ok(out.iter().filter(|t| is_significant(&t.token)).map(|t| t.token.to_string()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn runs_of_clauses_become_one() {
        for (sql, expected) in [
            ("f FOR SYSTEM_TIME AS OF now() x", r#"f FOR SYSTEM_TIME AS OF "tidemark$system" ( now ( ) ) x"#),
            ("f for valid_time as of $1 JOIN g", r#"f FOR SYSTEM_TIME AS OF "tidemark$valid" ( $1 ) JOIN g"#),
            (
                "f FOR VALID_TIME AS OF '1' FOR SYSTEM_TIME AS OF '2' AS x",
                r#"f FOR SYSTEM_TIME AS OF "tidemark$both" ( '2' , '1' ) AS x"#,
            ),
            ("f TIMESTAMP AS OF a + b WHERE c", r#"f FOR SYSTEM_TIME AS OF "tidemark$system" ( a + b ) WHERE c"#),
            ("f FOR TIMESTAMP AS OF 'a'", r#"f FOR SYSTEM_TIME AS OF "tidemark$system" ( 'a' )"#),
            (
                "f TIMESTAMP AS OF now() - INTERVAL '1 hour' FOR VALID_TIME AS OF TIMESTAMP '2' x",
                r#"f FOR SYSTEM_TIME AS OF "tidemark$both" ( now ( ) - INTERVAL '1 hour' , TIMESTAMP '2' ) x"#,
            ),
        ] {
            assert_eq!(rewritten(sql).expect("is read"), expected, "{sql}");
        }
    }

    #[test]
    fn other_text_is_not_touched() {
        for sql in [
            "SELECT timestamp AS of FROM t",
            "SELECT DISTINCT timestamp AS of FROM t",
            "SELECT timestamp AS of UNION SELECT 1",
            "SELECT 1 FROM timestamp AS of WHERE a",
            "SELECT 1 FROM t JOIN timestamp AS of ON a",
            "SELECT timestamp AS of , 1",
            "SELECT 'x FOR VALID_TIME AS OF now()'",
            r#"SELECT "FOR" , "FOR VALID_TIME AS OF 1" FROM t"#,
            "SELECT substring ( a FROM 1 FOR version )",
            "SELECT 1 FOR UPDATE",
            "f VERSION AS OF 3",
            "f AT ( STATEMENT => 'x' )",
        ] {
            assert_eq!(rewritten(sql).expect("is read"), sql);
        }
        assert_eq!(
            rewritten("SELECT 1 /* FOR VALID_TIME AS OF 1 */ -- FOR SYSTEM_TIME ALL").expect("is read"),
            "SELECT 1"
        );
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for sql in [
            "f FOR SYSTEM_TIME BETWEEN 1 AND 2",
            "f FOR SYSTEM_TIME FROM 1 TO 2",
            "f FOR VALID_TIME ALL",
            "f FOR SYSTEM_TIME CONTAINED IN (1, 2)",
            "f FOR VERSION AS OF 3",
            "f FOR SYSTEM_TIME AS OF",
            "f FOR SYSTEM_TIME AS OF )",
            "f FOR VALID_TIME AS OF 1 FOR VALID_TIME AS OF 2",
            "f FOR SYSTEM_TIME AS OF 1 TIMESTAMP AS OF 2",
        ] {
            assert!(matches!(rewritten(sql), Err(Error::Invalid(_))), "{sql}: {:?}", rewritten(sql));
        }
    }
}
