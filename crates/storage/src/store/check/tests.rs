//! Honest stores pass, each lie is found by the question that asks for it, and nothing stays behind.

mod liar;

use std::sync::Mutex;

use liar::{Liar, Lie};

use super::*;

const HASTY: Duration = Duration::from_millis(50);

fn extent() -> Extent {
    Extent { settle: HASTY, ..Extent::whole(9) }
}

async fn checked(store: &Store, extent: Extent) -> Report {
    check(store, extent, Ulid::nil(), &|_step| ()).await
}

fn not_holding(report: &Report) -> Vec<&'static str> {
    let wrong = report.findings.iter().filter(|finding| !matches!(finding.outcome, Outcome::Holds));
    wrong.map(|finding| finding.question.name()).collect()
}

#[tokio::test]
async fn stores_of_ours_pass_and_nothing_stays_behind() {
    let directory = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::local(directory.path().to_owned()).unwrap(), Liar::store(Lie::None)] {
        for extent in [extent(), Extent::quick()] {
            let report = checked(&store, extent).await;
            assert_eq!(not_holding(&report), [""; 0], "{report:?}");
            assert_eq!(report.verdict(), Verdict::Fit);
            assert_eq!(report.left, [""; 0]);
            assert_eq!(report.findings.len(), extent.questions.len());
            assert!(store.list(&paths::check(Ulid::nil())).await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_conflict_between_requests_is_no_lie() {
    for extent in [extent(), Extent::quick()] {
        let report = checked(&Liar::store(Lie::ConflictsOnce), extent).await;
        assert_eq!(report.verdict(), Verdict::Fit, "{report:?}");
    }
}

#[tokio::test]
async fn each_lie_is_found_and_named() {
    let cases: [(Lie, Verdict, &[&str]); 15] = [
        (Lie::IgnoresCreate, Verdict::Unfit, &["create_existing", "create_race"]),
        (Lie::LooksThenPuts, Verdict::Unfit, &["create_race"]),
        (Lie::SaysCreated, Verdict::Unfit, &["create_existing", "create_race"]),
        (
            Lie::RefusesCreates,
            Verdict::Unfit,
            &["create", "create_existing", "create_race", "read_after_write", "list_after_write"],
        ),
        (
            Lie::ForgetsCreates,
            Verdict::Unfit,
            &["create", "create_existing", "create_race", "read_after_write", "list_after_write"],
        ),
        (Lie::RemembersAbsence, Verdict::Unfit, &["upload", "read_after_write"]),
        (Lie::RemembersBodies, Verdict::Fit, &["read_after_overwrite"]),
        (Lie::ListsLate, Verdict::Fit, &["list_after_write"]),
        (Lie::ListsNothing, Verdict::Unfit, &["list", "list_after_write"]),
        (Lie::ListsByText, Verdict::Unfit, &["list"]),
        (Lie::KeepsDeleted, Verdict::Unfit, &["delete", "gone_after_delete"]),
        (Lie::DeletesLate, Verdict::Fit, &["gone_after_delete"]),
        (
            Lie::Truncates,
            Verdict::Unfit,
            &[
                "put_get",
                "ranges",
                "upload",
                "create",
                "create_existing",
                "create_race",
                "read_after_write",
                "read_after_overwrite",
            ],
        ),
        (Lie::SuffixIsBeginning, Verdict::Unfit, &["ranges"]),
        (Lie::LosesParts, Verdict::Unfit, &["upload"]),
    ];
    for (lie, verdict, expected) in cases {
        let report = checked(&Liar::store(lie), extent()).await;
        assert_eq!(not_holding(&report), expected, "{lie:?}: {report:#?}");
        assert_eq!(report.verdict(), verdict, "{lie:?}");
    }
}

#[tokio::test]
async fn the_quick_form_finds_what_registers_rest_on() {
    for (lie, verdict) in [
        (Lie::None, Verdict::Fit),
        (Lie::IgnoresCreate, Verdict::Unfit),
        (Lie::LooksThenPuts, Verdict::Unfit),
        (Lie::SaysCreated, Verdict::Unfit),
        (Lie::RefusesCreates, Verdict::Unfit),
        (Lie::ForgetsCreates, Verdict::Unfit),
    ] {
        assert_eq!(checked(&Liar::store(lie), Extent::quick()).await.verdict(), verdict, "{lie:?}");
    }
}

#[tokio::test]
async fn what_was_seen_is_told() {
    for (lie, name, words) in [
        (Lie::IgnoresCreate, "create_existing", "told that it succeeded, and it replaced the object"),
        (Lie::SaysCreated, "create_existing", "told that it succeeded, though the object stayed"),
        (Lie::LooksThenPuts, "create_race", "race 1 of 9: 16 of 16 were told that they created the object"),
        (Lie::RefusesCreates, "create_race", "in 9 of 9 races everybody was refused"),
        (Lie::ForgetsCreates, "create", "is not there"),
        (Lie::Truncates, "put_get", "an object of 1 bytes has 0 bytes, 1 were written"),
        (Lie::SuffixIsBeginning, "ranges", "bytes=-17"),
        (Lie::ListsByText, "list", "/list/it.a with 1 bytes"),
    ] {
        let at = Question::ALL.iter().position(|question| question.name() == name).unwrap();
        let report = checked(&Liar::store(lie), Extent { questions: &Question::ALL[at..=at], ..extent() }).await;
        let told = report.failed().find(|(question, _)| question.name() == name);
        assert!(told.is_some_and(|(_, seen)| seen.contains(words)), "{lie:?} {name}: {report:#?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_neither_fit_nor_unfit() {
    let report = checked(&Liar::store(Lie::Away), extent()).await;
    assert_eq!(report.verdict(), Verdict::Unknown);
    assert_eq!((report.findings.len(), report.left.len()), (1, 1), "{report:?}");
    let (question, error) = report.into_untried().unwrap();
    assert_eq!(question, Question::PutGet);
    assert!(matches!(error, StoreError::Failed { verb: "put", .. }), "{error}");
}

#[tokio::test]
async fn how_far_it_is_is_told_and_the_quick_form_is_cheap() {
    let (steps, registry) = (Mutex::new(Vec::new()), prometheus::Registry::new());
    let tell = |step| steps.lock().unwrap().push(step);
    let store = Store::memory().metered(&registry);
    assert_eq!(check(&store, Extent::quick(), Ulid::nil(), &tell).await.verdict(), Verdict::Fit);
    let raced = |round| Step::Raced { round, of: 3 };
    let expected =
        [Step::Asked(Question::CreateExisting), Step::Asked(Question::CreateRace), raced(1), raced(2), raced(3)];
    assert_eq!(*steps.lock().unwrap(), expected);
    let families = registry.gather();
    let counted = families.iter().find(|family| family.name() == "tidemark_store_requests_total").unwrap();
    let requests: f64 = counted.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
    assert_eq!(requests, 72.0, "the documents say so");
}

#[test]
fn names_and_sentences_stand_alone() {
    for (at, question) in Question::ALL.iter().enumerate() {
        let others = || Question::ALL.iter().skip(at + 1);
        assert!(others().all(|other| other.name() != question.name() && other.asked() != question.asked()));
        assert!(!question.asked().ends_with('.'), "{question}");
    }
    assert!(Question::QUICK.iter().all(|question| question.is_required()));
}
