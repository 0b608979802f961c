//! `tidemark tail`: events as they become durable, one JSON object a line, until it is stopped.
//!
//! A server that restarts is waited for: the stream goes on behind the last event that was written.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use super::Failure;
use crate::{
    cli::reading::TailArgs,
    client::{Client, ClientError},
    config::Environment,
};

/// How long is waited before a server is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes events to standard output.
pub(super) async fn run(args: &TailArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let mut follower = Follower { after: args.after.clone(), left: args.count, connected: false };
    let mut out = std::io::stdout();
    loop {
        match follower.stream(args, &client, &mut out).await {
            Ok(true) => return Ok(()),
            Ok(false) => eprintln!("the stream ended: asking again"),
            Err(ClientError::Unreachable { .. }) if follower.connected => {}
            // It starts, or another took over and this one stands by.
            Err(ClientError::Refused(refusal)) if follower.connected && matches!(refusal.status, 429 | 503) => {
                eprintln!("{}: asking again", refusal.detail);
            }
            Err(error) => return Err(Failure::of(&error)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Follower {
    /// The position of the last event that was written.
    after: Option<String>,
    /// How many are still to be written.
    left: Option<u64>,
    /// Whether a server ever answered.
    connected: bool,
}

impl Follower {
    /// Writes events of one connection; tells whether that is all.
    async fn stream(&mut self, args: &TailArgs, client: &Client, out: &mut impl Write) -> Result<bool, ClientError> {
        let named = [("type", args.r#type.as_ref()), ("after", self.after.as_ref())];
        let given: Vec<(&str, &str)> =
            named.into_iter().filter_map(|(name, value)| Some((name, value?.as_str()))).collect();
        let mut response = client.download(&format!("/v1/{}/events/tail", args.namespace), &given).await?;
        self.connected = true;
        let mut parser = Parser::default();
        while let Ok(Some(chunk)) = response.chunk().await {
            for event in parser.take(&chunk) {
                if event.name == "error" {
                    let reason = format!("the stream was ended: {}", event.data);
                    return Err(ClientError::Unreadable { url: client.url().to_owned(), reason });
                }
                if event.data.is_empty() {
                    // Where the stream begins.
                    self.after = Some(event.id);
                    continue;
                }
                if self.left == Some(0) || !written(&event.data, out) {
                    return Ok(true);
                }
                self.after = Some(event.id);
                self.left = self.left.map(|left| left - 1);
            }
            if self.left == Some(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Writes a line; false when nobody reads any more.
fn written(line: &str, out: &mut impl Write) -> bool {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            eprintln!("what comes cannot be written: {error}");
            false
        }
    }
}

/// An event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: String,
    name: String,
    data: String,
}

/// Server-Sent Events out of pieces that end anywhere.
#[derive(Debug, Default)]
struct Parser {
    rest: Vec<u8>,
    event: Event,
}

impl Parser {
    fn take(&mut self, piece: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(end) = self.rest[begin..].iter().position(|byte| *byte == b'\n').map(|at| begin + at) {
            let line = String::from_utf8_lossy(&self.rest[begin..end]).into_owned();
            begin = end + 1;
            match line.trim_end_matches('\r').split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut self.event.id),
                Some(("event", name)) => name.clone_into(&mut self.event.name),
                Some(("data", data)) => self.event.data.push_str(data),
                _ if line.is_empty() && self.event != Event::default() => events.push(std::mem::take(&mut self.event)),
                _ => {}
            }
        }
        self.rest.drain(..begin);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_of_pieces() {
        let text = "id: 3:6\n\n: alive\n\nid: 3:7\ndata: {\"a\":1}\n\nevent: error\ndata: {}\n\nid: 3:8\nda";
        for size in [1, 2, 7, text.len()] {
            let mut parser = Parser::default();
            let events: Vec<Event> = text.as_bytes().chunks(size).flat_map(|piece| parser.take(piece)).collect();
            let [begun, first, second] = events.as_slice() else { panic!("{size}: {events:?}") };
            assert_eq!(*begun, Event { id: "3:6".into(), ..Event::default() });
            assert_eq!((first.id.as_str(), first.data.as_str()), ("3:7", "{\"a\":1}"));
            assert_eq!(second.name, "error");
            assert_eq!(parser.take(b"ta: x\n\n"), [Event { id: "3:8".into(), data: "x".into(), ..Event::default() }]);
        }
    }
}
