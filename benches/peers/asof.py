"""AS OF over a full change log in DuckDB, best of three formulations.

Use: asof.py FILE system|valid INSTANT_MICROS...; FILE is Parquet with _id, _op, _ts, _system_time, _seq, a, b in order of
arrival. Every instant is asked once (distinct instants: nothing is warm but the file).
"""
import sys
import duckdb
from measure import cost, tell

file, axis, instants = sys.argv[1], sys.argv[2], [int(t) for t in sys.argv[3:]]
db = duckdb.connect()
db.execute("SET threads = 2")
db.execute("SET TimeZone = 'UTC'")
column = {"system": "_system_time", "valid": "_ts"}[axis]
LOG = f"(SELECT * FROM read_parquet('{file}') WHERE {column} <= make_timestamptz(?))"
ANSWER = "SELECT count(*), sum(a), sum(b) FROM"
FORMULATIONS = {
    # In this log the order of sequence is the order of source time, so the greatest sequence wins on both axes.
    "semi join": f"WITH c AS {LOG} {ANSWER} c WHERE _seq IN (SELECT max(_seq) FROM c GROUP BY _id) AND _op <> 'delete'",
    "arg_max": f"WITH c AS {LOG} {ANSWER} (SELECT arg_max(a, _seq) AS a, arg_max(b, _seq) AS b, arg_max(_op, _seq) AS op FROM c GROUP BY _id) WHERE op <> 'delete'",
    "row_number": f"WITH c AS {LOG} {ANSWER} (SELECT * FROM c QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _seq DESC) = 1) WHERE _op <> 'delete'",
}
first = {}
for name, query in FORMULATIONS.items():
    _, cpu, _ = cost(lambda: db.execute(query, [instants[0]]).fetchone())
    first[name] = cpu
best = min(first, key=first.get)
measured = [cost(lambda: db.execute(FORMULATIONS[best], [t]).fetchone()) for t in instants]
tell(f"DuckDB {duckdb.__version__}, {best}", measured)
