//! Tables of layers and what comes out of them.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn flags(pairs: &[(&str, &str)]) -> Layer {
    let mut layer = Layer::named("the command line");
    pairs.iter().for_each(|(k, v)| layer.set(k, *v));
    layer
}

type Pairs = &'static [(&'static str, &'static str)];

#[test]
fn flags_win_over_the_environment_over_the_file() {
    let cases: [(&str, Pairs, Pairs, &str, Option<&str>); 5] = [
        ("", &[], &[], "127.0.0.1:7070", None),
        ("http = \"127.0.0.1:1\"", &[], &[], "127.0.0.1:1", Some("file")),
        ("http = \"127.0.0.1:1\"", &[("TIDEMARK_HTTP", "127.0.0.1:2")], &[], "127.0.0.1:2", Some("environment")),
        ("", &[("TIDEMARK_HTTP", "127.0.0.1:2")], &[("http", "127.0.0.1:3")], "127.0.0.1:3", Some("command line")),
        ("http = \"127.0.0.1:1\"", &[], &[("http", "[::1]:3")], "[::1]:3", Some("command line")),
    ];
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("file.toml");
    for (text, variables, given, http, origin) in cases {
        std::fs::write(&file, text).expect("written");
        let loaded = load(Some(&file), &environment(variables), flags(given)).expect("valid");
        assert_eq!(loaded.settings.http.to_string(), http, "{text} {variables:?} {given:?}");
        let said = loaded.origins.get("http").map(String::as_str);
        assert!(origin.is_none() == said.is_none() && said.unwrap_or("").contains(origin.unwrap_or("")), "{said:?}");
    }
}

#[test]
fn the_file_is_found_in_the_data_directory() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join(FILE_NAME), "env = \"staging\"").expect("written");
    let data = home.path().display().to_string();
    for (variables, given) in
        [(vec![("TIDEMARK_DATA", data.as_str())], vec![]), (vec![], vec![("data", data.as_str())])]
    {
        let loaded = load(None, &environment(&variables), flags(&given)).expect("valid");
        assert_eq!(loaded.settings.env, "staging");
    }
}

#[test]
fn every_key_is_reached_from_the_environment() {
    let variables = [
        ("TIDEMARK_QUERY__TIMEOUT_S", "7"),
        ("TIDEMARK_LOG_FORMAT", "json"),
        ("TIDEMARK_STORE_CHECK", "never"),
        ("AUTH_TOKEN", "12345"),
        ("ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("TIDEMARK_ALLOW_UNAUTHENTICATED", "1"),
        ("RATE_LIMIT_EVENTS_PER_MINUTE", "100000"),
        ("TIDEMARK_PORT_7070_TCP", "tcp://10.0.0.1:7070"),
    ];
    let settings = load(None, &environment(&variables), Layer::named("flags")).expect("valid").settings;
    assert_eq!(settings.query.timeout_s, 7);
    assert_eq!(settings.logs.format, LogFormat::Json);
    assert_eq!(settings.store_check, StoreCheck::Never);
    assert_eq!(settings.auth.token.as_ref().map(Secret::expose), Some("12345"));
    assert_eq!(settings.auth.allowed_origins, ["https://a.example", "https://b.example"]);
    assert!(settings.auth.allow_unauthenticated);
    assert_eq!((settings.limits.requests_per_minute, settings.limits.events_per_minute), (None, Some(100_000)));
}

#[test]
fn the_store_is_given_its_own_variables_only() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_CA_BUNDLE", "/etc/ca.pem"),
        ("AWS_PROFILE", "me"),
        ("AWS_REGION", ""),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    let given = environment(&variables).object_store_options();
    let expected = [("aws_access_key_id", "id"), ("aws_endpoint_url", "http://127.0.0.1:9")];
    assert_eq!(given, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn a_wrong_setting_is_blamed_on_its_layer() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("bad.toml");
    let missing = format!("file:{}", home.path().join("nothing").display());
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, &'c [&'c str]);
    let cases: [Case<'_>; 9] = [
        ("htpp = \"127.0.0.1:1\"", vec![], &["bad.toml", "unknown field `htpp`", "line 1"]),
        ("[query]\ntimeout_s = \"soon\"", vec![], &["bad.toml", "line 2", "invalid type"]),
        ("[auth]\ntokens = \"s3cret\"", vec![], &["bad.toml", "line 2", "unknown field `tokens`"]),
        ("[auth]\ntoken = \"s3cret", vec![], &["bad.toml", "line 2"]),
        ("http = 1 2", vec![], &["bad.toml"]),
        ("", vec![("TIDEMARK_QUERY__TIMEOUTS", "7")], &["the environment", "unknown field `timeouts`"]),
        ("", vec![("TIDEMARK_HTTP", "localhost")], &["the environment", "http", "socket address"]),
        ("", vec![("AUTH_TOKEN", "")], &["auth.token", "empty"]),
        ("", vec![("AUTH_TOKEN", &missing)], &["auth.token", "cannot be read"]),
    ];
    for (text, variables, words) in cases {
        std::fs::write(&file, text).expect("written");
        let said = load(Some(&file), &environment(&variables), Layer::named("flags")).expect_err(text).to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said:?} lacks one of {words:?}");
        assert!(!said.contains("s3cret"), "a line of a file may hold a secret: {said}");
    }
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("token");
    std::fs::write(&file, "tm_secret\n").expect("written");
    let variables = [("AUTH_TOKEN", format!("file:{}", file.display()))];
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let loaded = load(None, &environment(&variables), Layer::named("flags")).expect("valid");
    assert_eq!(loaded.settings.auth.token.as_ref().map(Secret::expose), Some("tm_secret"));
    let printed = loaded.print();
    assert!(!printed.contains("tm_secret") && !format!("{loaded:?}").contains("tm_secret"));
    assert!(printed.contains("token = \"***\"  # the environment"), "{printed}");
}

#[test]
fn an_empty_variable_of_opentelemetry_counts_as_not_set() {
    let variables = environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]);
    let loaded = load(None, &variables, Layer::named("flags")).expect("valid");
    assert!(!loaded.origins.contains_key("traces.endpoint"), "{:?}", loaded.origins);
}

#[test]
fn what_is_printed_can_be_read_again() {
    let printed = load(None, &Environment::default(), Layer::named("flags")).expect("valid").print();
    let again: Settings = toml::from_str(&printed).expect(&printed);
    assert_eq!(again.http, Settings::default().http);
    for key in ["timeout_s = 60", "[connections]", "drain_ms = 20000", "[catalog]"] {
        assert!(printed.contains(key), "{key} is missing in {printed}");
    }
}

/// A file may go when no query can be reading it any more.
#[test]
fn the_grace_is_twice_the_longest_query() {
    for (grace, events, query, bulk, is_good) in [
        (None, None, None, None, true),
        (Some("7199"), None, None, None, false),
        (Some("7200"), Some("7200"), None, None, true),
        (None, Some("7199"), None, None, false),
        (None, None, None, Some("3601"), false),
        (Some("20"), Some("20"), Some("10"), Some("10"), true),
        (Some("20"), None, Some("11"), Some("1"), false),
    ] {
        let keys = ["CDC__GRACE_S", "INGEST__GRACE_S", "QUERY__TIMEOUT_S", "QUERY__BULK_TIMEOUT_S"];
        let keys = keys.map(|key| format!("TIDEMARK_{key}"));
        let numbers = keys.iter().map(String::as_str).zip([grace, events, query, bulk]);
        let set: Vec<_> = numbers.filter_map(|(key, n)| Some((key, n?))).collect();
        let loaded = load(None, &environment(&set), Layer::named("flags"));
        assert_eq!(loaded.is_ok(), is_good, "{set:?}");
        if let Err(error) = loaded {
            let said = error.to_string();
            assert!(
                said.contains(".grace_s") && said.contains("query.bulk_timeout_s") && said.contains("or more"),
                "{said}"
            );
        }
    }
}
