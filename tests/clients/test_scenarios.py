"""The scenarios of tests/scenarios at the doors of Flight SQL and PostgreSQL: what they expect is what HTTP answers.

Over a folder HTTP's own are run by tests/tests/scenarios.rs; over a bucket they are run here, at every door."""

import datetime
import decimal
import json
import pathlib
import urllib.error

import grpc
import psycopg
import pytest
from flightsql import Door, asking, trailer

SCENARIOS = sorted((pathlib.Path(__file__).parents[1] / "scenarios").glob("*.slt"))

# What HTTP tells as a code, as SQLSTATEs.
STATES = {
    "unknown_table": {"42P01"},
    "read_only": {"25006", "42501"},
    "sql_too_large": {"54000"},
    "unsupported_sql": {"0A000"},
    "unknown_snapshot": {"42704"},
    "memory_exceeded": {"53200"},
    "engine": {"22000", "22012"},
}


class Postgres:
    """Statements over PostgreSQL's protocol, a connection each."""

    # Refused over HTTP for want of a session, which a connection has.
    of_a_session = ["SET tidemark.as_of = now()", "SET search_path = 'shop'; SELECT 1"]

    @staticmethod
    def ask(server, sql):
        """The rows of the last statement of a text, or the error."""
        try:
            with psycopg.connect(f"postgresql://me:x@{server.postgres}/tidemark", autocommit=True) as connection:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    while True:
                        found = cursor.fetchall() if cursor.description else []
                        if not cursor.nextset():
                            return found, None
        except psycopg.Error as error:
            return None, error

    @staticmethod
    def is_told(error, code):
        return error.sqlstate in STATES.get(code, {"42601", "42703", "42883"})


class Flight:
    """Statements over Flight SQL."""

    of_a_session = ["SET tidemark.as_of = now()"]

    @staticmethod
    def ask(server, sql):
        try:
            door = Door(server)
            info = door.info(asking(sql))
            # What only sets something has no rows to fetch.
            return (door.get(info).rows if info.endpoint else []), None
        except grpc.RpcError as error:
            return None, error

    @staticmethod
    def is_told(error, code):
        return trailer(error, "tidemark-code") == code


class Http:
    """Statements over HTTP."""

    of_a_session = []

    @staticmethod
    def ask(server, sql):
        try:
            return server.rows(sql), None
        except urllib.error.HTTPError as error:
            return None, json.load(error)["code"]

    @staticmethod
    def is_told(error, code):
        return error == code


def cell(value):
    """As scenarios spell it: the JSON of the HTTP door."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return value.replace(" ", "␣") or "(empty)"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f") + ("Z" if value.tzinfo else "")
    if isinstance(value, (datetime.date, decimal.Decimal)):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def records(path):
    for block in path.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines and lines[0].strip():
            body, _, expected = "\n".join(lines[1:]).partition("\n----")
            yield lines[0].split(), body, expected.strip("\n").splitlines()


def filled(text, instants):
    for name, at in instants.items():
        for suffix, micros in (("", 0), ("-1us", -1), ("+1us", 1)):
            moved = at + datetime.timedelta(microseconds=micros)
            text = text.replace("${" + name + suffix + "}", moved.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    return text


def send(server, path, body):
    return server.post(f"/v1/{path}", body.encode(), "application/x-ndjson")


@pytest.mark.parametrize("door", [Postgres, Flight])
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_come_out_as_over_http(path, door, server):
    play(path, [door], server)


@pytest.mark.parametrize("store", ["bucket"], indirect=True)
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_come_out_over_a_bucket_as_over_a_folder(path, server):
    play(path, [Http, Postgres, Flight], server)


def play(path, doors, server):
    """Every record of a scenario, questions at each of the doors; a server that was started anew is stopped at the end."""
    instants, wrong, asked = {}, [], 0
    for words, body, expected in records(path):
        sql = filled(body, instants)
        if words[0] == "send":
            receipt = send(server, words[1], body)
            if "as" in words:
                instants[words[-1]] = datetime.datetime.fromisoformat(receipt["system_time"])
        elif words[0] == "refuse":
            with pytest.raises(urllib.error.HTTPError) as refused:
                send(server, words[1], body)
            assert json.load(refused.value)["code"] == words[2], body
        elif words[0] == "declare":
            server.put(f"/v1/{words[1]}/schema?strictness={words[2]}", body.encode(), "application/json")
        elif words[0] == "restart":
            assert server.stop() == 0
            server = server.again()
        elif words[0] in ("query", "statement"):
            asked += 1
            expected = [filled(line, instants) for line in expected]
            told = [differs(door, server, words, sql, expected) for door in doors]
            wrong += [f"{one}, expected {expected}" for one in told if one]
    assert server.stop() == 0
    assert asked > 0 and not wrong, "\n".join(wrong)


def differs(door, server, words, sql, expected):
    """What a door answers to a question, if that is not what the scenario says."""
    found, error = door.ask(server, sql)
    found = found and [" ".join(map(cell, row)) for row in found]
    if sql in door.of_a_session:
        is_right = error is None
    elif words[:2] == ["statement", "error"]:
        is_right = error is not None and door.is_told(error, words[2])
    elif words[0] == "statement":
        is_right = error is None
    else:
        found = sorted(found or []) if "rowsort" in words else found or []
        is_right = error is None and found == expected
    return None if is_right else f"{door.__name__}: {' '.join(words)}: {sql}\n  {error or found}"
