//! Who may ask: one authoriser behind every port.
//!
//! - Where tokens are asked for ([`Authority`]): every request carries one, as `Bearer` or as the password of `Basic`.
//!   `/health`, `/ready`, `/version`, `/openapi.json` and gRPC's health answer without.
//! - Without one: only on loopback, and `Host` and `Origin` are checked, so that a web page in the browser of the same
//!   machine cannot ask (DNS rebinding, cross-site requests).
//! - On any other address without a token: refused at the start unless `--allow-unauthenticated`; then `Origin` is
//!   still checked.
//!
//! What comes out is a [`Principal`], which the doors ask what it may.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::http::{HeaderMap, Uri, header, uri::Authority as Host};
use base64::Engine as _;
use tidemark_catalog::NoLogin;
use tidemark_model::{Kind, Principal, Reach};
use tidemark_proto::Presented;

use crate::{authority::Authority, config::Auth};

/// Paths that answer without a token: probes of orchestrators carry none, nor does who wants to know how to ask.
const OPEN_PATHS: [&str; 6] =
    ["/health", "/ready", "/version", "/openapi.json", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];
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
    /// No token, or none that opens anything.
    #[error("{0}: send it as 'authorization: Bearer <token>'")]
    Login(NoLogin),
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
            Self::Login(why) => why.kind(),
            Self::Host(_) | Self::Origin(_) => Kind::Forbidden,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Login(why) => why.code(),
            Self::Host(_) => "host_refused",
            Self::Origin(_) => "origin_refused",
        }
    }
}

/// How a port is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every request carries a token.
    Token,
    /// No token; loopback names and origins only.
    Loopback,
    /// No token, any name; origins are checked.
    Open,
}

/// Who was let on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is, and what they may.
    pub principal: Principal,
    /// The token as it came, without the session that a client may carry behind it.
    pub token: Option<Arc<str>>,
}

impl Admitted {
    fn without_token(principal: Principal) -> Self {
        Self { principal, token: None }
    }

    /// What doors find in the extensions of the request.
    pub(crate) fn into_extensions(self, extensions: &mut axum::http::Extensions) {
        extensions.insert(self.principal);
        if let Some(token) = self.token {
            extensions.insert(Presented(token));
        }
    }
}

/// The guard of one port. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    authority: Arc<Authority>,
    is_loopback: bool,
    origins: Arc<[String]>,
}

impl Guard {
    /// The guard of a port that listens on `address`.
    ///
    /// # Errors
    /// [`Unguarded`] when no token is asked for, the address is not loopback, and nobody allowed it.
    pub fn of_port(auth: &Auth, authority: &Arc<Authority>, address: SocketAddr) -> Result<Self, Unguarded> {
        let is_loopback = address.ip().is_loopback();
        if !authority.asks() && !is_loopback && !auth.allow_unauthenticated {
            return Err(Unguarded(address));
        }
        let origins = auth.allowed_origins.iter().map(|o| o.trim_end_matches('/').to_ascii_lowercase()).collect();
        Ok(Self { authority: Arc::clone(authority), is_loopback, origins })
    }

    /// The origins of web pages that may ask, in lower case; `*` is all of them.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Whether a path answers to everybody, and is not counted: probes.
    pub(crate) fn is_open(path: &str) -> bool {
        OPEN_PATHS.contains(&path)
    }

    /// How the port is guarded now: the first token that is made turns it.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.authority.asks(), self.is_loopback) {
            (true, _) => Mode::Token,
            (false, true) => Mode::Loopback,
            (false, false) => Mode::Open,
        }
    }

    /// Who asks, if they may ask at all.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn check(&self, uri: &Uri, headers: &HeaderMap, from: IpAddr) -> Result<Admitted, Refused> {
        let anonymous = || Admitted::without_token(Principal::anonymous(from));
        match self.mode() {
            Mode::Token if Self::is_open(uri.path()) => {
                let nothing = Principal::new(Principal::ANONYMOUS, [], Reach::Only(BTreeSet::new()));
                Ok(Admitted::without_token(nothing))
            }
            Mode::Token => self.check_token(headers, from).await.map_err(Refused::Login),
            Mode::Loopback => {
                let host = host(uri, headers);
                if !host.as_ref().is_some_and(is_loopback_name) {
                    return Err(Refused::Host(host.map(|host| host.to_string()).unwrap_or_default()));
                }
                self.check_origin(uri, headers).map(|()| anonymous())
            }
            Mode::Open => self.check_origin(uri, headers).map(|()| anonymous()),
        }
    }

    async fn check_token(&self, headers: &HeaderMap, from: IpAddr) -> Result<Admitted, NoLogin> {
        let given = headers.get(header::AUTHORIZATION).ok_or(NoLogin::NoToken)?;
        let given = given.to_str().ok().and_then(credential).unwrap_or_default();
        // Clients of Flight SQL carry their session behind the token, which may hold what divides them itself.
        let before_session = given.rsplit_once('~').map(|(token, _session)| token);
        let candidates = [Some(given.as_str()), before_session].into_iter().flatten();
        let (token, principal) = self.authority.known(candidates, from).await?;
        Ok(Admitted { principal, token: Some(token.into()) })
    }

    /// A browser sends `Origin`; programs do not. Our own origin and the listed ones may ask.
    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let own = host(uri, headers).is_some_and(|host| {
            let host = host.as_str().to_ascii_lowercase();
            origin == format!("http://{host}") || origin == format!("https://{host}")
        });
        let is_listed = self.origins.iter().any(|known| known == "*" || *known == origin);
        if own || is_listed { Ok(()) } else { Err(Refused::Origin(origin)) }
    }
}

/// Whom the request was meant for: `:authority` of HTTP/2, `Host` of HTTP/1.1.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    let named = || headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    uri.authority().cloned().or_else(named)
}

fn is_loopback_name(host: &Host) -> bool {
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

#[cfg(test)]
mod tests;
