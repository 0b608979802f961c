//! The store and the lake in it: whether it answers, who owns the lake and when that was heard of, and whether its clock is ours.

use std::{path::Path, sync::Arc, time::Duration};

use tidemark_catalog::{
    CatalogError, Maintenance,
    glance::{Glance, Ownership, glance},
};
use tidemark_model::{Clock as _, Instant};
use tidemark_storage::{
    Store,
    store::check::{Extent, Verdict, check},
};

use super::{Depth, Finding, bytes};
use crate::{
    clock::{SystemClock, random_ids},
    config::{Environment, Settings},
    wiring::{look_at_store, open_store},
};

const STORE: &str = "store";
const FORMAT: &str = "lake";
const OWNER: &str = "owner";
const CLOCK: &str = "clock";
const CREATES: &str = "creates once";
const MAINTENANCE: &str = "maintenance";
const LOG: &str = "log";
/// How long the store may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// Clocks that differ by more make signatures fail on the way to a quarter of an hour, seconds.
const SKEW_S_CALM: i64 = 60;
/// Where S3 itself answers.
const S3: &str = "https://s3.amazonaws.com";

/// Looks at the store.
pub(super) async fn examine(settings: &Settings, environment: &Environment, depth: Depth) -> Vec<Finding> {
    let name = settings.store_name();
    // Opening one makes its directory.
    let folder = settings.store.as_ref().map_or(Some(name.as_str()), |url| url.strip_prefix("file://"));
    if folder.is_some_and(|folder| !Path::new(folder).is_dir()) {
        return vec![Finding::ok(STORE, format!("{name} is not there yet; the first start makes it"))];
    }
    let store = match look_at_store(settings, environment) {
        Ok(store) => store,
        Err(error) => {
            return vec![Finding::failed(
                STORE,
                format!("{name} cannot be opened: {}", whole(&error)),
                "correct store and its options",
            )];
        }
    };
    let mut found = Vec::new();
    if store.is_remote() {
        found.extend(skew(settings, environment).await);
    }
    match tokio::time::timeout(ANSWERS_WITHIN, glance(&store)).await {
        Err(_late) => {
            let seen = format!("{name} did not answer within {} s", ANSWERS_WITHIN.as_secs());
            found.push(Finding::failed(STORE, seen, "look at the network, and whether the store runs"));
            return found;
        }
        Ok(Err(error)) => {
            found.push(unread(&name, &error));
            return found;
        }
        Ok(Ok(None)) => {
            found.push(Finding::ok(STORE, format!("{name} answers; there is no lake in it, the first start makes one")))
        }
        Ok(Ok(Some(lake))) => found.extend(looked(&name, &lake)),
    }
    found.extend(closed(&store).await);
    if depth == Depth::AskingStore {
        found.push(match open_store(settings, environment) {
            Ok(store) => creates_once(&store).await,
            Err(error) => Finding::failed(CREATES, whole(&error), "let whoever runs the server ask"),
        });
    }
    found
}

fn unread(name: &str, error: &CatalogError) -> Finding {
    let seen = format!("{name}: {}", whole(error));
    match error {
        CatalogError::NewerFormat { .. } => {
            Finding::failed(FORMAT, seen, "use the release that wrote it, or a newer one")
        }
        CatalogError::Store(_) => {
            Finding::failed(STORE, seen, "look at the network, the credentials and whether the store runs")
        }
        _ => {
            Finding::failed(FORMAT, seen, "restore that object from a copy; tidemark verify tells what else is damaged")
        }
    }
}

fn looked(name: &str, lake: &Glance) -> Vec<Finding> {
    let mut found = vec![
        Finding::ok(STORE, format!("{name} answers")),
        Finding::ok(
            FORMAT,
            format!("{} has a format that this release knows, and {} shards", lake.cluster, lake.shards),
        ),
    ];
    found.push(match &lake.owner {
        Some(owner) => owned(owner, SystemClock.now()),
        None => Finding::ok(OWNER, "nobody ever owned the lake"),
    });
    found.extend(lake.owner.as_ref().filter(|owner| owner.has_log_in_store || owner.log_bytes > 0).map(|owner| {
        let seen = format!(
            "logs in the store hold {}: at most that is in no file, and the next start takes it in",
            bytes(owner.log_bytes)
        );
        Finding::ok(LOG, seen)
    }));
    found
}

fn owned(owner: &Ownership, now: Instant) -> Finding {
    let Ownership { epoch, holder, lease_ms, .. } = owner;
    let who = format!("{holder} (epoch {epoch}, since {})", owner.taken_at);
    let Some((word, said)) = owner.last_word else {
        return Finding::ok(OWNER, format!("{who}; it has no lease, so nobody knows whether it lives"));
    };
    let age_ms = (now.micros() - said.micros()) / 1000;
    let ago = format!("{}.{} s ago", age_ms / 1000, (age_ms % 1000).unsigned_abs() / 100);
    match word {
        "ended" => Finding::ok(OWNER, format!("nobody: {who} ended in order {ago}")),
        "unserved" => {
            let next = "read the log of that start: it did not come to serve";
            Finding::warning(OWNER, format!("nobody: {who} ended {ago} before it served"), next)
        }
        "taken" => Finding::ok(OWNER, format!("nobody: {who} fell silent, and its successor did not start yet")),
        _ if u64::try_from(age_ms).is_ok_and(|age| age > lease_ms + lease_ms / 4) => {
            let next = "it was killed, is stopped, or cannot reach the store: start it, or another; that one waits for a lease and a quarter";
            Finding::warning(OWNER, format!("{who} said that it is alive {ago}, and its lease is {lease_ms} ms"), next)
        }
        _ => Finding::ok(OWNER, format!("{who} said that it is alive {ago}; its lease is {lease_ms} ms")),
    }
}

async fn closed(store: &Store) -> Option<Finding> {
    let word = Maintenance::of(store, Arc::new(SystemClock), Arc::new(random_ids()));
    match tokio::time::timeout(ANSWERS_WITHIN, word.look()).await {
        Ok(Ok(Some(closed))) => {
            let reason = if closed.reason.is_empty() { String::new() } else { format!(": {}", closed.reason) };
            let seen = format!("ingest is switched off since {}, by {}{reason}", closed.since, closed.by);
            Some(Finding::warning(MAINTENANCE, seen, "tidemark maintenance off switches it on"))
        }
        Ok(Err(error)) => Some(Finding::failed(
            MAINTENANCE,
            whole(&error),
            "a server does not start with it: restore that object from a copy",
        )),
        Ok(Ok(None)) | Err(_) => None,
    }
}

async fn creates_once(store: &Store) -> Finding {
    let report = check(store, Extent::quick(), random_ids().ulid(SystemClock.now()), &|_step| ()).await;
    match report.verdict() {
        Verdict::Fit => Finding::ok(CREATES, format!("{} creates an object only if its name is free", store.url())),
        Verdict::Unfit => {
            let seen: Vec<String> = report.failed().map(|(question, seen)| format!("{question}: {seen}")).collect();
            Finding::failed(CREATES, seen.join("; "), "keep no lake there; tidemark store-check shows more")
        }
        Verdict::Unknown => Finding::failed(CREATES, "it could not be asked", "tidemark store-check shows why"),
    }
}

/// Whether the store's clock is ours: what it says of the time in the head of any answer, also of a refusal.
async fn skew(settings: &Settings, environment: &Environment) -> Option<Finding> {
    let of_settings = |key: &str| settings.object_store.get(key).map(|value| value.expose().to_owned());
    let of_environment = |key: &str| environment.get(&key.to_ascii_uppercase()).map(str::to_owned);
    let keys = ["aws_endpoint", "aws_endpoint_url", "aws_endpoint_url_s3"];
    let named = keys.into_iter().find_map(|key| of_settings(key).or_else(|| of_environment(key)));
    let is_s3 = settings.store.as_ref().is_some_and(|url| url.starts_with("s3"));
    let url = named.or_else(|| is_s3.then(|| S3.to_owned()))?;
    let client = reqwest::Client::builder().timeout(ANSWERS_WITHIN).no_proxy().build().ok()?;
    let begun = SystemClock.now();
    let answer = client.head(&url).send().await.ok()?;
    let theirs = http_date(answer.headers().get(reqwest::header::DATE)?.to_str().ok()?)?;
    // The head has whole seconds, and was written between asking and now.
    let off = [begun, SystemClock.now()].map(|ours| theirs - ours.micros().div_euclid(1_000_000));
    let least = if off[0].signum() == off[1].signum() { off[0].abs().min(off[1].abs()) } else { 0 };
    let seen = format!("that of {url} differs from this machine's by {least} s");
    Some(if least > SKEW_S_CALM {
        Finding::warning(
            CLOCK,
            seen,
            "set this machine's clock (NTP): stores refuse requests of clocks that are off by 15 minutes",
        )
    } else {
        Finding::ok(CLOCK, seen)
    })
}

/// Seconds since 1970 of `Fri, 27 Nov 2026 21:41:12 GMT`.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let at = Instant::parse(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    Some(at.micros() / 1_000_000)
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    crate::command::Failure::of(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for bad in
            ["", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nox 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"]
        {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_owner_is_judged_by_its_last_word() {
        let at = |ms: i64| Instant::from_micros(1 << 50).plus_micros(ms * 1000);
        let owner = |word, said| Ownership {
            epoch: 3,
            holder: "a, process 1".to_owned(),
            taken_at: at(0),
            lease_ms: 1000,
            last_word: Some((word, at(said))),
            has_log_in_store: false,
            log_bytes: 0,
        };
        for (word, said, state) in [
            ("alive", 9000, State::Ok),
            ("alive", 12_000, State::Ok),
            ("alive", 8000, State::Warning),
            ("ended", 0, State::Ok),
            ("unserved", 9000, State::Warning),
            ("taken", 0, State::Ok),
        ] {
            let found = owned(&owner(word, said), at(10_000));
            assert_eq!(found.state, state, "{word} {said}: {}", found.seen);
        }
    }
}
