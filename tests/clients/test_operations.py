"""What operators are given in deploy/ fits the server: every metric that an alert or the dashboard names is there, every alert fires
where it should and leads into the runbook, and the files that start a server start this one.

Prometheus itself (Debian's package) is needed for most of it; where it is missing, that is told.
"""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time

import pytest
import yaml
from conftest import Server, binary, remark, skip
from security import metric, raw
from test_tokens import ROOT as TOKEN
from watching import CASES, DASHBOARD, DEPLOY, OPERATIONS, ROOT, RULES, Prometheus, anchors, dashboard_expressions, families, free_port, names, program, rules

#: Set by Prometheus itself.
PROMETHEUS_LABELS = {"job", "instance", "le"}
#: Metrics that a server which is well never shows, and where they are told.
RARE = {"tidemark_ingest_broken_invariants_total": {"name"}}
#: In which time an alert has to fire on a real server.
FIRES_SECONDS = 120
#: What a machine that plays all scenarios at once may well cause, where an alert needs no patience; and its disk may be full.
SLOW = {"TidemarkDiskFills", "TidemarkIngestSlow", "TidemarkIngestVerySlow", "TidemarkLogSyncSlow", "TidemarkQueriesWait", "TidemarkQueriesSlow"}
MIB = 1 << 20
#: Larger than this is what TidemarkFoldBehind looks for.
CHANGES = 260_000


# Files

def test_alerts_are_whole():
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    known = anchors(OPERATIONS)
    for rule in found:
        assert rule["for"] and rule["labels"]["severity"] in {"P0", "P1", "P2", "P3"}, rule["alert"]
        annotations = rule["annotations"]
        assert annotations["summary"] and annotations["description"].endswith("."), rule["alert"]
        file, anchor = annotations["runbook_url"].split("#")
        assert ROOT / file == OPERATIONS and anchor in known, annotations["runbook_url"]


def test_the_runbook_tells_every_alert_with_its_severity():
    told = dict(re.findall(r"^\| `(Tidemark\w+)` \| (P\d) \|", OPERATIONS.read_text(), flags=re.M))
    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def test_every_alert_fires_in_its_case():
    cases = yaml.safe_load(CASES.read_text())["tests"]
    fired = {sample["labels"] for case in cases for test in case["promql_expr_test"] for sample in test["exp_samples"]}
    assert fired == {f'{{alertname="{rule["alert"]}"}}' for rule in rules()}
    promtool = program("promtool") or skip("cases of alerts", "promtool is missing: install Debian's prometheus")
    for words in (["check", "config", "--syntax-only", DEPLOY / "prometheus/prometheus.yml"], ["check", "rules", RULES], ["test", "rules", CASES]):
        done = subprocess.run([promtool, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_well_formed():
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Overview", "Ingest", "Log", "Tables and jobs", "Queries", "Store requests", "Process"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [(panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
             for panel in panels for x in range(panel["gridPos"]["w"]) for y in range(panel["gridPos"]["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24, "panels lie beside each other"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        parts = [panel, *panel.get("targets", [])] if panel["type"] != "row" else []
        assert all(part["datasource"] == source for part in parts), panel["title"]
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource", "query", "query"]


def test_the_settings_are_settings():
    printed = subprocess.run([binary(), "config", "print", "--config", DEPLOY / "tidemark.toml"], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    named = set(re.findall(r'^(?:# )?(\w+) = ', (DEPLOY / "tidemark.toml").read_text(), flags=re.M))
    assert named <= set(re.findall(r"[a-z_]+", OPERATIONS.read_text())), "each key is told"


def unit():
    lines = re.findall(r"^(\w+)=(.*)$", (DEPLOY / "systemd/tidemark.service").read_text(), flags=re.M)
    return {key: value for key, value in lines}


def setting(printed, key):
    section, _, name = key.rpartition(".")
    part = printed.split(f"[{section}]", 1)[1].split("\n[", 1)[0]
    return int(re.search(rf"^{name} = (\d+)", part, flags=re.M)[1])


def test_the_unit_gives_a_server_room_and_time():
    printed = subprocess.check_output([binary(), "config", "print", "--config", DEPLOY / "tidemark.toml"], text=True)
    announce, drain, deltas = (setting(printed, key) for key in ("stop.announce_ms", "stop.drain_ms", "cdc.drain_s"))
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]["tidemark"]
    for seconds in (int(unit()["TimeoutStopSec"]), int(compose["stop_grace_period"].removesuffix("s"))):
        assert seconds >= (announce + drain) / 1000 + deltas + 30, "a flush needs time too"
    for files in (int(unit()["LimitNOFILE"]), compose["ulimits"]["nofile"]):
        assert files >= 3 * setting(printed, "connections.max") + 256


def test_systemd_takes_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        # Nothing else needs systemd, so it is not asked for in CI.
        remark("systemd's unit was not looked at: systemd-analyze is missing")
        pytest.skip("systemd-analyze is missing")
    file = tmp_path / "tidemark.service"
    file.write_text((DEPLOY / "systemd/tidemark.service").read_text().replace("/usr/local/bin/tidemark", binary()))
    done = subprocess.run([analyze, "verify", "--man=no", file], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_image_is_built_as_the_workspace_wants():
    image = (DEPLOY / "Dockerfile").read_text()
    wanted = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), flags=re.M)[1]
    assert f"FROM rust:{wanted}-bookworm AS build" in image
    taken = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    members = re.search(r"^members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(), flags=re.M | re.S)[1]
    assert {member.split("/")[0] for member in re.findall(r'"([^"]+)"', members)} <= taken
    assert all((ROOT / name).exists() for name in taken)


# Real servers under a real Prometheus

def lake(home, http="127.0.0.1:0", **settings):
    home.mkdir(exist_ok=True)
    return Server(home, token=TOKEN, settings={key.replace("__", "."): value for key, value in settings.items()}, http=http)


def send(server, method, path, body=None, token=TOKEN):
    return raw(server, method, path, json.dumps(body).encode() if body is not None else b"", token=token)


def sql(server, text, token=TOKEN):
    return send(server, "POST", "/v1/query", {"sql": text}, token)


def insert(server, path, n):
    return send(server, "POST", f"/v1/{path}/changes", {"op": "insert", "id": str(n), "doc": {"n": n}})


def text_of(server):
    return raw(server, "GET", "/metrics")[1]


def until(said, seconds=FIRES_SECONDS, what=""):
    ends = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < ends, f"it did not come to that in time: {what() if callable(what) else what}"
        time.sleep(0.2)


class Scenario:
    """A server, what is done to it (again and again, until its alerts fire), and the alerts that have to."""

    alerts = set()
    #: The Prometheus that watches it, from before its begin.
    prometheus = None

    def __init__(self, home):
        self.home = home
        self.server = self.start()

    def start(self):
        return lake(self.home)

    def begin(self):
        """Once, when Prometheus has seen the server."""

    def again(self):
        """Every second."""

    def stop(self):
        self.server.process.kill()
        self.server.process.wait()


class Well(Scenario):
    """A small workload of all kinds, for what the dashboard shows; no alert fires."""

    def start(self):
        return lake(self.home, ingest__flush_rows=20, cdc__delta_rows=10, cdc__fold_rows_min=1, publish__interval_s=1)

    def again(self):
        for n in range(10):
            assert insert(self.server, "shop/orders", n)[0] == 200
        repeated = {"type": "a", "id": "the same", "ts": "2026-01-01T00:00:00Z"}
        assert send(self.server, "POST", "/v1/shop/events", repeated)[0] == 200
        for _ in range(2):
            assert sql(self.server, "SELECT * FROM shop.orders")[0] == 200
        assert sql(self.server, "SELECT * FROM shop.events LIMIT 1")[0] == 200
        assert send(self.server, "POST", "/v1/compact", {})[0] == 200


class Limits(Scenario):
    """Clients that ask too much, send what is malformed, and come with a wrong token."""

    alerts = {"TidemarkQueriesRefused", "TidemarkRateLimited", "TidemarkRecordsRefused", "TidemarkUnauthorized"}

    def start(self):
        return lake(self.home, limits__requests_per_minute=6000, limits__events_per_minute=600, query__query_memory_bytes=MIB)

    def again(self):
        status, text = sql(self.server, "SELECT array_agg(value) FROM generate_series(1, 3000000)")
        assert (status, json.loads(text)["code"]) == (429, "memory_exceeded"), text
        records = [{"type": "a"}] * 10 + [{"type": "not a type"}] * 10
        statuses = {send(self.server, "POST", "/v1/shop/events?on_error=partial", records)[0] for _ in range(20)}
        assert statuses <= {200, 429}
        # Beyond 60 a minute it is 429.
        assert sql(self.server, "SELECT 1", token="wrong")[0] in {401, 429}


class StoreGone(Scenario):
    """The folder of the lake turns into a file: every request to the store fails, as root too. The lease lasts longer than the
    test, so that it is the cap that ends ingest."""

    alerts = {"TidemarkStoreErrors", "TidemarkNotReady", "TidemarkFlushFailing", "TidemarkUnflushedNearCap", "TidemarkBackPressure"}

    def start(self):
        return lake(self.home, ingest__flush_rows=1, ingest__unflushed_bytes_max=20_000, lease__time_ms=3_600_000)

    def begin(self):
        assert insert(self.server, "shop/orders", 0)[0] == 200
        store = self.server.data / "lake"
        store.rename(store.with_name("gone"))
        store.touch()

    def again(self):
        statuses = [insert(self.server, "shop/orders", n)[0] for n in range(20)]
        assert set(statuses) <= {200, 429, 503}
        assert raw(self.server, "GET", "/ready")[0] in {200, 503}


class LeaseGone(Scenario):
    """The same with a lease that runs out at once."""

    alerts = {"TidemarkLeaseLapsed"}

    def start(self):
        return lake(self.home, lease__time_ms=300)

    def begin(self):
        store = self.server.data / "lake"
        store.rename(store.with_name("gone"))
        store.touch()


class FoldersGone(Scenario):
    """Single folders turn into files: deltas and the published log of one namespace, the manifests of another."""

    alerts = {"TidemarkStepFailing", "TidemarkJobFailing", "TidemarkPublishFailing", "TidemarkCommitsFailing"}

    def start(self):
        return lake(self.home, ingest__flush_rows=1, cdc__delta_rows=1, publish__interval_s=1)

    def begin(self):
        for path in ("shop/orders", "bank/accounts"):
            assert insert(self.server, path, 0)[0] == 200
        lake = self.server.data / "lake"
        until(lambda: (lake / "shop/events/_delta_log").exists() and (lake / "shop/orders/deltas").exists())
        for folder in ("shop/orders/deltas", "shop/events/_delta_log", "bank/events/_manifest"):
            shutil.rmtree(lake / folder)
            (lake / folder).touch()

    def again(self):
        for path in ("shop/orders", "bank/accounts"):
            assert insert(self.server, path, time.time_ns())[0] == 200


class Behind(Scenario):
    """More changes than one delta takes in, and no delta is due."""

    alerts = {"TidemarkFoldBehind"}

    def start(self):
        never = 10**9
        return lake(self.home, ingest__flush_rows=10_000, cdc__delta_rows=never, cdc__delta_files=never, cdc__delta_age_s=never)

    def begin(self):
        for first in range(0, CHANGES, 10_000):
            lines = "\n".join(f'{{"op":"insert","id":"{n}","doc":{{"n":1}}}}' for n in range(first, first + 10_000))
            assert raw(self.server, "POST", "/v1/shop/orders/changes", lines.encode(), [("content-type", "application/x-ndjson")])[0] == 200


class Full(Scenario):
    """A small file system that somebody fills."""

    alerts = {"TidemarkOutOfSpace", "TidemarkIngestErrors"}

    def start(self):
        data = self.home / "data"
        data.mkdir(parents=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", data], capture_output=True, text=True)
        if mounted.returncode:
            raise Impossible(f"a tmpfs cannot be mounted: {mounted.stderr}")
        return lake(self.home)

    def begin(self):
        assert insert(self.server, "shop/orders", 0)[0] == 200
        with contextlib.suppress(OSError), (self.server.data / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(MIB)) == MIB:
                pass

    def again(self):
        assert insert(self.server, "shop/orders", 1)[0] in {200, 503, 507}

    def stop(self):
        super().stop()
        subprocess.run(["umount", "--lazy", self.server.data], check=True)


class Down(Scenario):
    """A server that is killed."""

    alerts = {"TidemarkDown"}

    def begin(self):
        self.server.process.kill()


class Restarting(Scenario):
    """A server that is killed as soon as Prometheus knows that it began anew, and has lost a sidecar meanwhile.

    What Prometheus has seen decides, not what was asked of the server: on a slow machine a start that no scrape saw would be none.
    """

    alerts = {"TidemarkRestarting", "TidemarkSidecarUnreadable"}

    def start(self):
        self.starts = getattr(self, "starts", 0) + 1
        self.port = getattr(self, "port", None) or free_port()
        return lake(self.home, http=f"127.0.0.1:{self.port}", ingest__flush_rows=1)

    def begin(self):
        event = {"type": "a", "id": "one"}
        assert send(self.server, "POST", "/v1/shop/events", event)[0] == 200
        folder = self.server.data / "lake/shop/events/_idempotency"
        until(lambda: folder.exists() and any(folder.rglob("*.parquet")))
        for file in folder.rglob("*.parquet"):
            file.write_bytes(b"damaged")

    def again(self):
        begun = 'changes(process_start_time_seconds{instance="Restarting"}[15m])'
        if self.starts <= 4 and self.prometheus.ask(f"{begun} >= {self.starts - 1}"):
            self.stop()
            self.server = self.start()


class Impossible(Exception):
    """A scenario cannot be had on this machine."""


SCENARIOS = [Well, Limits, StoreGone, LeaseGone, FoldersGone, Behind, Full, Down, Restarting]


class Watched:
    """All scenarios at once, each in a thread of its own, under one Prometheus."""

    def __init__(self, home):
        self.scenarios, self.impossible, self.ended = {}, {}, threading.Event()
        for kind in SCENARIOS:
            try:
                self.scenarios[kind] = kind(home / kind.__name__)
            except Impossible as reason:
                self.impossible[kind] = str(reason)
        targets = {kind.__name__: scenario.server.http[7:] for kind, scenario in self.scenarios.items()}
        self.prometheus = Prometheus(home / "prometheus", targets, TOKEN)
        self.failures, self.threads = {}, []
        for kind, scenario in self.scenarios.items():
            self.threads.append(threading.Thread(target=self.play, args=(kind, scenario), daemon=True))
            self.threads[-1].start()

    def play(self, kind, scenario):
        scenario.prometheus = self.prometheus
        try:
            seen = f'count_over_time(up{{instance="{kind.__name__}"}}[1m]) >= 3'
            until(lambda: self.prometheus.ask(seen))
            scenario.begin()
            while not self.ended.is_set():
                scenario.again()
                self.ended.wait(1)
        except Exception as failure:
            self.failures[kind] = failure

    def await_alerts(self, kind):
        """Waits until all alerts of a scenario fire; what they say."""
        if kind in self.impossible:
            skip(f"alerts of {kind.__name__}", self.impossible[kind])
        wanted = {(name, kind.__name__) for name in kind.alerts}
        missing = lambda: f"{wanted - self.prometheus.firing().keys()} {self.failures.get(kind)}"
        until(lambda: kind in self.failures or wanted <= self.prometheus.firing().keys(), what=missing)
        assert kind not in self.failures, self.failures[kind]
        return {name: alert for (name, instance), alert in self.prometheus.firing().items() if instance == kind.__name__}

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
        for scenario in self.scenarios.values():
            scenario.stop()
        self.prometheus.stop()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    if not program("prometheus"):
        skip("alerts of real servers", "prometheus is missing: install Debian's package of this name, or set PROMETHEUS_BIN")
    found = Watched(tmp_path_factory.mktemp("watched"))
    yield found
    found.stop()


@pytest.mark.parametrize("kind", SCENARIOS[1:], ids=lambda kind: kind.__name__)
def test_alerts_fire_on_a_real_server(watched, kind):
    for name, alert in watched.await_alerts(kind).items():
        said = alert["annotations"]["summary"] + alert["annotations"]["description"]
        assert kind.__name__ in said and "<" not in said and "%!" not in said, (name, said)


def test_a_server_that_is_well_raises_none(watched):
    for kind in SCENARIOS[1:]:
        if kind not in watched.impossible:
            watched.await_alerts(kind)
    fire = {name for name, instance in watched.prometheus.firing() if instance == "Well"}
    assert fire <= SLOW, fire


def test_the_dashboard_shows_something(watched):
    server = watched.scenarios[Well].server
    until(lambda: metric(server, "tidemark_cdc_files_total") > 2 and metric(server, "tidemark_publish_total") > 2)
    written = {"$job": "tidemark", "$instance": ".*", "$__rate_interval": "1m", "[1h]": "[1m]"}
    for title, expression in dashboard_expressions():
        for variable, value in written.items():
            expression = expression.replace(variable, value)
        rare = RARE.keys() & names(expression).keys()
        until(lambda: rare or watched.prometheus.ask(expression), what=f"{title}: {expression}")
        watched.prometheus.ask(expression)


def test_every_metric_that_is_named_is_told(watched):
    told = dict(RARE)
    for kind in (Well, Limits, StoreGone, FoldersGone):
        watched.await_alerts(kind)
        for name, labels in families(text_of(watched.scenarios[kind].server)).items():
            told[name] = told.get(name, set()) | labels
    for place, expression in [(rule["alert"], rule["expr"]) for rule in rules()] + dashboard_expressions():
        for name, labels in names(expression).items():
            assert name in told, f"{place}: no server tells {name}"
            own = {label.removeprefix("exported_") for label in labels - PROMETHEUS_LABELS}
            assert own <= told[name], f"{place}: {name} has no label {own - told[name]}"
    sources = "".join(file.read_text() for file in (ROOT / "crates").glob("*/src/**/metrics.rs"))
    assert all(name.removeprefix("tidemark_ingest_") in sources for name in RARE)
