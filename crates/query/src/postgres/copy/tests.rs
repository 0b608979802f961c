//! What PostgreSQL 15 writes for the same rows.

use std::sync::Arc;

use arrow::{
    array::{Int64Array, StringArray},
    datatypes::{DataType, Field, Schema},
};

use super::*;

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("a,b", DataType::Utf8, true)]);
    let text = StringArray::from(vec![Some("x\ty\\"), Some("say \"hi\"\n"), None, Some("")]);
    let numbers = Int64Array::from(vec![Some(1), None, Some(-3), Some(4)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(text)]).unwrap()
}

fn written(options: Options) -> Vec<u8> {
    let (style, batch) = (options.into_style().unwrap(), batch());
    let mut out = style.head(&batch.schema());
    style.rows(&batch, |row| out.extend_from_slice(row)).unwrap();
    out
}

#[test]
fn text_escapes_and_csv_quotes() {
    let csv =
        |has_header, quotes_all| Options { format: "csv".to_owned(), has_header, quotes_all, ..Options::default() };
    for (options, expected) in [
        (Options::default(), "1\tx\\ty\\\\\n\\N\tsay \"hi\"\\n\n-3\t\\N\n4\t\n"),
        (csv(true, false), "n,\"a,b\"\n1,x\ty\\\n,\"say \"\"hi\"\"\n\"\n-3,\n4,\"\"\n"),
        (csv(false, true), "\"1\",\"x\ty\\\"\n,\"say \"\"hi\"\"\n\"\n\"-3\",\n\"4\",\"\"\n"),
        (
            Options { delimiter: Some("|".to_owned()), null: Some("~".to_owned()), ..Options::default() },
            "1|x\\ty\\\\\n~|say \"hi\"\\n\n-3|~\n4|\n",
        ),
    ] {
        assert_eq!(String::from_utf8(written(options)).unwrap(), expected);
    }
}

#[test]
fn a_binary_file_has_lengths_and_nulls() {
    let out = written(Options { format: "binary".to_owned(), ..Options::default() });
    let rows = &out[SIGNATURE.len()..];
    assert_eq!(&rows[..18], [&[0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0, 0, 0, 4]].concat());
    assert_eq!(&rows[18..28], [&b"x\ty\\"[..], &[0, 2, 255, 255, 255, 255]].concat());
}
