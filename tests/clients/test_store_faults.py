"""A store that fails, lies about what it did, answers late, by halves or from before: no answer of the server is ever wrong, and
once the store is well all is as if it had been all along. Faults come by a seeded plan (faults.py); none may never have come."""

import contextlib
import http.client
import itertools
import json
import os
import threading
import time
import urllib.error

import pytest
from book import BATCH, NAMESPACE, Book, documents
from faults import KINDS, Faults
from s3_proxy import Proxy
from test_object_store import BUSY, forget, log, publishes, started  # noqa: F401: log is a fixture

from conftest import remark

SEED = int(os.environ.get("TIDEMARK_FAULT_SEED", 3))
#: Every kind has to come so often, within so long.
HITS_MIN, SECONDS_MAX = 3, 60
#: What a server may say while its store is away.
AWAY = (429, 503)
START_ATTEMPTS = 5
GONE_SECONDS = 10


@pytest.fixture
def faults(s3):
    failing = Faults(SEED)
    with Proxy(s3.url, failing) as proxy:
        failing.url = proxy.url
        yield failing


def test_every_fault_passes_and_leaves_nothing_wrong(tmp_path, bucket, faults, log):
    book, behind = Book(seed=SEED, durability=log), bucket.through(faults.url)
    server = started(tmp_path, behind, BUSY, log)
    try:
        assert book.send(server) and book.send(server)
        known = {at: book.documents(at) for at in book.instants()}
        faults.are_on = True
        asked = 0
        for _life in range(2):
            with book.senders(server, 2, apart_seconds=0.05), upkeep(server):
                deadline = time.monotonic() + SECONDS_MAX / 2
                while time.monotonic() < deadline and faults.rarest() < HITS_MIN:
                    asked += questions(server, book, known)
                server.kill()
            if log == "object":
                forget(tmp_path)
            server = risen(server)
        faults.are_on = False
        book.audit(server, probes=12)
        assert all(documents(server, at) == rows for at, rows in known.items())
        server.post("/v1/compact", {"namespace": NAMESPACE})
        publishes(server, bucket, ["docs"])
        book.audit(server)
        assert server.stop() == 0
        behind.s3 = bucket.s3
        server.verify()
    finally:
        server.kill()
    told = (tmp_path / "server.log").read_text()
    assert "panicked" not in told and "a defect" not in told
    remark(f"faults of a store, log {log}, seed {SEED}: {sum(faults.hits.values())} of {len(KINDS)} kinds, {len(book.receipts)} batches, "
           f"{book.unknown} of them without an answer, {asked} answers asked for meanwhile")
    assert asked > 0, "nobody was answered while the store failed"
    assert faults.rarest() > 0, f"a kind of fault never came: {dict(faults.hits)}"


def questions(server, book, known):
    """Each is answered rightly or not at all; how many were answered."""
    answered = 0
    with book.lock:
        least = BATCH * sum(receipt is not None for batch, receipt in book.receipts.items() if batch % 2 == 0)
    count = f"SELECT count(*), count(DISTINCT id) FROM {NAMESPACE}.events WHERE type = 'load'"
    for [(rows, ids)] in attempt(lambda: server.rows(count)):
        assert rows == ids and least <= rows and rows % BATCH == 0, (rows, ids, least)
        answered += 1
    for at, expected in known.items():
        for found in attempt(lambda at=at: documents(server, at)):
            assert found == expected, f"as of {at}"
            answered += 1
    return answered


@contextlib.contextmanager
def upkeep(server):
    """Every kind of work, asked for over and over until the server is gone."""
    wrong = []

    def work():
        calls = itertools.cycle([("/v1/compact", {"namespace": NAMESPACE}), (f"/v1/{NAMESPACE}/docs/snapshots", {}),
                                 ("/v1/publish", {"namespace": NAMESPACE}), (f"/v1/{NAMESPACE}/docs/clean-up", {})])
        try:
            for path, body in calls:
                with contextlib.suppress(TimeoutError):
                    attempt(lambda: server.post(path, body))
        except (OSError, http.client.HTTPException):
            # The server is gone, or on its way.
            server.process.wait(GONE_SECONDS)

    def watched():
        try:
            work()
        except Exception as error:
            wrong.append(error)

    thread = threading.Thread(target=watched, daemon=True)
    thread.start()
    yield
    thread.join()
    assert not wrong, wrong


def attempt(asked):
    """What was answered, in a list; an empty one where the server said that it cannot now."""
    try:
        return [asked()]
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        assert refused.code in AWAY, problem
        return []


def risen(server):
    """Another process in its place. A store that fails may refuse it a start, and not for ever. What the store promises was asked by
    the first, while nothing failed: that takes seventy requests, and each that fails at last is a start that is refused."""
    settings = {**server.options["settings"], "store_check": "never"}
    for _attempt in range(START_ATTEMPTS - 1):
        with contextlib.suppress(AssertionError):
            return server.again(settings=settings)
    return server.again(settings=settings)
