//! One statement that only reads, behind settings.
//!
//! The first word is looked at before parsing, so that the refusal of a write never depends on whether the parser
//! knows its syntax; the parsed tree is looked at again, because a write can hide behind `WITH` and `EXPLAIN`.

use std::{collections::HashMap, ops::ControlFlow};

use sqlparser::{
    ast::{
        Expr, GroupByExpr, ObjectName, ObjectNamePart, Query, Select, SetExpr, ShowStatementFilter, Statement,
        TableFactor, Value, Visit, Visitor,
    },
    tokenizer::{Token, TokenWithSpan},
};

use super::limits::{self, Caps, is_significant};
use crate::Error;

/// Words a statement may begin with.
const READS: [&str; 9] = ["SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW", "DESCRIBE", "DESC", "CALL"];

/// Words a setting begins with.
const SETS: [&str; 2] = ["SET", "RESET"];

/// Refuses a text of statements that do not begin with the words of one that reads, behind any number of settings.
///
/// # Errors
/// [`Error::ReadOnly`], or [`Error::Invalid`] for an empty text.
pub(crate) fn first_words(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let tokens: Vec<&Token> = tokens.iter().map(|token| &token.token).filter(|token| is_significant(token)).collect();
    let statements = tokens.split(|token| **token == Token::SemiColon);
    let mut has_read = false;
    let mut is_empty = true;
    for statement in statements.filter(|statement| !statement.is_empty()) {
        is_empty = false;
        if has_read {
            return Err(Error::ReadOnly(
                "one statement at a time: send the others in requests of their own".to_owned(),
            ));
        }
        has_read = is_reading(statement)?;
    }
    if is_empty { Err(Error::Invalid("the statement is empty".to_owned())) } else { Ok(()) }
}

/// Whether a statement reads, by its first word; else it sets.
fn is_reading(statement: &[&Token]) -> Result<bool, Error> {
    let is_one_of = |word: &str, words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    match statement.iter().find(|token| ***token != Token::LParen) {
        Some(Token::Word(word)) if is_one_of(&word.value, &READS) => Ok(true),
        Some(Token::Word(word)) if is_one_of(&word.value, &SETS) => Ok(false),
        Some(Token::Word(word)) => Err(refused(&word.value.to_ascii_uppercase())),
        Some(other) => Err(Error::Invalid(format!("a statement does not begin with {other}: use SELECT"))),
        None => Err(Error::Invalid("the statement is empty".to_owned())),
    }
}

fn refused(verb: &str) -> Error {
    let instead = match verb {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "UPSERT" | "REPLACE" | "TRUNCATE" => {
            "ingest rows over Flight (ADBC's ingest), send them to the gRPC service tidemark.v1.Ingest, or changes to \
             POST /v1/{namespace}/{collection}/changes"
        }
        "CREATE" | "ALTER" | "DROP" => {
            "namespaces and collections appear with the first row or change that is ingested, over Flight, gRPC or HTTP"
        }
        "COPY" | "EXPORT" | "UNLOAD" => "ask with SELECT and take the answer as text/csv or an Arrow stream",
        "SET" | "RESET" => "settings stand before the statement they hold for",
        _ => "use SELECT, EXPLAIN, SHOW or DESCRIBE",
    };
    Error::ReadOnly(format!("{verb} is not served, SQL only reads here: {instead}"))
}

/// Refuses a parsed statement that writes, locks, or carries what the planner would drop silently.
///
/// # Errors
/// [`Error::ReadOnly`] and [`Error::Invalid`].
pub(crate) fn reads_only(statement: &Statement, caps: &Caps) -> Result<(), Error> {
    match statement {
        Statement::Query(_) => {}
        Statement::Explain { statement: inner, .. } if matches!(**inner, Statement::Query(_)) => {}
        Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowVariable { .. }
        | Statement::ShowVariables { .. } => {}
        // The engine writes the pattern into a statement of its own.
        Statement::ShowFunctions { filter } if filter.as_ref().is_none_or(is_plain) => {}
        Statement::ShowFunctions { .. } => {
            return Err(Error::Invalid("the pattern of SHOW FUNCTIONS takes LIKE and no quotes in it".to_owned()));
        }
        Statement::Explain { .. } => return Err(Error::ReadOnly("EXPLAIN explains a SELECT only".to_owned())),
        other => {
            let text = other.to_string();
            return Err(refused(text.split_whitespace().next().unwrap_or("the statement")));
        }
    }
    match statement.visit(&mut Guard {
        depth: 0,
        depth_max: caps.depth.saturating_mul(OPERATORS_PER_LEVEL),
        queries: Vec::new(),
    }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn is_plain(filter: &ShowStatementFilter) -> bool {
    matches!(filter, ShowStatementFilter::Like(pattern) if !pattern.contains('\''))
}

/// How many operators in a row, such as `a + a + a`, count as one level of nesting: the parser reads them without
/// nesting, the planner's work grows with the square of their number.
const OPERATORS_PER_LEVEL: usize = 8;

/// Most tables that one SELECT joins: what the planner does with them grows with the square of their number.
const TABLES_MAX: usize = 64;
/// Most groupings that the CUBEs, ROLLUPs and GROUPING SETS of one SELECT stand for.
const GROUPING_SETS_MAX: usize = 1_024;

/// Most tables that a statement reads, one that stands behind a name in WITH counting as often as it is named: a table of twice
/// the one before it, twenty times over, is a million.
const READS_MAX: usize = 1_000;

/// A query that is being looked at.
#[derive(Default)]
struct Around {
    /// Names in its WITH that were not looked at yet, the next one last.
    coming: Vec<String>,
    /// How many tables each of the others reads.
    known: HashMap<String, usize>,
    /// How many tables the query itself reads.
    reads: usize,
}

impl Guard {
    /// How many tables a name stands for.
    fn reads_of(&self, name: &ObjectName) -> usize {
        let [ObjectNamePart::Identifier(word)] = name.0.as_slice() else { return 1 };
        self.queries.iter().rev().find_map(|around| around.known.get(&word.value.to_lowercase())).copied().unwrap_or(1)
    }

    /// A query was looked at: what it reads is read by what is around it, where it is not only named there.
    fn leave(&mut self) -> ControlFlow<Error> {
        let reads = self.queries.pop().map_or(1, |around| around.reads.max(1));
        if reads > READS_MAX {
            let said = format!(
                "the statement reads {READS_MAX} tables and more, those behind names in WITH as often as they are named"
            );
            return ControlFlow::Break(Error::TooLarge(said));
        }
        let Some(around) = self.queries.last_mut() else { return ControlFlow::Continue(()) };
        match around.coming.pop() {
            // Of two names that differ by case alone the one that reads more counts for both.
            Some(name) => {
                let known = around.known.entry(name).or_default();
                *known = reads.max(*known);
            }
            None => around.reads = around.reads.saturating_add(reads),
        }
        ControlFlow::Continue(())
    }
}

/// How many groupings a GROUP BY stands for: its parts multiply.
fn grouping_sets(group_by: &GroupByExpr) -> usize {
    let of = |expr: &Expr| match expr {
        Expr::Cube(parts) => 1_usize.checked_shl(u32::try_from(parts.len()).unwrap_or(u32::MAX)).unwrap_or(usize::MAX),
        Expr::Rollup(parts) => parts.len() + 1,
        Expr::GroupingSets(sets) => sets.len(),
        _ => 1,
    };
    match group_by {
        GroupByExpr::All(_) => 1,
        GroupByExpr::Expressions(parts, _) => parts.iter().map(of).fold(1, usize::saturating_mul),
    }
}

struct Guard {
    depth: usize,
    depth_max: usize,
    /// The queries around what is looked at, the innermost last.
    queries: Vec<Around>,
}

impl Visitor for Guard {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        if let Some(error) = named_parameter(expr) {
            return ControlFlow::Break(error);
        }
        self.depth += 1;
        if self.depth <= self.depth_max {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(Error::TooLarge(format!(
            "an expression has more than {} operators in a row: use IN for lists, or split it",
            self.depth_max
        )))
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Error> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let dropped = [
            (!query.locks.is_empty(), "FOR UPDATE and FOR SHARE"),
            (query.for_clause.is_some(), "FOR XML and FOR JSON"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (!query.pipe_operators.is_empty(), "pipe operators"),
        ];
        if let Some((_, what)) = dropped.iter().find(|(present, _)| *present) {
            return ControlFlow::Break(Error::Invalid(format!("{what} are not served: leave them out")));
        }
        let named = query.with.iter().flat_map(|with| &with.cte_tables).rev();
        let coming = named.map(|named| named.alias.name.value.to_lowercase()).collect();
        self.queries.push(Around { coming, ..Around::default() });
        body(&query.body, self.depth_max / 2)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.leave()
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Error> {
        let reads = self.reads_of(name);
        if let Some(around) = self.queries.last_mut() {
            around.reads = around.reads.saturating_add(reads);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return ControlFlow::Break(refused("SELECT INTO"));
        }
        let tables: usize = select.from.iter().map(|table| 1 + table.joins.len()).sum();
        if tables > TABLES_MAX {
            let said = format!("a query joins {tables} tables, and at most {TABLES_MAX} are served: join in parts");
            return ControlFlow::Break(Error::TooLarge(said));
        }
        let sets = grouping_sets(&select.group_by);
        if sets > GROUPING_SETS_MAX {
            let said = format!("GROUP BY stands for {sets} groupings, and at most {GROUPING_SETS_MAX} are served");
            return ControlFlow::Break(Error::TooLarge(said));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { with_hints, partitions, with_ordinality, json_path, index_hints, .. }
                if !with_hints.is_empty()
                    || !partitions.is_empty()
                    || *with_ordinality
                    || json_path.is_some()
                    || !index_hints.is_empty() =>
            {
                ControlFlow::Break(Error::Invalid(format!(
                    "hints, partitions, paths and WITH ORDINALITY are not served behind a table: {factor}"
                )))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A parameter by name, which no door binds: `:name` is no token of its own, so that it is found here.
fn named_parameter(expr: &Expr) -> Option<Error> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(name) = &value.value else { return None };
    (!name.starts_with('$')).then(|| Error::Invalid(limits::not_understood(name)))
}

/// The body of a query: no write, and not too many set operations in a row.
fn body(mut body: &SetExpr, depth_max: usize) -> ControlFlow<Error> {
    let mut operations = 0;
    loop {
        match body {
            SetExpr::Insert(_) => return ControlFlow::Break(refused("INSERT")),
            SetExpr::Update(_) => return ControlFlow::Break(refused("UPDATE")),
            SetExpr::Delete(_) => return ControlFlow::Break(refused("DELETE")),
            SetExpr::Merge(_) => return ControlFlow::Break(refused("MERGE")),
            SetExpr::Table(_) => {
                let instead = "TABLE name is not served: use SELECT * FROM name";
                return ControlFlow::Break(Error::Invalid(instead.to_owned()));
            }
            SetExpr::SetOperation { left, right, .. } => {
                self::body(right, depth_max)?;
                operations += 1;
                body = left;
            }
            _ => return ControlFlow::Continue(()),
        }
        if operations > depth_max {
            let reason = format!("a query has more than {depth_max} set operations in a row: split it");
            return ControlFlow::Break(Error::TooLarge(reason));
        }
    }
}
