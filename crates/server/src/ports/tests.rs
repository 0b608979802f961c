//! Connections over real sockets.

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

async fn serve(limits: Connections) -> (SocketAddr, Life) {
    let port = Port::open("http", SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let (address, life) = (port.address(), Life::default());
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        "late"
    };
    port.serve(Router::new().route("/", get(|| async { "hello" })).route("/slow", get(slow)), limits, &life);
    (address, life)
}

async fn talk(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer
}

#[tokio::test]
async fn silence_and_half_a_head_are_cut() {
    let (address, _life) = serve(Connections { header_timeout_ms: 50, ..Connections::default() }).await;
    for bytes in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let answer = talk(address, bytes).await;
        assert!(!answer.contains("hello"), "{answer}");
    }
    assert!(talk(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.contains("hello"));
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let (address, _life) = serve(Connections { max: 1, ..Connections::default() }).await;
    let request = "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (first, second) = tokio::join!(talk(address, request), talk(address, request));
    assert!(first.contains("late") && second.contains("late"));
}

#[tokio::test]
async fn what_has_begun_is_finished_and_nothing_new_is_taken() {
    let (address, life) = serve(Connections::default()).await;
    let under_way = talk(address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        life.stop.cancel();
        life.tasks.close();
        life.tasks.wait().await;
    };
    let (answer, ()) = tokio::join!(under_way, stop);
    assert!(answer.contains("late"), "{answer}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let (address, _life) = serve(Connections::default()).await;
    let error = Port::open("grpc", address).await.expect_err("taken").to_string();
    assert!(error.contains(&address.to_string()) && error.contains("--grpc"), "{error}");
}
