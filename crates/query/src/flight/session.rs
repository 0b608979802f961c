//! Who asks, and the settings of their session.
//!
//! The server keeps no sessions. The settings travel with the client: in the cookie `arrow_flight_session_id` (JDBC
//! keeps cookies), and behind a `~` in the bearer token (ADBC drops cookies, but takes a new token out of any
//! response), and belong to the token they were made with. What is more specific wins: headers `x-as-of`, `x-valid-as-of`, `x-nearest` and `x-schema`, then the session, then the header
//! `database`, which names the namespace as other servers' clients expect.

use std::borrow::Cow;

use arrow_ipc::CompressionType;
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use tidemark_model::{Namespace, Principal, hex};
use tidemark_proto::{By, Presented, v1::FlightSession};
use tonic::{
    Extensions, Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::{
    metadata::CATALOG,
    seal::{Seal, open, seal},
    statement::{session_message, session_of},
    status::invalid,
};
use crate::{
    Session, Setting,
    door::{AFTER, read_after, read_instant, read_schema, read_switch},
};

const COOKIE: &str = "arrow_flight_session_id";
/// The credential of whoever brings none, while nobody has to.
const ANONYMOUS: &str = "anonymous";
/// Divides a bearer token into credential and session.
const DIVIDER: char = '~';

/// What an `authorization` header brought, without its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// No header.
    None,
    /// User and password; the text after the scheme, padded or not.
    Basic(String),
    /// A token.
    Bearer(String),
}

impl Credential {
    /// Reads the header.
    ///
    /// # Errors
    /// UNAUTHENTICATED for a scheme that is not spoken.
    fn of(metadata: &MetadataMap, presented: Option<&Presented>) -> Result<(Self, Option<String>), Status> {
        let Some(value) = metadata.get("authorization") else { return Ok((Self::None, None)) };
        let value =
            value.to_str().map_err(|_not_text| Status::unauthenticated("the authorization header is not text"))?;
        let value = value.trim();
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok((Self::Basic(rest.to_owned()), None));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Status::unauthenticated("only the schemes Basic and Bearer are spoken"));
        }
        let (token, session) = divided(rest, presented);
        Ok((Self::Bearer(token.to_owned()), session.map(str::to_owned)))
    }

    /// The bearer token to come with from now on. Whether it opens anything is for the port to say, which lets nobody
    /// through whose token is wrong: the password of a basic login is the token.
    pub(crate) fn token(&self) -> Cow<'_, str> {
        match self {
            Self::Bearer(token) => Cow::Borrowed(token),
            Self::Basic(text) => password(text).map_or(Cow::Borrowed(ANONYMOUS), Cow::Owned),
            Self::None => Cow::Borrowed(ANONYMOUS),
        }
    }
}

/// Token and session of a bearer. Where the authoriser has read the token, it ends where that one ends: it may hold the
/// divider itself.
fn divided<'b>(bearer: &'b str, presented: Option<&Presented>) -> (&'b str, Option<&'b str>) {
    let known = presented.and_then(|token| bearer.split_at_checked(token.0.len()).filter(|(t, _)| **t == *token.0));
    match known {
        Some((token, rest)) => (token, rest.strip_prefix(DIVIDER)),
        None => bearer.rsplit_once(DIVIDER).map_or((bearer, None), |(token, session)| (token, Some(session))),
    }
}

/// The password in the text of a basic login, padded or not; none if there is none.
fn password(text: &str) -> Option<String> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&STANDARD, config).decode(text).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split_once(':').map(|(_user, password)| password.to_owned()).filter(|password| !password.is_empty())
}

/// A caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Caller {
    /// Who they are, and what they may.
    pub(crate) principal: Principal,
    /// What they came with.
    pub(crate) credential: Credential,
    /// The settings they set, as they brought them.
    pub(crate) stored: Session,
    /// The settings that count for this call.
    pub(crate) session: Session,
    /// How the bodies of an answer are to be compressed, out of `x-arrow-compression`.
    pub(crate) compression: Option<CompressionType>,
}

impl Caller {
    /// Reads who asks out of a request: its metadata, and what the authoriser said.
    ///
    /// # Errors
    /// UNAUTHENTICATED or INVALID_ARGUMENT with the header that is wrong.
    pub(crate) fn of(metadata: &MetadataMap, extensions: &Extensions) -> Result<Self, Status> {
        let By(principal) = By::of(extensions).map_err(|problem| Status::unauthenticated(problem.detail))?;
        let (credential, carried) = Credential::of(metadata, extensions.get())?;
        let stored = match cookie(metadata).or(carried) {
            Some(token) => own_session(&principal, &open(Seal::Session, "session", &unhex(&token))?)?,
            None => Session::default(),
        };
        let instant = |name: &str| said(metadata, name, read_instant);
        let session = Session {
            namespace: stored.namespace.clone().or(database(metadata)?),
            as_of: instant("x-as-of")?.or(stored.as_of),
            valid_as_of: instant("x-valid-as-of")?.or(stored.valid_as_of),
            nearest: said(metadata, "x-nearest", read_switch)?.unwrap_or(stored.nearest),
            schema: said(metadata, "x-schema", read_schema)?.unwrap_or(stored.schema),
            after: said(metadata, AFTER, read_after)?,
        };
        let compression = said(metadata, "x-arrow-compression", read_compression)?.flatten();
        Ok(Self { principal, credential, stored, session, compression })
    }

    /// Takes settings into the session that the client carries, if there are any.
    ///
    /// # Errors
    /// As [`Self::hand_over`].
    pub(crate) fn keep(&mut self, settings: &[Setting], metadata: &mut MetadataMap) -> Result<(), Status> {
        if settings.is_empty() {
            return Ok(());
        }
        settings.iter().for_each(|setting| self.stored.set(*setting));
        self.hand_over(metadata)
    }

    /// Gives the client its session to carry.
    ///
    /// # Errors
    /// INTERNAL when the credential does not fit into a header.
    pub(crate) fn hand_over(&self, metadata: &mut MetadataMap) -> Result<(), Status> {
        let principal = self.principal.id().to_owned();
        let message = FlightSession { principal, ..session_message(&self.stored) };
        let token = hex::encode(&seal(Seal::Session, &message));
        put(metadata, "set-cookie", &format!("{COOKIE}={token}; Path=/; HttpOnly"))?;
        // Whoever comes with user and password each time has no token to put a session into.
        if !matches!(self.credential, Credential::Basic(_)) {
            put(metadata, "authorization", &format!("Bearer {}{DIVIDER}{token}", self.credential.token()))?;
        }
        Ok(())
    }

    /// Takes the session away from the client.
    ///
    /// # Errors
    /// INTERNAL when the credential does not fit into a header.
    pub(crate) fn forget(&self, metadata: &mut MetadataMap) -> Result<(), Status> {
        put(metadata, "set-cookie", &format!("{COOKIE}=; Path=/; HttpOnly; Max-Age=0"))?;
        if !matches!(self.credential, Credential::Basic(_)) {
            put(metadata, "authorization", &format!("Bearer {}", self.credential.token()))?;
        }
        Ok(())
    }
}

/// The settings of a session that belongs to this principal.
fn own_session(principal: &Principal, message: &FlightSession) -> Result<Session, Status> {
    if message.principal != principal.id() {
        return Err(Status::unauthenticated(
            "the session belongs to another token: begin a new one, without its cookie",
        ));
    }
    session_of(message)
}

/// Sets a header of a response.
pub(crate) fn put(metadata: &mut MetadataMap, name: &'static str, value: &str) -> Result<(), Status> {
    let value =
        MetadataValue::try_from(value).map_err(|e| super::status::defect("a header could not be written", e))?;
    metadata.insert(name, value);
    Ok(())
}

/// A header that comes twice has to say the same twice. Drivers put those of a statement behind those of its connection, and
/// those of the database behind both, so that no place of them tells which one was meant.
fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Result<Option<&'a str>, Status> {
    let mut values = metadata.get_all(name).iter();
    let value = values.next();
    if values.any(|other| Some(other) != value) {
        return Err(invalid(format!(
            "header {name} came more than once, with different values: give it to the database, the connection or the \
             statement, and to one of them only; set to nothing there it is taken back"
        )));
    }
    value.map(MetadataValue::to_str).transpose().map_err(|_not_text| invalid(format!("header {name} is not text")))
}

/// What a header says, if it is there.
fn said<T>(
    metadata: &MetadataMap,
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Status> {
    let said = text(metadata, name)?.map(read).transpose();
    said.map_err(|e| invalid(format!("header {name}: {e}")))
}

/// `lz4`, `zstd` or `none`.
fn read_compression(text: &str) -> Result<Option<CompressionType>, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "lz4" => Ok(Some(CompressionType::LZ4_FRAME)),
        "zstd" => Ok(Some(CompressionType::ZSTD)),
        "none" => Ok(None),
        _ => Err("use lz4, zstd or none".to_owned()),
    }
}

/// The namespace of the header `database`; our catalog's own name says nothing.
fn database(metadata: &MetadataMap) -> Result<Option<Namespace>, Status> {
    match text(metadata, "database")? {
        None | Some("" | CATALOG) => Ok(None),
        Some(name) => Namespace::parse(name).map(Some).map_err(|e| invalid(format!("header database: {e}"))),
    }
}

fn cookie(metadata: &MetadataMap) -> Option<String> {
    let lines = metadata.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value.to_owned())
}

/// The bytes of a token; what is no hex becomes what nothing opens.
fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
