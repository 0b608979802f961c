//! Time clauses, on tokens: what the parser cannot read becomes one clause that it can.
//!
//! The parser reads one `FOR SYSTEM_TIME AS OF` after a table name, no `VALID_TIME`, no period, no second clause. So a
//! run of clauses is replaced by `FOR SYSTEM_TIME AS OF marker(clause(instants), …)`, where each inner name says which
//! clock was asked and how (`moment`); the parser itself finds where each instant ends. Anything that is not a clause
//! stays as it is, and a clause where no table name stands before it is still refused by the parser.

use std::ops::Range;

use sqlparser::{
    dialect::{Dialect, Precedence},
    keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS},
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Word},
};

use super::{
    dialect::DIALECT,
    limits::is_significant,
    moment::{self, Axis, Form, MARKER},
};
use crate::Error;

/// The most clauses of one statement: each costs one look of the parser at the rest of the text.
const CLAUSES_MAX: usize = 128;

/// One clause: what it asks, and where its expressions stand in the tokens.
#[derive(Debug)]
struct Clause {
    axis: Axis,
    form: Form,
    operands: Vec<Range<usize>>,
    end: usize,
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
        end = clause.end;
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
    let behind = |nth: usize| words[nth].1 + 1;
    match spelled.as_slice() {
        ["FOR", "SYSTEM_TIME" | "TIMESTAMP", "AS", "OF"] => read(tokens, Axis::System, Form::AsOf, behind(3)).map(Some),
        ["FOR", "VALID_TIME", "AS", "OF"] => read(tokens, Axis::Valid, Form::AsOf, behind(3)).map(Some),
        ["FOR", "VERSION", "AS", "OF"] => read(tokens, Axis::System, Form::Version, behind(3)).map(Some),
        ["FOR", clock @ ("SYSTEM_TIME" | "VALID_TIME"), verb @ ("BETWEEN" | "FROM" | "ALL"), ..] => {
            let axis = if *clock == "VALID_TIME" { Axis::Valid } else { Axis::System };
            let form = match *verb {
                "BETWEEN" => Form::Between,
                "FROM" => Form::FromTo,
                _ => Form::All,
            };
            read(tokens, axis, form, behind(2)).map(Some)
        }
        [
            "FOR",
            clock @ ("SYSTEM_TIME" | "VALID_TIME" | "TIMESTAMP" | "VERSION"),
            verb @ ("AS" | "BETWEEN" | "FROM" | "ALL" | "CONTAINED"),
            ..,
        ] => Err(Error::Invalid(format!(
            "FOR {clock} {verb} is not served: use FOR SYSTEM_TIME or FOR VALID_TIME with AS OF, BETWEEN, FROM … TO or ALL"
        ))),
        _ if !after_clause && !follows_name(tokens, at) => Ok(None),
        ["TIMESTAMP", "AS", "OF", ..] => Ok(read(tokens, Axis::System, Form::AsOf, behind(2)).ok()),
        ["VERSION", "AS", "OF", ..] => Ok(read(tokens, Axis::System, Form::Version, behind(2)).ok()),
        [verb @ ("AT" | "BEFORE")] => Ok(in_parentheses(tokens, *verb == "BEFORE", behind(0))),
        _ => Ok(None),
    }
}

/// `(TIMESTAMP => e)`, `(OFFSET => e)` and `(VERSION => n)` behind `AT`, the first two behind `BEFORE`. What is none of
/// these stays for the parser, which reads it for the walk to refuse.
fn in_parentheses(tokens: &[TokenWithSpan], before: bool, from: usize) -> Option<Clause> {
    let open = significant(tokens, from).filter(|at| tokens[*at].token == Token::LParen)?;
    let name = significant(tokens, open + 1)?;
    let arrow = significant(tokens, name + 1).filter(|at| tokens[*at].token == Token::RArrow)?;
    let Token::Word(Word { value, quote_style: None, .. }) = &tokens[name].token else { return None };
    let form = match (value.to_ascii_uppercase().as_str(), before) {
        ("TIMESTAMP", false) => Form::AsOf,
        ("TIMESTAMP", true) => Form::Before,
        ("OFFSET", false) => Form::Offset,
        ("OFFSET", true) => Form::BeforeOffset,
        ("VERSION", false) => Form::Version,
        _ => return None,
    };
    let clause = read(tokens, Axis::System, form, arrow + 1).ok()?;
    let close = significant(tokens, clause.end).filter(|at| tokens[*at].token == Token::RParen)?;
    Some(Clause { end: close + 1, ..clause })
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

/// The clause whose expressions begin here: the parser says where they end.
fn read(tokens: &[TokenWithSpan], axis: Axis, form: Form, from: usize) -> Result<Clause, Error> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens[from..].to_vec());
    let operands = operands(&mut parser, form).map_err(|e| {
        Error::Invalid(format!("a time clause needs an instant, such as TIMESTAMP '2013-01-01T06:00:00Z': {e}"))
    })?;
    let operands = operands.into_iter().map(|found| from + found.start..from + found.end).collect();
    Ok(Clause { axis, form, operands, end: from + parser.index() })
}

/// Where each expression of a form begins and ends.
fn operands(parser: &mut Parser<'_>, form: Form) -> Result<Vec<Range<usize>>, ParserError> {
    let one = |parser: &mut Parser<'_>, precedence: u8| {
        let start = parser.index();
        parser.parse_subexpr(precedence).map(|_expr| start..parser.index())
    };
    let whole = DIALECT.prec_unknown();
    match form {
        Form::AsOf | Form::Before | Form::Offset | Form::BeforeOffset | Form::Version => Ok(vec![one(parser, whole)?]),
        Form::Between => {
            let within = DIALECT.prec_value(Precedence::Between);
            let low = one(parser, within)?;
            parser.expect_keyword_is(Keyword::AND)?;
            Ok(vec![low, one(parser, within)?])
        }
        Form::FromTo => {
            let low = one(parser, whole)?;
            parser.expect_keyword_is(Keyword::TO)?;
            Ok(vec![low, one(parser, whole)?])
        }
        Form::All => Ok(Vec::new()),
    }
}

/// `FOR SYSTEM_TIME AS OF marker(clause(instants), …)` in place of a run.
fn marker(tokens: &[TokenWithSpan], run: &[Clause]) -> Result<Vec<TokenWithSpan>, Error> {
    let of = |axis| run.iter().filter(|clause| clause.axis == axis).count();
    if of(Axis::System) > 1 || of(Axis::Valid) > 1 {
        return Err(Error::Invalid("a table has two time clauses of one kind: give each at most once".to_owned()));
    }
    let mut out: Vec<TokenWithSpan> =
        ["FOR", "SYSTEM_TIME", "AS", "OF"].map(|word| plain(Token::make_keyword(word))).into();
    out.push(plain(Token::make_word(MARKER, Some('"'))));
    out.push(plain(Token::LParen));
    for (nth, clause) in run.iter().enumerate() {
        let word = moment::word(clause.axis, clause.form).ok_or_else(|| {
            Error::Invalid("that clause is not served on source time: use FOR VALID_TIME AS OF".into())
        })?;
        out.extend((nth > 0).then(|| plain(Token::Comma)));
        out.push(plain(Token::make_word(word, Some('"'))));
        out.push(plain(Token::LParen));
        for (nth, operand) in clause.operands.iter().enumerate() {
            out.extend((nth > 0).then(|| plain(Token::Comma)));
            out.extend(tokens[operand.clone()].iter().cloned());
        }
        out.push(plain(Token::RParen));
    }
    out.push(plain(Token::RParen));
    Ok(out)
}

fn plain(token: Token) -> TokenWithSpan {
    TokenWithSpan::wrap(token)
}

#[cfg(test)]
mod tests;
