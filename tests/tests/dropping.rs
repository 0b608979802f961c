//! What is dropped comes back as it was, what is erased is gone, and its name begins anew; the process dies at every write
//! and every named point in between.

use tidemark_catalog::publish::How;
use tidemark_cdc::Duty;
use tidemark_ingest::Duty::{CleanUp, Compaction};
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_tests::{
    halting::Last,
    lake::{Ended, Job, Lake, World},
};

/// Seconds in which what was dropped can be brought back.
const GRACE_S: u64 = 60;
const SECOND_US: i64 = 1_000_000;
/// More writes than erasing takes.
const WRITES_MAX: i64 = 60;
/// Everything that works behind the doors.
const JOBS: [Job; 7] = [
    Job::Flush,
    Job::Delta,
    Job::Fold,
    Job::Events(Compaction),
    Job::Publish(How::Further),
    Job::Upkeep(Duty::CleanUp),
    Job::Events(CleanUp),
];

/// What is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Collection,
    Namespace,
}

/// Where the process dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    AfterWrites(i64, Last),
    At(&'static str),
}

/// `lab.orders`, which is dropped, and `lab.people`, which stays as long as its namespace does.
struct Shop {
    world: World,
    lake: Option<Lake>,
    namespace: Namespace,
    orders: CollectionName,
    /// Before anything was dropped.
    then: Instant,
}

impl Shop {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, Instant::parse("2026-01-01T00:00:00Z").unwrap());
        (world.cdc.grace_s, world.cdc.external_retention_s, world.cdc.fold_rows_min) = (0, 0, 1);
        (world.ingest.grace_s, world.ingest.external_retention_s, world.ingest.compact_after_s) = (0, 0, 0);
        let lake = Some(world.start());
        let (namespace, orders) = (Namespace::parse("lab").unwrap(), CollectionName::parse("orders").unwrap());
        let mut shop = Self { world, lake, namespace, orders, then: Instant::MIN };
        for round in 0..3 {
            shop.send("orders", &format!(r#"{{"id":"{round}","op":"insert","doc":{{"n":{round},"old":true}}}}"#));
            shop.send("people", &format!(r#"{{"id":"{round}","op":"insert","doc":{{"n":{round}}}}}"#));
            // The last round stays in the tail.
            if round < 2 {
                JOBS.into_iter().take(2 + round).for_each(|job| shop.job(job));
                shop.job(Job::Publish(How::Further));
            }
        }
        shop.then = shop.lake().now();
        shop.later();
        shop
    }

    fn lake(&self) -> &Lake {
        self.lake.as_ref().unwrap()
    }

    fn later(&self) {
        self.world.clock.step((GRACE_S as i64 + 1) * SECOND_US);
    }

    fn send(&self, collection: &str, line: &str) {
        self.try_send(collection, line).unwrap();
    }

    fn try_send(&self, collection: &str, line: &str) -> Result<(), String> {
        let name = CollectionName::parse(collection).unwrap();
        let sent = self.lake().send((&self.namespace, &name), line.to_owned());
        sent.map(|_receipt| ()).map_err(|error| error.to_string())
    }

    fn job(&self, job: Job) {
        assert_eq!(self.lake().run(job, &self.namespace), Ended::Whole, "{job:?}");
    }

    fn of(&self, what: What) -> (&Namespace, Option<&CollectionName>) {
        (&self.namespace, (what == What::Collection).then_some(&self.orders))
    }

    fn restart(&mut self) {
        self.lake.take().unwrap().kill();
        self.lake = Some(self.world.start());
    }

    /// One number.
    fn count(&self, from: &str) -> Result<i64, String> {
        use arrow::{array::AsArray as _, datatypes::Int64Type};
        let rows = self.lake().ask(&format!("SELECT count(*) FROM {from}"))?;
        Ok(rows[0].column(0).as_primitive::<Int64Type>().value(0))
    }

    /// The columns of documents.
    fn columns(&self, from: &str) -> Vec<String> {
        let rows = self.lake().ask(&format!("SELECT * FROM {from}")).unwrap();
        let schema = rows[0].schema();
        let fields = schema.fields().iter().filter(|field| !field.name().starts_with('_'));
        fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect()
    }

    /// Erases it, dying on the way; whether it died.
    fn erase(&mut self, what: What, death: Death) -> bool {
        self.lake().drop(self.of(what), GRACE_S).unwrap();
        self.later();
        match death {
            Death::AfterWrites(writes, last) => self.lake().halt_after(writes, last),
            Death::At(point) => self.lake().halt_at(point),
        }
        let ended = self.lake().run(Job::Erase, &self.namespace);
        self.restart();
        self.job(Job::Erase);
        ended == Ended::Killed
    }

    /// Nothing is left of it, its name begins anew, and everything else is as it was.
    fn is_gone(&mut self, what: What, when: &str) {
        let before = self.then;
        for asked in ["lab.orders", "lab.orders FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01T00:00:01Z'"] {
            assert!(self.count(asked).is_err(), "{asked} {when}");
        }
        self.send("orders", r#"{"id":"9","op":"insert","doc":{"n":"nine"}}"#);
        if what == What::Namespace {
            self.send("people", r#"{"id":"9","op":"insert","doc":{"n":9}}"#);
        }
        // Ids of before are no duplicates of what is erased; of a collection the events stay.
        let again = self.lake().send_events(&self.namespace, r#"{"id":"e","type":"t","data":{}}"#.to_owned());
        assert_eq!(again.unwrap().accepted, u64::from(what == What::Namespace), "{when}");
        let people = if what == What::Collection { 3 } else { 1 };
        let events = if what == What::Collection { 8 } else { 3 };
        for done in [None].into_iter().chain(JOBS.map(Some)) {
            done.into_iter().for_each(|job| self.job(job));
            let when = format!("{done:?} {when}");
            assert_eq!(self.count("lab.orders"), Ok(1), "{when}");
            assert_eq!(self.count("lab.people"), Ok(people), "{when}");
            assert_eq!(self.count("lab.events"), Ok(events), "{when}");
            assert_eq!(self.columns("lab.orders"), ["n Utf8"], "{when}");
            let past = self.count(&format!("lab.orders FOR SYSTEM_TIME AS OF TIMESTAMP '{before}'"));
            assert!(past.as_ref().is_err_and(|error| error.contains("did not exist")), "{past:?} {when}");
            assert_eq!(self.count("changes('lab.orders')"), Ok(1), "{when}");
            let past = self.count(&format!("lab.events FOR SYSTEM_TIME AS OF TIMESTAMP '{before}'"));
            match what {
                What::Collection => assert_eq!(past, Ok(6), "{when}"),
                What::Namespace => {
                    assert!(past.as_ref().is_err_and(|error| error.contains("did not exist")), "{past:?} {when}");
                }
            }
        }
        assert_eq!(self.lake().complaints(), Vec::<String>::new(), "{when}");
        self.restart();
        assert_eq!((self.count("lab.orders"), self.count("lab.people")), (Ok(1), Ok(people)), "{when}");
        assert_eq!(self.columns("lab.orders"), ["n Utf8"], "{when}");
    }
}

fn dies(seed: u64, what: What, death: Death) -> bool {
    let mut shop = Shop::new(seed);
    shop.lake().send_events(&shop.namespace, r#"{"id":"e","type":"t","data":{}}"#.to_owned()).unwrap();
    let died = shop.erase(what, death);
    shop.is_gone(what, &format!("{what:?} {death:?}"));
    died
}

#[test]
fn what_is_dropped_comes_back_as_it_was() {
    for what in [What::Collection, What::Namespace] {
        let mut shop = Shop::new(1);
        shop.lake().drop(shop.of(what), 10 * GRACE_S).unwrap();
        for restarted in [false, true] {
            if restarted {
                JOBS.into_iter().chain([Job::Erase]).for_each(|job| shop.job(job));
                shop.restart();
            }
            assert!(shop.count("lab.orders").is_err(), "{what:?}");
            let refused = shop.try_send("orders", r#"{"id":"8","op":"insert","doc":{}}"#).unwrap_err();
            assert!(refused.contains("was dropped") && refused.contains("undrop"), "{refused}");
            let other = shop.try_send("people", r#"{"id":"1","op":"update","doc":{"n":1}}"#);
            assert_eq!(other.is_ok(), what == What::Collection);
        }
        shop.lake().undrop(shop.of(what)).unwrap();
        assert!(shop.lake().undrop(shop.of(what)).is_err_and(|said| said.contains("is there")));
        for restarted in [false, true] {
            if restarted {
                shop.restart();
            }
            assert_eq!((shop.count("lab.orders"), shop.count("lab.people")), (Ok(3), Ok(3)), "{what:?}");
            assert_eq!(shop.columns("lab.orders"), ["n Int64", "old Boolean"]);
            shop.send("orders", r#"{"id":"2","op":"update","doc":{"n":3,"old":false}}"#);
        }
        assert_eq!(shop.lake().complaints(), Vec::<String>::new());
    }
}

#[test]
fn a_death_at_any_write_of_an_erasure_is_gone_on_from() {
    for what in [What::Collection, What::Namespace] {
        for last in [Last::NotApplied, Last::Applied] {
            let writes = (0..WRITES_MAX).take_while(|writes| dies(7, what, Death::AfterWrites(*writes, last))).count();
            // Two words of the register, the flush, and a commit of every table.
            assert!((4..WRITES_MAX as usize).contains(&writes), "{writes} writes of {what:?}");
        }
    }
}

#[test]
fn a_death_at_any_point_of_an_erasure_is_gone_on_from() {
    for (what, point) in [
        (What::Collection, "erase.written"),
        (What::Collection, "erase.committed"),
        (What::Namespace, "erase.committed"),
        (What::Namespace, "events_erase.written"),
        (What::Namespace, "events_erase.committed"),
    ] {
        assert!(dies(3, what, Death::At(point)), "{point} was not passed");
    }
}

#[test]
fn what_never_was_cannot_be_dropped_and_a_drop_may_be_cut_short() {
    let shop = Shop::new(2);
    let name = CollectionName::parse("nothing").unwrap();
    let other = Namespace::parse("other").unwrap();
    assert!(shop.lake().drop((&shop.namespace, Some(&name)), 1).is_err());
    assert!(shop.lake().drop((&other, None), 1).is_err());
    assert!(shop.lake().undrop((&other, None)).is_err());
    assert!(shop.lake().drop(shop.of(What::Collection), u64::MAX).is_err_and(|said| said.contains("too much")));
    shop.lake().drop(shop.of(What::Collection), GRACE_S).unwrap();
    // A grace of 0 erases before the answer, whatever was said before.
    shop.lake().drop(shop.of(What::Collection), 0).unwrap();
    assert!(shop.lake().undrop(shop.of(What::Collection)).is_err());
    shop.send("orders", r#"{"id":"5","op":"insert","doc":{"fresh":1}}"#);
    assert_eq!(shop.columns("lab.orders"), ["fresh Int64"]);
    // And again, so that a name lives more than twice.
    shop.lake().drop(shop.of(What::Collection), 0).unwrap();
    assert!(shop.count("lab.orders").is_err());
    shop.send("orders", r#"{"id":"6","op":"insert","doc":{"n":1}}"#);
    JOBS.into_iter().for_each(|job| shop.job(job));
    assert_eq!((shop.count("lab.orders"), shop.columns("lab.orders")), (Ok(1), vec!["n Int64".to_owned()]));
    assert_eq!(shop.lake().complaints(), Vec::<String>::new());
}
