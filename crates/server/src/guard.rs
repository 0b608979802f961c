//! Who may ask: one authoriser behind every port.
//!
//! - With a root token (`AUTH_TOKEN`): every request carries it, as `Bearer` or as the password of `Basic`; compared in
//!   constant time. `/health`, `/ready`, `/version` and gRPC's health answer without.
//! - Without one: only on loopback, and `Host` and `Origin` are checked, so that a web page in the browser of the same
//!   machine cannot ask (DNS rebinding, cross-site requests).
//! - On any other address without a token: refused at the start unless `--allow-unauthenticated`; then `Origin` is
//!   still checked.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use base64::Engine as _;
use sha2::{Digest, Sha256};
use tidemark_model::Kind;

use crate::config::Auth;

/// Paths that answer without a token: probes of orchestrators carry none.
const OPEN_PATHS: [&str; 5] =
    ["/health", "/ready", "/version", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];
/// The longest `authorization` header that is looked at, bytes.
const CREDENTIALS_BYTES_MAX: usize = 4096;

/// Why the process may not serve like this.
#[derive(Debug, thiserror::Error)]
#[error(
    "refusing to serve on {0} without a token: set AUTH_TOKEN, serve on 127.0.0.1, or give --allow-unauthenticated \
     if the network itself keeps strangers out"
)]
pub struct Unguarded(pub SocketAddr);

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token, or another one.
    #[error("this server asks for a token: send it as 'authorization: Bearer <token>'")]
    NoToken,
    /// A token, but not ours.
    #[error("the token is not valid here")]
    WrongToken,
    /// A name that is not this machine, on a loopback port.
    #[error("host {0:?} is refused: without a token this server answers only to localhost, 127.0.0.1 and [::1]")]
    Host(String),
    /// A web page of another origin.
    #[error("origin {0:?} is refused: add it to auth.allowed_origins, or set a token")]
    Origin(String),
}

impl Refused {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoToken | Self::WrongToken => Kind::Unauthorized,
            Self::Host(_) | Self::Origin(_) => Kind::Forbidden,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "unauthorized",
            Self::WrongToken => "invalid_token",
            Self::Host(_) => "host_refused",
            Self::Origin(_) => "origin_refused",
        }
    }
}

/// How a port is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every request carries the root token.
    Token,
    /// No token; loopback names and origins only.
    Loopback,
    /// No token, any name; origins are checked.
    Open,
}

/// The authoriser of one port.
#[derive(Debug, Clone)]
pub struct Guard {
    mode: Mode,
    token: Option<[u8; 32]>,
    origins: Vec<String>,
}

impl Guard {
    /// The guard of a port that listens on `address`.
    ///
    /// # Errors
    /// [`Unguarded`] when there is no token, the address is not loopback, and nobody allowed it.
    pub fn of_port(auth: &Auth, address: SocketAddr) -> Result<Self, Unguarded> {
        let token = auth.token.as_ref().map(|token| digest(token.expose()));
        let mode = match (&token, address.ip().is_loopback(), auth.allow_unauthenticated) {
            (Some(_), ..) => Mode::Token,
            (None, true, _) => Mode::Loopback,
            (None, false, true) => Mode::Open,
            (None, false, false) => return Err(Unguarded(address)),
        };
        let origins = auth.allowed_origins.iter().map(|o| o.trim_end_matches('/').to_ascii_lowercase()).collect();
        Ok(Self { mode, token, origins })
    }

    /// How the port is guarded.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        match self.mode {
            Mode::Token if OPEN_PATHS.contains(&uri.path()) => Ok(()),
            Mode::Token => self.check_token(headers),
            Mode::Loopback => {
                let host = host(uri, headers);
                if !host.as_ref().is_some_and(is_loopback_name) {
                    return Err(Refused::Host(host.map(|host| host.to_string()).unwrap_or_default()));
                }
                self.check_origin(uri, headers)
            }
            Mode::Open => self.check_origin(uri, headers),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let given = headers.get(header::AUTHORIZATION).ok_or(Refused::NoToken)?;
        let given = given.to_str().ok().and_then(credential).ok_or(Refused::WrongToken)?;
        let is_known = |given: &str| self.token.is_some_and(|token| same(&token, &digest(given)));
        // Clients of Flight SQL carry their session behind the token.
        let known = is_known(&given) || given.rsplit_once('~').is_some_and(|(token, _session)| is_known(token));
        if known { Ok(()) } else { Err(Refused::WrongToken) }
    }

    /// A browser sends `Origin`; programs do not. Our own origin and the listed ones may ask.
    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let own = host(uri, headers).is_some_and(|host| {
            let host = host.as_str().to_ascii_lowercase();
            origin == format!("http://{host}") || origin == format!("https://{host}")
        });
        if own || self.origins.contains(&origin) { Ok(()) } else { Err(Refused::Origin(origin)) }
    }
}

/// Whom the request was meant for: `:authority` of HTTP/2, `Host` of HTTP/1.1.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let named = || headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    uri.authority().cloned().or_else(named)
}

fn is_loopback_name(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The token of `Bearer <token>` or of `Basic base64(anything:<token>)`.
#[must_use]
pub(crate) fn credential(header: &str) -> Option<String> {
    if header.len() > CREDENTIALS_BYTES_MAX {
        return None;
    }
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let text = String::from_utf8(engine.decode(value.trim()).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares all bytes, whatever they are, so that the time tells nothing; of digests, so that lengths tell nothing.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests;
