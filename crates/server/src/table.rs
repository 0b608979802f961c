//! An answer as a table for people: aligned columns, numbers to the right, the count of rows below.
//!
//! Widths are those of a terminal, wide characters counted twice. What a terminal would obey (control characters) is
//! shown, not sent.

use std::{borrow::Cow, time::Duration};

use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::client::{Answer, Column};

/// The most rows that are shown; a terminal is no place for more.
pub const ROWS_SHOWN_MAX: usize = 1000;
/// The widest a cell gets, in columns of the terminal.
const CELL_WIDTH_MAX: usize = 120;

/// Draws the answer.
#[must_use]
pub fn draw(answer: &Answer) -> String {
    let shown = &answer.rows[..answer.rows.len().min(ROWS_SHOWN_MAX)];
    let cells: Vec<Vec<String>> = shown.iter().map(|row| row.iter().map(cell).collect()).collect();
    let heads: Vec<String> = answer.columns.iter().map(|column| visible(&column.name).into_owned()).collect();
    let widest = |i: usize| cells.iter().filter_map(|row| row.get(i)).map(|text| text.width()).max().unwrap_or(0);
    let widths: Vec<usize> = heads.iter().enumerate().map(|(i, head)| head.width().max(widest(i))).collect();
    let mut out = String::new();
    line(&mut out, &heads, &widths, &vec![false; heads.len()]);
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    out.push_str(&rule.join("┼"));
    out.push('\n');
    let right: Vec<bool> = answer.columns.iter().map(is_number).collect();
    for row in &cells {
        line(&mut out, row, &widths, &right);
    }
    out
}

/// The line below a table: how many rows, and how long they took.
#[must_use]
pub fn footer(answer: &Answer, took: Option<Duration>) -> String {
    let rows = answer.rows.len();
    let noun = if rows == 1 { "row" } else { "rows" };
    let cut = if rows > ROWS_SHOWN_MAX {
        format!(", the first {ROWS_SHOWN_MAX} shown: use --format csv or a LIMIT for the rest")
    } else {
        String::new()
    };
    let took = took.map(|took| format!(", {:.1} ms", took.as_secs_f64() * 1000.0)).unwrap_or_default();
    format!("({rows} {noun}{took}{cut})\n")
}

fn line(out: &mut String, cells: &[String], widths: &[usize], right: &[bool]) {
    let mut text = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(width.saturating_sub(cell.width()));
        let (before, after) = if right.get(i) == Some(&true) { (pad.as_str(), "") } else { ("", pad.as_str()) };
        text.push_str(if i == 0 { " " } else { "│ " });
        text.extend([before, cell, after, " "]);
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

fn is_number(column: &Column) -> bool {
    ["Int", "UInt", "Float", "Decimal"].iter().any(|prefix| column.data_type.starts_with(prefix))
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".into(),
        Value::String(text) => visible(text),
        other => Cow::Owned(other.to_string()),
    };
    cut(&text)
}

/// Control characters by their names: `\n`, `\t`, `\u{1b}`.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::new(), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    }))
}

fn cut(text: &str) -> String {
    if text.width() <= CELL_WIDTH_MAX {
        return text.to_owned();
    }
    let mut width = 1;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width <= CELL_WIDTH_MAX
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(columns: &[(&str, &str)], rows: Vec<Vec<Value>>) -> Answer {
        let column = |(name, kind): &(&str, &str)| Column { name: (*name).to_owned(), data_type: (*kind).to_owned() };
        Answer { columns: columns.iter().map(column).collect(), rows }
    }

    #[test]
    fn columns_are_aligned() {
        let columns = [("status", "Utf8"), ("n", "Int64"), ("note", "Utf8")];
        let rows = vec![
            vec![json!("departed"), json!(7), json!(null)],
            vec![json!("日本"), json!(-12345), json!("a\nb\u{1b}[2J")],
        ];
        let expected = [
            " status   │ n      │ note",
            "──────────┼────────┼───────────────",
            " departed │      7 │ NULL",
            " 日本     │ -12345 │ a\\nb\\u{1b}[2J",
            "",
        ];
        assert_eq!(draw(&answer(&columns, rows)), expected.join("\n"));
    }

    #[test]
    fn long_cells_and_long_answers_are_cut() {
        let rows = vec![vec![json!("x".repeat(500))]; 1200];
        let long = answer(&[("a", "Utf8")], rows);
        let drawn = draw(&long);
        assert_eq!(drawn.lines().count(), 2 + ROWS_SHOWN_MAX);
        assert!(drawn.lines().all(|line| line.width() <= CELL_WIDTH_MAX + 2), "{}", drawn.lines().nth(2).unwrap());
        assert!(footer(&long, None).starts_with("(1200 rows, the first 1000 shown"));
        assert_eq!(footer(&answer(&[], vec![vec![]]), Some(Duration::from_micros(1234))), "(1 row, 1.2 ms)\n");
    }
}
