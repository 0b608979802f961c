"""A lake with all that is done to it while the run lasts, and its audit behind it."""

import time

from faults import KINDS

from .audit import audit, settle
from .ledger import BATCH, Ledger, Shape
from .load import Load, quantile
from .probes import Probes
from .settings import PATIENT
from .upkeep import Upkeep

WORKERS = 32
#: Of a lake whose owner may be stopped, and of one whose owner never is.
ANSWER_SECONDS = {"churn": 3, "steady": 30}
SHAPES = {"churn": Shape(is_deduplicated=True), "steady": Shape(is_deduplicated=False)}


class Under:
    def __init__(self, name, owners, faults, trouble, seed):
        self.name, self.owners, self.faults, self.trouble, self.ledger = name, owners, faults, trouble, Ledger(SHAPES[name])
        self.load = Load(owners.place, self.ledger, trouble, WORKERS, ANSWER_SECONDS[name], seed)
        self.probes, self.upkeep = Probes(owners.place, self.ledger, trouble, seed), Upkeep(owners.place, trouble)
        self.unknown = self.unknown_stored = 0
        self.is_audited = False

    def start(self, rate):
        self.faults.are_on = True
        self.load.start(rate)
        self.probes.start()
        self.upkeep.start()

    def stop(self):
        for part in (self.load, self.probes, self.upkeep):
            part.stop()
        self.faults.are_on = False

    def rest(self, seconds):
        """Nobody asks anything for so long; what is on its way comes to its end meanwhile."""
        for part in (self.probes, self.upkeep):
            part.rests = True
        self.load.rest(seconds)
        for part in (self.probes, self.upkeep):
            part.rests = False

    def crowd(self, count, seconds):
        """So many ask at once, for so long."""
        ends = time.monotonic() + seconds
        for asking in [self.trouble.watched(lambda: self.probes.put_until(ends)) for _ in range(count)]:
            asking.join()

    def audit(self):
        """By a process that finds nothing but what is in the bucket."""
        lake = self.owners.lake
        try:
            self.owners.end()
            last = lake.serve(**PATIENT)
            self.unknown = len(self.ledger.unknown)
            self.unknown_stored = settle(last, self.ledger, self.trouble)
            audit(last, self.ledger, self.trouble)
            self.probes.put_all(last)
            if last.stop() != 0:
                self.trouble.tell(f"an orderly end fails: {last.name}")
            lake.verify()
            self.is_audited = True
        except Exception as error:
            self.trouble.tell(f"the audit of {self.name} ends: {error!r}")

    def progress(self):
        return (f"{self.name} {self.ledger.acknowledged} acknowledged, {len(self.ledger.unknown)} unknown, {self.probes.asked} answers, "
                f"{sum(self.faults.hits.values())} faults (rarest {self.faults.rarest()})")

    def figures(self):
        return {
            "rate": self.load.rate, "acknowledged": self.ledger.acknowledged, "events": BATCH * self.ledger.acknowledged,
            "unknown": self.unknown, "unknown_stored": self.unknown_stored, "shed": self.load.shed,
            "latency_s": [quantile(self.load.latencies, part) or 0 for part in (0.5, 0.99, 1)],
            "probes": len(self.probes.probes), "answers": self.probes.asked, "unanswered": self.probes.unanswered, "upkeep": self.upkeep.done,
            "is_audited": self.is_audited, "faults": {kind: self.faults.hits[kind] for kind in KINDS},
        }
