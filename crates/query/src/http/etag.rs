//! Validators of answers that never change.
//!
//! They are weak: rows without an order may come in another one, and say the same.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use super::accept::Format;

/// The tag of an answer in a format.
pub(super) fn of(word: &str, format: Format) -> HeaderValue {
    let text = format!("W/\"{word}-{}\"", format.word());
    // Letters, digits and a dash alone.
    HeaderValue::from_str(&text).unwrap_or_else(|_never| HeaderValue::from_static("W/\"\""))
}

/// Whether the client says that it has this answer.
pub(super) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|known| opaque(known) == tag)
}

/// 304: the client has it.
pub(super) fn unchanged(tag: &HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    with(Some(tag.clone()), response)
}

/// The response with its tag, which makes it one that its client may keep and ask about.
pub(super) fn with(tag: Option<HeaderValue>, mut response: Response) -> Response {
    if let Some(tag) = tag {
        let headers = response.headers_mut();
        headers.insert(header::ETAG, tag);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_among_others_weak_or_not() {
        let tag = of("ab", Format::Csv);
        assert_eq!(tag, "W/\"ab-csv\"");
        for (said, known) in [
            ("W/\"ab-csv\"", true),
            ("\"ab-csv\"", true),
            ("\"x\", W/\"ab-csv\"", true),
            ("\"ab-json\"", false),
            ("*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, said.parse().unwrap());
            assert_eq!(is_known(&headers, &tag), known, "{said}");
        }
        assert!(!is_known(&HeaderMap::new(), &tag));
    }
}
