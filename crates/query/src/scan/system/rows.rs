//! The rows of each view, in the order of its columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::{common::Result, error::DataFusionError};
use futures::future::BoxFuture;
use tidemark_catalog::{
    Collection, CollectionManifest, EventsManifest, Held, audit::Record, jobs::JobState, manifest::Snapshot,
};
use tidemark_model::{Instant, Namespace, Rejected, Scope, Standing, Token};

use super::Tellers;
use crate::{
    Error,
    plan::names::Seen,
    run::log::Entry,
    scan::listing::{File, count, files_of_collection, files_of_events, ints, texts, times},
};

/// A collection with its newest manifest.
struct Known {
    namespace: Namespace,
    collection: Arc<Collection>,
    manifest: Arc<CollectionManifest>,
}

fn known(seen: &Seen) -> Vec<Known> {
    let of = |namespace: Namespace| {
        let collections = seen.catalog.collections(&namespace);
        let known = move |collection: Arc<Collection>| {
            let manifest = seen.catalog.manifest(&namespace, &collection.name);
            Known { namespace: namespace.clone(), collection, manifest }
        };
        collections.into_iter().map(known)
    };
    seen.namespaces().into_iter().flat_map(of).collect()
}

fn size(number: usize) -> Option<i64> {
    count(number as u64)
}

/// An instant of a manifest; the one before the first commit is none.
fn committed(at: Instant, version: u64) -> Option<Instant> {
    (version > 0).then_some(at)
}

pub(super) fn namespaces(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let rows: Vec<(Namespace, Arc<EventsManifest>)> = seen
        .namespaces()
        .into_iter()
        .map(|namespace| {
            let events = seen.catalog.events(&namespace);
            (namespace, events)
        })
        .collect();
    let sum = |events: &EventsManifest, of: fn(&File<'_>) -> u64| files_of_events(events).iter().map(of).sum::<u64>();
    vec![
        texts(&rows, |(namespace, _)| Some(namespace.as_str())),
        ints(&rows, |(namespace, _)| size(seen.catalog.collections(namespace).len())),
        ints(&rows, |(_, events)| count(events.head.version)),
        times(&rows, |(_, events)| committed(events.system_time, events.head.version)),
        ints(&rows, |(_, events)| count(events.files.iter().map(|file| file.rows).sum())),
        ints(&rows, |(_, events)| size(files_of_events(events).len())),
        ints(&rows, |(_, events)| count(sum(events, |file| file.bytes))),
    ]
}

pub(super) fn collections(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let rows = known(seen);
    let declared = |known: &Known| seen.catalog.declared(&known.namespace, &known.collection.name);
    vec![
        texts(&rows, |known| Some(known.namespace.as_str())),
        texts(&rows, |known| Some(known.collection.name.as_str())),
        ints(&rows, |known| Some(i64::from(known.collection.shard.0))),
        times(&rows, |known| Some(known.collection.created_at)),
        ints(&rows, |known| Some(i64::from(known.collection.schema.id))),
        ints(&rows, |known| size(known.collection.schema.fields.len())),
        ints(&rows, |known| count(known.manifest.head.version)),
        ints(&rows, |known| Some(known.manifest.mark)),
        times(&rows, |known| committed(known.manifest.system_time, known.manifest.head.version)),
        ints(&rows, |known| known.manifest.bases.last().and_then(|state| count(state.rows))),
        ints(&rows, |known| count(known.manifest.deltas.iter().map(|delta| delta.rows).sum())),
        ints(&rows, |known| size(files_of_collection(&known.manifest).len())),
        ints(&rows, |known| count(files_of_collection(&known.manifest).iter().map(|file| file.bytes).sum())),
        ints(&rows, |known| declared(known).last().map(|newest| i64::from(newest.version))),
    ]
}

pub(super) fn files(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let events: Vec<_> = seen.namespaces().into_iter().map(|of| (seen.catalog.events(&of), of)).collect();
    let collections = known(seen);
    let mut rows: Vec<(&str, &str, File<'_>)> = Vec::new();
    for (manifest, namespace) in &events {
        rows.extend(files_of_events(manifest).into_iter().map(|file| (namespace.as_str(), "events", file)));
        for known in collections.iter().filter(|known| known.namespace == *namespace) {
            let files = files_of_collection(&known.manifest).into_iter();
            rows.extend(files.map(|file| (namespace.as_str(), known.collection.name.as_str(), file)));
        }
    }
    vec![
        texts(&rows, |(namespace, ..)| Some(namespace)),
        texts(&rows, |(_, table, _)| Some(table)),
        texts(&rows, |(.., file)| Some(file.kind)),
        texts(&rows, |(.., file)| Some(file.path)),
        ints(&rows, |(.., file)| count(file.rows)),
        ints(&rows, |(.., file)| count(file.bytes)),
        texts(&rows, |(.., file)| Some(file.sha256)),
    ]
}

pub(super) fn dropped(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let away = seen.catalog.away().into_iter();
    let rows: Vec<_> = away
        .filter_map(|(namespace, collection, standing)| match standing {
            Standing::Dropped { at, until } if seen.principal.may_admin(&namespace) => {
                Some((namespace, collection, at, until))
            }
            _ => None,
        })
        .collect();
    vec![
        texts(&rows, |(namespace, ..)| Some(namespace.as_str())),
        texts(&rows, |(_, collection, ..)| collection.as_ref().map(|name| name.as_str())),
        times(&rows, |(.., at, _)| Some(*at)),
        times(&rows, |(.., until)| Some(*until)),
    ]
}

/// Who owns the lake: of interest to whoever may ask all of it.
pub(super) fn leases(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let held = seen.principal.may_everywhere(Scope::Query).then(|| seen.catalog.held());
    let with_id = |held: Held| {
        let id = held.logs.as_ref().map(|logs| logs.log.to_string());
        (held, id)
    };
    let rows: Vec<(Held, Option<String>)> = held.into_iter().map(with_id).collect();
    let log = |id: &Option<String>| if id.is_some() { "object" } else { "directory" };
    vec![
        ints(&rows, |(held, _)| count(held.epoch)),
        texts(&rows, |(held, _)| Some(held.holder.as_str())),
        times(&rows, |(held, _)| Some(held.taken_at)),
        ints(&rows, |(held, _)| count(held.lease_ms)),
        Arc::new(rows.iter().map(|(held, _)| Some(held.is_held)).collect::<BooleanArray>()),
        texts(&rows, |(_, id)| Some(log(id))),
        texts(&rows, |(_, id)| id.as_deref()),
        ints(&rows, |(held, _)| size(held.logs.as_ref().map_or(0, |logs| logs.inherited.len()))),
    ]
}

pub(super) fn snapshots(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let known = known(seen);
    let mut rows: Vec<(&Known, &Snapshot)> = Vec::new();
    for one in &known {
        rows.extend(one.manifest.snapshots.iter().map(|snapshot| (one, snapshot)));
    }
    vec![
        texts(&rows, |(known, _)| Some(known.namespace.as_str())),
        texts(&rows, |(known, _)| Some(known.collection.name.as_str())),
        texts(&rows, |(_, snapshot)| Some(snapshot.name.as_str())),
        texts(&rows, |(_, snapshot)| Some(snapshot.kind.as_str())),
        times(&rows, |(_, snapshot)| Some(snapshot.instant)),
        times(&rows, |(_, snapshot)| Some(snapshot.taken_at)),
        ints(&rows, |(_, snapshot)| count(snapshot.base.rows)),
        ints(&rows, |(_, snapshot)| size(snapshot.base.files().count())),
        ints(&rows, |(_, snapshot)| count(snapshot.base.bytes())),
    ]
}

pub(super) fn time_travel(seen: &Seen, _: &Tellers) -> Vec<ArrayRef> {
    let rows = known(seen);
    let exact = |known: &Known| known.manifest.window.map_or(known.collection.created_at, |window| window.system_time);
    let instants = |known: &Known| known.manifest.snapshots.iter().map(|snapshot| snapshot.instant).collect::<Vec<_>>();
    vec![
        texts(&rows, |known| Some(known.namespace.as_str())),
        texts(&rows, |known| Some(known.collection.name.as_str())),
        times(&rows, |known| Some(known.collection.created_at)),
        times(&rows, |known| Some(exact(known))),
        times(&rows, |known| known.manifest.window.map(|window| window.valid_time)),
        times(&rows, |known| committed(known.manifest.system_time, known.manifest.head.version)),
        ints(&rows, |known| count(known.manifest.head.version)),
        ints(&rows, |known| count(known.manifest.deltas.iter().map(|delta| delta.rows).sum())),
        ints(&rows, |known| size(known.manifest.bases.len())),
        ints(&rows, |known| size(known.manifest.checkpoints.len())),
        ints(&rows, |known| size(known.manifest.snapshots.len())),
        times(&rows, |known| instants(known).into_iter().min()),
        times(&rows, |known| instants(known).into_iter().max()),
    ]
}

pub(super) fn rejected(seen: &Seen, tellers: &Tellers) -> Vec<ArrayRef> {
    let rows: Vec<Arc<Rejected>> = tellers.shown.get().map_or_else(Vec::new, |shown| shown.rejects.rejected());
    // Of what was dropped nothing is shown, nor of what was erased under a name that began anew.
    let is_seen = |row: &Arc<Rejected>| {
        let of = (&row.namespace, row.collection.as_ref());
        let is_live = |standing: Option<Standing>| standing.is_none_or(|standing| standing.is_live());
        let erased = seen.catalog.events(of.0).erased.as_ref().map(|erased| erased.system_time);
        seen.shows(of.0)
            && is_live(seen.catalog.standing(of.0, None))
            && is_live(of.1.and_then(|name| seen.catalog.standing(of.0, Some(name))))
            && erased.is_none_or(|erased| row.at > erased)
    };
    let rows: Vec<Arc<Rejected>> = rows.into_iter().filter(is_seen).collect();
    vec![
        texts(&rows, |row| Some(row.id.as_str())),
        times(&rows, |row| Some(row.at)),
        texts(&rows, |row| Some(row.namespace.as_str())),
        texts(&rows, |row| row.collection.as_ref().map(|name| name.as_str())),
        texts(&rows, |row| Some(row.door.as_str())),
        ints(&rows, |row| count(row.index)),
        texts(&rows, |row| row.event_id.as_deref()),
        texts(&rows, |row| Some(row.code.as_str())),
        texts(&rows, |row| Some(row.pointer.as_str())),
        texts(&rows, |row| Some(row.message.as_str())),
        texts(&rows, |row| row.record.as_deref()),
        ints(&rows, |row| count(row.record_bytes)),
    ]
}

/// What the doors and CALL recorded, newest first, of what whoever asks administers.
pub(super) fn audit<'a>(seen: &'a Seen, tellers: &'a Tellers) -> BoxFuture<'a, Result<Vec<ArrayRef>>> {
    Box::pin(async move {
        let rows: Vec<Record> = match tellers.shown.get() {
            Some(shown) if seen.principal.check_scope(Scope::Admin).is_ok() => {
                let read = shown.audit.seen(&seen.principal, usize::MAX).await;
                read.map_err(|error| DataFusionError::External(Box::new(Error::Unavailable(error.to_string()))))?
            }
            _ => Vec::new(),
        };
        Ok(vec![
            times(&rows, |row| Some(row.at)),
            texts(&rows, |row| Some(row.who.as_str())),
            texts(&rows, |row| Some(row.action.as_str())),
            texts(&rows, |row| row.namespace.as_ref().map(Namespace::as_str)),
            texts(&rows, |row| row.object.as_deref()),
            texts(&rows, |row| Some(row.door.as_str())),
            texts(&rows, |row| row.request.as_deref()),
            texts(&rows, |row| Some(row.outcome.as_str())),
        ])
    })
}

/// The jobs of this process, to who may ask all of the lake.
pub(super) fn jobs(seen: &Seen, tellers: &Tellers) -> Vec<ArrayRef> {
    let shown = tellers.shown.get().filter(|_| seen.principal.may_everywhere(Scope::Query));
    let rows: Vec<JobState> = shown.map_or_else(Vec::new, |shown| shown.jobs.jobs());
    vec![
        texts(&rows, |row| Some(row.name)),
        ints(&rows, |row| i64::try_from(row.interval.as_millis()).ok()),
        Arc::new(rows.iter().map(|row| Some(row.is_running)).collect::<BooleanArray>()),
        ints(&rows, |row| count(row.ticks)),
        ints(&rows, |row| Some(i64::from(row.failures))),
        times(&rows, |row| row.began_at),
        times(&rows, |row| row.ended_at),
        texts(&rows, |row| row.outcome),
        texts(&rows, |row| row.error.as_deref()),
    ]
}

/// Statements of whoever asks, and of all to who administers all of the lake.
pub(super) fn queries(seen: &Seen, tellers: &Tellers) -> Vec<ArrayRef> {
    let (sees_all, who) = (seen.principal.may_everywhere(Scope::Admin), seen.principal.id());
    let mut rows: Vec<Entry> = tellers.log.entries();
    rows.retain(|row| sees_all || row.who == who);
    let micros = |took: Option<std::time::Duration>| took.and_then(|took| i64::try_from(took.as_micros()).ok());
    vec![
        ints(&rows, |row| count(row.id)),
        texts(&rows, |row| Some(row.who.as_str())),
        texts(&rows, |row| row.namespace.as_ref().map(Namespace::as_str)),
        texts(&rows, |row| Some(row.text.as_str())),
        texts(&rows, |row| Some(row.state.as_str())),
        times(&rows, |row| Some(row.began_at)),
        times(&rows, |row| row.ended_at),
        ints(&rows, |row| micros(row.waited)),
        ints(&rows, |row| micros(row.planned)),
        ints(&rows, |row| count(row.rows)),
        texts(&rows, |row| row.outcome),
    ]
}

/// Tokens that reach no further than whoever asks administers; neither secrets nor their digests.
pub(super) fn tokens(seen: &Seen, tellers: &Tellers) -> Vec<ArrayRef> {
    let administers = seen.principal.check_scope(Scope::Admin).is_ok();
    let shown = tellers.shown.get().filter(|_| administers);
    let mut rows: Vec<Token> = shown.map_or_else(Vec::new, |shown| shown.tokens.list());
    rows.retain(|token| seen.principal.reach().covers(&token.reach()));
    let now = tellers.clock.now();
    let scopes = |token: &Token| token.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
    let reach = |token: &Token| match &token.namespaces {
        None => "*".to_owned(),
        Some(names) => names.iter().map(Namespace::as_str).collect::<Vec<_>>().join(","),
    };
    let told: Vec<(String, String, &Token)> = rows.iter().map(|token| (scopes(token), reach(token), token)).collect();
    vec![
        texts(&told, |(.., token)| Some(token.id.as_str())),
        texts(&told, |(.., token)| Some(token.name.as_str())),
        texts(&told, |(scopes, ..)| Some(scopes.as_str())),
        texts(&told, |(_, reach, _)| Some(reach.as_str())),
        texts(&told, |(.., token)| Some(token.standing(now).as_str())),
        times(&told, |(.., token)| Some(token.created_at)),
        texts(&told, |(.., token)| Some(token.created_by.as_str())),
        times(&told, |(.., token)| token.expires_at),
        times(&told, |(.., token)| token.revoked_at),
        times(&told, |(.., token)| token.last_used_at),
    ]
}
