//! SQL scenarios as text: sqllogictest's format, as much as is needed, and three records of our own.
//!
//! ```text
//! # a comment
//! send shop/orders/changes as first        records up to an empty line are sent as NDJSON; `${first}` is its system time
//! {"op":"insert","id":"1","doc":{"n":1}}
//!
//! refuse shop/orders/changes missing_doc   the same, but refused with this code
//! {"op":"insert","id":"2"}
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

use crate::server::Server;

/// One record of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    line: usize,
    words: Vec<String>,
    body: String,
    expected: Option<Vec<String>>,
}

/// Runs a scenario against a server; how many records it had.
///
/// # Panics
/// At the first record that does not come out as it says, naming file and line.
pub async fn run(name: &str, text: &str, server: &mut Server) -> usize {
    let records = parse(text);
    let mut instants = HashMap::new();
    for record in &records {
        let place = format!("{name}:{}", record.line);
        let words: Vec<&str> = record.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["send", path, rest @ ..] => {
                let reply = send(server, path, &record.body).await;
                assert_eq!(reply.status, 200, "{place}: {}", reply.text());
                if let ["as", name] = rest {
                    let at = reply.json()["system_time"].as_str().map(Instant::parse);
                    instants.insert((*name).to_owned(), at.expect("a receipt has a time").expect("of six digits"));
                }
            }
            ["refuse", path, code] => {
                let reply = send(server, path, &record.body).await;
                assert_eq!(reply.problem(), *code, "{place}: {}", reply.text());
            }
            ["restart"] => {
                assert!(server.stop().await.success(), "{place}: the server drains");
                server.restart().await;
            }
            ["statement", "ok"] => drop(answer(server, &place, &fill(&record.body, &instants)).await),
            ["statement", "error", code] => {
                let reply = server.client().query(&fill(&record.body, &instants), &[]).await;
                assert_eq!(reply.problem(), *code, "{place}: {}", reply.text());
            }
            ["query", how @ ..] => {
                let mut rows = answer(server, &place, &fill(&record.body, &instants)).await;
                let expected: Vec<String> =
                    record.expected.iter().flatten().map(|line| fill(line, &instants)).collect();
                if how.contains(&"rowsort") {
                    rows.sort();
                }
                assert_eq!(rows, expected, "{place}");
            }
            _ => panic!("{place}: no such record: {words:?}"),
        }
    }
    records.len()
}

async fn send(server: &Server, path: &str, body: &str) -> crate::client::Reply {
    let headers = [("content-type", "application/x-ndjson")];
    server.client().post(&format!("/v1/{path}"), body.to_owned(), &headers).await
}

async fn answer(server: &Server, place: &str, sql: &str) -> Vec<String> {
    let reply = server.client().query(sql, &[]).await;
    assert_eq!(reply.status, 200, "{place}: {}", reply.text());
    let answer = reply.json();
    let rows = answer["rows"].as_array().cloned().unwrap_or_default();
    let line = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect::<Vec<_>>().join(" ");
    rows.iter().map(line).collect()
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
