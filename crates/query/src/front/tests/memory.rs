//! Sorts and windows within the memory of their statement, and what is answered all the same.

use futures::{FutureExt, TryStreamExt, future::BoxFuture};

use super::*;

/// Boxed: the test's thread has a small stack.
fn rows<'a>(lab: &'a Lab, sql: &'a str) -> BoxFuture<'a, Result<Vec<Vec<String>>, Error>> {
    async move { lab.rows(sql).await }.boxed()
}

async fn lab(query_memory_bytes: usize) -> Lab {
    Lab::with(Config { query_memory_bytes, ..Config::default() }).await
}

/// Whoever answered ends a moment after its answer.
async fn is_given_back(lab: &Lab) {
    for _attempt in 0..1000 {
        if lab.query.room.budget.used() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{} bytes are still held", lab.query.room.budget.used());
}

/// What is written in one expression and what is computed in a query below it are the same question.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_computed_answer_as_columns_do() {
    let lab = lab(64 << 20).await;
    let n = "(SELECT value, value % 7 AS seven, -value AS less, value * 2 AS twice FROM generate_series(1, 40)) AS n";
    for (computed, columns) in [
        ("value FROM n ORDER BY value % 7, -value", "value FROM n ORDER BY seven, less"),
        ("value AS v FROM n ORDER BY v % 7 DESC, -v LIMIT 9", "value AS v FROM n ORDER BY seven DESC, less LIMIT 9"),
        (
            "DISTINCT ON (value % 7) value FROM n ORDER BY value % 7, -value",
            "DISTINCT ON (seven) value FROM n ORDER BY seven, less",
        ),
        ("value FROM n ORDER BY random() + value * 0 < 2, -value", "value FROM n ORDER BY less"),
        (
            "value, row_number() OVER (PARTITION BY value % 7 ORDER BY -value) AS r FROM n ORDER BY value",
            "value, row_number() OVER (PARTITION BY seven ORDER BY less) AS r FROM n ORDER BY value",
        ),
        (
            "value, sum(value * 2) OVER (PARTITION BY value % 7) AS a, lag(value * 2, 2, -1) OVER (ORDER BY -value) AS b, \
             ntile(3) OVER (PARTITION BY value % 7 ORDER BY -value) AS c, count(*) OVER () AS d FROM n ORDER BY value % 7, value",
            "value, sum(twice) OVER (PARTITION BY seven) AS a, lag(twice, 2, -1) OVER (ORDER BY less) AS b, \
             ntile(3) OVER (PARTITION BY seven ORDER BY less) AS c, count(*) OVER () AS d FROM n ORDER BY seven, value",
        ),
        (
            "value FROM n QUALIFY rank() OVER (PARTITION BY value % 7 ORDER BY value * -1) = 1 ORDER BY value",
            "value FROM n QUALIFY rank() OVER (PARTITION BY seven ORDER BY less) = 1 ORDER BY value",
        ),
        (
            "seven, sum(value) AS s, rank() OVER (ORDER BY sum(value) % 5, -seven) AS r FROM n GROUP BY seven ORDER BY sum(value) + 1",
            "seven, s, rank() OVER (ORDER BY five, fewer) AS r FROM (SELECT seven, sum(value) AS s, sum(value) % 5 AS five, \
             -seven AS fewer FROM n GROUP BY seven) ORDER BY s",
        ),
        (
            "(SELECT max(m.value) FROM n AS m WHERE m.seven = n.seven) AS x FROM n ORDER BY (n.value + 3) % 7, n.value",
            "(SELECT max(m.value) FROM n AS m WHERE m.seven = n.seven) AS x FROM n ORDER BY (seven + 3) % 7, value",
        ),
        (
            "__computed_0 FROM (SELECT value AS __computed_0 FROM n) ORDER BY -__computed_0",
            "value FROM n ORDER BY less",
        ),
    ] {
        let asked = |what: &str| format!("WITH n AS (SELECT * FROM {n}) SELECT {what}");
        let (computed, columns) = (asked(computed), asked(columns));
        let answers = (rows(&lab, &computed).await, rows(&lab, &columns).await);
        assert!(matches!(&answers, (Ok(one), Ok(other)) if one == other), "{computed}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sort_or_a_window_computes_is_a_column_by_then() {
    let lab = lab(64 << 20).await;
    for (sql, sorts) in [
        ("SELECT value FROM generate_series(1, 9) ORDER BY lower(value::text)", 1),
        // One for both windows.
        (
            "SELECT row_number() OVER (PARTITION BY value % 3 ORDER BY value), sum(value) OVER (PARTITION BY value % 3) \
             FROM generate_series(1, 9)",
            1,
        ),
    ] {
        let told = rows(&lab, &format!("EXPLAIN {sql}")).await.expect("a plan").concat().join("\n");
        let sorted: Vec<&str> = told.lines().filter(|line| line.contains("SortExec")).collect();
        assert_eq!(sorted.len(), sorts, "{told}");
        assert!(sorted.iter().all(|line| line.contains("[__computed_0@")), "{told}");
    }
    let named = lab.ask("SELECT * FROM (SELECT rank() OVER (ORDER BY -value) FROM generate_series(1, 9))").await;
    let named = named.expect("an answer").schema;
    assert!(!named.field(0).name().contains("__computed"), "{named}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_count_against_the_budget() {
    let lab = lab(4 << 20).await;
    let asked =
        |rows: u64| format!("SELECT max(n) FROM (SELECT sum(value) OVER () AS n FROM generate_series(1, {rows}))");
    let refused = rows(&lab, &asked(1_000_000)).await;
    assert!(matches!(refused, Err(Error::Memory(_))), "{refused:?}");
    is_given_back(&lab).await;
    assert_eq!(rows(&lab, &asked(1000)).await.expect("an answer"), [["500500"]]);
}

/// The rows are 3 MB, their keys 40 MB.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_computed_count_with_their_rows() {
    let sql = "SELECT max(n), sum(value) FROM (SELECT value, row_number() OVER (ORDER BY repeat('x', 100) || (value % 10)) AS n \
               FROM generate_series(1, 400000))";
    // What does not fit goes to the disk, and is refused where the pieces do not come together again.
    match rows(&lab(24 << 20).await, &format!("EXPLAIN ANALYZE {sql}")).await {
        Ok(told) => {
            let told = told.concat().join("\n");
            let mut sorts = told.lines().filter(|line| line.contains("SortExec"));
            assert!(sorts.any(|line| line.contains("spill_count=") && !line.contains("spill_count=0")), "{told}");
        }
        Err(error) => assert!(matches!(error, Error::Memory(_)), "{error}"),
    }
    assert_eq!(rows(&lab(256 << 20).await, sql).await.expect("an answer"), [["400000", "80000200000"]]);
}

/// Answers that are texts or lists are longer than the rows they come from: at worst all rows for every row.
#[tokio::test(flavor = "multi_thread")]
async fn long_answers_of_windows_count_against_the_budget() {
    let lab = lab(64 << 20).await;
    for (window, is_answered) in [
        ("array_agg(value) OVER ()", false),
        ("array_agg(value) OVER (ORDER BY value)", false),
        ("string_agg(value::text, ',') OVER (ORDER BY value)", false),
        ("first_value(repeat('x', 10000)) OVER ()", false),
        ("max(repeat('x', 40000)) OVER (ORDER BY value)", false),
        ("array_agg(value) OVER (PARTITION BY value / 10)", true),
        ("array_agg(value) OVER (PARTITION BY value / 10 ORDER BY value)", true),
        ("array_agg(value) OVER (ORDER BY value ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)", true),
        ("max(value::text) OVER ()", true),
        ("lag(value::text, 1, 'none') OVER (ORDER BY value)", true),
    ] {
        let sql = format!("SELECT count(a) FROM (SELECT {window} AS a FROM generate_series(1, 20000))");
        match rows(&lab, &sql).await {
            Ok(rows) => assert!(is_answered && rows == [["20000"]], "{sql}: {rows:?}"),
            Err(Error::Memory(_)) => assert!(!is_answered, "{sql}"),
            Err(error) => panic!("{sql}: {error}"),
        }
        is_given_back(&lab).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_budget_means_small_batches() {
    for (budget, longest) in [(1 << 20, 1024), (64 << 20, 2048), (1 << 30, 8192)] {
        let lab = lab(budget).await;
        let answer = lab.ask("SELECT value FROM generate_series(1, 20000)").await.expect("an answer");
        let batches: Vec<_> = answer.stream.try_collect().await.expect("rows");
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).max(), Some(longest), "{budget}");
    }
}
