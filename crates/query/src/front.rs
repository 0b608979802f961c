//! The room's front: parts, verbs. [`config`]: its settings. [`tables`]: which tables there are.

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::ParamValues,
    execution::{SendableRecordBatchStream, SessionState, context::SQLOptions},
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
    sql::parser::Statement as EngineStatement,
};
use futures::{FutureExt, future::BoxFuture};
use tidemark_catalog::{Catalog, LiveTail};
use tidemark_model::{Clock, Namespace, Principal, Scope};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    Answer, AsOf, Description, Error, Pin, Session, Setting, Statement,
    metrics::{Metrics, Running},
    plan::{
        bind::{Asked, Lake},
        computed, extent, parameter,
        relation::Relations,
        session::{Of, Sessions, task, with_relations},
        setting, shape, windows,
    },
    procedure::{self, Procedures},
    run::{
        answer,
        budget::Budget,
        gate::Gate,
        log::{Log, Noted},
        threads::Threads,
    },
    scan::{
        Reader,
        cache::Caches,
        system::{Shown, Tellers},
    },
    sql::{self, Does, Parsed, limits::Caps, reference::Reference, setting::Name},
};

pub(crate) use self::follow::positions;
pub use self::{
    config::Config,
    difference::{Becomes, CollectionRef, Difference, Differences, Differing, Then},
    export::{Export, Holds},
    follow::{Follow, Follower},
};

/// What the room is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Who exists, and the manifests.
    pub catalog: Catalog,
    /// Durable rows that are in no file yet.
    pub live: Arc<dyn LiveTail>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
}

/// The handle of the room. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Query {
    room: Arc<Room>,
    threads: Arc<Threads>,
}

#[derive(Debug)]
struct Room {
    config: Config,
    lake: Lake,
    sessions: Sessions,
    budget: Arc<Budget>,
    gate: Gate,
    /// Of what may run for long.
    bulk: Gate,
    /// Of those who follow events.
    follows: Gate,
    metrics: Arc<Metrics>,
    log: Arc<Log>,
    /// Who does what is called.
    procedures: OnceLock<Weak<dyn Procedures>>,
    /// Is cancelled when whoever follows has to go.
    ends: CancellationToken,
}

/// How busy the room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Statements that wait for a place.
    pub waiting: usize,
    /// Bytes that all statements hold of their pool.
    pub memory_bytes: usize,
    /// Bytes of this pool.
    pub memory_bytes_max: usize,
    /// About how many bytes each cache holds.
    pub cached_bytes: [(&'static str, u64); 6],
}

/// A place among the statements that run; given back on drop.
struct Place {
    /// None of a call: what it does holds places of its own.
    permit: Option<OwnedSemaphorePermit>,
    _running: Running,
    deadline: Instant,
    timeout_s: u64,
}

impl Place {
    const fn timed_out(&self) -> Error {
        Error::TimedOut(self.timeout_s)
    }
}

/// How long something runs, which decides whose places it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// A query.
    Query,
    /// An export or a comparison.
    Bulk,
}

/// A statement that has begun to run.
struct Begun {
    rows: SendableRecordBatchStream,
    columns: SchemaRef,
    as_of: AsOf,
    settings: Vec<Setting>,
    /// Of a call: how long it may take. It asks no more of the engine.
    call_timeout_s: Option<u64>,
}

/// A statement that has a place and a plan.
struct Planned {
    place: Place,
    entered: Instant,
    begun: Begun,
}

/// Which constants of a text are folded: a statement that is described may have parameters without values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folds {
    All,
    WhatIsBound,
}

/// A text whose settings are taken.
struct Prepared {
    state: SessionState,
    session: Session,
    pin: Pin,
    reads: sqlparser::ast::Statement,
    references: Vec<Reference>,
    settings: Vec<Setting>,
    params: usize,
    is_bound: bool,
}

impl Query {
    /// How busy the room is now.
    #[must_use]
    pub fn load(&self) -> Load {
        let Room { lake, gate, bulk, budget, .. } = self.room.as_ref();
        Load {
            waiting: gate.waiting() + bulk.waiting(),
            memory_bytes: budget.used(),
            memory_bytes_max: budget.limit(),
            cached_bytes: lake.reader.caches.held(),
        }
    }

    /// Opens the room.
    ///
    /// # Errors
    /// [`Error::Internal`] when the runtime of the engine cannot be made.
    pub fn open(config: Config, deps: Deps) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let metrics = Arc::new(Metrics::register(&deps.metrics)?);
        let sessions = Sessions::new(&deps.catalog, cores, &config)?;
        let caches = Caches::within(config.cache_bytes);
        let log = Log::new(Arc::clone(&deps.clock));
        let tellers = Arc::new(Tellers::new(Arc::clone(&deps.clock), Arc::clone(&log)));
        let reader = Reader { catalog: deps.catalog.clone(), caches, metrics: Arc::clone(&metrics) };
        let lake = Lake { catalog: deps.catalog, live: deps.live, reader: Arc::new(reader), tellers };
        let budget = Budget::of(config.pool_memory_bytes);
        let gate = Gate::new(config.concurrency, config.queue, || Error::TooMany);
        let bulk = Gate::new(config.bulk_concurrency, config.bulk_queue, || Error::TooManyBulk);
        let (procedures, ends) = (OnceLock::new(), CancellationToken::new());
        let follows = Gate::new(config.followers_max, 0, || Error::TooManyFollowers);
        let threads = Threads::start(config.threads(cores))?;
        let room = Room { config, lake, sessions, budget, gate, bulk, follows, metrics, log, procedures, ends };
        Ok(Self { room: Arc::new(room), threads: Arc::new(threads) })
    }

    /// Says who knows what the schema `system` shows and the catalog does not hold; the first ones stay.
    pub fn show(&self, shown: Shown) {
        let _first_stays = self.room.lake.tellers.shown.set(shown);
    }

    /// The instants of a statement that begins now.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.room.lake.pin()
    }

    /// Plans a statement without running it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn describe(&self, statement: &Statement) -> Result<Description, Error> {
        self.arrived(statement).await?;
        let (room, statement) = (Arc::clone(&self.room), statement.clone());
        let place = self.enter(Length::Query).await?;
        let described = self.within(place, async move { room.describe(&statement).await }.boxed());
        described.await.map(|(described, _place)| described)
    }

    /// Plans in a place, in time. One that is late ends by itself, as soon as it looks up: until then the place is its own.
    async fn within<T: Send + 'static>(
        &self,
        place: Place,
        planning: BoxFuture<'static, Result<T, Error>>,
    ) -> Result<(T, Place), Error> {
        let (deadline, late) = (place.deadline, place.timed_out());
        let planning = self.threads.run(async move { planning.await.map(|planned| (planned, place)) });
        timeout_at(deadline, planning).await.map_err(|_elapsed| late)?
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// [`Error`]; failures later than planning come as errors of the stream, which [`Error::from`] reads.
    pub async fn run(&self, statement: &Statement) -> Result<Answer, Error> {
        self.arrived(statement).await?;
        let (room, statement) = (Arc::clone(&self.room), statement.clone());
        let noted = self.noted(&statement.principal, statement.session.namespace.as_ref(), &statement.sql);
        self.started(Length::Query, noted, async move { room.begin(&statement).await }.boxed()).await
    }

    /// Notes what somebody asks.
    fn noted(&self, by: &Principal, namespace: Option<&Namespace>, text: &str) -> Noted {
        self.room.log.begin(by, namespace, text)
    }

    /// Begins what plans, and counts how it went. Planning is on the heap: it would be many times on the stacks of the
    /// doors else, and rest with each of their connections.
    async fn started(
        &self,
        length: Length,
        noted: Noted,
        planning: BoxFuture<'static, Result<Begun, Error>>,
    ) -> Result<Answer, Error> {
        match self.planned(length, &noted, planning).await {
            Ok(planned) => self.flowing(planned, noted),
            Err(error) => {
                self.room.metrics.ended(error.code());
                noted.ended(error.code());
                Err(error)
            }
        }
    }

    async fn planned(
        &self,
        length: Length,
        noted: &Noted,
        planning: BoxFuture<'static, Result<Begun, Error>>,
    ) -> Result<Planned, Error> {
        let arrived = Instant::now();
        let place = self.enter(length).instrument(tracing::info_span!("wait")).await?;
        let entered = Instant::now();
        noted.entered(entered - arrived);
        let (begun, place) = self.within(place, planning).instrument(tracing::info_span!("plan")).await?;
        self.room.metrics.phase("plan", entered.elapsed());
        noted.planned(entered.elapsed());
        Ok(Planned { place, entered, begun })
    }

    /// The answer of what is planned.
    fn flowing(&self, planned: Planned, noted: Noted) -> Result<Answer, Error> {
        let Planned { mut place, entered, begun } = planned;
        let Begun { rows, columns, as_of, settings, call_timeout_s } = begun;
        if call_timeout_s.is_some() {
            place.permit = None;
        }
        let timeout_s = call_timeout_s.unwrap_or(place.timeout_s);
        let running = answer::Running {
            columns: Arc::clone(&columns),
            rows,
            deadline: place.deadline.max(entered + Duration::from_secs(timeout_s)),
            timeout_s,
            metrics: Arc::clone(&self.room.metrics),
            noted: Arc::new(noted),
            held: (place, self.clone()),
        };
        Ok(Answer { schema: columns, as_of, settings, stream: answer::stream(running, self.threads.handle()?) })
    }

    /// A place among the statements that run.
    async fn enter(&self, length: Length) -> Result<Place, Error> {
        let Config { timeout_s, bulk_timeout_s, .. } = self.room.config;
        let (gate, timeout_s) = match length {
            Length::Query => (&self.room.gate, timeout_s),
            Length::Bulk => (&self.room.bulk, bulk_timeout_s),
        };
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(timeout_s);
        let permit = timeout_at(deadline, gate.enter()).await.map_err(|_elapsed| Error::TimedOut(timeout_s))??;
        self.room.metrics.phase("wait", begun.elapsed());
        Ok(Place { permit: Some(permit), _running: self.room.metrics.running(), deadline, timeout_s })
    }
}

impl Room {
    fn parse(&self, statement: &Statement) -> Result<Parsed, Error> {
        sql::parse(&statement.sql, &self.caps())
    }

    const fn caps(&self) -> Caps {
        let Config { text_bytes_max, tokens_max, depth_max, .. } = self.config;
        Caps { bytes: text_bytes_max, tokens: tokens_max, depth: depth_max }
    }

    fn state(&self, statement: &Statement, pin: Pin) -> SessionState {
        let memory = self.budget.pool(self.config.query_memory_bytes);
        let (principal, namespace) = (statement.principal.clone(), statement.session.namespace.clone());
        self.sessions.state(&Of { principal, namespace, now: pin.now, memory })
    }

    /// Settings folded, and the session that they leave; what is left to read.
    fn prepare(&self, statement: &Statement, folds: Folds) -> Result<Prepared, Error> {
        self.parsed(self.parse(statement)?, statement, folds)
    }

    fn parsed(&self, parsed: Parsed, statement: &Statement, folds: Folds) -> Result<Prepared, Error> {
        statement.principal.check_scope(Scope::Query)?;
        let Parsed { settings, does, references, params } = parsed;
        let pin = statement.pin.unwrap_or_else(|| self.lake.pin());
        let is_bound = statement.params.len() == params;
        if folds == Folds::All && !is_bound {
            let got = statement.params.len();
            return Err(Error::Invalid(format!("the statement takes {params} parameters, {got} came with it")));
        }
        let state = self.state(statement, pin);
        let mut session = statement.session.clone();
        let principal = &statement.principal;
        let asked = Asked { principal, session: &statement.session, params: &statement.params, pin };
        let settings = if is_bound { setting::fold(&settings, asked, &state)? } else { Vec::new() };
        settings.iter().for_each(|setting| session.set(*setting));
        let (reads, settings) = match does {
            Does::Reads(statement) => (*statement, Vec::new()),
            Does::Shows(names) => (setting::show(&names, &session)?, Vec::new()),
            Does::Calls(_) => return Err(Error::Internal("a call is not planned".to_owned())),
            Does::Sets => (setting::show(&Name::ALL, &session)?, settings),
        };
        Ok(Prepared { state, session, pin, reads, references, settings, params, is_bound })
    }

    async fn describe(&self, statement: &Statement) -> Result<Description, Error> {
        let parsed = self.parse(statement)?;
        let sets = matches!(parsed.does, Does::Sets);
        if let Does::Calls(called) = &parsed.does {
            statement.principal.check_scope(Scope::Admin)?;
            let fields = (1..=parsed.params).map(|number| Field::new(format!("${number}"), DataType::Utf8, true));
            let params = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let pin = statement.pin.unwrap_or_else(|| self.lake.pin());
            return Ok(Description {
                schema: procedure::columns(called.procedure),
                params,
                pin,
                settings: Vec::new(),
                sets: false,
            });
        }
        let Prepared { state, session, pin, reads, references, settings, params, is_bound } =
            self.parsed(parsed, statement, Folds::WhatIsBound)?;
        let asked = Asked { principal: &statement.principal, session: &session, params: &statement.params, pin };
        let relations = self.lake.describe(&references, asked, is_bound.then_some(&state)).await?;
        let (plan, _) = logical(state, reads, relations).await?;
        let params = parameter::fields(&plan, params)?;
        let plan = if is_bound { with_params(plan, statement)? } else { plan };
        Ok(Description { schema: shape::of(plan.schema()), params, pin, settings, sets })
    }

    async fn begin(&self, statement: &Statement) -> Result<Begun, Error> {
        let parsed = self.parse(statement)?;
        match &parsed.does {
            // Now, whatever was pinned when it was described: a call is about the present.
            Does::Calls(_) if !parsed.settings.is_empty() || statement.session.is_of_the_past() => Err(Error::Invalid(
                "a call is about the present, and takes its instants as arguments: as_of => …".to_owned(),
            )),
            Does::Calls(called) => self.begin_call(called, statement, self.lake.pin()),
            _ => self.begin_prepared(self.parsed(parsed, statement, Folds::All)?, statement).await,
        }
    }

    async fn begin_prepared(&self, prepared: Prepared, statement: &Statement) -> Result<Begun, Error> {
        let Prepared { state, session, pin, reads, references, settings, .. } = prepared;
        let asked = Asked { principal: &statement.principal, session: &session, params: &statement.params, pin };
        let (relations, as_of) = self.lake.bind(&references, asked, &state).await?;
        let (plan, state) = logical(state, reads, relations).await?;
        let plan = with_params(plan, statement)?;
        let columns = shape::of(plan.schema());
        let plan = state.create_physical_plan(&computed::as_columns(plan)?).await?;
        let plan = windows::counted(extent::yielding(plan)?)?;
        let rows = execute_stream(plan, task(&state))?;
        Ok(Begun { rows, columns, as_of, settings, call_timeout_s: None })
    }
}

/// The logical plan of a statement over its tables.
async fn logical(
    state: SessionState,
    statement: sqlparser::ast::Statement,
    relations: Relations,
) -> Result<(LogicalPlan, SessionState), Error> {
    let state = with_relations(state, relations)?;
    let plan = state.statement_to_plan(EngineStatement::Statement(Box::new(statement))).await?;
    extent::check(&plan)?;
    // The guard has refused all of these before; this is the second lock on the door.
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok((shape::described(plan), state))
}

fn with_params(plan: LogicalPlan, statement: &Statement) -> Result<LogicalPlan, Error> {
    if statement.params.is_empty() {
        return Ok(plan);
    }
    Ok(plan.with_param_values(ParamValues::from(statement.params.clone()))?)
}

mod call;
mod config;
mod difference;
mod export;
mod fixed;
mod follow;
mod live;
mod tables;
#[cfg(feature = "postgres")]
mod text;

#[cfg(test)]
mod tests;
