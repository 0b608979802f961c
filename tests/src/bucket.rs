//! A bucket in memory behind as much of S3's protocol as putting, reading and deleting takes, that takes a create for a put: there are such
//! servers, and a lake must not be kept in one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The longest head of a request, bytes.
const HEAD_MAX: usize = 64 << 10;

/// Objects by the path of their request.
type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A bucket that is there for as long as this is.
#[derive(Debug)]
pub struct Bucket {
    objects: Objects,
    address: SocketAddr,
    _serving: JoinSet<()>,
}

/// A request, as far as it is looked at.
struct Request {
    verb: String,
    path: String,
    query: String,
    body: Vec<u8>,
}

impl Bucket {
    /// Opens one, empty, on a free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, objects) = (listener.local_addr().expect("an address"), Objects::default());
        let (mut serving, shared) = (JoinSet::new(), Arc::clone(&objects));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { objects, address, _serving: serving }
    }

    /// The variables by which a client finds it.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "somebody"),
            ("AWS_SECRET_ACCESS_KEY", "something"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// What is there, by the path of its request.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Answers the requests of one connection, one after the other.
async fn serve(mut stream: TcpStream, objects: Objects) {
    while let Some(request) = read(&mut stream).await {
        let (status, body) = answer(&objects, &request);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{}\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
            body.len(),
            body.len()
        );
        let body = if request.verb == "HEAD" { &[] } else { body.as_slice() };
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(body).await.is_err() {
            return;
        }
    }
}

/// The next request; nothing when the client has gone.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > HEAD_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split_whitespace();
    let (verb, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request { verb, path: decoded(path), query: query.to_owned(), body })
}

/// A path as its key: `%7E` stands for `~`.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        text + &code.map_or_else(|| format!("%{part}"), |code| format!("{}{}", char::from(code), &part[2..]))
    })
}

fn answer(objects: &Objects, request: &Request) -> (&'static str, Vec<u8>) {
    let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
    match (request.verb.as_str(), request.query.as_str()) {
        ("PUT", "") => {
            objects.insert(request.path.clone(), request.body.clone());
            ("200 OK", Vec::new())
        }
        ("GET" | "HEAD", "") => match objects.get(&request.path) {
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", Vec::new()),
        },
        ("POST", "delete") => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            let deleted = keys.map(|key| {
                objects.remove(&format!("{}/{key}", request.path.trim_end_matches('/')));
                format!("<Deleted><Key>{key}</Key></Deleted>")
            });
            ("200 OK", format!("<DeleteResult>{}</DeleteResult>", deleted.collect::<String>()).into_bytes())
        }
        // Lists, objects in parts: not to be had here, and nothing to try again.
        _ => ("405 Method Not Allowed", Vec::new()),
    }
}
