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
        self.print();
        let whole = json!({ "name": self.name, "what": self.what, "rows": self.objects() });
        fs::create_dir_all(results())?;
        fs::write(self.file(), serde_json::to_vec_pretty(&whole)?)
    }

    /// The same of a benchmark with several tables: the others in the file stay.
    pub(crate) fn finish_part(self, part: &str) -> Result<(), std::io::Error> {
        self.print();
        fs::create_dir_all(results())?;
        let before = fs::read(self.file()).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let mut whole = before.unwrap_or_else(|| json!({ "name": self.name, "parts": {} }));
        whole["parts"][part] = json!({ "what": self.what, "rows": self.objects() });
        fs::write(self.file(), serde_json::to_vec_pretty(&whole)?)
    }

    fn print(&self) {
        println!("\n### {}\n\n{}\n\n| {} |", self.name, self.what, self.columns.join(" | "));
        println!("|{}", "---|".repeat(self.columns.len()));
        self.rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
    }

    fn file(&self) -> PathBuf {
        results().join(format!("{}.json", self.name))
    }

    fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<String>| {
            Value::Object(
                self.columns
                    .iter()
                    .zip(row)
                    .map(|(column, cell)| ((*column).to_owned(), json!(cell)))
                    .collect::<Map<_, _>>(),
            )
        };
        self.rows.iter().map(object).collect()
    }
}

fn results() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results")
}

/// `0.123 (0.120–0.130)`.
pub(crate) fn spread(of: Spread) -> String {
    format!("{:.3} ({:.3}–{:.3})", of.median, of.min, of.max)
}
