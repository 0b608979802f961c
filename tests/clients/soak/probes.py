"""Instants whose answer is known: asked for as soon as it is, and again and again, of whoever owns the lake. An answer may be missing
while an owner or its store is away; it may never be another."""

import http.client
import random
import threading
import time
from datetime import datetime, timedelta

from owners import ask, literal

from .ledger import NAMESPACE
from .load import AWAY
from .trouble import Worker

NEW_SECONDS, AGAIN_SECONDS = 6, 1.5
WINDOW = timedelta(seconds=10)
ANSWER_SECONDS = 20


class Probe:
    """One instant: the documents by the receipts, and the plain events of the seconds before it."""

    def __init__(self, at, documents, events):
        self.at, self.documents, self.bounds, self.answers = at, documents, events, 0
        past = f"FOR SYSTEM_TIME AS OF {literal(at)}"
        self.of_documents = f"SELECT _id, batch, n FROM {NAMESPACE}.docs {past} ORDER BY _id"
        self.of_events = (f"SELECT count(*), count(DISTINCT subject) FROM {NAMESPACE}.events {past} "
                          f"WHERE type = 'load' AND _system_time > {literal(since(at))}")
        self.counted = None

    def hold(self, rows, counted):
        """What is wrong with answers, if anything is."""
        self.answers += 1
        if rows != self.documents:
            return f"documents as of {self.at}: {differ(rows, self.documents)}"
        known, possible = self.bounds
        if not known <= counted[0][0] <= possible or self.counted not in (None, counted):
            return f"events as of {self.at}: {counted}, first {self.counted}, between {known} and {possible}"
        self.counted = counted
        return None


class Probes(Worker):
    """Of one lake."""

    def __init__(self, place, ledger, trouble, seed):
        super().__init__(trouble)
        self.place, self.ledger, self.chance = place, ledger, random.Random(seed)
        self.probes, self.asked, self.unanswered = [], 0, 0

    def work(self):
        renewed = 0
        while self.pause(AGAIN_SECONDS):
            if time.monotonic() - renewed > NEW_SECONDS:
                made = self.make()
                self.probes += [made] if made else []
                renewed = time.monotonic()
                if made:
                    self.put(self.place.owner, made)
            elif self.probes:
                self.put(self.place.owner, self.chance.choice(self.probes))

    def make(self):
        """A probe at the newest change, once everything before it is known."""
        at, before = self.ledger.newest_change()
        if at is None or self.probes and at <= self.probes[-1].at:
            return None
        while not self.ledger.is_known(before):
            if self.is_over.wait(0.05):
                return None
        return Probe(at, self.ledger.documents(at), self.ledger.events_between(since(at), at))

    def put(self, owner, probe):
        """Whether it was answered; a wrong answer is told."""
        try:
            rows, counted = (rows_of(owner, sql) for sql in (probe.of_documents, probe.of_events))
        except Missing:
            self.unanswered += 1
            return False
        except AssertionError as wrong:
            self.trouble.tell(f"no answer of {owner.name}, and no word that it is away: {wrong}")
            return False
        self.asked += 1
        wrong = probe.hold(rows, counted)
        if wrong:
            self.trouble.tell(f"a wrong answer of {owner.name}: {wrong}")
        return True

    def put_until(self, ends):
        """Asks without a pause, beside others that do."""
        chance = random.Random(threading.get_ident())
        while time.monotonic() < ends and not self.is_over.is_set():
            if self.probes:
                self.put(self.place.owner, chance.choice(self.probes))
            else:
                self.is_over.wait(AGAIN_SECONDS)

    def put_newest(self, owner, count):
        for probe in self.probes[-count:]:
            self.put(owner, probe)

    def put_all(self, owner):
        """Each has to be answered now."""
        for probe in self.probes:
            if not any(self.put(owner, probe) for _attempt in range(3)):
                self.trouble.tell(f"no answer at last as of {probe.at}")


class Missing(Exception):
    """There is no answer now."""


def rows_of(owner, sql, within=ANSWER_SECONDS):
    connection = http.client.HTTPConnection(owner.http, timeout=within)
    try:
        answer = ask(connection, "POST", "/v1/query", {"sql": sql})
    except (OSError, http.client.HTTPException, ValueError) as away:
        raise Missing from away
    finally:
        connection.close()
    if answer.status in AWAY:
        raise Missing(answer)
    assert answer.status == 200, (sql, answer)
    return [tuple(row) for row in answer.body["rows"]]


def since(at):
    return (datetime.fromisoformat(at) - WINDOW).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def differ(found, expected):
    """The first rows that only one of them has."""
    return {"only found": sorted(set(found) - set(expected))[:5], "only expected": sorted(set(expected) - set(found))[:5],
            "rows": (len(found), len(expected))}
