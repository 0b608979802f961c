//! What `session` promises, as tables of input and expectation.

use tidemark_model::Instant;

use super::*;

fn caller(metadata: &MetadataMap) -> Result<Caller, Status> {
    by("a1", None, metadata)
}

fn by(id: &str, presented: Option<&str>, metadata: &MetadataMap) -> Result<Caller, Status> {
    let mut extensions = Extensions::new();
    extensions.insert(Principal::of_everything(id));
    if let Some(token) = presented {
        extensions.insert(Presented(token.into()));
    }
    Caller::of(metadata, &extensions)
}

fn metadata(pairs: &[(&'static str, &str)]) -> MetadataMap {
    let mut map = MetadataMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().unwrap());
    }
    map
}

#[test]
fn credentials_are_read_whatever_their_case() {
    for (header, expected) in [
        ("Basic dTpwdw", Credential::Basic("dTpwdw".to_owned())),
        ("basic dTpwdw==", Credential::Basic("dTpwdw==".to_owned())),
        ("BEARER tm_1_x", Credential::Bearer("tm_1_x".to_owned())),
        ("Bearer ", Credential::Bearer(String::new())),
    ] {
        assert_eq!(caller(&metadata(&[("authorization", header)])).unwrap().credential, expected);
    }
    let refused = caller(&metadata(&[("authorization", "Digest x")])).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(caller(&MetadataMap::new()).unwrap().credential, Credential::None);
}

#[test]
fn a_login_is_answered_with_the_token_to_come_with() {
    for (header, token) in [
        ("Basic dTpwdw==", "pw"),
        ("Basic dTpwdw", "pw"),
        ("Basic dTpwfjpx", "p~:q"),
        ("Basic dTo=", "anonymous"),
        ("Basic !", "anonymous"),
        ("Bearer tm_1_x", "tm_1_x"),
    ] {
        let asks = caller(&metadata(&[("authorization", header)])).unwrap();
        assert_eq!(asks.credential.token(), token, "{header}");
    }
    assert_eq!(caller(&MetadataMap::new()).unwrap().credential.token(), "anonymous");
}

#[test]
fn a_session_travels_in_the_cookie_and_in_the_token() {
    let mut asks = caller(&metadata(&[("authorization", "Bearer tm_1_x")])).unwrap();
    asks.stored.namespace = Some(Namespace::parse("nyc").unwrap());
    asks.stored.as_of = Some(Instant::from_micros(5));
    let mut response = MetadataMap::new();
    asks.hand_over(&mut response).unwrap();
    let bearer = response.get("authorization").unwrap().to_str().unwrap().to_owned();
    let cookie = response.get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    for headers in [metadata(&[("authorization", &bearer)]), metadata(&[("cookie", &format!("a=b; {cookie}"))])] {
        let back = caller(&headers).unwrap();
        assert_eq!((&back.stored, &back.session), (&asks.stored, &asks.stored));
    }
    assert_eq!(caller(&metadata(&[("authorization", &bearer)])).unwrap().credential, asks.credential);
    let basic = caller(&metadata(&[("authorization", "Basic eA")])).unwrap();
    let mut response = MetadataMap::new();
    basic.hand_over(&mut response).unwrap();
    assert!(response.get("authorization").is_none());
}

#[test]
fn what_is_more_specific_wins() {
    let mut asks = caller(&MetadataMap::new()).unwrap();
    asks.stored.namespace = Some(Namespace::parse("nyc").unwrap());
    asks.stored.as_of = Some(Instant::from_micros(5));
    let mut response = MetadataMap::new();
    asks.hand_over(&mut response).unwrap();
    let bearer = response.get("authorization").unwrap().to_str().unwrap();
    let all = metadata(&[
        ("authorization", bearer),
        ("database", "other"),
        ("x-as-of", "1970-01-01T00:00:01Z"),
        ("x-valid-as-of", "2000"),
        ("x-nearest", "on"),
        ("x-schema", "as_of"),
    ]);
    let found = caller(&all).unwrap().session;
    assert_eq!(found.namespace.unwrap().as_str(), "nyc");
    assert_eq!(found.as_of, Some(Instant::from_micros(1_000_000)));
    assert_eq!(found.valid_as_of, Some(Instant::from_micros(2_000_000)));
    assert!(found.nearest && found.schema == crate::SchemaOf::Instant);
    for (name, expected) in [("other", Some("other")), ("tidemark", None), ("", None)] {
        let found = caller(&metadata(&[("database", name)])).unwrap().session.namespace;
        assert_eq!(found.as_ref().map(Namespace::as_str), expected);
    }
}

#[test]
fn what_is_wrong_is_refused() {
    for (name, value) in [
        ("x-as-of", "noon"),
        ("x-valid-as-of", ""),
        ("x-nearest", "maybe"),
        ("x-schema", "nyc"),
        ("x-arrow-compression", "gzip"),
        ("database", "../x"),
        ("cookie", "arrow_flight_session_id=zz"),
        ("cookie", "arrow_flight_session_id=21aabbccdd"),
        ("authorization", "Bearer x~1"),
    ] {
        let status = caller(&metadata(&[(name, value)])).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{name}: {value}");
    }
}

/// A root token may hold what divides token and session.
#[test]
fn a_token_ends_where_the_authoriser_says() {
    for token in ["a~b", "~", "a~", "~~a"] {
        let presented = Some(token);
        let bearer = format!("Bearer {token}");
        let mut asks = by("root", presented, &metadata(&[("authorization", &bearer)])).unwrap();
        assert_eq!(asks.credential, Credential::Bearer(token.to_owned()));
        asks.stored.as_of = Some(Instant::from_micros(5));
        let mut response = MetadataMap::new();
        asks.hand_over(&mut response).unwrap();
        let bearer = response.get("authorization").unwrap().to_str().unwrap();
        let back = by("root", presented, &metadata(&[("authorization", bearer)])).unwrap();
        assert_eq!((back.credential, back.stored), (asks.credential, asks.stored));
    }
}

#[test]
fn a_session_belongs_to_its_token() {
    let asks = by("a1", None, &metadata(&[("authorization", "Bearer tm_1_x")])).unwrap();
    let mut response = MetadataMap::new();
    asks.hand_over(&mut response).unwrap();
    let cookie = response.get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap();
    let bearer = response.get("authorization").unwrap().to_str().unwrap();
    for headers in [metadata(&[("cookie", cookie)]), metadata(&[("authorization", bearer)])] {
        assert!(by("a1", None, &headers).is_ok());
        assert_eq!(by("b2", None, &headers).unwrap_err().code(), tonic::Code::Unauthenticated);
    }
}

#[test]
fn whoever_passed_no_authoriser_is_refused() {
    let refused = Caller::of(&MetadataMap::new(), &Extensions::new()).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}
