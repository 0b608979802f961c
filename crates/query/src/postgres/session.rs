//! One connection that is in: messages come, are served one after another, and what went wrong is told.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use datafusion::common::ScalarValue;
use tidemark_catalog::{Allowance, Login, NoLogin, allowance::Counted, login::RECHECK};
use tidemark_model::Principal;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    block::Block,
    cancel::{Place, Statement as Running},
    command,
    extended::{Portal, Prepared},
    fault::{Fault, Severity},
    link::{Ended, Link},
    message::{Format, Message},
    reply,
    rows::{self, Rows},
    setting::{self, Settings},
    startup,
};
use crate::{
    Error, Query, Statement,
    door::{read_instant, read_schema, read_switch},
};

/// Most prepared statements, and most portals, of one connection.
pub(crate) const KEPT_MAX: usize = 1_000;
/// Most bytes of their names, texts and bound values together.
pub(crate) const KEPT_BYTES_MAX: usize = 16 << 20;

/// Most bytes of rows that its portals have begun to read.
pub(crate) const PENDING_BYTES_MAX: usize = 64 << 20;

/// How whoever is in came in.
#[derive(Debug)]
pub(crate) struct Who {
    /// Who knows.
    pub(crate) login: Arc<dyn Login>,
    /// Who counts what they ask.
    pub(crate) allowance: Option<Arc<dyn Allowance>>,
    /// The token.
    pub(crate) password: Option<String>,
    /// The address.
    pub(crate) from: IpAddr,
    /// When it was asked last.
    pub(crate) asked: Instant,
}

impl Who {
    /// Asks whether they may still be here.
    ///
    /// # Errors
    /// [`NoLogin`].
    pub(crate) async fn ask(&self) -> Result<Principal, NoLogin> {
        self.login.login(self.password.as_deref(), self.from).await
    }
}

/// A connection that is in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) query: Query,
    pub(crate) link: Link,
    pub(crate) place: Arc<Place>,
    /// Who asks, as of the last time this was checked.
    pub(crate) principal: Principal,
    /// Their namespace and instants.
    pub(crate) asks: crate::Session,
    pub(crate) settings: Settings,
    /// Both as the client wanted them when it connected, which is what a reset goes back to.
    pub(crate) began: (crate::Session, Settings),
    pub(crate) block: Block,
    pub(crate) prepared: HashMap<String, Prepared>,
    pub(crate) portals: HashMap<String, Portal>,
    /// Whether messages are passed over until the next Sync.
    skips: bool,
    who: Who,
    running: Option<(Running, Option<Instant>)>,
}

/// What a question began.
#[derive(Debug)]
pub(crate) enum Began {
    /// Rows.
    Rows(Rows),
    /// It only set something, which is done.
    Set,
}

impl Session {
    /// A session over a connection whose client is in.
    pub(crate) fn new(query: Query, link: Link, place: Place, (who, principal): (Who, Principal)) -> Self {
        Self {
            query,
            link,
            place: Arc::new(place),
            principal,
            asks: crate::Session::default(),
            settings: Settings::default(),
            began: (crate::Session::default(), Settings::default()),
            block: Block::default(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            skips: false,
            who,
            running: None,
        }
    }

    /// Serves the client until it leaves, or the door closes and nothing runs.
    pub(crate) async fn serve(mut self, stop: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    Err(Fault::fatal("57P01", "the server is stopping: connect again in a while").into())
                }
                next = self.link.message() => next,
            };
            let served = match next {
                Ok(Message::Terminate) => return,
                // On the heap, so that a connection that rests holds little.
                Ok(message) => Box::pin(self.take(message)).await,
                Err(ended) => Err(ended),
            };
            if let Err(ended) = served {
                if let Ended::Fault(fault) = ended {
                    reply::fault(&mut self.link.out, &fault);
                    let _gone = self.link.flush().await;
                }
                return self.link.close().await;
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), Ended> {
        let is_query = matches!(message, Message::Query(_) | Message::Unreadable { is_query: true, .. });
        let is_sync = message == Message::Sync;
        if self.skips && !is_sync {
            return Ok(());
        }
        let limit = self.settings.statement_timeout().map(|limit| Instant::now() + limit);
        self.check_login().await?;
        self.running = Some((Place::begin(&self.place), limit));
        let served = match message {
            Message::Query(text) => self.simple(&text).await,
            Message::Flush => self.link.flush().await,
            Message::Sync => Ok(()),
            Message::Password(_) => Err(Fault::protocol("a password was not asked for").into()),
            Message::CopyIn | Message::Terminate => Ok(()),
            Message::Unreadable { fault, .. } => Err(fault.into()),
            other => self.extended(other).await,
        };
        self.running = None;
        match served {
            Err(Ended::Fault(fault)) if fault.severity == Severity::Error => {
                reply::fault(&mut self.link.out, &fault);
                self.block.fail();
                self.skips = !is_query;
                if !is_query {
                    return self.link.flush().await;
                }
            }
            other => other?,
        }
        if is_sync || is_query {
            self.skips = false;
            self.end_run();
            reply::ready(&mut self.link.out, self.block.status());
            self.link.flush().await?;
        } else if self.link.is_full() {
            self.link.flush().await?;
        }
        Ok(())
    }

    /// From now on the time of a statement counts: each of a text has its own.
    pub(crate) fn begin_time(&mut self) {
        let limit = self.settings.statement_timeout().map(|limit| Instant::now() + limit);
        if let Some((_place, ends_at)) = &mut self.running {
            *ends_at = limit;
        }
    }

    /// A token that was revoked, or has expired, opens nothing on connections that stay either.
    async fn check_login(&mut self) -> Result<(), Ended> {
        if self.who.asked.elapsed() < RECHECK {
            return Ok(());
        }
        self.principal = self.who.ask().await.map_err(|why| startup::no_login(why, "of this connection"))?;
        self.who.asked = Instant::now();
        Ok(())
    }

    /// A statement of whoever asks.
    pub(crate) fn statement(&self, sql: &str, params: Vec<ScalarValue>) -> Statement {
        let (principal, session) = (self.principal.clone(), self.asks.clone());
        Statement { sql: sql.to_owned(), params, principal, session, pin: self.block.pin() }
    }

    /// Outside of a transaction portals end with their run of messages; cursors that are held stay.
    fn end_run(&mut self) {
        if matches!(self.block, Block::Idle) {
            self.portals.retain(|_, portal| portal.is_held);
        }
    }

    /// A text of statements, one after another up to the first that fails.
    async fn simple(&mut self, text: &str) -> Result<(), Ended> {
        let tokens = self.query.tokens(text).map_err(|e| Fault::of(&e, text))?;
        let statements = command::read(text, &tokens.list);
        if statements.is_empty() {
            reply::bare(&mut self.link.out, reply::EMPTY);
        }
        for said in statements {
            self.portals.remove("");
            self.command(&said).await.map_err(|ended| moved(ended, said.before))?;
        }
        Ok(())
    }

    /// Begins a question.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn ask(&mut self, sql: &str, params: Vec<ScalarValue>) -> Result<Began, Ended> {
        if let Some(allowance) = &self.who.allowance {
            let taken = allowance.take(&self.principal, Counted::Requests, 1);
            taken.map_err(|spent| Fault::error(spent.kind().sqlstate(), spent.to_string()))?;
        }
        let (query, statement) = (self.query.clone(), self.statement(sql, params));
        let answer = self.attend(async move { query.run(&statement).await }).await?;
        let answer = answer.map_err(|e| Fault::of(&e, sql))?;
        if answer.settings.is_empty() {
            return Ok(Began::Rows(Rows::of(answer)));
        }
        answer.settings.iter().for_each(|setting| self.asks.set(*setting));
        Ok(Began::Set)
    }

    /// Sends rows, all or so many; tells how many.
    ///
    /// # Errors
    /// What the question fails with on its way.
    pub(crate) async fn send(&mut self, rows: &mut Rows, formats: &[Format], most: Option<u32>) -> Result<u64, Ended> {
        let mut left = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut sent = 0;
        while left > 0 {
            let batch = self.attend(rows.next(left)).await?.map_err(|e| Fault::of(&e, ""))?;
            let Some(batch) = batch else { break };
            rows::write(&batch, formats, &mut self.link.out)
                .map_err(|e| Fault::unsupported(format!("the answer cannot be written: {e}")))?;
            left -= batch.num_rows();
            sent += batch.num_rows() as u64;
            if self.link.is_full() {
                self.link.flush().await?;
            }
        }
        Ok(sent)
    }

    /// Waits for work of the room, unless the client cancels it, leaves, or its time is up.
    ///
    /// # Errors
    /// [`Ended`] for these three; what the work says is inside.
    pub(crate) async fn attend<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Ended> {
        let (cancelled, limit) = match &self.running {
            Some((running, limit)) => (running.cancelled.clone(), *limit),
            None => (CancellationToken::new(), None),
        };
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Fault::error("57014", "canceling statement due to user request").into()),
            () = late(limit) => Err(Fault::error("57014", "canceling statement due to statement timeout").into()),
            done = work => Ok(done),
            () = self.link.gone() => Err(Ended::Gone),
        }
    }

    /// Sets a setting, of PostgreSQL's or of the lake's, to values that are given as texts; without any, to what it began with.
    ///
    /// # Errors
    /// For one that there is not, and for values that it does not take.
    pub(crate) fn set(&mut self, name: &str, values: &[String]) -> Result<(), Fault> {
        if let Some(own) = name.strip_prefix("tidemark.") {
            return self.set_own(own, values);
        }
        let known = setting::find(name).ok_or_else(|| setting::unknown(name))?;
        let began = || self.began.1.changed(&known).map(str::to_owned);
        let value = if values.is_empty() { began() } else { Some(values.join(", ")) };
        if known.name == "search_path" && values.is_empty() {
            self.asks.namespace = self.began.0.namespace.clone();
        } else if known.name == "search_path" {
            let named = values.iter().flat_map(|value| value.split(',')).map(|name| name.trim().trim_matches('"'));
            self.asks.namespace = named.filter_map(|name| self.query.namespace(&self.principal, name)).next();
        }
        let warning = self.settings.set(&known, value.as_deref())?;
        warning.iter().for_each(|warning| reply::notice(&mut self.link.out, warning));
        let told = self.settings.told().find(|(name, _)| name.eq_ignore_ascii_case(known.name));
        if let Some((name, value)) = told {
            reply::parameter(&mut self.link.out, name, value);
        }
        Ok(())
    }

    fn set_own(&mut self, name: &str, values: &[String]) -> Result<(), Fault> {
        let value = values.first();
        let wrong = |why: String| Fault::error("22023", format!("tidemark.{name}: {why}"));
        match name {
            "as_of" => {
                let read = value.map(|text| read_instant(text)).transpose().map_err(wrong)?;
                self.asks.as_of = read.or(self.began.0.as_of);
            }
            "valid_as_of" => {
                let read = value.map(|text| read_instant(text)).transpose().map_err(wrong)?;
                self.asks.valid_as_of = read.or(self.began.0.valid_as_of);
            }
            "nearest" => {
                let read = value.map(|text| read_switch(text)).transpose().map_err(wrong)?;
                self.asks.nearest = read.unwrap_or(self.began.0.nearest);
            }
            "schema" => {
                let read = value.map(|text| read_schema(text)).transpose().map_err(wrong)?;
                self.asks.schema = read.unwrap_or(self.began.0.schema);
            }
            _ => return Err(setting::unknown(&format!("tidemark.{name}"))),
        }
        Ok(())
    }
}

/// The same error of a statement that stands so far behind the beginning of its text.
fn moved(ended: Ended, before: usize) -> Ended {
    match ended {
        Ended::Fault(fault) => Fault { position: fault.position.map(|at| at + before), ..fault }.into(),
        Ended::Gone => Ended::Gone,
    }
}

/// Returns when the time is up; never when there is none.
async fn late(limit: Option<Instant>) {
    match limit {
        Some(limit) => sleep_until(limit).await,
        None => std::future::pending::<()>().await,
    }
}

/// How long a client that was told why it is refused gets to read it.
pub(crate) const FAREWELL: Duration = Duration::from_millis(200);
