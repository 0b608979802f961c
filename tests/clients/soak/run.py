"""The run: the load that is half of what the machine takes, deaths until the time is over, a line each minute, and the audit."""

import contextlib
import datetime
import os
import platform
import random
import threading
import time
import traceback

from faults import Faults
from owners import Lake
from s3 import Bucket
from s3_proxy import Proxy
from writers import Place

from .churn import DEATHS, LEASE_MS, Churn
from .ledger import BATCH, Ledger
from .load import Load
from .settings import RESTLESS
from .steady import CROWD, CROWD_SECONDS, CROWDS, REST_EVERY_SECONDS, REST_SECONDS, Steady, warm_up_of
from .under import ANSWER_SECONDS, SHAPES, WORKERS, Under

#: From when an owner has caught up, and another stands by, to its death.
PAUSE = (10, 25)
#: Of the rates of faults.py, which are for a minute.
FAULTS_PART = 0.3
PROGRESS_SECONDS = 60
#: Below so many minutes everything has to come once; above, so often.
SHORT_MINUTES, HITS_MIN, DEATHS_MIN = 10, 10, 5
#: In one of these the closed loop is not disturbed by whatever else runs here.
MEASURED_WINDOWS = 6
#: How many take-overs may go wrong in a way that nobody thought of, until there are no more.
ASTRAY_MAX = 3


class Run:
    """What was asked for, and all that takes part."""

    def __init__(self, told, home, s3, trouble):
        self.told, self.home, self.s3, self.trouble = told, home, s3, trouble
        self.began = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")

    def go(self):
        """The figures."""
        self.rate_max = closed_loop(made(self.home / "measured"), self.s3, self.trouble, 12 if self.is_short else 30)
        print(f"the closed loop takes {self.rate_max:.1f} batches of {BATCH} a second; each lake gets a quarter", flush=True)
        with contextlib.ExitStack() as stack:
            self.begin(stack)
            self.steady.start()
            for lake in self.lakes:
                lake.start(self.rate_max / 4)
            self.die_and_follow()
            for lake in self.lakes:
                lake.stop()
            self.steady.stop()
            print("the load is over; the audit begins", flush=True)
            for audited in [self.trouble.watched(lake.audit) for lake in self.lakes]:
                audited.join()
        return self.figures()

    def begin(self, stack):
        """Both lakes, each behind its own faults, which are off yet."""
        faults = {name: Faults(self.told.seed + n, FAULTS_PART) for n, name in enumerate(SHAPES)}
        buckets = {name: stack.enter_context(behind(Bucket(self.s3).make(), faults[name])) for name in SHAPES}
        self.churn = Churn(made(self.home / "churn"), buckets["churn"], RESTLESS, self.trouble, self.told.seed)
        stack.callback(self.churn.lake.kill)
        self.steady = Steady(made(self.home / "steady"), buckets["steady"], RESTLESS, self.trouble)
        stack.callback(self.steady.lake.kill)
        owners = {"churn": self.churn, "steady": self.steady}
        self.lakes = [Under(name, owners[name], faults[name], self.trouble, self.told.seed) for name in SHAPES]

    def die_and_follow(self):
        ends, chance, is_over, astray = time.monotonic() + 60 * self.told.minutes, random.Random(self.told.seed), threading.Event(), 0
        besides = [self.trouble.watched(lambda work=work: work(is_over)) for work in (self.tell, self.rest, self.crowd)]
        while time.monotonic() < ends and astray < ASTRAY_MAX:
            try:
                self.churn.turn(chance.uniform(*self.pause), self.lakes[0])
            except Exception:
                astray += 1
                self.trouble.tell(f"a take-over went astray: {traceback.format_exc()}")
        time.sleep(max(0, ends - time.monotonic()))
        is_over.set()
        for thread in besides:
            thread.join()

    def tell(self, is_over):
        while not is_over.wait(PROGRESS_SECONDS):
            last = self.steady.samples[-1]
            told = "; ".join(lake.progress() for lake in self.lakes)
            print(f"{time.monotonic() - self.trouble.begun:.0f} s: {told}; {sum(self.churn.deaths.values())} take-overs; "
                  f"{last['anonymous'] / (1 << 20):.1f} MiB, {last['descriptors']} files; {len(self.trouble.told)} wrong", flush=True)

    def rest(self, is_over):
        while not is_over.wait(REST_EVERY_SECONDS - REST_SECONDS):
            with self.steady.rest():
                self.lakes[1].rest(REST_SECONDS)

    def crowd(self, is_over):
        warm_up = warm_up_of(60 * self.told.minutes)
        for _time in range(CROWDS):
            if is_over.wait(warm_up / (CROWDS + 1)):
                return
            self.lakes[1].crowd(CROWD, min(CROWD_SECONDS, warm_up / (CROWDS + 1) / 2))

    @property
    def is_short(self):
        return self.told.minutes < SHORT_MINUTES

    @property
    def pause(self):
        """A short run is to see each kind of death, too."""
        part = min(1, self.told.minutes / SHORT_MINUTES)
        return PAUSE[0] * part, PAUSE[1] * part

    def figures(self):
        """All that is told of a run."""
        return {
            "minutes": self.told.minutes, "seed": self.told.seed, "began": self.began, "note": self.told.note, "rate_max": self.rate_max, "batch": BATCH,
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}",
            "pause": self.pause, "lease_ms": LEASE_MS, "hits_min": 1 if self.is_short else HITS_MIN, "deaths_min": 1 if self.is_short else DEATHS_MIN,
            "deaths": {death: self.churn.deaths[death] for death in DEATHS}, "waits_s": self.churn.waits, "failed_starts": self.churn.failed_starts,
            "steady": self.steady.figures(60 * self.told.minutes), "lakes": {lake.name: lake.figures() for lake in self.lakes},
            "trouble": self.trouble.told,
        }


def closed_loop(home, s3, trouble, seconds):
    """How many batches a second a lake takes that nothing is done to, at most."""
    lake, rates = Lake(home, 10_000, Bucket(s3).make()), []
    with contextlib.ExitStack() as stack:
        lake.bucket = stack.enter_context(behind(lake.bucket, lambda request, forward: forward(request)))
        stack.callback(lake.kill)
        ledger = Ledger(SHAPES["steady"])
        load = Load(Place(lake.serve(**RESTLESS)), ledger, trouble, WORKERS, ANSWER_SECONDS["steady"], seed=0)
        load.start()
        for _window in range(MEASURED_WINDOWS):
            before, began = ledger.acknowledged, time.monotonic()
            time.sleep(seconds / MEASURED_WINDOWS)
            rates.append((ledger.acknowledged - before) / (time.monotonic() - began))
        load.stop()
    return max(rates)


@contextlib.contextmanager
def behind(bucket, handler):
    """A bucket as it is reached through a proxy."""
    with Proxy(bucket.s3.url, handler) as proxy:
        yield bucket.through(proxy.url)


def made(folder):
    folder.mkdir(parents=True)
    return folder
