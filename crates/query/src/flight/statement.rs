//! A statement as clients carry it: in a ticket fixed at its instants, in the handle of a prepared statement not.
//!
//! Both hold everything, so the door keeps nothing: a ticket can be redeemed after its statement was closed, by
//! another process, on another node, and twice.

use bytes::Bytes;
use datafusion::common::ScalarValue;
use tidemark_model::{Instant, Namespace, Principal};
use tidemark_proto::v1::{FlightPin, FlightSession, FlightStatement};
use tonic::Status;

use super::{
    params,
    seal::{self, Seal},
    status::invalid,
};
use crate::{Pin, SchemaOf, Session, Statement};

/// A statement between two calls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Carried {
    /// The text as it came.
    pub(crate) sql: String,
    /// Bound rows as an IPC stream; empty when nothing is bound.
    pub(crate) params: Bytes,
    /// Who asks.
    pub(crate) session: Session,
    /// Fixed instants.
    pub(crate) pin: Option<Pin>,
    /// The transaction that it is asked in, empty if in none; never in a ticket, whose instants are fixed.
    pub(crate) transaction: Bytes,
}

impl Carried {
    /// A statement that was just said.
    pub(crate) fn new(sql: String, session: Session) -> Self {
        Self { sql, params: Bytes::new(), session, pin: None, transaction: Bytes::new() }
    }

    /// The same in a transaction, if there is one.
    pub(crate) fn within(self, transaction: Option<Bytes>) -> Self {
        Self { transaction: transaction.unwrap_or_default(), ..self }
    }

    /// As bytes for a client.
    pub(crate) fn seal(&self) -> Bytes {
        let message = FlightStatement {
            sql: self.sql.clone(),
            params: self.params.clone(),
            session: Some(session_message(&self.session)),
            pin: self.pin.map(|pin| FlightPin { system_time_us: pin.system_time.micros(), now_us: pin.now.micros() }),
            transaction: self.transaction.clone(),
        };
        seal::seal(Seal::Statement, &message)
    }

    /// From the bytes of a client.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when they are not ours.
    pub(crate) fn open(what: &str, bytes: &[u8]) -> Result<Self, Status> {
        let message: FlightStatement = seal::open(Seal::Statement, what, bytes)?;
        Ok(Self {
            sql: message.sql,
            params: message.params,
            session: session_of(&message.session.unwrap_or_default())?,
            pin: message.pin.map(|pin| Pin {
                system_time: Instant::from_micros(pin.system_time_us),
                now: Instant::from_micros(pin.now_us),
            }),
            transaction: message.transaction,
        })
    }

    /// From the handle of a prepared statement.
    ///
    /// # Errors
    /// NOT_FOUND when it is none of ours: there is no such statement.
    pub(crate) fn of_handle(bytes: &[u8]) -> Result<Self, Status> {
        let opened = Self::open("handle of the prepared statement", bytes);
        opened.map_err(|refused| Status::not_found(refused.message()))
    }

    /// The same as a call asks it: at the settings of that call, as if it were said anew. Names are looked up where it was
    /// prepared, unless the call says otherwise.
    pub(crate) fn asked_in(self, session: &Session) -> Self {
        let namespace = session.namespace.clone().or(self.session.namespace);
        Self { session: Session { namespace, ..session.clone() }, ..self }
    }

    /// The statement with the given values, asked by whoever brought it: it is authorised anew each time.
    pub(crate) fn with(&self, params: Vec<ScalarValue>, principal: &Principal) -> Statement {
        let (sql, session) = (self.sql.clone(), self.session.clone());
        Statement { sql, params, principal: principal.clone(), session, pin: self.pin }
    }

    /// What is to be run, once per bound row; one without parameters when nothing was ever bound.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the parameters cannot be read.
    pub(crate) fn runs(&self, principal: &Principal) -> Result<Vec<Statement>, Status> {
        if self.params.is_empty() {
            return Ok(vec![self.with(Vec::new(), principal)]);
        }
        Ok(params::rows(&self.params)?.into_iter().map(|row| self.with(row, principal)).collect())
    }
}

/// A session as a message.
pub(crate) fn session_message(session: &Session) -> FlightSession {
    FlightSession {
        namespace: session.namespace.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        as_of_us: session.as_of.map(Instant::micros),
        valid_as_of_us: session.valid_as_of.map(Instant::micros),
        nearest: session.nearest,
        schema_as_of: session.schema == SchemaOf::Instant,
        principal: String::new(),
    }
}

/// A session from a message.
///
/// # Errors
/// INVALID_ARGUMENT for a namespace that is none.
pub(crate) fn session_of(message: &FlightSession) -> Result<Session, Status> {
    let namespace = match message.namespace.as_str() {
        "" => None,
        name => Some(Namespace::parse(name).map_err(|e| invalid(e.to_string()))?),
    };
    Ok(Session {
        namespace,
        as_of: message.as_of_us.map(Instant::from_micros),
        valid_as_of: message.valid_as_of_us.map(Instant::from_micros),
        nearest: message.nearest,
        schema: if message.schema_as_of { SchemaOf::Instant } else { SchemaOf::Present },
        after: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_comes_back_as_it_went() {
        let at = |us| Some(Instant::from_micros(us));
        for carried in [
            Carried::new("select 1".to_owned(), Session::default()),
            Carried {
                sql: "select ?".to_owned(),
                params: Bytes::from_static(b"rows"),
                session: Session {
                    namespace: Some(Namespace::parse("nyc").unwrap()),
                    as_of: at(-5),
                    valid_as_of: at(1 << 50),
                    nearest: true,
                    schema: SchemaOf::Instant,
                    after: None,
                },
                pin: Some(Pin { system_time: Instant::from_micros(7), now: Instant::from_micros(-8) }),
                transaction: Bytes::from_static(b"t"),
            },
        ] {
            assert_eq!(Carried::open("ticket", &carried.seal()).unwrap(), carried);
        }
    }
}
