//! What the SQL front end promises, as tables of input and expectation.

use super::*;

const CAPS: Caps = Caps { bytes: 64 << 10, tokens: 10_000, depth: 64 };

#[test]
fn only_one_reading_statement_passes() {
    for sql in [
        "SELECT 1",
        "SELECT 1;",
        "(SELECT 1)",
        "VALUES (1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SHOW TABLES",
        "DESCRIBE nyc.flights",
        "SHOW tidemark.as_of",
        "SET tidemark.as_of = 'x'",
        "SET SESSION tidemark.valid_as_of TO now() - INTERVAL '1 hour'; SET tidemark.as_of = DEFAULT; SELECT 1;",
        "RESET tidemark.as_of; RESET ALL",
        "SET tidemark.nearest = on; SET tidemark.schema TO 'as_of'",
        "-- comment\nSELECT 1",
    ] {
        assert!(parse(sql, &CAPS).is_ok(), "{sql}: {:?}", parse(sql, &CAPS));
    }
    for sql in [
        "COPY nyc.flights TO '/var/x.parquet'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE nyc.flights",
        "INSERT INTO f VALUES (1)",
        "UPDATE f SET a = 1",
        "DELETE FROM f",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "SELECT 1; SELECT 2",
        "SET tidemark.as_of = 'x'; SELECT 1; SELECT 2",
        "SELECT 1; SET tidemark.as_of = 'x'",
        "SET tidemark.as_of = 'x'; DROP TABLE f",
        "SELECT 1; DROP TABLE f",
        "SELECT * INTO x FROM f",
        "WITH a AS (SELECT 1) INSERT INTO f SELECT * FROM a",
        "WITH a AS (DELETE FROM f) SELECT 1",
        "EXPLAIN INSERT INTO f VALUES (1)",
        "EXPLAIN ANALYZE DELETE FROM f",
    ] {
        let refused = parse(sql, &CAPS).map(|parsed| parsed.params);
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{sql}: {refused:?}");
    }
    for sql in [
        "",
        ";",
        "-- nothing",
        "SELECT 1 FOR UPDATE",
        "TABLE f",
        "SELECT * FROM",
        "1",
        "SELEC 1",
        "SET a = 1",
        "SET tidemark.as_of = 1, 2",
        "SET LOCAL tidemark.as_of = 'x'",
        "SET TIME ZONE 'UTC'",
        "RESET tidemark.nothing",
        "SHOW tidemark.nothing",
        "SHOW FUNCTIONS LIKE '''; SELECT 1 --'",
        "SHOW FUNCTIONS LIKE ''' UNION ALL SELECT 1 --'",
        "SHOW FUNCTIONS ILIKE 'a'",
    ] {
        assert!(parse(sql, &CAPS).is_err(), "{sql}");
    }
}

#[test]
fn deep_and_long_text_is_refused_or_read_but_never_overflows() {
    for sql in [
        format!("SELECT {}1", "- ".repeat(9000)),
        format!("SELECT {}true", "NOT ".repeat(9000)),
        format!("SELECT 1 WHERE {}", vec!["a = 1"; 2000].join(" OR ")),
        format!("SELECT {}", vec!["1"; 4900].join("+")),
        format!("SELECT {}1{}", "(SELECT ".repeat(60), ")".repeat(60)),
        format!("SELECT * FROM {}t{}", "(".repeat(60), ")".repeat(60)),
        vec!["SELECT 1"; 3000].join(" UNION ALL "),
        format!("SELECT a{}", "[1]".repeat(3000)),
        format!("SELECT a{}", "::int".repeat(3000)),
        format!("SELECT ARRAY{}", "[".repeat(60)),
    ] {
        let result = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(move || parse(&sql, &CAPS).map(|_| ()).map_err(|e| e.kind()))
            .expect("spawns")
            .join()
            .expect("does not panic");
        assert!(result.is_ok() || result.is_err_and(|kind| kind.http() < 500));
    }
}

/// A statement of few words whose plan would have no end.
#[test]
fn what_stands_for_too_much_is_too_large() {
    let doubling = |levels: usize| {
        let twice = |n: usize| format!(", a{} AS (SELECT l.x FROM a{n} l JOIN a{n} r ON l.x = r.x)", n + 1);
        let twice: String = (0..levels).map(twice).collect();
        format!("WITH a0 AS (SELECT 1 AS x){twice} SELECT count(*) FROM a{levels}")
    };
    let inside = |levels: usize| {
        let twice =
            |n: usize| format!(", a{} AS (SELECT (SELECT max(x) FROM a{n}) + (SELECT min(x) FROM A{n}) AS x)", n + 1);
        let twice: String = (0..levels).map(twice).collect();
        format!("WITH a0 AS (SELECT 1 AS x){twice} SELECT * FROM a{levels}")
    };
    let joined =
        |tables: usize| format!("SELECT 1 FROM t0{}", (1..tables).map(|n| format!(", t{n}")).collect::<String>());
    let cube = |parts: usize| format!("SELECT 1 FROM t GROUP BY CUBE (a{})", ", a".repeat(parts - 1));
    for sql in [
        doubling(9),
        inside(9),
        joined(64),
        cube(10),
        "SELECT 1 FROM t GROUP BY ROLLUP (a, b), GROUPING SETS ((a), (b), ())".to_owned(),
        "WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b, b AS c) SELECT * FROM a, a AS d".to_owned(),
    ] {
        assert!(parse(&sql, &CAPS).is_ok(), "{sql}: {:?}", parse(&sql, &CAPS));
    }
    for sql in [
        doubling(10),
        doubling(64),
        inside(40),
        format!("SELECT * FROM ({}) AS t", doubling(30)),
        joined(65),
        doubling(10).replace(" SELECT count", ", \"A10\" AS (SELECT 1 AS x) SELECT count"),
        cube(11),
        cube(64),
        "SELECT 1 FROM t GROUP BY CUBE (a, b, c, d, e), CUBE (a, b, c, d, e), ROLLUP (a)".to_owned(),
    ] {
        let refused = parse(&sql, &CAPS).map(|parsed| parsed.params);
        assert!(matches!(refused, Err(Error::TooLarge(_))), "{sql}: {refused:?}");
    }
}
