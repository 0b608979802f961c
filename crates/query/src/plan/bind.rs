//! Every table of a statement → a view and its instants, fixed before planning.
//!
//! The order matters: instants are folded, those above S are closed, and only then views are read, so that a view
//! holds everything up to its instants. A table that stands in a statement twice is read once.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use datafusion::{catalog::TableProvider, common::ScalarValue, execution::SessionState};
use tidemark_catalog::{Catalog, LiveTail, View};
use tidemark_model::{Instant, Namespace, Table};

use super::{
    instant,
    metadata::{Described, columns_of},
    names::{self, Named},
    relation::Relations,
};
use crate::{
    AsOf, Error, Pin, Session,
    scan::{At, LakeTable, Reader},
    sql::travel::Reference,
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
            let named = names::resolve(&self.catalog, asked.session.namespace.as_ref(), &reference.name)?;
            state.map(|state| instants(reference, asked, state)).transpose()?;
            let columns = columns_of(&self.catalog, &named.namespace, &named.table)
                .ok_or_else(|| Error::UnknownTable(reference.name.join(".")))?;
            let provider: Arc<dyn TableProvider> = Arc::new(Described(columns));
            relations.0.insert(reference.internal.clone(), (named.written, provider));
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
            let named = names::resolve(&self.catalog, asked.session.namespace.as_ref(), &reference.name)?;
            tables.push((reference, named, instants(reference, asked, state)?));
        }
        let as_of = shared(tables.iter().map(|(_, _, instants)| *instants), asked.pin);
        self.close(tables.iter().filter_map(|(_, _, instants)| instants.system_time), asked.pin).await?;
        let views = self.views(tables.iter().map(|(_, named, _)| named)).await?;
        let mut relations = Relations::default();
        for (reference, named, instants) in tables {
            let view = views.get(&(named.namespace.clone(), named.table.clone())).filter(|view| is_there(view));
            let view = view.ok_or_else(|| Error::UnknownTable(reference.name.join(".")))?;
            if let Some(at) = instants.system_time {
                check_created(view, at)?;
            }
            let at = At {
                system_time: instants.system_time.unwrap_or(asked.pin.system_time),
                valid_time: instants.valid_time,
            };
            let provider: Arc<dyn TableProvider> =
                Arc::new(LakeTable::new(Arc::clone(view), at, Arc::clone(&self.reader)));
            relations.0.insert(reference.internal.clone(), (named.written, provider));
        }
        Ok((relations, as_of))
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
                    .map_err(|behind| Error::Unavailable(format!("{} could not be read: {behind}", named.written)))?;
                place.insert(Arc::new(view));
            }
        }
        Ok(views)
    }
}

type Views = BTreeMap<(Namespace, Table), Arc<View>>;

/// The instants one table was asked at: by its clause, or by the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instants {
    system_time: Option<Instant>,
    valid_time: Option<Instant>,
}

fn instants(reference: &Reference, asked: Asked<'_>, state: &SessionState) -> Result<Instants, Error> {
    let fold = |expr: &Option<sqlparser::ast::Expr>| {
        expr.as_ref().map(|expr| instant::fold(expr, asked.params, state)).transpose()
    };
    let system_time = fold(&reference.system_time)?.or(asked.session.as_of);
    let valid_time = fold(&reference.valid_time)?.or(asked.session.valid_as_of);
    match system_time {
        Some(at) if at > asked.pin.now => Err(Error::Future { asked: at, now: asked.pin.now }),
        _ => Ok(Instants { system_time, valid_time }),
    }
}

/// What an answer is about: the instants that all its tables share, else S.
fn shared(mut instants: impl Iterator<Item = Instants>, pin: Pin) -> AsOf {
    let present = AsOf { system_time: pin.system_time, valid_time: None };
    let Some(first) = instants.next() else { return present };
    let (mut system_time, mut valid_time) = (first.system_time, first.valid_time);
    for next in instants {
        system_time = system_time.filter(|at| next.system_time == Some(*at));
        valid_time = valid_time.filter(|at| next.valid_time == Some(*at));
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
