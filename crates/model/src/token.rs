//! A token as the lake keeps it: never its secret, only a digest of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Instant, Namespace, Principal, Reach, Scope};

/// The longest name of a token, characters.
pub const TOKEN_NAME_CHARS_MAX: usize = 128;
/// The most namespaces that one token names.
pub const TOKEN_NAMESPACES_MAX: usize = 64;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is called in lists and in the audit trail: the middle of `tm_<id>_<secret>`. No secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the whole text, 64 hex digits.
    pub sha256: String,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// Where; none is every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<BTreeSet<Namespace>>,
    /// When it was made.
    pub created_at: Instant,
    /// Who made it: an id.
    pub created_by: String,
    /// From when on it opens nothing; none is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Instant>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Instant>,
    /// About when it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Instant>,
}

/// Whether a token opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Live,
    /// Its time has ended.
    Expired,
    /// It was taken back.
    Revoked,
}

impl Standing {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Token {
    /// Whether it opens anything at this instant.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(end)) if end <= now => Standing::Expired,
            (None, _) => Standing::Live,
        }
    }

    /// The namespaces it holds in.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.namespaces.clone().map_or(Reach::All, Reach::Only)
    }

    /// Who comes with it.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::new(&self.id, self.scopes.iter().copied(), self.reach())
    }

    /// From when on it is of no use, if it is: what is long dead may be forgotten.
    #[must_use]
    pub fn dead_since(&self) -> Option<Instant> {
        self.revoked_at.into_iter().chain(self.expires_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_until_its_end_or_until_it_is_taken_back() {
        let at = |s: i64| Instant::from_micros(s * 1_000_000);
        for (expires, revoked, now, standing) in [
            (None, None, 100, Standing::Live),
            (Some(10), None, 9, Standing::Live),
            (Some(10), None, 10, Standing::Expired),
            (None, Some(5), 6, Standing::Revoked),
            (Some(10), Some(5), 11, Standing::Revoked),
        ] {
            let token = Token {
                id: "a1".to_owned(),
                name: String::new(),
                sha256: String::new(),
                scopes: BTreeSet::from([Scope::Query]),
                namespaces: None,
                created_at: at(0),
                created_by: "root".to_owned(),
                expires_at: expires.map(at),
                revoked_at: revoked.map(at),
                last_used_at: None,
            };
            assert_eq!(token.standing(at(now)), standing, "{expires:?} {revoked:?} {now}");
            assert_eq!(token.dead_since().is_some(), standing != Standing::Live || expires.is_some());
            assert_eq!(token.principal().reach(), &Reach::All);
        }
    }
}
