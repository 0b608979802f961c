"""The drill: breaks a lake in every way that docs/operations.md has a recovery for, brings it back with the commands that stand there, takes the
time, and compares every answer with the receipts. `cargo xtask drill` runs it, with TIDEMARK_BIN and TIDEMARK_LOCALSTACK set:

    python tests/clients/drill.py [--events N] [--repeats N] [--only NAME,…] [--write]

It ends with a table, which `--write` puts into the document, and with 1 where an answer was wrong or anything is missing that should not be."""

import argparse
import contextlib
import datetime
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from conftest import binary
from drill_scenarios import SCENARIOS
from drill_site import Site
from s3 import S3, LocalStack
from watching import OPERATIONS

BEGIN, END = "<!-- drill:begin -->", "<!-- drill:end -->"
HEAD = "| what happened | brought back by | times | answers again: median, at most | takes events again: median, at most | acknowledged and missing | lake |\n|---|---|---|---|---|---|---|\n"


def options(words):
    parser = argparse.ArgumentParser(prog="cargo xtask drill", description="Times every recovery of docs/operations.md.")
    parser.add_argument("--events", type=int, default=200_000, help="records in the lake before anything breaks (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is broken and brought back (%(default)s)")
    parser.add_argument("--only", type=lambda names: names.split(","), help="names of scenarios: " + ", ".join(one.name for one in SCENARIOS))
    parser.add_argument("--away-seconds", type=float, default=60, help="how long the store is away (%(default)s)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/operations.md")
    found = parser.parse_args(words)
    unknown = set(found.only or ()) - {one.name for one in SCENARIOS}
    if unknown or found.write and found.only:
        parser.error(f"no such scenario: {', '.join(unknown)}" if unknown else "only all scenarios together make the table of the document")
    return found


@contextlib.contextmanager
def s3(home, is_needed):
    """LocalStack, or the endpoint that was named; nothing where none is needed."""
    if not is_needed:
        yield None
        return
    named = os.environ.get("TIDEMARK_S3_ENDPOINT")
    if named:
        yield S3(named.rstrip("/"), os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        return
    folder = pathlib.Path(home, "localstack")
    folder.mkdir()
    started = LocalStack(os.environ["TIDEMARK_LOCALSTACK"], folder)
    try:
        yield started.s3
    finally:
        started.stop()


def drilled(scenario, home, s3, told):
    """The outcomes of a scenario, with a line as each comes."""
    place = pathlib.Path(home, scenario.name)
    place.mkdir()
    site, outcomes = Site(place, told, s3 if scenario.place == "bucket" else None, scenario.log), []
    say(f"{scenario.name}: {scenario.title}")
    try:
        for outcome in scenario.run(site):
            outcomes.append(outcome)
            say(f"{scenario.name} {len(outcomes)}/{told.repeats}: answers after {outcome.answers:.2f} s, takes after {outcome.takes:.2f} s, "
                f"{outcome.missing} of {outcome.acknowledged} batches missing {outcome.told}")
    finally:
        site.end()
    return outcomes


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


def row(scenario, outcomes):
    last, worst = outcomes[-1], max(outcomes, key=lambda outcome: outcome.missing)
    missing = f"{worst.missing} batches {worst.told}" if scenario.is_exposed else f"{worst.missing}{f' ({last.told})' if last.told else ''}"
    cells = (scenario.title, scenario.by, len(outcomes), seconds(outcome.answers for outcome in outcomes), seconds(outcome.takes for outcome in outcomes),
             missing, f"{last.records:,} records, {last.size / 1e6:.1f} MB")
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def seconds(found):
    found = sorted(found)
    return f"{statistics.median(found):.2f} s, {found[-1]:.2f} s"


def written(table, told, version):
    """The document with the table between its marks, and how it was made."""
    text = OPERATIONS.read_text()
    cores, load = os.cpu_count(), os.getloadavg()[2]
    # Whoever shares the machine is in the figures too.
    machine = f"{cores} cores, load {load:.0f}" + (": a busy machine, so these are upper bounds" if load > 2 * cores else "")
    place = "the endpoint that was named" if "TIDEMARK_S3_ENDPOINT" in os.environ else "LocalStack on the same machine"
    words = f"cargo xtask drill --events {told.events} --repeats {told.repeats} --write"
    made = f"Measured on {datetime.date.today()} with tidemark {version} ({machine}; the bucket is {place}) by\n\n```sh\n{words}\n```\n"
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}\n\n{table}\n{made}\n{text[end:]}"


def titles(text):
    """The scenarios that the document tells figures of."""
    table = text[text.index(BEGIN):text.index(END)]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")][1:]


def main(words):
    told, table, failures = options(words), HEAD, []
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    began = time.monotonic()
    scenarios = [scenario for scenario in SCENARIOS if not told.only or scenario.name in told.only]
    needs_s3 = any(scenario.place == "bucket" for scenario in scenarios)
    with tempfile.TemporaryDirectory(prefix="tidemark-drill-") as home, s3(home, needs_s3) as endpoint:
        for scenario in scenarios:
            try:
                outcomes = drilled(scenario, home, endpoint, told)
            except Exception as wrong:
                failures.append(f"{scenario.name}: {type(wrong).__name__}: {wrong}")
                say(f"FAILED: {failures[-1]}")
                continue
            table += row(scenario, outcomes)
            print(table.splitlines()[-1], flush=True)
            if not scenario.is_exposed and any(outcome.missing for outcome in outcomes):
                failures.append(f"{scenario.name}: acknowledged batches are missing")
    print(f"\n{table}\ndrilled in {time.monotonic() - began:.0f} s")
    if told.write and not failures:
        OPERATIONS.write_text(written(table, told, version))
    print("\n".join(failures) or "every answer was right, and nothing is missing that should be there")
    return 1 if failures else 0


if __name__ == "__main__":
    # Told to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit(1))
    sys.exit(main(sys.argv[1:]))
