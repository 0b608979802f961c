//! Tables of texts and what they ask.

use super::{super::copy, *};
use crate::sql::limits::{self, Caps};

fn of(text: &str) -> Vec<Said> {
    let caps = Caps { bytes: 1 << 16, tokens: 10_000, depth: 64 };
    read(text, &limits::tokens(text, &caps).unwrap().list)
}

fn one(text: &str) -> Command {
    let mut said = of(text);
    assert_eq!(said.len(), 1, "{text}");
    said.pop().unwrap().command
}

#[test]
fn a_text_falls_into_statements_that_know_their_place() {
    let said = of("SELECT 'a;ü' ; ;\n-- ;\nBEGIN;\n  SELECT 2 -- x\n");
    let told: Vec<_> = said.iter().map(|it| (it.sql.as_str(), it.before)).collect();
    assert_eq!(told, [("SELECT 'a;ü'", 0), ("BEGIN", 22), ("SELECT 2", 31)]);
    assert_eq!(of(" -- nothing\n;").len(), 0);
}

#[test]
fn what_is_for_the_door_is_told_from_what_is_for_the_room() {
    let set = |name: &str, values: &[&str], is_local| Command::Set {
        name: name.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        is_local,
    };
    let declare = |is_held| Command::Declare { name: "c".to_owned(), is_held, sql: "SELECT 1".to_owned() };
    for (text, expected) in [
        ("SELECT 1", Command::Ask),
        ("\"begin\"", Command::Ask),
        ("begin isolation level serializable", Command::Begin),
        ("START TRANSACTION READ ONLY", Command::Begin),
        ("END", Command::Commit),
        ("ABORT WORK", Command::Rollback),
        ("ROLLBACK TO SAVEPOINT x", Command::RollbackTo),
        ("SAVEPOINT x", Command::Nothing("SAVEPOINT")),
        ("SET extra_float_digits = 3", set("extra_float_digits", &["3"], false)),
        ("SET LOCAL statement_timeout TO '5s'", set("statement_timeout", &["5s"], true)),
        ("SET SESSION search_path TO \"$user\", nyc", set("search_path", &["$user", "nyc"], false)),
        ("SET TIME ZONE 'UTC'", set("timezone", &["UTC"], false)),
        ("SET search_path TO DEFAULT", set("search_path", &[], false)),
        ("RESET application_name", set("application_name", &[], false)),
        ("RESET ALL", Command::ResetAll),
        ("SET tidemark.as_of = '2013-01-01T00:00:00Z'", Command::Ask),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED", Command::Nothing("SET")),
        ("SHOW TRANSACTION ISOLATION LEVEL", Command::Show("transaction isolation level".to_owned())),
        ("show TimeZone", Command::Show("timezone".to_owned())),
        ("SHOW ALL", Command::ShowAll),
        ("SHOW TABLES", Command::Ask),
        ("SHOW tidemark.as_of", Command::Ask),
        ("DISCARD ALL", Command::DiscardAll),
        ("DEALLOCATE \"S_1\"", Command::Deallocate(Some("S_1".to_owned()))),
        ("DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1", declare(true)),
        ("DECLARE c CURSOR FOR SELECT 1", declare(false)),
        ("FETCH FORWARD 100 FROM \"C\"", Command::Fetch("C".to_owned(), Some(100))),
        ("FETCH c", Command::Fetch("c".to_owned(), Some(1))),
        ("FETCH ALL IN c", Command::Fetch("c".to_owned(), None)),
        ("MOVE 3 FROM c", Command::Move("c".to_owned(), Some(3))),
        ("CLOSE ALL", Command::Close(None)),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn what_is_refused_says_why() {
    for (text, code) in [
        ("FETCH BACKWARD 1 FROM c", "55000"),
        ("DECLARE c SCROLL CURSOR FOR SELECT 1", "0A000"),
        ("SET ROLE admin", "0A000"),
        ("LISTEN x", "0A000"),
        ("PREPARE x AS SELECT 1", "0A000"),
        ("COMMIT PREPARED 'x'", "0A000"),
        ("COPY t FROM STDIN", "25006"),
        ("COPY t TO '/etc/x'", "42501"),
        ("COPY t TO PROGRAM 'sh'", "42501"),
        ("COPY (SELECT 1 TO STDOUT", "42601"),
        ("COPY t TO STDOUT (FORMAT xml)", "22023"),
        ("COPY t TO STDOUT (DELIMITER 'ab')", "22023"),
    ] {
        assert!(matches!(one(text), Command::Refused(fault) if fault.code == code), "{text}: {:?}", one(text));
    }
}

#[test]
fn a_copy_knows_its_question() {
    for (text, sql, is_binary) in [
        ("COPY (SELECT (1) AS a) TO STDOUT (FORMAT binary)", "SELECT (1) AS a", true),
        ("COPY nyc.\"flights\" (a, b) TO STDOUT WITH CSV HEADER", "SELECT a, b FROM nyc.\"flights\"", false),
        ("copy nyc.flights to stdout", "SELECT * FROM nyc.flights", false),
        ("COPY nyc.flights TO STDOUT WITH BINARY", "SELECT * FROM nyc.flights", true),
    ] {
        let Command::Copy(copy) = one(text) else { panic!("{text}: {:?}", one(text)) };
        assert_eq!((copy.sql.as_str(), copy.style == copy::Style::Binary), (sql, is_binary), "{text}");
    }
}
