"""The security checklist, S7: hostile names at every door are refused in the same words, and nothing new lies in the data folder.

The table of all rows stands in test_security.py.
"""

import json
import re
import unicodedata
import urllib.parse

import psycopg
import pytest
from security import RUNS, Asking, Writing, files, postgres, raw, serving

#: Of every kind: ways out of a folder, spellings of them, letters that are none, lengths, and what the lake keeps for itself.
NAMES = [
    "..", ".", "a/../b", "a%2f..%2fb", "..\\x", "/etc/passwd", "~", "a\0b", "%00", "a b", "\r\n", "a;b", "a'b", 'a"b', "CON",
    "Shop",
    "a" * 64, "a" * 256, "é", unicodedata.normalize("NFD", "é"), "\u202eabc", "a\u200bb", "-a", "_system", "system", "public",
    "pg_x",
    "information_schema",
]
#: One of each kind, where a refusal costs an entry in the audit trail or a statement.
FEW = ["..", "a/../b", "a%2f..%2fb", "a\0b", 'a"b', "Shop", "a" * 256, "\u202eabc", "_system"]
EVENT, CHANGE = b'{"type": "a"}', b'{"op": "insert", "id": "1", "doc": {}}'


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("lake")) as found:
        yield found


@pytest.fixture(scope="module")
def writing(lake):
    found = Writing(lake)
    yield found
    found.close()


@pytest.fixture(scope="module")
def asking(lake):
    found = Asking(lake)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def nothing_new(lake):
    """Around every test: no path appears below the data folder, but pages of the audit trail, which tells of refusals, and the
    renewals of the lease; either of them is a file in .tmp first."""
    before = files(lake.server)
    yield
    assert {path for path in files(lake.server) - before if not re.search("/audit|/_tidemark/lease/|/[.]tmp/", path)} == set()


def refused(lake, method, path, body=b""):
    status, text = raw(lake.server, method, path, body)
    return status, json.loads(text)["code"]


@pytest.mark.parametrize("name", ["", *NAMES])
def test_s7_a_path_of_http_names_what_is_a_name(lake, name):
    quoted = urllib.parse.quote(name, safe="")
    assert refused(lake, "POST", f"/v1/{quoted}/events", EVENT) == (400, "invalid_name")
    assert refused(lake, "POST", f"/v1/shop/{quoted}/changes", CHANGE) == (400, "invalid_name")


#: Routes about a collection, with a body that they would take, and the word that they have for a name that is none.
COLLECTIONS = [
    ("GET", "/v1/{}/{}/export", b"", "invalid_request"),
    ("GET", "/v1/{}/{}/schema", b"", "invalid_name"),
    ("PUT", "/v1/{}/{}/schema", b'{"type": "object"}', "invalid_name"),
    ("POST", "/v1/{}/{}/snapshots", b"{}", "invalid_path"),
    ("PUT", "/v1/{}/{}/retention", b'{"daily": 3}', "invalid_path"),
    ("POST", "/v1/{}/{}/clean-up", b"{}", "invalid_path"),
    ("POST", "/v1/{}/{}/restore", b'{"as_of": "2020-01-01T00:00:00Z"}', "invalid_path"),
]


@pytest.mark.parametrize("name", FEW)
def test_s7_what_is_done_with_a_collection_needs_a_name(lake, name):
    quoted = urllib.parse.quote(name, safe="")
    for method, path, body, word in COLLECTIONS:
        for names in [(quoted, "orders_shop"), ("shop", quoted)]:
            assert refused(lake, method, path.format(*names), body) == (400, word), (path, names)


@pytest.mark.parametrize("path, expected", [
    ("/v1/../events", (400, "invalid_name")),
    ("/v1/./events", (400, "invalid_name")),
    ("/v1/shop/../changes", (400, "invalid_name")),
    ("/v1/a/../b/events", (404, "unknown_path")),
    ("//v1/shop/events", (404, "unknown_path")),
    ("/v1/shop/events/..", (404, "unknown_path")),
    ("/v1/shop/events/../../../../etc/passwd", (404, "unknown_path")),
    ("/v1/..%2f..%2fx/events", (400, "invalid_name")),
    ("/v1/..%252f..%252fx/events", (400, "invalid_name")),
    ("/v1/%c0%ae%c0%ae/events", (400, "invalid_parameter")),
    ("/v1/a\\..\\b/events", (400, "invalid_name")),
])
def test_s7_a_path_is_taken_as_it_comes(lake, path, expected):
    """Nothing walks along the dots of a path, whatever a client of HTTP would have made of it."""
    assert refused(lake, "POST", path, EVENT) == expected


@pytest.mark.parametrize("name", NAMES)
def test_s7_a_target_of_grpc_is_a_name(writing, name):
    for way, namespace, collection in [("Append", name, "orders"), ("Append", "shop", name), ("AppendStream", name, "orders"),
                                       ("AppendStream", "shop", name), ("GetProducer", name, "")]:
        found = writing.write(way, namespace, collection)
        assert (found.status, found.word) == ("INVALID_ARGUMENT", "invalid_name"), (way, found)


@pytest.mark.parametrize("name", ["", *NAMES])
def test_s7_a_table_of_flight_is_a_name(writing, name):
    for way in ("DoPut", "CommandStatementIngest"):
        for namespace, table in [(name, "orders"), ("shop", name)]:
            assert writing.write(way, namespace, table).status == "INVALID_ARGUMENT", (way, namespace, table)


@pytest.mark.parametrize("way", ["DoPut", "CommandStatementIngest"])
def test_s7_the_word_of_a_name_that_is_none_stands_in_the_trailer(writing, way):
    assert writing.write(way, "..", "orders").word == "invalid_name"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", [name for name in ["", *NAMES] if "\0" not in name])
def test_s7_an_identifier_of_sql_that_is_no_name_is_no_table(asking, name):
    for table in (f"{quoted(name)}.orders_shop", f"shop.{quoted(name)}"):
        asking.check_refused(f"SELECT * FROM {table}", "unknown_table", ways=RUNS if name in FEW else ("http",))


@pytest.mark.parametrize("name", [name for name in FEW if "\0" not in name])
def test_s7_a_name_in_a_call_or_a_function_of_sql_is_no_table(lake, name):
    text = f"shop.{quoted(name)}".replace("'", "''")
    for sql in (f"CALL snapshot('{text}')", f"SELECT * FROM as_of('{text}')", f"SELECT * FROM history('{text}')"):
        status, body = lake.sql(sql)
        assert status in (400, 404) and json.loads(body)["code"] in ("unknown_table", "invalid_sql", "invalid_name"), body


@pytest.mark.parametrize("name", [name for name in NAMES if "\0" not in name])
def test_s7_a_database_of_postgresql_is_a_namespace(lake, name):
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        postgres(lake.server, "a~root~of-tests", database=name)


@pytest.mark.parametrize("name", NAMES)
def test_s7_the_namespace_of_a_question_is_a_name(lake, name):
    status, text = lake.sql("SELECT 1", namespace=name)
    assert (status, json.loads(text)["code"]) == (400, "invalid_request"), text


@pytest.mark.parametrize("name", ["", *NAMES])
def test_s7_a_token_reaches_what_has_a_name(lake, name):
    status, text = lake.ask("POST", "/v1/tokens", {"scopes": ["query"], "namespaces": [name]})
    assert (status, json.loads(text)["code"]) == (400, "invalid_name"), text
