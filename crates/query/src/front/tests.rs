//! Statements through the front, over the real catalog, files and kernels.

use tidemark_model::{Instant, Op, Principal, json};

use super::*;
use crate::{
    Session,
    lab::{Change, Lab, START},
};

mod explain;
mod memory;
mod past;
mod settings;
mod text;

/// Small numbers without a library: a linear congruence, the high bits.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A document whose column `a` widens as the history goes on, and whose column `d` appears late.
fn document(random: &mut Random, step: u64) -> String {
    let a = match random.below(1 + step / 15) {
        0 => format!(r#""a":{},"#, random.below(9)),
        1 => format!(r#""a":{}.5,"#, random.below(9)),
        2 => format!(r#""a":"s{}","#, random.below(9)),
        _ => String::new(),
    };
    let d = if step > 30 { r#","d":true"# } else { "" };
    format!(r#"{{{a}"b":"{}"{d}}}"#, ["x", "y"][random.below(2) as usize])
}

fn change(random: &mut Random, step: u64) -> Change {
    let id = format!("k{:02}", random.below(40));
    let op = [Op::Insert, Op::Update, Op::Update, Op::Delete][random.below(4) as usize];
    let doc = (op != Op::Delete).then(|| document(random, step));
    let ts = START + (random.below(10 + step) as i64) * 10;
    let bookmark = [None, Some("1"), Some("2")][random.below(3) as usize].map(str::to_owned);
    Change { bookmark, ..Change::of(&id, op, ts, doc.as_deref()) }
}

/// The canonical text of a top-level field.
fn field(doc: &str, wanted: &str) -> String {
    let mut found = None;
    json::for_each_field(doc, |name, raw| {
        if name == wanted {
            found = json::Value::of(raw).text().map(|text| text.into_owned());
        }
    })
    .unwrap();
    found.unwrap_or_else(|| "NULL".to_owned())
}

/// Everything that is asked at one pair of instants, with the oracle's answers.
async fn check(lab: &Lab, at: Option<i64>, valid: Option<i64>, context: &str) {
    let instant = |micros: i64| Instant::from_micros(micros).to_string();
    let mut table = "c".to_owned();
    if let Some(valid) = valid {
        table += &format!(" FOR VALID_TIME AS OF TIMESTAMP '{}'", instant(valid));
    }
    if let Some(at) = at {
        table += &format!(" FOR SYSTEM_TIME AS OF '{}'", instant(at));
    }
    let docs = lab.oracle(at, valid);
    let fields = |c: &&Change| c.doc.as_deref().map(|doc| ["a", "b"].map(|name| field(doc, name))).unwrap();
    let has = |c: &&&Change, name: &str, value: &str| field(c.doc.as_deref().unwrap(), name) == value;
    let whole = docs.iter().map(|c| {
        let [a, b] = fields(c);
        vec![c.id.clone(), a, b, c.ts.to_string(), c.seq.to_string(), c.doc.clone().unwrap()]
    });
    let ids = |docs: Vec<&&Change>| docs.into_iter().map(|c| vec![c.id.clone()]).collect::<Vec<_>>();
    let mut latest: Vec<&&Change> = docs.iter().collect();
    latest.sort_by(|x, y| (y.ts, &x.id).cmp(&(x.ts, &y.id)));
    let end = |c: Option<&&Change>| c.map_or_else(|| "NULL".to_owned(), |c| c.id.clone());
    let with_a = docs.iter().filter(|c| !has(c, "a", "NULL")).count();
    let count = docs.len();
    for (sql, expected) in [
        (format!("SELECT _id, a, b, _ts, _seq, _doc FROM {table} ORDER BY _id"), whole.collect()),
        (format!("SELECT count(*) FROM {table}"), vec![vec![count.to_string()]]),
        (
            format!("SELECT _id FROM {table} WHERE b = 'x' ORDER BY _id"),
            ids(docs.iter().filter(|c| has(c, "b", "x")).collect()),
        ),
        (format!("SELECT _id FROM {table} WHERE _id = 'k07'"), ids(docs.iter().filter(|c| c.id == "k07").collect())),
        (
            format!("SELECT _id FROM {table} WHERE _id > 'k11' AND _id <= 'k23' ORDER BY 1"),
            ids(docs.iter().filter(|c| c.id.as_str() > "k11" && c.id.as_str() <= "k23").collect()),
        ),
        (format!("SELECT _id FROM {table} ORDER BY _id DESC LIMIT 3"), ids(docs.iter().rev().take(3).collect())),
        (format!("SELECT _id FROM {table} ORDER BY _ts DESC, _id LIMIT 4"), ids(latest.into_iter().take(4).collect())),
        (
            format!("SELECT min(_id), max(_id), count(a), count(*) FROM {table}"),
            vec![vec![end(docs.first()), end(docs.last()), with_a.to_string(), count.to_string()]],
        ),
        (format!("SELECT count(*) FROM (SELECT b FROM {table} LIMIT 4)"), vec![vec![count.min(4).to_string()]]),
        (format!("SELECT count(*) FROM {table} WHERE CAST(a AS VARCHAR) IN ('s1', 's2', '3')"), vec![]),
    ] {
        let got = lab.rows(&sql).await.unwrap_or_else(|e| panic!("{context}: {sql}: {e}"));
        if expected.is_empty() && sql.contains("CAST") {
            continue;
        }
        assert_eq!(got, expected, "{context}: {sql}");
    }
    // Text of a widened column is canonical also inside the files' filters.
    let columns = lab.ask(&format!("SELECT a FROM {table} LIMIT 0")).await.unwrap().schema;
    if columns.field(0).data_type() == &DataType::Utf8 {
        for value in ["3", "3.5", "s3"] {
            let sql = format!("SELECT _id FROM {table} WHERE a = '{value}' ORDER BY _id");
            let expected = ids(docs.iter().filter(|c| has(c, "a", value)).collect());
            assert_eq!(lab.rows(&sql).await.unwrap(), expected, "{context}: {sql}");
        }
    }
}

async fn history(seed: u64) {
    let (mut lab, mut random) = (Lab::open().await, Random(seed));
    for step in 0..60 {
        match random.below(10) {
            0..=5 => {
                let changes = (0..=random.below(6)).map(|_| change(&mut random, step)).collect();
                lab.append(changes);
            }
            6 => lab.flush().await,
            7 | 8 => lab.delta().await,
            _ => lab.fold().await,
        }
        let (Some(first), Some(last)) = (lab.changes.first(), lab.changes.last()) else { continue };
        let (first, last) = (first.system_time, last.system_time);
        if step % 4 == 3 {
            let t = Some(first + random.below((last - first + 1) as u64) as i64);
            let v = Some(START + random.below(10 * (12 + step)) as i64);
            let context = format!("seed {seed} step {step}");
            for (at, valid) in [(None, None), (t, None), (None, v), (t, v), (Some(last), None)] {
                check(&lab, at, valid, &context).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_answer_as_the_oracle_at_every_instant() {
    for seed in 1..=8 {
        history(seed).await;
    }
}

async fn small_lab() -> Lab {
    let mut lab = Lab::open().await;
    let docs = (0..20).map(|n| {
        let doc = format!(r#"{{"a":{n},"b":"x"}}"#);
        Change::of(&format!("k{n:02}"), Op::Insert, START + n, Some(&doc))
    });
    lab.append(docs.collect());
    lab.flush().await;
    lab.delta().await;
    lab.fold().await;
    lab.append(vec![Change::of("k03", Op::Update, START + 100, Some(r#"{"a":300,"b":"y"}"#))]);
    lab.append(vec![Change::of("k04", Op::Delete, START + 101, None)]);
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why() {
    let lab = small_lab().await;
    for (sql, code) in [
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF TIMESTAMP '2999-01-01T00:00:00Z'", "instant_in_future"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF now() + INTERVAL '1 second'", "instant_in_future"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF TIMESTAMP '1999-01-01T00:00:00Z'", "before_creation"),
        ("SELECT count(*) FROM events FOR SYSTEM_TIME AS OF TIMESTAMP '1999-01-01T00:00:00Z'", "before_creation"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF a", "invalid_sql"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF (SELECT max(_ts) FROM c)", "invalid_sql"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF 5", "invalid_sql"),
        ("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF NULL", "invalid_sql"),
        ("SELECT count(*) FROM c FOR VALID_TIME AS OF 'yesterday'", "invalid_sql"),
        ("SELECT count(*) FROM c FOR VALID_TIME AS OF random()", "invalid_sql"),
        ("SELECT * FROM nothing", "unknown_table"),
        ("SELECT * FROM lab.nothing", "unknown_table"),
        ("SELECT * FROM nowhere.events", "unknown_table"),
        ("SELECT * FROM other.lab.events", "unknown_table"),
        ("SELECT * FROM \"/etc/passwd\"", "unknown_table"),
        ("SELECT no_such FROM c", "invalid_sql"),
        ("SELECT no_such()", "invalid_sql"),
        ("SELECT a FROM c WHERE", "invalid_sql"),
        ("SELECT $1", "invalid_sql"),
        ("SELECT :a FROM c", "invalid_sql"),
        ("SELECT TOP 1 PERCENT a FROM c", "unsupported_sql"),
        ("SELECT * FROM c PIVOT (sum(a) FOR b IN ('x'))", "unsupported_sql"),
        ("SELECT 1/0", "engine"),
        ("DROP TABLE c", "read_only"),
        ("SELECT 1; SELECT 2", "read_only"),
    ] {
        let error = lab.rows(sql).await.expect_err(sql);
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(!error.to_string().contains("tidemark$") && !error.to_string().is_empty(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_the_past_and_what_is_around_them() {
    let mut lab = small_lab().await;
    let before = lab.changes[20].system_time - 1;
    let past = Instant::from_micros(before).to_string();
    for (sql, expected) in [
        ("SELECT 1".to_owned(), "1"),
        ("SELECT count(*), sum(a) FROM c".to_owned(), "19 483"),
        (format!("SELECT count(*), sum(a) FROM c TIMESTAMP AS OF '{past}'"), "20 190"),
        (format!("SELECT count(*) FROM c AT (TIMESTAMP => '{past}') AS x WHERE x.a > 10"), "9"),
        ("SELECT sum(c.a) FROM c FOR VALID_TIME AS OF '2020-09-13T12:26:40.000050Z'".to_owned(), "190"),
        (
            format!(
                "SELECT new.a, old.a FROM c new JOIN c FOR SYSTEM_TIME AS OF '{past}' old USING (_id) WHERE new.a <> old.a"
            ),
            "300 3",
        ),
        ("SELECT lab.c.a FROM lab.c FOR SYSTEM_TIME AS OF now() WHERE lab.c._id = 'k03'".to_owned(), "300"),
        (
            format!(
                "WITH old AS (SELECT * FROM c TIMESTAMP AS OF '{past}') SELECT count(*) FROM old WHERE _id NOT IN (SELECT _id FROM c)"
            ),
            "1",
        ),
        ("SELECT count(*) FROM events".to_owned(), "22"),
        (format!("SELECT count(*), max(id) FROM events FOR SYSTEM_TIME AS OF '{past}'"), "20 e9"),
        ("SELECT count(*) FROM events FOR VALID_TIME AS OF '2020-09-13T12:26:40.000004Z'".to_owned(), "5"),
        ("SELECT data FROM events WHERE document_id = 'k04' AND op = 'delete'".to_owned(), "NULL"),
        ("SELECT now() = current_timestamp".to_owned(), "true"),
        (
            "SELECT arrow_typeof(_id), arrow_typeof(a), arrow_typeof('x'), arrow_typeof(upper(_id)) FROM c LIMIT 1"
                .to_owned(),
            "Utf8 Int64 Utf8 Utf8",
        ),
        ("SELECT count(*) FROM c a, c b WHERE a._id = b._id".to_owned(), "19"),
        ("SELECT count(*) FROM (SELECT _id FROM c UNION ALL SELECT id FROM events)".to_owned(), "41"),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'lab' AND table_name = 'c'"
                .to_owned(),
            "c",
        ),
        ("SELECT count(*) FROM information_schema.columns WHERE table_name = 'c'".to_owned(), "7"),
    ] {
        let rows = lab.rows(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let text: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(text.join(" | "), expected, "{sql}");
    }
    for sql in [
        "SHOW TABLES",
        "DESCRIBE c",
        "DESCRIBE lab.events",
        "EXPLAIN SELECT * FROM c",
        "EXPLAIN ANALYZE SELECT * FROM c",
    ] {
        assert!(!lab.rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).is_empty(), "{sql}");
    }
    // An answer about the past stays the same while the present goes on.
    lab.append(vec![Change::of("k05", Op::Update, START, Some(r#"{"a":5000}"#))]);
    assert_eq!(lab.rows(&format!("SELECT sum(a) FROM c TIMESTAMP AS OF '{past}'")).await.unwrap(), [["190"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_come_from_clause_session_and_parameters() {
    let lab = small_lab().await;
    let past = Instant::from_micros(lab.changes[20].system_time - 1);
    let mut statement = Lab::statement("SELECT count(*) FROM c");
    statement.session.as_of = Some(past);
    let answer = lab.query.run(&statement).await.unwrap();
    assert_eq!(answer.as_of, AsOf { system_time: past, valid_time: None });
    statement.sql = "SELECT count(*) FROM c FOR SYSTEM_TIME AS OF $1 FOR VALID_TIME AS OF $2".to_owned();
    let described = lab.query.describe(&statement).await.unwrap();
    assert_eq!(described.params.fields().len(), 2);
    let time =
        |at: Instant| datafusion::common::ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()));
    statement.params = vec![time(described.pin.now), time(past)];
    let answer = lab.query.run(&statement).await.unwrap();
    assert_eq!(answer.as_of, AsOf { system_time: described.pin.now, valid_time: Some(past) });
    assert_eq!(answer.schema, described.schema);
    // A pin is read again as it was.
    let pinned = Statement { pin: Some(described.pin), ..Lab::statement("SELECT now()") };
    assert_eq!(lab.query.describe(&pinned).await.unwrap().pin, described.pin);
    let joined = lab.ask("SELECT 1 FROM c a, c FOR SYSTEM_TIME AS OF now() b LIMIT 1").await.unwrap();
    assert_eq!(joined.as_of.system_time, described.pin.system_time.max(joined.as_of.system_time));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_told_and_bound() {
    let lab = small_lab().await;
    let mut statement = Lab::statement("SELECT _id FROM c WHERE a > ? AND b = ? ORDER BY _id LIMIT 2");
    let described = lab.query.describe(&statement).await.unwrap();
    let types: Vec<&DataType> = described.params.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types, [&DataType::Int64, &DataType::Utf8]);
    statement.params = vec![16i64.into(), "x".into()];
    let answer = lab.query.run(&statement).await.unwrap();
    assert_eq!(answer.schema, described.schema);
    let rows: Vec<_> = futures::TryStreamExt::try_collect(answer.stream).await.unwrap();
    assert_eq!(rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 2);
    statement.params.pop();
    assert!(matches!(lab.query.run(&statement).await, Err(Error::Invalid(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_types_of_their_places() {
    let lab = small_lab().await;
    for (sql, expected) in [
        ("SELECT CAST(? AS BIGINT), ?::date, ?", &[DataType::Int64, DataType::Date32, DataType::Utf8][..]),
        ("SELECT a FROM c LIMIT ? OFFSET ?", &[DataType::Int64, DataType::Int64]),
        ("SELECT ? || ? || ?", &[DataType::Utf8, DataType::Utf8, DataType::Utf8]),
        ("SELECT a FROM c WHERE a = $1 OR a < 1.5 * $1", &[DataType::Int64]),
        ("SELECT 1", &[]),
    ] {
        let described = lab.query.describe(&Lab::statement(sql)).await.unwrap();
        let types: Vec<&DataType> = described.params.fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(types, expected.iter().collect::<Vec<_>>(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_make_much_out_of_little_is_refused() {
    let lab = small_lab().await;
    for sql in [
        "SELECT length(repeat('x', 2000000000))",
        "SELECT length(repeat('x', value)) FROM generate_series(1000000000, 1000000003)",
        "SELECT length(lpad('x', 2147483647))",
        "SELECT length(rpad('x', 2147483647, 'ab'))",
        "SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))",
        "SELECT length(replace(repeat('a', 100000), '', repeat('b', 100000)))",
        "SELECT cardinality(array_repeat(array_repeat(1, 100000), 100000))",
        "SELECT cardinality(list_repeat(1, 3000000000))",
        "SELECT cardinality(array_resize([1], 2000000000))",
        "SELECT cardinality(range(1, 3000000000))",
        "SELECT cardinality(range(3000000000))",
        "SELECT cardinality(generate_series(3000000000, 1, -1))",
        "SELECT cardinality(generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2020-01-01', INTERVAL '1 second'))",
        "SELECT cardinality(range(DATE '0001-01-01', DATE '9999-12-31', INTERVAL '1 millisecond'))",
    ] {
        let error = lab.rows(sql).await.expect_err(sql);
        assert_eq!(error.code(), "invalid_sql", "{sql}: {error}");
        assert!(error.to_string().contains("ask for less"), "{sql}: {error}");
    }
    for (sql, expected) in [
        ("SELECT length(repeat('ab', 1000000)), repeat('x', -1), repeat(NULL, 3)", vec!["2000000", "", "NULL"]),
        ("SELECT lpad('x', 3, 'ab'), rpad('x', 3)", vec!["abx", "x  "]),
        (
            "SELECT replace('a,b', ',', ';;'), length(replace(repeat('a,', 1000000), ',', ';;'))",
            vec!["a;;b", "3000000"],
        ),
        ("SELECT array_repeat('a', 2), list_repeat(1, 2), array_resize([1], 2)", vec!["[a, a]", "[1, 1]", "[1, ]"]),
        ("SELECT range(3), generate_series(1, 3), range(3, 1, -1)", vec!["[0, 1, 2]", "[1, 2, 3]", "[3, 2]"]),
        (
            "SELECT cardinality(generate_series(DATE '0001-01-01', DATE '9999-12-31', INTERVAL '1 day'))",
            vec!["3652059"],
        ),
    ] {
        assert_eq!(lab.rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")), [expected], "{sql}");
    }
}

/// Runs for hours unless it is stopped.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3";

#[tokio::test(flavor = "multi_thread")]
async fn dropping_an_answer_gives_its_place_and_memory_back() {
    let lab = Lab::with(Config { concurrency: 1, queue: 0, ..Config::default() }).await;
    let answer = lab.ask(ENDLESS).await.unwrap();
    assert!(matches!(lab.ask("SELECT 1").await, Err(Error::TooMany)));
    drop(answer);
    let freed = async {
        while lab.ask("SELECT 1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What runs beside the task of the answer gives back what it holds when it looks up.
        while lab.query.room.budget.used() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), freed).await.expect("the place and the memory come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_an_end_and_a_budget() {
    let lab = Lab::with(Config { timeout_s: 1, query_memory_bytes: 1 << 20, ..Config::default() }).await;
    assert!(matches!(lab.rows(ENDLESS).await, Err(Error::TimedOut(1))));
    let big = "SELECT array_agg(value) FROM generate_series(1, 2000000)";
    assert!(matches!(lab.rows(big).await, Err(Error::Memory(_))), "{:?}", lab.rows(big).await.map(|_| ()));
}

/// Changes that lie beside the base count as well, in the tail as in files; what is kept for others is not lost to them.
#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_counts_against_the_budget() {
    let mut lab = Lab::with(Config { query_memory_bytes: 1 << 20, ..Config::default() }).await;
    let doc = format!(r#"{{"a":"{}"}}"#, "x".repeat(4000));
    let changes =
        |from: i64| (from..from + 200).map(|n| Change::of(&format!("k{n}"), Op::Insert, START + n, Some(&doc)));
    lab.append(changes(0).collect());
    let sql = "SELECT count(*), max(a) FROM c";
    assert!(matches!(lab.rows(sql).await, Err(Error::Memory(_))), "{:?}", lab.rows(sql).await);
    lab.flush().await;
    lab.delta().await;
    assert!(matches!(lab.rows(sql).await, Err(Error::Memory(_))), "{:?}", lab.rows(sql).await);
    lab.fold().await;
    assert_eq!(lab.rows(sql).await.unwrap()[0][0], "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_expressions_are_answered_or_refused_but_end_nothing() {
    let lab = small_lab().await;
    let column = |op: &str, n: usize| vec!["_seq"; n].join(op);
    for sql in [
        format!("SELECT {} FROM c LIMIT 1", column("+", 4900)),
        format!("SELECT {} FROM c LIMIT 1", column("+", 500)),
        format!("SELECT _id FROM c WHERE {} LIMIT 1", vec!["a = 1"; 500].join(" OR ")),
        format!("SELECT _id FROM c WHERE {} LIMIT 1", vec!["a = 1"; 2000].join(" OR ")),
        format!("SELECT {}", vec!["1"; 20_000].join("+")),
        format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT {}1", "- ".repeat(4000)),
        vec!["SELECT 1"; 1000].join(" UNION ALL "),
    ] {
        let begun = tokio::time::Instant::now();
        let result = lab.rows(&sql).await.map(|rows| rows.len());
        println!("{:?} {} {:?}", begun.elapsed(), &sql[..30.min(sql.len())], result.as_ref().map_err(Error::code));
        let shown = &sql[..60.min(sql.len())];
        assert!(
            result.as_ref().is_ok_and(|rows| *rows > 0) || result.as_ref().is_err_and(|e| e.kind().http() < 500),
            "{shown}: {result:?}"
        );
    }
    assert_eq!(lab.rows("SELECT 1").await.unwrap(), [["1"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_told_with_their_columns() {
    let lab = small_lab().await;
    let tables = lab.query.tables(&Principal::lake());
    let named = |schema: &str, name: &str| tables.iter().find(|t| t.schema_name == schema && t.name == name);
    for (schema, name) in [("lab", "events"), ("lab", "c"), ("information_schema", "tables")] {
        let told = named(schema, name).unwrap_or_else(|| panic!("{schema}.{name}"));
        let answer = lab.ask(&format!("SELECT * FROM {schema}.{name}")).await.unwrap();
        assert_eq!(answer.schema, told.columns, "{schema}.{name}");
    }
    assert!(Session::default().namespace.is_none());
}
