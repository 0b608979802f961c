"""The scenarios of tests/scenarios at the doors of Flight SQL and PostgreSQL: what they expect is what HTTP answers."""

import datetime
import decimal
import json
import pathlib

import grpc
import psycopg
import pytest
from flightsql import Door, asking, trailer

from conftest import Server

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


@pytest.mark.parametrize("door", [Postgres, Flight])
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_come_out_as_over_http(path, door, tmp_path):
    server, instants, wrong, asked = Server(tmp_path), {}, [], 0
    for words, body, expected in records(path):
        sql = filled(body, instants)
        if words[0] == "send":
            receipt = server.post(f"/v1/{words[1]}", body.encode(), "application/x-ndjson")
            if "as" in words:
                instants[words[-1]] = datetime.datetime.fromisoformat(receipt["system_time"])
        elif words[0] == "declare":
            server.put(f"/v1/{words[1]}/schema?strictness={words[2]}", body.encode(), "application/json")
        elif words[0] == "restart":
            assert server.stop() == 0
            server = Server(tmp_path)
        elif words[0] in ("query", "statement"):
            asked += 1
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
                is_right = error is None and found == [filled(line, instants) for line in expected]
            if not is_right:
                wrong.append(f"{' '.join(words)}: {sql}\n  {error or found}, expected {expected}")
    server.stop()
    assert asked > 0 and not wrong, "\n".join(wrong)
