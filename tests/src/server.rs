//! The real binary: started on free ports over a folder, killed, stopped, started again.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{client::Client, remarks::variable};

/// How long a server may take until it serves.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to drain.
const DRAIN: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Another command than `serve`.
    pub command: Option<&'static str>,
    /// A program, with its flags, that runs the server, such as a tracer.
    pub under: Vec<OsString>,
    /// The address of the HTTP port; a free one of loopback unless given.
    pub http: Option<&'static str>,
    /// More flags of `serve`.
    pub flags: Vec<OsString>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// The token that its clients send.
    pub token: Option<String>,
}

impl Options {
    /// The same with another flag.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// The same with another variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running server over a folder.
#[derive(Debug)]
pub struct Server {
    home: PathBuf,
    options: Options,
    child: Child,
    http: String,
    grpc: String,
}

impl Server {
    /// Starts one over `home/data`; its log lines go to `home/server.log`.
    pub async fn start(home: &Path) -> Self {
        Self::start_with(home, Options::default()).await
    }

    /// Starts one with more flags.
    pub async fn start_with(home: &Path, options: Options) -> Self {
        let (child, http, grpc) = spawn(home, &options).await.unwrap_or_else(|reason| panic!("{reason}"));
        Self { home: home.to_owned(), options, child, http, grpc }
    }

    /// Starts one with the demo's data loaded.
    pub async fn demo(home: &Path) -> Self {
        Self::start_with(home, Options { command: Some("demo"), ..Options::default() }).await
    }

    /// What a start that must fail says on standard error.
    pub async fn refusal(home: &Path, options: Options) -> String {
        match spawn(home, &options).await {
            Ok(_) => panic!("the server started with {options:?}"),
            Err(reason) => reason,
        }
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.http, self.options.token.clone())
    }

    /// `host:port` of the HTTP port.
    #[must_use]
    pub fn http(&self) -> &str {
        self.http.trim_start_matches("http://")
    }

    /// `host:port` of the gRPC port.
    #[must_use]
    pub fn grpc(&self) -> &str {
        self.grpc.rsplit("//").next().unwrap_or_default()
    }

    /// The process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and nothing else; returns when the process is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// SIGTERM; returns how it ended.
    pub async fn stop(&mut self) -> ExitStatus {
        let told = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().await;
        assert!(told.is_ok_and(|status| status.success()), "a child can be told to end");
        timeout(DRAIN, self.child.wait()).await.expect("the server drains in time").expect("a child can be waited for")
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        timeout(DRAIN, self.child.wait()).await.expect("the server ends in time").expect("a child can be waited for")
    }

    /// Starts it again over the same folder, on free ports, by itself.
    pub async fn restart_alone(&mut self) {
        self.options.under.clear();
        self.restart().await;
    }

    /// Starts it again over the same folder, on free ports.
    pub async fn restart(&mut self) {
        *self = Self::start_with(&self.home.clone(), self.options.clone()).await;
    }

    /// What it logged so far, over all starts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_path(&self.home)).unwrap_or_default()
    }
}

fn log_path(home: &Path) -> PathBuf {
    home.join("server.log")
}

/// The binary under test: `TIDEMARK_BIN`, else the one that was built beside this test.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = variable("TIDEMARK_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows where it is");
    let beside = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").join("tidemark");
    assert!(beside.exists(), "{} is missing: cargo build --profile quick -p tidemark-server", beside.display());
    beside
}

async fn spawn(home: &Path, options: &Options) -> Result<(Child, String, String), String> {
    let log = open_log(home);
    let before = log.metadata().map_or(0, |metadata| metadata.len());
    let mut words = options.under.iter().cloned().chain([binary().into_os_string()]);
    let mut child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .arg(options.command.unwrap_or("serve"))
        .arg("--data")
        .arg(home.join("data"))
        .args(["--http", options.http.unwrap_or("127.0.0.1:0"), "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"])
        .args(&options.flags)
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", binary().display()))?;
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe")).lines();
    let ready = timeout(READY, async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(addresses) = line.strip_prefix("ready ") {
                return Some(addresses.to_owned());
            }
        }
        None
    });
    let said = || {
        let log = std::fs::read(log_path(home)).unwrap_or_default();
        let new = log.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(new).into_owned()
    };
    let Ok(Some(addresses)) = ready.await else {
        let _ = child.kill().await;
        return Err(format!("the server did not come to serve; it said: {}", said()));
    };
    let address = |name: &str| {
        let found = addresses.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned).ok_or_else(|| format!("no {name} in {addresses:?}"))
    };
    Ok((child, address("http")?, address("grpc")?))
}

fn open_log(home: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log_path(home)).expect("the log file can be opened")
}
