//! Deletes over a bucket whose answers break off, and that fails for single keys.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// How the bucket answers a request.
#[derive(Clone, Copy)]
enum Answer {
    Done,
    /// The connection is closed in the middle of the answer.
    Broken,
    /// Done for some keys, not for this one.
    FailedFor(&'static str),
}

impl Answer {
    /// The body, and how long it is said to be.
    fn body(self) -> (String, usize) {
        let body = match self {
            Self::Done | Self::Broken => "<DeleteResult><Deleted><Key>a/x</Key></Deleted></DeleteResult>".to_owned(),
            Self::FailedFor(key) => format!(
                "<DeleteResult><Error><Key>{key}</Key><Code>InternalError</Code><Message>again</Message></Error></DeleteResult>"
            ),
        };
        let told = body.len() + if matches!(self, Self::Broken) { 10 } else { 0 };
        (body, told)
    }
}

/// Reads one request and gives one answer.
async fn serve(connection: TcpStream, answer: Answer) {
    let mut connection = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while connection.read_line(&mut line).await.unwrap() > 2 {
        if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().unwrap();
        }
        line.clear();
    }
    connection.read_exact(&mut vec![0; length]).await.unwrap();
    let (body, told) = answer.body();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {told}\r\n\r\n");
    connection.write_all((head + &body).as_bytes()).await.unwrap();
}

/// What deleting these comes to over a bucket that gives these answers and breaks off after them; and how often it was asked.
async fn deleted(paths: &[&str], answers: &[Answer]) -> (Result<(), StoreError>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = [
        ("aws_endpoint", format!("http://{}", listener.local_addr().unwrap())),
        ("aws_allow_http", "true".to_owned()),
        ("aws_access_key_id", "key".to_owned()),
        ("aws_secret_access_key", "secret".to_owned()),
    ];
    let store = Store::open("s3://bucket", &options.map(|(name, value)| (name.to_owned(), value))).unwrap();
    let mut asked = 0;
    let bucket = async {
        let answers = answers.iter().copied().chain(std::iter::repeat(Answer::Broken));
        for answer in answers {
            let (connection, _peer) = listener.accept().await.unwrap();
            asked += 1;
            serve(connection, answer).await;
        }
    };
    let outcome = tokio::select! {
        () = bucket => unreachable!("it answers for ever"),
        outcome = store.delete_all(paths.iter().copied().map(path)) => outcome,
    };
    (outcome, asked)
}

#[tokio::test]
async fn a_delete_whose_answer_is_lost_is_tried_again() {
    use Answer::{Broken, Done, FailedFor};
    let ((broken, broken_asked), (single, single_asked), (never, never_asked)) = tokio::join!(
        deleted(&["a/x"], &[Broken, Broken, Done]),
        deleted(&["a/x", "a/y"], &[FailedFor("a/y"), Done]),
        deleted(&["a/x"], &[]),
    );
    assert!(broken.is_ok() && single.is_ok(), "{broken:?} {single:?}");
    assert_eq!((broken_asked, single_asked, never_asked), (3, 2, 1 + DELETE_PAUSES.len()));
    let never = never.unwrap_err();
    assert_eq!((never.kind(), never.to_string()), (Kind::Unavailable, "delete a/x failed".to_owned()));
}
