//! The rows of `pg_catalog`.

use arrow::datatypes::DataType;
use tidemark_model::{Namespace, Table};

use super::{
    OWNER,
    objects::{INFORMATION_SCHEMA, KNOWN, Objects, PG_CATALOG},
    pgtype::{self, Type},
    rows::{Cell, row},
    settings::SETTINGS,
};
use crate::plan::{
    metadata,
    names::{CATALOG, Seen},
};

/// The OID of the one role, as of PostgreSQL's first.
pub(crate) const ROLE: u32 = 10;
/// The OID of the one database.
const DATABASE: u32 = 5;
/// The OID of how tables are reached.
const ACCESS: u32 = 2;
/// The OID of where everything is.
const TABLESPACE: u32 = 1_663;
/// The number of the encoding UTF8.
const UTF8: i64 = 6;

/// The rows of a table; none of one that is always empty.
pub(crate) fn rows(table: &str, seen: &Seen) -> Vec<Vec<Cell>> {
    let flags = |count: usize, flag: bool| std::iter::repeat_n(Cell::Flag(flag), count);
    match table {
        "pg_am" => vec![row![ACCESS, "lake", "-", "t"]],
        "pg_attribute" => attributes(seen),
        "pg_class" => classes(seen),
        "pg_database" => {
            let limits = row![-1_i64, 0_u32, 1_u32, TABLESPACE, "C", "C"];
            let head = row![DATABASE, CATALOG, ROLE, UTF8, "c", false, true];
            vec![head.into_iter().chain(limits).collect()]
        }
        "pg_namespace" => namespaces(seen),
        "pg_roles" => {
            let rights = row![OWNER, false, true, false, false, true, false, -1_i64, "********", Cell::Null, false];
            vec![rights.into_iter().chain(row![Cell::Null, ROLE]).collect()]
        }
        "pg_user" => vec![row![OWNER, ROLE].into_iter().chain(flags(4, false)).chain(row!["********"]).collect()],
        "pg_settings" => SETTINGS.iter().map(|(name, value)| setting(name, value)).collect(),
        "pg_stat_user_tables" => tables(seen, |oid, namespace, name| row![oid, namespace.as_str(), name]),
        "pg_tables" => tables(seen, |_, namespace, name| {
            let names = row![namespace.as_str(), name, OWNER, Cell::Null];
            names.into_iter().chain(flags(4, false)).collect()
        }),
        "pg_tablespace" => vec![row![TABLESPACE, "pg_default", ROLE]],
        "pg_type" => pgtype::all().map(type_row).collect(),
        "pg_get_keywords" => KEYWORDS.iter().map(|word| row![*word, "R", false, "reserved", "requires AS"]).collect(),
        _ => Vec::new(),
    }
}

/// Words that a name has to be quoted for.
const KEYWORDS: [&str; 40] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "both",
    "case",
    "cast",
    "check",
    "column",
    "create",
    "cross",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "false",
    "for",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "into",
    "join",
    "left",
    "limit",
    "not",
    "null",
    "on",
    "or",
    "order",
    "select",
    "table",
    "where",
];

fn tables(seen: &Seen, one: impl Fn(u32, &Namespace, &str) -> Vec<Cell>) -> Vec<Vec<Cell>> {
    let objects = Objects::of(seen);
    objects.tables.iter().map(|(oid, (_, namespace, name))| one(*oid, namespace, name)).collect()
}

fn namespaces(seen: &Seen) -> Vec<Vec<Cell>> {
    let own = [(PG_CATALOG, "pg_catalog"), (INFORMATION_SCHEMA, "information_schema")];
    let own = own.into_iter().map(|(oid, name)| row![oid, name, ROLE]);
    let objects = Objects::of(seen);
    own.chain(objects.namespaces.iter().map(|(oid, namespace)| row![*oid, namespace.as_str(), ROLE])).collect()
}

fn setting(name: &str, value: &str) -> Vec<Cell> {
    let told = row![name, value, Cell::Null, "Tidemark", "", Cell::Null, "user", "string", "default"];
    told.into_iter()
        .chain(row![Cell::Null, Cell::Null, Cell::Null, value, value, Cell::Null, Cell::Null, false])
        .collect()
}

fn classes(seen: &Seen) -> Vec<Vec<Cell>> {
    let objects = Objects::of(seen);
    let own = objects.tables.iter().map(|(oid, (schema, namespace, name))| {
        let columns = columns_of(seen, namespace, name).len();
        class(*oid, name, *schema, columns)
    });
    let known = KNOWN.iter().map(|(oid, name)| {
        let columns = super::columns::of(name).map_or(0, |columns| columns.split_whitespace().count());
        class(*oid, name, PG_CATALOG, columns)
    });
    known.chain(own).collect()
}

fn class(oid: u32, name: &str, schema: u32, columns: usize) -> Vec<Cell> {
    let count = i64::try_from(columns).unwrap_or(0);
    let head =
        row![oid, name, schema, 0_u32, 0_u32, ROLE, ACCESS, oid, 0_u32, 0_i64, -1_i64, 0_i64, 0_u32, false, false];
    let kind = row!["p", "r", count, 0_i64, false, false, false, false, false, true, "n", false, 0_u32, 0_u32, 0_u32];
    head.into_iter().chain(kind).collect()
}

/// Names, types and whether they may be null.
fn columns_of(seen: &Seen, namespace: &Namespace, name: &str) -> Vec<(String, DataType, bool)> {
    let table = Table::parse(name).ok();
    let columns = table.and_then(|table| metadata::columns_of(&seen.catalog, namespace, &table));
    let one =
        |field: &arrow::datatypes::FieldRef| (field.name().clone(), field.data_type().clone(), field.is_nullable());
    columns.iter().flat_map(|columns| columns.fields().iter().map(one)).collect()
}

fn attributes(seen: &Seen) -> Vec<Vec<Cell>> {
    let objects = Objects::of(seen);
    let own = objects.tables.iter().flat_map(|(oid, (_, namespace, name))| {
        let columns = columns_of(seen, namespace, name);
        columns.into_iter().zip(1_i64..).map(|((name, of, is_nullable), number)| {
            attribute(*oid, (name.as_str(), pgtype::of(&of), number), !is_nullable)
        })
    });
    let known = KNOWN.iter().flat_map(|(oid, name)| {
        let schema = super::rows::schema(super::columns::of(name).unwrap_or_default());
        let fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.into_iter().zip(1_i64..).map(|(field, number)| {
            attribute(*oid, (field.name().as_str(), pgtype::of(field.data_type()), number), false)
        })
    });
    known.chain(own).collect()
}

fn attribute(table: u32, (name, of, number): (&str, &Type, i64), is_required: bool) -> Vec<Cell> {
    let length = i64::from(of.length);
    let head =
        row![table, name, of.oid, -1_i64, length, number, 0_i64, -1_i64, -1_i64, is_by_value(of), "i", storage(of)];
    let rest = row!["", is_required, false, false, "", "", false, true, 0_i64, 0_u32];
    head.into_iter().chain(rest).collect()
}

fn is_by_value(of: &Type) -> bool {
    (1..=8).contains(&of.length)
}

fn storage(of: &Type) -> &'static str {
    if of.length < 0 { "x" } else { "p" }
}

fn type_row(of: &Type) -> Vec<Cell> {
    let category = of.category.to_string();
    let is_array = of.element != 0;
    let (input, output) =
        if is_array { ("array_in".to_owned(), "array_out".to_owned()) } else { functions(of, "in", "out") };
    let (receive, send) =
        if is_array { ("array_recv".to_owned(), "array_send".to_owned()) } else { functions(of, "recv", "send") };
    let is_preferred = ["text", "float8", "timestamptz", "interval", "bool"].contains(&of.name);
    let head = row![of.oid, of.name, PG_CATALOG, ROLE, i64::from(of.length), is_by_value(of), "b", category.as_str()];
    let refers = row![is_preferred, true, ",", 0_u32, "-", of.element, of.array];
    let spelled = row![input.as_str(), output.as_str(), receive.as_str(), send.as_str(), "-", "-", "-"];
    let rest = row!["i", storage(of), false, 0_u32, -1_i64, 0_i64, 0_u32];
    head.into_iter().chain(refers).chain(spelled).chain(rest).collect()
}

/// The names of the functions that read and write a type: drivers know types by them.
fn functions(of: &Type, one: &str, other: &str) -> (String, String) {
    let underscored = ["date", "time", "timestamp", "timestamptz", "interval", "numeric", "json", "jsonb", "uuid"];
    let (name, mark) = match of.name {
        name if underscored.contains(&name) => (name, "_"),
        name => (name, ""),
    };
    (format!("{name}{mark}{one}"), format!("{name}{mark}{other}"))
}
