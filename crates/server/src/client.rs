//! Talks to a running server over HTTP, as the commands `sql`, `ingest` and `demo` do.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, Response, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tidemark_model::Namespace;
use tidemark_proto::problem::RecordError;

use crate::{
    cli::ServerArgs,
    config::{Environment, Secret},
};

/// Where a server is when nobody says otherwise.
pub const URL_DEFAULT: &str = "http://127.0.0.1:7070";
/// How long a connection may take to stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A server, and who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
}

/// Why a server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error(
        "no server answers at {url}: start one with `tidemark serve` or `tidemark demo`, or name another with --url"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What the system said.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused, with a problem document.
    #[error("{0}")]
    Refused(Refusal),
    /// The connection broke, or the answer is none of ours.
    #[error("the answer of {url} could not be read: {reason}")]
    Unreadable {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The token cannot be read.
    #[error("the token of TIDEMARK_TOKEN or AUTH_TOKEN cannot be used: {reason}")]
    Token {
        /// What is wrong.
        reason: String,
    },
    /// The certificates to trust cannot be read.
    #[error("the certificates of --ca cannot be used: {file}: {reason}")]
    Trust {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The address makes no sense.
    #[error("{url:?} is no address of a server: {reason}; use one like {URL_DEFAULT}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// A problem document as it came, and when to try again.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// A stable word.
    #[serde(default)]
    pub code: String,
    /// The phrase of the status.
    #[serde(default)]
    pub title: String,
    /// What happened and what to do.
    #[serde(default)]
    pub detail: String,
    /// One entry per bad record.
    #[serde(default)]
    pub errors: Vec<RecordError>,
    /// Seconds after which to try again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{text} ({} {})", self.status, self.code)?;
        match self.code.as_str() {
            "unauthorized" | "invalid_token" | "token_expired" => {
                f.write_str("\n  hint: set TIDEMARK_TOKEN to a token of the server")
            }
            "unknown_table" => f.write_str("\n  hint: \\d lists the tables there are"),
            _ => Ok(()),
        }
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A whole answer of SQL.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, as many values as columns.
    pub rows: Vec<Vec<Value>>,
}

/// What a server acknowledged.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Receipt {
    /// Events stored by this request.
    pub accepted: u64,
    /// Events that were stored already.
    #[serde(default)]
    pub duplicates: u64,
    /// Events that were refused.
    #[serde(default)]
    pub rejected: u64,
    /// Whether this very request was acknowledged before.
    #[serde(default)]
    pub duplicate: bool,
    /// When it was acknowledged.
    pub system_time: String,
    /// One entry per refused event.
    #[serde(default)]
    pub errors: Vec<RecordError>,
}

impl Client {
    /// A client of the server that a flag or the environment names.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Token`].
    pub fn of(server: &ServerArgs, environment: &Environment) -> Result<Self, ClientError> {
        let url = server.url.as_deref().or_else(|| environment.get("TIDEMARK_URL")).unwrap_or(URL_DEFAULT);
        let token = environment.get("TIDEMARK_TOKEN").or_else(|| environment.get("AUTH_TOKEN")).map(Secret::from);
        let refused = |reason| ClientError::Token { reason };
        let ca = server.ca.clone().or_else(|| environment.get("TIDEMARK_CA").map(PathBuf::from));
        Self::trusting(url, token.map(Secret::read).transpose().map_err(refused)?, ca.as_deref())
    }

    /// A client of the server at `url` that asks with `token`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn at(url: &str, token: Option<Secret>) -> Result<Self, ClientError> {
        Self::trusting(url, token, None)
    }

    /// The same, which trusts certificates that those in the file signed, besides the public ones.
    fn trusting(url: &str, token: Option<Secret>, ca: Option<&Path>) -> Result<Self, ClientError> {
        let url = url.trim_end_matches('/');
        let address = |reason: String| ClientError::Address { url: url.to_owned(), reason };
        let parsed = reqwest::Url::parse(url).map_err(|e| address(e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(address(format!("{} is no HTTP", parsed.scheme())));
        }
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).no_proxy();
        for trusted in ca.map(certificates).transpose()?.into_iter().flatten() {
            http = http.add_root_certificate(trusted);
        }
        let http = http.build();
        Ok(Self { http: http.map_err(|e| address(e.to_string()))?, url: url.to_owned(), token })
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks a statement; the answer streams in the media type of `accept`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query(&self, sql: &str, namespace: Option<&Namespace>, accept: &str) -> Result<Response, ClientError> {
        let mut body = json!({"sql": sql});
        if let (Some(namespace), Some(body)) = (namespace, body.as_object_mut()) {
            body.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
        let request = self.http.post(format!("{}/v1/query", self.url)).header(header::ACCEPT, accept);
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body.to_string())).await
    }

    /// Asks a statement and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn answer(&self, sql: &str, namespace: Option<&Namespace>) -> Result<Answer, ClientError> {
        let response = self.query(sql, namespace, "application/json").await?;
        self.read(response).await
    }

    /// Sends newline-delimited JSON under a key that makes a retry harmless.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn append(&self, path: &str, lines: Bytes, key: &str) -> Result<Receipt, ClientError> {
        let request = self.http.post(format!("{}{path}", self.url)).header("idempotency-key", key);
        let response = self.send(request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines)).await?;
        self.read(response).await
    }

    /// Asks for something about the lake itself and reads the answer; no body is sent for `None`, an empty answer is null.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn manage(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = self.send(request).await?;
        if response.content_length() == Some(0) || response.status() == reqwest::StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        self.read(response).await
    }

    /// Asks for a file, which streams.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn download(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Response, ClientError> {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), parameters)
            .map_err(|e| ClientError::Address { url: self.url.clone(), reason: e.to_string() })?;
        self.send(self.http.get(url)).await
    }

    /// Asks for something that takes its time: the answer streams, one JSON object a line.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow(&self, path: &str, body: &Value) -> Result<Response, ClientError> {
        let request = self.http.post(format!("{}{path}", self.url)).header(header::ACCEPT, "application/x-ndjson");
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body.to_string())).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let response =
            request.send().await.map_err(|source| ClientError::Unreachable { url: self.url.clone(), source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(ClientError::Refused(refusal(response).await))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let unreadable = |reason: String| ClientError::Unreadable { url: self.url.clone(), reason };
        let bytes = response.bytes().await.map_err(|e| unreadable(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))
    }
}

/// The certificates of a PEM file.
fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let refused = |reason: String| ClientError::Trust { file: file.to_owned(), reason };
    let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| refused(error.to_string()))?;
    if found.is_empty() {
        return Err(refused("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// The problem document of an answer; whatever else it is becomes the detail.
async fn refusal(response: Response) -> Refusal {
    let status = response.status();
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|s| s.to_str().ok()?.parse().ok());
    let text = response.text().await.unwrap_or_default();
    let plain = || Refusal {
        title: status.canonical_reason().unwrap_or("error").to_owned(),
        detail: text.chars().take(500).collect(),
        ..Refusal::default()
    };
    let told = serde_json::from_str(&text).unwrap_or_else(|_no_problem_document| plain());
    Refusal { status: status.as_u16(), retry_after_s: seconds, ..told }
}
