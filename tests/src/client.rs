//! A client of the HTTP doors, typed as far as tests look.

use serde_json::{Value, json};

/// Rows of an answer.
pub type Rows = Vec<Vec<Value>>;

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The body of a 200.
    #[must_use]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The `code` of a problem document (RFC 9457) that is complete and agrees with the status.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        let text = |field: &str| problem[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        assert_eq!(problem["status"], json!(self.status), "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(text(field).is_some(), "{field} is missing in {problem}");
        }
        text("code").unwrap_or_else(|| panic!("code is missing in {problem}"))
    }
}

/// A client of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(address: &str, token: Option<String>) -> Self {
        let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let http = reqwest::Client::builder().no_proxy().build().expect("a client without options");
        Self { http, base, token }
    }

    /// The same with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// GET.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request, headers).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// POST that must be answered.
    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> Reply {
        self.try_post(path, body, headers).await.unwrap_or_else(|error| panic!("POST {path}: {error:?}"))
    }

    /// POST to a server that may go away meanwhile.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn try_post(
        &self,
        path: &str,
        body: impl Into<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Result<Reply, reqwest::Error> {
        let request = self.http.post(format!("{}{path}", self.base)).body(body.into());
        self.send(request, headers).await
    }

    async fn send(
        &self,
        mut request: reqwest::RequestBuilder,
        headers: &[(&str, &str)],
    ) -> Result<Reply, reqwest::Error> {
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = response.bytes().await?.to_vec();
        Ok(Reply { status, headers, body })
    }

    /// Sends JSON.
    pub async fn post_json(&self, path: &str, body: &Value) -> Reply {
        self.post(path, body.to_string(), &[("content-type", "application/json")]).await
    }

    /// PUTs JSON.
    pub async fn put_json(&self, path: &str, body: &Value) -> Reply {
        let request = self.http.put(format!("{}{path}", self.base)).body(body.to_string());
        let headers = [("content-type", "application/json")];
        self.send(request, &headers).await.unwrap_or_else(|error| panic!("PUT {path}: {error}"))
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        let request = self.http.delete(format!("{}{path}", self.base));
        self.send(request, &[]).await.unwrap_or_else(|error| panic!("DELETE {path}: {error}"))
    }

    /// Sends changes of `namespace/collection`; the receipt.
    pub async fn changes(&self, collection: &str, changes: &Value) -> Value {
        self.post_json(&format!("/v1/{collection}/changes"), changes).await.ok()
    }

    /// Sends events of a namespace; the receipt.
    pub async fn events(&self, namespace: &str, events: &Value) -> Value {
        self.post_json(&format!("/v1/{namespace}/events"), events).await.ok()
    }

    /// Asks SQL; whatever the answer.
    pub async fn query(&self, sql: &str, headers: &[(&str, &str)]) -> Reply {
        let headers: Vec<_> =
            [("content-type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
        self.post("/v1/query", json!({ "sql": sql }).to_string(), &headers).await
    }

    /// Asks SQL; the whole JSON answer.
    pub async fn answer(&self, sql: &str) -> Value {
        let reply = self.query(sql, &[]).await;
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.json()
    }

    /// Asks SQL; the rows.
    pub async fn rows(&self, sql: &str) -> Rows {
        let answer = self.answer(sql).await;
        let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("no rows in {answer}"));
        rows.iter().map(|row| row.as_array().cloned().unwrap_or_default()).collect()
    }

    /// Asks SQL for one number.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql).await;
        let number = rows.first().and_then(|row| row.first()).and_then(Value::as_i64);
        number.unwrap_or_else(|| panic!("{sql}: no number in {rows:?}"))
    }
}
