//! What PostgreSQL's clients write that the engine would read otherwise: small changes to the parsed statement.
//!
//! `pg_catalog` in front of functions and types, `OPERATOR(pg_catalog.~)`, `COLLATE`, casts to `regclass` and its like, lists in
//! braces behind ANY and ALL, `ARRAY(SELECT …)`, subqueries over tables that never have rows, and columns that an answer
//! has twice. No table of the lake is touched by it.

mod subquery;
mod twice;

use std::ops::ControlFlow;

use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Select, SelectItem, Statement,
    TableAliasColumnDef, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};

pub(crate) use self::twice::told;
use super::reference;
use crate::plan::postgres::functions::LIKE_PATTERN;

/// The function that makes lists.
const LIST: &str = "make_array";
/// The schema that is looked into first.
pub(crate) const CATALOG: &str = "pg_catalog";

/// Tables of it that never have rows.
pub(crate) const EMPTY: [&str; 20] = [
    "pg_attrdef",
    "pg_auth_members",
    "pg_collation",
    "pg_constraint",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_extension",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_partitioned_table",
    "pg_policy",
    "pg_proc",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_sequence",
    "pg_shdescription",
    "pg_statistic_ext",
    "pg_trigger",
];

/// Functions in FROM that are tables here.
const TABLES: [(&str, &str); 2] = [("pg_get_keywords", "pg_get_keywords"), ("pg_show_all_settings", "pg_settings")];

/// Changes a statement.
pub(crate) fn adapt(statement: &mut Statement) {
    let query = match statement {
        Statement::Query(query) => Some(query),
        Statement::Explain { statement, .. } => match statement.as_mut() {
            Statement::Query(query) => Some(query),
            _ => None,
        },
        _ => None,
    };
    if let Some(query) = query {
        twice::apart(&mut query.body);
    }
    let _never_breaks: ControlFlow<()> = VisitMut::visit(statement, &mut Adapt);
}

struct Adapt;

impl VisitorMut for Adapt {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        subquery::subquery(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        expression(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        table(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        subquery::of_no_rows(select);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                shown(expr);
            }
        }
        ControlFlow::Continue(())
    }
}

/// The words of a name, without the schema that is looked into first.
fn bare(name: &ObjectName) -> Vec<String> {
    let mut words: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(reference::word).collect();
    if words.len() == 2 && words[0] == CATALOG {
        words.remove(0);
    }
    words
}

fn named(words: &[&str]) -> ObjectName {
    ObjectName(words.iter().map(|word| ObjectNamePart::Identifier(Ident::new(*word))).collect())
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Expr::Function(Function {
        name: named(&[name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// An array of no texts.
fn no_texts() -> Expr {
    let text = Box::new(DataType::Text);
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(call(LIST, Vec::new())),
        data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(text, None)),
        array: false,
        format: None,
    }
}

fn table(factor: &mut TableFactor) {
    // The one column of `UNNEST(…) AS k` is named as it is.
    if let TableFactor::UNNEST { alias: Some(alias), array_exprs, .. } = factor
        && array_exprs.len() == 1
        && alias.columns.is_empty()
    {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
    let TableFactor::Table { name, args, .. } = factor else { return };
    let words = bare(name);
    let [word] = words.as_slice() else { return };
    if args.is_some() {
        match TABLES.iter().find(|(function, _)| function == word) {
            Some((_, table)) => (*name, *args) = (named(&[CATALOG, table]), None),
            None => *name = named(&[word]),
        }
    } else if word.starts_with("pg_") {
        *name = named(&[CATALOG, word]);
    }
}

/// Changes an expression whose parts are changed.
fn expression(expr: &mut Expr) {
    match expr {
        Expr::Function(function) => {
            if let [word] = bare(&function.name).as_slice()
                && function.name.0.len() == 2
            {
                function.name = named(&[word]);
            }
            let first = function.name.0.first().and_then(ObjectNamePart::as_ident);
            if first.is_some_and(|name| name.value.eq_ignore_ascii_case("array_upper"))
                && let FunctionArguments::List(list) = &mut function.args
                && list.args.get(1).is_some_and(|dimension| dimension.to_string() == "1")
            {
                list.args.truncate(1);
                function.name = named(&["array_length"]);
            }
        }
        Expr::Identifier(word) if word.quote_style.is_none() => {
            let lower = word.value.to_ascii_lowercase();
            if ["current_role", "current_schema"].contains(&lower.as_str()) {
                *expr = call(&lower, Vec::new());
            }
        }
        // By its name, so that the function with a limit is called.
        Expr::Array(array) => *expr = call(LIST, std::mem::take(&mut array.elem)),
        Expr::Collate { expr: inner, collation } if compares_bytes(collation) => *expr = take(inner),
        Expr::BinaryOp { left, op, right } => {
            operator(op);
            no_function(left, right);
            if *op == BinaryOperator::StringConcat && is_parameter(left) && is_parameter(right) {
                **left = text(take(left));
            }
        }
        Expr::Cast { .. } => cast(expr),
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) =
                escape_char.take_if(|escape| escape.value.clone().into_string().is_none_or(|it| it != "\\"))
            {
                let pattern = pattern.as_mut();
                *pattern = call(LIKE_PATTERN, vec![take(pattern), Expr::Value(escape)]);
            }
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            if let Some(list) = members(right).filter(|list| !list.is_empty()) {
                *expr = Expr::InList { expr: Box::new(take(left)), list, negated: false };
            }
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            if let Some(list) = members(right).filter(|list| !list.is_empty()) {
                *expr = Expr::InList { expr: Box::new(take(left)), list, negated: true };
            }
        }
        _ => {}
    }
}

const fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }))
}

/// A parameter as a text: the type of two of them that are put together is not told by anything else.
fn text(expr: Expr) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type: DataType::Text, array: false, format: None }
}

/// Whether a collation orders text as the engine does, by its bytes.
fn compares_bytes(collation: &ObjectName) -> bool {
    matches!(bare(collation).as_slice(), [word] if ["default", "c", "posix"].contains(&word.to_ascii_lowercase().as_str()))
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

/// `OPERATOR(pg_catalog.~)`.
fn operator(op: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(words) = op else { return };
    *op = match words.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("~~*") => BinaryOperator::PGILikeMatch,
        Some("!~~") => BinaryOperator::PGNotLikeMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>") => BinaryOperator::NotEq,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
}

/// Columns that name functions: text here, with a dash where there is none, while clients compare them with 0.
const FUNCTIONS: [&str; 7] = ["typinput", "typoutput", "typreceive", "typsend", "typmodin", "typmodout", "typanalyze"];

/// `typreceive != 0`.
fn no_function(left: &Expr, right: &mut Expr) {
    let column = match left {
        Expr::Identifier(word) => Some(word),
        Expr::CompoundIdentifier(words) => words.last(),
        _ => None,
    };
    let is_zero =
        matches!(right, Expr::Value(value) if matches!(&value.value, Value::Number(digits, _) if digits == "0"));
    if is_zero && column.is_some_and(|word| FUNCTIONS.contains(&word.value.as_str())) {
        *right = Expr::Value(Value::SingleQuotedString("-".to_owned()).into());
    }
}

/// The members of `ARRAY[a, b]` and of `'{a,b}'`.
fn members(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Nested(inner) => members(inner),
        Expr::Cast { expr: inner, data_type: DataType::Array(_), .. } => members(inner),
        Expr::Array(array) => Some(array.elem.clone()),
        Expr::Function(function) if bare(&function.name) == [LIST] => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let plain = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            };
            list.args.iter().map(plain).collect()
        }
        other => braces(other),
    }
}

/// `{a,b}` as a list of texts.
fn braces(expr: &Expr) -> Option<Vec<Expr>> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let item = |item: &str| Expr::Value(Value::SingleQuotedString(item.trim().trim_matches('"').to_owned()).into());
    Some(inner.split(',').filter(|part| !part.trim().is_empty()).map(item).collect())
}

/// The word of a type of PostgreSQL's that the engine has not.
fn word_of(of: &DataType) -> Option<String> {
    match of {
        DataType::Regclass => Some("regclass".to_owned()),
        DataType::JSON | DataType::JSONB => Some("json".to_owned()),
        DataType::Uuid => Some("uuid".to_owned()),
        DataType::Custom(name, _) => match bare(name).as_slice() {
            [word] => Some(word.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn cast(expr: &mut Expr) {
    let Expr::Cast { expr: inner, data_type, .. } = expr else { return };
    let is_text = matches!(data_type, DataType::Text | DataType::Varchar(_));
    let word = word_of(data_type);
    match word.as_deref() {
        _ if is_text || word.as_deref() == Some("text") => {
            *data_type = DataType::Text;
            let mut named = take(inner);
            shown(&mut named);
            **inner = named;
        }
        Some("regclass") => *expr = call("pg_regclass", vec![take(inner)]),
        Some("regtype") => *expr = call("pg_regtype", vec![take(inner)]),
        Some("regnamespace") => *expr = call("pg_regnamespace", vec![take(inner)]),
        Some("oid" | "xid") => *data_type = DataType::IntUnsigned(None),
        Some("int2") => *data_type = DataType::SmallInt(None),
        Some("int4") => *data_type = DataType::Integer(None),
        Some("int8") => *data_type = DataType::BigInt(None),
        Some("name" | "bpchar" | "char" | "regproc" | "regrole" | "json" | "uuid" | "citext" | "inet") => {
            *data_type = DataType::Text;
        }
        _ => {}
    }
}

/// What is a number inside a statement is a name where it is told.
fn shown(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    let Some(word) = function.name.0.first().and_then(ObjectNamePart::as_ident).map(|word| word.value.clone()) else {
        return;
    };
    match word.as_str() {
        "pg_regclass" => function.name = named(&["pg_regclass_name"]),
        "pg_regnamespace" => function.name = named(&["pg_regnamespace_name"]),
        "pg_regtype" => *expr = call("format_type", vec![expr.clone()]),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
