//! What moved, against the literal model: version rows of periods, differences of two instants, histories.

use serde_json::Value;
use tidemark_model::Instant;
use tidemark_tests::{
    history::Kind,
    oracle::{Asked, Version},
};

use super::{Run, rows};

/// One clock of a period query: its clause, its upper bound, and which rows are kept by their ends.
struct Clock {
    clause: String,
    upto: Option<Instant>,
    is_period: bool,
    above: Option<Instant>,
}

impl Clock {
    fn keeps(&self, end: Option<Instant>) -> bool {
        end.is_none_or(|end| self.is_period && self.above.is_none_or(|above| end > above))
    }
}

impl Run {
    /// One question about what moved.
    pub(super) fn compare_past(&mut self) {
        match self.chance.below(6) {
            0..=2 => self.compare_period(),
            3 => self.compare_diff(),
            4 => self.compare_history(),
            _ => self.compare_changes(),
        }
        self.asked += 1;
    }

    fn times(&self) -> (Instant, Instant) {
        let Asked { system_time, valid_time } = self.question();
        let begin = self.history.oracle.changes()[0].system_time;
        (system_time.unwrap_or(begin), valid_time.unwrap_or(begin))
    }

    fn clock(&self, axis: &str, of: impl Fn((Instant, Instant)) -> Instant) -> Clock {
        let (one, other) = (of(self.times()), of(self.times()));
        let (from, upto) = (one.min(other), one.max(other));
        let clock = |clause: String, upto, is_period, above| Clock { clause, upto, is_period, above };
        match self.chance.below(6) {
            0 => clock(String::new(), None, false, None),
            1 => clock(format!("FOR {axis}_TIME AS OF TIMESTAMP '{upto}'"), Some(upto), false, None),
            2 => clock(format!("FOR {axis}_TIME ALL"), None, true, None),
            3 => {
                let clause = format!("FOR {axis}_TIME FROM TIMESTAMP '{from}' TO TIMESTAMP '{}'", upto.plus_micros(1));
                clock(clause, Some(upto), true, Some(from))
            }
            _ => {
                let clause = format!("FOR {axis}_TIME BETWEEN TIMESTAMP '{from}' AND TIMESTAMP '{upto}'");
                clock(clause, Some(upto), true, Some(from))
            }
        }
    }

    fn compare_period(&mut self) {
        let (mut system, valid) = (self.clock("SYSTEM", |(t, _)| t), self.clock("VALID", |(_, v)| v));
        if !system.is_period && !valid.is_period {
            system = Clock { clause: "FOR SYSTEM_TIME ALL".to_owned(), upto: None, is_period: true, above: None };
        }
        let asked = Asked { system_time: system.upto, valid_time: valid.upto };
        let kept = |row: &Version| row.doc.is_some() && system.keeps(row.system_to) && valid.keeps(row.valid_to);
        let versions: Vec<Version> = self.history.oracle.versions(&asked).into_iter().filter(kept).collect();
        self.count(Kind::AskedPeriod);
        if versions.iter().any(|row| row.valid_to.is_some() && row.system_to.is_some()) {
            self.count(Kind::ClosedTwice);
        }
        let want = versions.iter().map(|row| {
            let [from, to, system_from, system_to] = ends(row);
            [row.id.clone(), text(row.doc.as_ref()), from, to, system_from, system_to]
        });
        let from = format!("{}.{} {} {}", self.namespace, self.collection, system.clause, valid.clause);
        self.same(&format!("SELECT _id, _doc, {ENDS} FROM {from}"), want.collect());
    }

    fn compare_history(&mut self) {
        let asked = self.question();
        let id = self.history.oracle.changes()[0].id.clone();
        let clause = |axis: &str, at: Option<Instant>| {
            at.map_or_else(String::new, |at| format!("FOR {axis}_TIME AS OF TIMESTAMP '{at}'"))
        };
        let clauses = format!("{} {}", clause("SYSTEM", asked.system_time), clause("VALID", asked.valid_time));
        let versions = self.history.oracle.versions(&asked);
        let want = versions.iter().filter(|row| row.id == id).map(|row| {
            let [from, to, system_from, system_to] = ends(row);
            [text(row.doc.as_ref()), text(row.prev.as_ref()), from, to, system_from, system_to]
        });
        let (namespace, collection) = (&self.namespace, &self.collection);
        let sql = format!(
            "SELECT _doc, _prev, {ENDS} FROM {namespace}.\"{collection}$history\" {clauses} WHERE _id = '{id}'"
        );
        self.same(&sql, want.collect());
        self.count(Kind::AskedHistory);
    }

    fn compare_diff(&mut self) {
        let (one, other) = (self.times().0, self.times().0);
        let (earlier, later) = (one.min(other), one.max(other));
        let fold = |at| self.history.oracle.fold(&Asked { system_time: Some(at), valid_time: None });
        let (before, after) = (fold(earlier), fold(later));
        let json = |doc: &String| serde_json::from_str::<Value>(doc).unwrap();
        let mut want = Vec::new();
        for (id, doc) in &before {
            match after.get(id) {
                None => want.push([id.clone(), "removed".to_owned(), doc.clone(), "NULL".to_owned()]),
                Some(now) if json(now) != json(doc) => {
                    want.push([id.clone(), "changed".to_owned(), doc.clone(), now.clone()]);
                }
                Some(_) => {}
            }
        }
        let added = after.iter().filter(|(id, _)| !before.contains_key(*id));
        want.extend(added.map(|(id, doc)| [id.clone(), "added".to_owned(), "NULL".to_owned(), doc.clone()]));
        let of = format!("'{}.{}', TIMESTAMP '{earlier}', TIMESTAMP '{later}'", self.namespace, self.collection);
        self.same(&format!("SELECT _id, _change, _before, _after FROM diff({of})"), want);
        self.count(Kind::AskedDiff);
    }

    fn compare_changes(&self) {
        let (one, other) = (self.times().0, self.times().0);
        let (from, upto) = (one.min(other), one.max(other));
        let changes = self.history.oracle.changes().iter();
        let between = changes.filter(|change| change.system_time > from && change.system_time <= upto);
        let want = between.map(|change| {
            let ts = change.ts.unwrap_or(change.system_time);
            [change.id.clone(), text(change.doc.as_ref()), ts.micros().to_string(), text(change.bookmark.as_ref())]
        });
        let of = format!("'{}.{}', TIMESTAMP '{from}', TIMESTAMP '{upto}'", self.namespace, self.collection);
        self.same(&format!("SELECT _id, _doc, arrow_cast(_ts, 'Int64'), _bookmark FROM changes({of})"), want.collect());
    }

    fn count(&mut self, kind: Kind) {
        self.history.seen.count(kind);
    }

    /// The rows of an answer, in any order.
    fn same<const N: usize>(&self, sql: &str, mut want: Vec<[String; N]>) {
        let got = self.lake().ask(sql);
        let got = got.map(|batches| {
            let mut got: Vec<[String; N]> = batches.iter().flat_map(rows).collect();
            got.sort();
            got
        });
        want.sort();
        assert_eq!(got.as_deref(), Ok(want.as_slice()), "{sql}");
    }
}

const ENDS: &str = "arrow_cast(_valid_from, 'Int64'), arrow_cast(_valid_to, 'Int64'), arrow_cast(_system_from, 'Int64'), \
                    arrow_cast(_system_to, 'Int64')";

fn ends(row: &Version) -> [String; 4] {
    let end = |at: Option<Instant>| at.map_or_else(|| "NULL".to_owned(), |at| at.micros().to_string());
    [end(Some(row.valid_from)), end(row.valid_to), end(Some(row.system_from)), end(row.system_to)]
}

fn text(of: Option<&String>) -> String {
    of.map_or_else(|| "NULL".to_owned(), Clone::clone)
}
