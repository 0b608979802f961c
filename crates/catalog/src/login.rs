//! The seam to the authoriser for doors that are not HTTP: a password becomes a principal.
//!
//! Doors of HTTP and gRPC need none of it: the server has asked before they see a request, and put the principal into
//! its extensions. A door with a protocol of its own (Postgres) logs in once per connection and asks again from time to
//! time, so that a revocation holds on connections that stay.

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tidemark_model::{Kind, Principal};
use tokio::time::{Instant, sleep_until};

/// How long a connection that stays may trust a login before it asks again.
pub const RECHECK: Duration = Duration::from_secs(5);

/// Why nobody was logged in. Wrong, unknown, revoked and expired are told apart to the log, not to the stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLogin {
    /// A token is asked for and none came.
    #[error("this server asks for a token: give it as the password")]
    NoToken,
    /// It opens nothing here: another one, or one that was revoked.
    #[error("the token is not valid here")]
    WrongToken,
    /// It was good until its time ended.
    #[error("the token has expired: ask for a new one")]
    Expired,
    /// Too many wrong ones came from there.
    #[error("too many wrong tokens came from this address: try again in a minute")]
    TooMany,
    /// What is known of tokens is too old, and the store does not answer.
    #[error("tokens cannot be checked now: the store does not answer")]
    Unavailable,
}

impl NoLogin {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::NoToken | Self::WrongToken | Self::Expired => Kind::Unauthorized,
            Self::TooMany => Kind::TooMany,
            Self::Unavailable => Kind::Unavailable,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoToken => "unauthorized",
            Self::WrongToken => "invalid_token",
            Self::Expired => "token_expired",
            Self::TooMany => "too_many_wrong_tokens",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The authoriser of a port, for doors that are not HTTP.
#[async_trait]
pub trait Login: Send + Sync + Debug {
    /// Whether a password has to be asked for; without one [`Self::login`] lets everybody on as `anonymous`.
    fn asks(&self) -> bool;

    /// Who comes with this password (the token; the name of a user says nothing) from this address.
    async fn login(&self, password: Option<&str>, from: IpAddr) -> Result<Principal, NoLogin>;
}

/// Asks from time to time whether whoever has a stream may go on.
#[derive(Debug)]
pub struct Recheck {
    login: Arc<dyn Login>,
    token: Option<Arc<str>>,
    asked: Instant,
}

impl Recheck {
    /// Of a stream that begins now, with a token that was good a moment ago.
    #[must_use]
    pub fn new(login: Arc<dyn Login>, token: Option<Arc<str>>) -> Self {
        Self { login, token, asked: Instant::now() }
    }

    /// Returns when the token is no longer good, never otherwise. That it cannot be asked for now is no reason. Dropping the future
    /// loses nothing.
    pub async fn refused(&mut self) -> NoLogin {
        loop {
            sleep_until(self.asked + RECHECK).await;
            let asked = self.login.login(self.token.as_deref(), Ipv4Addr::UNSPECIFIED.into()).await;
            self.asked = Instant::now();
            match asked {
                Err(why @ (NoLogin::NoToken | NoLogin::WrongToken | NoLogin::Expired)) => return why,
                Ok(_) | Err(NoLogin::TooMany | NoLogin::Unavailable) => {}
            }
        }
    }
}
