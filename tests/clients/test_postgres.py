"""A real PostgreSQL under pgbench: its logical changes go in as Debezium writes them, and what the lake says of the tables is
what PostgreSQL says, now and at 20 instants on both axes. Transactions are whole at every instant."""

import datetime
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile
import time

import pytest

BINARIES = pathlib.Path(os.environ.get("POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
INSTANTS = 20
ACCOUNTS = 100
TRANSACTIONS_PER_SECOND = 150
SETUP = """
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, note text);
CREATE TABLE orders (id bigint PRIMARY KEY, sku text NOT NULL, qty int, note text, open boolean);
ALTER TABLE accounts REPLICA IDENTITY FULL;
CREATE SEQUENCE moved START 100000;
"""
SLOT = "SELECT pg_create_logical_replication_slot('tidemark', 'test_decoding')"
FILL = f"""
INSERT INTO accounts SELECT n, 1000, 'account ''' || n || '''' FROM generate_series(1, {ACCOUNTS}) n;
"""
WORK = r"""
\set a random(1, 100)
\set b random(1, 100)
\set sum random(1, 50)
\set n random(1, 200)
\set m random(1, 200)
\set k random(1, 200)
BEGIN;
UPDATE accounts SET balance = balance - :sum WHERE id = LEAST(:a, :b);
UPDATE accounts SET balance = balance + :sum WHERE id = GREATEST(:a, :b);
INSERT INTO orders VALUES (:n, 'sku-' || :n, :sum, 'it''s "new": [1]', true)
  ON CONFLICT (id) DO UPDATE SET qty = orders.qty + 1, open = NOT orders.open, note = NULL;
DELETE FROM orders WHERE id = :m;
UPDATE orders SET id = nextval('moved') WHERE id = :k;
END;
"""
TABLES = {"accounts": "id", "orders": "id"}


class Postgres:
    """A cluster in a directory of its own, reached by its socket."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-pg-"))
        self.environment = {**os.environ, "PGHOST": str(self.home), "PGUSER": "postgres", "PGDATABASE": "postgres", "PGTZ": "UTC"}
        # The server refuses to run as root.
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.user:
            owner = pwd.getpwnam("postgres")
            os.chown(self.home, owner.pw_uid, owner.pw_gid)
        os.chmod(self.home, 0o755)
        self.server("initdb", "-D", self.home / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        options = f"-c wal_level=logical -c fsync=off -c listen_addresses= -c unix_socket_directories={self.home}"
        self.server("pg_ctl", "-D", self.home / "data", "-w", "-l", self.home / "log", "-o", options, "start")

    def server(self, program, *words):
        subprocess.run([*self.user, BINARIES / program, *words], check=True, cwd=self.home, env=self.environment, stdout=subprocess.DEVNULL)

    def sql(self, text):
        command = [BINARIES / "psql", "-XqAt", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-c", text]
        answer = subprocess.run(command, check=True, env=self.environment, capture_output=True, text=True).stdout
        return [line.split("\x1f") for line in answer.splitlines()]

    def stop(self):
        try:
            self.server("pg_ctl", "-D", self.home / "data", "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.home, ignore_errors=True)


class Session:
    """One connection that keeps its transaction."""

    def __init__(self, postgres):
        command = [BINARIES / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1"]
        self.psql = subprocess.Popen(command, env=postgres.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def sql(self, text):
        self.psql.stdin.write(f"{text}\n\\echo :done:\n")
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            if line.strip() == ":done:":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"psql ended at {text!r}")

    def close(self):
        self.psql.stdin.close()
        self.psql.wait(10)


COLUMN = re.compile(r"(\w+)\[([^\]]+)\]:('(?:[^']|'')*'|\S+)\s?")


def columns(text):
    """`id[integer]:1 note[text]:'it''s'` as a dictionary."""
    row = {}
    for name, kind, value in COLUMN.findall(text):
        if value == "null":
            row[name] = None
        elif value.startswith("'"):
            row[name] = value[1:-1].replace("''", "'")
        else:
            row[name] = value == "true" if kind == "boolean" else int(value)
    return row


def debezium(op, table, before, after, source):
    source = {"version": "3.6.0.Final", "connector": "postgresql", "name": "bench", "db": "postgres", "schema": "public", "table": table, "snapshot": "false", **source}
    return {"before": before, "after": after, "source": source, "op": op, "ts_ms": source["ts_ms"]}


def messages(lines):
    """What test_decoding tells, as Debezium's connector tells it: a changed key is a delete and a create."""
    told, pending = [], []
    for lsn, xid, text in lines:
        if text.startswith("COMMIT"):
            at = datetime.datetime.fromisoformat(re.search(r"\(at (.*)\)", text).group(1))
            micros = (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
            for op, table, before, after, source in pending:
                told.append(debezium(op, table, before, after, {**source, "ts_us": micros, "ts_ms": micros // 1000}))
            pending = []
        elif text.startswith("table public."):
            table, op, rest = re.match(r"table public\.(\w+): (INSERT|UPDATE|DELETE): ?(.*)", text, re.S).groups()
            high, low = lsn.split("/")
            source = {"lsn": (int(high, 16) << 32) + int(low, 16), "txId": int(xid)}
            old, new = {}, {}
            if rest.startswith("old-key: "):
                before, after = rest.removeprefix("old-key: ").split(" new-tuple: ", 1)
                old, new = columns(before), columns(after)
            elif op == "DELETE":
                old = columns(rest)
            else:
                new = columns(rest)
            key = TABLES[table]
            if op == "UPDATE" and old and old[key] != new[key]:
                pending.append(("d", table, old, None, source))
                pending.append(("c", table, None, new, source))
            else:
                pending.append(({"INSERT": "c", "UPDATE": "u", "DELETE": "d"}[op], table, old or None, new or None, source))
    assert not pending, "a transaction without its end"
    return told


@pytest.fixture
def postgres():
    assert (BINARIES / "postgres").exists(), f"no PostgreSQL in {BINARIES}: .ci/run installs postgresql-15, POSTGRES_BIN names another place"
    started = Postgres()
    yield started
    started.stop()


class Link:
    """Takes changes out of the slot and sends them in, whole transactions a request; again now and then, as Debezium does."""

    def __init__(self, postgres, server):
        self.postgres, self.server = postgres, server
        self.sent, self.receipts, self.duplicates = 0, [], 0

    def drain(self):
        lines = self.postgres.sql("SELECT lsn, xid, data FROM pg_logical_slot_get_changes('tidemark', NULL, NULL, 'include-timestamp', 'on')")
        told = messages(lines)
        if told:
            receipt = self.server.post("/v1/bank/events", told)
            assert (receipt["accepted"], receipt["duplicates"]) == (len(told), 0)
            self.sent += len(told)
            self.receipts.append(receipt["system_time"])
            if len(self.receipts) % 5 == 0:
                again = self.server.post("/v1/bank/events", told)
                assert (again["accepted"], again["duplicates"]) == (0, len(told))
                self.duplicates += len(told)
        return self.receipts[-1]


def truth(session):
    """The rows of both tables, as PostgreSQL tells them."""
    told = {}
    for table in TABLES:
        rows = session.sql(f"SELECT row_to_json(t) FROM {table} t;")
        told[table] = {row["id"]: row for row in map(json.loads, rows)}
    return told


def lake(server, clause=""):
    told = {}
    for table in TABLES:
        rows = server.rows(f"SELECT _id, _doc FROM bank.{table}{clause}")
        told[table] = {int(key): json.loads(doc) for key, doc in rows}
        assert len(told[table]) == len(rows)
    return told


def test_the_lake_says_what_postgresql_says(postgres, server, tmp_path):
    for text in (SETUP, SLOT, FILL):
        postgres.sql(text)
    script = tmp_path / "work.sql"
    script.write_text(WORK)
    link = Link(postgres, server)
    link.drain()
    load = [BINARIES / "pgbench", "-n", "-f", script, "-c", "4", "-T", "600", "-R", str(TRANSACTIONS_PER_SECOND), "--max-tries=20"]
    bench = subprocess.Popen(load, env=postgres.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    session, instants = Session(postgres), []
    try:
        for _ in range(INSTANTS):
            time.sleep(0.2)
            link.drain()
            time.sleep(0.1)
            # While both tables are locked no transaction is under way, so the clock tells an instant between transactions.
            session.sql("BEGIN; LOCK TABLE accounts, orders IN EXCLUSIVE MODE;")
            [valid] = session.sql("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"');")
            told, system = truth(session), link.drain()
            session.sql("COMMIT;")
            instants.append((valid, system, told))
        assert bench.poll() is None, "pgbench ended early"
    finally:
        bench.terminate()
        bench.wait(20)
    link.drain()
    assert lake(server) == truth(session)
    for valid, system, told in instants:
        assert lake(server, f" FOR SYSTEM_TIME AS OF '{system}'") == told, f"as of {system}"
        assert lake(server, f" FOR VALID_TIME AS OF '{valid}'") == told, f"valid as of {valid}"
    for system in link.receipts[1:]:
        [(total,)] = server.rows(f"SELECT sum(balance) FROM bank.accounts FOR SYSTEM_TIME AS OF '{system}'")
        assert total == 1000 * ACCOUNTS, f"half a transaction at {system}"
    session.close()
    assert link.sent > 1000 and link.duplicates > 0
    assert len({json.dumps(told, sort_keys=True) for *_, told in instants}) == INSTANTS, "instants that differ"
    ops = {op for (op,) in server.rows("SELECT DISTINCT op FROM bank.events")}
    assert ops == {"insert", "update", "delete"}
