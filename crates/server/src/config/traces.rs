//! Where traces go.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Where traces go. They are off without an endpoint.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// URL of a collector that takes OpenTelemetry's protocol over HTTP, such as `http://localhost:4318`; spans go to
    /// `{endpoint}/v1/traces`. Default none.
    pub endpoint: Option<String>,
    /// Of how many traces that begin here spans are sent, 0 to 1; who comes with a `traceparent` has decided. Default 1.
    pub sample_ratio: f64,
    /// The name of the service in them. Default `tidemark`.
    pub service_name: String,
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, sample_ratio: 1.0, service_name: "tidemark".to_owned() }
    }
}

impl Traces {
    /// Refuses what cannot be meant.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_url = |text: &str| {
            reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if let Some(endpoint) = self.endpoint.as_deref().filter(|endpoint| !is_url(endpoint)) {
            return Err(ConfigError::Together(format!(
                "traces.endpoint = {endpoint:?} is no URL of a collector: give one such as http://localhost:4318"
            )));
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            let ratio = self.sample_ratio;
            return Err(ConfigError::Together(format!(
                "traces.sample_ratio = {ratio} is no part of all traces: give 0 to 1"
            )));
        }
        Ok(())
    }

    /// Where spans are sent to.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.endpoint.as_ref().map(|endpoint| format!("{}/v1/traces", endpoint.trim_end_matches('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_and_a_ratio_a_part() {
        let of = |endpoint: &str, sample_ratio| Traces {
            endpoint: Some(endpoint.to_owned()),
            sample_ratio,
            ..Traces::default()
        };
        let url = |traces: Traces| traces.check().map(|()| traces.url().expect("an endpoint"));
        assert_eq!(url(of("http://here:4318/", 0.0)).expect("is fine"), "http://here:4318/v1/traces");
        for (traces, why) in [
            (of("localhost:4318", 1.0), "no URL of a collector"),
            (of("grpc://here", 1.0), "no URL of a collector"),
            (of("", 1.0), "no URL of a collector"),
            (of("http://here", 1.5), "no part of all traces"),
            (of("http://here", f64::NAN), "no part of all traces"),
        ] {
            let refused = traces.check().expect_err("is refused").to_string();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(Traces::default().check().is_ok() && Traces::default().url().is_none());
    }
}
