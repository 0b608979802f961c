//! The table people read and `benches/results/<name>.json`.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value, json};

use crate::measure::Spread;

/// A benchmark's table.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    what: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Report {
    pub(crate) fn new(name: &'static str, what: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { name, what: what.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        println!("  {}", cells.join(" | "));
        self.rows.push(cells);
    }

    /// Prints the table as Markdown and writes the JSON beside the sources.
    pub(crate) fn finish(self) -> Result<(), std::io::Error> {
        println!("\n### {}\n\n{}\n\n| {} |", self.name, self.what, self.columns.join(" | "));
        println!("|{}", "---|".repeat(self.columns.len()));
        self.rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
        let object = |row: &Vec<String>| {
            Value::Object(
                self.columns
                    .iter()
                    .zip(row)
                    .map(|(column, cell)| ((*column).to_owned(), json!(cell)))
                    .collect::<Map<_, _>>(),
            )
        };
        let rows: Vec<Value> = self.rows.iter().map(object).collect();
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results").join(format!("{}.json", self.name));
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        fs::write(file, serde_json::to_vec_pretty(&json!({ "name": self.name, "what": self.what, "rows": rows }))?)
    }
}

/// `0.123 (0.120–0.130)`.
pub(crate) fn spread(of: Spread) -> String {
    format!("{:.3} ({:.3}–{:.3})", of.median, of.min, of.max)
}
