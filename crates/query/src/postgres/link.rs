//! A connection: frames in, buffered bytes out, and an eye on the client while a statement runs.
//!
//! Buffers grow with what travels and are given back when the client rests, so that a thousand connections that are
//! still cost little. Everything that waits can be dropped and begun again without losing bytes.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    fault::Fault,
    message::{self, Message},
};

/// What a connection travels over: a socket, or TLS over one.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Most bytes of one message: the longest text of a statement with room for its parameters.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 4 << 10;
/// Bytes that wait before they are sent.
const WRITE_BYTES: usize = 64 << 10;
/// Bytes that a client may send ahead while a statement of it runs.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// A buffer that is larger is given back when the client rests.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// A connection.
pub(crate) struct Link {
    wire: Box<dyn Wire>,
    input: BytesMut,
    /// What is to be sent.
    pub(crate) out: BytesMut,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("input", &self.input.len()).field("out", &self.out.len()).finish_non_exhaustive()
    }
}

/// Why nothing more comes.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client is gone.
    Gone,
    /// It has to be told, and then goes.
    Fault(Fault),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Link {
    /// A connection over a wire.
    pub(crate) fn over(wire: Box<dyn Wire>) -> Self {
        Self { wire, input: BytesMut::new(), out: BytesMut::new() }
    }

    /// The wire, to be wrapped; none when the client sent bytes ahead that whoever wraps it would not see.
    pub(crate) fn into_wire(self) -> Option<Box<dyn Wire>> {
        self.input.is_empty().then_some(self.wire)
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Ended`]; a message that is too long or is none ends the connection.
    pub(crate) async fn message(&mut self) -> Result<Message, Ended> {
        self.rest();
        self.fill(5).await?;
        let tag = self.input[0];
        let length = usize::try_from(i32::from_be_bytes([self.input[1], self.input[2], self.input[3], self.input[4]]));
        let body = match length.unwrap_or(0).checked_sub(4) {
            Some(body) if body <= MESSAGE_BYTES_MAX => body,
            _ => return Err(too_long().into()),
        };
        self.fill(5 + body).await?;
        self.input.advance(5);
        let body: Bytes = self.input.split_to(body).freeze();
        Ok(message::read(tag, &body)?)
    }

    /// The first message of a connection, which has no kind: its body, up to a limit.
    ///
    /// # Errors
    /// [`Ended`].
    pub(crate) async fn opening(&mut self, bytes_max: usize) -> Result<Bytes, Ended> {
        self.fill(4).await?;
        let length = usize::try_from(i32::from_be_bytes([self.input[0], self.input[1], self.input[2], self.input[3]]));
        let body = match length.unwrap_or(0).checked_sub(4) {
            Some(body) if (4..=bytes_max).contains(&body) => body,
            // Not our protocol: HTTP and TLS begin like this, and would not understand an answer.
            _ => return Err(Ended::Gone),
        };
        self.fill(4 + body).await?;
        self.input.advance(4);
        Ok(self.input.split_to(body).freeze())
    }

    /// Gives back what a resting connection does not need.
    fn rest(&mut self) {
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES_MAX {
            self.input = BytesMut::new();
        }
        if self.out.is_empty() && self.out.capacity() > KEPT_BYTES_MAX {
            self.out = BytesMut::new();
        }
    }

    async fn fill(&mut self, count: usize) -> Result<(), Ended> {
        while self.input.len() < count {
            self.input.reserve((count - self.input.len()).min(READ_BYTES));
            if self.wire.read_buf(&mut self.input).await? == 0 {
                return Err(Ended::Gone);
            }
        }
        Ok(())
    }

    /// Returns when the client has gone, and never otherwise. What it sends ahead is kept.
    pub(crate) async fn gone(&mut self) {
        while self.input.len() < AHEAD_BYTES_MAX {
            self.input.reserve(READ_BYTES);
            if !matches!(self.wire.read_buf(&mut self.input).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Whether enough waits to be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= WRITE_BYTES
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// [`Ended::Gone`].
    pub(crate) async fn flush(&mut self) -> Result<(), Ended> {
        while !self.out.is_empty() {
            if self.wire.write_buf(&mut self.out).await? == 0 {
                return Err(Ended::Gone);
            }
        }
        Ok(self.wire.flush().await?)
    }

    /// Ends the connection in order.
    pub(crate) async fn close(mut self) {
        let _gone_already = self.wire.shutdown().await;
    }
}

fn too_long() -> Fault {
    let why = format!("a message is longer than {MESSAGE_BYTES_MAX} bytes: send less at once");
    Fault::fatal("54000", why)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn frames_come_in_pieces_and_within_limits() {
        let (mut client, server) = duplex(64);
        let mut link = Link::over(Box::new(server));
        for piece in [&b"Q\0\0"[..], b"\0\x0dselect", b" 1\0S\0\0\0\x04", b"Q\x7f\xff\xff\xff"] {
            client.write_all(piece).await.unwrap();
            if piece.starts_with(b" 1") {
                assert_eq!(link.message().await.unwrap(), Message::Query("select 1".to_owned()));
                assert_eq!(link.message().await.unwrap(), Message::Sync);
            }
        }
        assert!(matches!(link.message().await, Err(Ended::Fault(fault)) if fault.code == "54000"));
        drop(client);
        link.gone().await;
    }

    #[tokio::test]
    async fn what_is_no_opening_is_cut() {
        for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 200], &[0, 0, 0, 5, 1]] {
            let (mut client, server) = duplex(64);
            client.write_all(first).await.unwrap();
            assert!(matches!(Link::over(Box::new(server)).opening(10_000).await, Err(Ended::Gone)));
        }
    }
}
