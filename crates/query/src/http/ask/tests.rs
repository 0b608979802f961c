//! What `ask` promises, as tables of input and expectation.

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn scalars_become_parameters_without_losing_a_digit() {
    let body = br#"{"sql":"select ?","params":[1,-9223372036854775808,18446744073709551615,
        123456789012345678901234567890,1.5,1e3,"a\u00e9","",true,false,null]}"#;
    let statement = statement(Principal::lake(), &HeaderMap::new(), body).unwrap();
    assert_eq!(
        statement.params,
        [
            ScalarValue::Int64(Some(1)),
            ScalarValue::Int64(Some(i64::MIN)),
            ScalarValue::UInt64(Some(u64::MAX)),
            ScalarValue::Decimal128(Some(123_456_789_012_345_678_901_234_567_890), 38, 0),
            ScalarValue::Float64(Some(1.5)),
            ScalarValue::Float64(Some(1000.0)),
            ScalarValue::Utf8(Some("aé".to_owned())),
            ScalarValue::Utf8(Some(String::new())),
            ScalarValue::Boolean(Some(true)),
            ScalarValue::Boolean(Some(false)),
            ScalarValue::Null,
        ]
    );
}

#[test]
fn the_body_is_more_specific_than_a_header() {
    let headers = headers(&[
        ("content-type", "application/json; charset=utf-8"),
        ("x-as-of", "2013-01-01T00:00:00Z"),
        ("x-valid-as-of", "1357000000000"),
        ("x-namespace", "other"),
    ]);
    let found = statement(
        Principal::lake(),
        &headers,
        br#"{"sql":"select 1","namespace":"nyc","as_of":"2013-06-01T00:00:00Z"}"#,
    )
    .unwrap();
    let instant = |text: &str| Some(Instant::parse(text).unwrap());
    assert_eq!(found.session.namespace, Some(Namespace::parse("nyc").unwrap()));
    assert_eq!(found.session.as_of, instant("2013-06-01T00:00:00Z"));
    assert_eq!(found.session.valid_as_of, instant("2013-01-01T00:26:40Z"));
    let found =
        statement(Principal::lake(), &headers, br#"{"sql":"select 1","as_of":null,"valid_as_of":1370044800000}"#)
            .unwrap();
    assert_eq!(found.session.as_of, instant("2013-01-01T00:00:00Z"));
    assert_eq!(found.session.valid_as_of, instant("2013-06-01T00:00:00Z"));
}

#[test]
fn sql_may_come_as_it_is() {
    for kind in ["text/plain", "application/sql", "TEXT/PLAIN; charset=utf-8"] {
        let found = statement(Principal::lake(), &headers(&[("content-type", kind)]), b"select 1").unwrap();
        assert_eq!((found.sql.as_str(), found.params.len()), ("select 1", 0));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let json = "application/json";
    for (kind, body, status, said) in [
        (json, "", 400, "the body is not a query"),
        (json, "select 1", 400, "the body is not a query"),
        (json, "{}", 400, "missing field `sql`"),
        (json, r#"{"sql":"select 1","sq":1}"#, 400, "unknown field `sq`"),
        (json, r#"{"sql":1}"#, 400, "expected a string"),
        (json, r#"{"sql":"x","params":[[1]]}"#, 400, "params[0] is no scalar"),
        (json, r#"{"sql":"x","params":[1,{}]}"#, 400, "params[1] is no scalar"),
        (json, r#"{"sql":"x","params":[1e999]}"#, 400, "out of range"),
        (json, r#"{"sql":"x","params":1}"#, 400, "expected a sequence"),
        (json, r#"{"sql":"x","namespace":"../x"}"#, 400, "namespace"),
        (json, r#"{"sql":"x","as_of":"yesterday"}"#, 400, "as_of: \"yesterday\" is not an instant"),
        (json, r#"{"sql":"x","valid_as_of":true}"#, 400, "valid_as_of: "),
        (json, r#"{"sql":"x","nearest":"on"}"#, 400, "expected a boolean"),
        (json, r#"{"sql":"x","schema":"then"}"#, 400, "use 'present' or 'as_of'"),
        (json, "{\"sql\":\"\u{1}\"}", 400, "control character"),
        ("text/plain", "\u{0}", 200, ""),
        ("application/xml", "<a/>", 415, "send application/json"),
    ] {
        match statement(Principal::lake(), &headers(&[("content-type", kind)]), body.as_bytes()) {
            Ok(_) => assert_eq!(status, 200, "{body}"),
            Err(problem) => {
                assert_eq!(problem.status, status, "{body}");
                assert!(problem.detail.contains(said), "{body}: {}", problem.detail);
            }
        }
    }
    let problem = statement(Principal::lake(), &headers(&[("content-type", "text/plain")]), b"\xff").unwrap_err();
    assert!(problem.detail.contains("not UTF-8"));
    let problem = statement(Principal::lake(), &headers(&[("x-as-of", "noon")]), br#"{"sql":"x"}"#).unwrap_err();
    assert!(problem.detail.contains("header x-as-of"), "{}", problem.detail);
}
