//! Web pages of the origins in `auth.allowed_origins` may ask: browsers are told so, and their questions whether they
//! may ask are answered without a token, which they never carry.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::limits::HEADERS;

/// How long a browser need not ask again.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// What a page may read of an answer beside its body.
const SHOWN: [&str; 5] = ["etag", "retry-after", "x-as-of", "x-request-id", "x-valid-as-of"];

/// The layer; none where no origin is allowed.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.to_vec();
    let is_allowed = move |origin: &HeaderValue| {
        let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        origins.iter().any(|known| known == "*" || *known == origin)
    };
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(origin)))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(SHOWN.into_iter().chain(HEADERS).map(HeaderName::from_static).collect::<Vec<_>>())
        .vary([header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_REQUEST_HEADERS])
        .max_age(KNOWN_FOR);
    Some(layer)
}
