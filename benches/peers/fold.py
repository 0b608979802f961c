"""Latest row per key of Parquet files, deletes left out, written as Parquet: the fastest formulation found of each engine.

Use: fold.py duckdb|polars GLOB
"""
import os
import sys
import tempfile
from measure import cost, tell

way, files = sys.argv[1], sys.argv[2]
out = os.path.join(tempfile.mkdtemp(), "state.parquet")
columns = ["_id", "_ts", "_system_time", "_seq", "_doc", "a", "b", "name", "status"]

# Sequences are unique and rise with the source time here, so the greatest sequence of a key is its winner.
if way == "duckdb":
    import duckdb
    db = duckdb.connect()
    db.execute("SET threads = 2; SET preserve_insertion_order = false")
    query = (f"COPY (SELECT {', '.join(columns)} FROM read_parquet('{files}') WHERE _op <> 'delete' AND _seq IN "
             f"(SELECT max(_seq) FROM read_parquet('{files}') GROUP BY _id)) "
             f"TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
    _, cpu, wall = cost(lambda: db.execute(query).fetchall())
    peer = f"DuckDB {duckdb.__version__}, max by key semi join"
else:
    os.environ["POLARS_MAX_THREADS"] = "2"
    import polars as pl

    def fold():
        changes = pl.scan_parquet(files)
        last = changes.group_by("_id").agg(pl.col("_seq").max()).select("_seq")
        winners = changes.join(last, on="_seq", how="semi").filter(pl.col("_op") != "delete").select(columns)
        winners.sink_parquet(out, compression="zstd", compression_level=1)

    _, cpu, wall = cost(fold)
    peer = f"Polars {pl.__version__}, max by key semi join, streaming"

import duckdb
answer = duckdb.sql(f"SELECT count(*), sum(a), sum(_seq) FROM read_parquet('{out}')").fetchall()[0]
tell(peer, [(answer, cpu, wall)])
