//! Five things to try: each a question that only a lake with a memory answers, asked now.

use serde_json::Value;

use super::load::Part;
use crate::{
    client::Client,
    command::{Failure, out},
    table,
};

/// Which batch of the sample is the last one that was known when the third question looks back.
const KNOWN_BATCHES: usize = 9;

/// Title and SQL; `{known}` is the instant at which about half of the week was in the lake.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "The departure board of New York on 2 January 2013 at 14:30 UTC, as it hung there",
        "\
SELECT carrier, flight, origin, dest, sched_dep, status, dep_delay
FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T14:30:00Z'
WHERE sched_dep BETWEEN '2013-01-02T14:20:00Z' AND '2013-01-02T14:40:00Z'
ORDER BY sched_dep, _id
LIMIT 10",
    ),
    (
        "One unlucky flight to Baltimore, before and after: it left 853 minutes late",
        "\
SELECT '1: 05:00' AS at, status, dep_delay, arr_delay
FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T05:00:00Z' WHERE _id = '2013-01-01/MQ3944/JFK/1835'
UNION ALL
SELECT '2: 14:30', status, dep_delay, arr_delay
FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T14:30:00Z' WHERE _id = '2013-01-01/MQ3944/JFK/1835'
UNION ALL
SELECT '3: 15:00', status, dep_delay, arr_delay
FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T15:00:00Z' WHERE _id = '2013-01-01/MQ3944/JFK/1835'
ORDER BY at",
    ),
    (
        "What we believed, half-way through loading, about 4 January at 18:00 UTC (both clauses), and what we know today",
        "\
SELECT 'believed then' AS what, status, count(*) AS flights
FROM nyc.flights FOR SYSTEM_TIME AS OF TIMESTAMP '{known}' FOR VALID_TIME AS OF TIMESTAMP '2013-01-04T18:00:00Z'
GROUP BY status
UNION ALL
SELECT 'known today', status, count(*)
FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-04T18:00:00Z'
GROUP BY status
ORDER BY what, status",
    ),
    (
        "Flights by status on 2 January at 14:30 UTC, and at the end of the week",
        "\
SELECT status, count(*) FILTER (WHERE at = 'then') AS flights_then, count(*) FILTER (WHERE at = 'now') AS flights_now
FROM (SELECT 'then' AS at, status FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T14:30:00Z'
      UNION ALL SELECT 'now', status FROM nyc.flights)
GROUP BY status
ORDER BY status",
    ),
    (
        "American 133 to Los Angeles was cancelled and deleted at 21:15: nothing is there now, but it was at 21:00",
        "\
SELECT 'at 21:00' AS asked, carrier, flight, dest, status
FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T21:00:00Z' WHERE _id = '2013-01-02/AA133/JFK/1545'
UNION ALL
SELECT 'now', carrier, flight, dest, status
FROM nyc.flights WHERE _id = '2013-01-02/AA133/JFK/1545'",
    ),
];

/// Asks all and shows what was answered.
pub(super) async fn show(client: &Client, sample: &[Part]) -> Result<(), Failure> {
    let known = known(client, sample).await?;
    out("\nFive things to try:\n")?;
    for (number, (title, sql)) in (1..).zip(QUESTIONS) {
        let sql = sql.replace("{known}", &known);
        let begun = std::time::Instant::now();
        let answer = client.answer(&sql, None).await?;
        let took = begun.elapsed();
        let indented = sql.replace('\n', "\n    ");
        out(format_args!(
            "\n{number}. {title}\n\n    {indented};\n\n{}{}",
            table::draw(&answer),
            table::footer(&answer, Some(took))
        ))?;
    }
    Ok(())
}

/// The system time of the last batch that counts as known.
async fn known(client: &Client, sample: &[Part]) -> Result<String, Failure> {
    let part = sample.get(KNOWN_BATCHES.saturating_sub(1)).ok_or_else(|| Failure::saying("the sample is too short"))?;
    let sql = format!("SELECT _system_time FROM nyc.events WHERE id = '{}'", part.first);
    let answer = client.answer(&sql, None).await?;
    let time = answer.rows.first().and_then(|row| row.first()).and_then(Value::as_str);
    time.map(str::to_owned).ok_or_else(|| Failure::saying(format_args!("{} is not in nyc.events", part.first)))
}
