//! The real server as a child process on a directory of its own, fed and asked over HTTP.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_model::Instant;

use crate::{
    changes,
    measure::{Cost, cpu_s},
};

/// Changes of a request of [`Lake::load`].
pub(crate) const REQUEST: u64 = 10_000;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where a server answers.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    /// `http://host:port`.
    pub http: String,
    /// The same of the gRPC port.
    pub grpc: String,
    /// `host:port`.
    pub postgres: String,
}

/// A running server. Killed on drop.
#[derive(Debug)]
pub(crate) struct Lake {
    child: Child,
    doors: Doors,
    home: Arc<TempDir>,
    client: reqwest::Client,
}

impl Lake {
    /// Starts the release binary beside this one on an empty directory.
    pub(crate) fn start() -> Result<Self, Error> {
        Self::start_with("")
    }

    /// The same with the text of a `tidemark.toml`.
    pub(crate) fn start_with(settings: &str) -> Result<Self, Error> {
        Self::start_on(&Arc::new(tempfile::tempdir()?), settings)
    }

    /// The same on a directory that is there.
    pub(crate) fn start_on(home: &Arc<TempDir>, settings: &str) -> Result<Self, Error> {
        let home = Arc::clone(home);
        std::fs::write(home.path().join("tidemark.toml"), settings)?;
        let (child, doors) = spawn(&home)?;
        Ok(Self { child, doors, home, client: reqwest::Client::new() })
    }

    /// Stops with SIGTERM, which flushes everything into files, and starts again on the same directory. The CPU is
    /// that of the ending process.
    pub(crate) fn restart(&mut self) -> Result<f64, Error> {
        let cpu = self.stop()?;
        (self.child, self.doors) = spawn(&self.home)?;
        Ok(cpu)
    }

    /// The same with other settings.
    pub(crate) fn restart_with(&mut self, settings: &str) -> Result<f64, Error> {
        std::fs::write(self.home.path().join("tidemark.toml"), settings)?;
        self.restart()
    }

    /// Stops with SIGTERM; the CPU seconds of the whole life of the process, as last read before it ended.
    pub(crate) fn stop(&mut self) -> Result<f64, Error> {
        let mut cpu = self.cpu();
        Command::new("kill").args(["-TERM", &self.pid()]).status()?;
        while self.child.try_wait()?.is_none() {
            cpu = cpu_s(&self.pid()).map_or(cpu, |now| now.max(cpu));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(cpu)
    }

    /// Ends it as a crash does; its directory is as it was at that moment.
    pub(crate) fn kill(mut self) -> Result<Arc<TempDir>, Error> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(Arc::clone(&self.home))
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// CPU seconds of the server so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_s(&self.pid()).unwrap_or(0.0)
    }

    /// Posts NDJSON and gives the receipt.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Value, Error> {
        let request =
            self.client.post(format!("{}{path}", self.doors.http)).header("content-type", "application/x-ndjson");
        let response = request.body(body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            return Err(format!("{path}: {status} {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Posts and gives the system time of the receipt.
    pub(crate) async fn send(&self, path: &str, body: Vec<u8>) -> Result<Instant, Error> {
        let receipt = self.post(path, body).await?;
        Ok(Instant::parse(receipt["system_time"].as_str().unwrap_or_default())?)
    }

    /// Sends changes of the one collection, again and again while the server has too much to do.
    pub(crate) async fn send_in_time(&self, body: Vec<u8>) -> Result<Instant, Error> {
        loop {
            match self.send("/v1/bench/docs/changes", body.clone()).await {
                Err(error) if error.to_string().contains("429") => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                ended => return ended,
            }
        }
    }

    /// Declares what documents of the one collection look like.
    pub(crate) async fn declare(&self, schema: &Value) -> Result<(), Error> {
        let request = self.client.put(format!("{}/v1/bench/docs/schema", self.doors.http));
        let response = request.header("content-type", "application/json").body(schema.to_string()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if status.is_success() { Ok(()) } else { Err(format!("the schema: {status} {text}").into()) }
    }

    /// Sends changes 0 to `total` over `keys` documents, one request after the other, so that order of arrival is order of
    /// number; `each` sees the numbers of a request and its system time.
    pub(crate) async fn load(
        &self,
        (total, keys): (u64, u64),
        mut each: impl FnMut(std::ops::Range<u64>, Instant) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for from in (0..total).step_by(usize::try_from(REQUEST)?) {
            let range = from..(from + REQUEST).min(total);
            let time = self.send_in_time(changes::ndjson(range.clone(), keys)).await?;
            each(range, time)?;
        }
        Ok(())
    }

    /// Asks, and gives the rows.
    pub(crate) async fn ask(&self, sql: &str) -> Result<Vec<Value>, Error> {
        let body = serde_json::to_vec(&json!({ "sql": sql }))?;
        let request =
            self.client.post(format!("{}/v1/query", self.doors.http)).header("content-type", "application/json");
        let response = request.body(body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            return Err(format!("{sql}: {status} {text}").into());
        }
        let answer: Value = serde_json::from_str(&text)?;
        Ok(answer["rows"].as_array().cloned().unwrap_or_default())
    }

    /// Asks for one row of integers and measures the server's CPU and the wall clock.
    pub(crate) async fn measure(&self, sql: &str) -> Result<(Vec<i64>, Cost), Error> {
        let (cpu, wall) = (self.cpu(), std::time::Instant::now());
        let rows = self.ask(sql).await?;
        let cost = Cost { cpu_s: self.cpu() - cpu, wall_s: wall.elapsed().as_secs_f64() };
        let numbers =
            rows.first().and_then(Value::as_array).map(|row| row.iter().map(|v| v.as_i64().unwrap_or(0)).collect());
        Ok((numbers.unwrap_or_default(), cost))
    }

    /// Waits until background work has been idle for a second (bounded), and gives the CPU of the process.
    pub(crate) async fn settle(&self) -> f64 {
        let mut last = self.cpu();
        for _ in 0..600 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let now = self.cpu();
            if now - last < 0.02 {
                return now;
            }
            last = now;
        }
        last
    }

    /// What the server counts, as Prometheus reads it.
    pub(crate) async fn metrics(&self) -> Result<String, Error> {
        Ok(self.client.get(format!("{}/metrics", self.doors.http)).send().await?.error_for_status()?.text().await?)
    }

    /// The most MiB that were resident.
    pub(crate) fn resident_mib(&self) -> u64 {
        self.status_mib("VmHWM:")
    }

    /// MiB that are resident now.
    pub(crate) fn resident_now_mib(&self) -> u64 {
        self.status_mib("VmRSS:")
    }

    fn status_mib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    }

    /// Where the lake's files are.
    pub(crate) fn directory(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// Where it answers.
    pub(crate) const fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Posting and asking from many tasks.
    pub(crate) fn handle(&self) -> (reqwest::Client, String) {
        (self.client.clone(), self.doors.http.clone())
    }
}

impl Drop for Lake {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn spawn(home: &TempDir) -> Result<(Child, Doors), Error> {
    let binary = std::env::current_exe()?.with_file_name("tidemark");
    let mut child = Command::new(&binary)
        .args(["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"])
        .args(["--allow-unauthenticated", "--data"])
        .arg(home.path())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(home.path().join("server.log"))?)
        .spawn()
        .map_err(|e| format!("{} cannot be started (build it first): {e}", binary.display()))?;
    let ready = ready(&mut child)?;
    let address = |door: &str| {
        let told = ready.split_whitespace().find_map(|part| part.strip_prefix(door)?.strip_prefix('='));
        let told = told.ok_or_else(|| format!("no address of {door}"))?;
        Ok::<_, Error>(told.split_once("://").map_or(told, |(_scheme, rest)| rest).to_owned())
    };
    let (http, grpc) = (format!("http://{}", address("http")?), format!("http://{}", address("grpc")?));
    Ok((child, Doors { http, grpc, postgres: address("postgres")? }))
}

/// What a child that serves says when it does: the line that begins with `ready `.
pub(crate) fn ready(child: &mut Child) -> Result<String, Error> {
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    let ready = lines.find_map(|line| line.ok().filter(|line| line.starts_with("ready ")));
    Ok(ready.ok_or("a server ended before it was ready")?)
}
