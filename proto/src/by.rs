//! Who makes a request, at a door of HTTP or gRPC: what the server's authoriser has put into its extensions.

use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};
use tidemark_model::{Denied, Kind, Principal};

use crate::Problem;

/// Who asks. As an argument of a handler it takes [`Principal`] out of the request; a request that passed no authoriser
/// has none and is refused, so that a route which was wired around it fails closed.
#[derive(Debug, Clone)]
pub struct By(pub Principal);

impl By {
    /// Who asks, of a request of either wire (`tonic::Request::extensions` are the same).
    ///
    /// # Errors
    /// 401 when the request passed no authoriser.
    pub fn of(extensions: &Extensions) -> Result<Self, Problem> {
        let found = extensions.get::<Principal>().cloned().map(Self);
        found.ok_or_else(|| Problem::new(Kind::Unauthorized, "unauthorized", "the request passed no authoriser"))
    }
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.extensions)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(denied.kind(), denied.code(), denied.to_string())
    }
}

/// The token that a request came with, as the authoriser read it out of the header: a client of Flight SQL carries its
/// session behind it, and the token itself may hold what divides the two.
#[derive(Clone)]
pub struct Presented(pub std::sync::Arc<str>);

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(***)")
    }
}
