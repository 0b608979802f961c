"""The scenarios of the drill: what breaks, which commands of the runbook bring it back, and what may be missing then.

Each is a function of a site that gives an outcome per repeat. The lake grows before each, and clients go on writing all the while."""

import threading
import time
from typing import Callable, NamedTuple

from drill_clients import Door, Wrong, until
from drill_site import BATCHES_BEFORE, holds, kill, lose
from s3 import Bucket
from s3_proxy import Proxy, Reset

START = "systemctl start tidemark"
STOP = "systemctl stop tidemark"
VERIFY = "tidemark verify --config /etc/tidemark/tidemark.toml"
BEFORE = """before=$(tidemark sql --format csv "SELECT max(_system_time) - INTERVAL '1 microsecond' FROM shop.events WHERE collection = 'orders' AND op = 'delete'" | tail -n 1 | tr -d '\\r')"""
SAME = BEFORE + """
tidemark restore shop.orders --as-of "$before" --dry-run
tidemark restore shop.orders --as-of "$before\""""
ANOTHER = BEFORE + """
tidemark restore shop.orders --as-of "$before" --into shop.orders-then"""
EVERYTHING = """before=$(tidemark sql --format csv "SELECT max(_system_time) - INTERVAL '1 microsecond' FROM shop.events WHERE op = 'delete'" | tail -n 1 | tr -d '\\r')
for collection in $(tidemark sql --format csv "SELECT namespace || '.' || collection FROM system.collections" | tail -n +2 | tr -d '\\r'); do
  tidemark restore "$collection" --as-of "$before" || echo "$collection was NOT restored"
done"""
#: Of so many documents the accident deletes one, and in all as many as a request may hold at most.
DELETED_ONE_IN, DELETED_MAX = 10, 9_000


def crash(site):
    machine = site.begin(site.machine())
    for _repeat in site.repeats():
        load = site.load()
        began = kill(machine)
        yield site.recover(load, machine, began, START, question=holds(site))


def standby(lease_ms):
    def run(site):
        told = ("standby = true", f"lease.time_ms = {lease_ms}")
        owner = site.begin(site.machine(*told))
        for _repeat in site.repeats():
            waiting = stand_by(site, owner, site.machine(*told))
            load = site.load()
            began = lose(owner)
            yield site.recover(load, waiting, began, question=holds(site))
            owner = waiting
    return run


def drained(site):
    owner, waiting = site.begin(site.machine("standby = true")), site.machine("standby = true")
    for _repeat in site.repeats():
        stand_by(site, owner, waiting)
        load, began = site.load(), time.monotonic()
        outcome = site.recover(load, waiting, began, STOP, on=owner, question=holds(site))
        yield outcome._replace(told=f"{max(0, began + outcome.answers - site.operated_at):.1f} s of it after the old owner had ended")
        owner, waiting = waiting, owner


def stand_by(site, owner, machine):
    """A machine that stands by; clients know both."""
    site.operate(machine, START)
    until(lambda: role(machine) == "standby", lambda: f"it does not stand by: {machine.journal()}")
    site.door = Door(owner, machine)
    return machine


def role(machine):
    try:
        return Door(machine).ask("/health").get("role")
    except OSError:
        return None


def elsewhere(before=""):
    """The machine is lost, behind commands that ended its server in order or while it serves."""
    def run(site):
        machine = site.begin(site.machine())
        for _repeat in site.repeats():
            load = site.load()
            if before:
                site.operate(machine, before)
            began, machine = lose(machine), site.next_machine()
            yield site.recover(load, machine, began, START, question=holds(site))
    return run


def disk_lost(site):
    machine = site.begin(site.machine())
    for _repeat in site.repeats():
        load = site.load()
        site.flush(machine)
        in_files = site.in_files_up_to()
        site.ledger.wait(BATCHES_BEFORE)
        began, machine = lose(machine), site.next_machine()
        outcome = site.recover(load, machine, began, START, safe_up_to=in_files)
        yield outcome._replace(told=f"of the {outcome.over:.1f} s since the last flush, which clients sent again")


def copied(site):
    machine = site.begin(site.machine())
    for _repeat in site.repeats():
        load = site.load()
        site.operate(machine, STOP)
        copy, began = Bucket(site.bucket.s3).make(), time.monotonic()
        site.bucket.copy(copy)
        took, in_copy = time.monotonic() - began, site.ledger.newest()
        site.operate(machine, START)
        site.ledger.wait(BATCHES_BEFORE)
        # Of the bucket that is lost nobody knows from here on.
        site.move(copy)
        other = site.next_machine()
        site.operate(other, VERIFY)
        began, machine = lose(machine), other
        outcome = site.recover(load, machine, began, START, safe_up_to=in_copy)
        yield outcome._replace(told=f"of the {outcome.over:.1f} s since the copy, which clients sent again; it took {took:.1f} s to make")


def restored(site):
    machine = site.begin(site.machine())
    for _repeat in site.repeats():
        load, accident = site.load(), Accident(site, ["orders"])
        yield site.recover(load, machine, time.monotonic(), SAME, question=site.stock.question(), repairs=True)
        accident.is_past()


def restored_beside(site):
    machine = site.begin(site.machine())
    for _repeat in site.repeats():
        # More than what the last one left beside.
        load, accident = site.load(), Accident(site, ["orders"])
        question = site.stock.question('shop."orders-then"')
        outcome = site.recover(load, machine, time.monotonic(), ANOTHER, question=question, repairs=True, is_whole=False)
        accident.is_there()
        site.operate(machine, SAME)
        site.audit()
        yield outcome


def all_restored(site):
    machine = site.begin(site.machine())
    for _repeat in site.repeats():
        # Who writes is stopped, as the runbook says.
        site.load().end()
        accident = Accident(site, site.stock.documents)
        yield site.recover(None, machine, time.monotonic(), EVERYTHING, question=site.stock.question(), repairs=True)
        accident.is_past()


class Accident:
    """Documents are deleted by one request."""

    def __init__(self, site, collections):
        self.site, self.left, deletes = site, {}, []
        for name in collections:
            count = site.stock.documents[name]
            gone = range(0, count, DELETED_ONE_IN)[:DELETED_MAX // len(collections)]
            self.left[name] = (count - len(gone), count * (count - 1) // 2 - sum(gone))
            deletes += [{"type": "collection.delete", "collection": name, "docId": f"{name}-{n}"} for n in gone]
        self.at = site.door.post("/v1/shop/events", deletes)["system_time"]
        self.is_there()

    def is_there(self, past=""):
        for name, answer in self.left.items():
            found = self.site.door.rows(f"SELECT count(*), sum(n) FROM shop.{name}{past}")
            if found != [answer]:
                raise Wrong(f"shop.{name}{past} after the accident: {found}, not {answer}")

    def is_past(self):
        """It is undone, and still in the history."""
        self.is_there(f" FOR SYSTEM_TIME AS OF TIMESTAMP '{self.at}'")


def store_away(site):
    is_away = threading.Event()

    def handler(request, forward):
        if is_away.is_set():
            raise Reset
        return forward(request)

    with Proxy(site.bucket.s3.url, handler) as proxy:
        machine = site.begin(site.machine(bucket=site.bucket.through(proxy.url)))
        for _repeat in site.repeats():
            load = site.load()
            is_away.set()
            time.sleep(site.options.away_seconds)
            is_away.clear()
            yield site.recover(load, machine, time.monotonic(), question=holds(site))
        kill(machine)


class Scenario(NamedTuple):
    """What is drilled: `by` is what brings it back, in words of the table; `commands` those that were run, all of them of the runbook."""

    name: str
    title: str
    by: str
    commands: str
    run: Callable
    #: Where the lake is and where its log: `folder` has no bucket.
    place: str = "bucket"
    log: str = "object"
    #: Whether acknowledged batches may be missing, as documented.
    is_exposed: bool = False


STARTED = f"`{START}`"
SCENARIOS = (
    Scenario("crash-disk", "process killed, log on disk", STARTED, START, crash, "folder", "local"),
    Scenario("crash-object", "process killed, log in the bucket", STARTED, START, crash),
    Scenario("standby", "machine lost, another stands by, lease of 10 s", "nothing: the standby takes over", START, standby(10_000)),
    Scenario("standby-1s", "the same, lease of 1 s (`lease.time_ms = 1000`)", "nothing: the standby takes over", START, standby(1_000)),
    Scenario("drain", "owner stopped in order, another stands by", f"`{STOP}` on the old", STOP, drained),
    Scenario("elsewhere", "machine lost, log in the bucket, cold start on another", STARTED + " on the other", START, elsewhere()),
    Scenario("disk-lost", "machine lost with the log on its disk, cold start on another", STARTED + " on the other", START,
             disk_lost, log="local", is_exposed=True),
    Scenario("stopped-first", "the same, stopped in order before it was lost", STARTED + " on the other", f"{STOP}\n{START}", elsewhere(STOP), log="local"),
    Scenario("copy", "bucket lost, started elsewhere on its [copy](#copy-of-a-lake)", STARTED + " on the other, with the copy as `store`",
             f"{STOP}\n{START}\n{VERIFY}", copied, is_exposed=True),
    Scenario("restore", "documents deleted, the collection restored", "[One collection as it was](#one-collection-as-it-was)", SAME, restored, "folder", "local"),
    Scenario("restore-into", "the same, into another collection", "[One collection as it was](#one-collection-as-it-was), `--into`", ANOTHER, restored_beside,
             "folder", "local"),
    Scenario("restore-all", "documents of all collections deleted, everything restored", "[Everything as it was](#everything-as-it-was)", EVERYTHING,
             all_restored, "folder", "local"),
    Scenario("store-away", "store away for a minute", "nothing, counted from its return", "", store_away),
)
