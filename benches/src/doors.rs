//! Rows on their way out, through each door: Flight SQL beside bare Flight servers that send the same batches, COPY and rows of
//! PostgreSQL's protocol, rows and streams of HTTP.
//!
//! 1. Documents of seven fields are loaded, and everything is folded. 2. [`flight`] reads them once through our door and keeps
//!    the batches in a file, which [`bare`] servers hold in memory, each in a process of its own. 3. The same client reads from all in turns.
//! 4. [`http`], and clients in Python (`peers/doors.py`), read from the other doors.
//!
//! Numbers of rows are known, and so is the sum of `n`: whoever reads values is held to both.

pub(crate) mod bare;
mod flight;
mod http;

use std::{ops::Range, path::Path, time::Instant};

use serde_json::json;

use self::bare::Bare;
use crate::{
    Outcome, changes,
    lake::{Lake, REQUEST},
    measure::{Cost, Spread},
    peer,
    report::{Report, spread},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

const REPEATS: usize = 5;
/// Of what takes longer.
const REPEATS_SLOW: usize = 3;
/// Rows for clients that make an object of each value.
const ROWS_SLOW: u64 = 1_000_000;
/// Rows a second of a bare server are multiplied with this.
const TARGET: f64 = 0.8;
/// Somebody who reads row by row takes longer than a statement usually may.
const SETTINGS: &str = "[query]\ntimeout_s = 3600\n";
const COLUMNS: &str = "_id, n, a, price, name, status, at, gift";

/// What came out of a door.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Read {
    pub rows: u64,
    /// Of `n`, where the client looks into rows.
    pub sum: Option<i64>,
    /// Of what travels, 0 where the client cannot tell.
    pub bytes: u64,
}

/// What reading took, each time.
#[derive(Debug, Default)]
struct Taken {
    rows: u64,
    bytes: u64,
    /// CPU of the server, wall clock of the client.
    costs: Vec<Cost>,
}

impl Taken {
    /// One more time: not counted if it is the first of all, which warms.
    fn add(&mut self, read: Read, cost: Cost, is_counted: bool) {
        (self.rows, self.bytes) = (read.rows, read.bytes);
        if is_counted {
            self.costs.push(cost);
        }
    }

    fn rate(&self, of: u64) -> Spread {
        Spread::of(self.costs.iter().map(|cost| of as f64 / cost.wall_s))
    }

    /// Cells of the table: door, rows, M rows/s, MiB/s, wall s, CPU s, how it compares.
    fn cells(&self, door: &str, compared: String) -> Vec<String> {
        let (rows, bytes) = (self.rate(self.rows), self.rate(self.bytes));
        let millions = Spread { min: rows.min / 1e6, median: rows.median / 1e6, max: rows.max / 1e6 };
        vec![
            door.to_owned(),
            self.rows.to_string(),
            spread(millions),
            if self.bytes == 0 { String::new() } else { format!("{:.0}", bytes.median / f64::from(1 << 20)) },
            spread(Spread::of(self.costs.iter().map(|cost| cost.wall_s))),
            spread(Spread::of(self.costs.iter().map(|cost| cost.cpu_s))),
            compared,
        ]
    }
}

/// `documents`, all of them read from each door, or the first million where a client makes an object of each value.
pub(crate) async fn run(documents: u64) -> Outcome {
    let lake = loaded(documents).await?;
    let all = format!("SELECT {COLUMNS} FROM bench.docs");
    let kept = tempfile::NamedTempFile::new()?;
    same(flight::keep(&lake.doors().grpc, &all, kept.path()).await?, documents)?;
    let what = format!(
        "{documents} documents of seven fields and an id; median (min–max) of {REPEATS} for Flight, of {REPEATS_SLOW} else. CPU is the \
         server's, the client shares its cores. The bare servers hold in memory the batches that ours answered, and do nothing but send \
         them"
    );
    let head = ["door", "rows", "M rows/s", "MiB/s", "wall s", "server CPU s", "rows/s of Flight SQL against it"];
    let mut table = Report::new("doors", what, &head);
    flights(&lake, (&all, documents), kept.path(), &mut table).await?;
    drop(kept);
    for (door, accept) in http::FORMATS {
        let mut taken = Taken::default();
        for repeat in 0..=REPEATS_SLOW {
            let (cpu, wall) = (lake.cpu(), Instant::now());
            let read = http::read(&lake, &all, accept).await?;
            taken.add(read, Cost { cpu_s: lake.cpu() - cpu, wall_s: wall.elapsed().as_secs_f64() }, repeat > 0);
            same(read, documents)?;
        }
        table.row(taken.cells(door, String::new()));
    }
    for (door, way, most) in WAYS {
        let few = format!("{all} WHERE n < {most}");
        let (sql, rows) = if documents > most { (&few, most) } else { (&all, documents) };
        table.row(python(&lake, way, (sql, rows))?.cells(door, String::new()));
    }
    Ok(table.finish()?)
}

/// Clients in Python: what they do, its name in the script, rows at most.
const WAYS: [(&str, &str, u64); 6] = [
    ("Flight SQL, adbc's fetch_record_batch", "adbc", u64::MAX),
    ("Postgres, COPY as text", "text", u64::MAX),
    ("Postgres, COPY as csv", "csv", u64::MAX),
    ("Postgres, COPY as binary", "binary", u64::MAX),
    ("Postgres, psycopg's stream, row by row", "stream", ROWS_SLOW),
    ("Postgres, psycopg's server-side cursor, 10,000 a fetch", "cursor", ROWS_SLOW),
];

/// Through our door and from the bare servers, in turns.
async fn flights(lake: &Lake, (sql, documents): (&str, u64), kept: &Path, table: &mut Report) -> Outcome {
    let bare = Bare::both(kept)?;
    let (mut ours, mut theirs) = (Taken::default(), [Taken::default(), Taken::default()]);
    for repeat in 0..=REPEATS {
        let (cpu, wall) = (lake.cpu(), Instant::now());
        let read = flight::statement(&lake.doors().grpc, sql).await?;
        ours.add(read, Cost { cpu_s: lake.cpu() - cpu, wall_s: wall.elapsed().as_secs_f64() }, repeat > 0);
        same(read, documents)?;
        for (bare, taken) in bare.iter().zip(&mut theirs) {
            let (cpu, wall) = (bare.cpu(), Instant::now());
            let read = flight::ticket(&bare.url, Vec::new()).await?;
            taken.add(read, Cost { cpu_s: bare.cpu() - cpu, wall_s: wall.elapsed().as_secs_f64() }, repeat > 0);
            same(read, documents)?;
        }
    }
    table.row(ours.cells("Flight SQL", String::new()));
    let rate = |taken: &Taken| taken.rate(taken.rows).median;
    for (bare, taken) in bare.iter().zip(&theirs) {
        let compared = format!("{:.2} × (≥ {TARGET})", rate(&ours) / rate(taken));
        table.row(taken.cells(&format!("Flight, {}, from memory", bare.name), compared));
    }
    Ok(())
}

fn python(lake: &Lake, way: &str, (sql, rows): (&str, u64)) -> Result<Taken, Error> {
    let doors = lake.doors();
    let address = if way == "adbc" { doors.grpc.replace("http://", "grpc://") } else { doors.postgres.clone() };
    let told = peer::run("doors.py", &[way, &address, &lake.pid(), sql, &REPEATS_SLOW.to_string()])?;
    let mut taken = Taken::default();
    for (answer, (cpu_s, wall_s)) in told.answers.iter().zip(told.cpu_s.into_iter().zip(told.wall_s)) {
        let number = |at: usize| answer.get(at).copied().unwrap_or(0);
        let (rows_read, bytes) = (number(0).unsigned_abs(), number(2).unsigned_abs());
        // Who counts bytes does not look into them.
        let read = Read { rows: rows_read, sum: (bytes == 0).then(|| number(1)), bytes };
        taken.add(read, Cost { cpu_s, wall_s }, true);
        same(read, rows)?;
    }
    Ok(taken)
}

/// Holds an answer to the numbers below `rows`.
fn same(read: Read, rows: u64) -> Outcome {
    let sum = i64::try_from(rows * rows.saturating_sub(1) / 2)?;
    if read.rows == rows && read.sum.is_none_or(|found| found == sum) {
        return Ok(());
    }
    Err(format!("{rows} rows with a sum of {sum} were awaited, and {} with {:?} came", read.rows, read.sum).into())
}

/// A server with the documents in files, which has nothing else to do.
async fn loaded(documents: u64) -> Result<Lake, Error> {
    let mut lake = Lake::start_with(SETTINGS)?;
    let field = |kind: &str| json!({ "type": kind });
    lake.declare(&json!({ "type": "object", "properties": {
        "n": field("integer"), "a": field("integer"), "price": field("number"), "name": field("string"),
        "status": field("string"), "at": { "type": "string", "format": "date-time" }, "gift": field("boolean"),
    }}))
    .await?;
    for from in (0..documents).step_by(usize::try_from(REQUEST)?) {
        lake.send_in_time(ndjson(from..(from + REQUEST).min(documents))).await?;
    }
    lake.restart()?;
    lake.settle().await;
    Ok(lake)
}

fn ndjson(range: Range<u64>) -> Vec<u8> {
    let line = |n: u64| {
        let (id, change) = (changes::key(n), changes::change(n, 1));
        let (a, b, status, gift) = (change.a, change.b, changes::status(change.a), change.b % 2 == 0);
        format!(
            r#"{{"op":"insert","id":"{id}","ts":"{ts}","doc":{{"n":{n},"a":{a},"price":{a}.{b:02},"name":"customer {n}","status":"{status}","at":"{ts}","gift":{gift}}}}}"#,
            ts = change.ts
        )
    };
    range.map(line).collect::<Vec<_>>().join("\n").into_bytes()
}
