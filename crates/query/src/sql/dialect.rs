//! The dialect of the lake: PostgreSQL, with table versions, and `?` as a parameter.
//!
//! A wrapping dialect inherits nothing: default methods of the trait do not delegate. So every method that
//! `PostgreSqlDialect` overrides is forwarded by hand, and a test compares each with the original. What differs:
//! - `supports_table_versioning`: the parser reads `FOR SYSTEM_TIME AS OF` after a table name;
//! - `?` is a parameter (drivers send it), not one of PostgreSQL's JSON and geometric operators.

use std::any::TypeId;

use sqlparser::{
    dialect::{Dialect, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
};

/// The dialect every statement is read in.
pub(crate) static DIALECT: LakeDialect = LakeDialect { postgres: PostgreSqlDialect {} };

/// See the module.
#[derive(Debug)]
pub(crate) struct LakeDialect {
    postgres: PostgreSqlDialect,
}

/// Methods without arguments that answer as PostgreSQL does.
macro_rules! forward {
    ($($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool { self.postgres.$method() })*
    };
}

impl Dialect for LakeDialect {
    /// Places of the parser that ask for PostgreSQL by type find it.
    fn dialect(&self) -> TypeId {
        self.postgres.dialect()
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_geometric_types(&self) -> bool {
        false
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        ch != '?' && self.postgres.is_custom_operator_part(ch)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.postgres.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.postgres.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.postgres.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.postgres.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        self.postgres.is_reserved_for_identifier(keyword)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        self.postgres.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        self.postgres.prec_value(precedence)
    }

    forward!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_comment_optimizer_hint,
    );
}

#[cfg(test)]
mod tests;
