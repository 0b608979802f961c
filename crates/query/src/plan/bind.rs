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
use tidemark_catalog::{Catalog, Collection, LiveTail, View};
use tidemark_fold::versions::Keep;
use tidemark_model::{Instant, Namespace, Principal, Table};

use super::{
    metadata::Described,
    names::{self, Named, Seen},
    question::{self, Spans},
    relation::Relations,
    shape,
};
use crate::{
    AsOf, Error, Pin, SchemaOf, Session,
    scan::{
        Reader,
        listing::Lists,
        past::Makes,
        system::{self, SystemTable, Tellers},
        then::with_columns,
    },
    sql::{
        moment::Moments,
        reference::{Asks, Reference},
    },
};

/// How long an instant above S may take to close.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The lake as a statement sees it.
#[derive(Debug, Clone)]
pub(crate) struct Lake {
    /// Who exists.
    pub(crate) catalog: Catalog,
    /// Durable rows in no file yet, and which instants are closed.
    pub(crate) live: Arc<dyn LiveTail>,
    /// Reads tables.
    pub(crate) reader: Arc<Reader>,
    /// Who tells what the schema `system` shows.
    pub(crate) tellers: Arc<Tellers>,
}

/// What binding is told about the statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Who asks.
    pub(crate) principal: &'a Principal,
    /// Their settings.
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
    pub(crate) async fn describe(
        &self,
        references: &[Reference],
        asked: Asked<'_>,
        state: Option<&SessionState>,
    ) -> Result<Relations, Error> {
        let (seen, mut relations) = (self.seen(asked.principal), Relations::default());
        for reference in references {
            if let Some(view) = system::view(&reference.table) {
                check_present(reference)?;
                relations.put(reference, Arc::new(Described(view.columns())))?;
                continue;
            }
            let named = names::resolve(&seen, asked.session.namespace.as_ref(), &reference.table)?;
            let folded = state.map(|state| question::fold(&reference.asks, asked, state)).transpose()?;
            let mut collection = self.collection(&named);
            if let (Some(folded), Some(known), SchemaOf::Instant) = (folded, &mut collection, asked.session.schema) {
                let version = self.version(&named, folded.version()).await?;
                let spans = folded.fixed(version);
                let manifest = self.catalog.manifest(&named.namespace, &known.name);
                let spans = if asked.session.nearest {
                    spans.nearest(&reference.asks, &manifest, asked.pin.system_time)
                } else {
                    spans
                };
                *known = then(known, spans.at(asked.pin.system_time).system_time)?;
            }
            let columns = columns(reference, &named, collection.as_deref())?;
            relations.put(reference, Arc::new(Described(columns)))?;
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
        let (seen, mut tables) = (self.seen(asked.principal), Vec::with_capacity(references.len()));
        let mut relations = Relations::default();
        for reference in references {
            if let Some(view) = system::view(&reference.table) {
                check_present(reference)?;
                let (seen, tellers) = (seen.clone(), Arc::clone(&self.tellers));
                relations.put(reference, Arc::new(SystemTable { view, seen, tellers }))?;
                continue;
            }
            let named = names::resolve(&seen, asked.session.namespace.as_ref(), &reference.table)?;
            let folded = question::fold(&reference.asks, asked, state)?;
            let version = self.version(&named, folded.version()).await?;
            tables.push((reference, named, folded.fixed(version)));
        }
        // Which days passed without a change is told up to the owner's present.
        let quiet = references.iter().any(|reference| reference.asks == Asks::Snapshots).then_some(asked.pin.now);
        let instants = tables.iter().filter_map(|(_, _, spans)| spans.system_upto()).chain(quiet);
        self.close(instants, asked.pin).await?;
        let views = self.views(tables.iter().map(|(_, named, _)| named)).await?;
        for (reference, named, spans) in &mut tables {
            let view = views.get(&(named.namespace.clone(), named.table.clone())).filter(|view| is_there(view));
            let view = view.ok_or_else(|| Error::UnknownTable(reference.table.join(".")))?;
            if let Some(at) = spans.system_upto() {
                check_created(view, at)?;
            }
            if let Some((_, manifest)) = view.collection.as_ref().filter(|_| asked.session.nearest) {
                *spans = spans.nearest(&reference.asks, manifest, asked.pin.system_time);
            }
            let question = question::question(&reference.asks, spans, asked, state)?;
            let table = question.table(Arc::clone(view), Arc::clone(&self.reader));
            let mut table = table.ok_or_else(|| no_versions(reference))?;
            if let (Some((collection, _)), SchemaOf::Instant) = (&view.collection, asked.session.schema) {
                let then = then(collection, spans.at(asked.pin.system_time).system_time)?;
                table = with_columns(table, &columns(reference, named, Some(&then))?)?;
            }
            relations.put(reference, table)?;
        }
        // What was read is all there is only if nobody else can have taken over before it was.
        self.catalog.check_held().map_err(|lapsed| Error::Unavailable(lapsed.to_string()))?;
        let as_of = shared(tables.iter().map(|(_, _, spans)| *spans), asked.pin);
        Ok((relations, as_of))
    }

    fn seen(&self, principal: &Principal) -> Seen {
        Seen { catalog: self.catalog.clone(), principal: principal.clone() }
    }

    fn collection(&self, named: &Named) -> Option<Arc<Collection>> {
        match &named.table {
            Table::Events => None,
            Table::Collection(name) => self.catalog.collection(&named.namespace, name),
        }
    }

    /// The instant that a version of a table stands for, if one was asked for: the end of its mark.
    async fn version(&self, named: &Named, asked: Option<u64>) -> Result<Option<Instant>, Error> {
        let (Named { namespace, table }, Some(asked)) = (named, asked) else { return Ok(None) };
        let instant = self.catalog.version_instant(namespace, table, asked).await;
        let instant = instant.map_err(|e| Error::Unavailable(format!("version {asked} could not be read: {e}")))?;
        instant.map(Some).ok_or_else(|| {
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

/// The columns that a reference answers, of a collection as it is known.
fn columns(reference: &Reference, named: &Named, collection: Option<&Collection>) -> Result<SchemaRef, Error> {
    let unknown = || Error::UnknownTable(reference.table.join("."));
    let makes = match &reference.asks {
        Asks::Versions => return Ok(Lists::Manifests.columns()),
        Asks::Snapshots => return Ok(Lists::Snapshots.columns()),
        Asks::Files => return Ok(Lists::Files.columns()),
        Asks::Deleted => return Ok(shape::viewed(&tidemark_fold::columns::tombstones_schema())),
        Asks::Rows(moments) if !moments.is_period() => {
            return match named.table {
                Table::Events => Ok(shape::viewed(&tidemark_fold::columns::events_schema())),
                Table::Collection(_) => {
                    let columns = collection.map(|known| tidemark_fold::columns::table_schema(&known.schema));
                    columns.map(|columns| shape::viewed(&columns)).ok_or_else(unknown)
                }
            };
        }
        Asks::Rows(_) => Makes::Versions(Keep::ALL),
        Asks::Changes { .. } => Makes::Changes,
        Asks::History { .. } => Makes::History,
    };
    if named.table == Table::Events {
        return Err(no_versions(reference));
    }
    collection.map(|collection| makes.columns(&collection.schema)).ok_or_else(unknown)
}

/// A collection with the schema it had.
fn then(collection: &Collection, at: Instant) -> Result<Arc<Collection>, Error> {
    let schema = collection.steps.at(at).map_err(|unkept| Error::Invalid(unkept.to_string()))?;
    Ok(Arc::new(Collection { schema: Arc::new(schema), ..collection.clone() }))
}

/// Of what the lake is there is no past.
fn check_present(reference: &Reference) -> Result<(), Error> {
    match &reference.asks {
        Asks::Rows(moments) if *moments == Moments::default() => Ok(()),
        _ => Err(Error::Invalid(format!(
            "{} tells of now and has no history: leave the time clause out",
            reference.table.join(".")
        ))),
    }
}

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
