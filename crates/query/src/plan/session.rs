//! The engine's settings, functions and store, made once; a state of its own per statement.
//!
//! No SQL reaches the file system or the network: the only store is the lake's, url tables are off, recursive queries
//! are off. Types that people write stay plain (no views), time is UTC.

use std::{collections::HashMap, num::NonZeroUsize, ops::RangeInclusive, sync::Arc};

use chrono::DateTime;
use datafusion::{
    catalog::Session,
    common::{Result, plan_err},
    error::DataFusionError,
    execution::{
        SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::MemoryPool,
        object_store::{ObjectStoreRegistry, ObjectStoreUrl},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{Volatility, registry::FunctionRegistry},
    prelude::SessionConfig,
};
use object_store::ObjectStore;
use tidemark_catalog::Catalog;
use tidemark_model::{Instant, Namespace, Principal};

use super::{
    capped::capped,
    changed::{changed_fields, document_digest},
    json,
    metadata::Lake,
    names::{CATALOG, NO_NAMESPACE, Seen},
    postgres,
    relation::Relations,
    type_of::arrow_typeof,
    zoned::zoned,
};
use crate::{Config, Error};

/// The address of the lake's store inside the engine.
const STORE: &str = "tidemark://lake";
/// Bytes that all sorts, joins and aggregations together may spill to the temporary directory.
const SPILL_BYTES_MAX: u64 = 10 << 30;
/// Bytes read from the end of a Parquet file at once.
const FOOTER_HINT: usize = 256 << 10;
/// Rows of a batch: at most so many (the engine's default), at least so many, and one for so many bytes of a statement's budget. What
/// expressions make of a batch nobody counts, and a merge of what a sort has on the disk holds a batch of every piece.
const BATCH_ROWS: RangeInclusive<usize> = 1024..=8192;
const BUDGET_BYTES_PER_ROW: usize = 32 << 10;

/// Makes states.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    template: Arc<SessionState>,
    catalog: Catalog,
    environment: Arc<RuntimeEnv>,
}

/// What a state is made for.
#[derive(Debug)]
pub(crate) struct Of {
    /// Who asks.
    pub(crate) principal: Principal,
    /// The schema of unqualified names.
    pub(crate) namespace: Option<Namespace>,
    /// What `now()` means.
    pub(crate) now: Instant,
    /// Where the statement takes its memory from.
    pub(crate) memory: Arc<dyn MemoryPool>,
}

impl Sessions {
    /// For this many partitions; of the room's settings count what a statement may hold, and the bytes of cached Parquet footers and
    /// page indexes.
    ///
    /// # Errors
    /// [`Error::Internal`] when the engine's environment cannot be made.
    pub(crate) fn new(catalog: &Catalog, partitions: NonZeroUsize, config: &Config) -> Result<Self, Error> {
        let internal =
            |e: DataFusionError| Error::Internal(format!("the engine could not be made: {}", e.strip_backtrace()));
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::OsTmpDirectory)
            .with_max_temp_directory_size(SPILL_BYTES_MAX);
        let environment = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(OneStore(catalog.store().objects())))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(config.footers_bytes)
            .build_arc()
            .map_err(internal)?;
        let mut template = SessionStateBuilder::new_with_default_features()
            .with_config(settings(partitions, batch_rows(config.query_memory_bytes)))
            .with_runtime_env(Arc::clone(&environment))
            .build();
        json::register(&mut template).map_err(internal)?;
        let (zoned, capped) = (zoned(&template).map_err(internal)?, capped(&template).map_err(internal)?);
        let own = [changed_fields(), document_digest(), arrow_typeof()];
        for function in zoned.into_iter().chain(capped).chain(own).chain(postgres::functions::common()) {
            template.register_udf(Arc::new(function)).map_err(internal)?;
        }
        Ok(Self { template: Arc::new(template), catalog: catalog.clone(), environment })
    }

    /// How a function of this name answers the next time it is asked the same; none where there is no such function.
    pub(crate) fn volatility(&self, name: &str) -> Option<Volatility> {
        self.template.scalar_functions().get(name).map(|function| function.signature().volatility)
    }

    /// A state for one statement: the template with another namespace, catalog, time and memory. Building one anew would
    /// register every function again. The engine lets nobody exchange the environment of a state, so the statement's own
    /// rides along in its configuration ([`environment`]).
    pub(crate) fn state(&self, of: &Of) -> SessionState {
        let environment = RuntimeEnv { memory_pool: Arc::clone(&of.memory), ..self.environment.as_ref().clone() };
        let seen = Seen { catalog: self.catalog.clone(), principal: of.principal.clone() };
        let namespace = of.namespace.as_ref().map_or(NO_NAMESPACE, Namespace::as_str);
        let mut state = self.template.as_ref().clone();
        let config = state.config().clone().with_default_catalog_and_schema(CATALOG, namespace);
        *state.config_mut() = config.with_extension(Arc::new(environment));
        state.register_catalog_list(Arc::new(Lake(seen.clone())));
        for function in postgres::functions::of(&seen) {
            // Nothing is refused: the registry is the state's own.
            let _before = state.register_udf(Arc::new(function));
        }
        let options = Arc::clone(state.config_options());
        let props = state.execution_props_mut();
        props.query_execution_start_time = DateTime::from_timestamp_micros(of.now.micros());
        props.config_options = Some(options);
        state
    }
}

/// The environment of a statement: the store, the caches, and its own memory.
pub(crate) fn environment(state: &dyn Session) -> Arc<RuntimeEnv> {
    state.config().get_extension::<RuntimeEnv>().unwrap_or_else(|| Arc::clone(state.runtime_env()))
}

/// What a plan of the statement runs in. Plans hold their functions themselves.
pub(crate) fn task(state: &SessionState) -> Arc<TaskContext> {
    let (session, config) = (state.session_id().to_owned(), state.config().clone());
    Arc::new(TaskContext::new(
        None,
        session,
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        environment(state),
    ))
}

/// Gives a state the tables of its statement.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn with_relations(mut state: SessionState, relations: Relations) -> Result<SessionState> {
    state.register_relation_planner(Arc::new(relations))?;
    Ok(state)
}

/// The address scans name.
///
/// # Errors
/// Never in practice: the address is a constant.
pub(crate) fn store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(STORE)
}

fn settings(partitions: NonZeroUsize, batch_rows: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, NO_NAMESPACE)
        .with_target_partitions(partitions.get())
        .with_batch_size(batch_rows);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.enable_recursive_ctes = false;
    // Whether rows are filtered while files are decoded, each scan decides (`scan::late`).
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.metadata_size_hint = Some(FOOTER_HINT);
    options.sql_parser.map_string_types_to_utf8view = false;
    config
}

fn batch_rows(query_memory_bytes: usize) -> usize {
    (query_memory_bytes / BUDGET_BYTES_PER_ROW).clamp(*BATCH_ROWS.start(), *BATCH_ROWS.end())
}

/// A registry that knows the lake's store and no other.
#[derive(Debug)]
struct OneStore(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _: &url::Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str().starts_with(STORE) {
            return Ok(Arc::clone(&self.0));
        }
        plan_err!("SQL reads tables of the lake only, not {url}")
    }
}
