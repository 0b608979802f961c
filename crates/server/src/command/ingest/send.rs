//! Sends batches: again after pressure or a lost connection, never twice stored, refused lines told by number.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tidemark_proto::problem::RecordError;
use tokio::time::Instant;

use super::lines::Batch;
use crate::client::{Client, ClientError, Receipt};

/// How long one batch is tried.
const TRIED_FOR: Duration = Duration::from_secs(120);
/// The first pause between tries; doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Refused lines that are remembered with their reason.
const REFUSED_KEPT_MAX: usize = 1000;

/// Sends to one table.
#[derive(Debug, Clone)]
pub(in crate::command) struct Sender {
    client: Client,
    path: String,
    source: String,
}

/// What became of the lines so far.
#[derive(Debug, Default)]
pub(in crate::command) struct Tally {
    /// Lines sent.
    pub(in crate::command) lines: u64,
    /// Stored now.
    pub(in crate::command) stored: u64,
    /// Stored before.
    pub(in crate::command) already: u64,
    /// Refused.
    pub(in crate::command) refused_lines: u64,
    /// The first of the refused ones.
    pub(in crate::command) refused: Vec<Refused>,
}

/// A line that the server refused.
#[derive(Debug)]
pub(in crate::command) struct Refused {
    /// Its number in the file, from 1.
    pub(in crate::command) line: u64,
    /// A stable word.
    pub(in crate::command) code: String,
    /// The field, as a JSON pointer.
    pointer: String,
    /// What is wrong and what is allowed.
    pub(in crate::command) message: String,
}

impl Refused {
    /// Where in the line, for people.
    pub(in crate::command) fn place(&self) -> String {
        if self.pointer.is_empty() { String::new() } else { format!(" at {}", self.pointer) }
    }
}

impl Sender {
    /// Sends to `path`; `source` tells this source of lines from others.
    pub(in crate::command) fn new(client: Client, path: String, source: String) -> Self {
        Self { client, path, source }
    }

    /// Sends one batch until the server took or refused it.
    pub(in crate::command) async fn send(&self, batch: Batch, tally: &mut Tally) -> Result<(), ClientError> {
        let (key, bytes) = (self.key(&batch), Bytes::from(batch.bytes));
        // Before anything was taken a server that does not answer is more likely not there at all.
        let lost_for = if tally.lines == 0 { Duration::ZERO } else { TRIED_FOR };
        let answer = retried(lost_for, || self.client.append(&self.path, bytes.clone(), &key)).await;
        let lines = batch.numbers.len() as u64;
        match answer {
            Ok(receipt) => tally.take(&receipt, &batch.numbers),
            Err(ClientError::Refused(refusal)) if !refusal.errors.is_empty() => {
                tally.refused_lines += lines;
                tally.keep(&refusal.errors, &batch.numbers);
            }
            Err(ClientError::Refused(mut refusal)) => {
                let first = batch.numbers.first().copied().unwrap_or(0);
                refusal.detail = format!("the batch that begins at line {first} was refused: {}", refusal.detail);
                return Err(ClientError::Refused(refusal));
            }
            Err(error) => return Err(error),
        }
        tally.lines += lines;
        Ok(())
    }

    /// The key of a batch: the same lines at the same place of the same source, sent to the same table, have the same key in
    /// every run.
    fn key(&self, batch: &Batch) -> String {
        let mut hash = Sha256::new();
        // The table, without how refused records are dealt with: that may be another in the next run.
        hash.update(self.path.split('?').next().unwrap_or_default());
        hash.update(&self.source);
        hash.update(batch.offset.to_le_bytes());
        hash.update(&batch.bytes);
        format!("tm-{}", tidemark_model::hex::encode(&hash.finalize()[..16]))
    }
}

impl Tally {
    fn take(&mut self, receipt: &Receipt, numbers: &[u64]) {
        if receipt.duplicate {
            self.already += receipt.accepted + receipt.duplicates;
        } else {
            self.stored += receipt.accepted;
            self.already += receipt.duplicates;
        }
        self.refused_lines += receipt.rejected;
        self.keep(&receipt.errors, numbers);
    }

    fn keep(&mut self, errors: &[RecordError], numbers: &[u64]) {
        let room = REFUSED_KEPT_MAX.saturating_sub(self.refused.len());
        self.refused.extend(errors.iter().take(room).map(|error| Refused {
            line: numbers.get(error.index).copied().unwrap_or(0),
            code: error.code.clone(),
            pointer: error.pointer.clone(),
            message: error.message.clone(),
        }));
    }
}

/// Tries until it succeeds, is refused for good, or took too long; a server that is away is waited for `lost_for`.
async fn retried<F>(lost_for: Duration, mut send: impl FnMut() -> F) -> Result<Receipt, ClientError>
where
    F: Future<Output = Result<Receipt, ClientError>>,
{
    let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
    loop {
        let error = match send().await {
            Ok(receipt) => return Ok(receipt),
            Err(error) => error,
        };
        let (wait, limit) = match &error {
            ClientError::Refused(refusal) if matches!(refusal.status, 429 | 503) => {
                (refusal.retry_after_s.map_or(pause, Duration::from_secs), TRIED_FOR)
            }
            ClientError::Unreachable { .. } | ClientError::Unreadable { .. } => (pause, lost_for),
            _ => return Err(error),
        };
        if begun.elapsed() + wait > limit {
            return Err(error);
        }
        tokio::time::sleep(wait.min(PAUSE_MAX)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
