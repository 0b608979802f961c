//! The top-level fields of one record: raw JSON text by name, and how single fields are read.
//!
//! Names that some envelope knows have a slot; others are kept in order. Nothing here knows an envelope.

use std::borrow::Cow;

use tidemark_model::{Instant, json};

use crate::{
    error::Error,
    named::Named,
    refusal::{Code, Refusal},
};

/// The most fields of one record besides those that some envelope knows; further ones are not kept.
pub(crate) const OTHERS_MAX: usize = 65_536;

macro_rules! slots {
    ($($slot:ident = $name:literal),* $(,)?) => {
        /// A name that some envelope knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Slot { $($slot),* }

        impl Slot {
            const ALL: &[Self] = &[$(Self::$slot),*];

            /// The name as it is spelled.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$slot => $name),* }
            }

            /// Its JSON pointer.
            pub(crate) const fn pointer(self) -> &'static str {
                match self { $(Self::$slot => concat!("/", $name)),* }
            }

            fn of(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$slot),)* _ => None }
            }
        }
    };
}

slots! {
    Type = "type", Ts = "ts", Id = "id", Source = "source", Subject = "subject", Actor = "actor", Data = "data",
    Meta = "meta", Collection = "collection", Op = "op", Doc = "doc", Prev = "prev", Bookmark = "bookmark",
    EventId = "event_id", Events = "events", BatchId = "batchId",
}

const SLOTS: usize = Slot::ALL.len();

/// `{"events":[…],"batchId":"…"}`.
pub(crate) struct Wrapped<'a> {
    /// The array, as written.
    pub(crate) events: &'a str,
    /// The batch id, an idempotency key.
    pub(crate) key: Option<Cow<'a, str>>,
}

/// The fields of one record. Reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    known: [Option<&'a str>; SLOTS],
    others: Named<Cow<'a, str>, &'a str>,
    /// Whether there were more than [`OTHERS_MAX`] of these.
    is_crowded: bool,
    bytes: usize,
    /// Opening brackets in all values.
    brackets: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn clear(&mut self) {
        self.known = [None; SLOTS];
        self.others.clear();
        self.is_crowded = false;
        self.bytes = 0;
        self.brackets = 0;
    }

    /// Takes a field in; of a repeated name the last counts.
    pub(crate) fn put(&mut self, name: Cow<'a, str>, raw: &'a str) {
        self.bytes += name.len() + raw.len();
        if raw.starts_with(['{', '[']) {
            self.brackets += raw.bytes().filter(|b| *b | 0x20 == b'{').count();
        }
        match Slot::of(&name) {
            Some(slot) => self.known[slot as usize] = Some(raw),
            None => self.put_other(name, raw),
        }
    }

    fn put_other(&mut self, name: Cow<'a, str>, raw: &'a str) {
        match self.others.find(&name) {
            Some(place) => self.others.value_mut(place).into_iter().for_each(|value| *value = raw),
            None if self.others.len() < OTHERS_MAX => self.others.push(name, raw),
            None => self.is_crowded = true,
        }
    }

    /// Whether there were more than [`OTHERS_MAX`] fields that no envelope knows: what is here is not all of it.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// The bytes of all names and values.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The raw value of a field; `null` counts as absent.
    pub(crate) fn get(&self, slot: Slot) -> Option<&'a str> {
        self.known[slot as usize].filter(|raw| *raw != "null")
    }

    /// Whether the field is there, also as `null`.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.known[slot as usize].is_some()
    }

    /// A field that no slot knows; `null` counts as absent.
    pub(crate) fn other(&self, name: &str) -> Option<&'a str> {
        self.raw_other(name).filter(|raw| *raw != "null")
    }

    /// A field that no slot knows, also as `null`.
    pub(crate) fn raw_other(&self, name: &str) -> Option<&'a str> {
        self.others.find(name).and_then(|place| self.others.get(place)).map(|(_, raw)| *raw)
    }

    /// Whether there are fields that no slot knows.
    pub(crate) fn has_others(&self) -> bool {
        self.others.len() > 0
    }

    /// Every field: those with a slot, then the others in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        let slots = Slot::ALL.iter().filter_map(|slot| Some((Cow::Borrowed(slot.name()), self.known[*slot as usize]?)));
        slots.chain(self.others.iter().map(|(name, raw)| (name.clone(), *raw)))
    }

    /// Fields that an envelope does not know: slots that are not among `envelope`, then the others in order.
    pub(crate) fn unknown<'f>(&'f self, envelope: &'f [Slot]) -> impl Iterator<Item = (&'f str, &'a str)> {
        let slots = Slot::ALL.iter().filter(move |slot| !envelope.contains(slot));
        let slots = slots.filter_map(|slot| Some((slot.name(), self.known[*slot as usize]?)));
        slots.chain(self.others.iter().map(|(name, raw)| (name.as_ref(), *raw)))
    }

    /// Whether anything nests deeper than `max`, the record itself counted.
    pub(crate) fn is_deeper_than(&self, max: usize) -> bool {
        // Opening brackets bound the depth and are counted at memory speed; only suspects are walked.
        self.brackets >= max && {
            let mut values = self.known.iter().flatten().chain(self.others.iter().map(|(_, raw)| raw));
            values.any(|raw| json::depth(raw.as_bytes()) >= max)
        }
    }

    /// `{"events":[…],"batchId":"…"}`: the array and the id, if the record is such a batch.
    pub(crate) fn batch(&self) -> Result<Option<Wrapped<'a>>, Error> {
        let is_batch = !self.has(Slot::Type) && !self.has(Slot::Op);
        let Some(events) = self.get(Slot::Events).filter(|raw| is_batch && raw.starts_with('[')) else {
            return Ok(None);
        };
        if let Some((name, _)) = self.unknown(&[Slot::Events, Slot::BatchId]).next() {
            let detail = format!(
                "a batch has \"events\" and \"batchId\", not {:?}: put what belongs to an event into the event",
                crate::error::shown(name)
            );
            return Err(Error::Body { code: "unknown_field", detail });
        }
        let key = self.text(Slot::BatchId).map_err(|refusal| Error::Body {
            code: "invalid_batch_id",
            detail: format!("batchId is not valid: {}", refusal.message),
        })?;
        Ok(Some(Wrapped { events, key }))
    }

    /// A string field.
    pub(crate) fn text(&self, slot: Slot) -> Result<Option<Cow<'a, str>>, Refusal> {
        self.get(slot).map(|raw| text(slot, raw)).transpose()
    }

    /// A string field of at most so many bytes, not empty.
    pub(crate) fn short_text(&self, slot: Slot, max: usize) -> Result<Option<Cow<'a, str>>, Refusal> {
        let text = self.text(slot)?;
        text.map(|text| within(slot, text, max)).transpose()
    }

    /// A field that is a JSON object, as written.
    pub(crate) fn object(&self, slot: Slot) -> Result<Option<&'a str>, Refusal> {
        match self.get(slot) {
            Some(raw) if !raw.starts_with('{') => {
                let code = if slot == Slot::Doc { Code::InvalidDoc } else { Code::InvalidField };
                Err(Refusal::new(code, slot.pointer(), format!("{} must be a JSON object", slot.name())))
            }
            raw => Ok(raw),
        }
    }

    /// A string, or the text of an object.
    pub(crate) fn text_or_object(&self, slot: Slot) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self.get(slot) {
            Some(raw) if raw.starts_with('{') => Ok(Some(raw.into())),
            Some(raw) if raw.starts_with('"') => text(slot, raw).map(Some),
            Some(_) => {
                let message = format!("{} must be a string or an object", slot.name());
                Err(Refusal::new(Code::InvalidField, slot.pointer(), message))
            }
            None => Ok(None),
        }
    }

    /// The source time: RFC 3339 with a zone, or epoch milliseconds; not after `latest`.
    pub(crate) fn ts(&self, latest: Instant) -> Result<Option<Instant>, Refusal> {
        let Some(raw) = self.get(Slot::Ts) else { return Ok(None) };
        let refuse = |message: String| Refusal::new(Code::InvalidTs, Slot::Ts.pointer(), message);
        let ts = if raw.starts_with('"') {
            let text = text(Slot::Ts, raw).map_err(|refusal| refuse(refusal.message))?;
            Instant::parse(&text).map_err(|error| refuse(error.to_string()))?
        } else {
            let millis = raw.parse().map_err(|_other| {
                let raw = crate::error::shown(raw);
                refuse(format!(
                    "{raw} is not an instant: use RFC 3339 with a zone, or epoch milliseconds as an integer"
                ))
            })?;
            Instant::from_millis(millis).map_err(|error| refuse(error.to_string()))?
        };
        if ts > latest {
            return Err(refuse(format!("{ts} lies too far ahead: at most {latest} is taken now")));
        }
        Ok(Some(ts))
    }
}

fn code(slot: Slot) -> Code {
    match slot {
        Slot::Type => Code::InvalidType,
        Slot::Id | Slot::EventId => Code::InvalidId,
        Slot::Op => Code::InvalidOp,
        Slot::Collection => Code::InvalidCollection,
        _ => Code::InvalidField,
    }
}

/// Text of a raw JSON string; borrows unless it has escapes.
fn text(slot: Slot, raw: &str) -> Result<Cow<'_, str>, Refusal> {
    let refuse = |message: String| Refusal::new(code(slot), slot.pointer(), message);
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Err(refuse(format!("{} must be a string", slot.name())));
    };
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(inner.into());
    }
    let unescaped: Result<String, _> = serde_json::from_str(raw);
    unescaped.map(Cow::Owned).map_err(|_bad| refuse(format!("{} has an escape that is no character", slot.name())))
}

/// Not empty, and at most so many bytes.
pub(crate) fn within(slot: Slot, text: Cow<'_, str>, max: usize) -> Result<Cow<'_, str>, Refusal> {
    if (1..=max).contains(&text.len()) {
        return Ok(text);
    }
    let message = format!("{} has {} bytes: use 1 to {max}", slot.name(), text.len());
    Err(Refusal::new(code(slot), slot.pointer(), message))
}
