"""A real Prometheus that watches real servers: where its programs are, its rules without their patience, and what it answers."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES, CASES = DEPLOY / "prometheus/alerts.yml", DEPLOY / "prometheus/alerts_test.yml"
DASHBOARD = DEPLOY / "grafana/tidemark.json"
OPERATIONS = ROOT / "docs/operations.md"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
#: Where Prometheus may be: named, as .ci/run unpacks Debian's package, installed.
PLACES = [os.environ.get("PROMETHEUS_BIN", ""), CACHE / "tidemark/prometheus/usr/bin"]
READY_SECONDS = 30
#: Their expressions hold for a while after every start.
PATIENT = {"TidemarkJobStuck"}


def program(name):
    """A program of Prometheus; none where it is missing."""
    found = (shutil.which(name, path=str(place)) for place in PLACES if place)
    return next((path for path in found if path), None) or shutil.which(name)


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def impatient(document):
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["for"] = rule["for"] if rule["alert"] in PATIENT else "0s"
    return document


class Prometheus:
    """Scrapes servers every second; in its copy of the rules an alert fires as soon as its expression holds, but for those in PATIENT."""

    def __init__(self, home, targets, token):
        home.mkdir()
        (home / "token").write_text(token)
        (home / "rules.yml").write_text(yaml.safe_dump(impatient(yaml.safe_load(RULES.read_text()))))
        job = {
            "job_name": "tidemark", "authorization": {"credentials_file": "token"},
            "static_configs": [{"targets": [address], "labels": {"instance": name}} for name, address in targets.items()]}
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        (home / "prometheus.yml").write_text(yaml.safe_dump({"global": every, "rule_files": ["rules.yml"], "scrape_configs": [job]}))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = home / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={self.url[7:]}"],
                cwd=home, stdout=log, stderr=log)
        ends = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None and time.monotonic() < ends, self.log.read_text()
            time.sleep(0.1)

    def is_ready(self):
        try:
            return urllib.request.urlopen(self.url + "/-/ready", timeout=1).status == 200
        except OSError:
            return False

    def ask(self, expression):
        """Samples of an expression now."""
        return self.get("query", {"query": expression})["result"]

    def firing(self):
        """Names of alerts that fire, and of the server each fires for."""
        return {(alert["labels"]["alertname"], alert["labels"].get("instance")): alert
                for alert in self.get("alerts", {})["alerts"] if alert["state"] == "firing"}

    def get(self, what, parameters):
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}", timeout=20) as answer:
            return json.load(answer)["data"]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


# Names in expressions

def names(expression):
    """The metrics that an expression names, with the labels that it asks of each."""
    quoted = re.sub(r'"[^"]*"', '""', expression)
    found = {}
    for name, labels in re.findall(r"\b((?:tidemark|process)_\w+)(?:\{([^}]*)\})?", quoted):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
    return found


def families(text):
    """What a server tells: name of each sample, and the labels that samples of this name have."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    return found


def anchors(document):
    """Where links may lead to, as GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dashboard_expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
