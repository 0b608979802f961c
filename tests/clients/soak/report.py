"""The report of a run, for people in Markdown and for machines in JSON."""

import json

from .steady import CROWD, CROWD_SECONDS, CROWDS, REST_EVERY_SECONDS, REST_SECONDS
from .verdict import JUDGED_MINUTES, MEMORY_MAX, complaints, line

MIB = 1 << 20
#: Minutes from one row of a table to the next.
POINTS_EVERY = 3


def write(run, markdown, machine):
    machine.parent.mkdir(parents=True, exist_ok=True)
    machine.write_text(json.dumps({"name": "soak", **run}, indent=2) + "\n")
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(text(run))


def text(run):
    told = complaints(run)
    parts = [head(run, told), load(run), wrongs(run), memory(run), faults(run)]
    return "\n".join(part.strip() + "\n" for part in parts if part)


def head(run, told):
    why = "".join(f"- {one}\n" for one in told)
    return f"""# Soak

What `cargo xtask soak --minutes {run['minutes']:g} --seed {run['seed']}` found; the run writes this page. It began {run['began']} on {run['machine']}.

**{line(run, []) if not told else 'soak FAILED'}**

{why}
{run['note']}

Two lakes in one S3 (LocalStack) with their logs in it (`--log object`), both at work all the time, both behind a proxy that spoils requests by a seeded
plan ([faults.py](../tests/clients/faults.py)). The owner of *churn* dies {run['pause'][0]:g} to {run['pause'][1]:g} s after it has caught up and another stands by, and that one follows; the owner of *steady* lives from
the beginning to the end and is watched. Instants whose answer the receipts tell are asked for when they are known and at random ever after, also of owners that
just took over. At the end both lakes are stopped in order and started anew, what had no answer is sent again under its key, and every batch, every
document and every probed instant is held against the receipts; then `tidemark verify`.
"""


def load(run):
    rows, busy = [], run["steady"]["load_average"]
    told = f" Its load average meanwhile was {busy:.0f}, in the median." if busy else ""
    for name, lake in run["lakes"].items():
        p50, p99, most = (f"{1000 * one:.0f}" for one in lake["latency_s"])
        rows.append(f"| {name} | {lake['rate']:.1f} | {lake['acknowledged']} | {lake['events']} | {lake['unknown']} | {lake['unknown_stored']} "
                    f"| {lake['shed']} | {p50} / {p99} / {most} | {lake['probes']} | {lake['answers']} | {lake['unanswered']} |")
    return f"""## Load

The closed loop took at most {run['rate_max']:.0f} batches of {run['batch']} records a second on this machine, with all that is run here beside it; each lake gets a quarter of
that by the clock, together half.{told} Latency counts from when a batch was due, with everything that waits for an owner or a store in it.

| lake | batches/s | acknowledged batches | records of them | without an answer | of these stored | not sent | latency p50 / p99 / most, ms | probed instants | answers about them | not answered |
|---|---|---|---|---|---|---|---|---|---|---|
""" + "\n".join(rows)


def wrongs(run):
    rows = "\n".join(f"| {death} | {run['deaths'].get(death, 0)} | {median(waits)} |" for death, waits in run["waits_s"].items())
    return f"""## Take-overs

| how the owner ended | times | the next one served after, s, median (most) |
|---|---|---|
{rows}

*term* is an orderly end; *stop* is SIGSTOP, with SIGCONT when another has the lake: it answered nothing, took nothing and ended; *itself* are owners that
were too slow for their lease of {run['lease_ms']} ms and ended when they saw it. {run['failed_starts']} processes that stood by were refused by the failing store and ended before they served.
"""


def memory(run):
    steady, slope = run["steady"], run["steady"]["memory"]
    told = "not told: the run is too short"
    if slope:
        told = (f"{slope['percent']:+.2f} % an hour (95 %: {slope['low']:+.2f} to {slope['high']:+.2f}) of {slope['level'] / MIB:.0f} MiB; "
                f"wanted is less than {MEMORY_MAX:g} %, judged from {JUDGED_MINUTES} minutes on")
    points = "\n".join(f"| {at:.0f} | {least / MIB:.1f} | {anonymous / MIB:.1f} | {resident / MIB:.1f} | {threads:.0f} | {descriptors:.0f} |"
                       for at, least, anonymous, resident, threads, descriptors in steady["points"][::POINTS_EVERY])
    jobs = "\n".join(f"| `{name}` | {value:g} |" for name, value in steady["metrics"].items())
    return f"""## The steady owner

Memory: {told}. It is what is resident (`VmRSS`): Theil–Sen over the least of each minute, after {steady['warm_up_s'] / 60:g} minutes; samples every second. In the warm-up {CROWD} ask it at once, {CROWDS} times for up
to {CROWD_SECONDS} s.

Beside it, and not judged, what is anonymous (`RssAnon`: heap and stacks, without the pages of the binary); it is less, so that the same noise is more of it.{others(steady)} In a rest, {REST_SECONDS} of every {REST_EVERY_SECONDS} seconds, nobody
asks it anything, so that what it holds is told from what work takes for a moment. An interval that reaches above {MEMORY_MAX:g} % says that a run of this length cannot tell; longer ones can (`--minutes 120`).

| minute | anonymous at least, MiB | anonymous, MiB | resident, MiB | threads | open files |
|---|---|---|---|---|---|
{points}

At its end it said of itself:

| metric | |
|---|---|
{jobs}
"""


def others(steady):
    """Of anonymous memory: the least of each rest, and of each minute, whatever was under way."""
    of = {f"The least of each of {steady['rests']} rests": steady["rested"], "The least of each minute, at work or not": steady["busy"]}
    told = (f"{what}: {fit['percent']:+.2f} % ({fit['low']:+.2f} to {fit['high']:+.2f}) of {fit['level'] / MIB:.0f} MiB" for what, fit in of.items() if fit)
    return "".join(f" {one}." for one in told)


def faults(run):
    lakes = run["lakes"]
    kinds = {kind: None for lake in lakes.values() for kind in lake["faults"]}
    rows = "\n".join(f"| {kind} | " + " | ".join(str(lake["faults"].get(kind, 0)) for lake in lakes.values()) + " |" for kind in kinds)
    return f"## Faults of the stores\n\n| kind | {' | '.join(lakes)} |\n|---|{'---|' * len(lakes)}\n{rows}\n"


def median(values):
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.1f} ({ordered[-1]:.1f})" if ordered else "–"
