//! JSON Schema → rule: the keywords that are spoken, read once when a schema is declared.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tidemark_model::declared::Strictness;

/// Keywords that say something to people and nothing to us.
const ANNOTATIONS: [&str; 10] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// A type of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Object,
    Array,
}

impl Type {
    const ALL: [(Self, &str); 7] = [
        (Self::Null, "null"),
        (Self::Boolean, "boolean"),
        (Self::Integer, "integer"),
        (Self::Number, "number"),
        (Self::String, "string"),
        (Self::Object, "object"),
        (Self::Array, "array"),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(known, _)| *known)
    }
}

/// What fields that are not declared may hold.
#[derive(Debug, Default)]
pub(super) enum Others {
    /// The schema says nothing.
    #[default]
    Unsaid,
    Allowed,
    Refused,
    Fit(Box<Rule>),
}

/// What a value must fit.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// The types it may have; empty lets every type through.
    pub(super) types: Vec<Type>,
    /// Declared fields, in order.
    pub(super) properties: Vec<(String, Rule)>,
    /// Their places by name.
    pub(super) places: HashMap<String, usize>,
    pub(super) required: Vec<String>,
    pub(super) others: Others,
    pub(super) items: Option<Box<Rule>>,
    /// The values it may have; empty lets every value through.
    pub(super) values: Vec<Value>,
    /// Least and greatest number, and whether the bound itself is let through.
    pub(super) least: Option<(f64, bool)>,
    pub(super) greatest: Option<(f64, bool)>,
    /// Fewest and most characters of a string.
    pub(super) length: (Option<usize>, Option<usize>),
    /// Fewest and most items of an array.
    pub(super) count: (Option<usize>, Option<usize>),
    pub(super) is_instant: bool,
}

impl Rule {
    /// Reads a schema; the error tells where and what.
    pub(super) fn read(schema: &Value, at: &str) -> Result<Self, String> {
        let object = match schema {
            Value::Bool(true) => return Ok(Self::default()),
            Value::Object(object) => object,
            _ => return Err(format!("{at:?} must be an object")),
        };
        let mut rule = Self::default();
        for (keyword, value) in object {
            rule.keyword(keyword, value, &format!("{at}/{keyword}"))?;
        }
        if at.is_empty() && !(rule.types.is_empty() || rule.types == [Type::Object]) {
            return Err("its type must be \"object\": it describes documents".to_owned());
        }
        Ok(rule)
    }

    fn keyword(&mut self, keyword: &str, value: &Value, at: &str) -> Result<(), String> {
        match keyword {
            "type" => self.types = types(value, at)?,
            "properties" => {
                self.properties = properties(value, at)?;
                let numbered = self.properties.iter().enumerate();
                self.places = numbered.map(|(place, (name, _))| (name.clone(), place)).collect();
            }
            "required" => self.required = texts(value, at)?,
            "additionalProperties" => self.others = others(value, at)?,
            "items" => self.items = Some(Box::new(Self::read(value, at)?)),
            "enum" => self.values = value.as_array().cloned().ok_or_else(|| format!("{at} must be an array"))?,
            "const" => self.values = vec![value.clone()],
            "minimum" => self.least = Some((number(value, at)?, true)),
            "exclusiveMinimum" => self.least = Some((number(value, at)?, false)),
            "maximum" => self.greatest = Some((number(value, at)?, true)),
            "exclusiveMaximum" => self.greatest = Some((number(value, at)?, false)),
            "minLength" => self.length.0 = Some(count(value, at)?),
            "maxLength" => self.length.1 = Some(count(value, at)?),
            "minItems" => self.count.0 = Some(count(value, at)?),
            "maxItems" => self.count.1 = Some(count(value, at)?),
            "format" if value == "date-time" => self.is_instant = true,
            known if ANNOTATIONS.contains(&known) => {}
            other => return Err(format!("{at}: {:?} is not spoken here", crate::error::shown(other))),
        }
        Ok(())
    }

    /// The rule of a declared field.
    pub(super) fn property(&self, name: &str) -> Option<&Self> {
        self.places.get(name).and_then(|place| self.properties.get(*place)).map(|(_, rule)| rule)
    }

    /// In a strict schema objects that say nothing about other fields have none.
    pub(super) fn close(&mut self, strictness: Strictness) {
        if matches!(self.others, Others::Unsaid) {
            let is_open = strictness == Strictness::Lenient || self.properties.is_empty();
            self.others = if is_open { Others::Allowed } else { Others::Refused };
        }
        self.properties.iter_mut().for_each(|(_, rule)| rule.close(strictness));
        self.items.iter_mut().for_each(|rule| rule.close(strictness));
        if let Others::Fit(rule) = &mut self.others {
            rule.close(strictness);
        }
    }
}

fn types(value: &Value, at: &str) -> Result<Vec<Type>, String> {
    let names =
        if value.is_string() { std::slice::from_ref(value) } else { value.as_array().map_or(&[][..], Vec::as_slice) };
    let read: Option<Vec<Type>> = names.iter().map(|name| name.as_str().and_then(Type::parse)).collect();
    read.filter(|types| !types.is_empty()).ok_or_else(|| format!("{at} must name types of JSON Schema"))
}

fn properties(value: &Value, at: &str) -> Result<Vec<(String, Rule)>, String> {
    let fields: &Map<String, Value> = value.as_object().ok_or_else(|| format!("{at} must be an object"))?;
    fields.iter().map(|(name, schema)| Ok((name.clone(), Rule::read(schema, &format!("{at}/{name}"))?))).collect()
}

fn others(value: &Value, at: &str) -> Result<Others, String> {
    match value {
        Value::Bool(true) => Ok(Others::Allowed),
        Value::Bool(false) => Ok(Others::Refused),
        schema => Ok(Others::Fit(Box::new(Rule::read(schema, at)?))),
    }
}

fn texts(value: &Value, at: &str) -> Result<Vec<String>, String> {
    let names = value.as_array().and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    names.ok_or_else(|| format!("{at} must be an array of strings"))
}

fn number(value: &Value, at: &str) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{at} must be a number"))
}

fn count(value: &Value, at: &str) -> Result<usize, String> {
    value.as_u64().and_then(|count| usize::try_from(count).ok()).ok_or_else(|| format!("{at} must be a whole number"))
}
