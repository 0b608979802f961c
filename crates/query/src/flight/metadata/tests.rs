//! What `metadata` promises, as tables of input and expectation.

use std::sync::Arc;

use arrow::{
    array::AsArray,
    datatypes::{DataType, Field, Int32Type, Schema, TimeUnit, UInt32Type},
};
use arrow_flight::{
    IpcMessage,
    sql::{
        CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
        CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
        CommandGetXdbcTypeInfo, CommandStatementQuery,
    },
};
use arrow_ipc::reader::StreamReader;

use super::*;

fn table(schema_name: &str, name: &str, table_type: &'static str) -> TableInfo {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = vec![
        Field::new("_id", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("v", DataType::Utf8View, true),
        Field::new("_ts", utc, false),
    ];
    TableInfo {
        schema_name: schema_name.to_owned(),
        name: name.to_owned(),
        table_type,
        columns: Arc::new(Schema::new(columns)),
    }
}

fn lake() -> Vec<TableInfo> {
    vec![
        table("nyc", "flights", "BASE TABLE"),
        table("nyc", "events", "BASE TABLE"),
        table("lax", "flights_old", "BASE TABLE"),
        table("information_schema", "tables", "VIEW"),
    ]
}

fn answer(command: &Command) -> RecordBatch {
    let rows = rows(command, lake).unwrap().unwrap();
    assert_eq!(wire::schema(&rows.schema()), schema(command).unwrap(), "{command:?}");
    rows
}

/// `schema.table` of every row.
fn names(ask: CommandGetTables) -> Vec<String> {
    let rows = answer(&Command::CommandGetTables(ask));
    let column = |i: usize| rows.column(i).as_string::<i32>();
    (0..rows.num_rows()).map(|row| format!("{}.{}", column(1).value(row), column(2).value(row))).collect()
}

fn tables_of(catalog: Option<&str>, schema: Option<&str>, name: Option<&str>, types: &[&str]) -> CommandGetTables {
    CommandGetTables {
        catalog: catalog.map(str::to_owned),
        db_schema_filter_pattern: schema.map(str::to_owned),
        table_name_filter_pattern: name.map(str::to_owned),
        table_types: types.iter().map(|t| (*t).to_owned()).collect(),
        include_schema: false,
    }
}

/// `name type null|not null` of every column, which is what drivers compare.
fn shape(command: &Command) -> Vec<String> {
    let schema = schema(command).unwrap();
    let null = |field: &Field| if field.is_nullable() { "null" } else { "not null" };
    schema.fields().iter().map(|field| format!("{} {} {}", field.name(), field.data_type(), null(field))).collect()
}

#[test]
fn schemas_are_what_drivers_compare_with() {
    let tables = |include_schema| Command::CommandGetTables(CommandGetTables { include_schema, ..Default::default() });
    let foreign = [
        "pk_catalog_name Utf8 null",
        "pk_db_schema_name Utf8 null",
        "pk_table_name Utf8 not null",
        "pk_column_name Utf8 not null",
        "fk_catalog_name Utf8 null",
        "fk_db_schema_name Utf8 null",
        "fk_table_name Utf8 not null",
        "fk_column_name Utf8 not null",
        "key_sequence Int32 not null",
        "fk_key_name Utf8 null",
        "pk_key_name Utf8 null",
        "update_rule UInt8 not null",
        "delete_rule UInt8 not null",
    ];
    let four =
        ["catalog_name Utf8 null", "db_schema_name Utf8 null", "table_name Utf8 not null", "table_type Utf8 not null"];
    let five = [&four[..], &["table_schema Binary not null"]].concat();
    for (command, expected) in [
        (Command::CommandGetCatalogs(CommandGetCatalogs {}), &["catalog_name Utf8 not null"][..]),
        (
            Command::CommandGetDbSchemas(CommandGetDbSchemas::default()),
            &["catalog_name Utf8 null", "db_schema_name Utf8 not null"],
        ),
        (tables(false), &four),
        (tables(true), &five),
        (Command::CommandGetTableTypes(CommandGetTableTypes {}), &["table_type Utf8 not null"]),
        (
            Command::CommandGetPrimaryKeys(CommandGetPrimaryKeys::default()),
            &[
                "catalog_name Utf8 null",
                "db_schema_name Utf8 null",
                "table_name Utf8 not null",
                "column_name Utf8 not null",
                "key_sequence Int32 not null",
                "key_name Utf8 null",
            ],
        ),
        (Command::CommandGetExportedKeys(CommandGetExportedKeys::default()), &foreign),
        (Command::CommandGetImportedKeys(CommandGetImportedKeys::default()), &foreign),
        (Command::CommandGetCrossReference(CommandGetCrossReference::default()), &foreign),
    ] {
        assert_eq!(shape(&command), expected, "{command:?}");
        answer(&command);
    }
    assert!(schema(&Command::CommandStatementQuery(CommandStatementQuery::default())).is_none());
    assert!(rows(&Command::CommandStatementQuery(CommandStatementQuery::default()), Vec::new).is_none());
}

#[test]
fn tables_are_filtered_and_sorted() {
    let all = ["information_schema.tables", "lax.flights_old", "nyc.events", "nyc.flights"];
    for (ask, expected) in [
        (tables_of(None, None, None, &[]), &all[..]),
        (tables_of(Some("tidemark"), Some("%"), Some("%"), &[]), &all),
        (tables_of(Some(""), None, None, &[]), &[]),
        (tables_of(Some("other"), None, None, &[]), &[]),
        (tables_of(None, Some("nyc"), None, &[]), &all[2..]),
        (tables_of(None, Some(""), None, &[]), &[]),
        (tables_of(None, None, Some("flights"), &[]), &all[3..]),
        (tables_of(None, None, Some("flights_old"), &[]), &all[1..2]),
        (tables_of(None, None, Some("flights\\_old"), &[]), &all[1..2]),
        (tables_of(None, None, Some("select 1"), &[]), &[]),
        (tables_of(None, None, None, &["VIEW"]), &all[..1]),
        (tables_of(None, None, None, &["TABLE"]), &all[1..]),
        (tables_of(None, None, None, &["BASE TABLE", "table"]), &all[1..]),
        (tables_of(None, None, None, &["SYSTEM TABLE"]), &[]),
    ] {
        assert_eq!(names(ask.clone()), expected, "{ask:?}");
    }
}

#[test]
fn a_tables_schema_is_the_one_its_rows_travel_under() {
    let ask = CommandGetTables { include_schema: true, ..tables_of(None, Some("nyc"), Some("flights"), &[]) };
    let rows = answer(&Command::CommandGetTables(ask));
    let bytes = rows.column(4).as_binary::<i32>().value(0);
    let found = Schema::try_from(IpcMessage(bytes.to_vec().into())).unwrap();
    let table = table("nyc", "flights", "BASE TABLE");
    let wire = wire::schema(&table.columns);
    for (found, wire) in found.fields().iter().zip(wire.fields()) {
        assert_eq!(
            (found.name(), found.data_type(), found.is_nullable()),
            (wire.name(), wire.data_type(), wire.is_nullable())
        );
    }
    assert_eq!(found.field(1).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "BIGINT");
    assert_eq!(found.field(1).metadata()["ARROW:FLIGHT:SQL:PRECISION"], "19");
    assert_eq!(found.field(2).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "VARCHAR");
    assert_eq!(found.field(3).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "TIMESTAMP WITH TIME ZONE");
    assert_eq!(StreamReader::try_new(bytes, None).unwrap().schema().fields().len(), 4);
}

#[test]
fn schemas_are_listed_once() {
    for (catalog, pattern, expected) in [
        (None, None, &["information_schema", "lax", "nyc"][..]),
        (Some("tidemark"), Some("n%"), &["nyc"]),
        (Some(""), None, &[]),
        (None, Some("nothing"), &[]),
    ] {
        let ask = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let rows = answer(&Command::CommandGetDbSchemas(ask));
        let found: Vec<_> = rows.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!(found, expected);
        assert!(rows.column(0).as_string::<i32>().iter().flatten().all(|name| name == CATALOG));
    }
}

#[test]
fn info_stands_in_the_child_that_clients_cast_to() {
    let ask = |codes: &[u32]| answer(&Command::CommandGetSqlInfo(CommandGetSqlInfo { info: codes.to_vec() }));
    for (codes, expected) in [(&[8][..], 1), (&[0, 1, 2], 3), (&[0, 2, 3, 504], 4), (&[9_999], 0)] {
        assert_eq!(ask(codes).num_rows(), expected, "{codes:?}");
    }
    let all = ask(&[]);
    let (codes, values) = (all.column(0).as_primitive::<UInt32Type>(), all.column(1).as_union());
    let child = |code: u32| {
        let row = codes.values().iter().position(|c| *c == code).unwrap_or_else(|| panic!("{code} is missing"));
        (values.type_id(row), values.value(row))
    };
    for code in (0..=4).chain([504, 513, 514, 529, 530, 531]) {
        assert_eq!(child(code).0, i8::from([3, 4].contains(&code)), "{code}");
    }
    for code in [5, 9, 10, 11, 500, 501, 502, 506, 515, 516, 518, 519, 520, 521, 523, 524, 527, 532, 536, 537, 539, 556]
        .into_iter()
        .chain([563, 565, 566, 572, 573, 574, 575, 576])
    {
        assert_eq!(child(code).0, 1, "{code}");
    }
    for code in (541..=555).chain(557..=562).chain([503, 505, 507]) {
        assert_eq!(child(code).0, 2, "{code}");
    }
    for (code, mask) in [(8, 1), (522, 3), (525, 2), (526, 2), (528, 6), (538, 15), (540, 3), (567, 2)] {
        let (id, value) = child(code);
        assert_eq!((id, value.as_primitive::<Int32Type>().value(0)), (3, mask), "{code}");
    }
    for code in [100, 101, 533, 534, 535, 564, 568, 569, 570, 571] {
        assert_eq!(child(code).0, 3, "{code}");
    }
    assert!((508..=512).all(|code| child(code).0 == 4) && child(517).0 == 5);
    assert!(codes.values().iter().all(|code| *code < 10_000));
}

#[test]
fn types_are_described() {
    let ask = |data_type| answer(&Command::CommandGetXdbcTypeInfo(CommandGetXdbcTypeInfo { data_type }));
    assert_eq!(ask(None).num_rows(), 18);
    let bigint = ask(Some(-5));
    let found: Vec<_> = bigint.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(found, ["BIGINT", "BIGINT UNSIGNED"]);
    assert_eq!(ask(Some(12_345)).num_rows(), 0);
    assert_eq!(shape(&Command::CommandGetXdbcTypeInfo(CommandGetXdbcTypeInfo::default())).len(), 19);
}
