//! Every table of a statement → a view and its instants, fixed before planning.
//!
//! The order matters: instants are folded, those above S are closed, and only then views are read, so that a view
//! holds everything up to its instants. A table that stands in a statement twice is read once.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use datafusion::{common::ScalarValue, execution::SessionState};
use tidemark_catalog::{Catalog, LiveTail, View};
use tidemark_fold::versions::Keep;
use tidemark_model::{Instant, Namespace, Table};

use super::{
    metadata::{Described, columns_of},
    names::{self, Named},
    question::{self, Spans},
    relation::Relations,
    shape,
};
use crate::{
    AsOf, Error, Pin, Session,
    scan::{Reader, listing::Lists, past::Makes},
    sql::reference::{Asks, Reference},
};

/// How long an instant above S may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The lake as a statement sees it.
#[derive(Debug, Clone)]
pub(crate) struct Lake {
    /// Who exists.
    pub(crate) catalog: Catalog,
    /// Durable rows in no file yet, and which instants are closed.
    pub(crate) live: Arc<dyn LiveTail>,
    /// Reads tables.
    pub(crate) reader: Arc<Reader>,
}

/// What binding is told about the statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Who asks.
    pub(crate) session: &'a Session,
    /// The statement's parameters.
    pub(crate) params: &'a [ScalarValue],
    /// Its fixed instants.
    pub(crate) pin: Pin,
}

impl Lake {
    /// The pin of a statement that begins now.
    pub(crate) fn pin(&self) -> Pin {
        Pin { system_time: self.live.closed(), now: self.live.now() }
    }

    /// Every table by columns alone, for describing. Instants are checked with a state, where all parameters are known.
    ///
    /// # Errors
    /// [`Error::UnknownTable`], and what is wrong with an instant.
    pub(crate) fn describe(
        &self,
        references: &[Reference],
        asked: Asked<'_>,
        state: Option<&SessionState>,
    ) -> Result<Relations, Error> {
        let mut relations = Relations::default();
        for reference in references {
            let named = names::resolve(&self.catalog, asked.session.namespace.as_ref(), &reference.table)?;
            state.map(|state| question::fold(&reference.asks, asked, state)).transpose()?;
            relations.put(reference, Arc::new(Described(self.columns(reference, &named)?)))?;
        }
        Ok(relations)
    }

    /// Every table with its view and instants, and what the answer is about.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn bind(
        &self,
        references: &[Reference],
        asked: Asked<'_>,
        state: &SessionState,
    ) -> Result<(Relations, AsOf), Error> {
        let mut tables = Vec::with_capacity(references.len());
        for reference in references {
            let named = names::resolve(&self.catalog, asked.session.namespace.as_ref(), &reference.table)?;
            let folded = question::fold(&reference.asks, asked, state)?;
            let version = match folded.version() {
                Some(number) => Some(self.version(&named, number).await?),
                None => None,
            };
            tables.push((reference, named, folded.fixed(version)));
        }
        let as_of = shared(tables.iter().map(|(_, _, spans)| *spans), asked.pin);
        self.close(tables.iter().filter_map(|(_, _, spans)| spans.system_upto()), asked.pin).await?;
        let views = self.views(tables.iter().map(|(_, named, _)| named)).await?;
        let mut relations = Relations::default();
        for (reference, named, spans) in tables {
            let view = views.get(&(named.namespace.clone(), named.table.clone())).filter(|view| is_there(view));
            let view = view.ok_or_else(|| Error::UnknownTable(reference.table.join(".")))?;
            if let Some(at) = spans.system_upto() {
                check_created(view, at)?;
            }
            let question = question::question(&reference.asks, &spans, asked, state)?;
            let table = question.table(Arc::clone(view), Arc::clone(&self.reader));
            relations.put(reference, table.ok_or_else(|| no_versions(reference))?)?;
        }
        Ok((relations, as_of))
    }

    /// The columns that a reference answers, from memory.
    fn columns(&self, reference: &Reference, named: &Named) -> Result<SchemaRef, Error> {
        let makes = match &reference.asks {
            Asks::Versions => return Ok(Lists::Manifests.columns()),
            Asks::Snapshots => return Ok(Lists::Snapshots.columns()),
            Asks::Files => return Ok(Lists::Files.columns()),
            Asks::Deleted => return Ok(shape::viewed(&tidemark_fold::columns::tombstones_schema())),
            Asks::Rows(moments) if !moments.is_period() => {
                let columns = columns_of(&self.catalog, &named.namespace, &named.table);
                return columns
                    .map(|columns| shape::viewed(&columns))
                    .ok_or_else(|| Error::UnknownTable(reference.table.join(".")));
            }
            Asks::Rows(_) => Makes::Versions(Keep::ALL),
            Asks::Changes { .. } => Makes::Changes,
            Asks::History { .. } => Makes::History,
        };
        let Table::Collection(name) = &named.table else { return Err(no_versions(reference)) };
        let collection = self.catalog.collection(&named.namespace, name);
        collection
            .map(|collection| makes.columns(&collection.schema))
            .ok_or_else(|| Error::UnknownTable(reference.table.join(".")))
    }

    /// The instant that a version of a table stands for: the end of its mark.
    async fn version(&self, named: &Named, asked: u64) -> Result<Instant, Error> {
        let Named { namespace, table } = named;
        let version = self.catalog.version(namespace, table, asked).await;
        let version = version.map_err(|e| Error::Unavailable(format!("version {asked} could not be read: {e}")))?;
        version.map(|version| version.system_time).ok_or_else(|| {
            let newest = self.catalog.newest_version(namespace, table);
            let reason = match (newest, (1..=newest).contains(&asked)) {
                (0, _) => "nothing of it is in files yet".to_owned(),
                (_, true) => format!("it is no longer kept, the newest is {newest}"),
                (_, false) => format!("they go from 1 to {newest}"),
            };
            Error::UnknownVersion { table: format!("{namespace}.{table}"), asked, reason }
        })
    }

    /// Waits until every instant is closed. Those up to S are.
    async fn close(&self, instants: impl Iterator<Item = Instant>, pin: Pin) -> Result<(), Error> {
        match instants.max() {
            Some(last) if last > pin.system_time && last > self.live.closed() => self
                .live
                .close_instant(last, CLOSE_DEADLINE)
                .await
                .map_err(|not_closed| Error::Unavailable(not_closed.to_string())),
            _ => Ok(()),
        }
    }

    async fn views(&self, tables: impl Iterator<Item = &Named>) -> Result<Views, Error> {
        let mut views = Views::new();
        for named in tables {
            if let Entry::Vacant(place) = views.entry((named.namespace.clone(), named.table.clone())) {
                let view = View::read(&self.catalog, self.live.as_ref(), &named.namespace, &named.table)
                    .await
                    .map_err(|behind| {
                        let Named { namespace, table } = named;
                        Error::Unavailable(format!("{namespace}.{table} could not be read: {behind}"))
                    })?;
                place.insert(Arc::new(view));
            }
        }
        Ok(views)
    }
}

type Views = BTreeMap<(Namespace, Table), Arc<View>>;

fn no_versions(reference: &Reference) -> Error {
    Error::Invalid(format!(
        "{} has no versions, each of its rows stands for ever: filter by its times, or ask a collection",
        reference.table.join(".")
    ))
}

/// What an answer is about: the instants that all its tables share, else S.
fn shared(mut tables: impl Iterator<Item = Spans>, pin: Pin) -> AsOf {
    let present = AsOf { system_time: pin.system_time, valid_time: None };
    let Some(first) = tables.next() else { return present };
    let (mut system_time, mut valid_time) = (first.system_upto(), first.valid_upto());
    for next in tables {
        system_time = system_time.filter(|at| next.system_upto() == Some(*at));
        valid_time = valid_time.filter(|at| next.valid_upto() == Some(*at));
    }
    AsOf { system_time: system_time.unwrap_or(pin.system_time), valid_time }
}

/// Whether the table was still there when its view was read.
fn is_there(view: &View) -> bool {
    view.table == Table::Events || view.collection.is_some()
}

/// Refuses an instant before the table's first change or event.
fn check_created(view: &View, at: Instant) -> Result<(), Error> {
    let created = match &view.collection {
        Some((collection, _)) => Some(collection.created_at),
        None => crate::scan::first_event(view),
    };
    match created {
        Some(created) if at < created => {
            Err(Error::BeforeCreation { table: format!("{}.{}", view.namespace, view.table), asked: at, created })
        }
        _ => Ok(()),
    }
}
