"""Two processes and one lake, over and over: whoever is stopped, killed or told to end is followed by the one that stands by. Nothing
acknowledged is lost, nothing is stored twice, and whoever was only away learns that it owns nothing any more before it answers."""

import http.client
import itertools
import json
import pathlib
import random
import signal
import statistics
import threading
import time

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import psycopg
import pytest
from owners import WITHIN_SECONDS, Asked, Lake, ask, literal, until
from writers import Place, Writer, audit, folded

from conftest import remark

LEASE_MS = 1000
STALE_ROUNDS = 2
#: Where it does not matter who wins.
SHORT_LEASE_MS = 500
DEATHS = 8
ABSENCES = 10
TAKEOVERS = 20
WRITERS = 6
#: Requests that are acknowledged in each round, at least.
REQUESTS_A_ROUND = 25
#: Files and deltas are written all the time, so that owners end in the middle of it.
RESTLESS = {"ingest__flush_age_s": 1, "cdc__delta_age_s": 1, "cdc__interval_ms": 200, "publish__interval_s": 2}


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path, LEASE_MS)
    yield made
    made.end()


def test_twenty_owners_follow_one_another_under_load(lake):
    owner, standby = lake.serve(**RESTLESS), lake.stand_by(**RESTLESS)
    place, probes, waits = Place(owner), {}, {end: [] for end in END}
    owner.send({}, namespace="watch")
    writers = [Writer(number, place) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for end in itertools.islice(itertools.cycle(["stop", "kill", "stop", "kill", "term"]), TAKEOVERS):
        until(place.has_more(REQUESTS_A_ROUND), "nothing is acknowledged", unless=lambda: standby.ready_at)
        if standby.ready_at:
            # The machine was so busy that the owner fell silent by itself: a take-over like the others.
            end = "itself"
        else:
            probes.update(asked(owner, latest(writers)))
        disturbed_at = END[end](owner)
        heard = newest(writers)
        waits[end].append(standby.is_ready() - disturbed_at)
        place.turn(standby)
        assert_holds(standby, heard)
        for sql, answer in list(probes.items())[-2:]:
            assert standby.rows(sql) == answer, (sql, answer)
        if end == "stop":
            wakes_and_ends(owner, standby)
        owner, standby = standby, lake.stand_by(**RESTLESS)
    until(place.has_more(REQUESTS_A_ROUND), "nothing is acknowledged")
    for writer in writers:
        writer.end()
    requests = [request for writer in writers for request in writer.requests]
    assert standby.stop() == 0
    tell(waits, requests, check(owner, requests, probes))
    assert owner.stop() == 0
    lake.verify()
    last = lake.serve()
    check(last, requests, probes)
    assert last.stop() == 0


def stop(owner):
    owner.signal(signal.SIGSTOP)
    return time.monotonic()


def kill(owner):
    assert owner.kill() == -signal.SIGKILL
    return owner.ended_at


def drain(owner):
    assert owner.stop() == 0, owner.log
    return owner.ended_at


def see_it_end(owner):
    assert owner.ends() == 1, owner.log
    return owner.ended_at


#: How an owner ends; each tells when.
END = {"stop": stop, "kill": kill, "term": drain, "itself": see_it_end}


def latest(writers):
    """The system time of an acknowledgement that was heard a moment ago."""
    return max(request.receipt["system_time"] for request in newest(writers) if request.is_placed)


def newest(writers):
    """Of each writer what was acknowledged to it last."""
    heard = ([request for request in list(writer.requests) if request.fate == "acknowledged"] for writer in writers)
    return [requests[-1] for requests in heard if requests]


def asked(owner, instant):
    """Questions about that instant, and what they were answered."""
    past = f"FOR SYSTEM_TIME AS OF {literal(instant)}"
    questions = [f"SELECT count(*), sum(n), max(_system_time) FROM shop.orders {past}", f"SELECT count(*), min(id), max(id) FROM shop.events {past}"]
    return {sql: owner.rows(sql) for sql in questions}


def assert_holds(owner, requests):
    """The first answers of a new owner lack nothing."""
    for request in requests:
        ids = ", ".join(f"'{id}'" for id in request.ids)
        found = owner.rows(f"SELECT count(*) FROM {request.namespace}.events WHERE id IN ({ids})")
        assert found == [(len(request.ids),)], (request.path, request.key, found)


def wakes_and_ends(away, owner):
    """One that was away finds questions and events waiting: it answers none, takes none, and ends."""
    witness = owner.send({}, namespace="watch")["system_time"]
    waiting = [
        Asked(away, "POST", "/v1/query", {"sql": f"SELECT count(*) FROM watch.events WHERE _system_time = {literal(witness)}"}),
        Asked(away, "POST", "/v1/query", {"sql": "SELECT count(*) FROM shop.orders"}),
        Asked(away, "POST", "/v1/shop/events", [{"id": "from the dead", "type": "note"}]),
        Asked(away, "POST", "/v1/shop/orders/changes", [{"op": "insert", "id": "from the dead", "doc": {"n": 0}}]),
    ]
    away.signal(signal.SIGCONT)
    for question in waiting:
        answer = question.answer()
        assert answer is None or answer.status == 503, (question.what, answer)
    assert away.ends() == 1, away.log
    assert "another process owns this lake now" in away.log, away.log
    with pytest.raises(ConnectionRefusedError):
        away.ask("GET", "/health")


def check(owner, requests, probes):
    """Everything; how many requests of which nothing was known are stored."""
    stored = audit(owner, requests)
    documents = {id: json.loads(doc) for id, doc in owner.rows("SELECT _id, _doc FROM shop.orders")}
    assert documents == folded(requests)
    for sql, answer in probes.items():
        assert owner.rows(sql) == answer, sql
    return stored


def tell(waits, requests, stored):
    fates = {fate: sum(request.fate == fate for request in requests) for fate in ("acknowledged", "refused", "unknown")}
    again = sum(request.attempts > 1 for request in requests)
    remark(f"{TAKEOVERS} take-overs under load, lease {LEASE_MS} ms: {fates} requests, {stored} of the unknown are stored, {again} were sent more than "
           "once; ready after " + ", ".join(f"{end} {statistics.median(times):.2f} s (at most {max(times):.2f})" for end, times in waits.items() if times))


def counted(owner, expected):
    assert owner.rows("SELECT count(*), count(DISTINCT id) FROM shop.events") == [(expected, expected)], owner.log


def test_who_died_before_it_wrote_anything_hides_nothing_of_those_before(lake):
    """The next epoch exists, its owner never wrote to its log: all that a kill in the middle of replay leaves behind."""
    owner = lake.serve()
    owner.send({"id": "1"})
    owner.kill()
    entries = lake.store / "_tidemark" / "owner"
    last = json.loads(max(entries.iterdir()).read_text())
    log = last["log"][:-1] + ("1" if last["log"][-1] == "0" else "0")
    died = {**last, "epoch": last["epoch"] + 1, "put_id": log, "log": log, "inherits": [*last.get("inherits", []), last["log"]]}
    (entries / f"{died['epoch']:020}.json").write_text(json.dumps(died))
    counted(lake.serve(), 1)


def test_whoever_dies_while_it_takes_over_is_followed_too(tmp_path):
    lake, chance = Lake(tmp_path, SHORT_LEASE_MS), random.Random(7)
    owner, waiting = lake.serve(**RESTLESS), [lake.stand_by(**RESTLESS), lake.stand_by(**RESTLESS)]
    try:
        for round in range(DEATHS):
            owner.send({"id": f"{round}"})
            owner.kill()
            until(lambda: any("taking over" in process.log for process in waiting), "nobody takes over", pause=0.002)
            taker = next(process for process in waiting if "taking over" in process.log)
            # Anywhere between the last word of the lease and its own first answers.
            taker.ended.wait(chance.random() * 0.08)
            taker.kill()
            (owner,) = (process for process in waiting if process is not taker)
            owner.is_ready()
            counted(owner, round + 1)
            waiting = [lake.stand_by(**RESTLESS), lake.stand_by(**RESTLESS)]
        for process in [*waiting, owner]:
            assert process.stop() == 0
        lake.verify()
    finally:
        lake.end()


def test_an_absence_of_about_a_lease_leaves_one_owner(tmp_path):
    lake, chance, taken, went_on = Lake(tmp_path, SHORT_LEASE_MS), random.Random(3), [], 0
    owner, standby = lake.serve(**RESTLESS), lake.stand_by(**RESTLESS)
    try:
        for round in range(ABSENCES):
            owner.signal(signal.SIGSTOP)
            owner.ended.wait((0.9 + 0.7 * chance.random()) * lake.lease_s)
            owner.signal(signal.SIGCONT)
            # Either it has renewed its lease and takes events again, or it is over for it.
            until(lambda: takes(owner, f"{round}", taken), "neither goes on", unless=lambda: standby.ready_at)
            if standby.ready_at:
                assert owner.ends() == 1, owner.log
                owner, standby = standby, lake.stand_by(**RESTLESS)
                until(lambda: takes(owner, f"{round} with the next", taken), "it takes nothing")
            else:
                went_on += 1
            stored = [id for (id,) in owner.rows("SELECT id FROM shop.events")]
            assert set(taken) <= set(stored) and len(set(stored)) == len(stored), (taken, stored)
        assert standby.stop() == 0 and owner.stop() == 0
        lake.verify()
        remark(f"{ABSENCES} absences of 0.9 to 1.6 leases of {SHORT_LEASE_MS} ms: {went_on} owners went on")
    finally:
        lake.end()


def takes(owner, id, taken):
    """Whether an event is acknowledged by it."""
    try:
        answer = owner.ask("POST", "/v1/shop/events", [{"id": id, "type": "note"}])
    except (OSError, http.client.HTTPException):
        return False
    taken += [id] if answer.status == 200 else []
    return answer.status == 200


COUNT = "SELECT count(*) FROM watch.events"


def over_http(process):
    connection = http.client.HTTPConnection(process.http, timeout=WITHIN_SECONDS)

    def count():
        try:
            answer = ask(connection, "POST", "/v1/query", {"sql": COUNT})
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if answer.status == 503:
            raise ConnectionError(answer)
        assert answer.status == 200, answer
        return answer.body["rows"][0][0]
    return count


def over_postgres(process):
    connection = psycopg.connect(f"postgresql://me@{process.postgres}/tidemark", autocommit=True)
    return lambda: connection.execute(COUNT, prepare=True).fetchone()[0]


def over_flight(process):
    connection = adbc.connect(f"grpc://{process.grpc}", autocommit=True)

    def count():
        with connection.cursor() as cursor:
            cursor.execute(COUNT)
            return cursor.fetchone()[0]
    return count


def over_a_prepared_statement_of_flight(process):
    cursor = adbc.connect(f"grpc://{process.grpc}", autocommit=True).cursor()
    cursor.adbc_prepare(COUNT)

    def count():
        cursor.execute(COUNT)
        return cursor.fetchone()[0]
    return count


DOORS = {"http": over_http, "postgres": over_postgres, "flight": over_flight, "flight, prepared": over_a_prepared_statement_of_flight}
REFUSED = (OSError, http.client.HTTPException, psycopg.Error, adbc_driver_manager.Error)


class Reader(threading.Thread):
    """Counts at one door of an owner, from when it is told to until the owner is gone."""

    def __init__(self, door, process):
        super().__init__(daemon=True)
        self.count, self.process, self.begin = DOORS[door](process), process, threading.Event()
        self.counted, self.refused, self.failure = [self.count()], [], None
        self.start()

    def run(self):
        self.begin.wait(WITHIN_SECONDS)
        while self.process.is_alive:
            try:
                self.counted.append(self.count())
            except REFUSED as refused:
                self.refused.append(str(refused))
                # Whether the process is gone is known a moment later.
                self.process.ended.wait(0.01)
            except Exception as failure:
                self.failure = failure
                return


def unread(address):
    """Bytes that came to connections of this address and that its process has not taken yet."""
    local = f":{int(address.rpartition(':')[2]):04X}"
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[4].partition(":")[2], 16) for line in lines if line[1].endswith(local) and line[3] == "01")


# A prepared statement cannot be closed where it was prepared: that process is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("round", range(STALE_ROUNDS))
def test_an_owner_that_was_away_answers_nothing_older_than_what_its_successor_acknowledged(lake, round):
    owner = lake.serve()
    for n in range(3):
        owner.send({"id": f"{n}"}, namespace="watch")
    readers = {door: Reader(door, owner) for door in DOORS}
    assert {door: reader.counted for door, reader in readers.items()} == {door: [3] for door in DOORS}
    standby = lake.stand_by()
    owner.signal(signal.SIGSTOP)
    standby.is_ready()
    standby.send({"id": "3"}, namespace="watch")
    for reader in readers.values():
        reader.begin.set()
    # Every door has a question that waits: whoever wakes up finds it before anything else.
    until(lambda: all(unread(address) for address in (owner.http, owner.postgres, owner.grpc)), "nobody asks")
    owner.signal(signal.SIGCONT)
    assert owner.ends() == 1
    for door, reader in readers.items():
        reader.join(WITHIN_SECONDS)
        assert reader.failure is None and not reader.is_alive(), (door, reader.failure)
        assert reader.counted == [3] and reader.refused, f"{door} told {reader.counted[1:]}: stale"
    assert standby.rows(COUNT) == [(4,)]


# What an owner that was away is asked, and why it would be wrong to tell; its successor has declared, made and dropped these.
WRONG = {
    "a table that was made since": ("POST", "/v1/query", {"sql": "SELECT * FROM shop.fresh"}),
    "how many collections there are": ("POST", "/v1/query", {"sql": "SELECT count(*) FROM system.collections"}),
    "what is dropped": ("GET", "/v1/dropped", None),
    "a schema": ("GET", "/v1/shop/orders/schema", None),
    "how long the past is kept": ("GET", "/v1/shop/orders/retention", None),
    "whether it is ready": ("GET", "/ready", None),
    "to drop": ("POST", "/v1/shop/kept/drop", {}),
    "to declare": ("PUT", "/v1/shop/kept/schema", {"type": "object"}),
    "to store": ("POST", "/v1/shop/events", [{"id": "1", "type": "note"}]),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What an owner answers to these when it wakes up and another has the lake."""
    lake = Lake(tmp_path_factory.mktemp("woken"), LEASE_MS)
    try:
        return woken(lake)
    finally:
        lake.end()


def woken(lake):
    owner = lake.serve()
    for collection in ("orders", "gone", "kept"):
        owner.insist("POST", f"/v1/shop/{collection}/changes", [{"op": "insert", "id": "1", "doc": {"n": 1}}])
    standby = lake.stand_by()
    owner.signal(signal.SIGSTOP)
    standby.is_ready()
    standby.insist("POST", "/v1/shop/fresh/changes", [{"op": "insert", "id": "1", "doc": {"n": 1}}])
    standby.insist("PUT", "/v1/shop/orders/schema?strictness=lenient", {"type": "object"})
    standby.insist("PUT", "/v1/shop/orders/retention", {"daily": 3})
    standby.insist("POST", "/v1/shop/gone/drop", {})
    waiting = {what: Asked(owner, *question) for what, question in WRONG.items()}
    owner.signal(signal.SIGCONT)
    answers = {what: asked.answer() for what, asked in waiting.items()}
    assert owner.ends() == 1
    assert [one["collection"] for one in standby.ask("GET", "/v1/dropped").body["dropped"]] == ["gone"]
    assert standby.ask("GET", "/v1/shop/kept/schema").status == 404
    return answers


@pytest.mark.parametrize("what", WRONG)
def test_an_owner_that_was_away_refuses_whatever_it_is_asked(told, what):
    assert told[what] is None or told[what].status == 503, told[what]
