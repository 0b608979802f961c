"""Latest row per key in DuckDB: its fastest formulation of those tried (max by key with a semi join).

Use: winner.py FILE REPEATS; FILE is Parquet with _id, _ts, _seq, a, b.
"""
import sys
import duckdb
from measure import cost, tell

file, repeats = sys.argv[1], int(sys.argv[2])
db = duckdb.connect()
db.execute("SET threads = 2")
db.execute(f"CREATE TABLE c AS SELECT * FROM read_parquet('{file}')")
# Sequences are unique and rise with the source time here, so the greatest sequence of a key is its winner.
query = "CREATE OR REPLACE TABLE w AS SELECT * FROM c WHERE _seq IN (SELECT max(_seq) FROM c GROUP BY _id)"
measured = []
for _ in range(repeats):
    _, cpu, wall = cost(lambda: db.execute(query).fetchall())
    measured.append((db.execute("SELECT count(*), sum(a), sum(_seq) FROM w").fetchone(), cpu, wall))
tell(f"DuckDB {duckdb.__version__}, max by key semi join", measured)
