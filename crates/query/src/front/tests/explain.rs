//! What EXPLAIN tells of tables, and what is answered without reading rows.

use futures::{FutureExt, future::BoxFuture};

use super::*;

/// Boxed: the test's thread has a small stack.
fn rows<'a>(lab: &'a Lab, sql: &'a str) -> BoxFuture<'a, Vec<Vec<String>>> {
    async move { lab.rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")) }.boxed()
}

async fn explained(lab: &Lab, sql: &str) -> String {
    rows(lab, &format!("EXPLAIN {sql}")).await.concat().join("\n")
}

fn folded(lab: &mut Lab) -> BoxFuture<'_, ()> {
    async move {
        lab.flush().await;
        lab.delta().await;
        lab.fold().await;
    }
    .boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_says_what_it_reads() {
    let mut lab = small_lab().await;
    let early = text(START + 5);
    let base = format!("base={}", text(lab.changes[19].system_time));
    for (sql, says) in [
        (
            "SELECT a FROM c".to_owned(),
            vec![&*base, "base_files=2 of 2", "base_rows=20", "hidden_rows=2", "overlay_rows=1"],
        ),
        ("SELECT a FROM c WHERE _id = 'k07'".to_owned(), vec!["base_files=1 of 2"]),
        ("SELECT a FROM c WHERE _id > 'x'".to_owned(), vec!["base_files=0 of 2", "overlay_rows=1"]),
        (format!("SELECT a FROM c FOR VALID_TIME AS OF '{early}'"), vec!["base=none", "overlay_rows=6"]),
        ("SELECT * FROM events".to_owned(), vec!["events_files=1 of 1", "tail_rows=2"]),
        (
            "SELECT * FROM events WHERE ts < TIMESTAMP '1999-01-01'".to_owned(),
            vec!["events_files=0 of 1", "tail_rows=2"],
        ),
    ] {
        let told = explained(&lab, &sql).await;
        assert!(says.iter().all(|said| told.contains(said)), "{sql}: {says:?} of {told}");
    }
    lab.flush().await;
    assert!(explained(&lab, "SELECT id FROM events").await.contains("events_files=2 of 2"));
}

fn text(micros: i64) -> String {
    Instant::from_micros(micros).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_one_document_reads_nothing_of_others() {
    let mut lab = small_lab().await;
    // A change that comes too late to win.
    lab.append(vec![Change::of("k05", Op::Update, START - 5, Some(r#"{"a":999}"#))]);
    for (id, files, overlay, a) in [
        ("k03", 0, 1, Some("300")),
        ("k04", 0, 0, None),
        ("k05", 1, 0, Some("5")),
        ("k07", 1, 0, Some("7")),
        ("k99", 0, 0, None),
    ] {
        let sql = format!("SELECT a FROM c WHERE _id = '{id}'");
        let told = explained(&lab, &sql).await;
        let says = [format!("base_files={files} of 2"), format!("overlay_rows={overlay},")];
        assert!(says.iter().all(|said| told.contains(said)), "{sql}: {says:?} of {told}");
        assert_eq!(rows(&lab, &sql).await.concat(), a.map_or(Vec::new(), |a| vec![a.to_owned()]), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn footers_answer_where_no_row_is_hidden() {
    let mut lab = small_lab().await;
    let asked = "SELECT count(*), count(a), count(b), min(a), max(a), min(_id), max(_id), max(_ts) FROM c";
    let is_read = |told: &str| !told.contains("PlaceholderRowExec");
    // Rows of the base are hidden: extremes are looked for.
    let hidden = rows(&lab, asked).await;
    assert!(is_read(&explained(&lab, asked).await));
    folded(&mut lab).await;
    // The first question leaves the footers at hand.
    for _ in 0..2 {
        assert_eq!(rows(&lab, asked).await, hidden);
    }
    assert_eq!(hidden[0][..5], ["19", "19", "19", "0", "300"]);
    let told = explained(&lab, asked).await;
    assert!(!is_read(&told), "{told}");
    assert!(is_read(&explained(&lab, "SELECT count(*) FROM c WHERE a > 3").await));
    // A column of another type, one that is not there everywhere, and one with nulls.
    lab.append(vec![Change::of("k30", Op::Insert, START + 200, Some(r#"{"a":"text","z":0.5}"#))]);
    let sql = "SELECT count(*), count(b), min(a), max(a), count(z), min(z) FROM c";
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(rows(&lab, sql).await, [["20", "19", "0", "text", "1", "0.5"]]);
        }
        folded(&mut lab).await;
    }
}

/// Text that does not compress to less than half of it.
fn noise(seed: u64, chars: usize) -> String {
    let next = |state: &mut u64, ()| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(format!("{:04x}", *state >> 48))
    };
    std::iter::repeat(()).scan(seed, next).take(chars / 4).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_are_filtered_while_files_are_decoded_and_only_they() {
    let mut lab = Lab::open().await;
    let docs = (0..20).map(|n| {
        let doc = format!(r#"{{"a":{n},"note":"{}"}}"#, noise(n, 4096));
        Change::of(&format!("k{n:02}"), Op::Insert, START + i64::try_from(n).expect("small"), Some(&doc))
    });
    lab.append(docs.collect());
    folded(&mut lab).await;
    for (sql, is_late) in [
        ("SELECT a, note FROM c WHERE a < 3", true),
        ("SELECT a FROM c WHERE a < 3", false),
        ("SELECT note FROM c WHERE note < 'z' AND a < 3", false),
    ] {
        let told = explained(&lab, sql).await;
        assert_eq!(!told.contains("FilterExec"), is_late, "{sql}: {told}");
        assert_eq!(rows(&lab, sql).await.len(), 3, "{sql}");
    }
}
