//! The floor of ingest: parse, Arrow, Parquet zstd(1) of the same bytes in one process. No network, no log, no checks.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringBuilder, TimestampMicrosecondBuilder},
    datatypes::{DataType, Field, Schema},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tidemark_fold::columns;
use tidemark_model::Instant;

use crate::measure::{Cost, Stopwatch};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What both kinds of benchmark records have.
#[derive(Deserialize)]
struct Record<'a> {
    id: &'a str,
    #[serde(rename = "type", alias = "op")]
    kind: &'a str,
    ts: &'a str,
    source: Option<&'a str>,
    subject: Option<&'a str>,
    #[serde(borrow, alias = "doc")]
    data: Option<&'a RawValue>,
}

/// Does the least that turns NDJSON bodies into one Parquet file in memory; gives cost and bytes of the file.
pub(crate) fn run(bodies: &[Vec<u8>]) -> Result<(Cost, usize), Error> {
    let watch = Stopwatch::start();
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema = Arc::new(Schema::new(vec![
        text("id"),
        text("type"),
        Field::new("ts", columns::timestamp(), true),
        text("source"),
        text("subject"),
        text("data"),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(131_072));
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties.build()))?;
    for body in bodies {
        writer.write(&batch(&schema, body)?)?;
    }
    let bytes = writer.into_inner()?.len();
    Ok((watch.stop(), bytes))
}

fn batch(schema: &Arc<Schema>, body: &[u8]) -> Result<RecordBatch, Error> {
    let mut texts: [StringBuilder; 5] = std::array::from_fn(|_| StringBuilder::new());
    let mut ts = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Record<'_> = serde_json::from_slice(line)?;
        ts.append_value(Instant::parse(record.ts)?.micros());
        let values =
            [Some(record.id), Some(record.kind), record.source, record.subject, record.data.map(RawValue::get)];
        texts.iter_mut().zip(values).for_each(|(builder, value)| builder.append_option(value));
    }
    let mut columns: Vec<ArrayRef> = texts.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
    columns.insert(2, Arc::new(ts.finish()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
