//! What `session` promises, as tables of input and expectation.

use tidemark_model::Instant;

use super::*;

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
        assert_eq!(Caller::of(&metadata(&[("authorization", header)])).unwrap().credential, expected);
    }
    let refused = Caller::of(&metadata(&[("authorization", "Digest x")])).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(Caller::of(&MetadataMap::new()).unwrap().credential, Credential::None);
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
        let caller = Caller::of(&metadata(&[("authorization", header)])).unwrap();
        assert_eq!(caller.credential.token(), token, "{header}");
    }
    assert_eq!(Caller::of(&MetadataMap::new()).unwrap().credential.token(), "anonymous");
}

#[test]
fn a_session_travels_in_the_cookie_and_in_the_token() {
    let mut caller = Caller::of(&metadata(&[("authorization", "Bearer tm_1_x")])).unwrap();
    caller.stored.namespace = Some(Namespace::parse("nyc").unwrap());
    caller.stored.as_of = Some(Instant::from_micros(5));
    let mut response = MetadataMap::new();
    caller.hand_over(&mut response).unwrap();
    let bearer = response.get("authorization").unwrap().to_str().unwrap().to_owned();
    let cookie = response.get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    for headers in [metadata(&[("authorization", &bearer)]), metadata(&[("cookie", &format!("a=b; {cookie}"))])] {
        let back = Caller::of(&headers).unwrap();
        assert_eq!((&back.stored, &back.session), (&caller.stored, &caller.stored));
    }
    assert_eq!(Caller::of(&metadata(&[("authorization", &bearer)])).unwrap().credential, caller.credential);
    let basic = Caller::of(&metadata(&[("authorization", "Basic eA")])).unwrap();
    let mut response = MetadataMap::new();
    basic.hand_over(&mut response).unwrap();
    assert!(response.get("authorization").is_none());
}

#[test]
fn what_is_more_specific_wins() {
    let mut caller = Caller::of(&MetadataMap::new()).unwrap();
    caller.stored.namespace = Some(Namespace::parse("nyc").unwrap());
    caller.stored.as_of = Some(Instant::from_micros(5));
    let mut response = MetadataMap::new();
    caller.hand_over(&mut response).unwrap();
    let bearer = response.get("authorization").unwrap().to_str().unwrap();
    let all = metadata(&[
        ("authorization", bearer),
        ("database", "other"),
        ("x-as-of", "1970-01-01T00:00:01Z"),
        ("x-valid-as-of", "2000"),
        ("x-nearest", "on"),
        ("x-schema", "as_of"),
    ]);
    let found = Caller::of(&all).unwrap().session;
    assert_eq!(found.namespace.unwrap().as_str(), "nyc");
    assert_eq!(found.as_of, Some(Instant::from_micros(1_000_000)));
    assert_eq!(found.valid_as_of, Some(Instant::from_micros(2_000_000)));
    assert!(found.nearest && found.schema == crate::SchemaOf::Instant);
    for (name, expected) in [("other", Some("other")), ("tidemark", None), ("", None)] {
        let found = Caller::of(&metadata(&[("database", name)])).unwrap().session.namespace;
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
        ("database", "../x"),
        ("cookie", "arrow_flight_session_id=zz"),
        ("cookie", "arrow_flight_session_id=21aabbccdd"),
        ("authorization", "Bearer x~1"),
    ] {
        let status = Caller::of(&metadata(&[(name, value)])).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{name}: {value}");
    }
}
