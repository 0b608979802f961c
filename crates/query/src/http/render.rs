//! Spellings of an answer: each writes its beginning, its batches, its end, and what can still be said when the query
//! breaks in the middle.

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use arrow_ipc::writer::StreamWriter;

use super::{
    accept::Format,
    bulk::{Changes, Parquet},
    cell::{Column, plain},
    nest::{label, object_of},
};
use crate::{AsOf, Error};

/// A spelling at work. Everything goes to the end of `out`.
pub(crate) trait Render: Send {
    /// What stands before the first row.
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError>;
    /// Rows.
    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError>;
    /// What stands after the last row.
    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError>;
    /// What a reader of a broken answer is told, where the spelling has room for it.
    fn broken(&mut self, error: &Error, out: &mut Vec<u8>) {
        let _ = (error, out);
    }
}

/// The spelling of a format for an answer of this schema.
pub(crate) fn render(format: Format, schema: SchemaRef, as_of: AsOf) -> Result<Box<dyn Render>, ArrowError> {
    Ok(match format {
        Format::Json => Box::new(Json { schema, as_of, rows: 0 }),
        Format::Ndjson => {
            Box::new(Ndjson { labels: schema.fields().iter().map(|field| label(field.name())).collect() })
        }
        Format::Csv => Box::new(Csv { schema, cell: Vec::new() }),
        Format::Arrow => Box::new(Arrow(StreamWriter::try_new(Vec::new(), &schema)?)),
        Format::Parquet => Box::new(Parquet::of(schema)?),
        Format::Changes => Box::new(Changes),
    })
}

fn columns(batch: &RecordBatch) -> Result<Vec<Column<'_>>, ArrowError> {
    batch.columns().iter().map(Column::of).collect()
}

/// `{"code":…,"detail":…}`.
fn error_object(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"code\":");
    plain(error.code(), out);
    out.extend_from_slice(b",\"detail\":");
    plain(&error.to_string(), out);
    out.push(b'}');
}

/// `{"columns":[…],"rows":[[…]],"as_of":{…}}`.
struct Json {
    schema: SchemaRef,
    as_of: AsOf,
    rows: u64,
}

impl Render for Json {
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.extend_from_slice(b"{\"columns\":[");
        for (i, field) in self.schema.fields().iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",{\"name\":" } else { b"{\"name\":" });
            plain(field.name(), out);
            out.extend_from_slice(b",\"type\":");
            plain(&field.data_type().to_string(), out); // as arrow_typeof spells it
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"rows\":[");
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let columns = columns(batch)?;
        for row in 0..batch.num_rows() {
            out.extend_from_slice(if self.rows > 0 { b",\n[" } else { b"\n[" });
            self.rows += 1;
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                column.json(row, out);
            }
            out.push(b']');
        }
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.extend_from_slice(b"],\"as_of\":{\"system_time\":");
        plain(&self.as_of.system_time.to_string(), out);
        if let Some(at) = self.as_of.valid_time {
            out.extend_from_slice(b",\"valid_time\":");
            plain(&at.to_string(), out);
        }
        out.extend_from_slice(b"}}\n");
        Ok(())
    }

    fn broken(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"error\":");
        error_object(error, out);
        out.extend_from_slice(b"}\n");
    }
}

/// An object per line.
struct Ndjson {
    labels: Vec<Vec<u8>>,
}

impl Render for Ndjson {
    fn open(&mut self, _out: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let fields: Vec<_> = self.labels.iter().cloned().zip(columns(batch)?).collect();
        for row in 0..batch.num_rows() {
            object_of(&fields, row, out);
            out.push(b'\n');
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }

    fn broken(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":");
        error_object(error, out);
        out.extend_from_slice(b"}\n");
    }
}

/// RFC 4180: CRLF, quotes where needed; null is nothing, empty text is `""`.
struct Csv {
    schema: SchemaRef,
    /// A cell before it is known whether it needs quotes.
    cell: Vec<u8>,
}

impl Csv {
    fn field(&mut self, out: &mut Vec<u8>) {
        let special = |b: &u8| matches!(b, b'"' | b',' | b'\r' | b'\n');
        let edge = |b: Option<&u8>| matches!(b, None | Some(b' '));
        if !self.cell.iter().any(special) && !edge(self.cell.first()) && !edge(self.cell.last()) {
            out.append(&mut self.cell);
            return;
        }
        out.push(b'"');
        for b in self.cell.drain(..) {
            if b == b'"' {
                out.push(b'"');
            }
            out.push(b);
        }
        out.push(b'"');
    }
}

impl Render for Csv {
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let schema = self.schema.clone();
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            self.cell.extend_from_slice(field.name().as_bytes());
            self.field(out);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let columns = columns(batch)?;
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                if !column.is_null(row) {
                    column.text(row, &mut self.cell);
                    self.field(out);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }
}

/// Arrow IPC stream; a broken one has no end mark.
struct Arrow(StreamWriter<Vec<u8>>);

impl Render for Arrow {
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.append(self.0.get_mut());
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        self.0.write(batch)?;
        out.append(self.0.get_mut());
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        self.0.finish()?;
        out.append(self.0.get_mut());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
