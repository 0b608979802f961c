//! What `cell` promises, as tables of input and expectation.

use std::sync::Arc;

use arrow::{
    array::{
        BinaryArray, BinaryViewArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array, DictionaryArray,
        DurationMillisecondArray, FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array,
        Int8Array, Int32Array, Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray, IntervalYearMonthArray,
        LargeListArray, LargeStringArray, ListArray, MapBuilder, NullArray, StringArray, StringBuilder,
        StringViewArray, StructArray, Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt64Array, UnionArray,
    },
    buffer::ScalarBuffer,
    datatypes::{Field, Fields, IntervalDayTime, IntervalMonthDayNano, UnionFields, i256},
};

use super::*;

/// JSON and bare text of every row.
fn both(array: ArrayRef) -> Vec<(String, String)> {
    let column = Column::of(&array).unwrap();
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    (0..array.len()).map(|row| (text(&|out| column.json(row, out)), text(&|out| column.text(row, out)))).collect()
}

fn check<const N: usize>(array: impl Array + 'static, expected: [(&str, &str); N]) {
    let kind = array.data_type().clone();
    let array: ArrayRef = Arc::new(array);
    let expected: Vec<_> = expected.iter().map(|(json, text)| ((*json).to_owned(), (*text).to_owned())).collect();
    assert_eq!(both(array.clone()), expected, "{kind}");
    if N > 1 {
        assert_eq!(both(array.slice(1, N - 1)), expected[1..], "{kind}, sliced");
    }
    for (json, _) in &expected {
        assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{json}");
    }
}

#[test]
fn numbers_are_exact() {
    check(NullArray::new(1), [("null", "")]);
    check(
        BooleanArray::from(vec![Some(true), None, Some(false)]),
        [("true", "true"), ("null", ""), ("false", "false")],
    );
    check(Int8Array::from(vec![-128, 127]), [("-128", "-128"), ("127", "127")]);
    check(
        Int64Array::from(vec![i64::MIN, i64::MAX]),
        [("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")],
    );
    check(UInt64Array::from(vec![u64::MAX]), [("18446744073709551615", "18446744073709551615")]);
    check(Float32Array::from(vec![0.1, f32::NAN]), [("0.1", "0.1"), ("\"NaN\"", "NaN")]);
    check(Float16Array::from_iter_values([Float16Type::default_value()]), [("0.0", "0.0")]);
    check(
        Float64Array::from(vec![0.1, 1e300, f64::INFINITY, f64::NEG_INFINITY, -0.0]),
        [
            ("0.1", "0.1"),
            ("1e+300", "1e+300"),
            ("\"Infinity\"", "Infinity"),
            ("\"-Infinity\"", "-Infinity"),
            ("-0.0", "-0.0"),
        ],
    );
    let decimal = Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(38, 2).unwrap();
    check(decimal, [("\"123.45\"", "123.45"), ("\"-0.05\"", "-0.05")]);
    check(
        Decimal256Array::from(vec![i256::from_i128(i128::MAX)]).with_precision_and_scale(76, 1).unwrap(),
        [("\"17014118346046923173168730371588410572.7\"", "17014118346046923173168730371588410572.7")],
    );
}

#[test]
fn times_are_rfc_3339() {
    check(Date32Array::from(vec![0, -1]), [("\"1970-01-01\"", "1970-01-01"), ("\"1969-12-31\"", "1969-12-31")]);
    check(Date64Array::from(vec![86_400_000]), [("\"1970-01-02\"", "1970-01-02")]);
    check(Time32SecondArray::from(vec![3_661]), [("\"01:01:01.000000\"", "01:01:01.000000")]);
    check(Time64NanosecondArray::from(vec![1]), [("\"00:00:00.000000001\"", "00:00:00.000000001")]);
    check(TimestampSecondArray::from(vec![0]), [("\"1970-01-01T00:00:00.000000\"", "1970-01-01T00:00:00.000000")]);
    for zone in ["UTC", "+00:00", "America/New_York"] {
        check(
            TimestampMicrosecondArray::from(vec![1_357_020_000_123_456]).with_timezone(zone),
            [("\"2013-01-01T06:00:00.123456Z\"", "2013-01-01T06:00:00.123456Z")],
        );
    }
    check(
        TimestampNanosecondArray::from(vec![1, 1_000]),
        [
            ("\"1970-01-01T00:00:00.000000001\"", "1970-01-01T00:00:00.000000001"),
            ("\"1970-01-01T00:00:00.000001\"", "1970-01-01T00:00:00.000001"),
        ],
    );
    check(DurationMillisecondArray::from(vec![1_500]), [("\"PT1.500000S\"", "PT1.500000S")]);
    check(IntervalYearMonthArray::from(vec![14]), [("\"P14M\"", "P14M")]);
    check(IntervalDayTimeArray::from(vec![IntervalDayTime::new(2, 500)]), [("\"P2DT0.500000S\"", "P2DT0.500000S")]);
    check(
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3_000_000_000)]),
        [("\"P1M2DT3S\"", "P1M2DT3S")],
    );
}

#[test]
fn text_is_escaped_and_bytes_are_hex() {
    let odd = "a\"\\\n\u{1}é😀";
    check(StringArray::from(vec![odd, ""]), [("\"a\\\"\\\\\\n\\u0001é😀\"", odd), ("\"\"", "")]);
    check(LargeStringArray::from(vec!["x"]), [("\"x\"", "x")]);
    check(
        StringViewArray::from(vec!["longer than twelve bytes"]),
        [("\"longer than twelve bytes\"", "longer than twelve bytes")],
    );
    check(BinaryArray::from(vec![&b"\x00\xff"[..]]), [("\"00ff\"", "00ff")]);
    check(BinaryViewArray::from(vec![&b"\x0a"[..]]), [("\"0a\"", "0a")]);
    check(FixedSizeBinaryArray::try_from_iter([[1, 2]].iter()).unwrap(), [("\"0102\"", "0102")]);
    let dictionary: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    check(dictionary, [("\"a\"", "a"), ("null", ""), ("\"a\"", "a")]);
}

#[test]
fn what_is_nested_is_json() {
    let lists = || vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let expected = [("[1,null]", "[1,null]"), ("null", ""), ("[]", "[]")];
    check(ListArray::from_iter_primitive::<Int32Type, _, _>(lists()), expected);
    check(LargeListArray::from_iter_primitive::<Int32Type, _, _>(lists()), expected);
    check(
        FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)]), None], 2),
        [("[1,2]", "[1,2]"), ("null", "")],
    );
    let fields = Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b\"", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["x", "y"]))];
    check(
        StructArray::new(fields, columns, None),
        [
            ("{\"a\":1,\"b\\\"\":\"x\"}", "{\"a\":1,\"b\\\"\":\"x\"}"),
            ("{\"a\":null,\"b\\\"\":\"y\"}", "{\"a\":null,\"b\\\"\":\"y\"}"),
        ],
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Array::builder(1));
    map.keys().append_value("k");
    map.values().append_value(7);
    map.append(true).unwrap();
    check(map.finish(), [("{\"k\":7}", "{\"k\":7}")]);
    let mut map = MapBuilder::new(None, Int32Array::builder(1), Int32Array::builder(1));
    map.keys().append_value(1);
    map.values().append_null();
    map.append(true).unwrap();
    check(map.finish(), [("[{\"key\":1,\"value\":null}]", "[{\"key\":1,\"value\":null}]")]);
    let fields =
        UnionFields::from_fields([Field::new("i", DataType::Int32, true), Field::new("s", DataType::Utf8, true)]);
    let (ids, offsets) = (ScalarBuffer::from(vec![0_i8, 1]), ScalarBuffer::from(vec![0, 0]));
    let children: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![5])), Arc::new(StringArray::from(vec!["x"]))];
    check(UnionArray::try_new(fields, ids, Some(offsets), children).unwrap(), [("5", "5"), ("\"x\"", "x")]);
}
