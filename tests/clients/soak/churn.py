"""A lake whose owners come and go: killed, ended in order, or stopped until another has the lake and woken then."""

import collections
import contextlib
import heapq
import random
import shutil
import signal
import time

from owners import Asked, Lake
from writers import Place

from .ledger import NAMESPACE, subject
from .probes import Missing, rows_of

LEASE_MS = 10_000
DEATHS = ("kill", "term", "stop")
#: A store that fails may refuse a start, and not for ever.
STARTS_MAX = 8
READY_SECONDS = 120
#: Later than this by less is in time.
CAUGHT_UP_SECONDS = 2
NEWEST_PROBES = NEWEST_BATCHES = 3
LOST_THE_LAKE = "another process owns this lake now"


class Churn:
    """The lake, whoever owns it, and who stands by."""

    def __init__(self, home, bucket, settings, trouble, seed):
        self.lake, self.trouble = Lake(home, LEASE_MS, bucket), trouble
        self.chance, self.bag, self.deaths, self.failed_starts = random.Random(seed), [], collections.Counter(), 0
        self.waits = {death: [] for death in (*DEATHS, "itself")}
        self.owner = self.lake.serve(**settings)
        # The store has been asked by the first; when it fails all the time it cannot be asked again.
        self.settings = {**settings, "store_check": "never"}
        self.standby = self.lake.stand_by(**self.settings)
        self.place = Place(self.owner)

    def turn(self, pause, under):
        """After a pause the owner dies, and another follows."""
        self.wait_until(lambda: self.stands_by())
        self.wait_until(lambda: under.load.behind() < CAUGHT_UP_SECONDS)
        death, ends = self.draw(), time.monotonic() + pause
        while time.monotonic() < ends and self.owner.is_alive and self.standby.ready_at is None:
            if not self.standby.is_alive:
                self.renew("it ended while it stood by")
            time.sleep(0.1)
        if self.standby.ready_at is not None or not self.owner.is_alive:
            # The machine was so busy, or the store so bad, that the owner lost its lease.
            self.bag.append(death)
            death = "itself"
        began = self.die(death)
        self.follow()
        self.waits[death].append(time.monotonic() - began)
        self.place.turn(self.owner)
        self.deaths[death] += 1
        under.probes.put_newest(self.owner, NEWEST_PROBES)
        self.holds_the_newest(under.ledger)
        if death == "stop":
            self.wakes_and_ends(self.gone)
        self.clear(self.gone)
        self.standby = self.lake.start("--standby", **self.settings)

    def wait_until(self, is_so):
        """A lake without a standby is not to lose its owner, nor one whose owner has not caught up with what waited for it: else nobody ever works."""
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends and self.owner.is_alive and self.standby.ready_at is None and not is_so():
            time.sleep(0.2)

    def stands_by(self):
        if not self.standby.is_alive:
            self.renew("it ended before it stood by")
        with contextlib.suppress(AssertionError):
            # It may end between the two questions.
            return self.standby.is_alive and self.standby.is_standing_by()
        return False

    def draw(self):
        """Each kind once before any comes again."""
        self.bag = self.bag or self.chance.sample(DEATHS, len(DEATHS))
        return self.bag.pop()

    def die(self, death):
        self.gone, began = self.owner, time.monotonic()
        if death == "stop":
            self.stops()
        elif death == "kill":
            self.gone.kill()
        elif death == "term":
            self.gone.signal(signal.SIGTERM)
            code = self.gone.ends(READY_SECONDS)
            if code != 0 and LOST_THE_LAKE not in self.gone.log:
                self.trouble.tell(f"an owner that was told to end ended with {code}: {self.gone.name}")
        else:
            code = self.gone.ends()
            if code != 1 or LOST_THE_LAKE not in self.gone.log:
                self.trouble.tell(f"an owner ended by itself with {code}: {self.gone.name}")
        return began

    def follow(self):
        """Until whoever stands by serves."""
        for _start in range(STARTS_MAX):
            ends = time.monotonic() + READY_SECONDS
            while self.standby.is_alive and self.standby.ready_at is None and time.monotonic() < ends:
                time.sleep(0.01)
            if self.standby.ready_at is not None:
                self.owner = self.standby
                return
            self.renew("it never served")
        raise AssertionError(f"nobody takes over: {self.lake.processes[-1].name}")

    def renew(self, why):
        self.failed_starts += 1
        print(f"{self.standby.name}: {why}: {last_line(self.standby)}", flush=True)
        self.standby.kill()
        self.standby = self.lake.start("--standby", **self.settings)

    def holds_the_newest(self, ledger):
        """The first answers of a new owner do not lack what was acknowledged last."""
        with ledger.lock:
            newest = heapq.nlargest(NEWEST_BATCHES, ledger.events, key=ledger.events.get)
        for batch in newest:
            sql = f"SELECT count(*) > 0 FROM {NAMESPACE}.events WHERE subject = '{subject(batch)}'"
            try:
                if rows_of(self.owner, sql) != [(True,)]:
                    self.trouble.tell(f"batch {batch} is not there after a take-over, of {self.owner.name}")
            except Missing:
                continue

    def stops(self):
        """Whoever is stopped has questions and events waiting when it wakes, which came before anybody else's filled its queue."""
        self.gone.signal(signal.SIGSTOP)
        self.waiting = [
            Asked(self.gone, "POST", "/v1/query", {"sql": f"SELECT count(*) FROM {NAMESPACE}.docs"}),
            Asked(self.gone, "POST", f"/v1/{NAMESPACE}/events", [{"subject": "from the dead", "type": "load"}]),
            Asked(self.gone, "POST", f"/v1/{NAMESPACE}/docs/changes", [{"op": "insert", "id": "from the dead", "doc": {"n": 0}}]),
        ]

    def wakes_and_ends(self, away):
        """It answers nothing, takes nothing, and ends."""
        away.signal(signal.SIGCONT)
        for question in self.waiting:
            answer = question.answer()
            if answer is not None and answer.status != 503:
                self.trouble.tell(f"a dead owner answered: {question.what}, {answer}, {away.name}")
        if away.ends(READY_SECONDS) != 1 or LOST_THE_LAKE not in away.log:
            self.trouble.tell(f"an owner that was away ended otherwise: {away.name}")

    def clear(self, gone):
        if gone.is_defect():
            self.trouble.tell(f"a panic or a defect: {gone.name}")
        shutil.rmtree(gone.home / "data", ignore_errors=True)

    def end(self):
        """Both in order: first who stands by."""
        for process in (self.standby, self.owner):
            if process.is_alive and process.stop() != 0:
                self.trouble.tell(f"an orderly end fails: {process.name}")
            self.clear(process)


def last_line(process):
    return (process.log.splitlines() or ["nothing"])[-1]
