"""Little memory (row R-24 of reliability): a server that may use 400 MiB refuses what is too much for it and lives; one that the kernel
kills for want of memory has lost nothing that it acknowledged.
"""

import collections
import http.client
import itertools
import json
import os
import pathlib
import signal
import threading
import time

import pytest
from conftest import Server, binary, remark

MIB = 1 << 20
GROUPS = pathlib.Path("/sys/fs/cgroup")
#: Of the whole process, its binary included.
MEMORY = 400 * MIB
#: Together less than that, as docs/operations.md adds them up.
SMALL = {
    "ingest.unflushed_bytes_max": 24 * MIB, "ingest.bodies_bytes_max": 24 * MIB, "ingest.dedup_receipts_bytes_max": 8 * MIB,
    "ingest.flush_bytes": 4 * MIB, "cdc.fold_memory_bytes": 32 * MIB, "cdc.delta_memory_bytes": 32 * MIB,
    "query.pool_memory_bytes": 96 * MIB, "query.query_memory_bytes": 64 * MIB, "query.cache_bytes": 8 * MIB, "query.footers_bytes": 8 * MIB,
}
#: What a server answers that has too much to do: it, and what has to come at least once.
SHED = {"back_pressure", "memory_exceeded", "too_many_queries"}
HIT = {"back_pressure", "memory_exceeded"}
FLOOD_S = 12
KILLED_WITHIN_S = 120


class Group:
    """A control group: what runs in it may use so much memory."""

    def __init__(self, name):
        # Of the second version all controllers lie in one tree.
        self.is_old = (GROUPS / "memory").is_dir()
        self.path = (GROUPS / "memory" if self.is_old else GROUPS) / name
        self.path.mkdir()
        if not self.limit.exists():
            self.path.rmdir()
            raise OSError(f"{self.path} limits no memory")

    @property
    def limit(self):
        return self.path / ("memory.limit_in_bytes" if self.is_old else "memory.max")

    def used(self):
        """What cannot be given back: not the pages of files."""
        told = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(told["total_rss" if self.is_old else "anon"])

    def remove(self):
        for pid in (self.path / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        for _attempt in range(100):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"{self.path} is still in use")


@pytest.fixture
def group(request, tmp_path, monkeypatch):
    """A group that every server of the test starts in."""
    try:
        made = Group(f"tidemark-test-{os.getpid()}")
    except OSError as error:
        reason = f"no control group for memory can be made: {error}"
        remark(f"{request.node.name} was not tried: {reason}")
        pytest.skip(reason)
    made.limit.write_text(str(MEMORY))
    inside = tmp_path / "inside"
    inside.write_text(f'#!/bin/sh\necho $$ > {made.path}/cgroup.procs\nexec "{binary()}" "$@"\n')
    inside.chmod(0o755)
    monkeypatch.setenv("TIDEMARK_BIN", str(inside))
    yield made
    made.remove()


class Flood:
    """Senders and askers, each over a connection of its own, until they are told to end or the server is gone."""

    def __init__(self, server):
        self.address, self.is_over = server.http.removeprefix("http://"), threading.Event()
        self.refusals, self.acknowledged, self.numbers, self.threads = collections.Counter(), set(), itertools.count(), []

    def begin(self, count, work):
        for _thread in range(count):
            self.threads.append(threading.Thread(target=self.watched, args=(work,), daemon=True))
            self.threads[-1].start()

    def watched(self, work):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        while not self.is_over.is_set():
            try:
                work(connection)
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.05)

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive()

    def asked(self, connection, path, body, content_type="application/json"):
        connection.request("POST", path, body, {"content-type": content_type})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            self.refusals[json.loads(said)["code"]] += 1
        return answer.status

    def send(self, count, bytes_each):
        """Sends requests of so many events, each with so much text."""
        def work(connection):
            subjects = [f"s{next(self.numbers)}" for _event in range(count)]
            lines = (json.dumps({"type": "flood", "subject": subject, "data": {"text": subject[-1] * bytes_each}}) for subject in subjects)
            if self.asked(connection, "/v1/app/events", "\n".join(lines), "application/x-ndjson") == 200:
                self.acknowledged.update(subjects)
        return work

    def ask(self, sql):
        return lambda connection: self.asked(connection, "/v1/query", json.dumps({"sql": sql}))


def stored(server, flood):
    """All that was acknowledged is there, and nothing twice."""
    found = server.rows("SELECT subject, count(*) FROM app.events GROUP BY subject")
    twice = [subject for subject, count in found if count != 1]
    lost = flood.acknowledged - {subject for subject, _count in found}
    assert not twice and not lost, f"twice: {twice[:5]}, lost: {sorted(lost)[:5]}"


def test_what_is_too_much_is_refused(tmp_path, group):
    server = Server(tmp_path, settings=SMALL)
    flood = Flood(server)
    server.post("/v1/app/events", {"type": "flood", "subject": "first"})
    flood.begin(16, flood.send(10, 900_000))
    flood.begin(4, flood.send(1, 100))
    # More than a query may hold, and more than all may together; nothing of it can be spilled.
    flood.begin(4, flood.ask("SELECT cardinality(array_agg(repeat('x', 1000) || value)) FROM range(0, 400000)"))
    time.sleep(FLOOD_S)
    flood.end()
    assert server.process.poll() is None, "it was killed"
    assert flood.acknowledged and HIT <= set(flood.refusals) <= SHED, flood.refusals
    stored(server, flood)
    assert server.stop() == 0


@pytest.mark.parametrize(("events", "left"), [((1, 200), 12 * MIB), ((500, 2000), 80 * MIB)], ids=["small", "large"])
def test_who_is_killed_for_want_of_memory_has_lost_nothing(tmp_path, group, events, left):
    # As if nobody had thought of the machine: the limits are those of a larger one.
    server = Server(tmp_path, settings={"ingest.flush_age_s": 100_000, "ingest.flush_rows": 10_000_000, "ingest.flush_bytes": 1 << 30})
    flood = Flood(server)
    server.post("/v1/app/events", {"type": "flood", "subject": "first"})
    group.limit.write_text(str(group.used() + left))
    flood.begin(8, flood.send(*events))
    assert server.process.wait(KILLED_WITHIN_S) == -signal.SIGKILL
    flood.end()
    assert flood.acknowledged, "it took something before"
    group.limit.write_text(str(2 * MEMORY))
    again = server.again()
    stored(again, flood)
    again.verify()
    assert again.stop() == 0
