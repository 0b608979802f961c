"""Batches by the clock: each is due at its time whether those before it were answered or not, and late is counted from then."""

import contextlib
import http.client
import random
import threading
import time

from owners import Answer, ask
from writers import NOBODY_THERE, REFUSALS

from .ledger import NAMESPACE, is_change, request, subject

#: Of what had no answer and need not be known, how much is given up instead of sent again.
GIVEN_UP = 0.4
#: What is later than this is not sent at all, and counted.
BEHIND_SECONDS_MAX = 120
AGAIN_SECONDS = 0.5
#: No batch may take longer, whatever happens to owners and stores.
KNOWN_WITHIN_SECONDS = 300
#: What a server answers that cannot take anything now.
AWAY = (429, 503)


class Load:
    """Workers that send the batches of one lake to whoever owns it now."""

    def __init__(self, place, ledger, trouble, workers, answer_seconds, seed):
        self.place, self.ledger, self.trouble, self.answer_seconds = place, ledger, trouble, answer_seconds
        self.lock, self.is_over, self.latencies, self.shed = threading.Lock(), threading.Event(), [], 0
        self.chance, self.workers, self.threads = random.Random(seed), workers, []
        self.rate = self.began = self.slot = None

    def start(self, rate=None):
        """So many batches a second; without a rate each worker sends as fast as it is answered."""
        self.rate, self.began, self.slot = rate, time.monotonic(), 0
        self.threads = [self.trouble.watched(lambda: self.work()) for _ in range(self.workers)]

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(KNOWN_WITHIN_SECONDS + 60)
            if thread.is_alive():
                self.trouble.tell("a sender hangs")

    def rest(self, seconds):
        """For so long nothing becomes due, and nothing is late for it."""
        with self.lock:
            began = time.monotonic()
            self.is_over.wait(seconds)
            self.began += time.monotonic() - began

    def behind(self):
        """How many seconds late the next batch is."""
        with self.lock:
            return time.monotonic() - self.began - self.slot / self.rate

    def work(self):
        connection = Connection(self.place, self.answer_seconds)
        try:
            while (due := self.due()) is not None:
                try:
                    self.carry(connection, self.ledger.begin(), due)
                except AssertionError as wrong:
                    self.trouble.tell(wrong)
        finally:
            connection.close()

    def due(self):
        """When the next batch is to be sent, having waited for it; None when it is all over."""
        while not self.is_over.is_set():
            now = time.monotonic()
            if self.rate is None:
                return now
            with self.lock:
                due = self.began + self.slot / self.rate
                self.slot += 1
                is_late = now - due > BEHIND_SECONDS_MAX
                self.shed += is_late
            if not is_late:
                return None if self.is_over.wait(max(0, due - now)) else due
        return None

    def carry(self, connection, batch, due):
        has_key = self.ledger.shape.is_deduplicated
        path, body, headers = request(batch, has_key)
        ends = time.monotonic() + KNOWN_WITHIN_SECONDS
        while True:
            assert time.monotonic() < ends, f"batch {batch} is never taken"
            owner, answer = connection.post(path, body, headers)
            if answer is not None and answer.status == 200:
                assert answer.body["durability"] == "object", answer
                self.ledger.acknowledge(batch, answer.body["system_time"])
                self.latencies.append(time.monotonic() - due)
                return
            assert answer is None or answer.status in (0, *AWAY), (batch, answer)
            is_nowhere = answer is not None and answer.code in REFUSALS
            if not is_nowhere and not is_change(batch) and (not has_key or self.chance.random() < GIVEN_UP):
                self.ledger.give_up(batch)
                return
            if not is_nowhere and not has_key:
                self.resolve(batch)
                return
            self.place.wait_for_another(owner, AGAIN_SECONDS)

    def resolve(self, batch):
        """Behind an append that is acknowledged later, one without a key is there now or never."""
        self.insist(f"/v1/{NAMESPACE}/events", [{"type": "marker"}])
        sql = f"SELECT DISTINCT _system_time FROM {NAMESPACE}.events WHERE actor = '{subject(batch)}'"
        found = self.insist("/v1/query", {"sql": sql})["rows"]
        assert len(found) < 2, f"batch {batch} is at several times: {found}"
        if found:
            self.ledger.acknowledge(batch, found[0][0])
        else:
            self.ledger.forget(batch)

    def insist(self, path, body):
        """The answer of an owner that may be away for a while."""
        ends = time.monotonic() + KNOWN_WITHIN_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                answer = self.place.owner.ask("POST", path, body)
                if answer.status == 200:
                    return answer.body
                assert answer.status in AWAY, (path, answer)
            time.sleep(AGAIN_SECONDS)
        raise AssertionError(f"{path} is never answered")


class Connection:
    """A connection to whoever owns the lake, opened anew when that changes."""

    def __init__(self, place, answer_seconds):
        self.place, self.answer_seconds, self.owner, self.connection = place, answer_seconds, None, None

    def post(self, path, body, headers):
        """The owner that was asked, and its answer; none where nothing is known."""
        owner = self.place.owner
        if self.owner is not owner:
            self.close()
            self.owner, self.connection = owner, http.client.HTTPConnection(owner.http, timeout=self.answer_seconds)
        try:
            return owner, ask(self.connection, "POST", path, body, headers)
        except ConnectionRefusedError:
            self.close()
            return owner, Answer(0, None, {"code": NOBODY_THERE})
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return owner, None

    def close(self):
        if self.connection:
            self.connection.close()
        self.owner = self.connection = None


def quantile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None
