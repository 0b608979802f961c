//! Questions in SQL, and answers as rows of text.

use arrow::{
    array::{Array as _, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use tidemark_model::{CollectionName, Instant, Namespace};

use crate::{lake::Lake, oracle::Asked};

/// What a question about documents answers: `_id`, `n`, `v` as text, `_doc`.
pub type Rows = Result<Vec<[String; 4]>, String>;

/// The clauses of a question, in one order or the other.
#[must_use]
pub fn clauses(asked: &Asked, order: Order) -> String {
    let clause = |axis: &str, at: Option<Instant>| at.map(|at| format!("FOR {axis}_TIME AS OF TIMESTAMP '{at}'"));
    let mut clauses = [clause("SYSTEM", asked.system_time), clause("VALID", asked.valid_time)];
    if order == Order::ValidFirst {
        clauses.reverse();
    }
    clauses.into_iter().flatten().collect::<Vec<String>>().join(" ")
}

/// Which clause comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// System time.
    SystemFirst,
    /// Source time.
    ValidFirst,
}

/// The documents of a collection at the instants.
///
/// # Errors
/// What the room says.
pub fn documents(lake: &Lake, (namespace, collection): (&Namespace, &CollectionName), clauses: &str) -> Rows {
    let sql = format!("SELECT _id, n, CAST(v AS VARCHAR), _doc FROM {namespace}.{collection} {clauses} ORDER BY _id");
    lake.ask(&sql).map(|batches| batches.iter().flat_map(rows).collect())
}

/// The changes of a collection as events, at the instants, in any order: key, image, source time, bookmark.
///
/// # Errors
/// What the room says.
pub fn events(lake: &Lake, (namespace, collection): (&Namespace, &CollectionName), asked: &Asked) -> Rows {
    let clauses = clauses(asked, Order::SystemFirst);
    let sql = format!(
        "SELECT document_id, data, arrow_cast(ts, 'Int64'), bookmark FROM {namespace}.events {clauses} \
         WHERE collection = '{collection}'"
    );
    lake.ask(&sql).map(|batches| {
        let mut all: Vec<[String; 4]> = batches.iter().flat_map(rows).collect();
        all.sort();
        all
    })
}

/// Rows of so many columns, as text.
///
/// # Panics
/// When a column cannot be shown.
#[must_use]
pub fn rows<const N: usize>(batch: &RecordBatch) -> Vec<[String; N]> {
    let options = FormatOptions::new();
    let columns: Vec<_> = batch.columns().iter().map(|it| ArrayFormatter::try_new(it, &options).unwrap()).collect();
    let cell = |column: usize, row: usize| {
        if batch.column(column).is_null(row) { "NULL".to_owned() } else { columns[column].value(row).to_string() }
    };
    (0..batch.num_rows()).map(|row| std::array::from_fn(|column| cell(column, row))).collect()
}
