//! `CommandStatementIngest`: rows for a table, with what to do when it exists or does not.
//!
//! Rows are appended to `events`, and upsert the documents of a collection by `_id`. Nothing is appended before the client
//! has sent [`SEGMENT_BYTES`] or all of it, so that one that gives up leaves nothing of a smaller ingest.

use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use bytes::Bytes;
use tidemark_model::{Kind, Namespace, Principal, Scope, Table};
use tidemark_proto::Problem;
use tokio::task::yield_now;
use tonic::Status;

use super::{Data, Door, frames::Frames, refused, table_of};
use crate::{
    Session,
    flight::{
        metadata::CATALOG,
        session::Caller,
        status::{INGEST_DOOR, invalid},
    },
};

/// Bytes of rows that are appended at once.
const SEGMENT_BYTES: usize = 16 << 20;

/// What is done when there is no such table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Create,
    Refuse,
}

impl Door {
    /// Appends the rows; how many.
    pub(super) async fn ingest(
        &self,
        ask: &CommandStatementIngest,
        mut data: Data,
        Caller { principal: by, session, .. }: &Caller,
    ) -> Result<i64, Status> {
        let absent = mode(ask)?;
        let (namespace, table) = destination(ask, session)?;
        by.check(Scope::Ingest, &namespace).map_err(|denied| refused(&denied.into()))?;
        if absent == Absent::Refuse && !self.query.has_table(&namespace, &table) {
            let said = format!(
                "there is no table {namespace}.{table} to append to: create_append makes it with its first row"
            );
            return Err(refused(&Problem::new(Kind::NotFound, "unknown_table", said)));
        }
        let to = (&namespace, &table);
        let (mut frames, mut stored) = (Frames::new(self.appends.held()), 0);
        while let Some(message) = frames.next(&mut data).await {
            let message = message.map_err(|status| behind(status, stored))?;
            if frames.has_rows() && frames.bytes() + message.data_body.len() > SEGMENT_BYTES {
                stored += self.append(by, to, (&mut frames, stored)).await?;
            }
            frames.push(&message).map_err(|status| behind(status, stored))?;
        }
        // A client that gives up looks like one that has sent everything. It is found out when the server looks at the
        // call again, which it does when this waits: the call is dropped, and with it what was read.
        yield_now().await;
        if frames.has_rows() {
            stored += self.append(by, to, (&mut frames, stored)).await?;
        }
        Ok(stored)
    }

    /// Appends what was read behind so many rows.
    async fn append(
        &self,
        by: &Principal,
        to: (&Namespace, &Table),
        (frames, stored): (&mut Frames, i64),
    ) -> Result<i64, Status> {
        let appended = self.appends.append_arrow(by, to, frames.take()?).await.map_err(|mut problem| {
            if stored > 0 {
                problem.detail = format!("{}; {stored} rows before these are stored", problem.detail);
            }
            refused(&problem)
        })?;
        Ok(i64::try_from(appended.accepted + appended.duplicates).unwrap_or(i64::MAX))
    }
}

/// The same, with how many rows are stored before it.
fn behind(status: Status, stored: i64) -> Status {
    if stored == 0 {
        return status;
    }
    let said = format!("{}; {stored} rows before these are stored", status.message());
    Status::with_details_and_metadata(
        status.code(),
        said,
        Bytes::copy_from_slice(status.details()),
        status.metadata().clone(),
    )
}

/// What the options say.
fn mode(ask: &CommandStatementIngest) -> Result<Absent, Status> {
    let options = ask.table_definition_options.unwrap_or_default();
    let absent = match options.if_not_exist() {
        TableNotExistOption::Create => Absent::Create,
        TableNotExistOption::Fail => Absent::Refuse,
        TableNotExistOption::Unspecified => return Err(invalid("say what is done when the table does not exist")),
    };
    match options.if_exists() {
        TableExistsOption::Append => Ok(absent),
        TableExistsOption::Unspecified => Err(invalid("say what is done when the table exists")),
        TableExistsOption::Replace => Err(invalid(format!(
            "replace is not served, nothing is overwritten here: append upserts documents by _id; deletes are changes, \
             {INGEST_DOOR}"
        ))),
        TableExistsOption::Fail => Err(invalid(
            "create, which fails when the table exists, is not served: tables appear with their first row, use \
             create_append",
        )),
    }
}

fn destination(ask: &CommandStatementIngest, session: &Session) -> Result<(Namespace, Table), Status> {
    if ask.temporary {
        return Err(invalid("temporary tables are not served: name a collection that stays"));
    }
    if ask.transaction_id.as_ref().is_some_and(|id| !id.is_empty()) {
        return Err(invalid("a transaction only reads: rows are stored at once, leave out the transaction id"));
    }
    if let Some(name) = ask.options.keys().next() {
        let name: String = name.chars().take(60).collect();
        return Err(invalid(format!("there is no option {name:?} of ingest here: leave it out")));
    }
    if ask.catalog.as_deref().is_some_and(|catalog| !catalog.is_empty() && catalog != CATALOG) {
        return Err(invalid(format!("there is one catalog here: {CATALOG}")));
    }
    let of_session = || session.namespace.as_ref().map(Namespace::as_str);
    let namespace = ask.schema.as_deref().filter(|name| !name.is_empty()).or_else(of_session);
    table_of(namespace.ok_or_else(|| invalid("name the schema: it is the namespace that rows go to"))?, &ask.table)
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::TableDefinitionOptions;
    use tonic::Code;

    use super::*;

    #[test]
    fn an_error_tells_how_many_rows_are_stored_before_it() {
        let status = || Status::with_details(Code::ResourceExhausted, "full", Bytes::from_static(b"details"));
        assert_eq!(behind(status(), 0).message(), "full");
        let told = behind(status(), 7);
        assert_eq!((told.code(), told.details()), (Code::ResourceExhausted, &b"details"[..]));
        assert_eq!(told.message(), "full; 7 rows before these are stored");
    }

    fn ask(if_not_exist: TableNotExistOption, if_exists: TableExistsOption) -> CommandStatementIngest {
        let options = TableDefinitionOptions { if_not_exist: if_not_exist.into(), if_exists: if_exists.into() };
        CommandStatementIngest {
            table_definition_options: Some(options),
            table: "users".to_owned(),
            schema: Some("shop".to_owned()),
            ..CommandStatementIngest::default()
        }
    }

    #[test]
    fn modes_are_taken_or_refused_with_a_reason() {
        use TableExistsOption as Exists;
        use TableNotExistOption as Not;
        for (if_not_exist, if_exists, taken) in [
            (Not::Create, Exists::Append, Some(Absent::Create)),
            (Not::Fail, Exists::Append, Some(Absent::Refuse)),
            (Not::Create, Exists::Fail, None),
            (Not::Create, Exists::Replace, None),
            (Not::Fail, Exists::Replace, None),
            (Not::Unspecified, Exists::Append, None),
            (Not::Create, Exists::Unspecified, None),
        ] {
            let mode = mode(&ask(if_not_exist, if_exists));
            assert_eq!(mode.as_ref().ok(), taken.as_ref(), "{if_not_exist:?} {if_exists:?}");
            assert!(mode.err().is_none_or(|status| status.code() == Code::InvalidArgument));
        }
        assert!(mode(&CommandStatementIngest::default()).is_err());
    }

    #[test]
    fn a_destination_is_a_table_of_a_namespace() {
        let good = || ask(TableNotExistOption::Create, TableExistsOption::Append);
        let session = |name: &str| Session { namespace: Namespace::parse(name).ok(), ..Session::default() };
        let told = |ask: &CommandStatementIngest, session: &Session| {
            destination(ask, session).map(|(namespace, table)| format!("{namespace}.{table}")).ok()
        };
        assert_eq!(told(&good(), &session("nyc")).as_deref(), Some("shop.users"));
        let unnamed = CommandStatementIngest { schema: None, ..good() };
        assert_eq!(told(&unnamed, &session("nyc")).as_deref(), Some("nyc.users"));
        assert_eq!(told(&unnamed, &Session::default()), None);
        for refused in [
            CommandStatementIngest { temporary: true, ..good() },
            CommandStatementIngest { transaction_id: Some("x".into()), ..good() },
            CommandStatementIngest { options: [("a".to_owned(), "b".to_owned())].into(), ..good() },
            CommandStatementIngest { catalog: Some("other".to_owned()), ..good() },
            CommandStatementIngest { table: "../x".to_owned(), ..good() },
        ] {
            assert_eq!(told(&refused, &Session::default()), None, "{refused:?}");
        }
    }
}
