"""Clients that write while owners of a lake come and go, what they know of each request, and the audit of a lake against it."""

import http.client
import json
import random
import threading
import time
from collections import defaultdict

from owners import WITHIN_SECONDS, Answer, ask

#: Longer than an owner takes for an answer, shorter than what a stopped one is waited for.
ANSWER_SECONDS = 2
#: Codes of answers after which a request is stored for sure nowhere.
NOBODY_THERE = "nobody_there"
REFUSALS = {"standby", "draining", "back_pressure", NOBODY_THERE}
DOCUMENTS = 12
EVENTS_MAX = 12
NAMESPACES = ("shop", "till")


class Place:
    """Where the owner is now; who writes goes there."""

    def __init__(self, owner):
        self.owner, self.turned, self.acknowledged = owner, threading.Condition(), 0

    def turn(self, owner):
        with self.turned:
            self.owner = owner
            self.turned.notify_all()

    def wait_for_another(self, than, pause):
        with self.turned:
            self.turned.wait_for(lambda: self.owner is not than, timeout=pause)

    def count(self):
        with self.turned:
            self.acknowledged += 1

    def has_more(self, count):
        """Whether so many requests are acknowledged from now on."""
        wanted = self.acknowledged + count
        return lambda: self.acknowledged >= wanted


class Request:
    """What one request holds, and what is known of it."""

    def __init__(self, namespace, collection, records, key):
        self.namespace, self.collection, self.records, self.key = namespace, collection, records, key
        self.path = f"/v1/{namespace}/" + (f"{collection}/changes" if collection else "events")
        self.body = json.dumps(records).encode()
        self.fate, self.receipt, self.attempts = "unknown", None, 0
        self.sent_at = self.acknowledged_at = None

    @property
    def is_placed(self):
        """Whether its receipt tells where it is."""
        return self.fate == "acknowledged" and bool(self.receipt["positions"])

    @property
    def ids(self):
        return [record["event_id" if self.collection else "id"] for record in self.records]


class Writer(threading.Thread):
    """Sends one request after the other; one of which nothing is known goes again under the same key, until its fate is known or it is given up."""

    def __init__(self, number, place):
        super().__init__(daemon=True)
        self.number, self.place, self.chance = number, place, random.Random(number)
        self.requests, self.stopping, self.connection, self.failure = [], threading.Event(), None, None
        self.tick = 0

    def run(self):
        try:
            while not self.stopping.is_set():
                request = self.next()
                self.requests.append(request)
                self.carry(request)
        except Exception as failure:
            self.failure = failure

    def next(self):
        number = len(self.requests)
        key = f"w{self.number}-{number}" if self.chance.random() < 0.8 else None
        count = 1 if self.chance.random() < 0.5 else self.chance.randrange(2, EVENTS_MAX)
        ids = [f"w{self.number}-{number}-{n}" for n in range(count)]
        if self.chance.random() < 0.5:
            return Request(self.chance.choice(NAMESPACES), None, [{"id": id, "type": "note", "data": {"n": number}} for id in ids], key)
        return Request("shop", "orders", [self.change(id) for id in ids], key)

    def change(self, event_id):
        """Each has documents of its own, so that the order of its requests decides."""
        self.tick += 1
        change = {"event_id": event_id, "id": f"w{self.number}-d{self.chance.randrange(DOCUMENTS)}",
                  "ts": f"2026-01-01T00:{self.tick // 60_000:02}:{self.tick // 1000 % 60:02}.{self.tick % 1000:03}Z"}
        if self.chance.random() < 0.15:
            return {**change, "op": "delete"}
        return {**change, "op": "update", "doc": {"n": self.tick, "by": self.number}}

    def carry(self, request):
        """What is not a change may be given up: then it is stored or not."""
        is_given_up, is_known_to_be_nowhere = request.collection is None and self.chance.random() < 0.4, True
        request.sent_at = time.monotonic()
        ends = request.sent_at + WITHIN_SECONDS
        while not (is_given_up and request.attempts):
            assert time.monotonic() < ends, f"{request.key} is never taken"
            owner = self.place.owner
            request.attempts += 1
            answer = self.attempt(owner, request)
            if answer is not None and answer.status == 200:
                request.acknowledged_at, request.receipt, request.fate = time.monotonic(), answer.body, "acknowledged"
                self.place.count()
                return
            is_known_to_be_nowhere &= answer is not None and answer.code in REFUSALS
            assert answer is None or answer.status in (0, 429, 500, 503), (request.key, answer)
            self.place.wait_for_another(owner, 0.05)
        request.fate = "refused" if is_known_to_be_nowhere else "unknown"

    def attempt(self, owner, request):
        """The answer; none where nothing is known."""
        if self.connection is None or self.connection[0] is not owner:
            self.close()
            self.connection = owner, http.client.HTTPConnection(owner.http, timeout=ANSWER_SECONDS)
        try:
            return ask(self.connection[1], "POST", request.path, request.body, {"Idempotency-Key": request.key} if request.key else {})
        except ConnectionRefusedError:
            self.close()
            return Answer(0, None, {"code": NOBODY_THERE})
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def close(self):
        if self.connection:
            self.connection[1].close()
        self.connection = None

    def end(self):
        self.stopping.set()
        self.join(WITHIN_SECONDS)
        self.close()
        assert not self.is_alive() and self.failure is None, self.failure


def audit(owner, requests):
    """What the lake holds is what was acknowledged, once, in its order, and of what is unknown all of a request or nothing.
    How many of the unknown there are."""
    stored = {namespace: Stored(owner, namespace) for namespace in sorted({request.namespace for request in requests})}
    for request in requests:
        there = [stored[request.namespace].rows.get(id, []) for id in request.ids]
        counts = {len(rows) for rows in there}
        wanted = {"acknowledged": ({1},), "refused": ({0},), "unknown": ({0}, {1})}[request.fate]
        assert counts in wanted, (request.fate, request.path, request.key, request.attempts, there, request.receipt)
        if request.fate == "acknowledged":
            is_as_told(request, [rows[0] for rows in there])
    unknown = [request for request in requests if request.fate == "unknown"]
    for namespace, lake in stored.items():
        mine = {id for request in requests if request.namespace == namespace for id in request.ids}
        assert set(lake.rows) <= mine, "an event that nobody sent"
        lake.is_in_order([request for request in requests if request.namespace == namespace])
    return sum(bool(stored[request.namespace].rows.get(request.ids[0])) for request in unknown)


def is_as_told(request, rows):
    """One append, at the positions and the time of its receipt. Who asks again without a key is told only that it is there by now."""
    receipt, times = request.receipt, {at for _, _, at in rows}
    assert len(times) == 1 and receipt["durability"] == "object", (request.key, times, receipt)
    if request.is_placed:
        assert times == {receipt["system_time"]}, (request.key, times, receipt)
        assert positions(receipt) == sorted((shard, seq) for shard, seq, _ in rows), receipt
    else:
        assert receipt["duplicates"] == len(rows) and max(times) <= receipt["system_time"], (request.key, times, receipt)


def positions(receipt):
    return sorted((at["shard"], seq) for at in receipt["positions"] for seq in range(at["first"], at["last"] + 1))


class Stored:
    """The events of a namespace: id to its rows of shard, sequence and system time."""

    def __init__(self, owner, namespace):
        self.namespace, self.rows, self.shards = namespace, defaultdict(list), defaultdict(list)
        for id, shard, seq, at in owner.rows(f"SELECT id, _shard, _seq, _system_time FROM {namespace}.events ORDER BY _shard, _seq"):
            self.rows[id].append((shard, seq, at))
            self.shards[shard].append((seq, at))

    def is_in_order(self, requests):
        for shard, rows in self.shards.items():
            first = rows[0][0]
            assert first in (0, 1) and [seq for seq, _ in rows] == list(range(first, first + len(rows))), f"a gap in {self.namespace}, shard {shard}"
            assert all(a <= b for (_, a), (_, b) in zip(rows, rows[1:])), f"time runs back in {self.namespace}, shard {shard}"
        # What was acknowledged before another was sent for the first time has the earlier time; two requests have never the same.
        acknowledged = [request for request in requests if request.is_placed]
        times = [request.receipt["system_time"] for request in acknowledged]
        assert len(set(times)) == len(times), "two appends at one time"
        heard, by_answer, newest = 0, sorted(acknowledged, key=lambda request: request.acknowledged_at), ""
        for request in sorted(acknowledged, key=lambda request: request.sent_at):
            while by_answer[heard].acknowledged_at < request.sent_at:
                newest, heard = max(newest, by_answer[heard].receipt["system_time"]), heard + 1
            assert newest < request.receipt["system_time"], (newest, request.receipt)


def folded(requests):
    """Documents by id as the acknowledged changes leave them."""
    documents = {}
    for change in (change for request in requests if request.collection and request.fate == "acknowledged" for change in request.records):
        documents[change["id"]] = change.get("doc")
    return {id: doc for id, doc in documents.items() if doc is not None}
