//! SQL scenarios as text: sqllogictest's format, as much as is needed, and four records of our own.
//!
//! ```text
//! # a comment
//! send shop/orders/changes as first        records up to an empty line are sent as NDJSON; `${first}` is its system time
//! {"op":"insert","id":"1","doc":{"n":1}}
//!
//! refuse shop/orders/changes missing_doc   the same, but refused with this code
//! {"op":"insert","id":"2"}
//!
//! declare shop/orders lenient              the schema below, a line, is declared for the collection
//! {"properties":{"at":{"type":"string","format":"date-time"}}}
//!
//! restart                                  the server is stopped and started again
//!
//! statement ok
//! SELECT 1
//!
//! statement error unknown_table            the problem's code
//! SELECT * FROM shop.nothing
//!
//! query rowsort                            or just `query`: in the order of the answer
//! SELECT _id, n FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '${first}'
//! ----
//! 1 1
//! ```
//!
//! Cells are separated by one space; NULL is `NULL`, empty text `(empty)`, a space inside a text `␣`. `${name-1us}` and
//! `${name+1us}` move an instant. The type letters of sqllogictest may stand behind `query`; they are not looked at.

use std::collections::HashMap;

use serde_json::Value;
use tidemark_model::Instant;

use crate::{client::Reply, server::Server};

/// One record of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    line: usize,
    words: Vec<String>,
    body: String,
    expected: Option<Vec<String>>,
}

/// Runs a scenario against a server; every record that does not come out as it says, with file and line.
pub async fn run(name: &str, text: &str, server: &mut Server) -> Vec<String> {
    let mut instants = HashMap::new();
    let mut wrong = Vec::new();
    for record in parse(text) {
        if let Err(reason) = one(&record, server, &mut instants).await {
            wrong.push(format!("{name}:{}: {reason}", record.line));
        }
    }
    wrong
}

type Instants = HashMap<String, Instant>;

async fn one(record: &Record, server: &mut Server, instants: &mut Instants) -> Result<(), String> {
    let words: Vec<&str> = record.words.iter().map(String::as_str).collect();
    let sql = fill(&record.body, instants);
    match words.as_slice() {
        ["send", path, rest @ ..] => {
            let reply = worked(send(server, path, &record.body).await)?;
            if let ["as", name] = rest {
                let at = reply.json()["system_time"].as_str().and_then(|text| Instant::parse(text).ok());
                instants.insert((*name).to_owned(), at.ok_or("the receipt has no time")?);
            }
            Ok(())
        }
        ["declare", path, strictness] => {
            let schema = serde_json::from_str(&record.body).map_err(|error| format!("the schema: {error}"))?;
            let path = format!("/v1/{path}/schema?strictness={strictness}");
            worked(server.client().put_json(&path, &schema).await).map(drop)
        }
        ["refuse", path, code] => refused(&send(server, path, &record.body).await, code),
        ["statement", "error", code] => refused(&server.client().query(&sql, &[]).await, code),
        ["statement", "ok"] => rows(server, &sql).await.map(drop),
        ["query", how @ ..] => {
            let mut rows = rows(server, &sql).await?;
            if how.contains(&"rowsort") {
                rows.sort();
            }
            let expected: Vec<String> = record.expected.iter().flatten().map(|line| fill(line, instants)).collect();
            if rows == expected { Ok(()) } else { Err(format!("{rows:?}, expected {expected:?}")) }
        }
        ["restart"] => {
            let ended = server.stop().await;
            server.restart().await;
            if ended.success() { Ok(()) } else { Err(format!("the server ended with {ended}")) }
        }
        _ => Err(format!("no such record: {words:?}")),
    }
}

fn worked(reply: Reply) -> Result<Reply, String> {
    if reply.status == 200 { Ok(reply) } else { Err(format!("{} {}", reply.status, reply.text())) }
}

fn refused(reply: &Reply, code: &str) -> Result<(), String> {
    let is = (reply.status >= 400).then(|| reply.problem());
    if is.as_deref() == Some(code) {
        Ok(())
    } else {
        Err(format!("{} {}, expected {code}", reply.status, reply.text()))
    }
}

async fn send(server: &Server, path: &str, body: &str) -> Reply {
    let headers = [("content-type", "application/x-ndjson")];
    server.client().post(&format!("/v1/{path}"), body.to_owned(), &headers).await
}

async fn rows(server: &Server, sql: &str) -> Result<Vec<String>, String> {
    let answer = worked(server.client().query(sql, &[]).await)?.json();
    let line = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect::<Vec<_>>().join(" ");
    Ok(answer["rows"].as_array().into_iter().flatten().map(line).collect())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.replace(' ', "␣"),
        other => other.to_string(),
    }
}

/// Puts instants where their names stand.
fn fill(text: &str, instants: &HashMap<String, Instant>) -> String {
    let mut filled = text.to_owned();
    for (name, at) in instants {
        for (suffix, micros) in [("", 0), ("-1us", -1), ("+1us", 1)] {
            filled = filled.replace(&format!("${{{name}{suffix}}}"), &at.plus_micros(micros).to_string());
        }
    }
    filled
}

fn parse(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')).peekable();
    while let Some((at, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let words = line.split_whitespace().map(str::to_owned).collect();
        let (mut body, mut expected) = (Vec::new(), None::<Vec<String>>);
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            match &mut expected {
                _ if line == "----" => expected = Some(Vec::new()),
                Some(rows) => rows.push(line.to_owned()),
                None => body.push(line),
            }
        }
        records.push(Record { line: at + 1, words, body: body.join("\n"), expected });
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let text = "# x\nsend a/events as t\n{}\n{}\n\nrestart\n\nquery I rowsort\nSELECT\n1\n----\n1\n2\n";
        let seen: Vec<_> =
            parse(text).into_iter().map(|it| (it.line, it.words.join(" "), it.body, it.expected)).collect();
        let expected = [
            (2, "send a/events as t".to_owned(), "{}\n{}".to_owned(), None),
            (6, "restart".to_owned(), String::new(), None),
            (8, "query I rowsort".to_owned(), "SELECT\n1".to_owned(), Some(vec!["1".to_owned(), "2".to_owned()])),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn instants_are_filled_in() {
        let instants = HashMap::from([("t".to_owned(), Instant::from_micros(1))]);
        assert_eq!(fill("'${t}' '${t-1us}'", &instants), "'1970-01-01T00:00:00.000001Z' '1970-01-01T00:00:00.000000Z'");
    }
}
