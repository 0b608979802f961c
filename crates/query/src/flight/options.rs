//! The options of a session: `catalog`, `schema`, `as_of`, `valid_as_of`, `nearest`, `tidemark.schema` (the option `schema` is
//! the namespace, as Flight SQL has it).

use std::collections::BTreeMap;

use tidemark_model::Namespace;
use tidemark_proto::session::{
    GetSessionOptionsResult, SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult,
    session_option_value::OptionValue,
    set_session_options_result::{self, ErrorValue},
};

use super::metadata::CATALOG;
use crate::{
    SchemaOf, Session,
    door::{read_instant, read_schema, read_switch},
};

const NAMES: [&str; 6] = ["catalog", "schema", "as_of", "valid_as_of", "nearest", "tidemark.schema"];

/// Sets what is asked, and tells what could not be set; the rest is set nevertheless.
pub(crate) fn set(session: &mut Session, request: SetSessionOptionsRequest) -> SetSessionOptionsResult {
    let mut errors = BTreeMap::new();
    for (name, value) in request.session_options {
        if let Err(why) = set_one(session, &name, value.option_value) {
            errors.insert(name, set_session_options_result::Error { value: why.into() });
        }
    }
    SetSessionOptionsResult { errors }
}

fn set_one(session: &mut Session, name: &str, value: Option<OptionValue>) -> Result<(), ErrorValue> {
    let text = match value {
        None => None,
        Some(OptionValue::StringValue(text)) if text.is_empty() => None,
        Some(OptionValue::StringValue(text)) => Some(text),
        Some(OptionValue::BoolValue(is_on)) if name == "nearest" => Some(if is_on { "on" } else { "off" }.to_owned()),
        Some(_) if NAMES.contains(&name) => return Err(ErrorValue::InvalidValue),
        Some(_) => return Err(ErrorValue::InvalidName),
    };
    let instant = |text: Option<String>| {
        text.map(|at| read_instant(&at)).transpose().map_err(|_unreadable| ErrorValue::InvalidValue)
    };
    match name {
        "catalog" if text.as_deref().is_none_or(|name| name == CATALOG) => {}
        "catalog" => return Err(ErrorValue::InvalidValue),
        "schema" => {
            let name = text.map(|name| Namespace::parse(&name)).transpose();
            session.namespace = name.map_err(|_no_name| ErrorValue::InvalidValue)?;
        }
        "as_of" => session.as_of = instant(text)?,
        "valid_as_of" => session.valid_as_of = instant(text)?,
        "nearest" => session.nearest = word(text, read_switch)?,
        "tidemark.schema" => session.schema = word(text, read_schema)?,
        _ => return Err(ErrorValue::InvalidName),
    }
    Ok(())
}

fn word<T: Default>(text: Option<String>, read: impl Fn(&str) -> Result<T, String>) -> Result<T, ErrorValue> {
    text.map_or(Ok(T::default()), |text| read(&text).map_err(|_unreadable| ErrorValue::InvalidValue))
}

/// The options that are set.
pub(crate) fn get(session: &Session) -> GetSessionOptionsResult {
    let text = |value: String| SessionOptionValue { option_value: Some(OptionValue::StringValue(value)) };
    let options = [
        ("catalog", Some(CATALOG.to_owned())),
        ("schema", session.namespace.as_ref().map(|name| name.as_str().to_owned())),
        ("as_of", session.as_of.map(|at| at.to_string())),
        ("valid_as_of", session.valid_as_of.map(|at| at.to_string())),
        ("nearest", session.nearest.then(|| "on".to_owned())),
        ("tidemark.schema", (session.schema != SchemaOf::default()).then(|| session.schema.as_str().to_owned())),
    ];
    let set = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value?))));
    GetSessionOptionsResult { session_options: set.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, value: Option<OptionValue>) -> SetSessionOptionsRequest {
        let value = SessionOptionValue { option_value: value };
        SetSessionOptionsRequest { session_options: [(name.to_owned(), value)].into_iter().collect() }
    }

    #[test]
    fn options_are_set_or_refused_with_a_reason() {
        let text = |value: &str| Some(OptionValue::StringValue(value.to_owned()));
        for (name, value, refused) in [
            ("catalog", text("tidemark"), None),
            ("catalog", text("other"), Some(ErrorValue::InvalidValue)),
            ("catalog", None, None),
            ("schema", text("nyc"), None),
            ("schema", text("../x"), Some(ErrorValue::InvalidValue)),
            ("schema", Some(OptionValue::BoolValue(true)), Some(ErrorValue::InvalidValue)),
            ("schema", None, None),
            ("as_of", text("2013-01-01T00:00:00Z"), None),
            ("as_of", text("noon"), Some(ErrorValue::InvalidValue)),
            ("valid_as_of", text("1357000000000"), None),
            ("nearest", text("on"), None),
            ("nearest", Some(OptionValue::BoolValue(true)), None),
            ("nearest", text("closest"), Some(ErrorValue::InvalidValue)),
            ("tidemark.schema", text("as_of"), None),
            ("tidemark.schema", text("nyc"), Some(ErrorValue::InvalidValue)),
            ("tidemark.schema", Some(OptionValue::BoolValue(true)), Some(ErrorValue::InvalidValue)),
            ("time_zone", text("UTC"), Some(ErrorValue::InvalidName)),
            ("time_zone", Some(OptionValue::Int64Value(1)), Some(ErrorValue::InvalidName)),
        ] {
            let result = set(&mut Session::default(), ask(name, value.clone()));
            let found = result.errors.get(name).map(|e| e.value());
            assert_eq!(found, refused, "{name} {value:?}");
        }
    }

    #[test]
    fn what_was_set_can_be_got_and_unset() {
        let text = |value: &str| Some(OptionValue::StringValue(value.to_owned()));
        let mut session = Session::default();
        set(&mut session, ask("schema", text("nyc")));
        set(&mut session, ask("as_of", text("2013-01-01T00:00:00Z")));
        set(&mut session, ask("nearest", Some(OptionValue::BoolValue(true))));
        set(&mut session, ask("tidemark.schema", text("as_of")));
        let names: Vec<_> = get(&session).session_options.into_keys().collect();
        assert_eq!(names, ["as_of", "catalog", "nearest", "schema", "tidemark.schema"]);
        for name in ["schema", "nearest", "tidemark.schema"] {
            set(&mut session, ask(name, None));
        }
        set(&mut session, ask("as_of", text("")));
        assert_eq!(session, Session::default());
    }
}
