//! A full disk: a small file system of its own. Ingest refuses with a reason, questions are answered, nothing is lost,
//! and writing goes on once there is space.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tidemark_tests::{remarks, server::Server};

/// Room for the log's preallocated segments and a little more.
const SIZE: &str = "300m";
/// How often a server that has space again is asked before it counts as stuck.
const TRIES_MAX: usize = 100;

/// A mounted file system; unmounted on drop.
struct Mounted(PathBuf);

impl Mounted {
    fn on(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={SIZE}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        match mount {
            Ok(done) if done.status.success() => Ok(Self(folder.to_owned())),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let _mounted = match Mounted::on(&data) {
        Ok(mounted) => mounted,
        Err(reason) => return remarks::skipped("full disk", &format!("a tmpfs cannot be mounted: {reason}")),
    };
    let mut server = Server::start(home.path()).await;
    let (client, pid) = (server.client(), server.pid());
    let event = |n: usize| json!({"type": "a", "id": format!("e{n}"), "data": {"text": "x".repeat(1000)}});
    client.events("shop", &event(0)).await;

    let ballast = data.join("ballast");
    fill(&ballast);
    let mut accepted = 1;
    let refused = loop {
        let reply = client.post_json("/v1/shop/events", &event(accepted)).await;
        if reply.status != 200 {
            break reply;
        }
        accepted += 1;
        assert!(accepted < 200_000, "a full disk refuses nothing");
    };
    assert!([503, 507].contains(&refused.status), "{} {}", refused.status, refused.text());
    refused.problem();
    assert!(refused.header("retry-after").is_some());
    assert!(server.is_alive() && server.pid() == pid);
    let count = || client.number("SELECT count(*) FROM shop.events");
    assert_eq!(count().await, i64::try_from(accepted).unwrap());

    fs::remove_file(&ballast).unwrap();
    let mut tries = 0;
    while client.post_json("/v1/shop/events", &event(accepted)).await.status != 200 {
        tries += 1;
        assert!(tries < TRIES_MAX, "there is space again, and nothing is taken: {}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let all = i64::try_from(accepted + 1).unwrap();
    assert_eq!(count().await, all);
    server.kill().await;
    server.restart().await;
    assert_eq!(server.client().number("SELECT count(DISTINCT id) FROM shop.events").await, all);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Takes all space that is left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for piece in [1 << 20, 1 << 12] {
        let bytes = vec![0u8; piece];
        while file.write_all(&bytes).is_ok() {}
    }
}
