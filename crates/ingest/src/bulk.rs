//! Rows as Arrow, from the Flight door: more than one request may bring, so they are appended in parts.
//!
//! Every part is read before the first one is stored: a bad row refuses all. Each part is whole or not at all; where one
//! could not be stored, those before it are.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidemark_catalog::appends::{Appended, Appends, Held};
use tidemark_model::{Namespace, Principal, Table};
use tidemark_proto::Problem;

use crate::{
    append::{IN_PLACE_BYTES_MAX, run},
    budget::Reservation,
    door,
    error::Error,
    front::{Ingest, Room},
    receipt::Receipt,
    request::{Format, RawBatch, Request, Target},
    transcode::arrow::{self, Allowed, Part},
};

/// The most parts of one call.
const PARTS_MAX: usize = 100;

impl Held for Reservation {
    fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        match bytes.checked_sub(self.bytes()) {
            Some(more) if !self.grow(more) => Err(door::crowded(self.max()).into()),
            Some(_grown) => Ok(()),
            None => {
                self.resize(bytes);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Appends for Ingest {
    fn held(&self) -> Box<dyn Held> {
        Box::new(self.room.bodies.take(0))
    }

    async fn append_arrow(
        &self,
        by: &Principal,
        (namespace, table): (&Namespace, &Table),
        stream: Bytes,
    ) -> Result<Appended, Problem> {
        self.admit(by, namespace).map_err(Problem::from)?;
        let target = match table {
            Table::Events => Target::Events,
            Table::Collection(name) => Target::Changes(name.clone()),
        };
        let appended = match self.open_room() {
            Ok(room) => {
                let (by, namespace) = (by.clone(), namespace.clone());
                self.finish(async move { room.append_arrow(&by, (&namespace, &target), stream).await }).await
            }
            Err(error) => Err(error),
        };
        let Receipt { accepted, duplicates, system_time, .. } = appended.map_err(Problem::from)?;
        Ok(Appended { accepted, duplicates, system_time })
    }
}

impl Room {
    async fn append_arrow(
        self: &Arc<Self>,
        by: &Principal,
        (namespace, target): (&Namespace, &Target),
        stream: Bytes,
    ) -> Result<Receipt, Error> {
        self.has_room()?;
        let large = stream.len() > IN_PLACE_BYTES_MAX;
        let _place = self.bodies.reserve(stream.len()).ok_or_else(|| door::crowded(self.bodies.max()))?;
        let (allowed, of) = (self.allowed(), target.clone());
        let parts = run(large, move || arrow::parts(&stream, &of, allowed)).await??;
        let mut prepared = Vec::with_capacity(parts.len());
        let mut before = 0;
        for Part { text, rows } in parts {
            let mut batch = RawBatch::plain(Format::Json, text);
            batch.place = Some(self.bodies.reserve(batch.bytes.len()).ok_or_else(|| door::crowded(self.bodies.max()))?);
            let read = self.read(namespace, Request::new(target.clone(), batch).through("flight").sent_by(by)).await;
            prepared.push(read.map_err(|error| behind(error, before))?);
            before += rows;
        }
        let mut stored: Option<Receipt> = None;
        for part in prepared {
            let receipt = self.store_all(namespace, part, None).await?;
            match &mut stored {
                None => stored = Some(receipt),
                Some(stored) => stored.add(receipt),
            }
        }
        stored.ok_or_else(|| Error::Body { code: "empty_body", detail: "the stream holds no row".to_owned() })
    }

    const fn allowed(&self) -> Allowed {
        let limits = &self.config;
        Allowed {
            rows: limits.events_max.saturating_mul(PARTS_MAX),
            part_rows: limits.events_max,
            bytes: limits.inflated_bytes_max,
            // The text and what is read of it stand beside each other.
            text_bytes: limits.bodies_bytes_max / 2,
        }
    }
}

/// The error of a part that has rows before it.
fn behind(error: Error, before: usize) -> Error {
    let Error::Records { count, total, first, mut errors } = error else { return error };
    errors.iter_mut().for_each(|error| error.index += before);
    Error::Records { count, total: total + before, first, errors }
}
