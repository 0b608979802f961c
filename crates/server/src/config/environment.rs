//! The environment, captured once, and the keys its variables stand for.
//!
//! The common settings have names of their own (`TIDEMARK_DATA`, `AUTH_TOKEN`); every other key is reached by
//! `TIDEMARK_SECTION__KEY`, such as `TIDEMARK_QUERY__TIMEOUT_S=30`. Variables without two underscores that are not in
//! the table are left alone: orchestrators inject names such as `TIDEMARK_PORT_7070_TCP`.

use std::collections::BTreeMap;

use toml::Value;

use super::Layer;

/// How the text of a variable becomes a value.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Number,
    Flag,
    List,
}

/// Variable, key, shape. Names without a prefix are those of the system that came before.
const NAMED: &[(&str, &str, Shape)] = &[
    ("AUTH_TOKEN", "auth.token", Shape::Text),
    ("ALLOWED_ORIGINS", "auth.allowed_origins", Shape::List),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "limits.requests_per_minute", Shape::Number),
    ("RATE_LIMIT_EVENTS_PER_MINUTE", "limits.events_per_minute", Shape::Number),
    ("TIDEMARK_AUTH_TOKEN", "auth.token", Shape::Text),
    ("TIDEMARK_ALLOWED_ORIGINS", "auth.allowed_origins", Shape::List),
    ("TIDEMARK_ALLOW_UNAUTHENTICATED", "auth.allow_unauthenticated", Shape::Flag),
    ("TIDEMARK_DATA", "data", Shape::Text),
    ("TIDEMARK_STORE", "store", Shape::Text),
    ("TIDEMARK_STORE_CHECK", "store_check", Shape::Text),
    ("TIDEMARK_LOG", "log", Shape::Text),
    ("TIDEMARK_STANDBY", "standby", Shape::Flag),
    ("TIDEMARK_HTTP", "http", Shape::Text),
    ("TIDEMARK_GRPC", "grpc", Shape::Text),
    ("TIDEMARK_POSTGRES", "postgres", Shape::Text),
    ("TIDEMARK_TLS_CERTIFICATE", "tls.certificate", Shape::Text),
    ("TIDEMARK_TLS_KEY", "tls.key", Shape::Text),
    ("TIDEMARK_TLS_CLIENT_CA", "tls.client_ca", Shape::Text),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces.endpoint", Shape::Text),
    ("OTEL_SERVICE_NAME", "traces.service_name", Shape::Text),
    ("TIDEMARK_ENV", "env", Shape::Text),
    ("TIDEMARK_LOG_FORMAT", "logs.format", Shape::Text),
    ("TIDEMARK_LOG_FILTER", "logs.filter", Shape::Text),
];

/// What the process was started with; tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. Variables that are not Unicode are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let readable = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(readable).collect())
    }

    /// One variable; an empty one counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The `AWS_*` variables that a store knows, as its options: `aws_access_key_id` to its value. Others, such as
    /// `AWS_PROFILE`, belong to other programs of the machine and are left alone.
    #[must_use]
    pub fn object_store_options(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .filter(|(key, value)| key.starts_with("AWS_") && !value.is_empty())
            .filter(|(key, _)| tidemark_storage::store::knows_option(key))
            .map(|(key, value)| (key.to_ascii_lowercase(), value.clone()))
            .collect()
    }

    /// The settings that the environment gives. An empty `AUTH_TOKEN` is kept, so that it is refused, not ignored; what is empty of
    /// OpenTelemetry's counts as not set, as its specification says.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::named("the environment");
        for (name, key, shape) in NAMED {
            if let Some(text) = self.0.get(*name).filter(|text| !(text.is_empty() && name.starts_with("OTEL_"))) {
                layer.set(key, shape.value(text));
            }
        }
        for (name, text) in &self.0 {
            let path = name.strip_prefix("TIDEMARK_").filter(|path| path.contains("__"));
            if let Some(path) = path {
                let key = path.replace("__", ".").to_ascii_lowercase();
                // Texts all of them, also where one looks like a number; and no error may show a secret as what it is not.
                let is_text = key.starts_with("object_store.") || key == "auth.token";
                layer.set(&key, if is_text { Value::String(text.clone()) } else { guessed(text) });
            }
        }
        layer
    }
}

impl Shape {
    fn value(self, text: &str) -> Value {
        match self {
            Self::Text => Value::String(text.to_owned()),
            Self::Number => guessed(text),
            Self::Flag => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Value::Boolean(true),
                "" | "0" | "false" | "no" | "off" => Value::Boolean(false),
                _ => Value::String(text.to_owned()),
            },
            Self::List => {
                Value::Array(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect())
            }
        }
    }
}

/// Numbers and booleans as such, all else as text.
fn guessed(text: &str) -> Value {
    let number = || text.parse().map(Value::Integer).ok();
    let fraction = || text.parse().map(Value::Float).ok();
    let truth = || text.parse().map(Value::Boolean).ok();
    number().or_else(truth).or_else(fraction).unwrap_or_else(|| Value::String(text.to_owned()))
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}
