//! Functions that PostgreSQL's clients call: about the lake, the session, types and texts.
//!
//! Those that answer the same for everybody are registered once; those that look at the lake with a state, for whoever
//! asks. What PostgreSQL tells of things that are not here (definitions of indexes, comments) is NULL.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListBuilder, StringArray, StringBuilder, UInt32Array},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, UInt32Type},
};
use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility},
};

use super::{
    OWNER, SCHEMA,
    objects::{Objects, parts},
    pgtype,
    settings::{self, SERVER_VERSION},
};
use crate::plan::names::{CATALOG, NO_NAMESPACE, Seen};

/// What a function is called with.
struct Call<'a> {
    arrays: Vec<ArrayRef>,
    rows: usize,
    /// The schema of unqualified names.
    schema: &'a str,
    /// None for functions that do not look at the lake.
    seen: Option<&'a Seen>,
}

type Does = fn(&Call<'_>) -> Result<ArrayRef>;

/// A function by its name.
#[derive(Debug)]
struct Told {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    does: Does,
    seen: Option<Seen>,
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Told {}

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Told {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        let schema = args.config_options.catalog.default_schema.as_str();
        let answer = (self.does)(&Call { arrays, rows, schema, seen: self.seen.as_ref() })?;
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?));
        }
        Ok(ColumnarValue::Array(answer))
    }
}

fn told((name, returns, does): (&'static str, DataType, Does), seen: Option<&Seen>) -> ScalarUDF {
    let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    let signature = Signature::one_of(any, Volatility::Stable);
    ScalarUDF::from(Told { name, signature, returns, does, seen: seen.cloned() })
}

/// The function that a pattern with an escape of its own is read by: the engine knows the backslash only.
pub(crate) const LIKE_PATTERN: &str = "like_pattern";

/// Functions that are the same for everybody.
pub(crate) fn common() -> Vec<ScalarUDF> {
    let text = || DataType::Utf8;
    let texts = || DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let all: Vec<(&'static str, DataType, Does)> = vec![
        ("version", text(), |call| call.text(&format!("PostgreSQL {SERVER_VERSION}"))),
        ("current_database", text(), |call| call.text(CATALOG)),
        ("current_catalog", text(), |call| call.text(CATALOG)),
        ("current_schema", text(), |call| call.text(call.schema)),
        ("current_schemas", texts(), current_schemas),
        ("pg_get_userbyid", text(), |call| call.text(OWNER)),
        ("format_type", text(), format_type),
        ("pg_regtype", DataType::UInt32, regtype),
        ("to_regtype", DataType::UInt32, regtype),
        ("pg_encoding_to_char", text(), |call| call.text("UTF8")),
        ("pg_client_encoding", text(), |call| call.text("UTF8")),
        ("pg_my_temp_schema", DataType::UInt32, |call| {
            Ok(Arc::new(arrow::array::UInt32Array::from(vec![0; call.rows])))
        }),
        ("pg_size_pretty", text(), size_pretty),
        ("current_setting", text(), current_setting),
        ("set_config", text(), set_config),
        ("quote_ident", text(), |call| call.texts(|text| Some(quote_ident(text)))),
        ("quote_literal", text(), |call| call.texts(|text| Some(format!("'{}'", text.replace('\'', "''"))))),
        ("parse_ident", texts(), parse_ident),
        (LIKE_PATTERN, text(), like_pattern),
        ("array_lower", DataType::Int64, |call| {
            let one = |at: usize| call.arrays.first().filter(|array| array.is_valid(at)).map(|_| 1);
            Ok(Arc::new((0..call.rows).map(one).collect::<arrow::array::Int64Array>()))
        }),
    ];
    let users = ["current_user", "session_user", "user", "current_role"];
    let users = users.map(|name| (name, text(), (|call: &Call<'_>| call.text(OWNER)) as Does));
    let yes = ["pg_type_is_visible", "pg_function_is_visible", "pg_operator_is_visible", "pg_opclass_is_visible"];
    let no = ["pg_relation_is_publishable", "pg_is_in_recovery", "pg_is_other_temp_schema"];
    let flag =
        |is: bool| if is { (|call: &Call<'_>| call.flag(true)) as Does } else { |call: &Call<'_>| call.flag(false) };
    let flags = yes.map(|name| (name, DataType::Boolean, flag(true))).into_iter();
    let flags = flags.chain(no.map(|name| (name, DataType::Boolean, flag(false))));
    let rights = PRIVILEGES.map(|name| (name, DataType::Boolean, may as Does));
    let nothing = |of: DataType| {
        let none: Does = |call| Ok(arrow::array::new_null_array(&DataType::Utf8, call.rows));
        let no_number: Does = |call| Ok(arrow::array::new_null_array(&DataType::Int64, call.rows));
        if of == DataType::Utf8 { none } else { no_number }
    };
    let no_texts = NO_TEXT.map(|name| (name, text(), nothing(text())));
    let no_numbers = NO_NUMBER.map(|name| (name, DataType::Int64, nothing(DataType::Int64)));
    let all = all.into_iter().chain(users).chain(flags).chain(rights).chain(no_texts).chain(no_numbers);
    all.map(|of| told(of, None)).collect()
}

/// Functions that look at the lake, for whoever asks.
pub(crate) fn of(seen: &Seen) -> Vec<ScalarUDF> {
    let all: [(&'static str, DataType, Does); 6] = [
        ("pg_table_is_visible", DataType::Boolean, table_is_visible),
        ("pg_regclass", DataType::UInt32, |call| regclass(call, true)),
        ("to_regclass", DataType::UInt32, |call| regclass(call, false)),
        ("pg_regclass_name", DataType::Utf8, regclass_name),
        ("pg_regnamespace", DataType::UInt32, regnamespace),
        ("pg_regnamespace_name", DataType::Utf8, regnamespace_name),
    ];
    all.into_iter().map(|of| told(of, Some(seen))).collect()
}

/// Functions that tell whether somebody may do something.
const PRIVILEGES: [&str; 7] = [
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_function_privilege",
    "has_schema_privilege",
    "has_table_privilege",
    "has_sequence_privilege",
];

/// Functions whose answer is no text.
const NO_TEXT: [&str; 18] = [
    "col_description",
    "obj_description",
    "pg_advisory_unlock_all",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partkeydef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_tablespace_location",
    "shobj_description",
];

/// Functions whose answer is no number.
const NO_NUMBER: [&str; 6] = [
    "pg_database_size",
    "pg_indexes_size",
    "pg_relation_size",
    "pg_stat_get_numscans",
    "pg_table_size",
    "pg_total_relation_size",
];

impl Call<'_> {
    fn text(&self, text: &str) -> Result<ArrayRef> {
        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, self.rows))))
    }

    fn flag(&self, flag: bool) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from(vec![flag; self.rows])))
    }

    /// An argument as another type; NULL where it was not given.
    fn argument(&self, nth: usize, of: &DataType) -> Result<ArrayRef> {
        match self.arrays.get(nth) {
            Some(array) => Ok(cast(array, of)?),
            None => Ok(arrow::array::new_null_array(of, self.rows)),
        }
    }

    /// A text for each text of the first argument.
    fn texts(&self, one: impl Fn(&str) -> Option<String>) -> Result<ArrayRef> {
        let argument = self.argument(0, &DataType::Utf8)?;
        Ok(Arc::new(argument.as_string::<i32>().iter().map(|text| text.and_then(&one)).collect::<StringArray>()))
    }

    /// The first argument as OIDs.
    fn oids(&self) -> Result<UInt32Array> {
        Ok(self.argument(0, &DataType::UInt32)?.as_primitive::<UInt32Type>().clone())
    }

    /// What whoever asks sees.
    fn objects(&self) -> Objects {
        self.seen.map(Objects::of).unwrap_or_default()
    }
}

fn current_schemas(call: &Call<'_>) -> Result<ArrayRef> {
    let implicit = call.argument(0, &DataType::Boolean)?;
    let mut lists = ListBuilder::new(StringBuilder::new());
    for at in 0..call.rows {
        if implicit.is_valid(at) && implicit.as_boolean().value(at) {
            lists.values().append_value(SCHEMA);
        }
        lists.values().append_value(call.schema);
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn format_type(call: &Call<'_>) -> Result<ArrayRef> {
    let (oids, modifiers) = (call.oids()?, call.argument(1, &DataType::Int64)?);
    let modifiers = modifiers.as_primitive::<Int64Type>();
    let one = |(oid, modifier): (Option<u32>, Option<i64>)| {
        let Some(of) = pgtype::by_oid(oid?) else { return Some("???".to_owned()) };
        match (of.name, modifier) {
            ("numeric", Some(modifier @ 4..)) => {
                let (digits, scale) = ((modifier - 4) >> 16, (modifier - 4) & 0x7ff);
                Some(format!("numeric({digits},{scale})"))
            }
            _ => Some(of.sql.to_owned()),
        }
    };
    Ok(Arc::new(oids.iter().zip(modifiers).map(one).collect::<StringArray>()))
}

/// The OID of a type by its name; one that is an OID already stays.
fn regtype(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.argument(0, &DataType::Utf8)?;
    let one = |text: Option<&str>| {
        let text = text?.trim().trim_start_matches("pg_catalog.").trim_matches('"');
        text.parse().ok().or_else(|| pgtype::by_name(text).map(|of| of.oid))
    };
    Ok(Arc::new(texts.as_string::<i32>().iter().map(one).collect::<UInt32Array>()))
}

fn size_pretty(call: &Call<'_>) -> Result<ArrayRef> {
    let sizes = call.argument(0, &DataType::Int64)?;
    let one = |bytes: Option<i64>| {
        let (mut size, mut units) = (bytes?, ["kB", "MB", "GB", "TB"].into_iter());
        let mut unit = "bytes";
        while size.abs() >= 10_240 {
            let Some(next) = units.next() else { break };
            (size, unit) = ((size + 512) / 1_024, next);
        }
        Some(format!("{size} {unit}"))
    };
    Ok(Arc::new(sizes.as_primitive::<Int64Type>().iter().map(one).collect::<StringArray>()))
}

/// A question sets nothing: refused where what it asks for would then read otherwise. The empty search path that dumps begin
/// with changes nothing, nor do settings that only shape what a client is shown: those answer what they are.
fn set_config(call: &Call<'_>) -> Result<ArrayRef> {
    let (names, values) = (call.argument(0, &DataType::Utf8)?, call.argument(1, &DataType::Utf8)?);
    let one = |(name, value): (Option<&str>, Option<&str>)| {
        let (Some(name), Some(value)) = (name, value) else { return Ok(None) };
        let lower = name.to_ascii_lowercase();
        let refused = match lower.as_str() {
            "search_path" => !value.is_empty() && value != call.schema,
            "statement_timeout" => true,
            name => name.starts_with("tidemark."),
        };
        if refused {
            return plan_err!("set_config sets nothing here: say SET {name} = … in a statement of its own");
        }
        let holds = if lower == "search_path" { Some(value) } else { settings::first(name) };
        Ok(holds.map(str::to_owned))
    };
    let pairs = names.as_string::<i32>().iter().zip(values.as_string::<i32>());
    Ok(Arc::new(pairs.map(one).collect::<Result<StringArray>>()?))
}

/// The value that a setting has at first; `search_path` is the session's.
fn current_setting(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.argument(0, &DataType::Utf8)?;
    let is_lenient = call.arrays.len() > 1;
    let one = |name: Option<&str>| match name {
        Some(name) if name.eq_ignore_ascii_case("search_path") => Ok(Some(call.schema)),
        Some(name) => match settings::first(name) {
            None if !is_lenient => plan_err!("there is no setting {name:?}: SHOW ALL lists them"),
            value => Ok(value),
        },
        None => Ok(None),
    };
    Ok(Arc::new(names.as_string::<i32>().iter().map(one).collect::<Result<StringArray>>()?))
}

/// A name in quotes where SQL would read it otherwise.
fn quote_ident(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn parse_ident(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.argument(0, &DataType::Utf8)?;
    let mut lists = ListBuilder::new(StringBuilder::new());
    for text in texts.as_string::<i32>() {
        let Some(text) = text else {
            lists.append(false);
            continue;
        };
        let Some(parts) = parts(text) else { return plan_err!("{text:?} is no name: put it in double quotes") };
        parts.iter().for_each(|part| lists.values().append_value(part));
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// A pattern of LIKE and the letter that escapes in it, or none → the same with the backslash.
fn like_pattern(call: &Call<'_>) -> Result<ArrayRef> {
    let (patterns, escapes) = (call.argument(0, &DataType::Utf8)?, call.argument(1, &DataType::Utf8)?);
    let one = |(pattern, escape): (Option<&str>, Option<&str>)| {
        let (Some(pattern), Some(escape)) = (pattern, escape) else { return Ok(None) };
        escaped_by_backslash(pattern, escape).map(Some)
    };
    Ok(Arc::new(
        patterns.as_string::<i32>().iter().zip(escapes.as_string::<i32>()).map(one).collect::<Result<StringArray>>()?,
    ))
}

pub(super) fn escaped_by_backslash(pattern: &str, escape: &str) -> Result<String> {
    let mut letters = escape.chars();
    let (escape, None) = (letters.next(), letters.next()) else {
        return plan_err!("{escape:?} is longer than the one letter that escapes in a pattern: give one, or none");
    };
    let (mut told, mut letters) = (String::with_capacity(pattern.len()), pattern.chars());
    while let Some(letter) = letters.next() {
        let is_literal = Some(letter) == escape;
        let letter = if is_literal {
            let Some(next) = letters.next() else { return plan_err!("the pattern {pattern:?} ends with what escapes") };
            next
        } else {
            letter
        };
        if letter == '\\' || (is_literal && matches!(letter, '%' | '_')) {
            told.push('\\');
        }
        told.push(letter);
    }
    Ok(told)
}

/// Reading is what everybody may do with what they see.
fn may(call: &Call<'_>) -> Result<ArrayRef> {
    let rights = call.argument(call.arrays.len().saturating_sub(1), &DataType::Utf8)?;
    let reads = |right: &str| {
        let right = right.trim().to_ascii_uppercase();
        ["SELECT", "USAGE", "CONNECT", "EXECUTE"].contains(&right.as_str())
    };
    let one = |rights: Option<&str>| Some(rights?.split(',').any(reads));
    Ok(Arc::new(rights.as_string::<i32>().iter().map(one).collect::<BooleanArray>()))
}

/// Whether a table is found without its schema; where the session has none, every table is: it has to be named somehow.
fn table_is_visible(call: &Call<'_>) -> Result<ArrayRef> {
    let objects = call.objects();
    let one = |oid: Option<u32>| {
        let found = objects.relation(oid?)?;
        Some(call.schema == NO_NAMESPACE || [call.schema, SCHEMA].contains(&found.schema.as_str()))
    };
    Ok(Arc::new(call.oids()?.iter().map(one).collect::<BooleanArray>()))
}

/// The OID of a table by its name; one that is an OID already stays.
fn regclass(call: &Call<'_>, is_strict: bool) -> Result<ArrayRef> {
    let (texts, objects) = (call.argument(0, &DataType::Utf8)?, call.objects());
    let one = |text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        match text.parse().ok().or_else(|| objects.oid(text, call.schema)) {
            None if is_strict => plan_err!("table '{text}' not found"),
            oid => Ok(oid),
        }
    };
    Ok(Arc::new(texts.as_string::<i32>().iter().map(one).collect::<Result<UInt32Array>>()?))
}

fn regclass_name(call: &Call<'_>) -> Result<ArrayRef> {
    let objects = call.objects();
    let oids = regclass(call, true)?;
    let one = |oid: Option<u32>| {
        let Some(found) = objects.relation(oid?) else { return Some(oid?.to_string()) };
        let is_near = [call.schema, SCHEMA].contains(&found.schema.as_str());
        let name = quote_ident(&found.name);
        Some(if is_near { name } else { format!("{}.{name}", quote_ident(&found.schema)) })
    };
    Ok(Arc::new(oids.as_primitive::<UInt32Type>().iter().map(one).collect::<StringArray>()))
}

fn regnamespace(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, objects) = (call.argument(0, &DataType::Utf8)?, call.objects());
    let named = |text: &str| objects.namespaces.iter().find(|(_, name)| name.as_str() == text).map(|(oid, _)| *oid);
    let one = |text: Option<&str>| text?.parse().ok().or_else(|| named(text?));
    Ok(Arc::new(texts.as_string::<i32>().iter().map(one).collect::<UInt32Array>()))
}

fn regnamespace_name(call: &Call<'_>) -> Result<ArrayRef> {
    let objects = call.objects();
    let oids = regnamespace(call)?;
    let one = |oid: Option<u32>| objects.schema(oid?).map(str::to_owned);
    Ok(Arc::new(oids.as_primitive::<UInt32Type>().iter().map(one).collect::<StringArray>()))
}
