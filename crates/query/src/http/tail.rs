//! `GET /v1/{namespace}/events/tail`: events as they become durable, as Server-Sent Events.
//!
//! The id of each is the mark behind it, so a browser that comes again with `Last-Event-ID` misses none and gets none twice.
//! A token that was revoked ends its stream within seconds; a server that stops ends all of them.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch, StringArray},
    error::ArrowError,
};
use axum::{
    extract::{
        Path, Query as Parameters, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::HeaderValue,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use serde::Deserialize;
use tidemark_catalog::{Login, login::Recheck};
use tidemark_fold::columns::event;
use tidemark_model::{Kind, Mark, Namespace};
use tidemark_proto::{By, Presented, Problem};

use super::{
    answer::rows_of_a_piece,
    bulk::one_line,
    cell::{Column, plain},
    problem,
};
use crate::{Error, Follow, Follower, Query, front::positions};

/// How often a stream that rests says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes again.
const COME_AGAIN: Duration = Duration::from_secs(1);
/// Where it comes again when it wants everything.
const FROM_THE_START: &str = "start";
/// Columns that hold JSON.
const JSON: [&str; 3] = [event::DATA, event::META, event::PREV];

/// What may be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    r#type: Option<String>,
    after: Option<String>,
}

struct Flow {
    follower: Follower,
    /// Up to where events were told.
    told: Mark,
    /// Rows that are yet to be written.
    rows: VecDeque<RecordBatch>,
    /// Events that were written and are yet to be told: a piece.
    waiting: VecDeque<Event>,
    recheck: Option<Recheck>,
    ended: bool,
}

pub(super) async fn tail(
    State(query): State<Query>,
    By(principal): By,
    path: Result<Path<String>, PathRejection>,
    asked: Result<Parameters<Asked>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let invalid = |detail: String| Problem::new(Kind::Invalid, "invalid_request", detail);
    let Path(namespace) = path.map_err(|e| invalid(e.body_text()))?;
    let Parameters(asked) = asked.map_err(|e| invalid(e.body_text()))?;
    let last = request.headers().get("last-event-id").map(|id| id.to_str().unwrap_or("?").to_owned());
    // Who comes again says so in the header, while the address still says where it began.
    let after = last.or(asked.after).map(|text| position(&text)).transpose().map_err(invalid)?;
    let namespace = Namespace::parse(&namespace).map_err(|e| invalid(e.to_string()))?;
    let follow = Follow { principal, namespace, types: asked.r#type, after };
    let follower = query.follow(follow).await.map_err(|e| problem(&e))?;
    let token = request.extensions().get().map(|Presented(token)| Arc::clone(token));
    let login = request.extensions().get::<Arc<dyn Login>>().map(Arc::clone);
    let recheck = login.map(|login| Recheck::new(login, token));
    let told = follower.mark().clone();
    // Where it begins, before anything happened: who is cut off until then comes again from here.
    let begun = if told == Mark::default() { FROM_THE_START.to_owned() } else { told.to_string() };
    let (rows, waiting) = (VecDeque::new(), VecDeque::from([Event::default().id(begun)]));
    let flow = Flow { follower, told, rows, waiting, recheck, ended: false };
    let events = futures::stream::unfold(flow, |mut flow| async move { flow.next().await.map(|event| (event, flow)) });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response();
    // Proxies that gather answers would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn position(text: &str) -> Result<Mark, String> {
    if text == FROM_THE_START {
        return Ok(Mark::default());
    }
    Mark::parse(text).filter(|_| !text.is_empty()).ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        format!(
            "{text:?} is no position: give the id of an event of a tail, or {FROM_THE_START} for all that there are"
        )
    })
}

impl Flow {
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        while self.waiting.is_empty() && !self.ended {
            if let Some(rows) = self.rows.pop_front() {
                self.tell(&rows);
                continue;
            }
            self.told = self.follower.mark().clone();
            let Self { follower, recheck, .. } = self;
            let refused = async {
                match recheck {
                    Some(recheck) => recheck.refused().await,
                    None => std::future::pending().await,
                }
            };
            let found = tokio::select! {
                biased;
                why = refused => Err((why.code(), why.to_string())),
                found = follower.next() => found.map_err(|e| (e.code(), e.to_string())),
            };
            match found {
                Ok(Some(batches)) => self.rows.extend(batches),
                Ok(None) => return None,
                Err((code, detail)) => self.end(code, &detail),
            }
        }
        self.waiting.pop_front().map(Ok)
    }

    /// Writes the first piece of some rows; the rest waits as rows.
    fn tell(&mut self, rows: &RecordBatch) {
        let piece = rows_of_a_piece(rows);
        if piece < rows.num_rows() {
            self.rows.push_front(rows.slice(piece, rows.num_rows() - piece));
        }
        match told(&rows.slice(0, piece), &mut self.told) {
            Ok(events) => self.waiting.extend(events),
            Err(error) => self.end(error.code(), &error.to_string()),
        }
    }

    /// Tells why nothing more comes.
    fn end(&mut self, code: &str, detail: &str) {
        let mut data = b"{\"code\":".to_vec();
        plain(code, &mut data);
        data.extend_from_slice(b",\"detail\":");
        plain(detail, &mut data);
        data.push(b'}');
        let event = Event::default().event("error").retry(COME_AGAIN).data(String::from_utf8_lossy(&data));
        self.waiting.push_back(event);
        self.ended = true;
    }
}

/// The events of a batch, each with the mark behind it. JSON is told as it was sent, what is null not at all.
fn told(batch: &RecordBatch, mark: &mut Mark) -> Result<Vec<Event>, Error> {
    let unwritable = |e: ArrowError| Error::Internal(format!("an event cannot be written: {e}"));
    let schema = batch.schema();
    let columns: Vec<Column<'_>> =
        batch.columns().iter().map(Column::of).collect::<Result<_, _>>().map_err(unwritable)?;
    let json = |nth: usize| {
        let is_json = JSON.contains(&schema.field(nth).name().as_str());
        batch.columns().get(nth).filter(|_| is_json).and_then(|column| column.as_string_opt::<i32>())
    };
    let texts: Vec<Option<&StringArray>> = (0..columns.len()).map(json).collect();
    let mut events = Vec::with_capacity(batch.num_rows());
    for (row, (shard, seq)) in positions(batch)?.into_iter().enumerate() {
        let mut data = b"{".to_vec();
        for (nth, column) in columns.iter().enumerate().filter(|(_, column)| !column.is_null(row)) {
            if data.len() > 1 {
                data.push(b',');
            }
            plain(schema.field(nth).name(), &mut data);
            data.push(b':');
            match texts[nth] {
                Some(texts) => one_line(texts.value(row), &mut data),
                None => column.json(row, &mut data),
            }
        }
        data.push(b'}');
        mark.raise(shard, seq);
        events.push(Event::default().id(mark.to_string()).data(String::from_utf8_lossy(&data)));
    }
    Ok(events)
}
