"""`tidemark doctor`: beside a server that runs, for one that is down, and for each thing that can be wrong.

It changes nothing: every file below the data folder is what it was.
"""

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import pytest
from conftest import Server, binary
from owners import Lake as Owners
from owners import free_ports, until
from test_tokens import ROOT, certificate

OF_THE_MACHINE = {"data folder", "sync", "open files", "memory"}


def doctor(*words, data=None, returncode=0, **variables):
    """The findings, by what they are about."""
    where = ["--data", data] if data else []
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TIDEMARK_", "AUTH_"))}
    done = subprocess.run([binary(), "doctor", *where, *words, "--format", "json"], env={**inherited, **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == returncode, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == max((one["state"] for one in told["findings"]), key=["ok", "warning", "failed"].index)
    assert all((one["state"] == "ok") == ("next" not in one) for one in told["findings"]), told
    assert (told["state"] == "failed") == (returncode == 1)
    found = {}
    for one in told["findings"]:
        found.setdefault(one["check"], []).append(one)
    return found


def states(found, check):
    return [one["state"] for one in found[check]]


def ports(server):
    return ["--http", server.http.removeprefix("http://"), "--grpc", server.grpc.removeprefix("grpc://"), "--postgres", server.postgres]


def free():
    """Flags of ports where nobody listens."""
    return [word for name, port in zip(("http", "grpc", "postgres"), free_ports(3)) for word in (f"--{name}", f"127.0.0.1:{port}")]


def ready(server):
    try:
        return urllib.request.urlopen(server.http + "/ready", timeout=60).status == 200
    except urllib.error.HTTPError:
        return False


def contents(folder):
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def server(tmp_path):
    # A lease that is not renewed while the files are compared.
    server = Server(tmp_path, token=ROOT, settings={"lease.time_ms": 600_000})
    yield server
    server.kill()


def send(server, body):
    request = json.dumps(body)
    words = ["curl", "-sS", "-H", f"authorization: Bearer {ROOT}", "-H", "content-type: application/json", "--data", request, server.http + "/v1/shop/events"]
    assert '"accepted"' in subprocess.run(words, capture_output=True, text=True, timeout=60).stdout


def test_beside_a_server_that_is_well(server):
    send(server, {"type": "a"})
    until(lambda: doctor(*ports(server), data=server.data, AUTH_TOKEN=ROOT)["owner"][0]["state"] == "ok", "nobody owns it")
    before = contents(server.data)
    found = doctor(*ports(server), data=server.data, AUTH_TOKEN=ROOT)
    assert contents(server.data) == before, "it changed something"
    # Nor did the first time: it may have been another user than the server's.
    assert {path.name for path in (server.data / "lake/.tmp").iterdir()} == {"0", "0.lock"}
    for check in ("data folder", "sync", "open files", "memory", "store", "lake", "owner", "log", "server", "ready", "unflushed", "ports"):
        # What depends on this machine may be worth a warning.
        assert set(states(found, check)) <= ({"ok", "warning"} if check in OF_THE_MACHINE else {"ok"}), found[check]
    assert f"process {server.process.pid}" in found["owner"][0]["seen"] and "said that it is alive" in found["owner"][0]["seen"]
    assert f"process {server.process.pid} writes to it" in found["log"][0]["seen"]
    assert f"process {server.process.pid} may open" in found["open files"][0]["seen"]
    assert len(found["ports"]) == 3 and "bytes are acknowledged" in found["unflushed"][0]["seen"]
    assert "fdatasync" in found["sync"][0]["seen"] and ROOT not in json.dumps(found)


def test_a_root_token_that_the_server_does_not_know_is_told(server):
    found = doctor(*ports(server), data=server.data, AUTH_TOKEN="a root token that nobody was told of")
    assert states(found, "unflushed") == ["warning"] and "another root token" in found["unflushed"][0]["seen"]


def test_for_a_server_that_was_killed_and_for_one_that_ended(server):
    send(server, {"type": "a"})
    address = ports(server)
    server.kill()
    found = doctor(*address, data=server.data)
    assert states(found, "server") == ["warning"] and set(states(found, "ports")) == {"ok"}
    assert "no process holds it" in found["log"][0]["seen"] and "segments" in found["log"][0]["seen"]
    assert "alive" in found["owner"][0]["seen"]
    again = server.again()
    again.stop()
    found = doctor(*address, data=server.data)
    assert states(found, "owner") == ["ok"] and "ended in order" in found["owner"][0]["seen"]


def test_an_owner_that_fell_silent_is_told(tmp_path):
    lake = Owners(tmp_path, lease_ms=500)
    try:
        owner = lake.serve()
        where = ["--store", f"file://{lake.store}", "--log", "object", *free()]
        seen = lambda: doctor(*where, data=tmp_path / "none")["owner"][0]
        until(lambda: seen()["state"] == "ok", "it is not seen to live")
        owner.signal(signal.SIGSTOP)
        until(lambda: seen()["state"] == "warning", "its silence is not told")
        assert "killed" in seen()["next"]
        assert any("logs in the store hold" in one["seen"] for one in doctor(*where, data=tmp_path / "none")["log"])
        owner.signal(signal.SIGCONT)
    finally:
        lake.end()


def test_before_the_first_start(tmp_path):
    found = doctor(*free(), data=tmp_path / "data")
    assert states(found, "data folder") == ["ok", "ok"] and "first start makes it" in found["store"][0]["seen"]
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize("text, said", [
    ("[limits]\nrequests_per_hour = 1\n", "requests_per_hour"), ("standby = true\n", "--log object"), ('[auth]\ntoken = "file:/nothing/here"\n', "auth.token"), ("x", "TOML")])
def test_settings_that_cannot_be_read(tmp_path, text, said):
    (tmp_path / "tidemark.toml").write_text(text)
    found = doctor("--config", tmp_path / "tidemark.toml", returncode=1)
    assert list(found) == ["settings"] and said.lower() in found["settings"][0]["seen"].lower(), found


def test_dangerous_settings_are_told(tmp_path):
    address = f"0.0.0.0:{free_ports(1)[0]}"
    flags = ["--http", address, *free()[2:], "--allow-unauthenticated"]
    found = doctor(*flags, data=tmp_path / "data")
    seen = " ".join(one["seen"] for one in found["settings"])
    assert states(found, "settings") == ["ok", "warning", "warning"] and "allow_unauthenticated" in seen and "no TLS" in seen


def test_who_only_says_that_it_is_a_server_is_not_given_the_token(tmp_path):
    heads = []

    class Impostor(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heads.append(self.headers)
            told = json.dumps({"service": "tidemark", "version": "0.1.0", "status": "ready", "unflushed_bytes": 0}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor) as impostor:
        threading.Thread(target=impostor.serve_forever, daemon=True).start()
        words = [*free()[2:], "--http", f"127.0.0.1:{impostor.server_port}"]
        done = subprocess.run([binary(), "doctor", "--data", tmp_path, *words, "--format", "json"], capture_output=True, text=True, timeout=120,
                              env={**{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TIDEMARK_"))}, "AUTH_TOKEN": ROOT})
        impostor.shutdown()
    assert "server" in {finding["check"] for finding in json.loads(done.stdout)["findings"]}, done.stdout + done.stderr
    assert heads and not any("authorization" in head for head in heads)


def test_a_port_that_another_program_has(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        stop = threading.Event()

        def hang_up():
            other.settimeout(0.1)
            while not stop.is_set():
                try:
                    other.accept()[0].close()
                except TimeoutError:
                    pass

        answering = threading.Thread(target=hang_up)
        answering.start()
        try:
            found = doctor("--http", f"127.0.0.1:{other.getsockname()[1]}", *free()[2:], data=tmp_path / "data", returncode=1)
        finally:
            stop.set()
            answering.join()
    assert states(found, "server") == ["failed"] and states(found, "ports") == ["failed", "ok", "ok"]


def test_a_server_that_is_not_ready_and_a_lake_of_a_newer_release(server):
    document = server.data / "lake" / "_tidemark" / "format.json"
    content = document.read_text()
    told = json.loads(content)
    document.write_text(json.dumps({**told, "format": told["format"] + 1}))
    found = doctor(*ports(server), data=server.data, returncode=1)
    assert states(found, "lake") == ["failed"] and "release" in found["lake"][0]["next"]
    document.unlink()
    until(lambda: not ready(server), "it says that it is ready")
    found = doctor(*ports(server), data=server.data, returncode=1)
    assert states(found, "ready") == ["failed"] and "/ready says 503" in found["ready"][0]["seen"]
    document.write_text(content)


def test_maintenance_is_told(server):
    environment = {**os.environ, "TIDEMARK_TOKEN": ROOT, "TIDEMARK_URL": server.http}
    subprocess.run([binary(), "maintenance", "on", "--reason", "a new disk"], env=environment, check=True, timeout=60)
    found = doctor(*ports(server), data=server.data)
    assert states(found, "maintenance") == ["warning"] and "a new disk" in found["maintenance"][0]["seen"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to make a folder of somebody else's")
def test_a_folder_of_another_user(tmp_path):
    data = tmp_path / "data"
    (data / "log").mkdir(parents=True)
    (data / "lake").mkdir()
    for folder in (tmp_path.parent.parent, tmp_path.parent, tmp_path, data):
        folder.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is missing")
    program = tmp_path / "tidemark"
    shutil.copy(binary(), program)
    done = subprocess.run([*nobody, program, "doctor", "--data", data, *free()], capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "belongs to user 0, and this runs as user 65534" in done.stdout and "failed   sync" in done.stdout and "→ run this as" in done.stdout


def test_certificates_that_end(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is missing")

    def tls(days):
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", days, "-subj", "/CN=x"]
        subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return ["--tls-certificate", certificate, "--tls-key", key]

    assert states(doctor(*free(), *tls("365"), data=tmp_path / "data"), "TLS") == ["ok"]
    found = doctor(*free(), *tls("3"), data=tmp_path / "data")
    assert states(found, "TLS") == ["warning"] and re.search("for [23] days more", found["TLS"][0]["seen"])
    (tmp_path / "key.pem").write_text("no key")
    files = ["--tls-certificate", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"]
    assert states(doctor(*free(), *files, data=tmp_path / "data", returncode=1), "TLS") == ["failed"]


def test_a_server_that_asks_for_a_certificate_is_no_stranger(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is missing")
    for name, signer in {"ca": None, "server": "ca"}.items():
        certificate(tmp_path, name, signer)
    files = {"tls.certificate": tmp_path / "server.pem", "tls.key": tmp_path / "server.key", "tls.client_ca": tmp_path / "ca.pem"}
    server = Server(tmp_path, token=ROOT, settings=files)
    try:
        flags = [word for key, file in files.items() for word in (f"--{key.replace('.', '-').replace('_', '-')}", file)]
        found = doctor(*ports(server), *flags, data=server.data)
        assert states(found, "client certificate") == ["warning"] and "asks for one" in found["client certificate"][0]["seen"]
        assert "server" not in found, "it is taken for a stranger"
        assert states(found, "ports") == ["ok"] * 3, "its own ports are held for another's"
    finally:
        server.kill()


def test_a_store_is_asked_when_somebody_wants_it(bucket, tmp_path):
    where = ["--store", bucket.url, "--log", "object", *free()]
    found = doctor(*where, data=tmp_path / "data", **bucket.variables)
    assert "creates once" not in found and states(found, "clock") == ["ok"] and states(found, "store") == ["ok"]
    assert states(doctor(*where, "--ask-store", data=tmp_path / "data", **bucket.variables), "creates once") == ["ok"]
    found = doctor(*where, data=tmp_path / "data", returncode=1, **{**bucket.variables, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert states(found, "store") == ["failed"]
