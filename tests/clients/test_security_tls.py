"""The security checklist, S5: what a handshake lets in on each of the three ports, and certificates that change.

The table of all rows stands in test_security.py.
"""

import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import time
import urllib.request
from datetime import UTC, datetime

import pytest
from conftest import Server, binary, variables
from test_tokens import ROOT, certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made by openssl")
PORTS = ("http", "grpc", "postgres")
PROTOCOLS = {"http": "http/1.1", "grpc": "h2", "postgres": "postgresql"}
SSL_REQUEST = struct.pack(">ii", 8, 80_877_103)
SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A signer, certificates of it and of others, files that are none."""
    made = tmp_path_factory.mktemp("certificates")
    signers = {"ca": None, "server": "ca", "client": "ca", "stranger": None, "other-ca": None, "foreign": "other-ca"}
    for name, signer in signers.items():
        certificate(made, name, signer)
    expired(made, "late")
    (made / "garbage.pem").write_text("no certificate")
    (made / "empty.pem").write_text("")
    return made


def expired(folder, name):
    """A certificate of the signer whose time is over."""
    key, request, names = (folder / f"{name}.{suffix}" for suffix in ("key", "csr", "names"))
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    signer = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"]
    for words in (["req", *curve, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request],
                  ["x509", "-req", "-in", request, *signer, "-CAcreateserial", "-days", "-1", "-extfile", names,
                   "-out", folder / f"{name}.pem"]):
        subprocess.run(["openssl", *words], check=True, capture_output=True)


@contextlib.contextmanager
def serving(home, folder, name="server", **settings):
    home.mkdir(exist_ok=True)
    files = {"tls.certificate": folder / f"{name}.pem", "tls.key": folder / f"{name}.key"}
    server = Server(home, token=ROOT, settings={**files, **settings})
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory, folder):
    with serving(tmp_path_factory.mktemp("open"), folder) as found:
        yield found


@pytest.fixture(scope="module")
def strict(tmp_path_factory, folder):
    """One that asks clients for a certificate."""
    with serving(tmp_path_factory.mktemp("strict"), folder, **{"tls.client_ca": folder / "ca.pem"}) as found:
        yield found


def trusting(folder, client=None, version=None):
    """What a client believes, shows, and speaks."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def connect(server, port, context):
    """A connection on which the server has answered: with TLS 1.3 a refused client only learns it from that."""
    number = int(getattr(server, port).rsplit(":", 1)[1])
    plain = socket.create_connection(("127.0.0.1", number), timeout=SECONDS)
    try:
        if port == "postgres":
            plain.sendall(SSL_REQUEST)
            assert plain.recv(1) == b"S"
        context.set_alpn_protocols([PROTOCOLS[port]])
        encrypted = context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise
    try:
        assert greet(encrypted, port), "the connection was closed"
        return encrypted
    except BaseException:
        encrypted.close()
        raise


def greet(connection, port):
    """What comes back on a greeting: of HTTP a status, of HTTP/2 its settings, of PostgreSQL that a password is asked for."""
    start = struct.pack(">i", 3 << 16) + b"user\0me\0\0"
    greetings = {
        "http": b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "grpc": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        "postgres": struct.pack(">i", len(start) + 4) + start,
    }
    connection.sendall(greetings[port])
    return connection.recv(4096)


def test_until_when_the_certificate_is_valid_is_measured(server, folder):
    told = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", folder / "server.pem"], check=True, capture_output=True, text=True).stdout
    ends = datetime.strptime(told.strip(), "notAfter=%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    request = urllib.request.Request(server.http.replace("http://", "https://").replace("127.0.0.1", "localhost") + "/metrics", headers={"Authorization": f"Bearer {ROOT}"})
    with urllib.request.urlopen(request, context=trusting(folder), timeout=SECONDS) as answer:
        assert f"tidemark_tls_certificate_end_timestamp_seconds {int(ends.timestamp())}" in answer.read().decode().splitlines()


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_s5_tls_1_2_and_1_3_are_spoken(server, folder, port, version):
    with connect(server, port, trusting(folder, version=version)) as connection:
        assert connection.version().replace(".", "_") == version.name
        assert connection.selected_alpn_protocol() == PROTOCOLS[port]


@pytest.mark.parametrize("port", PORTS)
def test_s5_tls_1_1_is_not_spoken(server, folder, port):
    context = trusting(folder)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        connect(server, port, context)


@pytest.mark.parametrize("port", PORTS)
def test_s5_a_client_of_the_signer_is_let_in(strict, folder, port):
    connect(strict, port, trusting(folder, client="client")).close()


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("client", [None, "late", "stranger", "foreign"])
def test_s5_a_client_without_a_certificate_of_the_signer_is_not_let_in(strict, folder, port, client):
    """None, one whose time is over, one that signed itself, one of another signer."""
    why = {None: "certificate required", "late": "certificate expired", "foreign": "unknown ca"}.get(client, "certificate unknown")
    with pytest.raises(ssl.SSLError, match=why):
        connect(strict, port, trusting(folder, client=client))


def serial(connection):
    return connection.getpeercert()["serialNumber"]


def test_s5_a_new_certificate_is_shown_while_old_connections_live_and_a_bad_one_is_not_used(tmp_path, folder):
    for suffix in ("pem", "key"):
        shutil.copy(folder / f"server.{suffix}", tmp_path / f"mine.{suffix}")
    certificate(tmp_path, "next")
    with serving(tmp_path / "home", tmp_path, name="mine") as server:
        believing = {port: trusting(folder) for port in PORTS}
        for context in believing.values():
            context.load_verify_locations(tmp_path / "next.pem")
        old = {port: connect(server, port, context) for port, context in believing.items()}
        before = serial(old["http"])
        for suffix in ("key", "pem"):
            os.replace(tmp_path / f"next.{suffix}", tmp_path / f"mine.{suffix}")
        new = {port: shown(server, port, context, lambda it: it != before) for port, context in believing.items()}
        assert len(set(new.values())) == 1 and before not in new.values(), "every port shows the new one"
        assert greet(old["http"], "http").startswith(b"HTTP/1.1 200")
        assert old["grpc"].pending() or old["grpc"].sendall(b"\0\0\x08\6\0\0\0\0\0" + b"12345678") is None
        assert old["grpc"].recv(4096), "HTTP/2 answers a ping"
        shutil.copy(folder / "garbage.pem", tmp_path / "mine.pem")
        log = tmp_path / "home" / "server.log"
        shown(server, "http", believing["http"], lambda _: "the new certificate is not used" in log.read_text())
        assert {shown(server, port, context, lambda _: True) for port, context in believing.items()} == set(new.values())
        for connection in old.values():
            connection.close()


def shown(server, port, context, is_enough):
    """The serial number that new connections are shown, once something holds."""
    deadline = time.monotonic() + SECONDS
    while True:
        with connect(server, port, context) as connection:
            number = serial(connection)
        if is_enough(number):
            return number
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.3)


def start(home, **settings):
    """Exit code and what was said of a start that ends, or that is ended when it would serve."""
    words = [binary(), "serve", "--data", home / "data"] + [word for port in PORTS for word in (f"--{port}", "127.0.0.1:0")]
    environment = {**os.environ, **variables(settings)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline().startswith("ready"):
            process.kill()
        said = process.communicate(timeout=SECONDS)[1]
    finally:
        process.kill()
        process.wait()
    return process.returncode, said


@pytest.mark.parametrize("certificate, key, client_ca, said", [
    ("garbage.pem", "server.key", None, "tls.certificate cannot be used: {}garbage.pem: there is no certificate in it"),
    ("server.pem", "garbage.pem", None, "tls.key cannot be used: {}garbage.pem"),
    ("server.pem", "client.key", None, "certificate and key cannot be used: keys may not be consistent"),
    ("server.pem", "server.key", "empty.pem", "tls.client_ca cannot be used: {}empty.pem: there is no certificate in it"),
    ("server.pem", "server.key", "nowhere.pem", "tls.client_ca cannot be used: {}nowhere.pem: No such file"),
])
def test_s5_files_that_cannot_be_used_are_said_at_the_start(tmp_path, folder, certificate, key, client_ca, said):
    settings = {"tls.certificate": folder / certificate, "tls.key": folder / key}
    settings |= {"tls.client_ca": folder / client_ca} if client_ca else {}
    code, told = start(tmp_path, **settings)
    assert code == 1 and said.format(f"{folder}/") in told, told


def test_s5_a_certificate_whose_time_is_over_is_said_at_the_start(tmp_path, folder):
    _, told = start(tmp_path, **{"tls.certificate": folder / "late.pem", "tls.key": folder / "late.key"})
    assert "expired" in told, told
