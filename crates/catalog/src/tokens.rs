//! Tokens: who may ask. One register of numbered documents, each of which holds all of them; changes are rare.
//!
//! Whoever checks a token reads memory. What memory holds is at most [`FRESH_FOR`] old, so a revocation that another
//! process wrote holds after that long; one of this process holds at once. While the store is away, what was read is
//! trusted for [`TRUSTED_FOR`], and then nobody is let on by it.
//!
//! When a token was last used is remembered in memory and written down now and then, never by a request.

mod stored;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tidemark_model::{Clock, Ids, Instant, Kind, Token};
use tidemark_storage::{
    Store, paths,
    register::{Created, Register},
};
use tokio::time::timeout;

use self::stored::Document;
use crate::CatalogError;

/// How old what is known may be before it is read anew.
pub const FRESH_FOR: Duration = Duration::from_secs(4);
/// How old it may become while the store does not answer.
pub const TRUSTED_FOR: Duration = Duration::from_secs(30);
/// How long a request waits for them to be read anew, where what is known may still be trusted.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// The most tokens of a lake, those included that were taken back lately.
pub const TOKENS_MAX: usize = 1000;
/// How long a dead token stays in lists.
const DEAD_FOR: Duration = Duration::from_secs(30 * 86_400);
/// By how much a last use has to be later to be written down.
const USE_GRAIN: Duration = Duration::from_secs(3600);
/// How often a change starts anew because the number was taken.
const ATTEMPTS_MAX: usize = 16;
/// How many documents before the newest are kept.
const KEPT: u64 = 16;

/// Why tokens were not changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such token for whoever asks.
    #[error("there is no token {0:?}")]
    Unknown(String),
    /// There are as many as there may be.
    #[error("the lake has {TOKENS_MAX} tokens: revoke some; dead ones are forgotten after 30 days")]
    TooMany,
    /// The store failed, or what it holds cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl TokenError {
    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unknown(_) => Kind::NotFound,
            Self::TooMany => Kind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_token",
            Self::TooMany => "too_many_tokens",
            Self::Catalog(_) => "unavailable",
        }
    }
}

type ById = BTreeMap<String, Arc<Token>>;

#[derive(Debug, Default)]
struct Known {
    /// Of the newest document; 0 before the first.
    version: u64,
    tokens: Arc<ById>,
    /// When it was looked for last.
    looked_at: Option<Instant>,
    /// When that failed last.
    failed_at: Option<Instant>,
    /// Uses that no document tells.
    used: BTreeMap<String, Instant>,
}

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    register: Register,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    known: RwLock<Known>,
    /// Held while the register is read or written.
    turn: tokio::sync::Mutex<()>,
}

impl Tokens {
    /// The tokens of a lake; nothing is read yet.
    #[must_use]
    pub fn of(store: &Store, clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        let register = Register::new(store.clone(), paths::tokens());
        let (known, turn) = (RwLock::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { register, clock, ids, known, turn }))
    }

    /// Reads what is newest.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn refresh(&self) -> Result<(), CatalogError> {
        let _turn = self.0.turn.lock().await;
        self.look().await
    }

    /// Makes sure that what is known is as new as is promised.
    ///
    /// # Errors
    /// [`CatalogError`] of the store, when what is known is older than is trusted.
    pub async fn freshen(&self) -> Result<(), CatalogError> {
        if self.is_younger_than(FRESH_FOR) {
            return Ok(());
        }
        let _turn = self.0.turn.lock().await;
        if self.is_younger_than(FRESH_FOR) {
            return Ok(());
        }
        if !self.is_younger_than(TRUSTED_FOR) {
            return self.look().await;
        }
        // Whoever waits for the turn does not wait for the store once more.
        if self.known().failed_at.is_some_and(|failed_at| is_within(failed_at, self.0.clock.now(), FRESH_FOR)) {
            return Ok(());
        }
        let why = match timeout(LOOK_MAX, self.look()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "the store has not answered yet".to_owned(),
        };
        self.known_mut().failed_at = Some(self.0.clock.now());
        tracing::warn!(error = why, "tokens could not be read anew: those known stand for a little longer");
        Ok(())
    }

    /// Whether there ever was a token: from then on they are asked for.
    #[must_use]
    pub fn are_in_use(&self) -> bool {
        self.known().version > 0
    }

    /// One token.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Token>> {
        self.known().tokens.get(id).cloned()
    }

    /// Every token, oldest first, with its last use as far as this process knows.
    #[must_use]
    pub fn list(&self) -> Vec<Token> {
        let known = self.known();
        let mut tokens: Vec<Token> = known.tokens.values().map(|token| with_use(token, &known.used)).collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    /// Remembers that a token is being used.
    pub fn was_used(&self, id: &str) {
        let now = self.0.clock.now();
        let is_news = self.known().used.get(id).is_none_or(|last| since(*last, now) > Duration::from_secs(60));
        if is_news {
            self.known_mut().used.insert(id.to_owned(), now);
        }
    }

    /// Adds a token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn add(&self, token: Token) -> Result<(), TokenError> {
        self.change(|tokens| {
            if tokens.len() >= TOKENS_MAX {
                return Err(TokenError::TooMany);
            }
            tokens.insert(token.id.clone(), Arc::new(token.clone()));
            Ok(true)
        })
        .await
    }

    /// Takes a token back; one that was taken back stays so.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn revoke(&self, id: &str) -> Result<(), TokenError> {
        let now = self.0.clock.now();
        self.change(|tokens| {
            let token = tokens.get_mut(id).ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
            let is_news = token.revoked_at.is_none();
            if is_news {
                Arc::make_mut(token).revoked_at = Some(now);
            }
            Ok(is_news)
        })
        .await
    }

    /// Writes down when tokens were last used, where a document tells of a time long before; whether it wrote.
    ///
    /// # Errors
    /// [`TokenError::Catalog`].
    pub async fn write_uses_down(&self) -> Result<bool, TokenError> {
        let is_due = |token: &Token, used: &BTreeMap<String, Instant>| {
            let (told, last) = (token.last_used_at, used.get(&token.id));
            last.is_some_and(|last| told.is_none_or(|told| since(told, *last) >= USE_GRAIN))
        };
        let due = {
            let known = self.known();
            known.tokens.values().any(|token| is_due(token, &known.used))
        };
        if due {
            self.change(|_as_they_are| Ok(true)).await?;
        }
        Ok(due)
    }

    /// One change of all tokens, as one document; anew on the newest when another came between.
    async fn change(&self, change: impl Fn(&mut ById) -> Result<bool, TokenError>) -> Result<(), TokenError> {
        let _turn = self.0.turn.lock().await;
        self.look().await?;
        for _attempt in 0..ATTEMPTS_MAX {
            let now = self.0.clock.now();
            let (version, mut tokens) = self.on_top(now);
            if !change(&mut tokens)? {
                return Ok(());
            }
            let all = tokens.values().map(|token| Token::clone(token)).collect();
            let document = Document::new(version, self.0.ids.ulid(now).to_string(), now, all);
            let created = self.0.register.create(version, document.encode()?).await.map_err(CatalogError::from)?;
            match created {
                Created::Won => {
                    self.learn(document);
                    // It is changed, whatever becomes of those long past.
                    if let Err(error) = self.forget_old(version).await {
                        tracing::warn!(%error, "old lists of tokens could not be deleted");
                    }
                    return Ok(());
                }
                Created::Lost | Created::Fenced => self.look().await?,
            }
        }
        Err(CatalogError::unreadable(&paths::tokens(), "another process writes to it without pause").into())
    }

    /// What the next document begins with: the number, and what is known without what is long dead.
    fn on_top(&self, now: Instant) -> (u64, ById) {
        let known = self.known();
        let is_remembered = |token: &Token| token.dead_since().is_none_or(|end| since(end, now) < DEAD_FOR);
        let tokens = known.tokens.iter().filter(|(_, token)| is_remembered(token));
        let tokens = tokens.map(|(id, token)| (id.clone(), Arc::new(with_use(token, &known.used))));
        (known.version + 1, tokens.collect())
    }

    async fn forget_old(&self, version: u64) -> Result<(), TokenError> {
        if version.is_multiple_of(KEPT) {
            self.0.register.trim(version - KEPT + 1).await.map_err(CatalogError::from)?;
        }
        Ok(())
    }

    async fn look(&self) -> Result<(), CatalogError> {
        let hint = Some(self.known().version).filter(|version| *version > 0);
        match self.0.register.latest(hint).await? {
            Some((number, body)) => self.learn(Document::decode(&self.0.register.path(number), &body)?),
            None => self.known_mut().looked_at = Some(self.0.clock.now()),
        }
        Ok(())
    }

    fn learn(&self, document: Document) {
        let now = self.0.clock.now();
        let mut known = self.known_mut();
        known.looked_at = Some(now);
        if document.version > known.version {
            known.version = document.version;
            known.tokens =
                Arc::new(document.tokens.into_iter().map(|token| (token.id.clone(), Arc::new(token))).collect());
            let tokens = Arc::clone(&known.tokens);
            known.used.retain(|id, _| tokens.contains_key(id));
        }
    }

    fn is_younger_than(&self, age: Duration) -> bool {
        self.known().looked_at.is_some_and(|looked_at| is_within(looked_at, self.0.clock.now(), age))
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token with its last use.
fn with_use(token: &Token, used: &BTreeMap<String, Instant>) -> Token {
    let last = used.get(&token.id).copied().into_iter().chain(token.last_used_at).max();
    Token { last_used_at: last, ..token.clone() }
}

/// Whether something was less than so long ago. A clock that was set back makes it longer ago.
fn is_within(then: Instant, now: Instant, age: Duration) -> bool {
    then <= now && since(then, now) < age
}

fn since(then: Instant, now: Instant) -> Duration {
    Duration::from_micros(u64::try_from(now.micros().saturating_sub(then.micros())).unwrap_or(0))
}

#[cfg(test)]
mod tests;
