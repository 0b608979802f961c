//! The ports: free, or who answers there; and what a server that answers says of itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::Response;
use serde_json::Value;

use super::{Finding, bytes};
use crate::{
    config::{Listen, Settings},
    metrics::VERSION,
};

const PORTS: &str = "ports";
const SERVER: &str = "server";
const READY: &str = "ready";
const CERTIFICATE: &str = "client certificate";
const UNFLUSHED: &str = "unflushed";
/// How long whoever listens may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may take to stand.
const CONNECTS_WITHIN: Duration = Duration::from_secs(2);
/// The longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Looks at the ports, and asks who listens on that of HTTP.
pub(super) async fn examine(settings: &Settings, holder: Option<u32>) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_taken = taken(settings.http).await;
    if is_taken {
        // The token of the settings goes to nobody who only says that it is a server: a program that holds the log is one.
        let is_trusted = settings.auth.token.is_none() || holder.is_some();
        found.extend(asked(settings, is_trusted).await);
    } else {
        let next = "if one should: start it, and read the end of its log";
        found.push(Finding::warning(SERVER, format!("none answers at {}", settings.http), next));
    }
    // One that asks for a certificate says no more, and is held for ours: these settings say that it does.
    let is_ours = found.iter().any(|finding| finding.check == READY || finding.check == CERTIFICATE);
    // Where nobody said that it has to be there, a server goes without it when its port is taken.
    let postgres = match settings.postgres.or(is_ours.then_some(Listen::DEFAULT_POSTGRES)) {
        Some(Listen::At(address)) => Some(("postgres", address)),
        Some(Listen::Off) | None => None,
    };
    for (name, address) in [("http", settings.http), ("grpc", settings.grpc)].into_iter().chain(postgres) {
        found.extend(port(name, address, is_ours).await);
    }
    found
}

async fn port(name: &str, address: SocketAddr, is_ours: bool) -> Option<Finding> {
    if address.port() == 0 {
        return None;
    }
    Some(match (taken(address).await, is_ours) {
        (true, true) => Finding::ok(PORTS, format!("{name} {address}: somebody listens, as has to be")),
        (true, false) => {
            let next = "find it with ss -ltnp; end it, or give the server another port";
            Finding::failed(PORTS, format!("{name} {address}: another program listens there"), next)
        }
        (false, true) => {
            let next = "the server does not listen where these settings say: was it started with others?";
            Finding::warning(PORTS, format!("{name} {address}: nobody listens"), next)
        }
        (false, false) => Finding::ok(PORTS, format!("{name} {address}: free")),
    })
}

async fn taken(address: SocketAddr) -> bool {
    let connecting = tokio::net::TcpStream::connect(reachable(address));
    matches!(tokio::time::timeout(CONNECTS_WITHIN, connecting).await, Ok(Ok(_)))
}

/// Where whoever listens on an address can be reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks whoever listens. Its certificate is not looked at: it is asked by its address, and no token goes out with TLS.
async fn asked(settings: &Settings, is_trusted: bool) -> Vec<Finding> {
    let is_encrypted = settings.tls.certificate.is_some();
    let url = format!("{}://{}", if is_encrypted { "https" } else { "http" }, reachable(settings.http));
    let client =
        reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN).danger_accept_invalid_certs(is_encrypted);
    let client = match client.build() {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::warning(SERVER, format!("it was not asked: {error}"), "ask /ready yourself")];
        }
    };
    let version = match client.get(format!("{url}/version")).send().await {
        Ok(answer) => read(answer).await,
        Err(error) if is_encrypted && settings.tls.client_ca.is_some() => {
            return vec![Finding::warning(
                CERTIFICATE,
                format!("{url}: it asks for one, and was asked no more: {error}"),
                "ask /ready yourself, with one",
            )];
        }
        Err(error) => return vec![stranger(&url, &error.to_string())],
    };
    let Some((_, told)) = version.filter(|(_, told)| told["service"] == "tidemark") else {
        return vec![stranger(&url, "it is no tidemark")];
    };
    let mut found = vec![versioned(&url, told["version"].as_str().unwrap_or_default())];
    found.push(match client.get(format!("{url}/ready")).send().await {
        Ok(answer) => ready(read(answer).await),
        Err(error) => Finding::failed(READY, format!("/ready was not answered: {error}"), "read its log"),
    });
    if !is_encrypted && is_trusted {
        found.extend(unflushed(&client, &url, settings).await);
    }
    found
}

fn stranger(url: &str, why: &str) -> Finding {
    Finding::failed(
        SERVER,
        format!("{url}: what listens there does not answer as a server does: {why}"),
        "find it with ss -ltnp",
    )
}

fn versioned(url: &str, version: &str) -> Finding {
    let seen = format!("tidemark {version} answers at {url}");
    if version == VERSION {
        return Finding::ok(SERVER, seen);
    }
    Finding::warning(SERVER, format!("{seen}, and this is {VERSION}"), "restart it if it was to be replaced")
}

fn ready(answer: Option<(u16, Value)>) -> Finding {
    let Some((status, told)) = answer else {
        return Finding::failed(READY, "/ready answers what cannot be read", "read the server's log");
    };
    let detail = told["detail"].as_str().unwrap_or_default();
    match (status, told["code"].as_str()) {
        (200, _) => Finding::ok(READY, "/ready says 200: it takes work"),
        (503, Some("standby")) => Finding::ok(READY, "it stands by: another server owns the lake"),
        _ => Finding::failed(
            READY,
            format!("/ready says {status}: {detail}"),
            "see The server is not ready in docs/operations.md",
        ),
    }
}

/// What of that which was acknowledged is in no file; only whoever has the token of the settings is told.
async fn unflushed(client: &reqwest::Client, url: &str, settings: &Settings) -> Option<Finding> {
    let mut request = client.get(format!("{url}/v1/maintenance"));
    if let Some(token) = &settings.auth.token {
        request = request.bearer_auth(token.expose());
    }
    let (status, told) = read(request.send().await.ok()?).await?;
    match (status, told["unflushed_bytes"].as_u64()) {
        (200, Some(count)) => {
            Some(Finding::ok(UNFLUSHED, format!("{} are acknowledged and in no file yet", bytes(count))))
        }
        (401, _) => {
            let next = "give this command the root token that the server has (AUTH_TOKEN)";
            Some(Finding::warning(UNFLUSHED, "the server knows another root token than these settings, or none", next))
        }
        _ => None,
    }
}

/// Status and document.
async fn read(mut answer: Response) -> Option<(u16, Value)> {
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return None;
        }
    }
    Some((status, serde_json::from_slice(&body).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::State;

    #[test]
    fn what_ready_says_is_told() {
        for (answer, state) in [
            (Some((200, json!({"status": "ready"}))), State::Ok),
            (Some((503, json!({"code": "standby"}))), State::Ok),
            (Some((503, json!({"code": "not_ready", "detail": "the store does not answer"}))), State::Failed),
            (None, State::Failed),
        ] {
            assert_eq!(ready(answer).state, state);
        }
    }

    #[tokio::test]
    async fn a_port_is_free_or_somebody_listens() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        assert_eq!(port("http", address, true).await.map(|found| found.state), Some(State::Ok));
        assert_eq!(port("http", address, false).await.map(|found| found.state), Some(State::Failed));
        drop(listener);
        assert_eq!(port("http", address, false).await.map(|found| found.state), Some(State::Ok));
        assert!(port("http", "127.0.0.1:0".parse().expect("an address"), true).await.is_none());
    }
}
