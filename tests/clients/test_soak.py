"""The parts of `cargo xtask soak` that decide: how growth is told, what makes a verdict, what the ledger expects, and what the report says."""

import copy
import json
import random
import threading
import time

import pytest
from soak import report, verdict
from soak.audit import windows
from soak.ledger import BATCH, CHANGES_EVERY, Ledger, Shape, is_change, record
from soak.load import Load
from soak.probes import Probe, since
from soak.slope import slope
from soak.steady import SETTLED_SECONDS, Steady
from soak.trouble import Trouble, Worker

MINUTES = 45
LEVEL = 300 << 20


def grows(percent, noise=0.02, peaks=0.05, seed=1):
    """Samples of 45 minutes that grow by so many percent an hour, with noise and rare high peaks."""
    chance = random.Random(seed)
    times = range(0, MINUTES * 60, 5)
    return [(at, LEVEL * (1 + percent / 100 * at / 3600) * (1 + chance.gauss(0, noise / 10)) * (2 if chance.random() < peaks else 1)) for at in times]


@pytest.mark.parametrize("percent", [-8, 0, 0.5, 3, 40])
def test_a_slope_is_found_below_noise_and_peaks(percent):
    found = slope(grows(percent))
    assert abs(found.percent - percent) < 0.5 and found.low <= found.percent <= found.high, found
    assert abs(found.level / LEVEL - 1) < 0.01


def test_what_grows_only_in_the_warm_up_is_not_counted():
    samples = [(at, LEVEL * min(1, 0.5 + at / 3600)) for at in range(0, MINUTES * 60, 5)]
    assert slope(samples, after_seconds=1800).percent == pytest.approx(0)
    assert slope(samples).percent > 1


def test_two_minutes_have_no_slope():
    assert slope(grows(1)[:24]) is None


def test_of_a_rest_only_what_comes_after_it_has_settled_counts():
    steady = Steady.__new__(Steady)
    steady.rests = [(100 + SETTLED_SECONDS, 108), (200 + SETTLED_SECONDS, 200 + SETTLED_SECONDS + 0.5)]
    held = {99: 1, 100: 2, 100 + SETTLED_SECONDS: 30, 107: 20, 109: 3, 202: 4}
    steady.samples = [{"at": at, "anonymous": anonymous} for at, anonymous in held.items()]
    assert list(steady.rested()) == [((100 + SETTLED_SECONDS + 108) / 2, 20)]


def test_for_a_rest_nothing_becomes_due_and_nothing_is_late():
    load = Load(place=None, ledger=None, trouble=None, workers=0, answer_seconds=1, seed=0)
    load.start(rate=1000)
    began, slots = load.began, load.slot
    resting = threading.Thread(target=lambda: load.rest(0.3))
    resting.start()
    time.sleep(0.1)
    due = load.due()
    resting.join()
    assert load.slot == slots + 1 and due >= load.began >= began + 0.3


def test_a_worker_that_rests_has_no_turn_until_it_goes_on():
    worker = Worker(Trouble())
    worker.rests = True
    turns = []
    waiting = threading.Thread(target=lambda: turns.append(worker.pause(0.01)))
    waiting.start()
    time.sleep(0.1)
    assert turns == []
    worker.rests = False
    waiting.join()
    worker.is_over.set()
    assert turns == [True] and not worker.pause(0.01)


def passed():
    """The figures of a run that passed."""
    lake = {
        "rate": 50.0, "acknowledged": 1000, "events": 20_000, "unknown": 3, "unknown_stored": 1, "shed": 0, "latency_s": [0.1, 0.5, 2.0],
        "probes": 40, "answers": 300, "unanswered": 2, "upkeep": 20, "is_audited": True, "faults": {"torn get": 20, "latency": 30}}
    return {
        "minutes": MINUTES, "seed": 7, "began": "2026-01-01 00:00 UTC", "rate_max": 200.0, "batch": BATCH, "pause": (20, 40), "machine": "2 cores",
        "hits_min": 10, "deaths_min": 5, "lease_ms": 5000, "note": "", "deaths": {"kill": 20, "term": 20, "stop": 20}, "waits_s": {"kill": [6.0, 8.0], "itself": []},
        "failed_starts": 1, "trouble": [], "lakes": {"churn": lake, "steady": copy.deepcopy(lake)},
        "steady": {"warm_up_s": 900, "memory": slope(grows(0.2))._asdict(), "rested": None, "busy": slope(grows(0.9))._asdict(), "rests": 30, "load_average": 2.0, "descriptors": [50, 51], "threads": [20, 20], "points": [(0.0, LEVEL, LEVEL, LEVEL, 20, 50)],
                   "metrics": {"tidemark_ingest_tail_rows": 12.0}}}


def test_a_run_without_fault_passes():
    run = passed()
    assert verdict.complaints(run) == []
    assert verdict.line(run, []).startswith("soak passed (45 minutes, seed 7, 2000 acknowledged batches, 60 take-overs, 80 probed instants)")


def change(*path, to):
    def apply(run):
        for step in path[:-1]:
            run = run[step]
        run[path[-1]] = to
    return apply


#: What goes wrong, and what the verdict says of it.
FAILURES = [
    (change("trouble", to=["3 s: a wrong answer"]), "a wrong answer"),
    (change("lakes", "steady", "faults", "torn get", to=9), "'torn get' came 9 times"),
    (change("lakes", "churn", "is_audited", to=False), "the audit did not end"),
    (change("lakes", "churn", "acknowledged", to=0), "acknowledged is none"),
    (change("lakes", "steady", "probes", to=0), "probes is none"),
    (change("lakes", "steady", "answers", to=0), "answers is none"),
    (change("lakes", "steady", "upkeep", to=0), "upkeep is none"),
    (change("lakes", "churn", "shed", to=101), "were not sent at all"),
    (change("deaths", "stop", to=4), "death by stop came 4 times"),
    (change("steady", "memory", to=None), "was not measured"),
    (change("steady", "memory", "percent", to=1.0), "grows by 1.00 % an hour"),
    (change("steady", "descriptors", to=[50, 59]), "descriptors of the steady owner grew"),
    (change("steady", "threads", to=[20, 25]), "threads of the steady owner grew"),
]


@pytest.mark.parametrize("apply, said", FAILURES, ids=[said for _, said in FAILURES])
def test_each_failure_makes_the_verdict_fail(apply, said):
    run = passed()
    apply(run)
    told = verdict.complaints(run)
    assert len(told) == 1 and said in told[0], told
    assert verdict.line(run, told).startswith("soak FAILED") and said in verdict.line(run, told)
    assert "soak FAILED" in report.text(run) and told[0] in report.text(run)


def test_a_short_run_is_not_judged_by_its_memory():
    run = passed()
    run["minutes"], run["steady"]["memory"] = 2, None
    assert verdict.complaints(run) == []
    assert "the run is too short" in report.text(run)


def test_the_report_is_written_for_people_and_for_machines(tmp_path):
    run = passed()
    report.write(run, tmp_path / "docs" / "soak.md", tmp_path / "results" / "soak.json")
    text = (tmp_path / "docs" / "soak.md").read_text()
    assert "soak passed" in text and "| churn | 50.0 | 1000 |" in text and "| torn get | 20 | 20 |" in text and "| 300.0 | 300.0 |" in text
    assert json.loads((tmp_path / "results" / "soak.json").read_text()) == json.loads(json.dumps({"name": "soak", **run}))


def at(second):
    return f"2026-01-01T00:00:{second:02}.000000Z"


def test_the_ledger_expects_what_was_acknowledged_in_the_order_of_its_times():
    ledger = Ledger(Shape(is_deduplicated=False))
    batches = [ledger.begin() for _ in range(2 * CHANGES_EVERY + 1)]
    first, second, third = [batch for batch in batches if is_change(batch)]
    ledger.acknowledge(second, at(2))
    ledger.acknowledge(first, at(3))
    newest, under_way = ledger.newest_change()
    assert newest == at(3) and third in under_way and not ledger.is_known(frozenset({third}))

    def folded(*order):
        state = {}
        for batch in order:
            for n in range(BATCH):
                one = record(batch, n, is_deduplicated=False)
                state[one["id"]] = (one["id"], batch, n) if one["op"] == "update" else None
        return sorted(row for row in state.values() if row)

    assert ledger.documents(at(2)) == folded(second)
    assert ledger.documents(at(3)) == folded(second, first) != folded(first, second)
    with pytest.raises(AssertionError, match="long known"):
        ledger.acknowledge(third, at(1))


def test_what_had_no_answer_may_be_there_or_not():
    ledger = Ledger(Shape(is_deduplicated=False))
    ledger.begin()
    known, lost, open_one = (ledger.begin() for _ in range(3))
    ledger.acknowledge(known, at(5))
    ledger.give_up(lost)
    assert ledger.events_between(at(4), at(5)) == (BATCH, 4 * BATCH), open_one
    with pytest.raises(AssertionError, match="has to be known"):
        ledger.give_up(0)


def test_a_probe_tells_what_is_wrong():
    probe = Probe(at(20), [("d1", 1, 2)], (40, 60))
    assert probe.hold([("d1", 1, 2)], [(40, 2)]) is None
    assert "only found" in probe.hold([("d1", 3, 2)], [(40, 2)])
    assert "events as of" in probe.hold([("d1", 1, 2)], [(60, 3)]), "an answer may not become another"
    assert "events as of" in Probe(at(20), [], (40, 60)).hold([], [(61, 3)])
    assert since(at(20)) == at(10)


def test_windows_divide_all_time():
    times = [f"{n:06}" for n in range(12_001)]
    found = list(windows(times))
    assert found[0] == "_system_time <= TIMESTAMP '005000'" and found[-1] == "_system_time > TIMESTAMP '010000'" and len(found) == 3
    assert list(windows(times[:5])) == ["TRUE"]


def test_trouble_of_a_thread_is_told():
    trouble = Trouble()
    trouble.watched(lambda: 1 / 0).join()
    assert "ZeroDivisionError" in trouble.told[0]
