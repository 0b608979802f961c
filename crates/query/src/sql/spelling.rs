//! What other systems' SQL says otherwise, where saying it here is a small change of the parsed statement.
//!
//! `TOP n` and `FETCH FIRST n ROWS ONLY` are `LIMIT n`; `DATEDIFF(day, a, b)` counts the boundaries between two times, as SQL
//! Server, Snowflake and DuckDB do, with two arguments days, as MySQL does; `YEAR(t)` and its like, `LEN`, `CHARINDEX`,
//! `ISNULL(a, b)` and `IIF(c, a, b)` are what they say. Nothing volatile is among them: [`crate::front`] looks for such
//! functions by their names.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{
        Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, LimitClause, ObjectNamePart, Query,
        Select, SelectItem, SetExpr, Statement, TopQuantity, Value, VisitMut, VisitorMut,
    },
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use super::dialect::DIALECT;
use crate::Error;

/// How deeply differences may nest: an argument may stand in one twice.
const DIFFERENCES_DEPTH_MAX: usize = 4;
/// The longest part of an unknown unit that is told back.
const UNIT_CHARS_SHOWN: usize = 40;
/// The names of arguments in templates.
const ARGUMENTS: [&str; 3] = ["__a", "__b", "__c"];

/// Function, number of arguments, what it is here.
const FUNCTIONS: &[(&str, usize, &str)] = &[
    ("charindex", 2, "strpos(__b, __a)"),
    ("day", 1, "date_part('day', __a)"),
    ("hour", 1, "date_part('hour', __a)"),
    ("iif", 3, "CASE WHEN __a THEN __b ELSE __c END"),
    ("isnull", 2, "coalesce(__a, __b)"),
    ("len", 1, "character_length(__a)"),
    ("minute", 1, "date_part('minute', __a)"),
    ("month", 1, "date_part('month', __a)"),
    ("quarter", 1, "date_part('quarter', __a)"),
    ("second", 1, "date_part('second', __a)"),
    ("week", 1, "date_part('week', __a)"),
    ("year", 1, "date_part('year', __a)"),
];

/// Unit, its other names, its seconds.
const EVEN_UNITS: &[(&str, &[&str], &str)] = &[
    ("microsecond", &["microseconds", "us", "mcs"], "0.000001"),
    ("millisecond", &["milliseconds", "ms"], "0.001"),
    ("second", &["seconds", "ss", "s"], "1"),
    ("minute", &["minutes", "mi", "n"], "60"),
    ("hour", &["hours", "hh"], "3600"),
    ("day", &["days", "dd", "d"], "86400"),
    ("week", &["weeks", "wk", "ww"], "604800"),
];

/// Unit, its other names, how a time is numbered by it.
const UNEVEN_UNITS: &[(&str, &[&str], &str)] = &[
    ("month", &["months", "mm", "m"], "date_part('year', __t) * 12 + date_part('month', __t)"),
    ("quarter", &["quarters", "qq", "q"], "date_part('year', __t) * 4 + date_part('quarter', __t)"),
    ("year", &["years", "yyyy", "yy"], "date_part('year', __t)"),
];

/// Columns named `top`: behind SELECT the parser takes the word for `TOP n`, so where no number follows it is quoted.
pub(super) fn quote_tops(tokens: &mut [TokenWithSpan]) {
    let is_blank = |token: &Token| matches!(token, Token::Whitespace(_));
    let seen: Vec<usize> = (0..tokens.len()).filter(|at| !is_blank(&tokens[*at].token)).collect();
    for at in seen.windows(3) {
        let &[before, word, behind] = at else { continue };
        let is_begun = matches!(&tokens[before].token, Token::Word(word) if word.quote_style.is_none()
            && matches!(word.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL));
        let is_counted = matches!(tokens[behind].token, Token::Number(..) | Token::LParen);
        if let Token::Word(word) = &mut tokens[word].token
            && word.keyword == Keyword::TOP
            && word.quote_style.is_none()
            && is_begun
            && !is_counted
        {
            (word.value, word.quote_style, word.keyword) =
                (word.value.to_ascii_lowercase(), Some('"'), Keyword::NoKeyword);
        }
    }
}

/// Changes a statement.
///
/// # Errors
/// [`Error::Unsupported`] for what has no counterpart, [`Error::Invalid`] for a unit that is none.
pub(super) fn adapt(statement: &mut Statement) -> Result<(), Error> {
    match VisitMut::visit(statement, &mut Adapt { differences: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Adapt {
    /// Differences around the expression that is looked at.
    differences: usize,
}

impl VisitorMut for Adapt {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        flow(limited(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        // An answer's columns keep the names that their texts give them.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Function(function)) = item
                && is_known(function)
            {
                let alias = Ident::with_quote('"', function.to_string());
                *item = SelectItem::ExprWithAlias { expr: Expr::Function(function.clone()), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.differences += usize::from(is_a_difference(expr));
        if self.differences > DIFFERENCES_DEPTH_MAX {
            return ControlFlow::Break(Error::TooLarge("differences of times nest too deeply: split them".to_owned()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.differences -= usize::from(is_a_difference(expr));
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        match translated(function) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(here)) => {
                *expr = here;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn flow(done: Result<(), Error>) -> ControlFlow<Error> {
    done.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

/// `TOP` and `FETCH` as `LIMIT`.
fn limited(query: &mut Query) -> Result<(), Error> {
    let unsupported = |what: &str| Err(Error::Unsupported(format!("{what}: say LIMIT with a number")));
    let mut most = None;
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties || fetch.percent {
            return unsupported("FETCH WITH TIES and FETCH … PERCENT");
        }
        most = Some(fetch.quantity.unwrap_or_else(|| number(1)));
    }
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(top) = select.top.take()
    {
        if top.with_ties || top.percent {
            return unsupported("TOP … WITH TIES and TOP … PERCENT");
        }
        if most.is_some() {
            return Err(Error::Invalid("TOP and FETCH say the same twice: keep one".to_owned()));
        }
        most = top.quantity.map(|quantity| match quantity {
            TopQuantity::Expr(expr) => expr,
            TopQuantity::Constant(count) => number(count),
        });
    }
    let Some(most) = most else { return Ok(()) };
    match &mut query.limit_clause {
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(most), offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(most),
        Some(_) => return Err(Error::Invalid("TOP or FETCH beside LIMIT: keep one".to_owned())),
    }
    Ok(())
}

fn number(count: u64) -> Expr {
    Expr::Value(Value::Number(count.to_string(), false).into())
}

/// The function's name in lower case, if it has one word.
fn name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(word)] => Some(word.value.to_ascii_lowercase()),
        _ => None,
    }
}

fn is_difference(name: &str) -> bool {
    matches!(name, "datediff" | "date_diff")
}

fn is_a_difference(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if name(function).is_some_and(|name| is_difference(&name)))
}

fn is_known(function: &Function) -> bool {
    let arguments = arguments(function).map_or(0, |arguments| arguments.len());
    name(function).is_some_and(|name| is_difference(&name) || template(&name, arguments).is_some())
}

fn template(name: &str, arguments: usize) -> Option<&'static str> {
    FUNCTIONS.iter().find(|row| (row.0, row.1) == (name, arguments)).map(|row| row.2)
}

/// The arguments of a plain call.
fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

/// The call as it is said here.
fn translated(function: &Function) -> Result<Option<Expr>, Error> {
    let (Some(name), Some(arguments)) = (name(function), arguments(function)) else { return Ok(None) };
    if is_difference(&name) {
        return difference(&name, arguments).map(Some);
    }
    template(&name, arguments.len()).map(|template| filled(template, &arguments)).transpose()
}

fn difference(name: &str, mut arguments: Vec<Expr>) -> Result<Expr, Error> {
    let unit = match arguments.len() {
        // MySQL's: the first minus the second.
        2 => {
            arguments.reverse();
            "day".to_owned()
        }
        3 => unit(&arguments.remove(0)),
        _ => return Err(Error::Invalid(format!("{name} is written {name}(day, from, to)"))),
    };
    let is = |known: &str, others: &[&str]| known == unit || others.contains(&unit.as_str());
    let whole = |numbered: &dyn Fn(&str) -> String| {
        let at = |argument: &str| numbered(&format!("CAST({argument} AS TIMESTAMP(6))"));
        format!("({}) - ({})", at("__b"), at("__a"))
    };
    if let Some((unit, _, seconds)) = EVEN_UNITS.iter().find(|row| is(row.0, row.1)) {
        let since = whole(&|at| format!("date_part('epoch', date_trunc('{unit}', {at}))"));
        return filled(&format!("CAST(round(({since}) / {seconds}) AS BIGINT)"), &arguments);
    }
    if let Some((_, _, numbered)) = UNEVEN_UNITS.iter().find(|row| is(row.0, row.1)) {
        let since = whole(&|at| numbered.replace("__t", at));
        return filled(&format!("CAST({since} AS BIGINT)"), &arguments);
    }
    let known: Vec<&str> = EVEN_UNITS.iter().map(|row| row.0).chain(UNEVEN_UNITS.iter().map(|row| row.0)).collect();
    Err(Error::Invalid(format!(
        "{name} has no unit {:?}: use {}",
        unit.chars().take(UNIT_CHARS_SHOWN).collect::<String>(),
        known.join(", ")
    )))
}

/// `day`, `"day"` or `'day'`.
fn unit(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(word) => word.value.to_ascii_lowercase(),
        Expr::Value(value) => value.value.clone().into_string().unwrap_or_default().to_ascii_lowercase(),
        other => other.to_string(),
    }
}

/// A template with arguments in their places.
fn filled(template: &str, arguments: &[Expr]) -> Result<Expr, Error> {
    let parsed = Parser::new(&DIALECT).try_with_sql(template).and_then(|mut parser| parser.parse_expr());
    let mut expr = parsed.map_err(|error| Error::Internal(format!("a template cannot be read: {error}")))?;
    let _never_breaks: ControlFlow<()> = VisitMut::visit(&mut expr, &mut Fill(arguments));
    Ok(Expr::Nested(Box::new(expr)))
}

struct Fill<'a>(&'a [Expr]);

impl VisitorMut for Fill<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(word) = expr
            && let Some(at) = ARGUMENTS.iter().position(|name| *name == word.value)
            && let Some(argument) = self.0.get(at)
        {
            *expr = argument.clone();
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::limits::{Caps, tokens};

    const CAPS: Caps = Caps { bytes: 64 << 10, tokens: 10_000, depth: 64 };

    fn read(sql: &str) -> Result<String, Error> {
        let mut list = tokens(sql, &CAPS).expect("tokens").list;
        quote_tops(&mut list);
        let mut statements =
            Parser::new(&DIALECT).with_tokens_with_locations(list).parse_statements().expect("a statement");
        adapt(&mut statements[0])?;
        Ok(statements[0].to_string())
    }

    #[test]
    fn top_and_fetch_are_limits() {
        for (sql, here) in [
            ("SELECT TOP 3 a FROM t", "SELECT a FROM t LIMIT 3"),
            ("SELECT DISTINCT TOP (2 + 1) a FROM t ORDER BY a", "SELECT DISTINCT a FROM t ORDER BY a LIMIT 2 + 1"),
            ("SELECT a FROM t FETCH FIRST ROW ONLY", "SELECT a FROM t LIMIT 1"),
            ("SELECT a FROM t OFFSET 3 ROWS FETCH NEXT 2 ROWS ONLY", "SELECT a FROM t LIMIT 2 OFFSET 3 ROWS"),
            ("SELECT * FROM (SELECT TOP 1 a FROM t) AS x", "SELECT * FROM (SELECT a FROM t LIMIT 1) AS x"),
            ("SELECT top, b FROM t", "SELECT \"top\", b FROM t"),
            ("SELECT Top FROM t", "SELECT \"top\" FROM t"),
            ("SELECT DISTINCT top FROM t WHERE top > 1", "SELECT DISTINCT \"top\" FROM t WHERE top > 1"),
        ] {
            assert_eq!(read(sql).expect("read"), here, "{sql}");
        }
        for sql in [
            "SELECT TOP 3 PERCENT a FROM t",
            "SELECT TOP 3 WITH TIES a FROM t",
            "SELECT a FROM t FETCH FIRST 3 ROWS WITH TIES",
            "SELECT TOP 3 a FROM t LIMIT 2",
            "SELECT TOP 3 a FROM t FETCH FIRST 1 ROW ONLY",
        ] {
            assert!(matches!(read(sql), Err(Error::Unsupported(_) | Error::Invalid(_))), "{sql}");
        }
    }

    #[test]
    fn functions_are_what_they_say_under_the_names_they_were_written_with() {
        for (sql, here) in [
            ("SELECT YEAR(a) FROM t", "SELECT (date_part('year', a)) AS \"YEAR(a)\" FROM t"),
            ("SELECT 1 + len(a) AS n FROM t", "SELECT 1 + (character_length(a)) AS n FROM t"),
            ("SELECT len(a, b)", "SELECT len(a, b)"),
        ] {
            assert_eq!(read(sql).expect("read"), here, "{sql}");
        }
        assert!(
            matches!(read("SELECT datediff(fortnight, a, b)"), Err(Error::Invalid(said)) if said.contains("quarter"))
        );
        assert!(matches!(read("SELECT datediff(a)"), Err(Error::Invalid(_))));
        let nested = |depth: usize| format!("SELECT {}a{}", "datediff(month, ".repeat(depth), ", b)".repeat(depth));
        assert!(read(&nested(DIFFERENCES_DEPTH_MAX)).is_ok());
        assert!(matches!(read(&nested(DIFFERENCES_DEPTH_MAX + 1)), Err(Error::TooLarge(_))));
        assert!(FUNCTIONS.iter().all(|row| filled(row.2, &[]).is_ok()), "templates can be read");
    }
}
