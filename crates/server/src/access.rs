//! What each route of the HTTP port needs, and what of it is an administrative action: one table.
//!
//! The namespace is the one in the path. A route that stands in no row needs the scope `admin` in all namespaces, so that a
//! new one that nobody thought about is closed. Doors check what only they know: the namespaces of SQL, those in a body.

use axum::http::Method;
use tidemark_model::{Denied, Namespace, Principal, Scope};

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: probes.
    Nothing,
    /// That the door checks it.
    Door,
    /// That the namespace is there for whoever asks.
    Sight,
    /// A scope in the namespace.
    In(Scope),
    /// A scope in all namespaces: what it tells is about the lake.
    Whole(Scope),
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What the route needs.
    pub needs: Needs,
    /// The word of the audit trail, of an administrative action.
    pub action: Option<&'static str>,
}

const fn row(needs: Needs) -> Row {
    Row { needs, action: None }
}

const fn audited(needs: Needs, action: &'static str) -> Row {
    Row { needs, action: Some(action) }
}

const ADMIN: Needs = Needs::In(Scope::Admin);

/// Method, pattern, row.
pub const TABLE: &[(&str, &str, Row)] = &[
    ("GET", "/health", row(Needs::Nothing)),
    ("GET", "/ready", row(Needs::Nothing)),
    ("GET", "/version", row(Needs::Nothing)),
    ("GET", "/openapi.json", row(Needs::Nothing)),
    ("GET", "/metrics", row(Needs::Whole(Scope::Query))),
    ("POST", "/ingest", row(Needs::Door)),
    ("POST", "/e", row(Needs::Door)),
    ("POST", "/v1/{namespace}/events", row(Needs::In(Scope::Ingest))),
    ("POST", "/v1/{namespace}/{collection}/changes", row(Needs::In(Scope::Ingest))),
    ("POST", "/v1/query", row(Needs::Door)),
    ("GET", "/v1/{namespace}/events/tail", row(Needs::In(Scope::Query))),
    ("GET", "/v1/{namespace}/{collection}/export", row(Needs::In(Scope::Query))),
    ("GET", "/v1/{namespace}/{collection}/schema", row(Needs::Sight)),
    ("PUT", "/v1/{namespace}/{collection}/schema", audited(ADMIN, "declare_schema")),
    ("GET", "/v1/{namespace}/{collection}/snapshots", row(ADMIN)),
    ("POST", "/v1/{namespace}/{collection}/snapshots", audited(ADMIN, "take_snapshot")),
    ("DELETE", "/v1/{namespace}/{collection}/snapshots/{name}", audited(ADMIN, "drop_snapshot")),
    ("POST", "/v1/{namespace}/{collection}/restore", audited(ADMIN, "restore")),
    ("GET", "/v1/{namespace}/retention", row(ADMIN)),
    ("PUT", "/v1/{namespace}/retention", audited(ADMIN, "set_retention")),
    ("DELETE", "/v1/{namespace}/retention", audited(ADMIN, "reset_retention")),
    ("GET", "/v1/{namespace}/{collection}/retention", row(ADMIN)),
    ("PUT", "/v1/{namespace}/{collection}/retention", audited(ADMIN, "set_retention")),
    ("DELETE", "/v1/{namespace}/{collection}/retention", audited(ADMIN, "reset_retention")),
    ("POST", "/v1/{namespace}/{collection}/clean-up", audited(ADMIN, "clean_up")),
    ("GET", "/v1/dropped", row(Needs::Door)),
    ("POST", "/v1/{namespace}/drop", audited(ADMIN, "drop_namespace")),
    ("POST", "/v1/{namespace}/undrop", audited(ADMIN, "undrop_namespace")),
    ("POST", "/v1/{namespace}/{collection}/drop", audited(ADMIN, "drop_collection")),
    ("POST", "/v1/{namespace}/{collection}/undrop", audited(ADMIN, "undrop_collection")),
    ("POST", "/v1/publish", audited(Needs::Door, "publish")),
    ("POST", "/v1/compact", audited(Needs::Door, "compact")),
    ("GET", "/v1/maintenance", row(Needs::Whole(Scope::Admin))),
    ("PUT", "/v1/maintenance", audited(Needs::Whole(Scope::Admin), "begin_maintenance")),
    ("DELETE", "/v1/maintenance", audited(Needs::Whole(Scope::Admin), "end_maintenance")),
    ("POST", "/v1/reload", audited(Needs::Whole(Scope::Admin), "reload")),
    ("GET", "/v1/tokens", row(Needs::Door)),
    ("POST", "/v1/tokens", audited(Needs::Door, "create_token")),
    ("DELETE", "/v1/tokens/{id}", audited(Needs::Door, "revoke_token")),
    ("GET", "/v1/audit", row(Needs::Door)),
];

/// The row of a route. A pattern that is known by other methods answers 405, which needs nothing.
#[must_use]
pub fn of(method: &Method, pattern: &str) -> Row {
    // Whoever may GET may ask for the head of it.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut rows = TABLE.iter().filter(|(_, known, _)| *known == pattern).peekable();
    if rows.peek().is_none() {
        let needs = Needs::Whole(Scope::Admin);
        return if method == "GET" { row(needs) } else { audited(needs, "unlisted") };
    }
    rows.find(|(known, ..)| *known == method).map_or(row(Needs::Nothing), |(.., row)| *row)
}

impl Needs {
    /// Lets on who has what is needed. A path whose namespace is no name goes on: its door says what is wrong with it.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(self, principal: &Principal, namespace: Option<&Namespace>) -> Result<(), Denied> {
        match (self, namespace) {
            (Self::Nothing | Self::Door, _) | (Self::Sight | Self::In(_), None) => Ok(()),
            (Self::In(scope), Some(namespace)) => principal.check(scope, namespace),
            (Self::Sight, Some(namespace)) if principal.may_see(namespace) => Ok(()),
            (Self::Sight, Some(namespace)) => Err(Denied::Hidden(namespace.clone())),
            (Self::Whole(scope), _) => principal.check_everywhere(scope),
        }
    }
}

/// What an administrative action was about, where its path does not tell: a handler puts it into its answer.
#[derive(Debug, Clone)]
pub struct Touched(pub String);

#[cfg(test)]
mod tests {
    use tidemark_model::{Kind, Reach};

    use super::*;

    fn said(method: &Method, pattern: &str, scopes: &[Scope], reach: Reach) -> Option<Kind> {
        let who = Principal::new("a1", scopes.iter().copied(), reach);
        let namespace = pattern.contains("{namespace}").then(|| Namespace::parse("shop").expect("a name"));
        of(method, pattern).needs.check(&who, namespace.as_ref()).err().map(|denied| denied.kind())
    }

    /// Every route of a namespace × scope × reach: outside it is not there, inside the scope decides.
    #[test]
    fn every_route_of_a_namespace_needs_its_scope_there() {
        let (mut routes, only) = (0, |name: &str| Reach::Only([Namespace::parse(name).expect("a name")].into()));
        for (method, pattern, row) in TABLE.iter().filter(|(_, pattern, _)| pattern.contains("{namespace}")) {
            routes += 1;
            let method: Method = method.parse().expect("a method");
            for scope in Scope::ALL {
                let allowed = row.needs == Needs::Sight || row.needs == Needs::In(scope);
                let inside = (!allowed).then_some(Kind::Forbidden);
                assert_eq!(said(&method, pattern, &[scope], only("shop")), inside, "{method} {pattern} {scope}");
                assert_eq!(said(&method, pattern, &[scope], Reach::All), inside, "{method} {pattern} {scope}");
                let outside = said(&method, pattern, &Scope::ALL, only("bank"));
                assert_eq!(outside, Some(Kind::NotFound), "{method} {pattern} {scope}");
            }
        }
        assert!(routes > 10);
    }

    #[test]
    fn what_is_not_listed_is_closed() {
        let get = Method::GET;
        assert_eq!(said(&get, "/v1/new", &Scope::ALL, Reach::Only([].into())), Some(Kind::Forbidden));
        assert_eq!(said(&get, "/v1/new", &[Scope::Query], Reach::All), Some(Kind::Forbidden));
        assert_eq!(said(&get, "/v1/new", &[Scope::Admin], Reach::All), None);
        assert_eq!(said(&get, "/v1/query", &[], Reach::All), None, "405 is no secret");
        assert_eq!(of(&Method::HEAD, "/metrics"), of(&get, "/metrics"));
    }

    #[test]
    fn what_changes_how_the_lake_is_kept_is_audited() {
        for (method, pattern, row) in TABLE {
            let is_administrative = row.needs == ADMIN
                || pattern.starts_with("/v1/tokens")
                || matches!(*pattern, "/v1/publish" | "/v1/compact" | "/v1/maintenance" | "/v1/reload");
            assert_eq!(row.action.is_some(), is_administrative && *method != "GET", "{method} {pattern}");
        }
    }
}
