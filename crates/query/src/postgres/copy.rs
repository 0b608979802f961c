//! `COPY … TO STDOUT`: the question and how its rows are written: as text, csv or PostgreSQL's binary file.

use arrow::{datatypes::SchemaRef, error::ArrowError, record_batch::RecordBatch};
use sqlparser::tokenizer::Token;

use super::{
    fault::Fault,
    message::Format,
    value::{self, Column},
    words::{self, Words},
};

/// A question whose rows are sent as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    /// The text of the question.
    pub(crate) sql: String,
    /// How rows are written.
    pub(crate) style: Style,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Style {
    /// Values between delimiters, with backslashes.
    Text(Marks),
    /// Values between delimiters, in quotes where needed.
    Csv(Marks),
    /// PostgreSQL's binary file.
    Binary,
}

/// The marks of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marks {
    delimiter: u8,
    null: String,
    quote: u8,
    escape: u8,
    /// Whether the names of columns come first.
    has_header: bool,
    /// Whether every value of csv stands in quotes.
    quotes_all: bool,
}

/// Begins a binary file: its signature, no flags, no extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Ends it.
pub(crate) const TRAILER: [u8; 2] = [255, 255];

/// Reads what follows `COPY`.
///
/// # Errors
/// For a COPY into the lake, into files and programs, and with options that are not served.
pub(crate) fn read(words: &mut Words<'_>) -> Result<Copy, Fault> {
    let sql = match words.next() {
        Some(Token::LParen) => inner(words)?.to_owned(),
        _ => of_table(words)?,
    };
    if words.eat("FROM") {
        return Err(Fault::read_only("COPY FROM is not served, SQL only reads here"));
    }
    words.expect("TO")?;
    if !words.eat("STDOUT") {
        return Err(Fault::error("42501", "COPY to files and programs is not served: use COPY … TO STDOUT"));
    }
    Ok(Copy { sql, style: style(words)? })
}

/// The text between the parentheses that begin here.
fn inner<'a>(words: &mut Words<'a>) -> Result<&'a str, Fault> {
    words.at += 1;
    let (begin, mut depth) = (words.place(), 1_usize);
    while let Some(token) = words.next() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let sql = words.since(begin);
            words.at += 1;
            return Ok(sql);
        }
        words.at += 1;
    }
    Err(words.unexpected(")"))
}

fn of_table(words: &mut Words<'_>) -> Result<String, Fault> {
    let begin = words.place();
    words.dotted()?;
    let table = words.since(begin).trim().to_owned();
    let columns = if words.next() == Some(&Token::LParen) { inner(words)? } else { "*" };
    Ok(format!("SELECT {columns} FROM {table}"))
}

/// Options as they are read; what is not said depends on the format.
#[derive(Default)]
struct Options {
    format: String,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    has_header: bool,
    quotes_all: bool,
}

fn style(words: &mut Words<'_>) -> Result<Style, Fault> {
    let mut options = Options::default();
    words.eat("WITH");
    let is_list = words.eat_token(&Token::LParen);
    while let Some(token) = words.next() {
        words.at += 1;
        match token {
            Token::Comma | Token::RParen if is_list => continue,
            Token::Word(word) => option(words, &word.value.to_ascii_uppercase(), &mut options)?,
            _ => return Err(Fault::error("42601", format!("option \"{token}\" of COPY is not understood"))),
        }
    }
    options.into_style()
}

fn option(words: &mut Words<'_>, name: &str, options: &mut Options) -> Result<(), Fault> {
    let text = |words: &mut Words<'_>| {
        words.eat("AS");
        let found = words.next().map(words::value).ok_or_else(|| words.unexpected("a value"))?;
        words.at += 1;
        Ok::<_, Fault>(found)
    };
    match name {
        "FORMAT" => options.format = text(words)?.to_ascii_lowercase(),
        "CSV" | "BINARY" => options.format = name.to_ascii_lowercase(),
        "DELIMITER" => options.delimiter = Some(text(words)?),
        "NULL" => options.null = Some(text(words)?),
        "QUOTE" => options.quote = Some(text(words)?),
        "ESCAPE" => options.escape = Some(text(words)?),
        "HEADER" => {
            options.has_header = !(words.eat("FALSE") || words.eat("OFF")) && {
                let _said = words.eat("TRUE") || words.eat("ON");
                true
            }
        }
        "ENCODING" => {
            let encoding = text(words)?;
            if !["utf8", "utf-8", "unicode"].contains(&encoding.to_ascii_lowercase().as_str()) {
                return Err(Fault::unsupported("COPY writes UTF8 only"));
            }
        }
        "FORCE_QUOTE" if words.eat_token(&Token::Mul) => options.quotes_all = true,
        other => return Err(Fault::unsupported(format!("option {other} of COPY is not served"))),
    }
    Ok(())
}

impl Options {
    fn into_style(self) -> Result<Style, Fault> {
        let one = |name: &str, said: &Option<String>, usual: u8| match said.as_deref().map(str::as_bytes) {
            None => Ok(usual),
            Some([byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'\\') => Ok(*byte),
            Some(_) => Err(Fault::error("22023", format!("COPY {name} must be a single one-byte character"))),
        };
        let is_csv = self.format == "csv";
        let quote = one("quote", &self.quote, b'"')?;
        let marks = Marks {
            delimiter: one("delimiter", &self.delimiter, if is_csv { b',' } else { b'\t' })?,
            null: self.null.unwrap_or_else(|| if is_csv { "" } else { "\\N" }.to_owned()),
            quote,
            escape: one("escape", &self.escape, quote)?,
            has_header: self.has_header,
            quotes_all: self.quotes_all,
        };
        match self.format.as_str() {
            "csv" => Ok(Style::Csv(marks)),
            "" | "text" => Ok(Style::Text(marks)),
            "binary" if !marks.has_header => Ok(Style::Binary),
            other => Err(Fault::error("22023", format!("COPY format \"{other}\" is not served like this"))),
        }
    }
}

impl Style {
    /// The format of its values.
    pub(crate) const fn format(&self) -> Format {
        match self {
            Self::Binary => Format::Binary,
            Self::Text(_) | Self::Csv(_) => Format::Text,
        }
    }

    /// What stands before the first row; of a binary file it travels with the row behind it.
    pub(crate) fn head(&self, columns: &SchemaRef) -> Vec<u8> {
        match self {
            Self::Binary => SIGNATURE.to_vec(),
            Self::Text(marks) | Self::Csv(marks) if marks.has_header => {
                let mut out = Vec::new();
                for (nth, field) in columns.fields().iter().enumerate() {
                    self.between(nth, &mut out);
                    self.value(field.name().as_bytes(), columns.fields().len(), &mut out);
                }
                out.push(b'\n');
                out
            }
            Self::Text(_) | Self::Csv(_) => Vec::new(),
        }
    }

    /// Writes every row of a batch, and hands each over when it is whole.
    ///
    /// # Errors
    /// For a column that has no form.
    pub(crate) fn rows(&self, batch: &RecordBatch, mut take: impl FnMut(&[u8])) -> Result<(), ArrowError> {
        let arrays = batch.columns().iter().map(value::usual).collect::<Result<Vec<_>, _>>()?;
        let columns = arrays.iter().map(|array| Column::of(array, self.format())).collect::<Result<Vec<_>, _>>()?;
        let (mut out, mut cell) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            out.clear();
            if *self == Self::Binary {
                let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&count.to_be_bytes());
            }
            for (nth, column) in columns.iter().enumerate() {
                match self {
                    Self::Binary => value::field(column, row, &mut out),
                    Self::Text(marks) | Self::Csv(marks) => {
                        self.between(nth, &mut out);
                        cell.clear();
                        if column.write(row, &mut cell) {
                            self.value(&cell, columns.len(), &mut out);
                        } else {
                            out.extend_from_slice(marks.null.as_bytes());
                        }
                    }
                }
            }
            if *self != Self::Binary {
                out.push(b'\n');
            }
            take(&out);
        }
        Ok(())
    }

    fn between(&self, nth: usize, out: &mut Vec<u8>) {
        if let (Self::Text(marks) | Self::Csv(marks), 1..) = (self, nth) {
            out.push(marks.delimiter);
        }
    }

    /// A value that is not null, of a row with so many.
    fn value(&self, text: &[u8], columns: usize, out: &mut Vec<u8>) {
        match self {
            Self::Binary => {}
            Self::Text(marks) => escaped(text, marks.delimiter, out),
            Self::Csv(marks) => quoted(text, marks, columns, out),
        }
    }
}

/// Most values have nothing to escape: they are copied from one such byte to the next.
fn escaped(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(*byte, 8..=13 | b'\\') || *byte == delimiter;
    let mut rest = text;
    while let Some(at) = rest.iter().position(is_special) {
        let letter = match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            11 => b'v',
            12 => b'f',
            itself => itself,
        };
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', letter]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn quoted(text: &[u8], marks: &Marks, columns: usize, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| [marks.delimiter, marks.quote, b'\n', b'\r'].contains(byte);
    // What would be read as null, or as the end of the data.
    let is_confused = text == marks.null.as_bytes() || (columns == 1 && text == b"\\.");
    if !marks.quotes_all && !is_confused && !text.iter().any(is_special) {
        return out.extend_from_slice(text);
    }
    out.push(marks.quote);
    for byte in text {
        if *byte == marks.quote || *byte == marks.escape {
            out.push(marks.escape);
        }
        out.push(*byte);
    }
    out.push(marks.quote);
}

#[cfg(test)]
mod tests;
