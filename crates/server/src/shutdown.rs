//! How the process is told to end: the first signal stops it in order, the second at once. And how it is told to go on with
//! other settings.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that a second signal ended: 128 + SIGINT, as shells count.
const EXIT_AT_ONCE: i32 = 130;

/// Listens to SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Listens to SIGHUP, by which operators have settings read anew.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Begins to listen; from here on the signal no longer kills the process.
    ///
    /// # Errors
    /// When the system gives no handler.
    pub fn listen() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let _one = self.0.recv().await;
    }
}

impl Signals {
    /// Begins to listen; from here on signals no longer kill the process.
    ///
    /// # Errors
    /// When the system gives no handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next signal, by name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Ends the process when a further signal comes: who sends a second one does not want to wait.
    pub async fn exit_at_next(mut self) -> std::convert::Infallible {
        let name = self.next().await;
        tracing::warn!(signal = name, "second signal: ending at once; what was acknowledged is in the log");
        std::process::exit(EXIT_AT_ONCE);
    }
}
