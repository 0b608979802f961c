//! Every spelling of the past, in every position, and everything that must be refused.

use datafusion::common::ScalarValue;

use super::*;

/// One microsecond before the first change after the fold: twenty documents, 0 to 19.
fn past(lab: &Lab) -> i64 {
    lab.changes[20].system_time - 1
}

fn text(micros: i64) -> String {
    Instant::from_micros(micros).to_string()
}

/// Ways to write the table `c` as it was; `@` stands for a value.
fn spellings(lab: &Lab) -> Vec<(&'static str, ScalarValue)> {
    let at = |micros: i64| ScalarValue::from(text(micros));
    let time = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    let (past, now) = (past(lab), lab.query.room.lake.live.now().micros());
    let ago = |micros: i64| ScalarValue::Float64(Some((micros - now) as f64 / 1e6));
    let number = |number: i64| ScalarValue::Int64(Some(number));
    // Half a microsecond behind it: strictly before that is the instant itself.
    let half_behind = ScalarValue::from(text(past).replace('Z', "5Z"));
    vec![
        ("c FOR SYSTEM_TIME AS OF @", at(past)),
        ("c FOR SYSTEM_TIME AS OF (@)", time(past)),
        ("c TIMESTAMP AS OF @", at(past)),
        ("c FOR TIMESTAMP AS OF @", at(past)),
        ("lab.c AT (TIMESTAMP => @)", at(past)),
        ("lab.c BEFORE (TIMESTAMP => @)", at(past + 1)),
        ("lab.c BEFORE (TIMESTAMP => @)", half_behind.clone()),
        ("c BEFORE (TIMESTAMP => @)", ScalarValue::TimestampNanosecond(Some(past * 1000 + 500), Some("UTC".into()))),
        ("c FOR SYSTEM_TIME FROM @ TO @", half_behind),
        ("c AT (OFFSET => @)", ago(past)),
        ("c BEFORE (OFFSET => @)", ago(past + 1)),
        ("c VERSION AS OF @", number(1)),
        ("c FOR VERSION AS OF @", number(2)),
        ("c AT (VERSION => @)", number(1)),
        ("c FOR VALID_TIME AS OF @", at(START + 50)),
        ("c FOR VALID_TIME AS OF @ FOR SYSTEM_TIME AS OF now()", at(START + 50)),
        ("c FOR SYSTEM_TIME AS OF now() FOR VALID_TIME AS OF @", at(START + 50)),
        ("c FOR SYSTEM_TIME BETWEEN @ AND @", at(past)),
        ("c FOR SYSTEM_TIME FROM @ TO CAST(@ AS TIMESTAMP) + INTERVAL '1 microsecond'", at(past)),
        ("c FOR VALID_TIME BETWEEN @ AND @", at(START + 50)),
        ("c FOR SYSTEM_TIME AS OF @ FOR VALID_TIME ALL", at(past)),
        ("as_of('lab.c', @)", at(past)),
        ("as_of('c', NULL, @)", at(START + 50)),
    ]
}

/// A value as SQL writes it.
fn literal(value: &ScalarValue) -> String {
    match value {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => format!("TIMESTAMP '{}'", text(*micros)),
        ScalarValue::TimestampNanosecond(Some(nanos), _) => {
            format!("TIMESTAMP '{}{:03}Z'", text(nanos.div_euclid(1000)).trim_end_matches('Z'), nanos.rem_euclid(1000))
        }
        ScalarValue::Float64(Some(seconds)) => format!("{seconds:.6}"),
        ScalarValue::Int64(Some(number)) => number.to_string(),
        other => format!("'{other}'"),
    }
}

/// Places where a table may stand; each answers its rows and the sum of `a`.
const POSITIONS: [&str; 12] = [
    "SELECT count(*), sum(a) FROM {}",
    "SELECT count(x._id), sum(x.a) FROM {} x WHERE x.a >= 0",
    "SELECT count(x._id), sum(x.a) FROM {} AS x",
    "SELECT count(*), sum(a) FROM (SELECT * FROM {}) s",
    "WITH s AS (SELECT * FROM {}) SELECT count(*), sum(a) FROM s",
    "WITH c AS (SELECT * FROM {}) SELECT count(*), sum(a) FROM c",
    "SELECT count(*), sum(o.a) FROM {} o LEFT JOIN c n ON n._id = o._id",
    "SELECT count(*), sum(o.a) FROM c n RIGHT JOIN {} o USING (_id)",
    "SELECT count(*), 190 FROM (SELECT DISTINCT document_id AS d FROM events) e \
     WHERE EXISTS (SELECT 1 FROM {} o WHERE o._id = e.d)",
    "SELECT count(*), 190 FROM (SELECT DISTINCT document_id AS d FROM events) e WHERE d IN (SELECT _id FROM {})",
    "SELECT count(*), sum(a) FROM (SELECT a FROM c WHERE false UNION ALL SELECT a FROM {}) u",
    "SELECT (SELECT count(*) FROM {}), (SELECT sum(a) FROM {})",
];

async fn answered(lab: &Lab, statement: &Statement) -> String {
    let answer = lab.query.run(statement).await.unwrap_or_else(|e| panic!("{}: {e}", statement.sql));
    let batches: Vec<arrow::array::RecordBatch> = futures::TryStreamExt::try_collect(answer.stream).await.unwrap();
    let cell = |batch: &arrow::array::RecordBatch, at| {
        arrow::util::display::array_value_to_string(batch.column(at), 0).unwrap()
    };
    let filled = batches.iter().find(|batch| batch.num_rows() > 0);
    filled.map_or_else(String::new, |batch| format!("{} {}", cell(batch, 0), cell(batch, 1)))
}

/// Spelling × position, written out and prepared.
#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_travels_in_every_position() {
    let lab = small_lab().await;
    assert_eq!(answered(&lab, &Lab::statement(&POSITIONS[0].replace("{}", "c"))).await, "19 483");
    for (spelling, value) in spellings(&lab) {
        for position in POSITIONS {
            let sql = position.replace("{}", &spelling.replace('@', &literal(&value)));
            assert_eq!(answered(&lab, &Lab::statement(&sql)).await, "20 190", "{sql}");
            let mut prepared = Lab::statement(&position.replace("{}", &spelling.replace('@', "$1")));
            lab.query.describe(&prepared).await.unwrap_or_else(|e| panic!("{}: {e}", prepared.sql));
            prepared.params = vec![value.clone()];
            assert_eq!(answered(&lab, &prepared).await, "20 190", "{} of {value}", prepared.sql);
        }
        let sql = format!("EXPLAIN SELECT * FROM {}", spelling.replace('@', &literal(&value)));
        lab.rows(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// Predicates and settings, which stand elsewhere than behind the table.
#[tokio::test(flavor = "multi_thread")]
async fn predicates_and_settings_travel_too() {
    let lab = small_lab().await;
    let (past, valid) = (text(past(&lab)), text(START + 50));
    for sql in [
        format!("SELECT count(*), sum(a) FROM c WHERE _as_of = TIMESTAMP '{past}'"),
        format!("SELECT count(*), sum(x.a) FROM c x WHERE x.a >= 0 AND '{past}' = x._as_of"),
        format!("SELECT count(*), sum(a) FROM c WHERE (_valid_as_of = '{valid}' AND a >= 0)"),
        format!("SELECT count(*), sum(a) FROM (SELECT * FROM c WHERE _as_of = '{past}') s"),
        format!("WITH s AS (SELECT * FROM c WHERE c._as_of = '{past}') SELECT count(*), sum(a) FROM s"),
        format!("SELECT count(*), sum(o.a) FROM c o LEFT JOIN c n ON n._id = o._id WHERE o._as_of = '{past}'"),
        format!(
            "SELECT count(*), sum(a) FROM (SELECT a FROM c WHERE false UNION ALL SELECT a FROM c WHERE _as_of = '{past}') u"
        ),
        format!("SET tidemark.as_of = '{past}'; SELECT count(*), sum(a) FROM c"),
        format!("SET tidemark.valid_as_of TO TIMESTAMP '{valid}'; SELECT count(*), sum(a) FROM c"),
        "SET tidemark.as_of = now(); SELECT count(*), sum(a) FROM c VERSION AS OF 1".to_owned(),
        format!(
            "SET tidemark.as_of = '{past}'; SET tidemark.valid_as_of = '{valid}'; RESET tidemark.as_of; SELECT count(*), sum(a) FROM c"
        ),
    ] {
        assert_eq!(answered(&lab, &Lab::statement(&sql)).await, "20 190", "{sql}");
    }
    for (sql, expected) in [
        // A clause is more specific than the session.
        (
            format!("SET tidemark.as_of = '{past}'; SELECT count(*), sum(a) FROM c FOR SYSTEM_TIME AS OF now()"),
            "19 483".to_owned(),
        ),
        (format!("SET tidemark.as_of = '{past}'; RESET ALL; SELECT count(*), sum(a) FROM c"), "19 483".to_owned()),
        (format!("SET tidemark.as_of = '{past}'; SHOW tidemark.as_of"), past.clone()),
        ("SHOW tidemark.valid_as_of".to_owned(), "NULL".to_owned()),
        (format!("SET tidemark.as_of = '{past}'"), format!("{past} NULL off present")),
    ] {
        let rows = lab.rows(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(rows, [expected.split(' ').map(str::to_owned).collect::<Vec<_>>()], "{sql}");
    }
    let mut set = Lab::statement("SET tidemark.as_of = $1");
    assert!(lab.query.describe(&set).await.unwrap().settings.is_empty());
    set.params = vec![past.as_str().into()];
    let expected = [crate::Setting::AsOf(Some(Instant::parse(&past).unwrap()))];
    assert_eq!(lab.query.describe(&set).await.unwrap().settings, expected);
    assert_eq!(lab.query.run(&set).await.unwrap().settings, expected);
    let names = lab.rows("SELECT * FROM c LIMIT 1").await.unwrap();
    assert_eq!(names[0].len(), 7, "SELECT * shows no column of instants");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_is_told_by_functions_suffixes_and_periods() {
    let lab = small_lab().await;
    let at = text(past(&lab));
    let valid = text(START + 100);
    for (sql, expected) in [
        (
            format!(
                "SELECT _id, _change, array_to_string(_fields, ',') FROM diff('lab.c', '{at}', now()) ORDER BY _id"
            ),
            "k03 changed a,b | k04 removed a,b",
        ),
        (
            format!("SELECT _before, _after FROM diff('c', '{at}') d WHERE d._id = 'k03'"),
            r#"{"a":3,"b":"x"} {"a":300,"b":"y"}"#,
        ),
        (format!("SELECT count(*) FROM diff('c', '{at}', '{at}')"), "0"),
        ("SELECT count(*) FROM changes('c', now())".to_owned(), "0"),
        ("SELECT count(*) FROM diff('c', now())".to_owned(), "0"),
        ("SELECT count(*), count(DISTINCT _seq) FROM changes('c')".to_owned(), "22 22"),
        (format!("SELECT _id, _op, a FROM changes('c', '{at}') ORDER BY _seq"), "k03 update 300 | k04 delete NULL"),
        (format!("SELECT count(*) FROM changes('c', NULL, '{at}')"), "20"),
        (format!("SELECT count(*) FROM \"c$changes\" FOR SYSTEM_TIME AS OF '{at}'"), "20"),
        ("SELECT _op FROM lab.\"c$changes\" WHERE _id = 'k04' ORDER BY _seq".to_owned(), "insert | delete"),
        (
            "SELECT _op, a, _valid_to IS NULL, _system_to IS NULL FROM history('c', 'k03') ORDER BY _seq, _system_from"
                .to_owned(),
            "insert 3 true false | insert 3 false true | update 300 true true",
        ),
        ("SELECT _prev FROM history('c', 'k04') WHERE _op = 'delete'".to_owned(), r#"{"a":4,"b":"x"}"#),
        ("SELECT count(*) FROM \"c$history\" h WHERE h._id = 'k04'".to_owned(), "3"),
        ("SELECT count(*) FROM \"c$history\"".to_owned(), "24"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME ALL".to_owned(), "21"),
        ("SELECT count(*) FROM c FOR VALID_TIME ALL x".to_owned(), "21"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME ALL FOR VALID_TIME ALL WHERE _id = 'k03'".to_owned(), "3"),
        (format!("SELECT count(*), sum(a) FROM c FOR VALID_TIME BETWEEN '{valid}' AND '{valid}'"), "20 487"),
        (format!("SELECT count(*), max(a) FROM c FOR SYSTEM_TIME BETWEEN '{at}' AND now() WHERE _id < 'k05'"), "6 300"),
        ("SELECT version, rows, files FROM versions('c') ORDER BY version".to_owned(), "1 20 1 | 2 20 3"),
        ("SELECT count(*) FROM \"c$versions\" WHERE system_time IS NOT NULL".to_owned(), "2"),
        ("SELECT count(*) FROM \"c$snapshots\"".to_owned(), "0"),
        ("SELECT kind, sum(rows) FROM \"c$files\" GROUP BY kind ORDER BY kind".to_owned(), "delta 20 | state 20"),
        ("SELECT kind, rows, id_min FROM lab.\"events$files\"".to_owned(), "events 20 NULL"),
        ("SELECT version FROM versions('lab.events')".to_owned(), "1"),
        ("SELECT array_to_string(changed_fields('{\"a\":1}', '{\"a\":2}'), ' ')".to_owned(), "a"),
        // Joins of two instants, and of a state with what moved.
        (
            format!(
                "SELECT n._id, o.a, n.a FROM c n JOIN c TIMESTAMP AS OF '{at}' o ON o._id = n._id WHERE o.a <> n.a"
            ),
            "k03 3 300",
        ),
        (
            format!(
                "SELECT m._id, m._op, o.a FROM changes('c', '{at}') m LEFT JOIN as_of('c', '{at}') o USING (_id) ORDER BY 1"
            ),
            "k03 update 3 | k04 delete 4",
        ),
    ] {
        let rows = lab.rows(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let text: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(text.join(" | "), expected, "{sql}");
        let described = lab.query.describe(&Lab::statement(&sql)).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(described.schema, lab.ask(&sql).await.unwrap().schema, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_about_the_past_is_refused() {
    let lab = small_lab().await;
    for (sql, code) in [
        ("SELECT * FROM c VERSION AS OF 3", "unknown_version"),
        ("SELECT * FROM c VERSION AS OF 0", "unknown_version"),
        ("SELECT * FROM events FOR VERSION AS OF 7", "unknown_version"),
        ("SELECT * FROM c FOR VERSION AS OF 1.5", "invalid_sql"),
        ("SELECT * FROM c FOR VERSION AS OF -1", "invalid_sql"),
        ("SELECT * FROM c FOR VERSION AS OF 'one'", "invalid_sql"),
        ("SELECT * FROM c AT (OFFSET => 60)", "instant_in_future"),
        ("SELECT * FROM c AT (OFFSET => 'x')", "invalid_sql"),
        ("SELECT * FROM c AT (OFFSET => a)", "invalid_sql"),
        ("SELECT * FROM c AT (OFFSET => -1e9)", "before_creation"),
        ("SELECT * FROM c BEFORE (TIMESTAMP => '1999-01-01')", "before_creation"),
        ("SELECT * FROM c FOR SYSTEM_TIME BETWEEN now() AND TIMESTAMP '2020-01-01T00:00:00Z'", "invalid_sql"),
        ("SELECT * FROM c FOR SYSTEM_TIME FROM now() TO now()", "invalid_sql"),
        ("SELECT * FROM c FOR SYSTEM_TIME BETWEEN now() AND TIMESTAMP '2999-01-01T00:00:00Z'", "instant_in_future"),
        ("SELECT * FROM c FOR VALID_TIME BETWEEN a AND now()", "invalid_sql"),
        ("SELECT * FROM events FOR SYSTEM_TIME ALL", "invalid_sql"),
        ("SELECT * FROM history('lab.events')", "invalid_sql"),
        ("SELECT * FROM diff('events', now())", "invalid_sql"),
        ("SELECT * FROM \"events$changes\"", "invalid_sql"),
        ("SELECT * FROM changes('lab.nothing')", "unknown_table"),
        ("SELECT * FROM versions('nothing')", "unknown_table"),
        ("SELECT * FROM \"c$nothing\"", "unknown_table"),
        ("SELECT * FROM \"tidemark$0\"", "unknown_table"),
        ("SELECT * FROM history('c', 5)", "invalid_sql"),
        ("SELECT * FROM changes('c', now(), TIMESTAMP '2020-09-13T12:26:40.000001Z')", "invalid_sql"),
        ("SELECT * FROM changes('c', a)", "invalid_sql"),
        ("SELECT * FROM changes('c', TIMESTAMP '2999-01-01T00:00:00Z')", "instant_in_future"),
        ("SELECT * FROM c WHERE _as_of = a", "invalid_sql"),
        ("SELECT * FROM c WHERE _as_of = TIMESTAMP '2999-01-01T00:00:00Z'", "instant_in_future"),
        ("SELECT _as_of FROM c", "invalid_sql"),
        ("SELECT * FROM c WHERE _as_of > now()", "invalid_sql"),
        ("SET tidemark.as_of = 'noon'; SELECT 1", "invalid_sql"),
        ("SET tidemark.as_of = TIMESTAMP '2999-01-01T00:00:00Z'", "instant_in_future"),
        ("SET search_path = 'x'", "invalid_sql"),
    ] {
        let error = lab.rows(sql).await.expect_err(sql);
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(!error.to_string().contains("tidemark$clauses"), "{error}");
    }
}
