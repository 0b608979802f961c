"""Rows read through a door by a client of another maker: how many, the sum of `n`, and bytes as far as they can be counted.

Use: doors.py WAY ADDRESS PID SQL REPEATS; WAY is text, csv or binary (COPY, whose bytes are counted and not parsed), stream or
cursor (psycopg), or adbc (Flight SQL). The CPU told is that of the process PID, the server.
"""
import os, sys, time
from measure import tell

way, address, pid, sql, repeats = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
FETCH = 10_000


def postgres():
    import psycopg
    host, port = address.rsplit(":", 1)
    return psycopg.connect(host=host, port=port, user="bench", dbname="tidemark")


def copy(sql):
    with postgres() as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT {way})") as blocks:
            size = sum(len(block) for block in blocks)
        return cursor.rowcount, 0, size


def numbers(rows):
    count = total = 0
    for row in rows:
        count, total = count + 1, total + row[1]
    return count, total, 0


def stream(sql):
    with postgres() as connection, connection.cursor() as cursor:
        return numbers(cursor.stream(sql))


def cursor(sql):
    with postgres() as connection, connection.cursor("rows") as cursor:
        cursor.itersize = FETCH
        return numbers(cursor.execute(sql))


def adbc(sql):
    import adbc_driver_flightsql.dbapi
    import pyarrow.compute
    with adbc_driver_flightsql.dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        count = total = 0
        for batch in cursor.fetch_record_batch():
            count, total = count + len(batch), total + (pyarrow.compute.sum(batch["n"]).as_py() or 0)
        return count, total, 0


def server_cpu():
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


read = {"stream": stream, "cursor": cursor, "adbc": adbc}.get(way, copy)
read(f"{sql} LIMIT {FETCH}")  # Imports the client.
measured = []
for _ in range(repeats):
    before, wall = server_cpu(), time.perf_counter()
    answer = read(sql)
    took = time.perf_counter() - wall
    measured.append((answer, server_cpu() - before, took))
tell(way, measured)
