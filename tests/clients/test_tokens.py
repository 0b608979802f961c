"""Tokens, namespaces, the audit trail and TLS, over the doors that people use: HTTP, the command line, Flight SQL.

A token of one namespace must find no trace of another: `CANARY` is its name, and no answer may hold it.
"""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pytest
from adbc_driver_flightsql import DatabaseOptions
from conftest import Server, binary

ROOT = "a~root~of-tests"
CANARY = "canary7q"


class Lake:
    """A server with a root token and two namespaces."""

    def __init__(self, home):
        self.server = Server(home, token=ROOT)
        for namespace in ("shop", CANARY):
            for number in (1, 2):
                change = {"op": "insert", "id": str(number), "doc": {f"secret_{namespace}": number}}
                assert self.ask("POST", f"/v1/{namespace}/orders_{namespace}/changes", change)[0] == 200

    def ask(self, method, path, body=None, token=ROOT, headers=None):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.http + path, data=raw, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def sql(self, text, token=ROOT, **more):
        return self.ask("POST", "/v1/query", {"sql": text, **more}, token)

    def cli(self, *words, token=ROOT):
        environment = {**os.environ, "TIDEMARK_TOKEN": token, "TIDEMARK_URL": self.server.http}
        return subprocess.run([binary(), *words], env=environment, capture_output=True, text=True, timeout=60)

    def token(self, *scopes, namespaces=("shop",), by=ROOT, **more):
        made = self.ask("POST", "/v1/tokens", {"scopes": scopes, "namespaces": namespaces, **more}, by)
        assert made[0] == 201, made
        return json.loads(made[1])["token"]

    def flight(self, token, user=None):
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
        if user:
            options = {"username": user, "password": token}
        return flightsql.connect(self.server.grpc, db_kwargs=options, autocommit=True)


@pytest.fixture
def lake(tmp_path):
    found = Lake(tmp_path)
    yield found
    found.server.process.kill()
    found.server.process.wait()
    log = (tmp_path / "server.log").read_text()
    assert "panicked" not in log and ROOT not in log


def code(answer):
    return answer[0], json.loads(answer[1])["code"]


def test_a_token_is_made_listed_and_revoked_by_the_command_line(lake):
    made = lake.cli("token", "create", "--name", "loader", "--scope", "ingest,query", "--namespace", "shop", "--expires-in", "90d")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("tm_")
    identity = token.split("_")[1]
    assert lake.sql("SELECT 1", token)[0] == 200
    listed = lake.cli("token", "list")
    assert identity in listed.stdout and "loader" in listed.stdout and token not in listed.stdout
    assert lake.cli("token", "revoke", identity).returncode == 0
    assert code(lake.sql("SELECT 1", token)) == (401, "invalid_token")
    assert "revoked" in lake.cli("token", "list").stdout
    assert "unknown_token" in lake.cli("token", "revoke", "nobody12").stderr
    secret = token.rsplit("_", 1)[1]
    for path in lake.server.data.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in (lake.server.home / "server.log").read_text()


def test_tokens_outlive_a_kill_and_end_with_their_time(lake):
    lasting, short = lake.token("query"), lake.token("query", expires_in_s=5)
    assert lake.sql("SELECT 1", short)[0] == 200
    home = lake.server.home
    lake.server.process.kill()
    lake.server.process.wait()
    lake.server = Server(home)  # without AUTH_TOKEN: the lake's own tokens are asked for
    assert lake.sql("SELECT 1", lasting)[0] == 200
    assert code(lake.sql("SELECT 1", None)) == (401, "unauthorized")
    assert code(lake.sql("SELECT 1", ROOT)) == (401, "invalid_token")
    deadline = time.monotonic() + 30
    while lake.sql("SELECT 1", short)[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert code(lake.sql("SELECT 1", short)) == (401, "token_expired")


def test_each_scope_opens_its_doors_only(lake):
    event, sql = {"type": "a"}, {"sql": "SELECT count(*) FROM shop.orders_shop"}
    doors = [
        ("ingest", "POST", "/v1/shop/events", event),
        ("ingest", "POST", "/v1/shop/orders_shop/changes", {"op": "insert", "id": "9", "doc": {}}),
        ("ingest", "POST", "/ingest", event),
        ("query", "POST", "/v1/query", sql),
        ("query", "GET", "/v1/shop/orders_shop/export", None),
        ("admin", "GET", "/v1/shop/retention", None),
        ("admin", "PUT", "/v1/shop/orders_shop/retention", {"daily": 3}),
        ("admin", "DELETE", "/v1/shop/orders_shop/retention", None),
        ("admin", "POST", "/v1/shop/orders_shop/snapshots", {"name": "s"}),
        ("admin", "GET", "/v1/shop/orders_shop/snapshots", None),
        ("admin", "DELETE", "/v1/shop/orders_shop/snapshots/s", None),
        ("admin", "POST", "/v1/shop/orders_shop/clean-up", {"dry_run": True}),
        ("admin", "POST", "/v1/shop/orders_shop/restore", {"as_of": "2020-01-01T00:00:00Z", "dry_run": True}),
        ("admin", "PUT", "/v1/shop/orders_shop/schema", {"type": "object"}),
        ("admin", "POST", "/v1/publish", {"namespace": "shop"}),
        ("admin", "GET", "/v1/tokens", None),
        ("admin", "GET", "/v1/audit", None),
    ]
    tokens = {scope: lake.token(scope) for scope in ("ingest", "query", "admin")}
    for scope, method, path, body in doors:
        for held, token in tokens.items():
            status, text = lake.ask(method, path, body, token)
            if held == scope:
                assert status not in (401, 403, 404), (method, path, held, status, text)
            else:
                assert status == 403, (method, path, held, status, text)
            foreign = path.replace("shop", CANARY)
            if foreign != path:
                hidden = lake.ask(method, foreign, body, token)
                assert code(hidden) == (404, "unknown_namespace"), (method, foreign, hidden)
    for token in tokens.values():
        assert lake.ask("GET", "/metrics", None, token)[0] == 403
        assert lake.ask("GET", "/health", None, token)[0] == 200
    assert lake.ask("GET", "/v1/shop/orders_shop/schema", None, tokens["ingest"])[0] == 200
    assert "secret_shop" in lake.cli("sql", "SELECT * FROM shop.orders_shop", token=tokens["query"]).stdout
    for call in ("snapshot('shop.orders_shop')", "clean_up('shop.orders_shop', dry_run => true)"):
        assert code(lake.sql(f"CALL {call}", tokens["query"])) == (403, "scope_missing"), call
        assert lake.sql(f"CALL {call}", tokens["admin"])[0] == 200, call


def test_a_namespace_appears_only_for_who_may_write_any(lake):
    narrow, wide = lake.token("ingest", namespaces=["shop", "later"]), lake.token("ingest", namespaces=["*"])
    assert code(lake.ask("POST", "/v1/later/events", {"type": "a"}, narrow)) == (404, "unknown_namespace")
    assert lake.ask("POST", "/v1/later/events", {"type": "a"}, wide)[0] == 200
    assert lake.ask("POST", "/v1/later/events", {"type": "a"}, narrow)[0] == 200
    # Without a namespace in the path: the only one of the token, else `default`.
    assert lake.ask("POST", "/ingest", {"events": [{"type": "own"}]}, lake.token("ingest"))[0] == 200
    assert json.loads(lake.sql("SELECT count(*) FROM shop.events WHERE type = 'own'")[1])["rows"] == [[1]]
    assert code(lake.ask("POST", "/e", {"type": "a"}, narrow)) == (404, "unknown_namespace")
    assert lake.ask("POST", "/e", {"type": "a"}, wide)[0] == 200


def test_nobody_makes_a_token_that_reaches_further(lake):
    admin = lake.token("admin")
    assert lake.token("ingest", by=admin).startswith("tm_")
    for namespaces in (["*"], [CANARY], ["shop", CANARY]):
        status, _ = lake.ask("POST", "/v1/tokens", {"scopes": ["query"], "namespaces": namespaces}, admin)
        assert status in (403, 404), namespaces
    foreign = lake.token("query", namespaces=[CANARY], name=f"of-{CANARY}").split("_")[1]
    assert CANARY not in lake.ask("GET", "/v1/tokens", None, admin)[1]
    assert code(lake.ask("DELETE", f"/v1/tokens/{foreign}", None, admin)) == (404, "unknown_token")
    for body in ({}, {"scopes": [], "namespaces": ["shop"]}, {"scopes": ["all"], "namespaces": ["shop"]},
                 {"scopes": ["query"], "namespaces": []}, {"scopes": ["query"], "namespaces": ["../x"]},
                 {"scopes": ["query"], "namespaces": ["shop"], "expires_in_s": 0}, {"scopes": ["query"], "namespaces": ["*", "shop"]},
                 {"scopes": ["query"], "namespaces": ["shop"], "name": "x" * 200}):
        assert lake.ask("POST", "/v1/tokens", body)[0] == 400, body


def test_the_first_token_has_to_administer_everything(tmp_path):
    lake = Lake.__new__(Lake)
    lake.server = Server(tmp_path)
    narrow = {"scopes": ["query"], "namespaces": ["*"]}
    assert code(lake.ask("POST", "/v1/tokens", narrow, None)) == (409, "first_token")
    made = lake.cli("token", "create", "--scope", "admin,query", "--all-namespaces", token="")
    token = made.stdout.strip()
    assert token.startswith("tm_"), made.stderr
    assert lake.sql("SELECT 1", None)[0] == 401, "from the first token on they are asked for"
    assert lake.sql("SELECT 1", token)[0] == 200
    lake.server.process.kill()
    lake.server.process.wait()


def test_every_administrative_action_is_recorded(lake):
    admin = lake.token("admin", name="operator")
    who = admin.split("_")[1]
    lake.ask("PUT", "/v1/shop/orders_shop/retention", {"daily": 3}, admin)
    lake.ask("POST", "/v1/shop/orders_shop/snapshots", {"name": "kept"}, admin)
    lake.ask("DELETE", "/v1/shop/orders_shop/snapshots/none", None, admin)
    lake.sql("CALL drop_snapshot('shop.orders_shop', 'kept')", admin)
    lake.ask("PUT", f"/v1/{CANARY}/retention", {"daily": 3})
    records = json.loads(lake.ask("GET", "/v1/audit", None, admin)[1])["records"]
    told = [(r["who"], r["action"], r["object"], r["door"], r["outcome"]) for r in records]
    assert told == [
        (who, "drop_snapshot", "orders_shop/kept", "sql", "ok"),
        (who, "drop_snapshot", "orders_shop/none", "http", "unknown_snapshot"),
        (who, "take_snapshot", "orders_shop", "http", "ok"),
        (who, "set_retention", "orders_shop", "http", "ok"),
    ]
    whole = json.loads(lake.ask("GET", "/v1/audit?limit=3")[1])["records"]
    assert [r["namespace"] for r in whole] == [CANARY, "shop", "shop"]
    every = lake.ask("GET", "/v1/audit")[1]
    assert '"create_token"' in every and who in every and admin not in every
    lake.server.process.kill()
    lake.server.process.wait()
    lake.server = Server(lake.server.home, token=ROOT)
    assert lake.ask("GET", "/v1/audit")[1] == every


def test_http_answers_hold_no_trace_of_another_namespace(lake):
    token = lake.token("query", "ingest", "admin")
    table = f"{CANARY}.orders_{CANARY}"
    hidden = f"SELECT * FROM {table}"
    catalogs = ["tables", "columns", "schemata", "views", "df_settings", "routines", "parameters"]
    blind = [f"SELECT * FROM information_schema.{name}" for name in catalogs] + [
        "SHOW TABLES", "SHOW COLUMNS FROM shop.orders_shop", "DESCRIBE shop.orders_shop", "SHOW ALL",
        "EXPLAIN SELECT * FROM shop.orders_shop", "EXPLAIN ANALYZE SELECT * FROM shop.orders_shop",
        'SELECT * FROM shop."orders_shop$files"', 'SELECT * FROM shop."orders_shop$snapshots"',
        'SELECT * FROM shop."orders_shop$versions"', "SELECT * FROM shop.nothing", "SELECT * FROM nothing", "SELECT nothing FROM shop.orders_shop",
        "SELECT * FROM shop.events", "CALL snapshot('shop.nothing')", "SHOW tidemark.as_of",
    ]
    for sql in blind:
        status, text = lake.sql(sql, token)
        assert CANARY not in text, (sql, text)
    assert "orders_shop" in lake.sql(blind[0], token)[1] and CANARY in lake.sql(blind[0])[1]
    for namespace in ("shop", CANARY):
        partly = [{"op": "insert", "id": "3", "doc": {}}, {"op": "insert", "id": f"refused_{namespace}"}]
        assert lake.ask("POST", f"/v1/{namespace}/orders_{namespace}/changes?on_error=partial", partly)[0] == 200
        taken = lake.ask("POST", f"/v1/{namespace}/orders_{namespace}/snapshots", {"name": "kept"})
        assert taken[0] in (200, 201), taken
    for view in ("collections", "files", "namespaces", "rejected", "snapshots", "time_travel"):
        sql = f"SELECT * FROM system.{view}"
        (status, mine), (_, whole) = lake.sql(sql, token), lake.sql(sql)
        assert status == 200 and "shop" in mine and CANARY not in mine, (view, mine)
        assert "shop" in whole and CANARY in whole, (view, whole)
    # Asked by its name it is told as one that never was.
    named = [hidden, f"EXPLAIN {hidden}", f"DESCRIBE {table}", f"SHOW COLUMNS FROM {table}", f"SELECT * FROM tidemark.{table}",
             f'SELECT * FROM "{CANARY}"."orders_{CANARY}"', f'SELECT * FROM {CANARY}."orders_{CANARY}$files"',
             f"SELECT (SELECT max(_id) FROM {table})", f"WITH x AS ({hidden}) SELECT * FROM x", f"SELECT * FROM shop.orders_shop WHERE EXISTS ({hidden})",
             f"SELECT * FROM {CANARY}.events", f"{hidden} FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01T00:00:00Z'",
             f"CALL snapshot('{table}')", f"CALL restore('{table}', as_of => now())", f"CALL restore('shop.orders_shop', as_of => now(), into => '{table}')"]
    for sql in named:
        found, absent = lake.sql(sql, token), lake.sql(sql.replace(CANARY, "nowhere7"), token)
        assert found[0] in (400, 404) and found == (absent[0], absent[1].replace("nowhere7", CANARY)), (sql, found, absent)
        assert f"secret_{CANARY}" not in found[1]
    for more in ({"namespace": CANARY}, {"namespace": "nowhere7"}):
        status, text = lake.sql(f"SELECT * FROM orders_{CANARY}", token, **more)
        assert (status, json.loads(text)["code"]) == (404, "unknown_table")
    status, text = lake.ask("GET", f"/v1/shop/orders_shop/export?where=EXISTS%20(SELECT%201%20FROM%20{table})", None, token)
    assert status in (400, 404) and "secret" not in text, text
    status, text = lake.ask("POST", "/v1/shop/orders_shop/restore",
                            {"as_of": "2020-01-01T00:00:00Z", "dry_run": True, "into": table}, token)
    assert status == 404, text
    for path in ("/v1/audit", "/v1/tokens", "/v1/shop/retention", "/v1/shop/orders_shop/snapshots", "/metrics", "/nothing"):
        assert CANARY not in lake.ask("GET", path, None, token)[1], path
    assert CANARY not in lake.ask("POST", "/v1/publish", {}, token)[1]


def test_flight_answers_hold_no_trace_of_another_namespace(lake):
    token = lake.token("query")
    for user in (None, "anyone"):
        with lake.flight(token, user) as connection:
            told = [connection.adbc_get_objects(depth="all").read_all().to_pylist(), connection.adbc_get_info(),
                    connection.adbc_get_table_types()]
            with connection.cursor() as cursor:
                for sql in ("SHOW TABLES", "SELECT * FROM information_schema.columns", "EXPLAIN SELECT * FROM shop.orders_shop"):
                    cursor.execute(sql)
                    told.append(cursor.fetchall())
                cursor.execute("SELECT count(*) FROM shop.orders_shop")
                assert cursor.fetchone() == (2,)
                for table in (f"{CANARY}.orders_{CANARY}", "nowhere7.orders_nowhere7"):
                    with pytest.raises(adbc_driver_manager.Error) as refused:
                        cursor.execute(f"SELECT * FROM {table}")
                    assert "does not exist" in str(refused.value)
            assert CANARY not in repr(told) and "orders_shop" in repr(told)
            with pytest.raises(adbc_driver_manager.Error):
                connection.adbc_get_table_schema(f"orders_{CANARY}", db_schema_filter=CANARY)
    for wrong in (lake.token("ingest"), token + "x", "tm_a_b"):
        with pytest.raises(adbc_driver_manager.Error), lake.flight(wrong) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    # A root token with the divider of sessions in it, and a session behind it.
    with lake.flight(ROOT) as connection, connection.cursor() as cursor:
        cursor.execute("SET tidemark.as_of = '2020-01-01T00:00:00Z'")
        cursor.fetchall()
        cursor.execute("SHOW tidemark.as_of")
        assert "2020-01-01" in repr(cursor.fetchall())


def test_a_revocation_holds_on_connections_that_stay(lake):
    token, answered = lake.token("query"), []
    # The driver closes its statement at the end, and that is refused too.
    with pytest.raises(adbc_driver_manager.Error, match="not valid"):
        with lake.flight(token) as connection, connection.cursor() as cursor:
            for _ in range(2):
                cursor.execute("SELECT 1")
                answered += cursor.fetchall()
                assert lake.ask("DELETE", f"/v1/tokens/{token.split('_')[1]}")[0] == 204
    assert answered == [(1,)]


def test_guessing_is_slowed_down(lake):
    # More than twice as many as a minute allows: one of two minutes sees enough of them.
    codes = {code(lake.sql("SELECT 1", "guess")) for _ in range(130)}
    assert codes == {(401, "invalid_token"), (429, "too_many_wrong_tokens")}
    assert lake.sql("SELECT 1")[0] == 200


def certificate(folder, name, signer=None):
    """A key and a certificate for localhost, signed by itself or by another; the serial number of it."""
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    extra = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext",
             f"basicConstraints=critical,CA:{'FALSE' if signer else 'TRUE'}"]
    signed = ["-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}.key"] if signer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-keyout", key, "-out", pem, *extra, *signed], check=True, capture_output=True)
    return pem, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made by openssl")
def test_tls_on_every_port_is_reloaded_and_may_ask_for_certificates(tmp_path):
    ca, _ = certificate(tmp_path, "ca")
    pem, key = certificate(tmp_path, "one", "ca")
    settings = {"tls.certificate": pem, "tls.key": key}
    server = Server(tmp_path, token=ROOT, settings=settings)
    port = server.http.rsplit(":", 1)[1]

    def presented():
        text = ssl.get_server_certificate(("127.0.0.1", int(port)))
        return ssl.PEM_cert_to_DER_cert(text)

    def cli(*words):
        environment = {**os.environ, "TIDEMARK_TOKEN": ROOT}
        return subprocess.run([binary(), *words, "--url", f"https://localhost:{port}"], env=environment, capture_output=True, text=True)

    try:
        assert "7" in cli("sql", "SELECT 7", "--ca", ca).stdout
        assert cli("sql", "SELECT 7").returncode != 0, "an unknown signer is not trusted"
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {ROOT}", DatabaseOptions.TLS_ROOT_CERTS.value: ca.read_text()}
        grpc = f"grpc+tls://localhost:{server.grpc.rsplit(':', 1)[1]}"
        with flightsql.connect(grpc, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 7")
            assert cursor.fetchone() == (7,)
        old = presented()
        new_pem, new_key = certificate(tmp_path, "two", "ca")
        os.replace(new_key, key)
        os.replace(new_pem, pem)
        deadline = time.monotonic() + 60
        while presented() == old and time.monotonic() < deadline:
            time.sleep(0.5)
        assert presented() != old
    finally:
        server.process.kill()
        server.process.wait()

    server = Server(tmp_path, token=ROOT, settings={**settings, "tls.client_ca": ca})
    client_pem, client_key = certificate(tmp_path, "client", "ca")
    own_pem, own_key = certificate(tmp_path, "stranger")
    url = f"https://localhost:{server.http.rsplit(':', 1)[1]}/health"
    try:
        for chain, is_let_in in ((None, False), ((own_pem, own_key), False), ((client_pem, client_key), True)):
            context = ssl.create_default_context(cafile=ca)
            if chain:
                context.load_cert_chain(*chain)
            try:
                answered = urllib.request.urlopen(url, timeout=10, context=context).status == 200
            except OSError:
                answered = False
            assert answered == is_let_in, chain
    finally:
        server.process.kill()
        server.process.wait()


def test_half_of_tls_is_refused(tmp_path):
    for flags, said in ((["--tls-key", "x"], "go together"), (["--tls-key", "x", "--tls-certificate", "y"], "cannot be used")):
        done = subprocess.run([binary(), "serve", "--data", tmp_path / "data", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", *flags],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and said in done.stderr, done.stderr
