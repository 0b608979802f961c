//! Text is views inside of a plan and plain outside: whatever is asked of a column answers what it answers of plain text.

use super::*;

/// Expressions of a text column `x` and a document `d`.
const EXPRESSIONS: &[&str] = &[
    "x",
    "x || '!'",
    "concat(x, '-', x)",
    "concat_ws('-', x, x)",
    "upper(x)",
    "lower(x)",
    "initcap(x)",
    "length(x)",
    "octet_length(x)",
    "bit_length(x)",
    "reverse(x)",
    "repeat(x, 2)",
    "left(x, 1)",
    "right(x, 1)",
    "lpad(x, 5, '.')",
    "rpad(x, 5, '.')",
    "substr(x, 1, 2)",
    "substring(x FROM 1 FOR 1)",
    "replace(x, 'b', 'c')",
    "translate(x, 'ab', 'ba')",
    "split_part(x, 'b', 1)",
    "strpos(x, 'b')",
    "position('b' IN x)",
    "starts_with(x, 'a')",
    "ends_with(x, 'b')",
    "contains(x, 'b')",
    "trim(x)",
    "btrim(x, 'a')",
    "ltrim(x, 'a')",
    "rtrim(x, 'b')",
    "overlay(x PLACING 'z' FROM 1 FOR 1)",
    "levenshtein(x, 'abc')",
    "ascii(x)",
    "find_in_set(x, 'a,ab,abc')",
    "substr_index(x, 'b', 1)",
    "encode(x, 'hex')",
    "encode(x, 'base64')",
    "decode(encode(x, 'hex'), 'hex')",
    "regexp_like(x, '^a')",
    "regexp_replace(x, 'a', 'z')",
    "regexp_match(x, '(a)(b)')",
    "regexp_count(x, 'a')",
    "x ~ '^a'",
    "x LIKE 'a%'",
    "x ILIKE 'A%'",
    "x SIMILAR TO 'a%'",
    "x IN ('a', 'ab')",
    "x BETWEEN 'a' AND 'b'",
    "x = 'ab'",
    "x < 'b'",
    "x IS DISTINCT FROM 'ab'",
    "coalesce(x, 'none')",
    "nullif(x, 'ab')",
    "nvl(x, 'none')",
    "nvl2(x, 'some', 'none')",
    "greatest(x, 'b')",
    "least(x, 'b')",
    "CASE WHEN x = 'ab' THEN x ELSE 'other' END",
    "CASE x WHEN 'ab' THEN 1 ELSE 0 END",
    "CAST(x AS VARCHAR)",
    "try_cast(x AS BIGINT)",
    "CAST(d->>'at' AS TIMESTAMP)",
    "(d->>'at')::timestamp",
    "CAST(d->>'at' AS TIMESTAMP WITH TIME ZONE)",
    "(d->>'at')::timestamptz > TIMESTAMP '2026-01-03T00:00:00Z'",
    "try_cast(x AS TIMESTAMP)",
    "to_timestamp(d->>'at')",
    "to_timestamp_seconds(d->>'at')",
    "to_timestamp_millis(d->>'at')",
    "to_timestamp_micros(d->>'at')",
    "to_timestamp_nanos(d->>'at')",
    "to_timestamp(d->>'at', '%d.%m.%Y', '%+')",
    "to_timestamp(substr(d->>'at', 1, 10))",
    "to_timestamp(d->>'at') = CAST(d->>'at' AS TIMESTAMP WITH TIME ZONE)",
    "to_timestamp(json_get_int(d, 'i'))",
    "to_timestamp('2026-01-01T00:00:00Z')",
    "date_trunc('hour', to_timestamp(d->>'at'))",
    "date_trunc('day', CAST(d->>'at' AS TIMESTAMP))",
    "make_array(x, 'y')",
    "[x]",
    "array_to_string(make_array(x, x), ',')",
    "string_to_array(x, 'b')",
    "array_has(make_array('ab', 'b'), x)",
    "array_position(make_array('ab', 'b'), x)",
    "struct(x, 1)",
    "named_struct('k', x)",
    "map(make_array('k'), make_array(x))",
    "d->'b'",
    "d->>'b'",
    "d->'n'->>'m'",
    "d->'l'->0",
    "json_as_text(d, 'b')",
    "json_contains(d, 'b')",
    "json_get_array(d, 'l')",
    "json_get_bool(d, 't')",
    "json_get_float(d, 'f')",
    "json_get_int(d, 'i')",
    "json_get_json(d, 'n')",
    "json_get_str(d, 'b')",
    "json_length(d)",
    "json_object_keys(d)",
    "changed_fields(d, '{}')",
    "document_digest(d)",
    "arrow_typeof(x)",
    "arrow_typeof(make_array(x))",
    "arrow_cast(x, 'LargeUtf8')",
    // Rows of equal text come in any order: what looks at a neighbour names one.
    "lag(x) OVER (ORDER BY x, id)",
    "first_value(x) OVER (ORDER BY x)",
    "row_number() OVER (PARTITION BY x ORDER BY d)",
];

/// Aggregates of the same.
const AGGREGATES: &[&str] = &[
    "count(x)",
    "count(DISTINCT x)",
    "min(x)",
    "max(x)",
    "approx_distinct(x)",
    "string_agg(x, ',' ORDER BY x)",
    "array_agg(x ORDER BY x)",
    "array_agg(DISTINCT x ORDER BY x)",
    "first_value(x ORDER BY x)",
    "last_value(x ORDER BY x)",
    "nth_value(x, 2 ORDER BY x)",
    "max(upper(x))",
    "bool_or(x = 'ab')",
];

async fn lab() -> Lab {
    let mut lab = Lab::open().await;
    let document = |n: usize| {
        let b = ["\"ab\"", "\"b\"", "\"a longer text than is kept inside of a view\"", "null"][n % 4];
        format!(
            r#"{{"b":{b},"n":{{"m":"{n}"}},"l":["x",1],"t":true,"f":0.5,"i":{n},"at":"2026-01-0{}T00:00:00Z"}}"#,
            n % 9 + 1
        )
    };
    let change = |n: usize| Change::of(&format!("k{n}"), Op::Insert, START + n as i64, Some(&document(n)));
    lab.append((0..8).map(change).collect());
    lab.flush().await;
    lab.delta().await;
    lab.fold().await;
    // Some of it in the overlay, some in the tail.
    lab.append((8..11).map(change).collect());
    lab.flush().await;
    lab.append((2..3).chain(11..13).map(change).collect());
    lab
}

/// The same question of views and of plain text.
fn both(select: &str, rest: &str) -> [String; 2] {
    let of =
        |x: &str, d: &str| format!("SELECT {select} FROM (SELECT _id AS id, {x} AS x, {d} AS d FROM c) AS t {rest}");
    [of("b", "_doc"), of("arrow_cast(b, 'Utf8')", "arrow_cast(_doc, 'Utf8')")]
}

async fn compare(lab: &Lab, asked: [String; 2]) {
    let [views, plain] = asked;
    let columns =
        |schema: &Schema| schema.fields().iter().map(|field| field.data_type().to_string()).collect::<String>();
    let (of_views, of_plain) = (lab.ask(&views).await, lab.ask(&plain).await);
    let (of_views, of_plain) =
        (of_views.unwrap_or_else(|e| panic!("{views}: {e}")), of_plain.unwrap_or_else(|e| panic!("{plain}: {e}")));
    assert_eq!(columns(&of_views.schema), columns(&of_plain.schema), "{views}");
    assert!(!columns(&of_views.schema).contains("View"), "{views}: {}", columns(&of_views.schema));
    let described = lab.query.describe(&Lab::statement(&views)).await.unwrap_or_else(|e| panic!("{views}: {e}"));
    assert_eq!(columns(&described.schema), columns(&of_views.schema), "{views}");
    assert_eq!(lab.rows(&views).await.unwrap(), lab.rows(&plain).await.unwrap(), "{views}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_of_text_is_answered_as_of_plain_text() {
    let lab = lab().await;
    for select in EXPRESSIONS {
        compare(&lab, both(select, "ORDER BY id")).await;
    }
    for select in AGGREGATES {
        compare(&lab, both(select, "")).await;
        compare(&lab, both(&format!("id > 'k5' AS late, {select}"), "GROUP BY 1 ORDER BY 1")).await;
    }
    for (select, rest) in [
        ("x, count(*)", "GROUP BY x ORDER BY x"),
        ("DISTINCT x", "ORDER BY x"),
        ("id", "WHERE x LIKE 'a%' ORDER BY x DESC, id LIMIT 3"),
        ("id, y.v", "JOIN (VALUES ('ab'), ('b')) AS y(v) ON y.v = t.x ORDER BY 1, 2"),
        ("id", "WHERE x IN (SELECT b FROM c) ORDER BY id"),
        ("x", "UNION SELECT op FROM events ORDER BY 1"),
        ("x", "UNION ALL SELECT _op FROM changes('c') ORDER BY 1"),
    ] {
        compare(&lab, both(select, rest)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_a_time_becomes_one_in_utc() {
    let lab = lab().await;
    let of = |x: &str| format!("SELECT {x} FROM c WHERE _id = 'k1'");
    for (x, expected) in [
        ("to_timestamp(_doc->>'at')", "2026-01-02T00:00:00Z"),
        ("to_timestamp_seconds(_doc->>'at')", "2026-01-02T00:00:00Z"),
        ("to_timestamp(replace(_doc->>'at', 'Z', '-05:00'))", "2026-01-02T05:00:00Z"),
        ("to_timestamp(substr(_doc->>'at', 1, 10))", "2026-01-02T00:00:00Z"),
        ("(_doc->>'at')::timestamptz", "2026-01-02T00:00:00Z"),
        ("(_doc->>'at')::timestamp", "2026-01-02T00:00:00"),
        ("CAST(_doc->>'at' AS TIMESTAMP)", "2026-01-02T00:00:00"),
    ] {
        assert_eq!(lab.rows(&of(x)).await.unwrap_or_else(|e| panic!("{x}: {e}")), [[expected]], "{x}");
    }
    let wrong = lab.rows(&of("to_timestamp(b)")).await.expect_err("no time");
    assert!(wrong.to_string().contains("timestamp"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_description_tells_of_views() {
    let lab = lab().await;
    for sql in [
        "DESCRIBE c",
        "DESCRIBE events",
        "DESCRIBE SELECT b, upper(b), make_array(b) FROM c",
        "SELECT data_type FROM information_schema.columns",
        "SELECT arrow_typeof(b), arrow_typeof(make_array(b)) FROM c LIMIT 1",
    ] {
        let rows = lab.rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert!(!rows.is_empty() && !rows.concat().join(" ").contains("View"), "{sql}: {rows:?}");
    }
}
