//! How the past is read, by settings: under the schema it had, and the nearest instant where one is gone.

use futures::TryStreamExt;
use tidemark_fold::columns;
use tidemark_model::{
    DocSchema,
    schema::{Kinds, Observed},
};

use super::*;

/// The schema after the first so many changes, by the rule of the model alone.
fn schema_of(changes: &[Change]) -> DocSchema {
    let mut schema = DocSchema::default();
    for append in changes.chunk_by(|a, b| a.system_time == b.system_time) {
        let mut observed = Observed::default();
        for doc in append.iter().filter_map(|change| change.doc.as_deref()) {
            json::for_each_field(doc, |name, raw| observed.see(&name, Kinds::of(&json::Value::of(raw)))).unwrap();
        }
        schema = schema.evolved(&observed).unwrap_or(schema);
    }
    schema
}

/// A lab whose schema changes while it moves from tail to state.
async fn drifting(seed: u64) -> Lab {
    let (mut lab, mut random) = (Lab::open().await, Random(seed));
    for step in 0..60 {
        match random.below(10) {
            0..=5 => {
                let changes = (0..=random.below(4)).map(|_| change(&mut random, step)).collect();
                lab.append(changes);
            }
            6 => lab.flush().await,
            7 | 8 => lab.delta().await,
            _ => lab.fold().await,
        }
    }
    lab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_would_set_something_is_refused() {
    let lab = Lab::open().await;
    for (asked, told) in [
        ("set_config('tidemark.as_of', '2013-01-02T00:00:00Z', false)", None),
        ("set_config('search_path', 'elsewhere', false)", None),
        ("set_config('Statement_Timeout', '5s', false)", None),
        ("set_config('search_path', '', false)", Some("")),
        ("set_config('application_name', 'x', false)", Some("")),
    ] {
        let found = lab.rows(&format!("SELECT {asked}")).await;
        match told {
            Some(told) => assert_eq!(found.expect("an answer"), [[told]], "{asked}"),
            None => assert!(found.as_ref().is_err_and(|e| e.to_string().contains("SET ")), "{asked}: {found:?}"),
        }
    }
    let called = lab.rows("SET tidemark.as_of = '2013-01-02T00:00:00Z'; CALL snapshot('shop.orders', 'x')").await;
    assert!(called.as_ref().is_err_and(|e| e.to_string().contains("as_of =>")), "{called:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_has_the_columns_it_had() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 21..=24 {
        let lab = drifting(seed).await;
        let ends: Vec<usize> = (1..=lab.changes.len())
            .filter(|end| lab.changes.get(*end).is_none_or(|next| next.system_time > lab.changes[end - 1].system_time))
            .collect();
        for end in ends.into_iter().step_by(5) {
            let (t, schema) = (lab.changes[end - 1].system_time, schema_of(&lab.changes[..end]));
            seen.insert(
                schema
                    .clone()
                    .fields
                    .iter()
                    .map(|f| (f.name.clone(), format!("{:?}", f.column_type())))
                    .collect::<Vec<_>>(),
            );
            let at = Instant::from_micros(t);
            let set = "SET tidemark.schema = 'as_of'; ";
            let sql = format!("{set}SELECT * FROM c FOR SYSTEM_TIME AS OF '{at}' ORDER BY _id");
            let answer = lab.ask(&sql).await.unwrap();
            let typed = |columns: &SchemaRef| {
                columns.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>()
            };
            assert_eq!(typed(&answer.schema), typed(&columns::table_schema(&schema)), "seed {seed} at {t}");
            let described = lab.query.describe(&Lab::statement(&sql)).await.unwrap();
            assert_eq!(typed(&described.schema), typed(&answer.schema));
            let _rows: Vec<_> = answer.stream.try_collect().await.unwrap();
            let names: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
            let expected: Vec<Vec<String>> = lab
                .oracle(Some(t), None)
                .iter()
                .map(|c| names.iter().map(|name| field(c.doc.as_deref().unwrap(), name)).collect())
                .collect();
            let listed = names.join(", ");
            let sql = format!("{set}SELECT {listed} FROM c FOR SYSTEM_TIME AS OF '{at}' ORDER BY _id");
            if !names.is_empty() {
                assert_eq!(lab.rows(&sql).await.unwrap(), expected, "seed {seed}: {sql}");
            }
            // A filter compares under the type of then, also inside files; every kind of table has the columns of then.
            if names.contains(&"a") {
                let sql = format!("{set}SELECT count(*) FROM c FOR SYSTEM_TIME AS OF '{at}' WHERE a IS NOT NULL");
                let with_a = expected.iter().filter(|row| row[0] != "NULL").count();
                assert_eq!(lab.rows(&sql).await.unwrap(), [[with_a.to_string()]], "seed {seed}: {sql}");
            }
            for table in ["\"c$changes\"", "\"c$history\""] {
                let sql = format!("{set}SELECT * FROM {table} FOR SYSTEM_TIME AS OF '{at}'");
                let answer = lab.ask(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
                let has = |name: &str| answer.schema.column_with_name(name).map(|(_, field)| field.data_type().clone());
                for name in ["a", "b", "d"] {
                    let wanted =
                        columns::table_schema(&schema).column_with_name(name).map(|(_, f)| f.data_type().clone());
                    assert_eq!(has(name), wanted, "seed {seed} {name}: {sql}");
                }
                let _rows: Vec<_> = answer.stream.try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            }
        }
    }
    assert!(seen.len() >= 4, "schemas must differ: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_narrower_compares_as_what_it_was() {
    let mut lab = small_lab().await;
    let then = Instant::from_micros(lab.changes[20].system_time - 1);
    lab.append(vec![Change::of("k05", Op::Update, START + 200, Some(r#"{"a":"many","b":"x","late":1}"#))]);
    lab.flush().await;
    lab.delta().await;
    lab.fold().await;
    for (sql, expected) in [
        (format!("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF '{then}' WHERE a > '5'"), "4"),
        (
            format!("SET tidemark.schema = 'as_of'; SELECT count(*) FROM c FOR SYSTEM_TIME AS OF '{then}' WHERE a > 5"),
            "14",
        ),
        (
            format!(
                "SET tidemark.schema = 'as_of'; SELECT x.a + 1 FROM lab.c FOR SYSTEM_TIME AS OF '{then}' x WHERE x._id = 'k07'"
            ),
            "8",
        ),
        ("SET tidemark.schema = as_of; SELECT max(c.a) FROM c VERSION AS OF 1".to_owned(), "19"),
        (format!("SET tidemark.schema = as_of; SET tidemark.as_of = '{then}'; SELECT max(lab.c.a) FROM lab.c"), "19"),
        ("SET tidemark.schema = 'as_of'; SELECT late FROM c WHERE _id = 'k05'".to_owned(), "1"),
        (
            format!(
                "SET tidemark.schema = 'as_of'; RESET tidemark.schema; SELECT late FROM c FOR SYSTEM_TIME AS OF '{then}' LIMIT 1"
            ),
            "NULL",
        ),
        ("SET tidemark.schema = 'as_of'; SELECT count(*) FROM events".to_owned(), "23"),
        ("SHOW tidemark.schema".to_owned(), "present"),
        ("SET tidemark.schema TO 'as_of'; SHOW tidemark.schema".to_owned(), "as_of"),
    ] {
        let rows = lab.rows(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(rows, [[expected.to_owned()]], "{sql}");
    }
    let sql = format!("SET tidemark.schema = 'as_of'; SELECT late FROM c FOR SYSTEM_TIME AS OF '{then}'");
    assert_eq!(lab.rows(&sql).await.unwrap_err().code(), "invalid_sql");
    for (sql, said) in [
        ("SET tidemark.schema = 'then'; SELECT 1", "use 'present' or 'as_of'"),
        ("SET tidemark.nearest = 'soon'; SELECT 1", "neither on nor off"),
    ] {
        let error = lab.rows(sql).await.unwrap_err();
        assert!(error.code() == "invalid_sql" && error.to_string().contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_instant_is_gone_the_nearest_before_is_read() {
    let mut lab = Lab::open().await;
    let mut kept = Vec::new();
    for round in 0..4i64 {
        let doc = format!(r#"{{"a":{round}}}"#);
        lab.append(vec![Change::of("k", Op::Update, START + round * 100, Some(&doc))]);
        lab.append(vec![Change::of(&format!("n{round}"), Op::Insert, START + round * 100 + 1, Some(&doc))]);
        lab.flush().await;
        lab.delta().await;
        lab.fold().await;
        if round < 2 {
            kept.push(lab.snapshot(&format!("s{round}")).await);
        }
    }
    let begins = lab.forget().await;
    let just = |at: Instant, micros: i64| at.plus_micros(micros);
    let asked = just(kept[1], 1);
    let sql = |at: Instant| format!("SELECT count(*) FROM c FOR SYSTEM_TIME AS OF '{at}'");
    let error = lab.rows(&sql(asked)).await.unwrap_err();
    assert_eq!(error.code(), "outside_window");
    assert!(error.to_string().contains(&format!("{}, or {begins} or later", kept[1])), "{error}");

    let on = "SET tidemark.nearest = on; ";
    for (at, expected, read) in [
        (asked, "3", kept[1]),
        (just(begins, -1), "3", kept[1]),
        (just(kept[1], -1), "2", kept[0]),
        (begins, "5", begins),
        (kept[0], "2", kept[0]),
    ] {
        let sql = format!("{on}{}", sql(at));
        let answer = lab.ask(&sql).await.unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(answer.as_of.system_time, read, "the answer says what it is about");
        assert_eq!(lab.rows(&sql).await.unwrap(), [[expected.to_owned()]], "{at}");
        assert!(lab.query.describe(&Lab::statement(&sql)).await.is_ok());
    }
    // Nothing is kept before the first, and what moved in between is nowhere.
    for refused in [
        format!("{on}{}", sql(just(kept[0], -1))),
        format!("{on}SELECT count(*) FROM changes('c', TIMESTAMP '{asked}')"),
        format!("{on}SELECT count(*) FROM c FOR VALID_TIME AS OF TIMESTAMP '{}'", Instant::from_micros(START + 50)),
        format!("SET tidemark.nearest = on; RESET tidemark.nearest; {}", sql(asked)),
        format!("SET tidemark.nearest = off; {}", sql(asked)),
    ] {
        let error = lab.rows(&refused).await.expect_err(&refused);
        assert_eq!(error.code(), "outside_window", "{refused}: {error}");
    }
    assert_eq!(lab.rows(&format!("{on}SHOW tidemark.nearest")).await.unwrap(), [["on"]]);
}

/// What may run for long waits for its like, and takes no place from queries.
#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_has_places_of_its_own() {
    let config = Config { bulk_concurrency: 1, bulk_queue: 0, concurrency: 1, ..Config::default() };
    let mut lab = Lab::with(config).await;
    lab.append(vec![Change::of("k", Op::Insert, START, Some(r#"{"a":1}"#))]);
    let of = CollectionRef { namespace: Lab::namespace(), collection: Lab::collection() };
    let (then, holds) = (Then::default(), Holds::Documents);
    let export = Export { principal: Principal::lake(), of, then, snapshot: None, predicate: None, holds };
    let held = lab.query.enter(Length::Bulk).await.expect("a place");
    let refused = lab.query.export(&export).await.expect_err("the only place is taken");
    assert_eq!((refused.code(), refused.kind()), ("too_many_bulk", tidemark_model::Kind::TooMany));
    assert_eq!(lab.rows("SELECT count(*) FROM c").await.expect("a place of its own"), [["1"]]);
    drop(held);
    let again = async {
        loop {
            match lab.query.export(&export).await {
                Err(Error::TooManyBulk) => tokio::task::yield_now().await,
                other => return other.map(drop),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("comes back").expect("a place");
}
