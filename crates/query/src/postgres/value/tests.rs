//! Every type in both forms; what PostgreSQL 15 sends for the same values.

use arrow::{
    array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array, Int32Array, Int64Array,
        ListArray, StringArray, StructArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt32Array,
        UInt64Array,
    },
    datatypes::{Field, Int32Type as I32},
};

use super::*;

fn both(array: ArrayRef) -> (Option<String>, Option<Vec<u8>>) {
    let array = usual(&array).unwrap();
    let one = |format| {
        let mut out = Vec::new();
        Column::of(&array, format).unwrap().write(0, &mut out).then_some(out)
    };
    (one(Format::Text).map(|text| String::from_utf8(text).unwrap()), one(Format::Binary))
}

#[test]
fn values_have_postgresqls_forms() {
    let at = 1_357_020_000_500_000;
    let cases: Vec<(ArrayRef, &str, Vec<u8>)> = vec![
        (Arc::new(BooleanArray::from(vec![true])), "t", vec![1]),
        (Arc::new(Int8Array::from(vec![-1])), "-1", vec![255, 255]),
        (Arc::new(Int32Array::from(vec![258])), "258", vec![0, 0, 1, 2]),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), "4294967295", vec![255; 4]),
        (Arc::new(Int64Array::from(vec![1])), "1", vec![0, 0, 0, 0, 0, 0, 0, 1]),
        (
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            "18446744073709551615",
            vec![0, 5, 0, 4, 0, 0, 0, 0, 7, 52, 26, 88, 2, 225, 3, 187, 6, 79],
        ),
        (Arc::new(Float64Array::from(vec![1.5])), "1.5", 1.5_f64.to_be_bytes().to_vec()),
        (
            Arc::new(Decimal128Array::from(vec![1234]).with_precision_and_scale(10, 2).unwrap()),
            "12.34",
            vec![0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 13, 72],
        ),
        (Arc::new(StringArray::from(vec!["ü"])), "ü", "ü".as_bytes().to_vec()),
        (Arc::new(BinaryArray::from(vec![&[0_u8, 255][..]])), "\\x00ff", vec![0, 255]),
        (Arc::new(Date32Array::from(vec![10_958])), "2000-01-02", vec![0, 0, 0, 1]),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![at]).with_timezone("UTC")),
            "2013-01-01 06:00:00.5+00",
            (at - 946_684_800_000_000).to_be_bytes().to_vec(),
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![1_000])),
            "1970-01-01 00:00:00.000001",
            (1 - 946_684_800_000_000_i64).to_be_bytes().to_vec(),
        ),
        (
            Arc::new(ListArray::from_iter_primitive::<I32, _, _>(vec![Some(vec![Some(1), None])])),
            "{1,NULL}",
            vec![
                0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 255,
            ],
        ),
    ];
    for (array, text, binary) in cases {
        let of = array.data_type().clone();
        assert_eq!(both(array), (Some(text.to_owned()), Some(binary)), "{of}");
    }
}

#[test]
fn structures_are_json_and_nulls_nothing() {
    let inner = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let structure = StructArray::from(vec![(Arc::new(Field::new("a", DataType::Int64, true)), inner)]);
    assert_eq!(both(Arc::new(structure)).0.as_deref(), Some("{\"a\":1}"));
    assert_eq!(both(Arc::new(StringArray::from(vec![None::<&str>]))), (None, None));
    assert_eq!(both(arrow::array::new_null_array(&DataType::Null, 1)), (None, None));
}
