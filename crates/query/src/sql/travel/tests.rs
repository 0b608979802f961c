//! What `travel` promises, as tables of input and expectation.

use super::*;
use crate::sql::{limits::Caps, parse};

const CAPS: Caps = Caps { bytes: 64 << 10, tokens: 10_000, depth: 64 };

/// Each reference as `name@system/valid`.
fn found(sql: &str) -> Result<Vec<String>, Error> {
    let shown = |expr: &Option<Expr>| expr.as_ref().map(ToString::to_string).unwrap_or_default();
    let parsed = parse(sql, &CAPS)?;
    Ok(parsed
        .references
        .iter()
        .map(|r| format!("{}@{}/{}", r.name.join("."), shown(&r.system_time), shown(&r.valid_time)))
        .collect())
}

#[test]
fn tables_and_instants_are_found_wherever_they_stand() {
    for (sql, expected) in [
        ("SELECT 1", vec![]),
        ("SELECT * FROM nyc.flights", vec!["nyc.flights@/"]),
        ("SELECT * FROM tidemark.NYC.\"Flights\" f", vec!["tidemark.nyc.Flights@/"]),
        ("SELECT * FROM f FOR SYSTEM_TIME AS OF now() x WHERE x.a = 1", vec!["f@now()/"]),
        ("SELECT * FROM f FOR VALID_TIME AS OF 'a' FOR SYSTEM_TIME AS OF 'b'", vec!["f@'b'/'a'"]),
        ("SELECT * FROM f AT (TIMESTAMP => 'x') y", vec!["f@'x'/"]),
        ("SELECT * FROM f TIMESTAMP AS OF $1 JOIN g FOR VALID_TIME AS OF ($2) ON f.a = g.a", vec!["f@$1/", "g@/($2)"]),
        ("EXPLAIN SELECT * FROM f FOR SYSTEM_TIME AS OF 'b'", vec!["f@'b'/"]),
        ("SELECT 1 FROM f TIMESTAMP AS OF 'a' UNION ALL SELECT 2 FROM f TIMESTAMP AS OF 'b'", vec!["f@'a'/", "f@'b'/"]),
        ("SELECT (SELECT max(a) FROM g TIMESTAMP AS OF 'a') FROM f", vec!["f@/", "g@'a'/"]),
        ("SELECT * FROM f WHERE a IN (SELECT a FROM g TIMESTAMP AS OF 'a')", vec!["f@/", "g@'a'/"]),
        ("SELECT * FROM f, LATERAL (SELECT * FROM g TIMESTAMP AS OF 'a') x", vec!["f@/", "g@'a'/"]),
        ("WITH c AS (SELECT * FROM f TIMESTAMP AS OF 'a') SELECT * FROM c, g", vec!["f@'a'/", "g@/"]),
        ("WITH f AS (SELECT * FROM f) SELECT * FROM f", vec!["f@/"]),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a, c) SELECT * FROM b, nyc.a", vec!["c@/", "nyc.a@/"]),
        ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) x, c", vec!["c@/"]),
        ("WITH c AS (WITH d AS (SELECT * FROM e) SELECT * FROM d) SELECT * FROM c, d", vec!["e@/", "d@/"]),
        ("SELECT * FROM information_schema.tables", vec![]),
        ("SELECT * FROM generate_series(1, 3)", vec![]),
        ("SELECT 'f FOR SYSTEM_TIME AS OF now()' AS \"f FOR VALID_TIME AS OF now()\"", vec![]),
    ] {
        let mut got = found(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{sql}");
    }
}

/// Positions × clauses: whatever stands behind a table is served or refused, never dropped.
#[test]
fn every_clause_nobody_serves_is_refused_in_every_position() {
    let clauses = [
        "TABLESAMPLE SYSTEM (1)",
        "TABLESAMPLE BERNOULLI (10)",
        "AT (STATEMENT => 'x')",
        "AT (OFFSET => -60)",
        "BEFORE (TIMESTAMP => now())",
        "VERSION AS OF 3",
        "FOR VERSION AS OF 3",
        "FOR SYSTEM_TIME ALL",
        "FOR SYSTEM_TIME BETWEEN '1' AND '2'",
        "FOR SYSTEM_TIME FROM '1' TO '2'",
        "FOR VALID_TIME CONTAINED IN ('1', '2')",
        "FOR SYSTEM_TIME AS OF '1' FOR SYSTEM_TIME AS OF '2'",
        "CHANGES (INFORMATION => DEFAULT) AT (TIMESTAMP => now())",
        "WITH (NOLOCK)",
    ];
    let positions = [
        "SELECT * FROM f {}",
        "SELECT * FROM f {} x",
        "SELECT * FROM g, f {}",
        "SELECT * FROM g JOIN f {} ON true",
        "SELECT * FROM (g JOIN f {} ON true)",
        "SELECT * FROM (SELECT * FROM f {}) x",
        "SELECT * FROM g, LATERAL (SELECT * FROM f {}) x",
        "SELECT (SELECT max(a) FROM f {}) FROM g",
        "SELECT * FROM g WHERE EXISTS (SELECT 1 FROM f {})",
        "SELECT * FROM g WHERE a IN (SELECT 1 FROM f {})",
        "WITH c AS (SELECT * FROM f {}) SELECT * FROM c",
        "SELECT * FROM f {} UNION SELECT * FROM f",
        "SELECT * FROM f EXCEPT SELECT * FROM f {}",
        "EXPLAIN SELECT * FROM f {}",
        "EXPLAIN ANALYZE VERBOSE SELECT * FROM f {}",
        "SELECT a FROM g ORDER BY (SELECT max(a) FROM f {})",
        "SELECT a FROM g GROUP BY a HAVING a > (SELECT max(a) FROM f {})",
        "VALUES ((SELECT max(a) FROM f {}))",
    ];
    for position in positions {
        for clause in clauses {
            let sql = position.replace("{}", clause);
            let refused = found(&sql);
            assert!(matches!(refused, Err(Error::Invalid(_))), "{sql}: {refused:?}");
        }
    }
}

#[test]
fn a_clause_needs_a_table_with_history_and_stands_before_the_alias() {
    for sql in [
        "SELECT * FROM (VALUES (1)) v FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM (SELECT 1) FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM (VALUES (1)) FOR VALID_TIME AS OF now() v",
        "WITH flights AS (SELECT 1 AS a) SELECT * FROM flights FOR SYSTEM_TIME AS OF now()",
        "WITH flights AS (SELECT 1 AS a) SELECT * FROM (SELECT * FROM flights TIMESTAMP AS OF now()) x",
        "SELECT * FROM information_schema.tables FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM tidemark.information_schema.tables FOR VALID_TIME AS OF now()",
        "SELECT * FROM generate_series(1, 3) FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM generate_series FOR SYSTEM_TIME AS OF now() (1, 3)",
        "SELECT * FROM UNNEST([1]) FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM f AS x FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM f x FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM f WHERE a FOR SYSTEM_TIME AS OF now()",
        "SELECT a FOR SYSTEM_TIME AS OF now() FROM f",
        "SELECT * FROM a.b.c.d",
        "WITH RECURSIVE c AS (SELECT 1 UNION ALL SELECT * FROM c) SELECT * FROM c",
    ] {
        assert!(matches!(found(sql), Err(Error::Invalid(_))), "{sql}: {:?}", found(sql));
    }
}
