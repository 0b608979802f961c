"""What a client may do in a minute: the same allowance at every door, told in the headers of HTTP."""

import json
import urllib.error
import urllib.request

import grpc
import psycopg
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from test_grpc import Door

from conftest import Server

REQUESTS, EVENTS = 200, 12


@pytest.fixture
def limited(tmp_path):
    """A server that lets every client do this much a minute. The environment names it as the system before did."""
    server = Server(tmp_path, token="root", settings={
        "limits.requests_per_minute": REQUESTS, "limits.events_per_minute": EVENTS})
    yield server
    server.stop()


def ask(server, path, body=None, token="root"):
    raw = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.http + path, raw, headers), timeout=60) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def send(server, count, token="root"):
    return ask(server, "/v1/shop/events", [{"type": "seen"}] * count, token)


def left(headers):
    """`"requests";r=7;t=9, "events";r=1;t=2` as numbers by name."""
    return {part.split(";")[0].strip('"'): int(part.split("r=")[1].split(";")[0]) for part in headers["RateLimit"].split(", ")}


def test_every_answer_tells_what_is_left(limited):
    status, headers, _ = send(limited, 5)
    assert status == 200 and headers["RateLimit-Policy"] == f'"requests";q={REQUESTS};w=60, "events";q={EVENTS};w=60'
    assert left(headers) == {"requests": REQUESTS - 1, "events": EVENTS - 5}
    _, headers, _ = ask(limited, "/v1/query", {"sql": "SELECT 1"})
    assert left(headers)["requests"] <= REQUESTS - 1 and int(headers["RateLimit-Limit"]) == REQUESTS
    status, headers, _ = ask(limited, "/nowhere")
    assert status == 404 and int(headers["RateLimit-Remaining"]) < REQUESTS
    with urllib.request.urlopen(limited.http + "/health") as probe:
        assert "RateLimit" not in probe.headers


def test_events_are_refused_as_a_whole_and_come_back(limited):
    assert send(limited, EVENTS - 2)[0] == 200
    status, headers, problem = send(limited, 6)
    assert (status, problem["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(headers["Retry-After"]) <= 60 and f"{EVENTS} events a minute" in problem["detail"]
    status, headers, problem = send(limited, EVENTS + 1)
    assert (status, problem["code"], headers["Retry-After"]) == (413, "rate_limit_exceeded", None)
    _, _, counted = ask(limited, "/v1/query", {"sql": "SELECT count(*) FROM shop.events"})
    assert counted["rows"] == [[EVENTS - 2]]
    metrics = urllib.request.urlopen(urllib.request.Request(limited.http + "/metrics", headers={"Authorization": "Bearer root"}))
    assert 'tidemark_rate_limited_total{counted="events"} 2' in metrics.read().decode()


def test_each_token_has_its_own_allowance(limited):
    made = ask(limited, "/v1/tokens", {"scopes": ["ingest"], "namespaces": ["shop"], "name": "till"})[2]["token"]
    assert send(limited, EVENTS)[0] == 200 and send(limited, 3)[0] == 429
    assert send(limited, EVENTS, made)[0] == 200 and send(limited, 3, made)[0] == 429


def test_events_count_at_the_doors_of_grpc_and_flight(limited):
    door = Door(limited, token="root")
    door.append(json.dumps([{"type": "seen"}] * (EVENTS - 4)))
    with pytest.raises(grpc.RpcError) as refused:
        door.append(json.dumps([{"type": "seen"}] * 6))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    client = flight.FlightClient(limited.grpc.replace("grpc://", "grpc+tcp://"))
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer root")])
    rows = pa.table({"type": ["seen"] * 6})
    with pytest.raises((flight.FlightError, pa.ArrowException), match="events a minute"):
        writer, _ = client.do_put(flight.FlightDescriptor.for_path("shop", "events"), rows.schema, options)
        writer.write_table(rows)
        writer.close()
    _, _, counted = ask(limited, "/v1/query", {"sql": "SELECT count(*) FROM shop.events"})
    assert counted["rows"] == [[EVENTS - 4]]


def test_statements_on_a_connection_that_stays_count_too(tmp_path):
    server = Server(tmp_path, settings={"limits.requests_per_minute": 20})
    try:
        with psycopg.connect(f"postgresql://any@{server.postgres}/tidemark", autocommit=True) as connection:
            with pytest.raises(psycopg.Error) as refused:
                for _ in range(40):
                    connection.execute("SELECT 1")
            assert refused.value.sqlstate == "53400" and "try again in" in str(refused.value)
        assert ask(server, "/v1/query", {"sql": "SELECT 1"})[0] == 429, "the address is one client at every door"
    finally:
        server.stop()


def test_the_names_of_the_system_before_are_known(tmp_path, monkeypatch):
    monkeypatch.setenv("RATE_LIMIT_REQUESTS_PER_MINUTE", "7")
    server = Server(tmp_path)
    try:
        assert ask(server, "/v1/query", {"sql": "SELECT 1"})[1]["RateLimit-Limit"] == "7"
    finally:
        server.stop()
