//! Commands of the door itself: transactions, settings, cursors, COPY; and questions said as text.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::common::ScalarValue;

use super::{
    block::{Begun, Block},
    command::{Command, Said},
    copy::{Copy, Style, TRAILER},
    extended::{Portal, State},
    fault::Fault,
    link::Ended,
    reply,
    rows::{self, Rows},
    session::{Began, KEPT_MAX, PENDING_BYTES_MAX, Session},
    setting,
};

impl Session {
    /// Serves a statement that was said as text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn command(&mut self, said: &Said) -> Result<(), Ended> {
        self.check_block(&said.command)?;
        self.begin_time();
        if let Some(columns) = self.columns_of(&said.command) {
            reply::columns(&mut self.link.out, &columns, &[]);
        }
        if said.command != Command::Ask {
            return self.perform_as(&said.command, &[], Vec::new()).await;
        }
        match self.ask(&said.sql, Vec::new()).await? {
            Began::Set => reply::complete(&mut self.link.out, "SET"),
            Began::Rows(mut rows) => {
                reply::columns(&mut self.link.out, &rows.columns, &[]);
                let sent = self.send(&mut rows, &[], None).await?;
                reply::complete(&mut self.link.out, &tag(&said.sql, sent));
            }
        }
        Ok(())
    }

    /// In a transaction that failed nothing is served but its end.
    ///
    /// # Errors
    /// Then.
    pub(crate) fn check_block(&self, command: &Command) -> Result<(), Fault> {
        if matches!(self.block, Block::Failed(_)) && !command.ends_failure() {
            let why = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Fault::error("25P02", why).hinting("say ROLLBACK"));
        }
        Ok(())
    }

    /// The columns that a command of the door answers; none for one without rows.
    pub(crate) fn columns_of(&self, command: &Command) -> Option<SchemaRef> {
        match command {
            Command::Show(name) => setting::find(name).map(|known| texts(&[known.name])),
            Command::ShowAll => Some(texts(&["name", "setting", "description"])),
            Command::Fetch(name, _) => self.portals.get(name).and_then(Portal::columns),
            _ => None,
        }
    }

    /// Does what is not a question; values are those of the question that a cursor is declared for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn perform(&mut self, command: &Command, values: Vec<ScalarValue>) -> Result<(), Ended> {
        let tag = match command {
            Command::Ask => return Err(Fault::error("XX000", "a question is not performed").into()),
            Command::Refused(fault) => return Err(fault.clone().into()),
            Command::Begin => self.begin(),
            Command::Commit => self.end(true),
            Command::Rollback => self.end(false),
            Command::RollbackTo => self.roll_back_to()?,
            Command::Nothing(tag) => (*tag).to_owned(),
            Command::Set { name, values, is_local } => self.set_command(name, values, *is_local)?,
            Command::ResetAll => self.reset(),
            Command::Show(name) => self.show(name)?,
            Command::ShowAll => self.show_all()?,
            Command::DiscardAll => self.discard()?,
            Command::Deallocate(name) => self.deallocate(name.as_deref())?,
            Command::Declare { name, is_held, sql } => self.declare((name, *is_held), sql, values).await?,
            Command::Fetch(name, most) => format!("FETCH {}", self.fetch(name, *most, true).await?),
            Command::Move(name, most) => format!("MOVE {}", self.fetch(name, *most, false).await?),
            Command::Close(name) => self.close(name.as_deref())?,
            Command::Copy(copy) => format!("COPY {}", self.copy(copy).await?),
        };
        reply::complete(&mut self.link.out, &tag);
        Ok(())
    }

    fn warn(&mut self, code: &'static str, message: &str) {
        reply::notice(&mut self.link.out, &Fault::warning(code, message));
    }

    fn begin(&mut self) -> String {
        if matches!(self.block, Block::Idle) {
            let before = (self.asks.clone(), self.settings.clone());
            self.block = Block::Open(Begun { pin: self.query.pin(), before, locals: BTreeMap::new() });
        } else {
            self.warn("25001", "there is already a transaction in progress");
        }
        "BEGIN".to_owned()
    }

    /// Ends a transaction; what it set is kept when it is to be and nothing failed.
    fn end(&mut self, keeps: bool) -> String {
        self.portals.retain(|_, portal| portal.is_held);
        match std::mem::take(&mut self.block) {
            Block::Idle => {
                self.warn("25P01", "there is no transaction in progress");
                if keeps { "COMMIT" } else { "ROLLBACK" }.to_owned()
            }
            Block::Open(begun) if keeps => {
                for (name, value) in begun.locals {
                    let _it_was_taken_before = self.set(name, &[value]);
                }
                "COMMIT".to_owned()
            }
            Block::Open(begun) | Block::Failed(begun) => {
                (self.asks, self.settings) = begun.before;
                self.tell_settings();
                "ROLLBACK".to_owned()
            }
        }
    }

    /// Tells the client every setting that it is told.
    pub(crate) fn tell_settings(&mut self) {
        for (name, value) in self.settings.told() {
            reply::parameter(&mut self.link.out, name, value);
        }
    }

    fn roll_back_to(&mut self) -> Result<String, Fault> {
        if matches!(self.block, Block::Idle) {
            return Err(Fault::error("25P01", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks"));
        }
        self.block.recover();
        Ok("ROLLBACK".to_owned())
    }

    fn set_command(&mut self, name: &str, values: &[String], is_local: bool) -> Result<String, Fault> {
        let known = setting::find(name);
        if is_local {
            let known = known.as_ref().ok_or_else(|| setting::unknown(name))?;
            let value = self.settings.get(known).to_owned();
            let Block::Open(begun) = &mut self.block else {
                self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
                return Ok("SET".to_owned());
            };
            begun.locals.entry(known.name).or_insert(value);
        }
        self.set(name, values)?;
        if let (false, Block::Open(begun), Some(known)) = (is_local, &mut self.block, known) {
            // It holds beyond the end, whatever was set before for less.
            begun.locals.remove(known.name);
        }
        Ok(if values.is_empty() { "RESET" } else { "SET" }.to_owned())
    }

    fn reset(&mut self) -> String {
        (self.asks, self.settings) = self.began.clone();
        if let Block::Open(begun) = &mut self.block {
            begun.locals.clear();
        }
        self.tell_settings();
        "RESET".to_owned()
    }

    fn show(&mut self, name: &str) -> Result<String, Fault> {
        let known = setting::find(name).ok_or_else(|| setting::unknown(name))?;
        let value = self.settings.get(&known).to_owned();
        self.tell(&texts(&[known.name]), vec![vec![value]])?;
        Ok("SHOW".to_owned())
    }

    fn show_all(&mut self) -> Result<String, Fault> {
        let row =
            |known: setting::Known| vec![known.name.to_owned(), self.settings.get(&known).to_owned(), String::new()];
        let rows = setting::all().map(row).collect();
        self.tell(&texts(&["name", "setting", "description"]), rows)?;
        Ok("SHOW".to_owned())
    }

    /// Writes rows of text.
    fn tell(&mut self, columns: &SchemaRef, rows: Vec<Vec<String>>) -> Result<(), Fault> {
        let column = |nth: usize| {
            let values = rows.iter().map(|row| row.get(nth).map(String::as_str));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        };
        let arrays = (0..columns.fields().len()).map(column).collect();
        let batch = RecordBatch::try_new(Arc::clone(columns), arrays);
        let written = batch.and_then(|batch| rows::write(&batch, &[], &mut self.link.out));
        written.map_err(|e| Fault::error("XX000", e.to_string()))
    }

    fn discard(&mut self) -> Result<String, Fault> {
        if !matches!(self.block, Block::Idle) {
            return Err(Fault::error("25001", "DISCARD ALL cannot run inside a transaction block"));
        }
        self.prepared.clear();
        self.portals.clear();
        self.reset();
        Ok("DISCARD ALL".to_owned())
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<String, Fault> {
        match name {
            None => self.prepared.clear(),
            Some(name) => {
                let unknown = || Fault::error("26000", format!("prepared statement \"{name}\" does not exist"));
                self.prepared.remove(name).ok_or_else(unknown)?;
            }
        }
        Ok(if name.is_some() { "DEALLOCATE" } else { "DEALLOCATE ALL" }.to_owned())
    }

    async fn declare(
        &mut self,
        (name, is_held): (&str, bool),
        sql: &str,
        values: Vec<ScalarValue>,
    ) -> Result<String, Ended> {
        if matches!(self.block, Block::Idle) && !is_held {
            let why = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(Fault::error("25P01", why).hinting("say BEGIN first, or declare it WITH HOLD").into());
        }
        if self.portals.contains_key(name) {
            return Err(Fault::error("42P03", format!("cursor \"{name}\" already exists")).into());
        }
        self.check_portals()?;
        let rows = self.rows_of(sql, values, "a cursor").await?;
        self.portals.insert(name.to_owned(), Portal::of_rows(rows, is_held));
        Ok("DECLARE CURSOR".to_owned())
    }

    /// Whether there may be another portal.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn check_portals(&self) -> Result<(), Fault> {
        if self.portals.len() >= KEPT_MAX {
            return Err(Fault::error(
                "54000",
                format!("more than {KEPT_MAX} cursors and portals are open: close some"),
            ));
        }
        if self.portals.values().map(Portal::pending_bytes).sum::<usize>() > PENDING_BYTES_MAX {
            let limit = PENDING_BYTES_MAX >> 20;
            let why = format!("cursors and portals that are read in part hold more than {limit} MiB: close some");
            return Err(Fault::error("54000", why));
        }
        Ok(())
    }

    /// The rows of a question; the text is the statement's own behind its first words, so errors know no place.
    async fn rows_of(&mut self, sql: &str, values: Vec<ScalarValue>, what: &str) -> Result<Rows, Ended> {
        let began = self.ask(sql, values).await.map_err(|ended| match ended {
            Ended::Fault(fault) => Fault { position: None, ..fault }.into(),
            Ended::Gone => Ended::Gone,
        });
        match began? {
            Began::Rows(rows) => Ok(rows),
            Began::Set => Err(Fault::error("42601", format!("{what} reads: use SELECT")).into()),
        }
    }

    async fn fetch(&mut self, name: &str, most: Option<u32>, is_sent: bool) -> Result<u64, Ended> {
        let unknown = || Fault::error("34000", format!("cursor \"{name}\" does not exist"));
        let mut portal = self.portals.remove(name).ok_or_else(unknown)?;
        let passed = match &mut portal.state {
            State::Running(rows) if is_sent => self.send(rows, &portal.formats, most).await,
            State::Running(rows) => self.pass(rows, most).await,
            _ => Ok(0),
        };
        if passed.is_ok() {
            self.portals.insert(name.to_owned(), portal);
        }
        passed
    }

    /// Passes over rows.
    async fn pass(&mut self, rows: &mut Rows, most: Option<u32>) -> Result<u64, Ended> {
        let mut left = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut passed = 0;
        while left > 0 {
            let batch = self.attend(rows.next(left)).await?.map_err(|e| Fault::of(&e, ""))?;
            let Some(batch) = batch else { break };
            left -= batch.num_rows();
            passed += batch.num_rows() as u64;
        }
        Ok(passed)
    }

    fn close(&mut self, name: Option<&str>) -> Result<String, Fault> {
        match name {
            None => self.portals.clear(),
            Some(name) => {
                let unknown = || Fault::error("34000", format!("cursor \"{name}\" does not exist"));
                self.portals.remove(name).ok_or_else(unknown)?;
            }
        }
        Ok(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" }.to_owned())
    }

    /// Sends the rows of a question as bytes, one row a message.
    async fn copy(&mut self, copy: &Copy) -> Result<u64, Ended> {
        let mut rows = self.rows_of(&copy.sql, Vec::new(), "COPY").await?;
        let columns = Arc::clone(&rows.columns);
        reply::copy_out(&mut self.link.out, copy.style.format(), columns.fields().len());
        let is_binary = copy.style == Style::Binary;
        let mut head = copy.style.head(&columns);
        if !is_binary && !head.is_empty() {
            self.copy_data(&std::mem::take(&mut head));
        }
        let mut sent = 0;
        while let Some(batch) = self.attend(rows.next(usize::MAX)).await?.map_err(|e| Fault::of(&e, ""))? {
            let written = copy.style.rows(&batch, |row| {
                reply::message(&mut self.link.out, b'd', |out| {
                    out.extend_from_slice(&std::mem::take(&mut head));
                    out.extend_from_slice(row);
                });
            });
            written.map_err(|e| Fault::unsupported(format!("the answer cannot be written: {e}")))?;
            sent += batch.num_rows() as u64;
            if self.link.is_full() {
                self.link.flush().await?;
            }
        }
        if is_binary {
            head.extend_from_slice(&TRAILER);
            self.copy_data(&head);
        }
        reply::bare(&mut self.link.out, reply::COPY_DONE);
        Ok(sent)
    }

    fn copy_data(&mut self, bytes: &[u8]) {
        reply::message(&mut self.link.out, b'd', |out| out.extend_from_slice(bytes));
    }
}

fn texts(names: &[&str]) -> SchemaRef {
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What a client is told of a question that is done.
pub(crate) fn tag(sql: &str, rows: u64) -> String {
    let first: String = sql.chars().take_while(char::is_ascii_alphabetic).collect();
    match first.to_ascii_uppercase().as_str() {
        verb @ ("EXPLAIN" | "SHOW" | "CALL") => verb.to_owned(),
        "DESCRIBE" | "DESC" => "SHOW".to_owned(),
        _ => format!("SELECT {rows}"),
    }
}
