//! A store behind a simulated network: a host that keeps objects, and clients that open a connection for every request.
//!
//! A request is a line of JSON and a body, each behind its length; so is an answer. The host takes its time before it does what it was
//! asked and before it answers, now and then for longer than a lease: a write is done long after whoever asked has gone away.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use serde::{Deserialize, Serialize};
use tidemark_model::Ids;
use tidemark_storage::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};
use turmoil::net::{TcpListener, TcpStream};

/// The name of the host.
pub(super) const HOST: &str = "store";
const PORT: u16 = 9000;

#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    Create(String),
    Overwrite(String),
    Read(String),
    Delete(String),
    List(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answered {
    /// With a body if an object was read.
    Done,
    Exists,
    NotFound,
    /// Path and bytes of each.
    Listed(Vec<(String, u64)>),
}

/// The host: serves until it is crashed. The objects outlive it.
pub(super) async fn serve(objects: Arc<InMemory>, chance: Arc<Ids>) -> turmoil::Result {
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    let mut requests = JoinSet::new();
    loop {
        let (stream, _from) = listener.accept().await?;
        let (objects, chance) = (Arc::clone(&objects), Arc::clone(&chance));
        while requests.try_join_next().is_some() {}
        requests.spawn(async move {
            // Whoever asked may be gone.
            let _gone = answer(stream, &objects, &chance).await;
        });
    }
}

async fn answer(mut stream: TcpStream, objects: &InMemory, chance: &Ids) -> io::Result<()> {
    let (asked, body) = receive(&mut stream).await?;
    linger(chance).await;
    let (answered, body) = done(objects, asked, body).await.map_err(io::Error::other)?;
    linger(chance).await;
    send(&mut stream, &answered, &body).await
}

async fn linger(chance: &Ids) {
    let micros = match chance.random() % 100 {
        0 if chance.random().is_multiple_of(3) => chance.random() % 8_000_000,
        0..5 => chance.random() % 400_000,
        _ => chance.random() % 4_000,
    };
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

async fn done(objects: &InMemory, asked: Asked, body: Bytes) -> Result<(Answered, Bytes)> {
    let nothing = Bytes::new();
    let outcome = match asked {
        Asked::Create(path) => objects.put_opts(&path.into(), body.into(), PutMode::Create.into()).await.map(drop),
        Asked::Overwrite(path) => objects.put(&path.into(), body.into()).await.map(drop),
        Asked::Delete(path) => objects.delete(&path.into()).await,
        Asked::Read(path) => match objects.get(&path.into()).await {
            Ok(found) => return Ok((Answered::Done, found.bytes().await?)),
            Err(error) => Err(error),
        },
        Asked::List(prefix) => {
            let listed: Vec<ObjectMeta> = objects.list(Some(&prefix.into())).try_collect().await?;
            let listed = listed.into_iter().map(|object| (object.location.to_string(), object.size)).collect();
            return Ok((Answered::Listed(listed), nothing));
        }
    };
    match outcome {
        Ok(()) => Ok((Answered::Done, nothing)),
        Err(Error::AlreadyExists { .. }) => Ok((Answered::Exists, nothing)),
        Err(Error::NotFound { .. }) => Ok((Answered::NotFound, nothing)),
        Err(error) => Err(error),
    }
}

async fn send<T: Serialize + Sync>(stream: &mut TcpStream, word: &T, body: &[u8]) -> io::Result<()> {
    for part in [serde_json::to_vec(word)?.as_slice(), body] {
        stream.write_u32(u32::try_from(part.len()).expect("small")).await?;
        stream.write_all(part).await?;
    }
    stream.flush().await
}

async fn receive<T: for<'a> Deserialize<'a>>(stream: &mut TcpStream) -> io::Result<(T, Bytes)> {
    let mut parts = [Vec::new(), Vec::new()];
    for part in &mut parts {
        part.resize(stream.read_u32().await? as usize, 0);
        stream.read_exact(part).await?;
    }
    let [word, body] = parts;
    Ok((serde_json::from_slice(&word)?, body.into()))
}

/// The store as a process reaches it, which gives a request up after a while.
pub(super) fn store(patience: Duration) -> Store {
    Store::wrapping(Arc::new(Far(patience)), "memory://far")
}

#[derive(Debug, Clone, Copy)]
struct Far(Duration);

impl Far {
    /// What reads is asked again, as clients of stores do.
    async fn ask(self, asked: Asked, body: Bytes) -> Result<(Answered, Bytes)> {
        let is_read = matches!(asked, Asked::Read(_) | Asked::List(_));
        for _again in 0..if is_read { 2 } else { 0 } {
            if let Ok(answered) = self.ask_once(&asked, &body).await {
                return Ok(answered);
            }
        }
        self.ask_once(&asked, &body).await
    }

    async fn ask_once(self, asked: &Asked, body: &Bytes) -> Result<(Answered, Bytes)> {
        let asking = async {
            let mut stream = TcpStream::connect((HOST, PORT)).await?;
            send(&mut stream, asked, body).await?;
            receive(&mut stream).await
        };
        let answered = tokio::time::timeout(self.0, asking).await;
        let answered: io::Result<_> = answered.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
        answered.map_err(|error| Error::Generic { store: "Far", source: error.into() })
    }

    async fn listed(self, prefix: Path) -> Result<Vec<Result<ObjectMeta>>> {
        let (Answered::Listed(listed), _body) = self.ask(Asked::List(prefix.into()), Bytes::new()).await? else {
            return Err(unheard_of());
        };
        Ok(listed.into_iter().map(|(path, bytes)| Ok(meta(&path.into(), bytes))).collect())
    }

    async fn delete_one(self, location: Path) -> Result<Path> {
        self.ask(Asked::Delete(location.to_string()), Bytes::new()).await.map(|_done| location)
    }
}

fn meta(location: &Path, size: u64) -> ObjectMeta {
    ObjectMeta { location: location.clone(), last_modified: Default::default(), size, e_tag: None, version: None }
}

fn unheard_of() -> Error {
    Error::Generic { store: "Far", source: "this is not asked of it, or not answered so".into() }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Far")
    }
}

#[async_trait]
impl ObjectStore for Far {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let path = at.to_string();
        let asked = match opts.mode {
            PutMode::Create => Asked::Create(path),
            PutMode::Overwrite => Asked::Overwrite(path),
            PutMode::Update(_) => return Err(unheard_of()),
        };
        match self.ask(asked, payload.into()).await?.0 {
            Answered::Done => Ok(PutResult { e_tag: None, version: None }),
            Answered::Exists => Err(Error::AlreadyExists { path: at.to_string(), source: "it is there".into() }),
            Answered::NotFound | Answered::Listed(_) => Err(unheard_of()),
        }
    }

    async fn put_multipart_opts(&self, _at: &Path, _opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unheard_of())
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if options.range.is_some() {
            return Err(unheard_of());
        }
        match self.ask(Asked::Read(at.to_string()), Bytes::new()).await? {
            (Answered::Done, body) => {
                let (meta, range) = (meta(at, body.len() as u64), 0..body.len() as u64);
                let payload = GetResultPayload::Stream(stream::once(async { Ok(body) }).boxed());
                Ok(GetResult { payload, meta, range, attributes: Default::default() })
            }
            (Answered::NotFound, _) => Err(Error::NotFound { path: at.to_string(), source: "it is not there".into() }),
            (Answered::Exists | Answered::Listed(_), _) => Err(unheard_of()),
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let far = *self;
        paths.and_then(move |location| far.delete_one(location)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.listed(prefix.cloned().unwrap_or_default());
        stream::once(listed).map_ok(stream::iter).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(unheard_of())
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(unheard_of())
    }
}
