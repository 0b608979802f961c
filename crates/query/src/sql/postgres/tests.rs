//! What clients write, and what the engine is given instead.

use sqlparser::parser::Parser;

use super::*;
use crate::sql::dialect::DIALECT;

fn adapted(sql: &str) -> String {
    let mut statements = Parser::parse_sql(&DIALECT, sql).unwrap();
    adapt(&mut statements[0]);
    statements[0].to_string()
}

#[test]
fn statements_of_clients_become_the_engines() {
    for (sql, expected) in [
        ("SELECT pg_catalog.version()", "SELECT version()"),
        ("SELECT a FROM pg_class", "SELECT a FROM pg_catalog.pg_class"),
        ("SELECT a FROM shop.pg_x", "SELECT a FROM shop.pg_x"),
        ("SELECT 1 WHERE a OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default", "SELECT 1 WHERE a ~ '^(x)$'"),
        ("SELECT c.oid::pg_catalog.regclass", "SELECT pg_regclass_name(c.oid)"),
        ("SELECT 1 WHERE d.classoid = 'pg_class'::regclass", "SELECT 1 WHERE d.classoid = pg_regclass('pg_class')"),
        ("SELECT a::regclass::oid", "SELECT pg_regclass(a)::INT UNSIGNED"),
        ("SELECT t.x::regtype::text", "SELECT format_type(pg_regtype(t.x))::TEXT"),
        ("SELECT 1 WHERE k = ANY('{r,p}')", "SELECT 1 WHERE k IN ('r', 'p')"),
        ("SELECT 1 WHERE k = ANY (ARRAY['r', $1])", "SELECT 1 WHERE k IN ('r', $1)"),
        ("SELECT 1 WHERE k <> ALL ('{a}'::text[])", "SELECT 1 WHERE k NOT IN ('a')"),
        ("SELECT 1 WHERE t.typreceive != 0", "SELECT 1 WHERE t.typreceive <> '-'"),
        ("SELECT (SELECT adbin FROM pg_attrdef d WHERE d.adrelid = a.attrelid)", "SELECT NULL"),
        ("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index)", "SELECT false"),
        ("SELECT (SELECT count(*) FROM pg_index)", "SELECT (SELECT count(*) FROM pg_catalog.pg_index)"),
        (
            "SELECT (SELECT relkind FROM pg_class c WHERE c.oid = t.typrelid)",
            "SELECT (SELECT min(relkind) FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)",
        ),
        (
            "SELECT array(SELECT attname FROM pg_attribute ORDER BY 1)",
            "SELECT (SELECT array_agg(attname ORDER BY attname) FROM pg_catalog.pg_attribute)",
        ),
        ("SELECT word FROM pg_catalog.pg_get_keywords()", "SELECT word FROM pg_catalog.pg_get_keywords"),
        ("SELECT a, (SELECT b FROM t) FROM pg_policy", "SELECT a, NULL FROM pg_catalog.pg_policy"),
        ("SELECT array(SELECT a FROM t ORDER BY b DESC)", "SELECT (SELECT array_agg(a ORDER BY b DESC) FROM t)"),
        ("SELECT array(SELECT a FROM t LIMIT 1)", "SELECT array(SELECT a FROM t LIMIT 1)"),
        ("SELECT array(SELECT a, b FROM t)", "SELECT array(SELECT a, b FROM t)"),
        ("SELECT a COLLATE \"C\" FROM t ORDER BY a COLLATE de", "SELECT a FROM t ORDER BY a COLLATE de"),
        ("SELECT array(SELECT polname FROM pg_policy)", "SELECT CAST(make_array() AS TEXT[])"),
        ("SELECT a LIKE $1 ESCAPE '/'", "SELECT a LIKE like_pattern($1, '/')"),
        ("SELECT a NOT ILIKE b ESCAPE '\\'", "SELECT a NOT ILIKE b ESCAPE '\\'"),
        (
            "SELECT generate_subscripts(a, 1) FROM pg_index LEFT JOIN pg_class ON true",
            "SELECT array_length(a) FROM pg_catalog.pg_index LEFT JOIN pg_catalog.pg_class ON true",
        ),
        (
            "SELECT (SELECT 1) FROM pg_index RIGHT JOIN pg_class ON true",
            "SELECT (SELECT 1) FROM pg_catalog.pg_index RIGHT JOIN pg_catalog.pg_class ON true",
        ),
        ("SELECT array_upper(a, 1)", "SELECT array_length(a)"),
        ("SELECT array_upper(a, 2)", "SELECT array_upper(a, 2)"),
        ("SELECT a, a, n.*", "SELECT a AS \"atidemark$0\", a AS \"atidemark$1\", n.*"),
        ("SELECT a, b, a AS b", "SELECT a, b, a AS \"btidemark$2\""),
        ("SELECT a FROM (SELECT a, a FROM t)", "SELECT a FROM (SELECT a, a FROM t)"),
    ] {
        assert_eq!(adapted(sql), expected, "{sql}");
    }
    assert_eq!(told("atidemark$1"), "a");
}
