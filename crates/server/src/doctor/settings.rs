//! Whether the settings can be used, and which of them are dangerous where they are.

use std::net::SocketAddr;

use super::Finding;
use crate::config::{ConfigError, Listen, Loaded, Settings, StoreCheck};

const CHECK: &str = "settings";
/// A root token shorter than this can be guessed.
const TOKEN_CHARS_MIN: usize = 16;
/// A lease below this runs out whenever a store takes its time, ms.
const LEASE_MS_CALM: u64 = 2000;

/// Of settings that cannot be read.
pub(super) fn unreadable(error: &ConfigError) -> Finding {
    Finding::failed(
        CHECK,
        error.to_string(),
        "correct it: a server does not start with it, and one that runs keeps what it has",
    )
}

/// Looks at settings that were read.
pub(super) fn examine(loaded: &Loaded) -> Vec<Finding> {
    let Loaded { settings, origins } = loaded;
    let mut layers: Vec<&str> = origins.values().map(String::as_str).collect();
    layers.sort_unstable();
    layers.dedup();
    let from =
        if layers.is_empty() { "all at their defaults".to_owned() } else { format!("from {}", layers.join(", ")) };
    let seen = format!("tidemark {}, {} of them set, {from}", crate::metrics::VERSION, origins.len());
    let mut found = vec![Finding::ok(CHECK, seen)];
    found.extend(dangers(settings).into_iter().map(|(seen, next)| Finding::warning(CHECK, seen, next)));
    found
}

/// What strangers reach.
fn exposed(settings: &Settings) -> Option<SocketAddr> {
    let postgres = match settings.postgres {
        Some(Listen::At(address)) => Some(address),
        _ => None,
    };
    [settings.http, settings.grpc].into_iter().chain(postgres).find(|address| !address.ip().is_loopback())
}

fn dangers(settings: &Settings) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if let Some(address) = exposed(settings) {
        if settings.auth.allow_unauthenticated && settings.auth.token.is_none() {
            let next = "set AUTH_TOKEN, unless the network keeps strangers out";
            found.push((
                format!("{address} may be served to everybody: auth.allow_unauthenticated is set, auth.token is not"),
                next,
            ));
        }
        if settings.tls.certificate.is_none() {
            let next = "set tls.certificate and tls.key, unless what stands in front of it speaks TLS";
            found.push((format!("{address} speaks no TLS: tokens cross the network as they are"), next));
        }
    }
    if settings.auth.token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_CHARS_MIN) {
        let seen = format!("auth.token has fewer than {TOKEN_CHARS_MIN} characters");
        found.push((seen, "make a longer one: head -c 32 /dev/urandom | base64"));
    }
    if settings.auth.allowed_origins.iter().any(|origin| origin == "*") {
        let next = "name the origins of your pages in auth.allowed_origins";
        found.push(("auth.allowed_origins lets every web page ask".to_owned(), next));
    }
    if settings.store_check == StoreCheck::Never && settings.store.is_some() {
        let next = "run tidemark store-check once, and after each change of what the store runs on";
        found.push(("store_check is never: nobody asks whether the store creates once".to_owned(), next));
    }
    if settings.lease.time_ms < LEASE_MS_CALM {
        let seen = format!("lease.time_ms = {} runs out whenever the store takes its time", settings.lease.time_ms);
        found.push((seen, "leave it out: 10 s is the default"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangers_are_told_where_they_are() {
        assert!(dangers(&Settings::default()).is_empty());
        let mut open = Settings { http: "0.0.0.0:7070".parse().expect("an address"), ..Settings::default() };
        assert_eq!(dangers(&open).len(), 1, "no TLS");
        open.auth.allow_unauthenticated = true;
        open.lease.time_ms = 300;
        assert_eq!(dangers(&open).len(), 3);
        open.auth.token = Some("short".into());
        let told = dangers(&open);
        assert!(told.len() == 3 && told.iter().all(|(seen, _)| !seen.contains("short")), "{told:?}");
    }
}
