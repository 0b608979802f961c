//! The one authoriser behind every door: a token becomes a principal.
//!
//! 1. The root token (`AUTH_TOKEN`) may everything; nothing needs to be read for it.
//! 2. A token of the lake has a shape, an id and a digest ([`crate::tokens`]). Its shape is looked at first, then it is looked
//!    up by its id and its digest is compared.
//! 3. Digests are compared, all bytes of them, also where there is no such id, so that neither the time nor the words of
//!    an answer tell anything.
//! 4. Wrong tokens are counted per address: from the [`WRONG_MAX`]th in a minute on they are told to wait. Right ones pass.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use prometheus::IntCounter;
use tidemark_catalog::{Login, NoLogin, Tokens};
use tidemark_model::{Clock, Instant, Principal, token::Standing};

use crate::{
    config::{Auth, Secret},
    tokens::secret::{digest, id_of},
};

/// Wrong tokens of one address in a minute, before it is told to wait.
const WRONG_MAX: u32 = 60;
/// Addresses that are counted at once.
const ADDRESSES_MAX: usize = 10_000;
const MINUTE_US: i64 = 60_000_000;

/// Who knows tokens. One per process.
#[derive(Debug)]
pub struct Authority {
    /// The digest of the root token.
    root: RwLock<Option<Arc<str>>>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    wrong: Mutex<Wrong>,
    refused: IntCounter,
}

/// Wrong tokens of this minute, by address.
#[derive(Debug, Default)]
struct Wrong {
    minute: i64,
    counts: HashMap<IpAddr, u32>,
}

impl Authority {
    /// One that knows the root token of the settings, and the tokens of the lake; it counts the tokens that it refuses.
    #[must_use]
    pub fn new(auth: &Auth, tokens: Tokens, clock: Arc<dyn Clock>, refused: IntCounter) -> Arc<Self> {
        let authority = Self { root: RwLock::default(), tokens, clock, wrong: Mutex::default(), refused };
        authority.set_root(auth.token.as_ref());
        Arc::new(authority)
    }

    /// From now on this is the root token; one before it opens nothing.
    pub(crate) fn set_root(&self, token: Option<&Secret>) {
        let root = token.map(|token| digest(token.expose()).into());
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root;
    }

    /// Whether there is a root token.
    #[must_use]
    pub fn has_root(&self) -> bool {
        self.root().is_some()
    }

    fn root(&self) -> Option<Arc<str>> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether tokens are asked for: where there is a root token, and from the first token of the lake on for ever.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.has_root() || self.tokens.are_in_use()
    }

    /// The first of some texts that is a token, and who comes with it.
    ///
    /// # Errors
    /// [`NoLogin`].
    pub(crate) async fn known<'t>(
        &self,
        candidates: impl IntoIterator<Item = &'t str>,
        from: IpAddr,
    ) -> Result<(&'t str, Principal), NoLogin> {
        let mut refused = NoLogin::WrongToken;
        for candidate in candidates {
            match self.principal(candidate).await {
                Ok(principal) => return Ok((candidate, principal)),
                Err(NoLogin::WrongToken) => {}
                Err(other) => refused = other,
            }
        }
        if refused != NoLogin::Unavailable {
            self.refused.inc();
        }
        Err(if refused == NoLogin::WrongToken { self.count_wrong(from) } else { refused })
    }

    async fn principal(&self, text: &str) -> Result<Principal, NoLogin> {
        let given = digest(text);
        if self.root().is_some_and(|root| same(&root, &given)) {
            return Ok(Principal::of_everything(Principal::ROOT));
        }
        let id = id_of(text).ok_or(NoLogin::WrongToken)?;
        self.tokens.freshen().await.map_err(|error| {
            tracing::error!(%error, "tokens cannot be read: nobody is let on by one");
            NoLogin::Unavailable
        })?;
        let found = self.tokens.find(id);
        let kept = found.as_ref().map_or("", |token| token.sha256.as_str());
        let (is_right, now) = (same(kept, &given), self.clock.now());
        match found.filter(|_| is_right).map(|token| (token.standing(now), token)) {
            Some((Standing::Live, token)) => {
                self.tokens.was_used(&token.id);
                Ok(token.principal())
            }
            Some((Standing::Expired, _)) => Err(NoLogin::Expired),
            Some((Standing::Revoked, _)) | None => Err(NoLogin::WrongToken),
        }
    }

    fn count_wrong(&self, from: IpAddr) -> NoLogin {
        let minute = minute_of(self.clock.now());
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.minute != minute {
            *wrong = Wrong { minute, counts: HashMap::new() };
        }
        if wrong.counts.len() >= ADDRESSES_MAX && !wrong.counts.contains_key(&from) {
            return NoLogin::TooMany;
        }
        let count = wrong.counts.entry(from).or_default();
        *count = count.saturating_add(1);
        if *count > WRONG_MAX { NoLogin::TooMany } else { NoLogin::WrongToken }
    }
}

#[async_trait]
impl Login for Authority {
    fn asks(&self) -> bool {
        Self::asks(self)
    }

    async fn login(&self, password: Option<&str>, from: IpAddr) -> Result<Principal, NoLogin> {
        if !self.asks() {
            return Ok(Principal::anonymous(from));
        }
        let password = password.filter(|password| !password.is_empty()).ok_or(NoLogin::NoToken)?;
        self.known([password], from).await.map(|(_, principal)| principal)
    }
}

const fn minute_of(at: Instant) -> i64 {
    at.micros().div_euclid(MINUTE_US)
}

/// Compares all bytes, whatever they are, so that the time tells nothing. A digest that is absent is as long as none.
fn same(kept: &str, given: &str) -> bool {
    let kept = kept.bytes().chain(std::iter::repeat(0)).take(given.len());
    std::hint::black_box(kept.zip(given.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests;
