"""What was sent to a lake, what is known of each batch, and what must therefore be there.

A batch is one request: plain events, or changes of documents, all of which follow from its number. What is acknowledged is there
once and at the time its receipt tells. What had no answer is there whole or not at all."""

import collections
import json
import threading
from typing import NamedTuple

NAMESPACE = "audit"
BATCH = 20
DOCUMENTS = 200
#: Of so many batches one is of changes.
CHANGES_EVERY = 10


class Shape(NamedTuple):
    """How batches of a lake are sent."""

    #: Whether batches have a key and plain events ids of their own. These are remembered for 24 hours, and take memory for as long.
    is_deduplicated: bool


class Ledger:
    """The batches of one lake, over all of its servers."""

    def __init__(self, shape):
        self.shape, self.lock = shape, threading.Lock()
        self.next, self.under_way, self.unknown = 0, set(), set()
        #: System times of what was acknowledged, by batch.
        self.events, self.changes = {}, {}
        self.past = Past()

    def begin(self):
        """The number of the next batch, which is under way from now on."""
        with self.lock:
            batch, self.next = self.next, self.next + 1
            self.under_way.add(batch)
        return batch

    def acknowledge(self, batch, system_time):
        with self.lock:
            (self.changes if is_change(batch) else self.events)[batch] = system_time
            if is_change(batch):
                self.past.add(system_time, batch)
            self.unknown.discard(batch)
            self.under_way.discard(batch)

    def forget(self, batch):
        """It is stored nowhere and never will be."""
        with self.lock:
            self.under_way.discard(batch)

    def give_up(self, batch):
        """Nobody will ask again what became of it."""
        assert not is_change(batch), "the order of changes has to be known"
        with self.lock:
            self.unknown.add(batch)
            self.under_way.discard(batch)

    @property
    def acknowledged(self):
        return len(self.events) + len(self.changes)

    def newest_change(self):
        """The system time of the last acknowledged change, and what was under way when it was: everything before it is known when those are."""
        with self.lock:
            return self.past.newest(), frozenset(self.under_way)

    def is_known(self, batches):
        with self.lock:
            return not self.under_way & batches

    def documents(self, at):
        """The documents at an instant that is not before one that was asked for."""
        with self.lock:
            return self.past.until(at)

    def events_between(self, after, until):
        """How many plain events there are, at least and at most."""
        with self.lock:
            known = BATCH * sum(after < time <= until for time in self.events.values())
            return known, known + BATCH * (len(self.unknown) + len(self.under_way))


class Past:
    """The changes in the order of their times, folded as far as somebody asked."""

    def __init__(self):
        self.waiting, self.state, self.folded, self.times = [], {}, "", collections.deque(maxlen=1)

    def add(self, system_time, batch):
        assert system_time > self.folded, f"batch {batch} was acknowledged at {system_time}, before {self.folded}, which was long known"
        self.waiting.append((system_time, batch))
        self.times.append(max([system_time, *self.times]))

    def newest(self):
        return self.times[0] if self.times else None

    def until(self, at):
        assert at >= self.folded, (at, self.folded)
        due = sorted(one for one in self.waiting if one[0] <= at)
        self.waiting = [one for one in self.waiting if one[0] > at]
        for _time, batch in due:
            for n in range(BATCH):
                change = record(batch, n, is_deduplicated=False)
                self.state[change["id"]] = None if change["op"] == "delete" else (change["id"], batch, n)
        self.folded = at
        return sorted(row for row in self.state.values() if row)


def is_change(batch):
    return batch % CHANGES_EVERY == 0


def subject(batch):
    return f"b{batch}"


def record(batch, n, is_deduplicated):
    if not is_change(batch):
        named = {"id": f"b{batch}-{n}"} if is_deduplicated else {}
        return {"type": "load", "subject": subject(batch), "source": str(n), "data": {"n": n, "text": "x" * (n * 7)}, **named}
    change = {"id": f"d{(batch // CHANGES_EVERY * 7 + n) % DOCUMENTS:03}", "actor": subject(batch)}
    return {**change, "op": "delete"} if (batch + n) % 9 == 0 else {**change, "op": "update", "doc": {"batch": batch, "n": n}}


def request(batch, is_deduplicated):
    """Path, body and headers."""
    body = "\n".join(json.dumps(record(batch, n, is_deduplicated)) for n in range(BATCH)).encode()
    key = {"Idempotency-Key": f"batch-{batch}"} if is_deduplicated else {}
    path = f"/v1/{NAMESPACE}/docs/changes" if is_change(batch) else f"/v1/{NAMESPACE}/events"
    return path, body, {"Content-Type": "application/x-ndjson", **key}
