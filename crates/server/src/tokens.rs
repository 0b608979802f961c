//! Tokens over HTTP: `POST` and `GET /v1/tokens`, `DELETE /v1/tokens/{id}`.
//!
//! Whoever administers namespaces makes tokens for them, lists and revokes those that reach nowhere else. A secret is in the
//! answer that makes it and nowhere after. Where nobody asks for tokens yet, the first one has to administer everything:
//! from then on they are asked for, and somebody has to be able to make the next.

pub mod secret;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tidemark_catalog::{Tokens, tokens::TokenError};
use tidemark_model::{
    Clock, Instant, Kind, Namespace, Principal, Reach, Scope, Token,
    token::{TOKEN_NAME_CHARS_MAX, TOKEN_NAMESPACES_MAX},
};
use tidemark_proto::{By, Problem};

use self::secret::NoChance;
use crate::{access::Touched, authority::Authority, reply};

/// What stands for every namespace.
const ALL: &str = "*";
/// The longest time a token may be made for, seconds: a hundred years.
const EXPIRES_IN_S_MAX: u64 = 100 * 366 * 86_400;

/// Makes, lists and revokes tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Office {
    /// Where they are kept.
    pub tokens: Tokens,
    /// Knows whether there is a root token.
    pub authority: Arc<Authority>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
}

/// The routes.
pub fn router(office: Office) -> Router {
    Router::new()
        .route("/v1/tokens", get(list).post(create))
        .route("/v1/tokens/{id}", delete(revoke))
        .with_state(office)
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    name: String,
    scopes: BTreeSet<Scope>,
    /// Names, or `*` alone.
    namespaces: Vec<String>,
    #[serde(default)]
    expires_in_s: Option<u64>,
}

/// What was read of it.
struct Asked {
    name: String,
    scopes: BTreeSet<Scope>,
    namespaces: Option<BTreeSet<Namespace>>,
    expires_in_s: Option<u64>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let Wanted { name, scopes, namespaces, expires_in_s } = reply::object(body).map_err(|error| {
            let form = r#"send {"name":"loader","scopes":["ingest"],"namespaces":["shop"]}, or ["*"] for all of them"#;
            invalid("invalid_body", format!("the body cannot be read: {error}; {form}"))
        })?;
        if name.chars().count() > TOKEN_NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(invalid(
                "invalid_name",
                format!("a name has at most {TOKEN_NAME_CHARS_MAX} visible characters"),
            ));
        }
        if scopes.is_empty() {
            return Err(invalid("invalid_scopes", "name one or more of ingest, query, admin".to_owned()));
        }
        if expires_in_s.is_some_and(|seconds| seconds == 0 || seconds > EXPIRES_IN_S_MAX) {
            return Err(invalid("invalid_expiry", format!("expires_in_s goes from 1 to {EXPIRES_IN_S_MAX}")));
        }
        Ok(Self { name, scopes, namespaces: namespaces_of(&namespaces)?, expires_in_s })
    }

    fn token(&self, id: &str, text: &str, by: &Principal, now: Instant) -> Token {
        let after = |seconds: u64| now.plus_micros(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000));
        Token {
            id: id.to_owned(),
            name: self.name.clone(),
            sha256: secret::digest(text),
            scopes: self.scopes.clone(),
            namespaces: self.namespaces.clone(),
            created_at: now,
            created_by: by.id().to_owned(),
            expires_at: self.expires_in_s.map(after),
            revoked_at: None,
            last_used_at: None,
        }
    }
}

/// Names, or none for all of them.
fn namespaces_of(names: &[String]) -> Result<Option<BTreeSet<Namespace>>, Problem> {
    if names == [ALL] {
        return Ok(None);
    }
    if names.is_empty() || names.len() > TOKEN_NAMESPACES_MAX {
        let detail = format!("name 1 to {TOKEN_NAMESPACES_MAX} namespaces, or \"{ALL}\" alone for all of them");
        return Err(invalid("invalid_namespaces", detail));
    }
    let parsed = names.iter().map(|name| Namespace::parse(name)).collect::<Result<BTreeSet<_>, _>>();
    parsed.map(Some).map_err(|error| invalid("invalid_name", error.to_string()))
}

async fn create(State(office): State<Office>, By(by): By, body: Bytes) -> Response {
    let made = async {
        by.check_scope(Scope::Admin)?;
        let asked = Asked::read(&body)?;
        office.check_first(&asked)?;
        let reach = asked.namespaces.clone().map_or(Reach::All, Reach::Only);
        check_reach(&by, &reach)?;
        let (id, text) = secret::mint(&system_chance).map_err(unlucky)?;
        let token = asked.token(&id, &text, &by, office.clock.now());
        office.tokens.add(token.clone()).await.map_err(|error| problem(&error))?;
        tracing::info!(token = id, by = by.id(), "a token was made");
        let mut shown = shown(&token, office.clock.now());
        shown["token"] = json!(text);
        Ok((id, shown))
    };
    match made.await {
        Ok((id, shown)) => {
            let mut response = (StatusCode::CREATED, reply::json(&shown)).into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.extensions_mut().insert(Touched(id));
            response
        }
        Err(problem) => Problem::into_response(problem),
    }
}

async fn list(State(office): State<Office>, By(by): By) -> Response {
    let listed = async {
        by.check_scope(Scope::Admin)?;
        office.tokens.freshen().await.map_err(|error| problem(&error.into()))?;
        let now = office.clock.now();
        let mine = office.tokens.list().into_iter().filter(|token| by.reach().covers(&token.reach()));
        let tokens: Vec<Value> = mine.map(|token| shown(&token, now)).collect();
        Ok::<_, Problem>(reply::json(&json!({ "tokens": tokens })))
    };
    reply::answer(listed.await)
}

async fn revoke(State(office): State<Office>, By(by): By, path: Result<Path<String>, PathRejection>) -> Response {
    let revoked = async {
        by.check_scope(Scope::Admin)?;
        let Path(id) = path.map_err(|e| invalid("invalid_path", e.body_text()))?;
        office.tokens.freshen().await.map_err(|error| problem(&error.into()))?;
        let found = office.tokens.find(&id).filter(|token| by.reach().covers(&token.reach()));
        let known = found.ok_or_else(|| problem(&TokenError::Unknown(id.chars().take(80).collect())))?;
        office.tokens.revoke(&known.id).await.map_err(|error| problem(&error))?;
        tracing::info!(token = known.id, by = by.id(), "a token was revoked");
        Ok::<_, Problem>(StatusCode::NO_CONTENT.into_response())
    };
    revoked.await.unwrap_or_else(IntoResponse::into_response)
}

impl Office {
    fn check_first(&self, asked: &Asked) -> Result<(), Problem> {
        let is_first = !self.authority.has_root() && !self.tokens.are_in_use();
        if is_first && !(asked.scopes.contains(&Scope::Admin) && asked.namespaces.is_none()) {
            let detail = "the first token closes the server to whoever has none: make one with the scope admin in all \
                          namespaces first, or start the server with AUTH_TOKEN";
            return Err(Problem::new(Kind::Conflict, "first_token", detail));
        }
        Ok(())
    }
}

/// Nobody makes a token that reaches further than they do.
fn check_reach(by: &Principal, reach: &Reach) -> Result<(), Problem> {
    match reach {
        Reach::All => Ok(by.check_everywhere(Scope::Admin)?),
        Reach::Only(names) => Ok(names.iter().try_for_each(|name| by.check(Scope::Admin, name))?),
    }
}

/// A token as people and programs see it: no secret, no digest.
fn shown(token: &Token, now: Instant) -> Value {
    let instant = |at: Option<Instant>| at.map(|at| at.to_string());
    let namespaces: Vec<&str> =
        token.namespaces.as_ref().map_or(vec![ALL], |names| names.iter().map(Namespace::as_str).collect());
    json!({
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "namespaces": namespaces,
        "standing": token.standing(now).as_str(),
        "created_at": token.created_at.to_string(),
        "created_by": token.created_by,
        "expires_at": instant(token.expires_at),
        "revoked_at": instant(token.revoked_at),
        "last_used_at": instant(token.last_used_at),
    })
}

/// Random bytes of the system, by the provider of TLS.
fn system_chance(bytes: &mut [u8]) -> Result<(), NoChance> {
    rustls::crypto::ring::default_provider().secure_random.fill(bytes).map_err(|_none| NoChance)
}

fn unlucky(error: NoChance) -> Problem {
    tracing::error!(%error, "a token was not made");
    Problem::new(Kind::Internal, "internal", error.to_string())
}

fn problem(error: &TokenError) -> Problem {
    if let TokenError::Catalog(source) = error {
        tracing::error!(error = source as &dyn std::error::Error, "tokens could not be read or written");
    }
    Problem::new(error.kind(), error.code(), error.to_string())
}

fn invalid(code: &'static str, detail: String) -> Problem {
    Problem::new(Kind::Invalid, code, detail)
}
