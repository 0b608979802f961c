//! What `wire` promises, as tables of input and expectation.

use arrow::{
    array::{
        DictionaryArray, Int32Array, Int64Array, LargeListArray, ListArray, ListBuilder, StringArray, StringBuilder,
        StringViewArray, StructArray,
    },
    datatypes::{Fields, Int8Type, Int32Type},
};
use arrow_flight::decode::FlightRecordBatchStream;
use futures::TryStreamExt;
use prost::Message;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The messages of some batches, and the batches that come out of them.
async fn sent(schema: SchemaRef, batches: Vec<RecordBatch>) -> (Vec<FlightData>, Vec<RecordBatch>) {
    let stream = encode(schema, stream::iter(batches.into_iter().map(Ok)), None);
    let messages: Vec<FlightData> = stream.try_collect().await.unwrap();
    let again = stream::iter(messages.clone().into_iter().map(Ok));
    (messages, FlightRecordBatchStream::new_from_flight_data(again).try_collect().await.unwrap())
}

#[tokio::test]
async fn what_drivers_cannot_read_is_made_plain() {
    let dictionary: DictionaryArray<Int8Type> = vec![Some("a"), None].into_iter().collect();
    let lists = vec![Some(vec![Some(1)]), None];
    let fields = Fields::from(vec![Field::new("v", DataType::Utf8View, true)]);
    let inner: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "longer than twelve bytes"]));
    let batch = batch(vec![
        ("view", inner.clone()),
        ("dictionary", Arc::new(dictionary)),
        ("large", Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("nested", Arc::new(StructArray::new(fields, vec![inner], None))),
    ]);
    let wire = schema(&batch.schema());
    let types: Vec<String> = wire.fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Utf8", "List(Int32)", "Struct(\"v\": Utf8)"]);
    let (messages, back) = sent(wire.clone(), vec![batch]).await;
    assert_eq!(messages.len(), 2);
    assert_eq!((back[0].schema(), back[0].num_rows()), (wire, 2));
}

#[tokio::test]
async fn an_empty_answer_sends_its_schema() {
    let wire = schema(&Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let empty = RecordBatch::new_empty(wire.clone());
    for batches in [vec![], vec![empty]] {
        let (messages, back) = sent(wire.clone(), batches).await;
        assert_eq!((messages.len(), back.len()), (1, 0));
        assert_eq!(Schema::try_from(&messages[0]).unwrap(), *wire);
    }
    let (messages, _) = sent(Arc::new(Schema::empty()), vec![]).await;
    assert_eq!(messages.len(), 1);
}

#[tokio::test]
async fn a_batch_is_restamped_with_the_schema_that_was_told() {
    let told = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let stricter = Schema::new(vec![Field::new("other", DataType::Int64, false)]);
    let batch = RecordBatch::try_new(Arc::new(stricter), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let (_, back) = sent(told.clone(), vec![batch.clone()]).await;
    assert_eq!(back[0].schema(), told);
    let two =
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("m", DataType::Int64, true)]));
    let failed: Result<Vec<_>, Status> = encode(two, stream::iter([Ok(batch)]), None).try_collect().await;
    assert_eq!(failed.unwrap_err().code(), tonic::Code::Internal);
}

#[tokio::test]
async fn messages_stay_small_and_few() {
    let wide = "x".repeat(1000);
    let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..30_000).map(|n| format!("{n}{wide}"))));
    let mut lists = ListBuilder::new(StringBuilder::new());
    for n in 0..30_000 {
        lists.values().append_value(format!("{n}{wide}"));
        lists.append(true);
    }
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..30_000));
    // One heavy row among light ones, and lists, whose children are not sliced with them.
    let heavy: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..30_000).map(|n| if n == 7 { "y".repeat(3 << 20) } else { String::new() }),
    ));
    // A heavy row is found by halving.
    for (column, most) in [(text, 34), (Arc::new(lists.finish()) as ArrayRef, 34), (heavy, 24)] {
        let batch = batch(vec![("n", numbers.clone()), ("c", column)]);
        for batch in [batch.clone(), batch.slice(100, 29_900)] {
            let rows = batch.num_rows();
            let (messages, back) = sent(schema(&batch.schema()), vec![batch]).await;
            assert_eq!(back.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
            let largest = messages.iter().map(Message::encoded_len).max().unwrap();
            assert!(largest < 4 << 20, "{largest} bytes");
            assert!(messages.len() <= most, "{} messages", messages.len());
        }
    }
    let tiny: Vec<_> = (0..50).map(|n| batch(vec![("n", numbers.clone())]).slice(n * 10, 10)).collect();
    let (messages, _) = sent(schema(&tiny[0].schema()), tiny).await;
    assert_eq!(messages.len(), 51);
}

#[test]
fn sizes_count_what_is_sent() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..1000).map(|n| Some(vec![Some(n); 100])));
    let (all, one) = (message_bytes(&lists), message_bytes(&lists.slice(5, 1)));
    assert!((400_000..500_000).contains(&all) && (400..1_000).contains(&one), "{all} {one}");
}
