//! How much a client may do in a minute: requests and events, counted per token, or per address of who has none.
//!
//! An allowance refills evenly, and a client that was still for a minute has all of it (a generic cell rate: one instant
//! per client and count, the one at which its allowance is whole again). Without a setting nothing is counted.
//!
//! What is left stands in the headers of every answer: `RateLimit-Limit`, `-Remaining` and `-Reset` tell of requests as
//! proxies do; `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) tell of events too.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use prometheus::IntCounterVec;
use tidemark_catalog::{
    Allowance,
    allowance::{Counted, Spent},
};
use tidemark_model::Principal;

use crate::config;

/// Clients that are counted at once; those beyond share one allowance.
const CLIENTS_MAX: usize = 10_000;
const MINUTE_NS: u64 = 60_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Headers of an answer that a web page may read.
pub(crate) const HEADERS: [&str; 5] =
    ["ratelimit", "ratelimit-limit", "ratelimit-policy", "ratelimit-remaining", "ratelimit-reset"];

/// Who counts. One per process.
#[derive(Debug)]
pub struct Limits {
    /// A minute; 0 is no limit.
    requests: AtomicU32,
    /// The same.
    events: AtomicU32,
    begun: Instant,
    clients: Mutex<HashMap<Arc<str>, Account>>,
    refused: IntCounterVec,
}

/// So many a minute.
#[derive(Debug, Clone, Copy)]
struct Rate {
    most: u32,
    /// Nanoseconds in which one comes back.
    each_ns: u64,
}

/// When the allowances of a client are whole again, nanoseconds since the beginning.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    requests: u64,
    events: u64,
}

impl Account {
    const fn whole_at(&mut self, counted: Counted) -> &mut u64 {
        match counted {
            Counted::Requests => &mut self.requests,
            Counted::Events => &mut self.events,
        }
    }
}

impl Rate {
    /// None where there is no limit.
    fn new(most: u32) -> Option<Self> {
        (most > 0).then(|| Self { most, each_ns: MINUTE_NS / u64::from(most.max(1)) })
    }

    /// How many may come now, and the seconds until all may.
    fn left(self, whole_at: u64, now: u64) -> (u32, u64) {
        let owed = whole_at.saturating_sub(now);
        let left = MINUTE_NS.saturating_sub(owed) / self.each_ns;
        (u32::try_from(left).unwrap_or(u32::MAX).min(self.most), owed.div_ceil(SECOND_NS))
    }

    /// When an allowance of which so many are taken is whole again.
    ///
    /// # Errors
    /// Nanoseconds until so many may be taken.
    fn after(self, whole_at: u64, now: u64, count: u32) -> Result<u64, u64> {
        let whole_at = whole_at.max(now).saturating_add(self.each_ns.saturating_mul(count.into()));
        let late = whole_at.saturating_sub(now).saturating_sub(MINUTE_NS);
        if late == 0 { Ok(whole_at) } else { Err(late) }
    }
}

impl Limits {
    /// One that counts as the settings say.
    #[must_use]
    pub fn new(settings: &config::Limits, refused: IntCounterVec) -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicU32::new(settings.requests_per_minute.unwrap_or(0)),
            events: AtomicU32::new(settings.events_per_minute.unwrap_or(0)),
            begun: Instant::now(),
            clients: Mutex::default(),
            refused,
        })
    }

    /// Counts as other settings say from now on. What clients have spent is not forgotten: until when depends on time alone.
    pub(crate) fn set(&self, settings: &config::Limits) {
        self.requests.store(settings.requests_per_minute.unwrap_or(0), Ordering::Relaxed);
        self.events.store(settings.events_per_minute.unwrap_or(0), Ordering::Relaxed);
    }

    fn rate(&self, counted: Counted) -> Option<Rate> {
        let most = match counted {
            Counted::Requests => &self.requests,
            Counted::Events => &self.events,
        };
        Rate::new(most.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Writes what is left to a client into the headers of its answer.
    pub(crate) fn tell(&self, by: &Principal, headers: &mut HeaderMap) {
        let now = self.now();
        let account = self.with(|clients| clients.get(by.counted_as()).copied().unwrap_or_default());
        for (name, value) in self.told(account, now) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }

    fn told(&self, mut account: Account, now: u64) -> Vec<(&'static str, HeaderValue)> {
        let (mut policy, mut state, mut told) = (String::new(), String::new(), Vec::new());
        for counted in Counted::ALL {
            let Some(rate) = self.rate(counted) else { continue };
            let (left, seconds) = rate.left(*account.whole_at(counted), now);
            let (name, comma) = (counted.as_str(), if policy.is_empty() { "" } else { ", " });
            let _infallible = write!(policy, "{comma}\"{name}\";q={};w=60", rate.most);
            let _infallible = write!(state, "{comma}\"{name}\";r={left};t={seconds}");
            if counted == Counted::Requests {
                told.push(("ratelimit-limit", HeaderValue::from(rate.most)));
                told.push(("ratelimit-remaining", HeaderValue::from(left)));
                told.push(("ratelimit-reset", HeaderValue::from(seconds)));
            }
        }
        for (name, text) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            told.extend(HeaderValue::try_from(text).ok().filter(|text| !text.is_empty()).map(|text| (name, text)));
        }
        told
    }

    /// Takes from the account of a client at an instant.
    fn take_at(&self, client: &str, counted: Counted, count: u32, now: u64) -> Result<(), Spent> {
        let Some(rate) = self.rate(counted) else { return Ok(()) };
        let limit = rate.most;
        if count > limit {
            return Err(Spent::AtOnce { counted, count, limit });
        }
        self.with(|clients| {
            let whole_at = account(clients, client, now).whole_at(counted);
            let seconds = |late: u64| u32::try_from(late.div_ceil(SECOND_NS)).unwrap_or(u32::MAX);
            let after = rate.after(*whole_at, now, count);
            *whole_at = after.map_err(|late| Spent::ForNow { counted, limit, seconds: seconds(late) })?;
            Ok(())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Arc<str>, Account>) -> T) -> T {
        work(&mut self.clients.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The account of a client. Where there are too many, those that are whole are forgotten, which changes nothing.
fn account<'c>(clients: &'c mut HashMap<Arc<str>, Account>, client: &str, now: u64) -> &'c mut Account {
    if !clients.contains_key(client) && clients.len() >= CLIENTS_MAX {
        clients.retain(|_, account| account.requests > now || account.events > now);
    }
    let is_full = clients.len() >= CLIENTS_MAX && !clients.contains_key(client);
    clients.entry(if is_full { "".into() } else { client.into() }).or_default()
}

impl Allowance for Limits {
    fn take(&self, by: &Principal, counted: Counted, count: u32) -> Result<(), Spent> {
        let taken = self.take_at(by.counted_as(), counted, count, self.now());
        if let Err(spent) = taken {
            self.refused.with_label_values(&[counted.as_str()]).inc();
            tracing::warn!(client = by.counted_as(), counted = counted.as_str(), %spent, "rate limit exceeded");
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;

    fn limits(requests: u32, events: Option<u32>) -> Arc<Limits> {
        let refused = IntCounterVec::new(Opts::new("refused", "for tests"), &["what"]).expect("a counter");
        let settings = config::Limits { requests_per_minute: Some(requests), events_per_minute: events };
        Limits::new(&settings, refused)
    }

    fn take(limits: &Limits, client: &str, count: u32, at_s: u64) -> Result<(), Spent> {
        limits.take_at(client, Counted::Requests, count, at_s * SECOND_NS)
    }

    #[test]
    fn what_is_spent_comes_back_evenly() {
        let limits = limits(60, None);
        assert_eq!(take(&limits, "a", 60, 0), Ok(()));
        let spent = |seconds| Err(Spent::ForNow { counted: Counted::Requests, limit: 60, seconds });
        assert_eq!(take(&limits, "a", 1, 0), spent(1));
        assert_eq!(take(&limits, "a", 10, 1), spent(9), "one came back, nine are missing");
        assert_eq!(take(&limits, "a", 10, 10), Ok(()), "what was refused cost nothing");
        assert_eq!(take(&limits, "b", 60, 10), Ok(()), "another client has its own");
        assert_eq!(take(&limits, "a", 60, 200), Ok(()), "never more than a minute's is saved");
        assert_eq!(take(&limits, "a", 1, 200), spent(1));
    }

    #[test]
    fn more_than_a_minute_allows_is_never_let_on() {
        let limits = limits(60, Some(7));
        let spent = Spent::AtOnce { counted: Counted::Requests, count: 61, limit: 60 };
        assert_eq!((take(&limits, "a", 61, 0), spent.retry_after()), (Err(spent), None));
        assert_eq!(limits.take_at("a", Counted::Events, 7, 0), Ok(()));
        assert!(limits.take_at("a", Counted::Events, 1, 0).is_err());
    }

    #[test]
    fn another_limit_holds_from_the_next_request_on() {
        let limits = limits(60, None);
        take(&limits, "a", 30, 0).expect("let on");
        limits.set(&config::Limits { requests_per_minute: Some(600), events_per_minute: Some(5) });
        assert_eq!(take(&limits, "a", 300, 0), Ok(()), "half of the minute is left");
        assert!(take(&limits, "a", 1, 0).is_err());
        assert!(limits.take_at("a", Counted::Events, 6, 0).is_err());
        limits.set(&config::Limits::default());
        assert_eq!(take(&limits, "a", u32::MAX, 0), Ok(()));
    }

    #[test]
    fn headers_tell_what_is_left() {
        let limits = limits(60, Some(100));
        take(&limits, "a", 20, 0).expect("let on");
        let told: HashMap<_, _> = limits.told(limits.with(|clients| clients["a"]), 5 * SECOND_NS).into_iter().collect();
        for (name, text) in [
            ("ratelimit-limit", "60"),
            ("ratelimit-remaining", "45"),
            ("ratelimit-reset", "15"),
            ("ratelimit-policy", "\"requests\";q=60;w=60, \"events\";q=100;w=60"),
            ("ratelimit", "\"requests\";r=45;t=15, \"events\";r=100;t=0"),
        ] {
            assert_eq!(told[name], text, "{name}");
        }
        assert_eq!(told.len(), HEADERS.len());
    }

    #[test]
    fn no_setting_means_no_limit_and_no_header() {
        let limits = limits(0, None);
        assert_eq!(take(&limits, "a", u32::MAX, 0), Ok(()));
        assert!(limits.told(Account::default(), 0).is_empty());
    }

    #[test]
    fn so_many_clients_are_counted_at_once() {
        let limits = limits(1, None);
        for client in 0..CLIENTS_MAX {
            take(&limits, &client.to_string(), 1, 0).expect("let on");
        }
        assert_eq!(take(&limits, "one more", 1, 0), Ok(()));
        assert!(take(&limits, "and another", 1, 0).is_err(), "they share what is left");
        assert_eq!(take(&limits, "later", 1, 61), Ok(()));
        assert!(limits.with(|clients| clients.len()) < 10, "who is whole again is forgotten");
    }
}
