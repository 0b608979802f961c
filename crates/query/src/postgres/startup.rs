//! How a client comes in: encryption is settled, then it says who it is and what it wants, then it is in.
//!
//! Everything up to there has one time-out, small limits, and no place among those that are in. A password is the token
//! and travels in clear inside of TLS or on the machine: tokens are stored as digests, which SCRAM could not use.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use tidemark_catalog::NoLogin;
use tidemark_model::Principal;
use tokio::time::{Instant, timeout};

use super::{
    Door,
    fault::{Fault, Severity},
    link::{Ended, Link, Wire},
    message::{Fields, Message},
    reply,
    session::{FAREWELL, Session, Who},
    words,
};

/// Most bytes of a message before the client is in, as PostgreSQL has it.
const OPENING_BYTES_MAX: usize = 10_000;
/// Most messages that may come before the one that starts.
const OPENINGS_MAX: usize = 4;

const SSL: i32 = 80_877_103;
const GSS: i32 = 80_877_104;
const CANCEL: i32 = 80_877_102;
/// The newest version that is spoken: 3.2.
const VERSION: i32 = 3 << 16 | 2;

/// What a client says that starts.
#[derive(Debug, Default)]
struct Start {
    version: i32,
    user: String,
    database: Option<String>,
    /// Settings, in the order they came.
    settings: Vec<(String, String)>,
    /// Options of the protocol that are not known.
    unknown: Vec<String>,
}

/// Brings a client in; none when it only cancelled, or was refused and told so.
pub(crate) async fn come_in(door: &Door, wire: Box<dyn Wire>, from: IpAddr, limit: Duration) -> Option<Session> {
    timeout(limit, opened(door, wire, from)).await.unwrap_or_default()
}

async fn opened(door: &Door, wire: Box<dyn Wire>, from: IpAddr) -> Option<Session> {
    let (mut link, start) = started(door, wire).await?;
    match admitted(door, &mut link, &start, from).await {
        Ok(who) => match begun(door, link, &start, who).await {
            Ok(session) => Some(session),
            Err(refusal) => refused(refusal.0, &refusal.1).await,
        },
        Err(Ended::Fault(fault)) => refused(link, &fault).await,
        Err(Ended::Gone) => None,
    }
}

/// Tells a client why it is refused.
async fn refused(mut link: Link, fault: &Fault) -> Option<Session> {
    reply::fault(&mut link.out, fault);
    let _gone_or_told = timeout(FAREWELL, link.flush()).await;
    link.close().await;
    None
}

/// Settles encryption up to the message that starts.
async fn started(door: &Door, wire: Box<dyn Wire>) -> Option<(Link, Start)> {
    let mut link = Link::over(wire);
    let mut is_encrypted = false;
    for _ in 0..OPENINGS_MAX {
        let mut body = link.opening(OPENING_BYTES_MAX).await.ok()?;
        match (body.get_i32(), &door.tls) {
            (SSL, Some(tls)) if !is_encrypted => {
                link.out.put_u8(b'S');
                link.flush().await.ok()?;
                // Bytes that came ahead of the handshake are nobody's: whoever sent them could be anyone.
                link = Link::over(tls.encrypt(link.into_wire()?).await.ok()?);
                is_encrypted = true;
            }
            (SSL | GSS, _) => {
                link.out.put_u8(b'N');
                link.flush().await.ok()?;
            }
            (CANCEL, _) => {
                if body.len() == 8 {
                    door.running.cancel(body.get_i32(), body.get_i32());
                }
                return None;
            }
            (version, _) if version >> 16 == 3 => {
                let is_refused = !is_encrypted && door.tls.as_ref().is_some_and(|tls| tls.is_required());
                let start = if is_refused {
                    Err(Fault::fatal("28000", "this server speaks TLS only").hinting("connect with sslmode=require"))
                } else {
                    start(version, body)
                };
                match start {
                    Ok(start) => return Some((link, start)),
                    Err(fault) => drop(refused(link, &fault).await),
                }
                return None;
            }
            (version, _) => {
                let (major, minor) = (version >> 16, version & 0xffff);
                let why = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
                refused(link, &Fault::fatal("0A000", why)).await;
                return None;
            }
        }
    }
    None
}

fn start(version: i32, body: Bytes) -> Result<Start, Fault> {
    let mut fields = Fields(body);
    let mut start = Start { version, ..Start::default() };
    loop {
        let name = fields.text()?;
        if name.is_empty() {
            break;
        }
        let value = fields.text()?;
        match name.as_str() {
            "user" => start.user = value,
            "database" => start.database = Some(value),
            "options" => start.settings.extend(options(&value)?),
            "replication" if ["off", "false", "no", "0"].contains(&value.as_str()) => {}
            "replication" => return Err(Fault::fatal("0A000", "replication is not served: follow the events' tail")),
            name if name.starts_with("_pq_.") => start.unknown.push(name.to_owned()),
            _ => start.settings.push((name, value)),
        }
    }
    if start.user.is_empty() {
        return Err(Fault::fatal("28000", "no PostgreSQL user name specified in startup packet"));
    }
    Ok(start)
}

/// `-c name=value` and `--name=value`, as `PGOPTIONS` has them; a backslash keeps a space.
fn options(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut words = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => words.last_mut().into_iter().for_each(|word| word.extend(letters.next())),
            letter if letter.is_whitespace() => words.push(String::new()),
            letter => words.last_mut().into_iter().for_each(|word| word.push(letter)),
        }
    }
    let words = words.into_iter().filter(|word| !word.is_empty() && word != "-c");
    let one = |word: String| {
        let said = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(&word);
        let (name, value) = said.split_once('=').ok_or_else(|| {
            Fault::fatal("42601", format!("option {:?} is not understood: use -c name=value", words::clip(&word)))
        })?;
        Ok((name.replace('-', "_"), value.to_owned()))
    };
    words.map(one).collect()
}

/// Asks for the token, if one is asked for here.
async fn admitted(door: &Door, link: &mut Link, start: &Start, from: IpAddr) -> Result<(Who, Principal), Ended> {
    if start.version & 0xffff > VERSION & 0xffff || !start.unknown.is_empty() {
        reply::negotiate(&mut link.out, start.version.min(VERSION), &start.unknown);
    }
    let mut password = None;
    if door.login.asks() {
        reply::ask_password(&mut link.out);
        link.flush().await?;
        match link.message().await? {
            Message::Password(given) => password = Some(given),
            Message::Unreadable { fault, .. } => return Err(fault.into()),
            _ => return Err(Fault::protocol("a password is expected").into()),
        }
    }
    let (login, allowance) = (Arc::clone(&door.login), door.allowance.clone());
    let who = Who { login, allowance, password, from, asked: Instant::now() };
    let principal = who.ask().await.map_err(|why| no_login(why, &start.user))?;
    tracing::debug!(principal = principal.id(), %from, "a client of PostgreSQL's protocol is in");
    Ok((Who { asked: Instant::now(), ..who }, principal))
}

/// Why nobody was logged in, in PostgreSQL's words where its clients know some.
pub(crate) fn no_login(why: NoLogin, user: &str) -> Fault {
    match why {
        NoLogin::WrongToken | NoLogin::NoToken => {
            let message = format!("password authentication failed for user \"{}\"", words::clip(user));
            Fault::fatal("28P01", message)
                .hinting("the password is a token of this server; the user's name says nothing")
        }
        other => Fault::fatal(other.kind().sqlstate(), other.to_string()),
    }
}

/// The session of a client that is in, with what it wants set; told that it may ask.
async fn begun(door: &Door, link: Link, start: &Start, who: (Who, Principal)) -> Result<Session, Box<(Link, Fault)>> {
    let place = door.running.enter();
    let (process, secret) = (place.process, place.secret);
    let mut session = Session::new(door.query.clone(), link, place, who);
    // Clients take settings and warnings of them only behind this.
    reply::admitted(&mut session.link.out);
    if let Err(fault) = settle(&mut session, start) {
        return Err(Box::new((session.link, Fault { severity: Severity::Fatal, ..fault })));
    }
    session.began = (session.asks.clone(), session.settings.clone());
    session.tell_settings();
    reply::key(&mut session.link.out, process, secret);
    reply::ready(&mut session.link.out, reply::Status::Idle);
    match session.link.flush().await {
        Ok(()) => Ok(session),
        Err(_gone) => Err(Box::new((session.link, Fault::fatal("08006", "the client has gone")))),
    }
}

/// The database, which is the lake or one of its namespaces, and settings.
fn settle(session: &mut Session, start: &Start) -> Result<(), Fault> {
    let database = start.database.as_deref().unwrap_or(&start.user);
    let is_lake = [crate::plan::names::CATALOG, "postgres", start.user.as_str()].contains(&database);
    if session.query.namespace(&session.principal, database).is_some() {
        session.set("search_path", &[database.to_owned()])?;
    } else if !is_lake {
        let message = format!("database \"{}\" does not exist", words::clip(database));
        return Err(Fault::error("3D000", message).hinting("connect to tidemark, or to a namespace"));
    }
    for (name, value) in &start.settings {
        session.set(name, std::slice::from_ref(value))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_is_read() {
        let body = Bytes::from_static(b"user\0me\0database\0nyc\0options\0-c a.b=1\\ 2 --c-d=3\0_pq_.x\0y\0\0");
        let start = start(3 << 16, body).unwrap();
        assert_eq!((start.user.as_str(), start.database.as_deref()), ("me", Some("nyc")));
        let settings = [("a.b", "1 2"), ("c_d", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(start.settings, settings);
        assert_eq!(start.unknown, ["_pq_.x"]);
    }

    #[test]
    fn what_starts_wrongly_is_refused() {
        for (body, code) in [
            (&b"database\0x\0\0"[..], "28000"),
            (b"user\0me\0replication\0true\0\0", "0A000"),
            (b"user\0me\0options\0-x\0\0", "42601"),
            (b"user\0me", "08P01"),
            (b"user\0\xff\0\0", "22021"),
        ] {
            assert_eq!(start(3 << 16, Bytes::from_static(body)).unwrap_err().code, code, "{body:?}");
        }
    }
}
