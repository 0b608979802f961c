"""A lake as a release leaves it behind, with what it answers for ever after (row R-27 of reliability).

    python tests/clients/old_lakes.py 0.1

writes `tests/lakes/0.1-local.tar.gz` and `tests/lakes/0.1-object.tar.gz` with the binary of `TIDEMARK_BIN`: once for each release, and
again only for what no release wrote yet. `test_upgrade.py` opens all of them with the binary of the day.
"""

import io
import json
import pathlib
import sys
import tarfile
import tempfile

import security
from conftest import Server

LAKES = pathlib.Path(__file__).parents[1] / "lakes"
TOKEN = "tm_upgrade_root_token_0123456789"
#: Everything goes to files at once, and is published.
EAGER = {"ingest.flush_rows": 1, "cdc.delta_rows": 1, "cdc.fold_rows_min": 1, "publish.interval_s": 1}
#: An owner of a log in the store is waited for no longer than this.
LEASE = {"lease.time_ms": 1000}
COLUMNS = "id, type, ts, source, subject, actor, data, meta, collection, document_id, op, prev, bookmark, _system_time, _shard, _seq"


def write(home, log):
    """A lake with something of everything, whose last changes lie in no file yet; the questions, their answers, a token."""
    instants = []
    server = Server(home, token=TOKEN, settings={**EAGER, **LEASE}, log=log)
    orders(server, instants)
    events_and_schemas(server)
    made = call(server, "POST", "/v1/tokens", {"name": "reader", "scopes": ["query"], "namespaces": ["shop"]})
    call(server, "POST", "/v1/publish", {})
    assert server.stop() == 0
    server = server.again(settings=LEASE)
    changes(server, [change("update", n, "2025-03-01", {"n": n, "tail": True}) for n in (1, 2, 21)])
    changes(server, [change("delete", 3, "2025-03-01")])
    call(server, "POST", "/v1/shop/events", {"type": "order.shipped", "id": "tail", "data": {"n": 21}})
    instants.append(newest(server))
    asked = {sql: rows(server, sql) for sql in questions(instants)}
    server.kill()
    return {"token": made["token"], "answers": asked}


def orders(server, instants):
    """Versions of documents: in order, late, tied, widening, deleted and made again; and a snapshot of the first of them."""
    changes(server, [change("insert", n, "2025-01-01", {"n": n, "name": f"order {n}", "lines": [{"sku": "a", "of": n}]}) for n in range(20)])
    settle(server)
    instants.append(newest(server))
    call(server, "POST", "/v1/shop/orders/snapshots", {"name": "first", "as_of": instants[0]})
    changes(server, [change("update", n, "2025-02-01", {"n": n + 0.5, "name": None}) for n in range(0, 20, 2)])
    changes(server, [change("update", n, "2025-02-02", {"n": f"text {n}", "extra-": True}) for n in range(0, 20, 5)])
    changes(server, [change("update", n, "2025-01-15", {"n": -n}) for n in range(0, 20, 3)])
    changes(server, [change("update", 4, "2025-02-03", {"n": place}, bookmark=place) for place in ("0002", "0001")])
    changes(server, [change("delete", n, "2025-02-04") for n in (7, 8, 9)])
    changes(server, [change("insert", 8, "2025-02-05", {"n": 8})])
    settle(server)
    instants.append(newest(server))


def events_and_schemas(server):
    for n in range(10):
        event = {"type": "order.placed", "id": f"e{n}", "ts": f"2025-01-{n + 1:02}T12:00:00Z", "source": "web", "subject": f"order/{n}",
                 "data": {"n": n, "deep": {"a": [1, None, "x"]}}, "meta": {"trace": n}}
        call(server, "POST", "/v1/shop/events", event)
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"]}
    call(server, "PUT", "/v1/shop/customers/schema?strictness=strict", schema)
    changes(server, [change("insert", n, "2025-01-01", {"name": f"c{n}", "age": n}) for n in range(3)], "customers")
    call(server, "PUT", "/v1/shop/customers/retention", {"daily": 3})
    changes(server, [change("insert", 1, "2025-01-01", {"n": 1})], "dropped")
    settle(server)
    call(server, "POST", "/v1/shop/dropped/drop", {"grace_s": 10 * 365 * 24 * 3600})


def questions(instants):
    """About the present and instants of the past that every later release must answer the same."""
    first, second, last = instants
    documents = "SELECT *, _doc FROM shop.orders {} ORDER BY _id"
    clauses = [f"FOR SYSTEM_TIME AS OF TIMESTAMP '{at}'" for at in instants]
    clauses += [f"FOR VALID_TIME AS OF TIMESTAMP '{at}T00:00:00Z'" for at in ("2025-01-02", "2025-02-01", "2025-02-03", "2025-02-28")]
    clauses += [f"{clauses[1]} FOR VALID_TIME AS OF TIMESTAMP '2025-01-20T00:00:00Z'"]
    return [
        documents.format(""), *map(documents.format, clauses),
        f"SELECT {COLUMNS} FROM shop.events FOR SYSTEM_TIME AS OF TIMESTAMP '{last}' ORDER BY _shard, _seq",
        f"SELECT * FROM changes('shop.orders', TIMESTAMP '{first}', TIMESTAMP '{last}') ORDER BY _seq",
        f"SELECT * FROM diff('shop.orders', TIMESTAMP '{first}', TIMESTAMP '{second}') ORDER BY _id",
        "SELECT * FROM history('shop.orders') ORDER BY _id, _seq, _valid_from, _system_from",
        "SELECT * FROM shop.customers ORDER BY _id",
        "SELECT name, kind, system_time, rows FROM system.snapshots WHERE collection = 'orders' AND kind = 'named'",
        "SELECT namespace, collection FROM system.collections ORDER BY 1, 2",
    ]


def change(op, n, day, doc=None, **more):
    return {"op": op, "id": str(n), "ts": f"{day}T00:00:00Z", **({"doc": doc} if doc is not None else {}), **more}


def changes(server, all_of_them, collection="orders"):
    for one in all_of_them:
        call(server, "POST", f"/v1/shop/{collection}/changes", one)


def settle(server):
    call(server, "POST", "/v1/compact", {})


def newest(server):
    return rows(server, "SELECT max(_system_time) FROM shop.events")[0][0]


def rows(server, sql, token=TOKEN):
    return call(server, "POST", "/v1/query", {"sql": sql}, token)["rows"]


def call(server, method, path, body, token=TOKEN):
    status, text = security.raw(server, method, path, json.dumps(body).encode(), (), token)
    assert status in {200, 201, 204}, (method, path, status, text)
    return json.loads(text or "null")


def pack(home, told, archive):
    """The folder of a server and what it told."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(home / "data", "data")
        about = tarfile.TarInfo("told.json")
        text = json.dumps(told, indent=1).encode()
        about.size = len(text)
        packed.addfile(about, io.BytesIO(text))


def unpack(archive, home):
    """A server's home as it was; what it told."""
    with tarfile.open(archive) as packed:
        packed.extractall(home, filter="data")
    return json.loads((home / "told.json").read_text())


def main(name):
    for log in ("local", "object"):
        with tempfile.TemporaryDirectory() as folder:
            home = pathlib.Path(folder)
            archive = LAKES / f"{name}-{log}.tar.gz"
            pack(home, write(home, log), archive)
            print(f"{archive}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
