"""Who may start on a lake, and when: one that is refused while the owner lives, one that stands by, one that comes after a kill, with
the log in the store and on a disk."""

import os
import shutil
import signal
import subprocess
import time

import grpc
import psycopg
import pytest
from owners import WITHIN_SECONDS, Lake, until
from security import raw
from test_grpc import Door

from conftest import binary, remark

#: Long enough that a busy machine does not make an owner miss it, and that a start within it tells something.
LEASE_MS = 2000
#: What a start, a replay or an exit may take on a busy machine, besides what the lease says.
SLACK_SECONDS = 5


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path, LEASE_MS)
    yield made
    made.end()


@pytest.fixture
def patient(tmp_path):
    """A lake of whose lease nobody sees the end."""
    made = Lake(tmp_path, 10 * WITHIN_SECONDS * 1000)
    yield made
    made.end()


def after(began, ended, name, leases):
    """Tells how long it took, and that it was not longer than so many leases."""
    took = max(0, ended - began)
    remark(f"{name}: {took:.2f} s, {took * 1000 / LEASE_MS:.2f} leases of {LEASE_MS} ms")
    assert took < leases * LEASE_MS / 1000 + SLACK_SECONDS, name
    return took


def test_a_second_process_is_refused_while_the_first_lives_and_starts_when_it_is_dead(lake):
    first = lake.serve()
    first.send({"id": "1"})
    second = lake.start()
    assert second.ends() == 1
    after(second.started_at, second.ended_at, "a second process is refused", 1)
    told = second.log.splitlines()[-1]
    assert "is owned by another process that is alive" in told and f"process {first.process.pid}" in told and "--standby" in told
    first.send({"id": "2"})
    first.kill()
    third = lake.serve()
    after(first.ended_at, third.ready_at, "a start after kill -9, the log in the store", 2)
    assert third.rows("SELECT id FROM shop.events ORDER BY id") == [("1",), ("2",)]


def test_another_log_is_refused_while_the_owner_lives(lake):
    log = lake.home / "log"
    first = lake.serve(log=log)
    first.send({"id": "1"})
    same = lake.start(log=log)
    assert same.ends() == 1 and "is in use by another process" in same.log
    for another in (lake.home / "another log", "object"):
        refused = lake.start(log=another)
        assert refused.ends() == 1 and "is owned by another process that is alive" in refused.log and "--standby" in refused.log
    assert first.rows("SELECT id FROM shop.events") == [("1",)]


def test_whoever_starts_with_another_log_is_told_what_may_be_missing(lake):
    log, left = lake.home / "log", "what is only there is not in the lake"
    first = lake.serve(log=log)
    first.send({"id": "1"})
    first.kill()
    second = lake.serve(log=lake.home / "another log")
    assert left in second.log
    assert second.stop() == 0
    # Nobody has given the same positions away meanwhile.
    third = lake.serve(log=log)
    assert left not in third.log and third.rows("SELECT id FROM shop.events") == [("1",)]


def test_nobody_waits_for_a_lease_who_holds_the_log_or_comes_after_an_orderly_end(patient):
    log = patient.home / "log"
    first = patient.serve(log=log)
    first.send({"id": "1"})
    first.kill()
    again = patient.serve(log=log)
    after(again.started_at, again.ready_at, "a restart after kill -9 on the directory of the log", 0)
    assert again.rows("SELECT id FROM shop.events") == [("1",)]
    assert again.stop() == 0
    for another in (patient.home / "another log", "object", "object"):
        again = patient.serve(log=another)
        after(again.started_at, again.ready_at, "a start with another log after an orderly end", 0)
        assert again.rows("SELECT id FROM shop.events") == [("1",)]
        assert again.stop() == 0


@pytest.mark.parametrize("end, leases", [("term", 1), ("kill", 2)])
def test_a_standby_takes_over(lake, end, leases):
    owner, standby = lake.serve(), lake.stand_by()
    owner.send({"id": "1"})
    if end == "term":
        assert owner.stop() == 0
    else:
        owner.kill()
    standby.is_ready()
    after(owner.ended_at, standby.ready_at, f"a standby is ready after the owner's {end}", leases)
    assert standby.rows("SELECT id FROM shop.events") == [("1",)]
    assert standby.ask("GET", "/ready").status == 200 and "role" not in standby.ask("GET", "/health").body


def test_a_standby_answers_that_it_stands_by_and_ends_at_once(lake):
    owner, standby = lake.serve(), lake.stand_by()
    owner.send({"id": "1"})
    health = standby.ask("GET", "/health")
    assert health.status == 200 and health.body == {"status": "ok", "role": "standby"}
    assert standby.ask("GET", "/version").status == 200
    for method, path, body in [
        ("GET", "/ready", None), ("POST", "/v1/query", {"sql": "SELECT 1"}), ("GET", "/v1/dropped", None),
        ("POST", "/v1/shop/events", [{"type": "note"}]), ("POST", "/ingest", {"type": "note"}), ("GET", "/nowhere", None),
    ]:
        answer = standby.ask(method, path, body)
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "standby", "1"), (path, answer)
    with pytest.raises(grpc.RpcError) as refused:
        Door(standby).append('{"type": "note"}')
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    began = time.monotonic()
    assert standby.stop() == 0
    after(began, standby.ended_at, "a standby ends", 0)
    assert owner.rows("SELECT count(*) FROM shop.events") == [(1,)]


def test_postgres_is_refused_by_a_standby(lake):
    lake.serve()
    standby = lake.stand_by()
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(f"postgresql://me@{standby.postgres}/tidemark", connect_timeout=2)
    assert "timeout" not in str(refused.value), "it is left hanging"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_of_two_that_stand_by_one_takes_over(lake, how):
    owner = lake.serve()
    standing_by = [lake.stand_by(), lake.stand_by()]
    owner.send({"id": "1"})
    owner.signal(how)
    owner.ends()
    until(lambda: any(process.ready_at for process in standing_by), "nobody takes over")
    (taker,), (waiter,) = ([process for process in standing_by if bool(process.ready_at) is is_ready] for is_ready in (True, False))
    assert waiter.is_standing_by() and taker.rows("SELECT count(*) FROM shop.events") == [(1,)]
    # It goes on waiting, for longer than it takes to find an owner dead.
    assert not waiter.ended.wait(1.5 * lake.lease_s)
    assert waiter.ready_at is None and waiter.is_standing_by() and taker.is_alive
    taker.kill()
    waiter.is_ready()
    assert waiter.rows("SELECT count(*) FROM shop.events") == [(1,)]


def test_a_machine_that_is_lost_takes_nothing_with_it(lake):
    owner = lake.serve()
    receipt = owner.send({"id": "1"}, {"id": "2"})
    assert receipt["durability"] == "object"
    asked = owner.insist("POST", "/v1/shop/events?durability=object", [{"id": "3", "type": "note"}])
    change = owner.insist("POST", "/v1/shop/orders/changes", [{"op": "insert", "id": "a", "doc": {"n": 1}}])
    assert asked["durability"] == change["durability"] == "object"
    owner.kill()
    shutil.rmtree(owner.home / "data", ignore_errors=True)
    elsewhere = lake.serve()
    assert elsewhere.rows("SELECT id FROM shop.events WHERE type = 'note' ORDER BY id") == [("1",), ("2",), ("3",)]
    assert elsewhere.rows("SELECT _id, n FROM shop.orders") == [("a", 1)]
    assert elsewhere.stop() == 0
    lake.verify()


def test_with_a_log_on_a_disk_an_object_is_not_promised(lake):
    owner = lake.serve(log=lake.home / "log")
    refused = owner.ask("POST", "/v1/shop/events?durability=object", [{"type": "note"}])
    assert (refused.status, refused.code) == (422, "unsupported_durability") and "--log object" in refused.body["detail"]
    assert owner.send({"id": "1"})["durability"] == "local"


def test_a_log_moves_into_the_store_and_back(lake):
    log = lake.home / "log"
    on_disk = lake.serve(log=log)
    on_disk.send({"id": "1"})
    assert on_disk.stop() == 0
    in_store = lake.serve()
    assert in_store.send({"id": "2"})["durability"] == "object"
    in_store.kill()
    refused = lake.start(log=log)
    assert refused.ends() == 1 and "--log object" in refused.log.splitlines()[-1], refused.log
    in_store = lake.serve()
    assert in_store.rows("SELECT id FROM shop.events ORDER BY id") == [("1",), ("2",)]
    in_store.send({"id": "3"})
    assert in_store.stop() == 0
    on_disk = lake.serve(log=log)
    assert on_disk.send({"id": "4"})["durability"] == "local"
    assert on_disk.rows("SELECT id FROM shop.events ORDER BY id") == [("1",), ("2",), ("3",), ("4",)]
    assert on_disk.stop() == 0
    lake.verify()


def test_a_log_that_was_left_on_this_disk_is_not_passed_over(lake):
    data = lake.home / "data"
    on_disk = lake.serve(data=data, log=None)
    on_disk.send({"id": "1"})
    on_disk.kill()
    refused = lake.start(data=data)
    until(lambda: refused.ready_at or not refused.is_alive, "nothing happens")
    assert refused.ready_at is None and refused.ends() == 1 and "start once with it" in refused.log.splitlines()[-1], refused.log
    again = lake.serve(data=data, log=None)
    assert again.rows("SELECT id FROM shop.events") == [("1",)]
    assert again.stop() == 0
    assert lake.serve(data=data).rows("SELECT id FROM shop.events") == [("1",)]


def test_a_standby_tells_what_it_measures_to_whoever_may_ask(lake):
    owner = lake.serve(auth__token="a token of tests")
    standby = lake.stand_by(auth__token="a token of tests")
    assert raw(standby, "GET", "/metrics")[0] == 401
    status, text = raw(standby, "GET", "/metrics", token="a token of tests")
    assert status == 200 and "\ntidemark_standby 1\n" in text and "\ntidemark_ready 0\n" in text
    assert "\nprocess_open_fds " in text
    owner.kill()
    until(lambda: standby.ready_at, "it does not take over")
    text = raw(standby, "GET", "/metrics", token="a token of tests")[1]
    assert "\ntidemark_standby 0\n" in text and "\ntidemark_lease_held 1\n" in text


def test_what_a_dead_owner_has_on_its_disk_is_not_passed_over_by_a_standby(lake):
    """Nobody decided to give up what was acknowledged: the disk may come back any moment."""
    owner = lake.serve(log=lake.home / "log")
    owner.send({"id": "1"})
    standby = lake.stand_by()
    owner.kill()
    assert standby.ends() == 1 and standby.ready_at is None
    assert "does not take over by itself" in standby.log, standby.log
    assert lake.serve(log=lake.home / "log").rows("SELECT id FROM shop.events") == [("1",)]


def test_nobody_waits_for_a_start_that_was_refused(lake):
    in_store = lake.serve(ingest__flush_rows=2)
    in_store.send({"id": "1"})
    in_store.send({"id": "2"})
    until(lambda: in_store.rows("SELECT events FROM system.namespaces") == [(2,)], "nothing comes into files")
    in_store.send({"id": "3"})
    in_store.kill()
    refused = lake.start(log=lake.home / "log")
    assert refused.ends() == 1
    again = lake.serve()
    assert f"process {refused.process.pid}" not in again.log, "it waited for a process that never served"
    assert again.rows("SELECT id FROM shop.events ORDER BY id") == [("1",), ("2",), ("3",)]


@pytest.mark.parametrize("flags, settings, why", [
    (["--standby", "--log", "LOG"], {}, "standby needs --log object"),
    (["--standby"], {}, "standby needs --log object"),
    (["--log", "object"], {"TIDEMARK_LEASE__TIME_MS": "299"}, "lease.time_ms = 299 cannot be held: give 300 or more"),
    (["--log", "object"], {"TIDEMARK_OBJECT_LOG__WINDOW_MS": "60001"}, "object_log.window_ms = 60001 would hold every acknowledgement up"),
    (["--log", "object"], {"TIDEMARK_LEASE__TIME_MS": "0"}, "lease.time_ms = 0 cannot be held: give 300 or more"),
])
def test_settings_that_cannot_hold_are_refused(tmp_path, flags, settings, why):
    flags = [str(tmp_path / "log") if flag == "LOG" else flag for flag in flags]
    told = subprocess.run(
        [binary(), "serve", "--data", tmp_path / "data", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--postgres", "off", *flags],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=WITHIN_SECONDS, cwd=tmp_path)
    assert told.returncode == 1 and why in told.stderr, told.stderr
    assert not (tmp_path / "data" / "lake").exists(), "it was refused before anything was touched"
