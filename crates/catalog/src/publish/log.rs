//! The log of a published table: the only file that names `deltalake`.
//!
//! It gets our own store, so that a commit is a create that is durable when it returns. Readers of version 1 and writers of
//! version 2 suffice; files that other engines' VACUUM finds are safe for a hundred years, because questions about the past
//! read them here.

use std::collections::{BTreeMap, HashMap};

use deltalake_core::{
    DeltaTable, DeltaTableError, ObjectStoreError,
    checkpoints::create_checkpoint,
    kernel::{
        Action, Add, Remove, Transaction,
        transaction::{CommitBuilder, CommitProperties},
    },
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};
use futures::TryStreamExt;
use serde_json::json;
use tidemark_model::Instant;
use tidemark_storage::{ObjectPath, Store, StoreError, paths};

use super::pick::{Adding, Kind, Plan, Published, Size, Wanted};

/// The application whose transactions say which manifest a version was published from.
const APP: &str = "tidemark";
/// The application whose transactions say up to which system time (microseconds) rows are published.
const APP_NEWEST: &str = "tidemark.system_time";
/// The application whose transactions say which version restated everything.
const APP_REBUILT: &str = "tidemark.rebuilt";
/// What a reader has to speak.
const READER_VERSION: i32 = 1;
/// What a writer has to speak.
const WRITER_VERSION: i32 = 2;
/// How long files outlive their removal as far as other engines are concerned.
const RETENTION: &str = "interval 5200 weeks";
/// Where the library thinks tables are. Paths are looked up in the store it is given and nowhere else; the host says, in
/// the way of S3's directory buckets, that lists have no order, as those of a local disk: else it takes an order for
/// granted and finds gaps.
const UNORDERED: &str = "tidemark://lake--x-s3";
/// Versions after which a reader begins at a checkpoint.
const CHECKPOINT_INTERVAL: u32 = 32;

/// Why a log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Delta(#[from] DeltaTableError),
    #[error("an action is not what the protocol says: {0}")]
    Action(#[from] serde_json::Error),
    #[error("the table has no URL: {0}")]
    Url(#[from] url::ParseError),
}

impl LogError {
    /// Whether it is the store that failed, and not what lies there.
    pub(crate) fn is_of_store(&self) -> bool {
        type Cause = dyn std::error::Error + 'static;
        let of_objects = |cause: &Cause| {
            let error = cause.downcast_ref::<ObjectStoreError>();
            error.is_some_and(|error| !matches!(error, ObjectStoreError::NotFound { .. }))
        };
        let whole: &Cause = self;
        matches!(self, Self::Store(_)) || std::iter::successors(Some(whole), |cause| cause.source()).any(of_objects)
    }
}

/// A published table as of its newest version.
#[derive(Debug)]
pub(crate) struct Log {
    logs: LogStoreRef,
    state: Option<DeltaTableState>,
    /// What other engines see; `None` where nothing is published.
    pub(crate) published: Option<Published>,
    /// The version of the last rebuild, which restates everything.
    pub(crate) rebuilt: Option<u64>,
    /// The objects that it consists of.
    pub(crate) listed: Vec<ObjectPath>,
}

/// When, and by which name, a version is published.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) at: Instant,
    /// A new table gets this id, shaped as a UUID.
    pub(crate) id: u128,
    /// `{ns}.{table}`.
    pub(crate) name: String,
}

impl Log {
    /// Reads the log below a root.
    pub(crate) async fn open(store: &Store, root: &ObjectPath) -> Result<Self, LogError> {
        let url = url::Url::parse(&format!("{UNORDERED}/{root}"))?;
        let logs = default_logstore(store.objects_below(root), store.objects(), &url, &StorageConfig::default());
        let listed = store.list(&paths::delta_log(root)).await?;
        let listed: Vec<ObjectPath> = listed.into_iter().map(|object| object.location).collect();
        if listed.is_empty() {
            return Ok(Self { logs, state: None, published: None, rebuilt: None, listed });
        }
        let state = DeltaTableState::try_new(logs.as_ref(), None).await?;
        let published = Some(published(&state, &logs).await?);
        let rebuilt = state.transaction_version(logs.as_ref(), APP_REBUILT).await?;
        let rebuilt = rebuilt.and_then(|version| u64::try_from(version).ok());
        Ok(Self { logs, state: Some(state), published, rebuilt, listed })
    }

    /// Whether it speaks the versions of the protocol that are written here, so that it can go on.
    pub(crate) fn goes_on(&self) -> bool {
        let protocol = self.state.as_ref().and_then(|state| serde_json::to_value(state.protocol()).ok());
        protocol.is_some_and(|protocol| {
            protocol["minReaderVersion"] == READER_VERSION && protocol["minWriterVersion"] == WRITER_VERSION
        })
    }

    /// Writes a checkpoint of the newest version.
    pub(crate) async fn checkpoint(&self) -> Result<(), LogError> {
        let mut table = DeltaTable::new(self.logs.clone());
        table.load().await?;
        Ok(create_checkpoint(&table, None).await?)
    }

    /// Every file that some version named, and its bytes.
    pub(crate) async fn named(&self) -> Result<BTreeMap<String, u64>, LogError> {
        let removed = self.removed().await?.into_iter().map(|(path, (_, bytes))| (path, bytes));
        let there = self.published.iter().flat_map(|published| &published.files);
        Ok(removed.chain(there.map(|(path, size)| (path.clone(), size.bytes))).collect())
    }

    /// The files of the newest version, and those that were removed after an instant, with when.
    pub(crate) async fn held(&self, since: Instant) -> Result<BTreeMap<String, Option<Instant>>, LogError> {
        let removed = self.removed().await?.into_iter().map(|(path, (at, _))| (path, Some(at)));
        let removed = removed.filter(|(_, at)| at.is_none_or(|at| at > since));
        let there = self.published.iter().flat_map(|published| published.files.keys().map(|path| (path.clone(), None)));
        Ok(removed.chain(there).collect())
    }

    /// Files that were removed: when, and their bytes.
    async fn removed(&self) -> Result<BTreeMap<String, (Instant, u64)>, LogError> {
        let Some(state) = &self.state else { return Ok(BTreeMap::new()) };
        let tombstones = state.all_tombstones(self.logs.as_ref()).map_ok(|tombstone| {
            let at = tombstone.deletion_timestamp().unwrap_or(i64::MAX / 1000);
            let bytes = tombstone.size().map_or(0, i64::unsigned_abs);
            (tombstone.path().into_owned(), (Instant::from_micros(at.saturating_mul(1000)), bytes))
        });
        Ok(tombstones.try_collect().await?)
    }

    /// Publishes the next version; its number. A race with another writer is an error: the next run picks anew.
    pub(crate) async fn commit(&self, plan: Plan, wanted: &Wanted, stamp: &Stamp) -> Result<u64, LogError> {
        let transactions = [(APP, wanted.manifest), (APP_NEWEST, wanted.newest.micros().max(0).unsigned_abs())];
        let next = self.published.as_ref().map_or(0, |published| published.version + 1);
        let rebuilt = plan.restates.then_some((APP_REBUILT, next));
        let transactions = transactions.into_iter().chain(rebuilt);
        let transactions =
            transactions.map(|(app, version)| Transaction::new(app, version.try_into().unwrap_or(0))).collect();
        let properties = CommitProperties::default()
            .with_metadata([("userMetadata".to_owned(), json!(format!("manifest {}", wanted.manifest)))])
            .with_application_transactions(transactions)
            .with_create_checkpoint(true)
            .with_cleanup_expired_logs(Some(false))
            .with_max_retries(0);
        let mode = if wanted.kind == Kind::Events { SaveMode::Append } else { SaveMode::Overwrite };
        let operation = DeltaOperation::Write { mode, partition_by: None, predicate: None };
        let actions = self.actions(plan, wanted.kind, stamp)?;
        let table = self.state.as_ref().map(|state| state as _);
        let commit = CommitBuilder::from(properties).with_actions(actions).build(table, self.logs.clone(), operation);
        Ok(commit.await?.version())
    }

    fn actions(&self, plan: Plan, kind: Kind, stamp: &Stamp) -> Result<Vec<Action>, LogError> {
        let mut actions = Vec::new();
        if self.state.is_none() {
            let protocol = json!({ "minReaderVersion": READER_VERSION, "minWriterVersion": WRITER_VERSION });
            actions.push(Action::Protocol(serde_json::from_value(protocol)?));
        }
        if let Some(schema) = plan.schema {
            let before = self.state.as_ref().map(|state| state.metadata());
            let id = before.map_or_else(|| uuid(stamp.id), |metadata| metadata.id().to_owned());
            let created = before.map_or_else(|| Some(stamp.at.micros() / 1000), |metadata| metadata.created_time());
            let metadata = json!({
                "id": id,
                "name": stamp.name,
                "format": { "provider": "parquet", "options": {} },
                "schemaString": schema,
                "partitionColumns": [],
                "configuration": {
                    "delta.appendOnly": (kind == Kind::Events).to_string(),
                    "delta.deletedFileRetentionDuration": RETENTION,
                    "delta.enableExpiredLogCleanup": "false",
                    "delta.checkpointInterval": CHECKPOINT_INTERVAL.to_string(),
                },
                "createdTime": created,
            });
            actions.push(Action::Metadata(serde_json::from_value(metadata)?));
        }
        let removes_rows = plan.removes_rows;
        actions.extend(plan.removes.into_iter().map(|removed| Action::Remove(remove(removed, removes_rows, stamp.at))));
        actions.extend(plan.adds.into_iter().map(|adding| Action::Add(add(adding, stamp.at))));
        Ok(actions)
    }
}

async fn published(state: &DeltaTableState, logs: &LogStoreRef) -> Result<Published, LogError> {
    let data = state.log_data();
    let files = data.iter().map(|file| {
        let rows = file.num_records().map(|rows| rows as u64);
        (file.path().into_owned(), Size { bytes: file.size().unsigned_abs(), rows })
    });
    let files = files.collect();
    let manifest = state.transaction_version(logs.as_ref(), APP).await?.unwrap_or(0);
    let newest = state.transaction_version(logs.as_ref(), APP_NEWEST).await?.unwrap_or(i64::MIN);
    let metadata = serde_json::to_value(state.metadata())?;
    let schema = metadata["schemaString"].as_str().unwrap_or_default().to_owned();
    let (version, manifest) = (state.version(), u64::try_from(manifest).unwrap_or(0));
    Ok(Published { version, manifest, newest: Instant::from_micros(newest), schema, files })
}

fn add(Adding { file, is_news }: Adding, at: Instant) -> Add {
    Add {
        path: file.path,
        partition_values: HashMap::new(),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: at.micros() / 1000,
        data_change: is_news,
        stats: Some(file.stats),
        ..Add::default()
    }
}

fn remove((path, bytes): (String, u64), data_change: bool, at: Instant) -> Remove {
    Remove {
        path,
        data_change,
        deletion_timestamp: Some(at.micros() / 1000),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::new()),
        size: i64::try_from(bytes).ok(),
        ..Remove::default()
    }
}

/// 128 bits as a UUID is spelled.
fn uuid(of: u128) -> String {
    let hex = format!("{of:032x}");
    let cuts = [0, 8, 12, 16, 20, 32];
    cuts.windows(2).map(|cut| &hex[cut[0]..cut[1]]).collect::<Vec<_>>().join("-")
}
