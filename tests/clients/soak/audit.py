"""The end: everything that was acknowledged is there once and at its time, what was not is there whole or not at all, and nothing else is."""

from owners import WITHIN_SECONDS

from .ledger import BATCH, DOCUMENTS, NAMESPACE, is_change, request, subject
from .probes import differ, rows_of

#: Rows are asked for by times that hold about so many batches.
BATCHES_AT_ONCE = 5_000
WITHIN = 10 * WITHIN_SECONDS


def audit(owner, ledger, trouble):
    """What is wrong is told."""
    events(owner, ledger, trouble)
    changes(owner, ledger, trouble)
    rows = rows_of(owner, f"SELECT _id, batch, n FROM {NAMESPACE}.docs ORDER BY _id", WITHIN)
    last = max(ledger.changes.values())
    expected = ledger.documents(max(last, ledger.past.folded))
    if rows != expected:
        trouble.tell(f"documents at last: {differ(rows, expected)}")


def settle(owner, ledger, trouble):
    """What had no answer, sent again under its key: stored now, or said to be stored before. How many were. Those without a key stay as they are."""
    stored = set(unknown_stored(owner, ledger))
    for batch in sorted(ledger.unknown) if ledger.shape.is_deduplicated else ():
        receipt = owner.insist("POST", *request(batch, is_deduplicated=True))
        if receipt.get("duplicate", False) != (batch in stored):
            trouble.tell(f"batch {batch} was sent again: {receipt}, and it {'is' if batch in stored else 'is not'} stored")
        ledger.acknowledge(batch, receipt["system_time"])
    return len(stored)


def unknown_stored(owner, ledger):
    unknown = sorted(ledger.unknown)
    for at in range(0, len(unknown), 500):
        names = ", ".join(f"'{subject(batch)}'" for batch in unknown[at:at + 500])
        for (name,) in rows_of(owner, f"SELECT DISTINCT subject FROM {NAMESPACE}.events WHERE subject IN ({names})", WITHIN):
            yield int(name[1:])


def events(owner, ledger, trouble):
    missing = set(ledger.events)
    for where in windows(sorted(ledger.events.values())):
        sql = (f"SELECT subject, count(*), count(DISTINCT source), min(_system_time), max(_system_time) FROM {NAMESPACE}.events "
               f"WHERE type = 'load' AND {where} GROUP BY subject")
        for name, count, distinct, first, last in rows_of(owner, sql, WITHIN):
            batch = int(name[1:]) if name[1:].isdigit() else None
            told = ledger.events.get(batch)
            missing.discard(batch)
            if told is None and batch not in ledger.unknown:
                trouble.tell(f"nobody sent what is there: {name}")
            elif (count, distinct) != (BATCH, BATCH) or first != last or told not in (None, first):
                trouble.tell(f"batch {name} is torn, doubled or at another time: {count} rows, {distinct} of them different, {first}, {last}, receipt {told}")
    for batch in sorted(missing)[:20]:
        trouble.tell(f"batch {batch} is lost, acknowledged at {ledger.events[batch]}; {len(missing)} are")


def changes(owner, ledger, trouble):
    sql = f"SELECT actor, _system_time, count(*), count(DISTINCT document_id) FROM {NAMESPACE}.events WHERE collection = 'docs' AND {{}} GROUP BY 1, 2"
    found = [row for where in windows(sorted(ledger.changes.values())) for row in rows_of(owner, sql.format(where), WITHIN)]
    expected = [(subject(batch), at, BATCH, BATCH) for batch, at in ledger.changes.items()]
    if sorted(found) != sorted(expected):
        trouble.tell(f"changes are lost, torn, doubled or at another time: {differ(found, expected)}")


def windows(times):
    """Conditions that divide all time."""
    bounds = times[BATCHES_AT_ONCE::BATCHES_AT_ONCE]
    for after, until in zip([None, *bounds], [*bounds, None]):
        terms = ([f"_system_time > TIMESTAMP '{after}'"] if after else []) + ([f"_system_time <= TIMESTAMP '{until}'"] if until else [])
        yield " AND ".join(terms) or "TRUE"


assert BATCH < DOCUMENTS and is_change(0)
