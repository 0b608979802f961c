//! Text → tokens, under caps that hold before anything is parsed: bytes, tokens, nesting.
//!
//! Reading tokens never recurses, so text of any shape is safe here; what comes behind may recurse as deep as the
//! caps allow. `?` becomes `$n` on the way.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use super::dialect::DIALECT;
use crate::Error;

/// Caps of one statement's text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// Bytes of text.
    pub(crate) bytes: usize,
    /// Tokens, white space and comments aside.
    pub(crate) tokens: usize,
    /// Nesting of parentheses, brackets and `CASE`.
    pub(crate) depth: usize,
}

/// Tokens within the caps, and how many parameters they name.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The tokens, white space included.
    pub(crate) list: Vec<TokenWithSpan>,
    /// The greatest number of a parameter.
    pub(crate) params: usize,
}

/// Reads the tokens of a text.
///
/// # Errors
/// [`Error::TooLarge`] past a cap; [`Error::Invalid`] for text without tokens, an unclosed string, a bad parameter.
pub(crate) fn tokens(sql: &str, caps: &Caps) -> Result<Tokens, Error> {
    if sql.len() > caps.bytes {
        return Err(too_large("bytes", sql.len(), caps.bytes));
    }
    let mut list = Tokenizer::new(&DIALECT, sql)
        .tokenize_with_location()
        .map_err(|e| Error::Invalid(format!("the statement cannot be read: {e}")))?;
    let count = list.iter().filter(|token| is_significant(&token.token)).count();
    if count > caps.tokens {
        return Err(too_large("tokens", count, caps.tokens));
    }
    let depth = depth(&list);
    if depth > caps.depth {
        return Err(too_large("levels of nesting", depth, caps.depth));
    }
    let params = number_params(&mut list)?;
    Ok(Tokens { list, params })
}

/// Whether the parser sees the token.
pub(crate) const fn is_significant(token: &Token) -> bool {
    !matches!(token, Token::Whitespace(_) | Token::EOF)
}

fn too_large(what: &str, found: usize, cap: usize) -> Error {
    Error::TooLarge(format!("the statement has {found} {what}, at most {cap} are read: shorten it, or bind parameters"))
}

/// How deep parentheses, brackets, braces and `CASE` nest.
fn depth(tokens: &[TokenWithSpan]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::CASE => depth += 1,
            Token::Word(word) if word.keyword == Keyword::END => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Numbers `?` from 1, checks `$n`, and tells the greatest number.
fn number_params(tokens: &mut [TokenWithSpan]) -> Result<usize, Error> {
    let (mut asked, mut greatest) = (0usize, 0usize);
    for token in tokens.iter_mut() {
        let Token::Placeholder(name) = &mut token.token else { continue };
        if name == "?" {
            asked += 1;
            *name = format!("${asked}");
            continue;
        }
        let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        match number {
            Some(number @ 1..=PARAMS_MAX) => greatest = greatest.max(number),
            _ => return Err(Error::Invalid(not_understood(name))),
        }
    }
    match (asked, greatest) {
        (asked, _) if asked > PARAMS_MAX => Err(too_large("parameters", asked, PARAMS_MAX)),
        (1.., 1..) => Err(Error::Invalid("the statement mixes ? and $n: use one kind of parameter".to_owned())),
        (asked, greatest) => Ok(asked.max(greatest)),
    }
}

/// What is said of a parameter that no door binds.
pub(crate) fn not_understood(name: &str) -> String {
    format!("parameter {name} is not understood: use ? or $1, $2, …")
}

/// The most parameters of one statement.
const PARAMS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { bytes: 64 << 10, tokens: 10_000, depth: 64 };

    #[test]
    fn caps_hold_before_parsing() {
        let cases = [
            ("SELECT 1".to_owned(), true),
            (format!("SELECT {}", vec!["1"; 20_000].join("+")), false),
            (format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)), false),
            (format!("SELECT {}1{}", "(".repeat(64), ")".repeat(64)), true),
            (format!("SELECT {}1{}", "(".repeat(65), ")".repeat(65)), false),
            (format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(65), " END".repeat(65)), false),
            (format!("SELECT '{}'", "(".repeat(5000)), true),
            (format!("SELECT '{}'", "x".repeat(70_000)), false),
        ];
        for (sql, fits) in cases {
            let result = tokens(&sql, &CAPS);
            assert_eq!(result.is_ok(), fits, "{}", &sql[..40.min(sql.len())]);
            assert!(fits || matches!(result, Err(Error::TooLarge(_))));
        }
    }

    #[test]
    fn parameters_are_numbered() {
        for (sql, params) in [
            ("SELECT 1", Some(0)),
            ("SELECT ?, a>?, b=?", Some(3)),
            ("SELECT $2, $1, $1", Some(2)),
            ("SELECT '?', \"?\" /* ? */ -- ?", Some(0)),
            ("SELECT ?, $1", None),
            ("SELECT $0", None),
            ("SELECT $x", None),
            ("SELECT 'open", None),
        ] {
            assert_eq!(tokens(sql, &CAPS).ok().map(|tokens| tokens.params), params, "{sql}");
        }
    }
}
