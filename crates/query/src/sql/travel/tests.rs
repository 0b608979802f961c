//! What `travel` promises, as tables of input and expectation.

use super::*;
use crate::sql::{
    limits::Caps,
    moment::{Moment, Moments},
    parse,
};

const CAPS: Caps = Caps { bytes: 64 << 10, tokens: 10_000, depth: 64 };

fn shown(moment: &Option<Moment>) -> String {
    match moment {
        None => String::new(),
        Some(Moment::AsOf(at)) => at.to_string(),
        Some(Moment::Before(at)) => format!("<{at}"),
        Some(Moment::Offset(by)) => format!("now+{by}"),
        Some(Moment::BeforeOffset(by)) => format!("<now+{by}"),
        Some(Moment::Version(number)) => format!("#{number}"),
        Some(Moment::Between(from, to)) => format!("[{from},{to}]"),
        Some(Moment::FromTo(from, to)) => format!("[{from},{to})"),
        Some(Moment::All) => "all".to_owned(),
    }
}

fn both(moments: &Moments) -> String {
    format!("@{}/{}", shown(&moments.system), shown(&moments.valid))
}

/// Each reference as `table@system/valid`, what else it asks before it.
fn found(sql: &str) -> Result<Vec<String>, Error> {
    let text = |expr: &Option<Expr>| expr.as_ref().map(ToString::to_string).unwrap_or_default();
    let parsed = parse(sql, &CAPS)?;
    let one = |r: &Reference| {
        let table = r.table.join(".");
        match &r.asks {
            Asks::Rows(moments) => format!("{table}{}", both(moments)),
            Asks::Changes { from, upto } => format!("changes({}) {table}{}", text(from), both(upto)),
            Asks::History { id, upto } => format!("history({}) {table}{}", text(id), both(upto)),
            Asks::Versions => format!("versions {table}"),
            Asks::Snapshots => format!("snapshots {table}"),
            Asks::Files => format!("files {table}"),
            Asks::Deleted => format!("deleted {table}"),
        }
    };
    Ok(parsed.references.iter().map(one).collect())
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
        ("SELECT * FROM f BEFORE (TIMESTAMP => 'x') y", vec!["f@<'x'/"]),
        ("SELECT * FROM f AT (OFFSET => -60) FOR VALID_TIME AS OF 'a' y", vec!["f@now+-60/'a'"]),
        ("SELECT * FROM f BEFORE (OFFSET => -60)", vec!["f@<now+-60/"]),
        ("SELECT * FROM f VERSION AS OF 3 y JOIN f FOR VERSION AS OF $1 z ON true", vec!["f@#$1/", "f@#3/"]),
        ("SELECT * FROM f AT (VERSION => 3)", vec!["f@#3/"]),
        ("SELECT * FROM f FOR SYSTEM_TIME BETWEEN 'a' AND 'b' y WHERE true", vec!["f@['a','b']/"]),
        ("SELECT * FROM f FOR SYSTEM_TIME ALL FOR VALID_TIME FROM 'a' TO 'b'", vec!["f@all/['a','b')"]),
        ("SELECT * FROM as_of('n.f', 'a', 'b') y", vec!["n.f@'a'/'b'"]),
        ("SELECT * FROM as_of('f', NULL, $1)", vec!["f@/$1"]),
        (
            "SELECT * FROM changes('n.f.g', 'a') c, history('f', 'x') h",
            vec!["changes('a') n.f.g@/", "history('x') f@/"],
        ),
        ("SELECT * FROM \"f$changes\" FOR SYSTEM_TIME AS OF 'a'", vec!["changes() f@'a'/"]),
        (
            "SELECT * FROM n.\"f$history\", n.f$snapshots s, \"f$files\"",
            vec!["files f", "history() n.f@/", "snapshots n.f"],
        ),
        ("SELECT * FROM diff('f', 'a', 'b')", vec!["changes('a') f@'b'/", "f@'a'/", "f@'b'/"]),
        ("SELECT * FROM f WHERE _as_of = 'a' AND b = 1", vec!["f@'a'/"]),
        ("SELECT * FROM n.f WHERE (f._as_of = 'a' AND ('b' = n.f._valid_as_of))", vec!["n.f@'a'/'b'"]),
        ("SELECT * FROM f x JOIN f y ON true WHERE x._as_of = 'a' AND y._as_of = 'b'", vec!["f@'a'/", "f@'b'/"]),
        ("WITH c AS (SELECT 1) SELECT * FROM c, f WHERE _as_of = $1", vec!["f@$1/"]),
        ("SELECT * FROM f FOR VALID_TIME AS OF 'b' WHERE _as_of = 'a'", vec!["f@'a'/'b'"]),
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
        "AT (STREAM => 'x')",
        "AT (TIMESTAMP => now(), OFFSET => 1)",
        "AT (now())",
        "BEFORE (STATEMENT => 'x')",
        "BEFORE (VERSION => 3)",
        "FOR VERSION BETWEEN 1 AND 2",
        "FOR TIMESTAMP ALL",
        "FOR VALID_TIME ALL FOR VALID_TIME AS OF '1'",
        "FOR SYSTEM_TIME AS OF '1' AT (OFFSET => -60)",
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
        "SELECT * FROM \"f$changes\" FOR SYSTEM_TIME ALL",
        "SELECT * FROM \"f$files\" FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM \"f$snapshots\" TIMESTAMP AS OF now()",
        "SELECT * FROM changes('f') FOR SYSTEM_TIME AS OF now()",
        "SELECT * FROM a.b.c.d",
        "WITH RECURSIVE c AS (SELECT 1 UNION ALL SELECT * FROM c) SELECT * FROM c",
    ] {
        assert!(matches!(found(sql), Err(Error::Invalid(_))), "{sql}: {:?}", found(sql));
    }
}

#[test]
fn the_columns_of_instants_travel_or_are_refused() {
    for sql in [
        "SELECT _as_of FROM f",
        "SELECT f._valid_as_of FROM f",
        "SELECT * FROM f WHERE _as_of > 'a'",
        "SELECT * FROM f WHERE _as_of = 'a' OR b",
        "SELECT * FROM f WHERE NOT _as_of = 'a'",
        "SELECT * FROM f WHERE _as_of IN ('a')",
        "SELECT * FROM f WHERE _as_of = _valid_as_of",
        "SELECT * FROM f WHERE _as_of = 'a' AND _as_of = 'b'",
        "SELECT * FROM f FOR SYSTEM_TIME AS OF 'a' WHERE _as_of = 'a'",
        "SELECT * FROM as_of('f', 'a') WHERE _as_of = 'a'",
        "SELECT * FROM f x JOIN f y ON x._as_of = 'a'",
        "SELECT * FROM f x JOIN f y ON true WHERE _as_of = 'a'",
        "SELECT * FROM f x WHERE f._as_of = 'a'",
        "SELECT * FROM (SELECT * FROM f) x WHERE _as_of = 'a'",
        "WITH c AS (SELECT * FROM f) SELECT * FROM c WHERE _as_of = 'a'",
        "SELECT * FROM f WHERE EXISTS (SELECT 1 FROM g WHERE f._as_of = 'a')",
        "SELECT count(*) FROM f GROUP BY b HAVING _as_of = 'a'",
        "SELECT * FROM f ORDER BY _as_of",
        "SELECT * FROM \"f$files\" WHERE _as_of = 'a'",
        "SELECT * FROM f WHERE _AS_OF < 'a'",
    ] {
        assert!(matches!(found(sql), Err(Error::Invalid(_))), "{sql}: {:?}", found(sql));
    }
}

#[test]
fn functions_say_how_they_are_called() {
    for sql in [
        "SELECT * FROM as_of()",
        "SELECT * FROM as_of(f, now())",
        "SELECT * FROM as_of('f', now(), now(), 1)",
        "SELECT * FROM changes($1)",
        "SELECT * FROM diff('f')",
        "SELECT * FROM versions('f', 1)",
        "SELECT * FROM history(id => 'f')",
    ] {
        assert!(matches!(found(sql), Err(Error::Invalid(_))), "{sql}: {:?}", found(sql));
    }
}
