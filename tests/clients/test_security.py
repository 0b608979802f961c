"""The security checklist, row by row (S1 to S13; no outside issuer of tokens, S4, is served). Here: tokens, scopes, their doors.

| row | says | test |
|---|---|---|
| S1 | a wrong token is told nothing | here; its spelling: crates/server/src/tokens/secret.rs |
| S1 | secrets are stored nowhere | test_tokens.py: test_a_token_is_made_listed_and_revoked_by_the_command_line |
| S2 | scopes × doors | here; more of Flight: test_flightsql.py: test_row_5_a_ticket_is_redeemed_by_whoever_may |
| S3 | what expired or was revoked opens nothing | here; ADBC: test_tokens.py: test_a_revocation_holds_on_connections_that_stay |
| S3 | … nor a tail | test_http.py: test_a_revoked_token_ends_its_stream |
| S5 | TLS | test_security_tls.py; drivers: test_flightsql.py: test_row_8_tls_and_both_spellings_of_an_address |
| S6 | no stranger without a token | here; told to let them: tests/tests/doors.rs: it_serves_strangers_only_when_told |
| S7 | names | test_security_names.py |
| S8, S9 | SQL that writes, or reads files | test_security_sql.py |
| S10, S11 | SQL that makes much, or nests deep | test_security_bombs.py |
| S12 | SQL that runs long | test_security_bombs.py; Flight: test_flightsql.py: rows 34, 35, 38 and 55 |
| S13 | tenants | test_security_tenants.py; HTTP: test_tokens.py: test_http_answers_hold_no_trace_of_another_namespace |
"""

import http.client
import json
import pathlib
import re
import statistics
import subprocess
import time

import psycopg
import pytest
from conftest import binary
from security import FAIL, RUNS, STATUSES, Asking, Writing, bearer, minted, parts, postgres, raw, serving
from test_grpc import Stream
from test_tokens import CANARY

ACCESS = pathlib.Path(__file__).parents[2] / "crates/server/src/access.rs"
SCOPES = ("ingest", "query", "admin")
#: A namespace that never was.
NOWHERE = "nowhere7"
SECONDS = 30


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("lake")) as found:
        yield found


@pytest.fixture(scope="module")
def tokens(lake):
    """A token of `shop` for each scope."""
    return {scope: lake.token(scope) for scope in SCOPES}


# S1

def wrong(token):
    """Texts that are no token here, by what is wrong with them."""
    identity, secret = parts(token)
    other = "b" if secret[0] != "b" else "c"
    return {
        "its first digit": minted(identity, other + secret[1:]),
        "its last digit": minted(identity, secret[:-1] + other),
        "no such id": minted("nobody12", secret),
        "its checksum": token[:-1] + ("x" if token[-1] != "x" else "y"),
        "cut": token[:-7],
        "no secret": f"tm_{identity}_",
        "another shape": "password",
    }


def test_s1_a_minted_token_is_spelled_like_one_of_the_server(lake):
    token = lake.token("query")
    assert minted(*parts(token)) == token


def test_s1_what_is_wrong_with_a_token_is_told_to_nobody(tmp_path):
    with serving(tmp_path) as lake:
        texts = wrong(lake.token("query")).values()
        answers = {raw(lake.server, "POST", "/v1/query", b'{"sql": "SELECT 1"}', token=text) for text in texts}
        assert len(answers) == 1 and [(status, json.loads(body)["code"]) for status, body in answers] == [(401, "invalid_token")]
        flight = {Asking(lake, text).ask("statement", "SELECT 1") for text in texts}
        assert [it.status for it in flight] == ["UNAUTHENTICATED"]
        messages = {str(pytest.raises(psycopg.OperationalError, postgres, lake.server, text).value) for text in texts}
        assert len(messages) == 1 and "password authentication failed" in messages.pop()


def test_s1_the_time_of_an_answer_tells_nothing_of_a_token(tmp_path):
    """Medians of interleaved samples differ by less than samples of one kind do among themselves."""
    with serving(tmp_path) as lake:
        kinds = ("its first digit", "its last digit", "no such id")
        texts = {name: text for name, text in wrong(lake.token("query")).items() if name in kinds}
        connection = http.client.HTTPConnection(lake.server.http.removeprefix("http://"), timeout=SECONDS)
        samples = {name: [] for name in texts}
        for _ in range(500):
            for name, text in texts.items():
                begun = time.perf_counter()
                connection.request("GET", "/v1/tokens", headers=dict([bearer(text)]))
                answer = connection.getresponse()
                answer.read()
                samples[name].append(time.perf_counter() - begun)
                assert answer.status in (401, 429), "wrong ones are compared as before when they are told to wait"
        connection.close()
        medians = [statistics.median(it) for it in samples.values()]
        spread = max(low_to_high(it) for it in samples.values())
        assert max(medians) - min(medians) < spread, (medians, spread)


def low_to_high(samples):
    """Between which two values four fifths of the samples lie: how far apart they are."""
    tenths = statistics.quantiles(samples, n=10)
    return tenths[-1] - tenths[0]


# S2

#: What routes need whose doors check it themselves.
CHECKED_BY_DOORS = {
    ("POST", "/ingest"): "ingest", ("POST", "/e"): "ingest", ("POST", "/v1/query"): "query",
    ("POST", "/v1/publish"): "admin", ("POST", "/v1/compact"): "admin", ("GET", "/v1/audit"): "admin", ("GET", "/v1/dropped"): "admin",
    ("GET", "/v1/tokens"): "admin", ("POST", "/v1/tokens"): "admin", ("DELETE", "/v1/tokens/{id}"): "admin",
}
BODIES = {
    "/ingest": {"type": "a"}, "/e": {"type": "a"}, "/v1/{namespace}/events": {"type": "a"},
    "/v1/{namespace}/{collection}/changes": {"op": "delete", "id": "x"},
    "/v1/query": {"sql": "SELECT count(*) FROM shop.orders_shop"},
    "/v1/publish": {"namespace": "shop"}, "/v1/compact": {"namespace": "shop"},
    "/v1/tokens": {"scopes": ["query"], "namespaces": ["shop"]},
    "/v1/{namespace}/{collection}/schema": {"type": "object"},
    "/v1/{namespace}/{collection}/clean-up": {"dry_run": True},
    "/v1/{namespace}/{collection}/restore": {"as_of": "2020-01-01T00:00:00Z", "dry_run": True},
}


def routes():
    """Method, pattern, kind of need and scope of each row of the server's own table, so that a new one is looked at too."""
    table = ACCESS.read_text().split("pub const TABLE", 1)[1].split("];", 1)[0].replace("ADMIN", "Needs::In(Scope::Admin)")
    row = r'\("(\w+)", "([^"]+)", \w+\(Needs::(\w+)(?:\(Scope::(\w+)\))?'
    found = re.findall(row, table)
    assert len(found) == table.count('("') > 25
    return [(method, pattern, need, scope.lower()) for method, pattern, need, scope in found]


def call(lake, route, token, namespace="shop"):
    """Status and code of a request; the rest of an answer is left alone, because a tail has no end."""
    method, pattern = route
    path = pattern.replace("{namespace}", namespace).replace("{collection}", f"orders_{namespace}")
    path = path.replace("{name}", "s").replace("{id}", "nobody12")
    body = BODIES.get(pattern, {}) if method in ("POST", "PUT") else None
    connection = http.client.HTTPConnection(lake.server.http.removeprefix("http://"), timeout=SECONDS)
    headers = {"content-type": "application/json", **dict([bearer(token)] if token else [])}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode() if answer.status >= 400 else "{}"
    connection.close()
    return answer.status, json.loads(text).get("code"), text


@pytest.mark.parametrize("method, pattern, need, scope", routes(), ids=lambda it: it)
def test_s2_each_route_opens_to_its_scope_alone(lake, tokens, method, pattern, need, scope):
    scope = scope or CHECKED_BY_DOORS[method, pattern] if need == "Door" else scope
    for held, token in tokens.items():
        status, code, text = call(lake, (method, pattern), token)
        if need in ("Nothing", "Sight") or (need in ("In", "Door") and held == scope):
            assert status not in (401, 403), (held, text)
        elif need == "Whole":
            assert status == 403 and code in ("scope_missing", "reach_missing"), (held, text)
        else:
            assert (status, code) == (403, "scope_missing"), (held, text)
    assert need == "Nothing" or call(lake, (method, pattern), None)[:2] == (401, "unauthorized")


@pytest.mark.parametrize("method, pattern", [row[:2] for row in routes() if "{namespace}" in row[1]], ids=lambda it: it)
def test_s2_another_namespace_is_told_like_one_that_never_was(lake, tokens, method, pattern):
    for token in tokens.values():
        hidden, absent = (call(lake, (method, pattern), token, namespace) for namespace in (CANARY, NOWHERE))
        assert hidden[:2] == (404, "unknown_namespace")
        assert hidden == (*absent[:2], absent[2].replace(NOWHERE, CANARY))


@pytest.fixture(scope="module")
def writers(lake, tokens):
    found = {scope: Writing(lake, token) for scope, token in tokens.items()}
    stream = Stream(found["ingest"].ingest, producer=("loader", 1))
    stream.batch(1, '[{"type": "a"}]')
    stream.durable(1)
    stream.close()
    yield found
    for writer in found.values():
        writer.close()


@pytest.mark.parametrize("way", Writing.DOORS)
def test_s2_a_door_of_grpc_takes_rows_of_the_scope_ingest_alone(writers, way):
    assert writers["ingest"].write(way, "shop", "orders_shop").status is None
    for scope in ("query", "admin"):
        found = writers[scope].write(way, "shop", "orders_shop")
        assert (found.status, found.word) == ("PERMISSION_DENIED", "scope_missing"), (scope, found)


@pytest.mark.parametrize("way", Writing.DOORS)
def test_s2_a_door_of_grpc_tells_another_namespace_like_one_that_never_was(writers, way):
    for scope, writer in writers.items():
        hidden, absent = (writer.write(way, namespace, "orders_x") for namespace in (CANARY, NOWHERE))
        assert (hidden.status, hidden.word) == ("NOT_FOUND", "unknown_namespace"), scope
        assert hidden == absent._replace(text=absent.text.replace(NOWHERE, CANARY))


def test_s2_the_scope_ingest_is_enough_to_append_to_a_table_that_exists(writers):
    assert writers["ingest"].write("CommandStatementIngest", "shop", "orders_shop", absent=FAIL).status is None


@pytest.mark.parametrize("scope", ["ingest", "admin"])
def test_s2_sql_needs_the_scope_query_on_every_way(lake, tokens, scope):
    asking = Asking(lake, tokens[scope])
    asking.check_refused("SELECT count(*) FROM shop.orders_shop", "scope_missing")
    asking.close()


@pytest.mark.parametrize("scope", ["ingest", "query"])
def test_s2_a_call_needs_the_scope_admin_on_every_way(lake, tokens, scope):
    asking = Asking(lake, tokens[scope])
    asking.check_refused("CALL snapshot('shop.orders_shop', 'never')", "scope_missing", ways=RUNS)
    asking.close()


# S3

def until_refused(ask):
    """What is told at last; the time that a connection of PostgreSQL may go on is bounded by the server, not here."""
    deadline = time.monotonic() + SECONDS
    while (found := ask()).status is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def everywhere(lake, token):
    """Each way in, as a call."""
    asking, writing = Asking(lake, token), Writing(lake, token)
    ways = {way: lambda way=way: asking.ask(way, "SELECT count(*) FROM shop.orders_shop") for way in RUNS}
    doors = [way for way in Writing.DOORS if way != "GetProducer"]
    ways |= {way: lambda way=way: writing.write(way, "shop", "orders_shop") for way in doors}
    assert all(ask().status is None for ask in ways.values())
    return ways


def test_s3_a_revoked_token_opens_nothing_anywhere(tmp_path):
    with serving(tmp_path) as lake:
        token = lake.token("query", "ingest")
        ways = everywhere(lake, token)
        assert lake.ask("DELETE", f"/v1/tokens/{parts(token)[0]}")[0] == 204
        for way, ask in ways.items():
            found = until_refused(ask) if way in ("simple", "extended") else ask()
            over = 0 if way == "http" else 2 if way in ("simple", "extended") else 1
            expected = STATUSES["invalid_token"][over]
            assert found.status in ({expected} if over < 2 else expected | {"gone"}), (way, found)
        with pytest.raises(psycopg.OperationalError, match="password"):
            postgres(lake.server, token)


def test_s3_a_token_whose_time_ended_opens_nothing_anywhere(tmp_path):
    with serving(tmp_path) as lake:
        token = lake.token("query", "ingest", expires_in_s=10)
        ways = everywhere(lake, token)
        assert until_refused(ways["http"])[:2] == (401, "token_expired")
        for way, ask in ways.items():
            found = until_refused(ask)
            if way not in ("http", "simple", "extended"):
                assert found.status == "UNAUTHENTICATED" and "has expired" in found.text, (way, found)
            assert found.status is not None, f"{way}: a token whose time has ended is still served"
        with pytest.raises(psycopg.OperationalError, match="expired"):
            postgres(lake.server, token)


def test_s3_the_word_of_a_refused_token_stands_in_the_trailer(lake):
    assert Asking(lake, "password").ask("statement", "SELECT 1").word == "invalid_token"


# S6

@pytest.mark.parametrize("port", ["--http", "--grpc", "--postgres"])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_s6_without_a_token_no_port_is_opened_to_strangers(tmp_path, port, address):
    addresses = {"--http": "127.0.0.1:0", "--grpc": "127.0.0.1:0", "--postgres": "127.0.0.1:0", port: address}
    words = [word for pair in addresses.items() for word in pair]
    done = subprocess.run([binary(), "serve", "--data", tmp_path / "data", *words], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1 and "ready" not in done.stdout
    assert f"refusing to serve on {address} without a token" in done.stderr and "AUTH_TOKEN" in done.stderr
