//! Messages of clients: bytes → what is asked. Every length is checked before anything is taken.

use bytes::Bytes;

use super::fault::{Fault, Severity};

/// Which of the two things a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// What a client sends once it is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A text of statements.
    Query(String),
    /// Prepares a statement.
    Parse {
        /// Its name; empty is the one without.
        name: String,
        /// Its text.
        sql: String,
        /// OIDs of its parameters' types as far as told; 0 is not told.
        types: Vec<u32>,
    },
    /// Makes a portal of a statement and values.
    Bind(Bind),
    /// Asks for columns and parameters.
    Describe(Target, String),
    /// Runs a portal.
    Execute {
        /// Its name.
        portal: String,
        /// Most rows; 0 is all.
        rows: u32,
    },
    /// Forgets a statement or a portal.
    Close(Target, String),
    /// Asks for what is buffered.
    Flush,
    /// Ends a run of messages.
    Sync,
    /// The client leaves.
    Terminate,
    /// A password.
    Password(String),
    /// What belongs to a COPY into the server, which there is not.
    CopyIn,
    /// One whose text cannot be read, though its bounds can: the session goes on behind it.
    Unreadable {
        /// Whether it is a text of statements.
        is_query: bool,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// The values of a portal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    /// The portal's name.
    pub(crate) portal: String,
    /// The statement's name.
    pub(crate) statement: String,
    /// Formats of the parameters: none, one for all, or one each.
    pub(crate) formats: Vec<Format>,
    /// The values; `None` is NULL.
    pub(crate) params: Vec<Option<Bytes>>,
    /// Formats of the columns: none, one for all, or one each.
    pub(crate) results: Vec<Format>,
}

/// How a value is spelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// As text.
    #[default]
    Text,
    /// As PostgreSQL's binary form of its type.
    Binary,
}

impl Format {
    /// Its code on the wire.
    pub(crate) const fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    /// The format of the `nth` of values whose formats were given so.
    pub(crate) fn of(formats: &[Self], nth: usize) -> Self {
        match formats {
            [] => Self::Text,
            [all] => *all,
            each => each.get(nth).copied().unwrap_or_default(),
        }
    }
}

/// Reads the body of a message.
///
/// # Errors
/// A protocol violation.
pub(crate) fn read(tag: u8, body: &Bytes) -> Result<Message, Fault> {
    match parsed(tag, body) {
        Err(fault) if fault.severity == Severity::Error => Ok(Message::Unreadable { is_query: tag == b'Q', fault }),
        read => read,
    }
}

fn parsed(tag: u8, body: &Bytes) -> Result<Message, Fault> {
    let mut fields = Fields(body.clone());
    let message = match tag {
        b'Q' => Message::Query(fields.text()?),
        b'P' => Message::Parse {
            name: fields.text()?,
            sql: fields.text()?,
            types: fields.list(|fields| fields.i32().map(i32::cast_unsigned))?,
        },
        b'B' => Message::Bind(bind(&mut fields)?),
        b'D' => Message::Describe(fields.target()?, fields.text()?),
        b'E' => Message::Execute { portal: fields.text()?, rows: u32::try_from(fields.i32()?).unwrap_or_default() },
        b'C' => Message::Close(fields.target()?, fields.text()?),
        b'p' => Message::Password(fields.text()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'd' | b'c' | b'f' => return Ok(Message::CopyIn),
        other => return Err(Fault::protocol(format!("a message of kind {:?} is not spoken", char::from(other)))),
    };
    if fields.0.is_empty() { Ok(message) } else { Err(malformed()) }
}

fn bind(fields: &mut Fields) -> Result<Bind, Fault> {
    Ok(Bind {
        portal: fields.text()?,
        statement: fields.text()?,
        formats: fields.list(Fields::format)?,
        params: fields.list(Fields::value)?,
        results: fields.list(Fields::format)?,
    })
}

fn malformed() -> Fault {
    Fault::protocol("a message does not hold what its kind says".to_owned())
}

/// What is left of a message.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Bytes);

impl Fields {
    fn take(&mut self, count: usize) -> Result<Bytes, Fault> {
        if self.0.len() < count { Err(malformed()) } else { Ok(self.0.split_to(count)) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.as_ref().try_into().map_err(|_never| malformed())
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16, Fault> {
        self.array().map(i16::from_be_bytes)
    }

    /// Text up to a zero byte.
    ///
    /// # Errors
    /// Without a zero byte, and for what is no UTF-8.
    pub(crate) fn text(&mut self) -> Result<String, Fault> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
        let text = self.take(end + 1)?;
        String::from_utf8(text[..end].to_vec()).map_err(|_not_utf8| Fault::not_utf8())
    }

    fn format(&mut self) -> Result<Format, Fault> {
        match self.i16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Fault::protocol(format!("format {other} is not spoken: use 0 for text or 1 for binary"))),
        }
    }

    fn value(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_negative| malformed())?).map(Some),
        }
    }

    /// As many as a count says; the count is unsigned, as libpq sends up to 65,535 parameters.
    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let count = self.i16()?.cast_unsigned();
        (0..count).map(|_| one(self)).collect()
    }

    fn target(&mut self) -> Result<Target, Fault> {
        match self.array()? {
            [b'S'] => Ok(Target::Statement),
            [b'P'] => Ok(Target::Portal),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: u8, body: &[u8]) -> Option<Message> {
        read(tag, &Bytes::copy_from_slice(body)).ok()
    }

    #[test]
    fn messages_are_read_and_what_does_not_fit_is_refused() {
        let query = |sql: &str| Some(Message::Query(sql.to_owned()));
        for (tag, body, expected) in [
            (b'Q', b"select 1\0".as_slice(), query("select 1")),
            (b'Q', b"\0", query("")),
            (b'Q', b"select 1", None),
            (b'Q', b"a\0b", None),
            (b'Q', b"\xff\0", Some(Message::Unreadable { is_query: true, fault: Fault::not_utf8() })),
            (b'D', b"Sx\0", Some(Message::Describe(Target::Statement, "x".to_owned()))),
            (b'D', b"Qx\0", None),
            (b'E', b"\0\0\0\0\x05", Some(Message::Execute { portal: String::new(), rows: 5 })),
            (b'E', b"\0\0\0\0", None),
            (b'S', b"", Some(Message::Sync)),
            (b'S', b"x", None),
            (b'?', b"", None),
            (
                b'P',
                b"s\0select $1\0\0\x01\0\0\0\x17",
                Some(Message::Parse { name: "s".to_owned(), sql: "select $1".to_owned(), types: vec![23] }),
            ),
            (b'P', b"s\0select $1\0\x7f\xff\0\0\0\x17", None),
        ] {
            assert_eq!(of(tag, body), expected, "{} {body:?}", char::from(tag));
        }
    }

    #[test]
    fn values_are_bound_in_their_formats() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\x01";
        let Some(Message::Bind(bind)) = of(b'B', body) else { panic!("not read") };
        assert_eq!(bind.params, [Some(Bytes::from_static(b"ab")), None]);
        assert_eq!([Format::of(&bind.formats, 1), Format::of(&bind.results, 7)], [Format::Binary, Format::Binary]);
        assert_eq!(of(b'B', b"p\0s\0\0\x01\0\x02\0\0\0\0"), None);
        assert_eq!(of(b'B', b"p\0s\0\0\0\0\x01\0\0\0\x09ab"), None);
    }

    /// Whatever bytes come, reading them ends with a message or a refusal.
    #[test]
    fn any_bytes_are_read_or_refused() {
        let ids = tidemark_model::Ids::seeded(7);
        for round in 0..20_000_u32 {
            let length = usize::try_from(ids.random() % 40).unwrap_or(0);
            let body: Vec<u8> =
                (0..length).map(|_| ids.random().to_le_bytes()[0] & if round % 2 == 0 { 3 } else { 255 }).collect();
            for tag in *b"QPBDECpHSXdcf?" {
                let _read_or_refused = of(tag, &body);
            }
        }
    }
}
