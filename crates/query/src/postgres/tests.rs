//! The door over a real room, as a client sees it: bytes in, bytes out.

use std::net::Ipv4Addr;

use bytes::{Buf, BufMut, BytesMut};
use tidemark_catalog::NoLogin;
use tidemark_model::Principal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};

use super::*;
use crate::{Config, door::fixture};

/// Lets one token in.
#[derive(Debug)]
struct OneToken;

#[async_trait]
impl Login for OneToken {
    fn asks(&self) -> bool {
        true
    }

    async fn login(&self, password: Option<&str>, _: IpAddr) -> Result<Principal, NoLogin> {
        if password == Some("tm_right") { Ok(Principal::lake()) } else { Err(NoLogin::WrongToken) }
    }
}

/// Refuses connections in clear, and can do no TLS.
#[derive(Debug)]
struct Required;

#[async_trait]
impl Encrypt for Required {
    fn is_required(&self) -> bool {
        true
    }

    async fn encrypt(&self, _: Box<dyn Wire>) -> io::Result<Box<dyn Wire>> {
        Err(io::Error::other("no certificate"))
    }
}

struct Client {
    wire: DuplexStream,
    input: BytesMut,
    served: JoinHandle<()>,
}

async fn door(tls: Option<Arc<dyn Encrypt>>) -> Door {
    Door::new(fixture::room(Config::default()).await, Arc::new(OneToken), tls, [1; 16])
}

impl Client {
    fn of(door: &Door, stop: &CancellationToken) -> Self {
        let (wire, server) = duplex(1 << 20);
        let (door, stop) = (door.clone(), stop.clone());
        let served = async move {
            door.serve(Box::new(server), Ipv4Addr::LOCALHOST.into(), Duration::from_secs(10), stop).await;
        };
        let served = tokio_util::task::TaskTracker::new().spawn(served);
        Self { wire, input: BytesMut::new(), served }
    }

    /// A client that is in.
    async fn admitted(door: &Door) -> Self {
        let mut client = Self::of(door, &CancellationToken::new());
        client.start(3 << 16, b"user\0me\0database\0tidemark\0\0").await;
        client.say(b'p', b"tm_right\0").await;
        let told = client.until(b'Z').await;
        assert!(told.starts_with('R') && told.contains('K') && told.ends_with("Z(I)"), "{told}");
        client
    }

    async fn start(&mut self, code: i32, body: &[u8]) {
        let mut out = BytesMut::new();
        out.put_i32(i32::try_from(body.len() + 8).unwrap());
        out.put_i32(code);
        out.put_slice(body);
        self.wire.write_all(&out).await.unwrap();
    }

    async fn say(&mut self, tag: u8, body: &[u8]) {
        let mut out = BytesMut::new();
        reply::message(&mut out, tag, |out| out.put_slice(body));
        // A door that has cut the connection is seen by who reads next.
        let _cut = self.wire.write_all(&out).await;
    }

    async fn byte(&mut self) -> Option<u8> {
        self.wire.read_u8().await.ok()
    }

    /// The next message; none at the end.
    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if self.input.len() >= 5 {
                let length = usize::try_from((&self.input[1..5]).get_i32()).unwrap();
                if self.input.len() > length {
                    let tag = self.input.get_u8();
                    return Some((tag, self.input.split_to(length)[4..].to_vec()));
                }
            }
            if self.wire.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Messages up to one of a kind, or the end, as text: rows with their values, errors with their codes.
    async fn until(&mut self, last: u8) -> String {
        let mut told = Vec::new();
        while let Some((tag, body)) = self.message().await {
            let shown = match tag {
                b'D' => format!("D{:?}", values(&body)),
                b'E' | b'N' => format!("{}({})", char::from(tag), field(&body, b'C')),
                b'C' => format!("C({})", String::from_utf8_lossy(&body[..body.len() - 1])),
                b'Z' => format!("Z({})", char::from(body[0])),
                b'd' => format!("d({})", String::from_utf8_lossy(&body).trim_end()),
                tag => char::from(tag).to_string(),
            };
            told.push(shown);
            if tag == last {
                break;
            }
        }
        told.join(" ")
    }

    async fn query(&mut self, sql: &str) -> String {
        self.say(b'Q', format!("{sql}\0").as_bytes()).await;
        self.until(b'Z').await
    }

    async fn parse(&mut self, name: &str, sql: &str, types: &[u32]) {
        let mut body = BytesMut::from(format!("{name}\0{sql}\0").as_bytes());
        body.put_u16(u16::try_from(types.len()).unwrap());
        types.iter().for_each(|oid| body.put_u32(*oid));
        self.say(b'P', &body).await;
    }

    async fn bind(&mut self, portal: &str, statement: &str, values: &[Option<&str>]) {
        let mut body = BytesMut::from(format!("{portal}\0{statement}\0").as_bytes());
        body.put_u16(0);
        body.put_u16(u16::try_from(values.len()).unwrap());
        for value in values {
            body.put_i32(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()));
            body.put_slice(value.unwrap_or_default().as_bytes());
        }
        body.put_u16(0);
        self.say(b'B', &body).await;
    }

    async fn execute(&mut self, portal: &str, rows: i32) {
        let mut body = BytesMut::from(format!("{portal}\0").as_bytes());
        body.put_i32(rows);
        self.say(b'E', &body).await;
    }

    async fn sync(&mut self) -> String {
        self.say(b'S', b"").await;
        self.until(b'Z').await
    }
}

fn values(mut body: &[u8]) -> Vec<String> {
    let count = body.get_u16();
    let one = |_| match body.get_i32() {
        -1 => "NULL".to_owned(),
        length => String::from_utf8_lossy(&body.copy_to_bytes(usize::try_from(length).unwrap())).into_owned(),
    };
    (0..count).map(one).collect()
}

fn field(body: &[u8], wanted: u8) -> String {
    let fields = body.split(|byte| *byte == 0);
    let found = fields.into_iter().find(|field| field.first() == Some(&wanted));
    found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
}

#[tokio::test]
async fn who_has_no_token_or_no_tls_stays_outside() {
    let open = door(None).await;
    for (password, told) in [("tm_wrong", "E(28P01)"), ("", "E(28P01)")] {
        let mut client = Client::of(&open, &CancellationToken::new());
        client.start(3 << 16, b"user\0me\0\0").await;
        client.until(b'R').await;
        client.say(b'p', format!("{password}\0").as_bytes()).await;
        assert_eq!(client.until(b'Z').await, told, "{password:?}");
    }
    let mut elsewhere = Client::of(&open, &CancellationToken::new());
    elsewhere.start(3 << 16, b"user\0me\0database\0secrets\0\0").await;
    elsewhere.until(b'R').await;
    elsewhere.say(b'p', b"tm_right\0").await;
    assert_eq!(elsewhere.until(b'Z').await, "R E(3D000)");
    let closed = door(Some(Arc::new(Required))).await;
    let mut clear = Client::of(&closed, &CancellationToken::new());
    clear.start(3 << 16, b"user\0me\0\0").await;
    assert_eq!(clear.until(b'Z').await, "E(28000)");
    let mut broken = Client::of(&closed, &CancellationToken::new());
    broken.start(80_877_103, b"").await;
    assert_eq!((broken.byte().await, broken.byte().await), (Some(b'S'), None), "a failed handshake ends in clear");
}

#[tokio::test]
async fn a_client_without_tls_is_told_so_and_goes_on() {
    let mut client = Client::of(&door(None).await, &CancellationToken::new());
    for code in [80_877_104, 80_877_103] {
        client.start(code, b"").await;
        assert_eq!(client.byte().await, Some(b'N'));
    }
    client.start(3 << 16 | 9, b"user\0me\0_pq_.x\0y\0\0").await;
    client.say(b'p', b"tm_right\0").await;
    assert!(client.until(b'Z').await.starts_with("v R R S"));
}

#[tokio::test]
async fn texts_are_answered_statement_by_statement() {
    let mut client = Client::admitted(&door(None).await).await;
    for (sql, told) in [
        ("", "I Z(I)"),
        ("SELECT 1 AS a, NULL, 'x' AS b", "T D[\"1\", \"NULL\", \"x\"] C(SELECT 1) Z(I)"),
        ("SELECT 1; SELECT 2", "T D[\"1\"] C(SELECT 1) T D[\"2\"] C(SELECT 1) Z(I)"),
        ("SELECT 1; SELEC 2; SELECT 3", "T D[\"1\"] C(SELECT 1) E(25006) Z(I)"),
        ("INSERT INTO nyc.flights VALUES (1)", "E(25006) Z(I)"),
        ("CREATE TABLE x (a int)", "E(25006) Z(I)"),
        ("SELECT * FROM nyc.nothing", "E(42P01) Z(I)"),
        ("SELECT nothing FROM nyc.events", "E(42703) Z(I)"),
        ("SET application_name = 'x'; SHOW application_name", "S C(SET) T D[\"x\"] C(SHOW) Z(I)"),
        ("SET TimeZone = 'Asia/Tokyo'", "N(01000) S C(SET) Z(I)"),
        ("SET datafusion.execution.batch_size = 1", "E(42704) Z(I)"),
        ("SHOW nothing", "E(42704) Z(I)"),
        (
            "SET tidemark.as_of = TIMESTAMP '2013-01-01T01:00:00Z'; SHOW tidemark.as_of",
            "C(SET) T D[\"2013-01-01T01:00:00.000000Z\"] C(SHOW) Z(I)",
        ),
        ("RESET ALL; SHOW tidemark.as_of", "S S S S S S S S S S S S S C(RESET) T D[\"NULL\"] C(SHOW) Z(I)"),
        ("COPY (SELECT 1, 'a') TO STDOUT (FORMAT csv)", "H d(1,a) c C(COPY 1) Z(I)"),
        ("COPY nyc.events FROM STDIN", "E(25006) Z(I)"),
        ("SELECT current_schema(), current_user", "T D[\"public\", \"tidemark\"] C(SELECT 1) Z(I)"),
        (
            "SET search_path TO nyc; SELECT current_schema(), count(*) FROM events",
            "C(SET) T D[\"nyc\", \"0\"] C(SELECT 1) Z(I)",
        ),
    ] {
        assert_eq!(client.query(sql).await, told, "{sql}");
    }
}

#[tokio::test]
async fn transactions_fail_and_end() {
    let mut client = Client::admitted(&door(None).await).await;
    for (sql, told) in [
        ("BEGIN", "C(BEGIN) Z(T)"),
        ("BEGIN", "N(25001) C(BEGIN) Z(T)"),
        ("DECLARE c CURSOR FOR VALUES (1), (2), (3)", "C(DECLARE CURSOR) Z(T)"),
        ("FETCH 2 FROM c", "T D[\"1\"] D[\"2\"] C(FETCH 2) Z(T)"),
        ("MOVE 1 FROM c", "C(MOVE 1) Z(T)"),
        ("FETCH ALL FROM c", "T C(FETCH 0) Z(T)"),
        ("SELECT nothing", "E(42703) Z(E)"),
        ("SELECT 1", "E(25P02) Z(E)"),
        ("ROLLBACK TO x", "C(ROLLBACK) Z(T)"),
        ("CLOSE c", "C(CLOSE CURSOR) Z(T)"),
        ("SET application_name = 'inside'", "S C(SET) Z(T)"),
        ("SELECT nothing", "E(42703) Z(E)"),
        ("COMMIT", "S S S S S S S S S S S S S C(ROLLBACK) Z(I)"),
        ("SHOW application_name", "T D[\"\"] C(SHOW) Z(I)"),
        ("COMMIT", "N(25P01) C(COMMIT) Z(I)"),
        ("DECLARE c CURSOR FOR SELECT 1", "E(25P01) Z(I)"),
        ("FETCH c", "E(34000) Z(I)"),
    ] {
        assert_eq!(client.query(sql).await, told, "{sql}");
    }
}

/// Pools do so before they give a connection to somebody else.
#[tokio::test]
async fn a_reset_goes_back_to_what_the_connection_began_with() {
    let mut client = Client::of(&door(None).await, &CancellationToken::new());
    let began = "user\0me\0database\0nyc\0application_name\0pool\0options\0-c tidemark.as_of=2013-01-02T00:00:00Z\0\0";
    client.start(3 << 16, began.as_bytes()).await;
    client.until(b'R').await;
    client.say(b'p', b"tm_right\0").await;
    client.until(b'Z').await;
    let shown = "SELECT current_schema(); SHOW application_name; SHOW tidemark.as_of";
    let at_first = client.query(shown).await;
    assert!(["nyc", "pool", "2013-01-02T00"].iter().all(|word| at_first.contains(word)), "{at_first}");
    let others =
        "SET search_path TO public; SET application_name = 'x'; SET tidemark.as_of = TIMESTAMP '2013-01-09T00:00:00Z'";
    for reset in ["DISCARD ALL", "RESET ALL", "RESET search_path; RESET application_name; RESET tidemark.as_of"] {
        client.query(others).await;
        assert_ne!(client.query(shown).await, at_first, "{reset}");
        client.query(reset).await;
        assert_eq!(client.query(shown).await, at_first, "{reset}");
    }
}

#[tokio::test]
async fn what_is_set_for_a_transaction_ends_with_it() {
    let mut client = Client::admitted(&door(None).await).await;
    for (inside, left) in [
        ("SET LOCAL application_name = 'a'; SET LOCAL Application_Name = 'b'; COMMIT", "before"),
        ("SET LOCAL application_name = 'a'; ROLLBACK", "before"),
        ("SET application_name = 'a'; SET LOCAL application_name = 'b'; COMMIT", "a"),
        ("SET LOCAL application_name = 'a'; SET application_name = 'b'; COMMIT", "b"),
        ("SET LOCAL application_name = 'a'; RESET ALL; COMMIT", ""),
    ] {
        let sql = format!("SET application_name = 'before'; BEGIN; {inside}; SHOW application_name");
        let told = client.query(&sql).await;
        assert!(told.ends_with(&format!("T D[{left:?}] C(SHOW) Z(I)")), "{inside}: {told}");
    }
}

#[tokio::test]
async fn statements_are_prepared_bound_and_read_in_parts() {
    let mut client = Client::admitted(&door(None).await).await;
    client.parse("s", "SELECT column1 FROM (VALUES (1), (2), (3)) t WHERE column1 >= $1", &[]).await;
    client.say(b'D', b"Ss\0").await;
    assert_eq!(client.sync().await, "1 t T Z(I)");
    client.bind("", "s", &[Some("2")]).await;
    client.say(b'D', b"P\0").await;
    client.execute("", 1).await;
    client.execute("", 0).await;
    assert_eq!(client.sync().await, "2 T D[\"2\"] s D[\"3\"] C(SELECT 1) Z(I)");
    client.bind("", "s", &[Some("many")]).await;
    client.execute("", 0).await;
    assert_eq!(client.sync().await, "E(22P02) Z(I)", "what follows an error is passed over");
    client.bind("", "s", &[]).await;
    assert_eq!(client.sync().await, "E(08P01) Z(I)");
    client.bind("", "t", &[]).await;
    assert_eq!(client.sync().await, "E(26000) Z(I)");
    client.parse("w", "UPDATE nyc.flights SET a = 1", &[]).await;
    assert_eq!(client.sync().await, "E(25006) Z(I)", "a write is refused when it is prepared");
    client.parse("", "SELECT 1; SELECT 2", &[]).await;
    assert_eq!(client.sync().await, "E(42601) Z(I)");
    client.parse("", "BEGIN", &[]).await;
    client.bind("", "", &[]).await;
    client.say(b'D', b"P\0").await;
    client.execute("", 0).await;
    assert_eq!(client.sync().await, "1 2 n C(BEGIN) Z(T)");
    client.say(b'C', b"Ss\0").await;
    client.bind("", "s", &[Some("1")]).await;
    assert_eq!(client.sync().await, "3 E(26000) Z(E)");
}

#[tokio::test]
async fn what_a_connection_keeps_is_bounded_in_bytes() {
    let mut client = Client::admitted(&door(None).await).await;
    client.parse("s", "SELECT length($1)", &[25]).await;
    assert_eq!(client.sync().await, "1 Z(I)");
    client.say(b'Q', b"BEGIN\0").await;
    client.until(b'Z').await;
    let value = "x".repeat(session::KEPT_BYTES_MAX / 16);
    for nth in 0..15 {
        client.bind(&format!("p{nth}"), "s", &[Some(&value)]).await;
        assert_eq!(client.sync().await, "2 Z(T)", "portal {nth}");
    }
    client.bind("p15", "s", &[Some(&value)]).await;
    assert_eq!(client.sync().await, "E(54000) Z(E)");
}

#[tokio::test]
async fn a_key_cancels_and_a_stop_ends_who_rests() {
    let (door, stop) = (door(None).await, CancellationToken::new());
    let mut client = Client::of(&door, &stop);
    client.start(3 << 16, b"user\0me\0\0").await;
    client.say(b'p', b"tm_right\0").await;
    let mut key = Vec::new();
    while let Some((tag, body)) = client.message().await {
        match tag {
            b'K' => key = body,
            b'Z' => break,
            _ => {}
        }
    }
    client.say(b'Q', b"SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3\0").await;
    let mut told = None;
    while told.is_none() {
        let mut other = Client::of(&door, &stop);
        other.start(80_877_102, &key).await;
        assert_eq!(other.message().await, None);
        told = tokio::time::timeout(Duration::from_millis(50), client.until(b'Z')).await.ok();
    }
    assert!(told.as_ref().is_some_and(|told| told.ends_with("E(57014) Z(I)")), "{told:?}");
    client.query("SET statement_timeout = 20").await;
    let slow = client.query("SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3").await;
    assert!(slow.ends_with("E(57014) Z(I)"), "{slow}");
    stop.cancel();
    assert_eq!(client.until(b'Z').await, "E(57P01)");
    client.served.await.unwrap();
}

/// Whatever a client that is in sends, it is answered or cut, and the next one is served.
#[tokio::test]
async fn garbage_ends_its_connection_alone() {
    let door = door(None).await;
    let ids = tidemark_model::Ids::seeded(3);
    for _ in 0..60 {
        let mut client = Client::admitted(&door).await;
        for _ in 0..4 {
            let tag = *b"QPBDECpHSXdcf?".get(usize::try_from(ids.random() % 14).unwrap()).unwrap();
            let length = usize::try_from(ids.random() % 24).unwrap();
            let body: Vec<u8> = (0..length).map(|_| ids.random().to_le_bytes()[0] % 96).collect();
            client.say(tag, &body).await;
        }
        client.say(b'X', b"").await;
        client.until(b'\0').await;
        client.served.await.unwrap();
    }
    assert_eq!(Client::admitted(&door).await.query("SELECT 1").await, "T D[\"1\"] C(SELECT 1) Z(I)");
}
