"""Settings read anew while the server runs: by SIGHUP, by `POST /v1/reload` and `tidemark config reload`.

What can change does so at once; what needs a restart is told by name, and then nothing changes; a file that cannot be read changes nothing.
"""

import json
import os
import signal
import subprocess
import urllib.request

import pytest
from conftest import Server, binary
from owners import until
from test_tokens import Lake, code

OLD, NEW = "the first root token of this test", "the second root token of this test"
OUTCOMES = "tidemark_config_reloads_total"


class House(Lake):
    """A server with a settings file and the root token in a file."""

    def __init__(self, home):
        self.home, self.file, self.token_file = home, home / "data" / "tidemark.toml", home / "token"
        self.file.parent.mkdir()
        self.token_file.write_text(OLD + "\n")
        self.root = OLD
        self.write()
        self.server = Server(home)
        assert self.ask("POST", "/v1/shop/events", {"type": "a"})[0] == 200

    def write(self, text=""):
        self.file.write_text(f'[auth]\ntoken = "file:{self.token_file}"\n{text}')

    def ask(self, method, path, body=None, token=None, headers=None):
        return super().ask(method, path, body, token or self.root, headers)

    def reload(self, **more):
        status, text = self.ask("POST", "/v1/reload", **more)
        return status, json.loads(text)

    def changed(self):
        status, told = self.reload()
        assert status == 200, told
        return {one["key"]: (one["old"], one["new"]) for one in told["changed"]}

    def counted(self, outcome):
        lines = self.ask("GET", "/metrics")[1].splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f'{OUTCOMES}{{outcome="{outcome}"}}'))

    def log(self):
        return (self.home / "server.log").read_text()


@pytest.fixture
def house(tmp_path):
    found = House(tmp_path)
    yield found
    found.server.kill()
    assert "panicked" not in found.log() and OLD not in found.log() and NEW not in found.log()


def requests_left(house):
    """How many requests a minute a client may make, as the answers tell."""
    request = urllib.request.Request(house.server.http + "/v1/tokens", headers={"Authorization": f"Bearer {house.root}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["ratelimit-limit"]


def test_limits_and_the_filter_change_at_once(house):
    assert house.changed() == {} and requests_left(house) is None
    house.write("[limits]\nrequests_per_minute = 5000\nevents_per_minute = 2\n[logs]\nfilter = \"debug\"\n")
    assert house.changed() == {
        "limits.events_per_minute": ("not set", "2"), "limits.requests_per_minute": ("not set", "5000"), "logs.filter": ('"info"', '"debug"')}
    assert requests_left(house) == "5000"
    two, three = ([{"type": "a"}] * count for count in (2, 3))
    assert code(house.ask("POST", "/v1/shop/events", three)) == (413, "rate_limit_exceeded")
    assert house.ask("POST", "/v1/shop/events", two)[0] == 200
    assert code(house.ask("POST", "/v1/shop/events", two)) == (429, "rate_limit_exceeded")
    assert "DEBUG" in house.log(), "what happened since is told in more detail"
    house.write()
    assert set(house.changed()) == {"limits.events_per_minute", "limits.requests_per_minute", "logs.filter"}
    assert requests_left(house) is None and house.ask("POST", "/v1/shop/events", three)[0] == 200
    assert [house.counted(outcome) for outcome in ("changed", "unchanged", "restart_needed", "invalid")] == [2, 1, 0, 0]


def test_the_root_token_is_rotated(house):
    stays = house.token("query", by=OLD)
    house.token_file.write_text(NEW)
    assert house.ask("GET", "/v1/tokens", token=NEW)[0] == 401, "nobody said so yet"
    status, told = house.reload()
    assert (status, told) == (200, {"changed": [{"key": "auth.token", "old": '"***"', "new": '"***"'}]})
    house.root = NEW
    assert house.ask("GET", "/v1/tokens")[0] == 200
    assert code(house.ask("GET", "/v1/tokens", token=OLD)) == (401, "invalid_token")
    assert house.sql("SELECT count(*) FROM shop.events", token=stays)[0] == 200, "tokens of the lake are not touched"
    with pytest.raises(Exception, match="(?i)token|password"):
        house.flight(OLD).cursor().execute("SELECT 1")
    records = json.loads(house.ask("GET", "/v1/audit")[1])["records"]
    assert [(one["who"], one["outcome"]) for one in records if one["action"] == "reload"] == [("root", "ok")]


def test_what_needs_a_restart_is_told_and_changes_nothing(house):
    house.write('[limits]\nrequests_per_minute = 7\n[query]\ntimeout_s = 20\n[stop]\ndrain_ms = 1\n')
    status, told = house.reload()
    assert (status, told["code"]) == (409, "restart_needed"), told
    assert "query.timeout_s: 60 → 20" in told["detail"] and "stop.drain_ms" in told["detail"] and "limits" not in told["detail"], told
    assert requests_left(house) is None and house.counted("restart_needed") == 1
    # Without a root token doors would open: that is for a restart, which looks at the addresses.
    house.file.write_text("")
    status, told = house.reload()
    assert (status, told["code"]) == (409, "restart_needed") and "auth.token" in told["detail"]
    assert house.ask("GET", "/v1/tokens", token="nothing at all")[0] == 401


@pytest.mark.parametrize("damage", ["not toml at all", "[limits]\nrequests_per_hour = 1\n", "[limits]\nrequests_per_minute = 0\n", '[logs]\nfilter = "tidemark=loud"\n'])
def test_settings_that_cannot_be_used_change_nothing(house, damage):
    house.write("[limits]\nrequests_per_minute = 4000\n")
    house.changed()
    house.write(damage)
    status, told = house.reload()
    assert (status, told["code"]) == (422, "invalid_settings"), told
    assert requests_left(house) == "4000" and house.counted("invalid") == 1
    assert "those in force stay" in house.log()
    house.token_file.unlink()
    house.write()
    status, told = house.reload()
    assert status == 422 and "auth.token" in told["detail"], told
    assert requests_left(house) == "4000" and house.counted("invalid") == 2


def test_sighup_reads_them_too_and_ends_nothing(house):
    house.write("[limits]\nrequests_per_minute = 3000\n")
    house.server.process.send_signal(signal.SIGHUP)
    until(lambda: requests_left(house) == "3000", house.log())
    house.write("no settings")
    house.server.process.send_signal(signal.SIGHUP)
    until(lambda: house.counted("invalid") == 1, house.log())
    assert house.server.process.poll() is None and requests_left(house) == "3000"
    until(lambda: sum(one["door"] == "signal" for one in json.loads(house.ask("GET", "/v1/audit")[1])["records"]) == 2, "it is not recorded")
    records = json.loads(house.ask("GET", "/v1/audit")[1])["records"]
    found = [(one["who"], one["outcome"]) for one in records if one["action"] == "reload"]
    assert found == [("tidemark", "invalid_settings"), ("tidemark", "ok")]


def test_only_the_root_token_reads_them(house):
    admin = house.token("admin", "query", "ingest", namespaces=["*"], by=OLD)
    house.write("[limits]\nrequests_per_minute = 9\n")
    assert code(house.ask("POST", "/v1/reload", token=admin)) == (403, "root_only")
    assert house.ask("POST", "/v1/reload", token="wrong")[0] == 401
    assert requests_left(house) is None
    environment = {**os.environ, "TIDEMARK_TOKEN": OLD, "TIDEMARK_URL": house.server.http}
    done = subprocess.run([binary(), "config", "reload"], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "limits.requests_per_minute: not set → 9\n"), done


def test_a_token_that_another_process_revoked_opens_nothing_after_seconds(house):
    """Tokens of the lake need no reload: they are read anew by themselves. Whoever changes them elsewhere writes the next document."""
    given = house.token("query", by=OLD)
    assert house.sql("SELECT 1", token=given)[0] == 200
    documents = house.server.data / "lake" / "_tidemark" / "tokens"
    newest = max(documents.iterdir())
    told = json.loads(newest.read_text())
    told["version"] += 1
    told["put_id"] = "another process"
    told["tokens"][-1]["revoked_at"] = told["written_at"]
    (documents / newest.name.replace(newest.stem, f"{int(newest.stem) + 1:0{len(newest.stem)}d}")).write_text(json.dumps(told))
    until(lambda: house.sql("SELECT 1", token=given)[0] == 401, "it still opens everything")
