//! The extended protocol: statements are prepared, values bound, portals described and read in parts.
//!
//! A portal begins to run when it is described or executed, whatever comes first, and keeps its instants from then on. A
//! CALL is described without running it.

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use super::{
    command::{self, Command, Said},
    fault::Fault,
    kind,
    link::Ended,
    message::{Bind, Format, Message, Target},
    param::Param,
    reply,
    rows::Rows,
    run,
    session::{Began, KEPT_BYTES_MAX, KEPT_MAX, Session},
};
use crate::Description;

/// A prepared statement.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// None for an empty text.
    said: Option<Said>,
    /// OIDs of parameters as far as the client told them.
    told: Vec<u32>,
    /// How many parameters the text has.
    count: usize,
    /// What is known of parameters and columns, once it was asked.
    described: Option<Described>,
    /// Whether the client was told of it.
    is_told: bool,
    /// Bytes of its name and its text.
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Described {
    params: Vec<Param>,
    /// None for what answers no rows.
    columns: Option<SchemaRef>,
}

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Portal {
    said: Option<Said>,
    params: Vec<ScalarValue>,
    /// Bytes of its name, and of its values as they came.
    bytes: usize,
    /// The prepared statement, and the columns that the client was told of it and reads what comes by.
    told: Option<(String, SchemaRef)>,
    /// Formats of its columns.
    pub(crate) formats: Vec<Format>,
    /// How far it is.
    pub(crate) state: State,
    /// Whether it outlives its transaction.
    pub(crate) is_held: bool,
}

/// How far a portal is.
#[derive(Debug)]
pub(crate) enum State {
    /// It did not run.
    New,
    /// It has rows.
    Running(Rows),
    /// It set something, and is yet to be executed.
    Set,
    /// It is read to its end.
    Done,
}

impl Prepared {
    /// What of it asks for rows: itself, or the question of the cursor that it declares.
    fn question(&self) -> Option<&str> {
        let said = self.said.as_ref()?;
        match &said.command {
            Command::Ask => Some(&said.sql),
            Command::Declare { sql, .. } => Some(sql),
            _ => None,
        }
    }
}

impl Portal {
    /// A cursor over rows.
    pub(crate) fn of_rows(rows: Rows, is_held: bool) -> Self {
        let (said, params, formats, told) = (None, Vec::new(), Vec::new(), None);
        Self { said, params, bytes: 0, told, formats, state: State::Running(rows), is_held }
    }

    /// Its columns while it runs.
    pub(crate) fn columns(&self) -> Option<SchemaRef> {
        match &self.state {
            State::Running(rows) => Some(SchemaRef::clone(&rows.columns)),
            _ => None,
        }
    }

    /// Bytes of rows that it has read and not sent.
    pub(crate) fn pending_bytes(&self) -> usize {
        match &self.state {
            State::Running(rows) => rows.pending_bytes(),
            _ => 0,
        }
    }

    fn is_call(&self) -> bool {
        let text = self.said.as_ref().map_or("", |said| said.sql.as_str());
        text.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case("call"))
    }
}

impl Session {
    /// Serves a message of the extended protocol.
    ///
    /// # Errors
    /// What is wrong; messages up to the next Sync are then passed over.
    pub(crate) async fn extended(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Parse { name, sql, types } => self.parse(name, &sql, types).await,
            Message::Bind(bind) => self.bind(bind).await,
            Message::Describe(Target::Statement, name) => self.describe_statement(&name).await,
            Message::Describe(Target::Portal, name) => self.describe_portal(&name).await,
            Message::Execute { portal, rows } => self.execute(&portal, rows).await,
            Message::Close(target, name) => {
                match target {
                    Target::Statement => drop(self.prepared.remove(&name)),
                    Target::Portal => drop(self.portals.remove(&name)),
                }
                reply::bare(&mut self.link.out, reply::CLOSED);
                Ok(())
            }
            other => Err(Fault::protocol(format!("{other:?} does not belong here")).into()),
        }
    }

    async fn parse(&mut self, name: String, sql: &str, told: Vec<u32>) -> Result<(), Ended> {
        let fault = |e| Fault::of(&e, sql);
        let tokens = self.query.tokens(sql).map_err(fault)?;
        let mut statements = command::read(sql, &tokens.list);
        if statements.len() > 1 {
            return Err(Fault::error("42601", "cannot insert multiple commands into a prepared statement").into());
        }
        let said = statements.pop();
        match &said {
            Some(Said { command: Command::Refused(fault), .. }) => return Err(fault.clone().into()),
            Some(said) => self.check_block(&said.command)?,
            None => {}
        }
        let bytes = name.len() + sql.len();
        let mut prepared = Prepared { said, told, count: 0, described: None, is_told: false, bytes };
        if let Some(asked) = prepared.question().map(str::to_owned) {
            let (query, text) = (self.query.clone(), asked.clone());
            let checked = self.attend(async move { query.check(&text).await }).await?;
            let is_whole = prepared.said.as_ref().is_some_and(|said| said.command == Command::Ask);
            let fault = |e| Fault::of(&e, &asked);
            // The question of a cursor stands behind its first words, so errors know no place.
            let placed = |fault: Fault| if is_whole { fault } else { Fault { position: None, ..fault } };
            prepared.count = checked.map_err(|e| placed(fault(e)))?;
        }
        if !name.is_empty() && self.prepared.contains_key(&name) {
            return Err(Fault::error("42P05", format!("prepared statement \"{name}\" already exists")).into());
        }
        if self.prepared.len() >= KEPT_MAX {
            let why = format!("more than {KEPT_MAX} statements are prepared: close some");
            return Err(Fault::error("54000", why).into());
        }
        self.check_room(bytes)?;
        self.prepared.insert(name, prepared);
        reply::bare(&mut self.link.out, reply::PARSED);
        Ok(())
    }

    /// Whether so many bytes more may be kept. An unnamed one that is replaced is counted until it is gone.
    fn check_room(&self, bytes: usize) -> Result<(), Fault> {
        let prepared = self.prepared.values().map(|prepared| prepared.bytes);
        let kept: usize = prepared.chain(self.portals.values().map(|portal| portal.bytes)).sum();
        if kept + bytes <= KEPT_BYTES_MAX {
            return Ok(());
        }
        let limit = KEPT_BYTES_MAX >> 20;
        let why = format!("statements and bound values of this connection take more than {limit} MiB: close some");
        Err(Fault::error("54000", why))
    }

    /// What is known of a statement, asked once.
    async fn described(&mut self, name: &str) -> Result<(Prepared, Described), Ended> {
        let unknown = || Fault::error("26000", format!("prepared statement \"{name}\" does not exist"));
        let prepared = self.prepared.get(name).ok_or_else(unknown)?.clone();
        if let Some(described) = &prepared.described {
            let described = described.clone();
            return Ok((prepared, described));
        }
        let answered = |session: &Self| prepared.said.as_ref().and_then(|said| session.columns_of(&said.command));
        let described = match (prepared.question(), &prepared.said) {
            (Some(sql), Some(Said { command: Command::Ask, .. })) => self.look_at(sql, &prepared).await?,
            // A cursor is declared with values, and answers no rows.
            (Some(sql), _) => Described { columns: None, ..self.look_at(sql, &prepared).await? },
            (None, _) => Described { params: Vec::new(), columns: answered(self) },
        };
        if let Some(kept) = self.prepared.get_mut(name) {
            kept.described = Some(described.clone());
        }
        Ok((prepared, described))
    }

    /// Asks the room about a statement: first for the types of its parameters, then, with these, for its columns.
    async fn look_at(&mut self, sql: &str, prepared: &Prepared) -> Result<Described, Ended> {
        let first = self.description(sql, Vec::new()).await?.map_err(|e| Fault::of(&e, sql))?;
        let told = |nth: usize| prepared.told.get(nth).copied().unwrap_or(0);
        let param = |(nth, field): (usize, &arrow::datatypes::FieldRef)| Param {
            told: told(nth),
            wanted: field.data_type().clone(),
        };
        let params: Vec<Param> = first.params.fields().iter().enumerate().map(param).collect();
        let nulls: Option<Vec<_>> = params.iter().map(|param| ScalarValue::try_from(&param.data_type()).ok()).collect();
        let mut description = first;
        if let (1.., Some(nulls)) = (params.len(), nulls) {
            // An instant that is NULL is refused; then the columns are those without values.
            if let Ok(second) = self.description(sql, nulls).await? {
                description = second;
            }
        }
        let columns = description.settings.is_empty().then_some(description.schema);
        Ok(Described { params, columns })
    }

    async fn description(
        &mut self,
        sql: &str,
        params: Vec<ScalarValue>,
    ) -> Result<Result<Description, crate::Error>, Ended> {
        let (query, statement) = (self.query.clone(), self.statement(sql, params));
        self.attend(async move { query.describe(&statement).await }).await
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Ended> {
        let Bind { portal, statement, formats, params, results } = bind;
        let unknown = || Fault::error("26000", format!("prepared statement \"{statement}\" does not exist"));
        let prepared = self.prepared.get(&statement).ok_or_else(unknown)?;
        if let Some(said) = &prepared.said {
            self.check_block(&said.command)?;
        }
        let (wanted, got) = (prepared.count.max(prepared.told.len()), params.len());
        if wanted != got {
            let why = format!(
                "bind message supplies {got} parameters, but prepared statement \"{statement}\" requires {wanted}"
            );
            return Err(Fault::error("08P01", why).into());
        }
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(Fault::error("42P03", format!("cursor \"{portal}\" already exists")).into());
        }
        self.check_portals()?;
        let bytes = portal.len() + params.iter().flatten().map(|value| value.len()).sum::<usize>();
        self.check_room(bytes)?;
        let told = prepared.described.as_ref().filter(|_| prepared.is_told).and_then(|told| told.columns.clone());
        let told = told.map(|columns| (statement.clone(), columns));
        let (said, values) = if prepared.count == 0 {
            (prepared.said.clone(), Vec::new())
        } else {
            let (prepared, described) = self.described(&statement).await?;
            let value = |(nth, param): (usize, &Param)| {
                let value = params.get(nth).and_then(Option::as_ref);
                param.read(nth + 1, Format::of(&formats, nth), value)
            };
            let values: Result<Vec<_>, _> = described.params.iter().enumerate().map(value).collect();
            (prepared.said, values?)
        };
        let made = Portal { said, params: values, bytes, told, formats: results, state: State::New, is_held: false };
        self.portals.insert(portal, made);
        reply::bare(&mut self.link.out, reply::BOUND);
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Ended> {
        let (prepared, described) = self.described(name).await?;
        if let Some(kept) = self.prepared.get_mut(name) {
            kept.is_told = true;
        }
        let mut types: Vec<u32> = described.params.iter().map(Param::oid).collect();
        types.extend(prepared.told.iter().skip(types.len()));
        reply::parameters(&mut self.link.out, &types);
        self.tell_columns(described.columns.as_ref(), &[]);
        Ok(())
    }

    fn tell_columns(&mut self, columns: Option<&SchemaRef>, formats: &[Format]) {
        match columns {
            Some(columns) => reply::columns(&mut self.link.out, columns, formats),
            None => reply::bare(&mut self.link.out, reply::NO_DATA),
        }
    }

    fn take_portal(&mut self, name: &str) -> Result<Portal, Fault> {
        self.portals.remove(name).ok_or_else(|| Fault::error("34000", format!("portal \"{name}\" does not exist")))
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Ended> {
        let mut portal = self.take_portal(name)?;
        let columns = match &portal.said {
            Some(said) if said.command == Command::Ask => {
                if portal.is_call() {
                    let described = self.description(&said.sql, portal.params.clone()).await?;
                    Some(described.map_err(|e| Fault::of(&e, &said.sql))?.schema)
                } else {
                    self.start(&mut portal).await?;
                    portal.columns()
                }
            }
            Some(said) => self.columns_of(&said.command),
            None => portal.columns(),
        };
        self.tell_columns(columns.as_ref(), &portal.formats);
        portal.told = None;
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Begins to run a question, unless it did.
    async fn start(&mut self, portal: &mut Portal) -> Result<(), Ended> {
        if let (State::New, Some(said)) = (&portal.state, &portal.said) {
            let began = self.ask(&said.sql, std::mem::take(&mut portal.params)).await?;
            portal.state = match began {
                Began::Rows(rows) => State::Running(rows),
                Began::Set => State::Set,
            };
        }
        Ok(())
    }

    /// Whether a portal answers the columns that the client was told of its statement. Schemas and settings may have changed
    /// since, and drivers that hear of it prepare anew.
    fn check_told(&mut self, portal: &Portal) -> Result<(), Fault> {
        let (State::Running(rows), Some((statement, told))) = (&portal.state, &portal.told) else { return Ok(()) };
        let kinds = |columns: &SchemaRef| {
            columns.fields().iter().map(|field| kind::of(field.data_type()).oid).collect::<Vec<_>>()
        };
        if kinds(&rows.columns) == kinds(told) {
            return Ok(());
        }
        if let Some(prepared) = self.prepared.get_mut(statement) {
            (prepared.described, prepared.is_told) = (None, false);
        }
        Err(Fault::error("0A000", "cached plan must not change result type").hinting("describe the statement anew"))
    }

    async fn execute(&mut self, name: &str, most: u32) -> Result<(), Ended> {
        let mut portal = self.take_portal(name)?;
        let Some(said) = portal.said.clone() else {
            reply::bare(&mut self.link.out, reply::EMPTY);
            self.portals.insert(name.to_owned(), portal);
            return Ok(());
        };
        self.check_block(&said.command)?;
        if said.command != Command::Ask {
            self.perform_as(&said.command, &portal.formats, std::mem::take(&mut portal.params)).await?;
            portal.state = State::Done;
            // The end of a transaction took every portal with it.
            if self.block.pin().is_some() {
                self.portals.insert(name.to_owned(), portal);
            }
            return Ok(());
        }
        self.start(&mut portal).await?;
        self.check_told(&portal)?;
        match &mut portal.state {
            State::Running(rows) => {
                let most = Some(most).filter(|most| *most > 0);
                let sent = self.send(rows, &portal.formats, most).await?;
                if most.is_some_and(|most| sent == u64::from(most)) {
                    reply::bare(&mut self.link.out, reply::SUSPENDED);
                } else {
                    reply::complete(&mut self.link.out, &run::tag(&said.sql, sent));
                    portal.state = State::Done;
                }
            }
            State::Set => {
                reply::complete(&mut self.link.out, "SET");
                portal.state = State::Done;
            }
            State::New | State::Done => reply::complete(&mut self.link.out, &run::tag(&said.sql, 0)),
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Does what is not a question; rows of a cursor go out in the formats of this statement, whatever an earlier one had.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn perform_as(
        &mut self,
        command: &Command,
        formats: &[Format],
        values: Vec<ScalarValue>,
    ) -> Result<(), Ended> {
        if let Command::Fetch(cursor, _) = command
            && let Some(cursor) = self.portals.get_mut(cursor)
        {
            cursor.formats = formats.to_vec();
        }
        self.perform(command, values).await
    }
}
