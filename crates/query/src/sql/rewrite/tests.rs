//! What `rewrite` promises, as tables of input and expectation.

use super::*;
use crate::sql::limits::{Caps, tokens};

fn rewritten(sql: &str) -> Result<String, Error> {
    let caps = Caps { bytes: 1 << 16, tokens: 10_000, depth: 64 };
    let (out, _) = clauses(tokens(sql, &caps)?.list)?;
    Ok(out.iter().filter(|t| is_significant(&t.token)).map(|t| t.token.to_string()).collect::<Vec<_>>().join(" "))
}

#[test]
fn runs_of_clauses_become_one() {
    for (sql, clauses, rest) in [
        ("f FOR SYSTEM_TIME AS OF now() x", r#""system as of" ( now ( ) )"#, " x"),
        ("f for valid_time as of $1 JOIN g", r#""valid as of" ( $1 )"#, " JOIN g"),
        (
            "f FOR VALID_TIME AS OF '1' FOR SYSTEM_TIME AS OF '2' AS x",
            r#""valid as of" ( '1' ) , "system as of" ( '2' )"#,
            " AS x",
        ),
        ("f TIMESTAMP AS OF a + b WHERE c", r#""system as of" ( a + b )"#, " WHERE c"),
        ("f FOR TIMESTAMP AS OF 'a'", r#""system as of" ( 'a' )"#, ""),
        (
            "f TIMESTAMP AS OF now() - INTERVAL '1 hour' FOR VALID_TIME AS OF TIMESTAMP '2' x",
            r#""system as of" ( now ( ) - INTERVAL '1 hour' ) , "valid as of" ( TIMESTAMP '2' )"#,
            " x",
        ),
        ("f AT (TIMESTAMP => 'a') x", r#""system as of" ( 'a' )"#, " x"),
        ("f at (timestamp => now() - $1)", r#""system as of" ( now ( ) - $1 )"#, ""),
        ("f BEFORE (TIMESTAMP => 'a')", r#""system before" ( 'a' )"#, ""),
        ("f AT (OFFSET => -60) x", r#""system offset" ( - 60 )"#, " x"),
        ("f BEFORE (OFFSET => -60)", r#""system before offset" ( - 60 )"#, ""),
        ("f AT (OFFSET => -60) FOR VALID_TIME AS OF 'a'", r#""system offset" ( - 60 ) , "valid as of" ( 'a' )"#, ""),
        ("f VERSION AS OF 3 x", r#""system version" ( 3 )"#, " x"),
        ("f FOR VERSION AS OF ($1)", r#""system version" ( ( $1 ) )"#, ""),
        ("f AT (VERSION => $1)", r#""system version" ( $1 )"#, ""),
        ("f FOR SYSTEM_TIME BETWEEN 'a' AND 'b' AND c", r#""system between" ( 'a' , 'b' )"#, " AND c"),
        (
            "f FOR VALID_TIME BETWEEN now() - INTERVAL '1 hour' AND now() WHERE c",
            r#""valid between" ( now ( ) - INTERVAL '1 hour' , now ( ) )"#,
            " WHERE c",
        ),
        ("f FOR SYSTEM_TIME FROM $1 TO $2 x", r#""system from" ( $1 , $2 )"#, " x"),
        ("f FOR VALID_TIME FROM 'a' TO 'b'", r#""valid from" ( 'a' , 'b' )"#, ""),
        ("f FOR SYSTEM_TIME ALL FOR VALID_TIME ALL x", r#""system all" ( ) , "valid all" ( )"#, " x"),
    ] {
        let expected = format!(r#"f FOR SYSTEM_TIME AS OF "tidemark$clauses" ( {clauses} ){rest}"#);
        assert_eq!(rewritten(sql).expect("is read"), expected, "{sql}");
    }
}

#[test]
fn other_text_is_not_touched() {
    for sql in [
        "SELECT timestamp AS of FROM t",
        "SELECT DISTINCT timestamp AS of FROM t",
        "SELECT timestamp AS of UNION SELECT 1",
        "SELECT 1 FROM timestamp AS of WHERE a",
        "SELECT 1 FROM t JOIN timestamp AS of ON a",
        "SELECT timestamp AS of , 1",
        "SELECT version AS of FROM t",
        "SELECT 'x FOR VALID_TIME AS OF now()'",
        r#"SELECT "FOR" , "FOR VALID_TIME AS OF 1" FROM t"#,
        "SELECT substring ( a FROM 1 FOR version )",
        "SELECT 1 FOR UPDATE",
        "f AT ( STATEMENT => 'x' )",
        "f BEFORE ( VERSION => 3 )",
        "SELECT at ( timestamp => 1 )",
        "f at ( a , b )",
    ] {
        assert_eq!(rewritten(sql).expect("is read"), sql);
    }
    assert_eq!(rewritten("SELECT 1 /* FOR VALID_TIME AS OF 1 */ -- FOR SYSTEM_TIME ALL").expect("is read"), "SELECT 1");
}

#[test]
fn what_is_not_served_is_refused() {
    for sql in [
        "f FOR SYSTEM_TIME CONTAINED IN (1, 2)",
        "f FOR TIMESTAMP BETWEEN 1 AND 2",
        "f FOR VERSION BETWEEN 1 AND 2",
        "f FOR VERSION ALL",
        "f FOR SYSTEM_TIME BETWEEN 1",
        "f FOR SYSTEM_TIME FROM 1",
        "f FOR SYSTEM_TIME FROM 1 AND 2",
        "f FOR SYSTEM_TIME AS OF",
        "f FOR SYSTEM_TIME AS OF )",
        "f FOR VALID_TIME AS OF 1 FOR VALID_TIME AS OF 2",
        "f FOR SYSTEM_TIME AS OF 1 TIMESTAMP AS OF 2",
        "f AT (TIMESTAMP => 1) VERSION AS OF 2",
        "f FOR SYSTEM_TIME ALL AT (OFFSET => -1)",
    ] {
        assert!(matches!(rewritten(sql), Err(Error::Invalid(_))), "{sql}: {:?}", rewritten(sql));
    }
}
