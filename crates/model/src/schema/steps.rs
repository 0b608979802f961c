//! The schemas a collection has had: what each brought, and from which append on.
//!
//! Columns appear and widen and never go, so a schema of the past is the empty one and the steps up to its instant. There
//! are never more steps than columns times kinds.

use serde::{Deserialize, Serialize};

use super::{DocSchema, Field};
use crate::Instant;

/// One change of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The system time of the append that brought it.
    pub since: Instant,
    /// The id of the schema from then on.
    pub id: u32,
    /// The columns that appeared or widened, as they are from then on.
    pub fields: Vec<Field>,
}

/// The steps of one collection, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// Where the beginning was not written down: of earlier instants no schema is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begins: Option<Instant>,
    steps: Vec<Step>,
}

/// An instant before the schemas of a collection were written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schemas of before {0} were not kept: leave `tidemark.schema` as it is for such an instant")]
pub struct Unkept(pub Instant);

impl DocSchema {
    /// What turns this schema into its successor.
    #[must_use]
    pub fn step_to(&self, next: &Self, since: Instant) -> Step {
        let is_news = |field: &&Field| !self.fields.contains(field);
        Step { since, id: next.id, fields: next.fields.iter().filter(is_news).cloned().collect() }
    }

    /// The schema after a step.
    #[must_use]
    pub fn stepped(mut self, step: &Step) -> Self {
        self.id = step.id;
        for field in &step.fields {
            match self.fields.iter_mut().find(|known| known.id == field.id) {
                Some(known) => *known = field.clone(),
                None => self.fields.push(field.clone()),
            }
        }
        self
    }
}

impl Steps {
    /// Of a collection whose schema is known from an instant on, and nothing of before.
    #[must_use]
    pub fn from(since: Instant, schema: &DocSchema) -> Self {
        Self { begins: Some(since), steps: vec![DocSchema::default().step_to(schema, since)] }
    }

    /// Takes the next step in.
    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The steps, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Step] {
        &self.steps
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The schema that held every change acknowledged up to an instant, and no later one.
    ///
    /// # Errors
    /// [`Unkept`].
    pub fn at(&self, at: Instant) -> Result<DocSchema, Unkept> {
        match self.begins {
            Some(begins) if at < begins => Err(Unkept(begins)),
            _ => Ok(self
                .steps
                .iter()
                .take_while(|step| step.since <= at)
                .fold(DocSchema::default(), |schema, step| schema.stepped(step))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        json,
        schema::{FieldType, Kinds, Observed},
    };

    fn at(micros: i64) -> Instant {
        Instant::from_micros(micros)
    }

    fn evolved(schema: &DocSchema, doc: &str) -> DocSchema {
        let mut observed = Observed::default();
        json::for_each_field(doc, |name, raw| observed.see(&name, Kinds::of(&json::Value::of(raw))))
            .expect("an object");
        schema.evolved(&observed).expect("changes")
    }

    #[test]
    fn a_schema_of_the_past_is_the_steps_up_to_it() {
        let (mut schema, mut steps, mut had) =
            (DocSchema::default(), Steps::default(), vec![(9, DocSchema::default())]);
        for (since, doc) in [(10, r#"{"a":1}"#), (20, r#"{"a":1.5,"b":true}"#), (30, r#"{"a":"x"}"#)] {
            let next = evolved(&schema, doc);
            steps.push(schema.step_to(&next, at(since)));
            had.extend([(since, next.clone()), (since + 9, next.clone())]);
            schema = next;
        }
        for (micros, expected) in had {
            assert_eq!(steps.at(at(micros)), Ok(expected), "{micros}");
        }
        let types = |micros| steps.at(at(micros)).unwrap().fields.iter().map(Field::column_type).collect::<Vec<_>>();
        assert_eq!(types(19), [FieldType::Int64]);
        assert_eq!(types(29), [FieldType::Float64, FieldType::Boolean]);
        assert_eq!(types(99), [FieldType::Utf8, FieldType::Boolean]);
        assert_eq!(steps.as_slice()[2].fields.len(), 1, "only what changed");
    }

    #[test]
    fn what_was_not_kept_is_not_made_up() {
        let schema = evolved(&DocSchema::default(), r#"{"a":1}"#);
        let steps = Steps::from(at(50), &schema);
        assert_eq!(steps.at(at(49)), Err(Unkept(at(50))));
        assert_eq!(steps.at(at(50)), Ok(schema));
    }
}
