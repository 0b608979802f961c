//! What an answer may look like, and how the `Accept` header chooses.

use axum::http::{HeaderMap, header};

/// A spelling of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One document: columns, rows, instants.
    Json,
    /// One object per line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
    /// Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
    /// Documents as changes that can be sent in again; of exports only, nobody accepts it by name.
    Changes,
}

impl Format {
    /// In the order in which a wildcard prefers them.
    const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow, Self::Parquet];

    /// The media type as `Content-Type` says it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson | Self::Changes => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            // In two parts: it ends like an object path, which only storage may spell.
            Self::Parquet => concat!("application/vnd.apache.", "parquet"),
        }
    }

    /// A short word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "columnar",
            Self::Changes => "changes",
        }
    }

    /// Whether a media range of an `Accept` header covers this format.
    fn is_covered_by(self, range: &str) -> bool {
        let own = self.content_type().split(';').next().unwrap_or_default();
        match (self, range) {
            (_, "*/*") | (Self::Ndjson, "application/ndjson" | "application/jsonl") => true,
            _ => range.strip_suffix("/*").map_or(range == own, |kind| own.split('/').next() == Some(kind)),
        }
    }

    /// What is spoken, for people.
    pub(crate) fn spoken() -> String {
        Self::ALL.map(Self::content_type).map(|t| t.split(';').next().unwrap_or_default()).join(", ")
    }

    /// The format a request asks for: the highest quality, then what stands first. Without a header JSON; `None` when
    /// nothing that is acceptable is spoken.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::ACCEPT).iter().peekable();
        if lines.peek().is_none() {
            return Some(Self::Json);
        }
        let mut best: Option<(u16, Self)> = None;
        for line in lines {
            for range in line.to_str().unwrap_or_default().split(',') {
                let (name, quality) = media_range(range);
                let Some(format) = Self::ALL.into_iter().find(|format| format.is_covered_by(&name)) else { continue };
                if quality > best.map_or(0, |(best, _)| best) {
                    best = Some((quality, format));
                }
            }
        }
        best.map(|(_, format)| format)
    }
}

/// A media range in lower case, and its quality in thousandths.
fn media_range(text: &str) -> (String, u16) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
        .map_or(Some(1.0), |(_, value)| value.trim().parse::<f32>().ok())
        .unwrap_or(0.0);
    (name, (quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_chooses() {
        for (accept, expected) in [
            ("*/*", Some(Format::Json)),
            ("application/json", Some(Format::Json)),
            ("Application/JSON; charset=utf-8", Some(Format::Json)),
            ("application/*", Some(Format::Json)),
            ("text/*", Some(Format::Csv)),
            ("text/csv", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("application/ndjson", Some(Format::Ndjson)),
            ("application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            ("application/vnd.apache.parquet", Some(Format::Parquet)),
            ("text/csv;q=0.5, application/x-ndjson", Some(Format::Ndjson)),
            ("text/csv, application/x-ndjson", Some(Format::Csv)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Format::Json)),
            ("text/html", None),
            ("text/csv;q=0", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::of(&headers), expected, "{accept}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), Some(Format::Json));
    }
}
