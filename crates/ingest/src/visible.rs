//! What the log tells when appends are durable: they become visible here, before any ack (H4).
//!
//! A request leaves what the tail needs of it ([`Pending`]) under its system time while it holds the log's lock; the
//! log's writer calls [`Visible::durable`] in order, which moves the rows into the tails and tells the catalog.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray},
    datatypes::TimestampMicrosecondType,
    error::ArrowError,
};
use tidemark_catalog::{Behind, Catalog, Tail};
use tidemark_fold::columns::{event, events_schema};
use tidemark_model::{CollectionName, Instant, Mark, Namespace, Standing, Table, schema::SchemaChange};
use tidemark_storage::log::{Append, Assigned, Durable, KeyRecord};
use tokio::sync::Notify;

use crate::{
    admission::Admission,
    batch::{Entries, Group, recovered},
    budget::{Budget, Reservation},
    dedup::lock,
    flush::Pace,
    metrics::Metrics,
    receipt::{Outcome, Receipt},
    tail::{Kept, NamespaceTail},
};

/// What a request leaves for the moment when it is durable.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) groups: Vec<Group>,
    pub(crate) entries: Entries,
    pub(crate) place: Reservation,
}

/// Of all tails together.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) rows: usize,
    /// The system time of the oldest append.
    pub(crate) oldest: Option<Instant>,
}

/// Tails and schemas of everything that is durable.
#[derive(Debug)]
pub(crate) struct Visible {
    pub(crate) catalog: Catalog,
    pub(crate) admission: Arc<Admission>,
    pub(crate) unflushed: Budget,
    pub(crate) pace: Pace,
    pub(crate) metrics: Arc<Metrics>,
    /// Rung when a flush may be due.
    pub(crate) due: Notify,
    pending: Mutex<BTreeMap<Instant, Pending>>,
    tails: Mutex<HashMap<Namespace, Arc<Mutex<NamespaceTail>>>>,
    schema_ids: Mutex<HashMap<(Namespace, CollectionName), u32>>,
}

impl Visible {
    pub(crate) fn new(catalog: Catalog, unflushed: Budget, pace: Pace, metrics: Arc<Metrics>) -> Self {
        Self {
            admission: Arc::new(Admission::of(&catalog)),
            catalog,
            unflushed,
            pace,
            metrics,
            due: Notify::new(),
            pending: Mutex::default(),
            tails: Mutex::default(),
            schema_ids: Mutex::default(),
        }
    }

    /// Leaves what the tail needs of an append; called under the log's lock.
    pub(crate) fn expect(&self, at: Instant, pending: Pending) {
        lock(&self.pending).insert(at, pending);
    }

    /// The tail of a namespace.
    pub(crate) fn tail(&self, namespace: &Namespace) -> Arc<Mutex<NamespaceTail>> {
        let mut tails = lock(&self.tails);
        if let Some(tail) = tails.get(namespace) {
            return Arc::clone(tail);
        }
        let tail = Arc::new(Mutex::new(NamespaceTail::after(&self.catalog.events_mark(namespace), &self.unflushed)));
        tails.insert(namespace.clone(), Arc::clone(&tail));
        tail
    }

    /// Every namespace that has a tail.
    pub(crate) fn namespaces(&self) -> Vec<Namespace> {
        let mut namespaces: Vec<_> = lock(&self.tails).keys().cloned().collect();
        namespaces.sort();
        namespaces
    }

    /// Rows of a table that are in no published manifest.
    pub(crate) fn read(&self, namespace: &Namespace, table: &Table, after: &Mark) -> Result<Tail, Behind> {
        let tail = lock(&self.tails).get(namespace).map(Arc::clone);
        tail.map_or_else(|| Ok(Tail::default()), |tail| lock(&tail).read(table, after))
    }

    /// Up to where everything of a namespace can be read.
    pub(crate) fn reached(&self, namespace: &Namespace) -> Mark {
        let tail = lock(&self.tails).get(namespace).map(Arc::clone);
        tail.map_or_else(|| self.catalog.events_mark(namespace), |tail| lock(&tail).reached().clone())
    }

    /// Takes in what an append says about schemas; also of one whose rows are in files already.
    pub(crate) fn observe(&self, append: &Append) {
        let (namespace, changes) = (&append.namespace, append.changes.as_slice());
        self.catalog.observe(namespace, append.assigned.system_time, changes);
        if changes.is_empty() {
            return;
        }
        // Replay tells of what was erased since, too.
        let is_there = |change: &&SchemaChange| {
            let (SchemaChange::Created { collection, .. } | SchemaChange::Evolved { collection, .. }) = change;
            !matches!(self.catalog.standing(namespace, Some(collection)), Some(Standing::Erased { .. }))
        };
        self.admission.durable(namespace, changes.iter().filter(is_there));
        let mut ids = lock(&self.schema_ids);
        for change in changes {
            if let SchemaChange::Evolved { collection, schema } = change {
                let id = ids.entry((namespace.clone(), collection.clone())).or_default();
                *id = schema.id.max(*id);
            }
        }
    }

    /// Moves an append into its tail.
    pub(crate) fn take(&self, append: &Append, pending: Option<Pending>) {
        self.observe(append);
        let pending = pending.unwrap_or_else(|| {
            let (groups, entries) = recovered(&append.rows, &append.assigned.positions);
            let place = self.unflushed.take(unflushed_bytes(&append.rows, append.key.as_ref()));
            Pending { groups, entries: entries.into(), place }
        });
        let rows = match positioned(&append.rows, &append.assigned) {
            Ok(rows) => rows,
            Err(error) => {
                // Cannot be: the log hands back rows of its own schema. Counted, and told, rather than hidden.
                tracing::error!(%error, namespace = %append.namespace, "durable rows could not be made visible");
                self.metrics.broken_invariant("H4");
                return;
            }
        };
        let groups = pending.groups.into_iter().map(|group| (self.schema_id(&append.namespace, &group), group));
        let kept = Kept {
            system_time: append.assigned.system_time,
            count: rows.num_rows(),
            positions: append.assigned.positions.clone(),
            groups: groups.map(|(id, group)| (group, id)).collect(),
            entries: pending.entries,
            key: append.key.as_ref().and_then(|key| whole(key, &append.assigned)),
            place: pending.place,
        };
        let tail = self.tail(&append.namespace);
        let mut tail = lock(&tail);
        tail.push(kept, &rows);
        let is_crowded = self.unflushed.used() >= self.unflushed.max() / 4 * 3;
        if is_crowded || self.pace.is_full(tail.bytes(), tail.rows()) {
            self.due.notify_one();
        }
    }

    fn schema_id(&self, namespace: &Namespace, group: &Group) -> u32 {
        let Some(collection) = &group.collection else { return 0 };
        let mut ids = lock(&self.schema_ids);
        *ids.entry((namespace.clone(), collection.clone())).or_insert_with(|| {
            self.catalog.any_collection(namespace, collection).map_or(0, |collection| collection.schema.id)
        })
    }

    /// Every tail, for the metrics.
    pub(crate) fn totals(&self) -> Totals {
        let tails: Vec<_> = lock(&self.tails).values().map(Arc::clone).collect();
        tails.iter().fold(Totals::default(), |totals, tail| {
            let tail = lock(tail);
            let oldest = [totals.oldest, tail.oldest()].into_iter().flatten().min();
            Totals { rows: totals.rows + tail.rows(), oldest }
        })
    }
}

impl Durable for Visible {
    fn durable(&self, appends: &[Arc<Append>]) {
        for append in appends {
            let pending = lock(&self.pending).remove(&append.assigned.system_time);
            self.take(append, pending);
        }
    }
}

/// The whole receipt of a key.
pub(crate) fn whole(key: &KeyRecord, assigned: &Assigned) -> Option<(KeyRecord, Receipt)> {
    let outcome = Outcome::decode(&key.receipt);
    let outcome = outcome.inspect_err(|error| tracing::error!(%error, "a receipt in the log cannot be read"));
    Some((key.clone(), outcome.ok()?.assigned(assigned)))
}

/// What an append takes in memory until it is in a file: the values of its rows, whatever buffers they share with others,
/// what is known of it, and the receipt under its key. The batches of its rows take their own ([`NamespaceTail`]).
pub(crate) fn unflushed_bytes(rows: &RecordBatch, key: Option<&KeyRecord>) -> usize {
    let rows: usize = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    rows + size_of::<Kept>() + key.map_or(0, |key| size_of::<KeyRecord>() + key.receipt.len())
}

/// Rows of the log → rows of the events table: source time filled in, position and system time added.
pub(crate) fn positioned(rows: &RecordBatch, assigned: &Assigned) -> Result<RecordBatch, ArrowError> {
    let system_time = assigned.system_time.micros();
    let count = rows.num_rows();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    let ts = rows.schema().index_of(event::TS)?;
    columns[ts] = with_default(&columns[ts], system_time);
    let utc = |times: TimestampMicrosecondArray| Arc::new(times.with_timezone("UTC"));
    columns.push(utc(TimestampMicrosecondArray::from_value(system_time, count)));
    let (mut shards, mut seqs) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for run in &assigned.positions {
        seqs.extend(run.first..=run.last);
        shards.resize(seqs.len(), i64::from(run.shard.0));
    }
    columns.push(Arc::new(Int64Array::from(shards)));
    columns.push(Arc::new(Int64Array::from(seqs)));
    RecordBatch::try_new(events_schema(), columns)
}

fn with_default(times: &ArrayRef, default: i64) -> ArrayRef {
    let given = times.as_primitive::<TimestampMicrosecondType>();
    if given.null_count() == 0 {
        return Arc::clone(times);
    }
    let filled: TimestampMicrosecondArray = given.iter().map(|ts| ts.or(Some(default))).collect();
    Arc::new(filled.with_timezone("UTC"))
}
