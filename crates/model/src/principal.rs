//! Who asks, and what they may: the one answer of the authoriser, which every door asks before it does anything.
//!
//! A principal has scopes and a reach, the namespaces they hold in. What lies outside of the reach is not there for it
//! ([`Denied::Hidden`], told the same whether it exists or not); what lies inside but needs a scope that it lacks is
//! refused openly ([`Denied::Scope`]). Nothing is allowed that is not named: a principal without scopes may nothing.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Kind, Namespace};

/// What a token may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Sends events and changes.
    Ingest,
    /// Asks SQL, and takes what is kept out of the lake.
    Query,
    /// Says how the lake keeps what it has: schemas, retention, snapshots, restores, publishing, tokens.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Query, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Query => "query",
            Self::Admin => "admin",
        }
    }

    /// What it allows to do with a namespace, as errors tell it.
    const fn verb(self) -> &'static str {
        match self {
            Self::Ingest => "write to",
            Self::Query => "query",
            Self::Admin => "administer",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The namespaces that scopes hold in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every one, also those to come.
    All,
    /// These, whether they exist or not.
    Only(BTreeSet<Namespace>),
}

impl Reach {
    /// Whether a namespace lies in it.
    #[must_use]
    pub fn holds(&self, namespace: &Namespace) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(namespace),
        }
    }

    /// Whether all of another reach lies in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(mine), Self::Only(theirs)) => theirs.is_subset(mine),
        }
    }
}

/// Why a principal may not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The namespace lies outside of its reach; told the same whether it exists.
    #[error("namespace {0} does not exist, or this token does not see it")]
    Hidden(Namespace),
    /// It lacks the scope.
    #[error("token {id} may not {} namespace {namespace}: use one with the scope {scope}", scope.verb())]
    Scope {
        /// Who asked.
        id: Arc<str>,
        /// What it would need.
        scope: Scope,
        /// Where.
        namespace: Namespace,
    },
    /// It lacks the scope wherever it looks.
    #[error("token {id} has not the scope {scope}, which this needs")]
    ScopeAnywhere {
        /// Who asked.
        id: Arc<str>,
        /// What it would need.
        scope: Scope,
    },
    /// It is about the whole lake, and the token sees a part.
    #[error("token {id} may not do this: it needs the scope {scope} in all namespaces")]
    Whole {
        /// Who asked.
        id: Arc<str>,
        /// What it would need everywhere.
        scope: Scope,
    },
}

impl Denied {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hidden(_) => Kind::NotFound,
            Self::Scope { .. } | Self::ScopeAnywhere { .. } | Self::Whole { .. } => Kind::Forbidden,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Hidden(_) => "unknown_namespace",
            Self::Scope { .. } | Self::ScopeAnywhere { .. } => "scope_missing",
            Self::Whole { .. } => "reach_missing",
        }
    }
}

/// Who asks, and what they may. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    id: Arc<str>,
    /// Under what it is counted, where that is not the id.
    counted_as: Option<Arc<str>>,
    scopes: BTreeSet<Scope>,
    reach: Reach,
}

impl Principal {
    /// Who comes with the root token.
    pub const ROOT: &str = "root";
    /// Who comes without one where none is asked for.
    pub const ANONYMOUS: &str = "anonymous";
    /// This process itself, about its own work.
    pub const LAKE: &str = "tidemark";

    /// One with these scopes in this reach. The id is for people and for the audit trail: it is no secret.
    #[must_use]
    pub fn new(id: &str, scopes: impl IntoIterator<Item = Scope>, reach: Reach) -> Self {
        Self(Arc::new(Inner { id: id.into(), counted_as: None, scopes: scopes.into_iter().collect(), reach }))
    }

    /// One that may everything.
    #[must_use]
    pub fn of_everything(id: &str) -> Self {
        Self::new(id, Scope::ALL, Reach::All)
    }

    /// Who comes from an address without a token: may everything, where no token is asked for.
    #[must_use]
    pub fn anonymous(from: IpAddr) -> Self {
        let (id, counted_as) = (Self::ANONYMOUS.into(), Some(from.to_string().into()));
        Self(Arc::new(Inner { id, counted_as, scopes: Scope::ALL.into(), reach: Reach::All }))
    }

    /// This process itself, for questions that it asks of its own accord.
    #[must_use]
    pub fn lake() -> Self {
        Self::of_everything(Self::LAKE)
    }

    /// Who it is: the id of a token, `root` or `anonymous`. No secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Under what its requests are counted: the id of a token, the address of who has none.
    #[must_use]
    pub fn counted_as(&self) -> &str {
        self.0.counted_as.as_ref().unwrap_or(&self.0.id)
    }

    /// Its scopes.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.scopes.iter().copied()
    }

    /// The namespaces they hold in.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.0.reach
    }

    /// Whether there is such a namespace for it at all.
    #[must_use]
    pub fn may_see(&self, namespace: &Namespace) -> bool {
        self.0.reach.holds(namespace)
    }

    /// Whether it may send to a namespace.
    #[must_use]
    pub fn may_ingest(&self, namespace: &Namespace) -> bool {
        self.may(Scope::Ingest, namespace)
    }

    /// Whether it may ask a namespace.
    #[must_use]
    pub fn may_query(&self, namespace: &Namespace) -> bool {
        self.may(Scope::Query, namespace)
    }

    /// Whether it may administer a namespace.
    #[must_use]
    pub fn may_admin(&self, namespace: &Namespace) -> bool {
        self.may(Scope::Admin, namespace)
    }

    /// Whether a namespace may appear with its first write: only to whoever may write any.
    #[must_use]
    pub fn may_create(&self) -> bool {
        self.may_everywhere(Scope::Ingest)
    }

    /// Whether it has a scope in a namespace.
    #[must_use]
    pub fn may(&self, scope: Scope, namespace: &Namespace) -> bool {
        self.may_see(namespace) && self.0.scopes.contains(&scope)
    }

    /// Whether it has a scope in every namespace, also those to come.
    #[must_use]
    pub fn may_everywhere(&self, scope: Scope) -> bool {
        self.0.reach == Reach::All && self.0.scopes.contains(&scope)
    }

    /// Lets it on if it has a scope in a namespace.
    ///
    /// # Errors
    /// [`Denied::Hidden`] outside of its reach, [`Denied::Scope`] inside.
    pub fn check(&self, scope: Scope, namespace: &Namespace) -> Result<(), Denied> {
        match (self.may_see(namespace), self.0.scopes.contains(&scope)) {
            (true, true) => Ok(()),
            (true, false) => Err(Denied::Scope { id: self.0.id.clone(), scope, namespace: namespace.clone() }),
            (false, _) => Err(Denied::Hidden(namespace.clone())),
        }
    }

    /// Lets it on if it has a scope at all: where no namespace is named yet.
    ///
    /// # Errors
    /// [`Denied::ScopeAnywhere`].
    pub fn check_scope(&self, scope: Scope) -> Result<(), Denied> {
        if self.0.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Denied::ScopeAnywhere { id: self.0.id.clone(), scope })
    }

    /// Lets it on if it has a scope in every namespace: for what is about the whole lake.
    ///
    /// # Errors
    /// [`Denied::Whole`].
    pub fn check_everywhere(&self, scope: Scope) -> Result<(), Denied> {
        if self.may_everywhere(scope) {
            return Ok(());
        }
        Err(Denied::Whole { id: self.0.id.clone(), scope })
    }

    /// The namespace of whoever names none: the only one of its reach.
    #[must_use]
    pub fn own_namespace(&self) -> Option<&Namespace> {
        match &self.0.reach {
            Reach::Only(names) if names.len() == 1 => names.first(),
            Reach::Only(_) | Reach::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Namespace {
        Namespace::parse(text).unwrap()
    }

    fn only(names: &[&str]) -> Reach {
        Reach::Only(names.iter().map(|text| name(text)).collect())
    }

    /// Scopes × reach × namespace → what `check` says.
    #[test]
    fn nothing_is_allowed_that_is_not_named() {
        for scopes in [vec![], vec![Scope::Ingest], vec![Scope::Query, Scope::Admin], Scope::ALL.to_vec()] {
            for (reach, asked, seen) in [
                (Reach::All, "shop", true),
                (only(&["shop"]), "shop", true),
                (only(&["shop", "bank"]), "bank", true),
                (only(&["shop"]), "bank", false),
                (only(&[]), "shop", false),
            ] {
                let who = Principal::new("a1", scopes.clone(), reach.clone());
                for scope in Scope::ALL {
                    let (asked, has) = (name(asked), scopes.contains(&scope));
                    let said = who.check(scope, &asked).map_err(|denied| denied.kind());
                    let expected = match (seen, has) {
                        (true, true) => Ok(()),
                        (true, false) => Err(Kind::Forbidden),
                        (false, _) => Err(Kind::NotFound),
                    };
                    assert_eq!(said, expected, "{scopes:?} {reach:?} {scope} {asked}");
                    assert_eq!(who.may(scope, &asked), expected.is_ok());
                    assert_eq!(who.check_scope(scope).is_ok(), has);
                    assert_eq!(who.check_everywhere(scope).is_ok(), has && reach == Reach::All);
                }
            }
        }
    }

    #[test]
    fn a_reach_covers_what_lies_in_it() {
        for (mine, theirs, covers) in [
            (Reach::All, Reach::All, true),
            (Reach::All, only(&["shop"]), true),
            (only(&["shop"]), Reach::All, false),
            (only(&["shop", "bank"]), only(&["shop"]), true),
            (only(&["shop"]), only(&["shop", "bank"]), false),
        ] {
            assert_eq!(mine.covers(&theirs), covers, "{mine:?} {theirs:?}");
        }
    }

    #[test]
    fn who_has_one_namespace_need_not_name_it() {
        for (reach, own) in [(Reach::All, None), (only(&["shop"]), Some("shop")), (only(&["a", "b"]), None)] {
            let who = Principal::new("a1", Scope::ALL, reach);
            assert_eq!(who.own_namespace().map(Namespace::as_str), own);
        }
    }

    #[test]
    fn who_has_no_token_is_counted_by_address() {
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (one, other) = (Principal::anonymous(one), Principal::anonymous(other));
        assert_eq!((one.id(), one.counted_as()), (Principal::ANONYMOUS, "10.0.0.1"));
        assert_ne!(one.counted_as(), other.counted_as());
        assert_eq!(Principal::new("a1", [], Reach::All).counted_as(), "a1");
    }

    /// What is hidden is told in the same words whether it exists: nothing but its name is in them.
    #[test]
    fn denials_tell_what_to_do() {
        let who = Principal::new("a1", [Scope::Query], only(&["shop"]));
        for (denied, text) in [
            (who.check(Scope::Query, &name("bank")), "namespace bank does not exist, or this token does not see it"),
            (
                who.check(Scope::Ingest, &name("shop")),
                "token a1 may not write to namespace shop: use one with the scope ingest",
            ),
            (who.check_scope(Scope::Admin), "token a1 has not the scope admin, which this needs"),
            (
                who.check_everywhere(Scope::Query),
                "token a1 may not do this: it needs the scope query in all namespaces",
            ),
        ] {
            assert_eq!(denied.unwrap_err().to_string(), text);
        }
    }
}
