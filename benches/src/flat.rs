//! What questions about the past cost as the history grows, with the same number of documents: all of them, and one.

use std::collections::BTreeMap;

use tidemark_model::Instant;

use crate::{
    Outcome, changes,
    lake::{Lake, REQUEST},
    measure::Spread,
    report::{Report, spread},
};

/// Documents, however many changes.
const KEYS: u64 = 100_000;
/// Instants on each axis.
const INSTANTS: u64 = 10;
/// Questions about one document.
const POINTS: u64 = 50;
/// Histories: the longest, a tenth and a hundredth of it.
const SIZES: [u64; 3] = [100, 10, 1];

/// Histories of a hundredth, a tenth and all of `total` changes.
pub(crate) async fn run(total: u64) -> Outcome {
    let mut table = Report::new(
        "flat",
        format!(
            "Histories over {KEYS} documents; {INSTANTS} distinct instants on each axis, each asked once after a restart, then {POINTS} \
             questions about one document as of an instant of system time. Answers are compared with a model in memory"
        ),
        &["changes", "loading CPU s", "peak MiB", "system time CPU s", "valid time CPU s", "one document, p50 ms"],
    );
    let mut costs = Vec::new();
    for part in SIZES {
        costs.push(history(total / part, &mut table).await?);
    }
    let exponent = |at: usize| (costs[2][at] / costs[0][at].max(0.001)).log10() / 2.0;
    let told = |at| format!("exponent {:.2} (≤ 0.1)", exponent(at));
    table.row(vec!["hundredfold".to_owned(), String::new(), String::new(), told(0), told(1), told(2)]);
    Ok(table.finish()?)
}

/// Totals of all documents: how many, sums of `a` and of `b`.
type Totals = Vec<i64>;

/// The documents as the changes so far make them.
struct Model {
    documents: Vec<Option<(i64, i64)>>,
    totals: Totals,
}

impl Model {
    fn apply(&mut self, n: u64) -> Outcome {
        let change = changes::change(n, KEYS);
        let document = &mut self.documents[usize::try_from(change.key)?];
        let next = (!change.delete).then_some((change.a, change.b));
        for (image, sign) in [(document.take(), -1), (next, 1)] {
            if let Some((a, b)) = image {
                let by = [1, a, b].map(|value| value * sign);
                self.totals.iter_mut().zip(by).for_each(|(total, by)| *total += by);
            }
        }
        *document = next;
        Ok(())
    }
}

/// What was true when: by instant of system time and of source time.
#[derive(Default)]
struct Truth {
    system: BTreeMap<Instant, Totals>,
    valid: BTreeMap<Instant, Totals>,
}

/// Costs: all documents by system time and by valid time, CPU s in all; one document, p50 ms.
async fn history(total: u64, table: &mut Report) -> Result<[f64; 3], Box<dyn std::error::Error + Send + Sync>> {
    let mut lake = Lake::start()?;
    let truth = load(&lake, total).await?;
    lake.settle().await;
    let peak = lake.resident_mib();
    let loaded = lake.restart()?;
    lake.settle().await;
    let system = ask(&lake, "SYSTEM_TIME", &truth.system).await?;
    let valid = ask(&lake, "VALID_TIME", &truth.valid).await?;
    let mut points = Vec::new();
    for (n, at) in (0..POINTS).zip(truth.system.keys().cycle()) {
        let id = changes::key(changes::mix(n) % KEYS);
        let sql = format!("SELECT count(*) FROM bench.docs FOR SYSTEM_TIME AS OF TIMESTAMP '{at}' WHERE _id = '{id}'");
        points.push(lake.measure(&sql).await?.1.wall_s * 1000.0);
    }
    let (one, sums) = (Spread::of(points), [&system, &valid].map(|costs| costs.iter().sum::<f64>()));
    table.row(vec![
        total.to_string(),
        format!("{loaded:.0}"),
        peak.to_string(),
        spread(Spread::of(system)),
        spread(Spread::of(valid)),
        spread(one),
    ]);
    Ok([sums[0], sums[1], one.median])
}

async fn load(lake: &Lake, total: u64) -> Result<Truth, Box<dyn std::error::Error + Send + Sync>> {
    let requests = total.div_ceil(REQUEST);
    let chosen: Vec<u64> = (0..INSTANTS).map(|n| changes::mix(n + 1000) % requests).collect();
    let mut model = Model { documents: vec![None; usize::try_from(KEYS)?], totals: vec![0; 3] };
    let mut truth = Truth::default();
    lake.load((total, KEYS), |range, time| {
        let is_chosen = chosen.contains(&(range.start / REQUEST));
        let third = range.start + REQUEST / 3;
        for n in range {
            model.apply(n)?;
            if is_chosen && n == third {
                truth.valid.insert(changes::source_time(n), model.totals.clone());
            }
        }
        if is_chosen {
            truth.system.insert(time, model.totals.clone());
        }
        Ok(())
    })
    .await?;
    Ok(truth)
}

async fn ask(
    lake: &Lake,
    clause: &str,
    truth: &BTreeMap<Instant, Totals>,
) -> Result<Vec<f64>, Box<dyn std::error::Error + Send + Sync>> {
    let mut costs = Vec::new();
    for (at, wanted) in truth {
        let sql = format!("SELECT count(*), sum(a), sum(b) FROM bench.docs FOR {clause} AS OF TIMESTAMP '{at}'");
        let (answer, cost) = lake.measure(&sql).await?;
        if answer != *wanted {
            return Err(format!("answers differ as of {at}: {answer:?} and {wanted:?}").into());
        }
        costs.push(cost.cpu_s);
    }
    Ok(costs)
}
