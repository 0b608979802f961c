"""The run. Its last line is the verdict, and its exit code says the same."""

import argparse
import contextlib
import datetime
import json
import pathlib
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

from faults import KINDS, Faults
from owners import Lake
from s3 import Bucket, LocalStack
from s3_proxy import Proxy
from writers import Place

from . import report, verdict
from .audit import audit, settle
from .churn import LEASE_MS, Churn
from .ledger import BATCH, Ledger, Shape
from .load import Load, quantile
from .probes import Probes
from .settings import PATIENT, RESTLESS
from .slope import medians, slope
from .steady import Steady
from .trouble import Trouble
from .upkeep import Upkeep

WORKERS = 32
#: Of a lake whose owner may be stopped, and of one whose owner never is.
ANSWER_SECONDS = {"churn": 3, "steady": 30}
SHAPES = {"churn": Shape(is_deduplicated=True), "steady": Shape(is_deduplicated=False)}
#: Between two deaths.
PAUSE = (15, 30)
#: Before memory is judged, at most, and as a part of the run.
WARM_UP_SECONDS, WARM_UP_PART = 900, 1 / 3
PROGRESS_SECONDS = 60
#: Of the rates of faults.py, which are for a minute.
FAULTS_PART = 0.3
#: Below so many minutes everything has to come once; above, so often.
SHORT_MINUTES, HITS_MIN, DEATHS_MIN = 10, 10, 5
#: How many take-overs may go wrong in a way that nobody thought of, until there are no more.
ASTRAY_MAX = 3


def main():
    told = arguments()
    trouble = Trouble()
    # Everything that was started ends with the run, however that ends.
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit("soak was told to end"))
    # The proxies of the stores share this process with all senders, and are not to wait for them.
    sys.setswitchinterval(0.001)
    home = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-soak-", dir=told.home))
    print(f"seed {told.seed}, {told.minutes:g} minutes, in {home}", flush=True)
    stack = LocalStack(told.localstack, made(home / "s3"))
    try:
        run = soak(told, home, stack.s3, trouble)
    finally:
        stack.stop()
    report.write(run, told.report, told.json)
    reasons = verdict.complaints(run)
    if not reasons:
        shutil.rmtree(home)
    else:
        print(f"what is left to look at: {home}", flush=True)
    print(verdict.line(run, reasons), flush=True)
    return 1 if reasons else 0


def arguments():
    words = argparse.ArgumentParser(prog="soak")
    words.add_argument("--minutes", type=float, default=45)
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("--report", type=pathlib.Path, required=True)
    words.add_argument("--json", type=pathlib.Path, required=True)
    words.add_argument("--localstack", required=True, help="the Python that LocalStack is installed for")
    words.add_argument("--home", type=pathlib.Path, default=None, help="where everything lies while it runs, and stays if it fails")
    told = words.parse_args()
    told.seed = random.randrange(1 << 32) if told.seed is None else told.seed
    return told


def soak(told, home, s3, trouble):
    began = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    rate_max = closed_loop(home, s3, trouble, seconds=15 if told.minutes >= SHORT_MINUTES else 8)
    print(f"the closed loop takes {rate_max:.1f} batches of {BATCH} a second; each lake gets a quarter", flush=True)
    with contextlib.ExitStack() as stack:
        faults = {name: Faults(told.seed + n, FAULTS_PART) for n, name in enumerate(SHAPES)}
        buckets = {name: stack.enter_context(behind(Bucket(s3).make(), faults[name])) for name in SHAPES}
        churn = Churn(made(home / "churn"), buckets["churn"], RESTLESS, trouble, told.seed)
        stack.callback(churn.lake.kill)
        steady = Steady(made(home / "steady"), buckets["steady"], RESTLESS, trouble)
        stack.callback(steady.lake.kill)
        lakes = {"churn": Under(churn, "churn", trouble, told.seed), "steady": Under(steady, "steady", trouble, told.seed)}
        for name, lake in lakes.items():
            faults[name].are_on = True
            lake.start(rate_max / 4)
        steady.start()
        go_on(told, churn, steady, lakes, faults, trouble)
        for lake in lakes.values():
            lake.stop()
        steady.stop()
        for one in faults.values():
            one.are_on = False
        print("the load is over; the audit begins", flush=True)
        for audited in [trouble.watched(lake.audit) for lake in lakes.values()]:
            audited.join()
    return figures(told, began, rate_max, churn, steady, lakes, faults, trouble)


class Under:
    """A lake with all that is done to it."""

    def __init__(self, owner, name, trouble, seed):
        self.owner, self.trouble, self.ledger = owner, trouble, Ledger(SHAPES[name])
        self.load = Load(owner.place, self.ledger, trouble, WORKERS, ANSWER_SECONDS[name], seed)
        self.probes, self.upkeep = Probes(owner.place, self.ledger, trouble, seed), Upkeep(owner.place, trouble)
        self.unknown = self.unknown_stored = 0
        self.is_audited = False

    def start(self, rate):
        self.load.start(rate)
        self.probes.start()
        self.upkeep.start()

    def stop(self):
        for part in (self.load, self.probes, self.upkeep):
            part.stop()

    def audit(self):
        """By a process that finds nothing but what is in the bucket."""
        lake = self.owner.lake
        try:
            self.owner.end()
            last = lake.serve(**PATIENT)
            self.unknown = len(self.ledger.unknown)
            self.unknown_stored = settle(last, self.ledger, self.trouble)
            audit(last, self.ledger, self.trouble)
            self.probes.put_all(last)
            if last.stop() != 0:
                self.trouble.tell(f"an orderly end fails: {last.home}")
            lake.verify()
            self.is_audited = True
        except Exception as error:
            self.trouble.tell(f"the audit ends: {error!r}")


def closed_loop(home, s3, trouble, seconds):
    """How many batches a second a lake takes that nothing is done to."""
    lake = Lake(made(home / "measured"), 10_000, Bucket(s3).make())
    with contextlib.closing(contextlib.ExitStack()) as stack, Proxy(s3.url, lambda request, forward: forward(request)) as proxy:
        lake.bucket = lake.bucket.through(proxy.url)
        stack.callback(lake.kill)
        ledger = Ledger(SHAPES["steady"])
        load = Load(Place(lake.serve(**RESTLESS)), ledger, trouble, WORKERS, ANSWER_SECONDS["steady"], seed=0)
        load.start()
        time.sleep(seconds / 3)
        before, began = ledger.acknowledged, time.monotonic()
        time.sleep(seconds)
        rate = (ledger.acknowledged - before) / (time.monotonic() - began)
        load.stop()
    return rate


def go_on(told, churn, steady, lakes, faults, trouble):
    """Deaths until the time is over, and a line each minute."""
    ends, chance, is_over = time.monotonic() + 60 * told.minutes, random.Random(told.seed), []

    def tell():
        while not is_over:
            began = time.monotonic()
            progress(churn, steady, lakes, faults, trouble)
            while time.monotonic() - began < PROGRESS_SECONDS and not is_over:
                time.sleep(0.5)

    thread = trouble.watched(tell)
    astray = 0
    while time.monotonic() < ends and astray < ASTRAY_MAX:
        try:
            churn.turn(chance.uniform(*pauses(told.minutes)), lakes["churn"].probes, lakes["churn"].ledger)
        except Exception:
            astray += 1
            trouble.tell(f"a take-over went astray: {traceback.format_exc()}")
    time.sleep(max(0, ends - time.monotonic()))
    is_over.append(True)
    thread.join()


def pauses(minutes):
    part = min(1, minutes / SHORT_MINUTES)
    return PAUSE[0] * part, PAUSE[1] * part


def progress(churn, steady, lakes, faults, trouble):
    last = steady.samples[-1] if steady.samples else {"anonymous": 0, "descriptors": 0}
    sent = ", ".join(f"{name} {lake.ledger.acknowledged} acknowledged, {len(lake.ledger.unknown)} unknown, {lake.probes.asked} answers" for name, lake in lakes.items())
    hit = ", ".join(f"{sum(one.hits.values())} (rarest {one.rarest()})" for one in faults.values())
    print(f"{time.monotonic() - trouble.begun:.0f} s: {sent}; {sum(churn.deaths.values())} take-overs; faults {hit}; "
          f"{last['anonymous'] / report.MIB:.1f} MiB, {last['descriptors']} files; {len(trouble.told)} wrong", flush=True)


def figures(told, began, rate_max, churn, steady, lakes, faults, trouble):
    """All that is told of a run."""
    warm_up = min(WARM_UP_SECONDS, WARM_UP_PART * 60 * told.minutes)
    fit = slope([(one["at"], one["anonymous"]) for one in steady.samples], warm_up)
    judged = [one for one in steady.samples if one["at"] >= warm_up]
    halves = judged[:len(judged) // 2] or judged, judged[len(judged) // 2:]
    middle = lambda what: [sorted(one[what] for one in half)[len(half) // 2] if half else 0 for half in halves]  # noqa: E731
    columns = ("anonymous", "resident", "threads", "descriptors")
    series = [medians((one["at"], one[what]) for one in steady.samples) for what in columns]
    every = max(1, len(series[0]) // 15)
    points = [(rows[0][0] / 60, *(value for _, value in rows)) for rows in list(zip(*series))[::every]]
    return {
        "minutes": told.minutes, "seed": told.seed, "began": began, "rate_max": rate_max, "batch": BATCH, "pause": pauses(told.minutes),
        "machine": f"{platform.machine()}, {len(__import__('os').sched_getaffinity(0))} cores, {platform.system()} {platform.release()}",
        "deaths_min": 1 if told.minutes < SHORT_MINUTES else DEATHS_MIN, "hits_min": 1 if told.minutes < SHORT_MINUTES else HITS_MIN, "lease_ms": LEASE_MS, "warm_up_s": warm_up,
        "deaths": {death: churn.deaths[death] for death in ("kill", "term", "stop")}, "waits_s": churn.waits, "failed_starts": churn.failed_starts,
        "steady": {"memory": fit and fit._asdict(), "descriptors": middle("descriptors"), "threads": middle("threads"), "points": points,
                   "metrics": steady.metrics[-1] if steady.metrics else {}},
        "lakes": {name: {
            "rate": rate_max / 4, "acknowledged": lake.ledger.acknowledged, "events": BATCH * lake.ledger.acknowledged,
            "unknown": lake.unknown, "unknown_stored": lake.unknown_stored, "shed": lake.load.shed,
            "latency_s": [quantile(lake.load.latencies, part) or 0 for part in (0.5, 0.99, 1)],
            "probes": len(lake.probes.probes), "answers": lake.probes.asked, "unanswered": lake.probes.unanswered, "upkeep": lake.upkeep.done,
            "is_audited": lake.is_audited, "faults": {kind: faults[name].hits[kind] for kind in KINDS},
        } for name, lake in lakes.items()},
        "trouble": trouble.told,
    }


@contextlib.contextmanager
def behind(bucket, handler):
    """A bucket as it is reached through a proxy."""
    with Proxy(bucket.s3.url, handler) as proxy:
        yield bucket.through(proxy.url)


def made(folder):
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
