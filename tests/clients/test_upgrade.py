"""Lakes that releases left behind answer the same for ever; one that a later release wrote is refused (row R-27 of reliability)."""

import json
import re
import shutil
import subprocess

import old_lakes
import pytest
from conftest import Server, binary
from old_lakes import LAKES, LEASE, TOKEN, call, change, changes, rows, settle

ARCHIVES = sorted(LAKES.glob("*.tar.gz"))
#: What of a lake may be of a newer format: the newest object that matches.
FORMATS = ["_tidemark/format.json", "_tidemark/owner/*.json", "_tidemark/catalog/*.json", "_tidemark/tokens/*.json", "shop/orders/_manifest/*.json"]
#: Where the header of a segment of the log says its version, and where its checksum stands.
VERSION_AT, CHECKSUM_AT = 8, 252
#: CRC-32C, of bits in the order of the wire.
CASTAGNOLI = 0x82F63B78


def log_of(archive):
    return "object" if "-object" in archive.name else "local"


class Old:
    """An old lake, not opened yet: where it is, its log, what it told."""

    def __init__(self, archive, home):
        self.home, self.log, self.told, self.servers = home, log_of(archive), old_lakes.unpack(archive, home), []

    def start(self):
        self.servers.append(Server(self.home, token=TOKEN, settings=LEASE, log=self.log))
        return self.servers[-1]


@pytest.fixture(params=ARCHIVES, ids=lambda archive: archive.name.removesuffix(".tar.gz"))
def old(request, tmp_path):
    lake = Old(request.param, tmp_path)
    yield lake
    for server in lake.servers:
        server.kill()


def answers(server, told):
    return {sql: rows(server, sql) for sql in told["answers"]}


def test_there_is_a_lake_of_every_release():
    changelog = (LAKES.parents[1] / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[?v?(\d+\.\d+)\.\d+", changelog, flags=re.M)
    assert {f"{release}-{log}" for release in {*releases, "0.1"} for log in ("local", "object")} <= {a.name.removesuffix(".tar.gz") for a in ARCHIVES}


def test_an_old_lake_answers_the_same(old):
    server, told = old.start(), old.told
    assert answers(server, told) == told["answers"]
    # All of it goes through the jobs of today, and on from there.
    changes(server, [change("insert", "new", "2026-01-01", {"n": 1})], "new")
    settle(server)
    call(server, "POST", "/v1/publish", {"rebuild": True})
    expected = {**told["answers"]}
    collections = next(sql for sql in expected if "system.collections" in sql)
    expected[collections] = sorted([*expected[collections], ["shop", "new"]])
    assert answers(server, told) == expected
    assert rows(server, "SELECT count(*) FROM shop.orders", told["token"]) == [[18]]
    assert server.stop() == 0
    server.verify()
    server = old.start()
    assert answers(server, told) == expected
    call(server, "POST", "/v1/shop/dropped/undrop", {})
    assert rows(server, "SELECT n FROM shop.dropped") == [[1]]
    refused = raw_change(server, "customers", {"age": 1})
    assert refused[0] == 422 and "name" in refused[1], "the declared schema is still there"
    server.stop()


def raw_change(server, collection, doc):
    body = json.dumps(change("insert", 9, "2026-01-01", doc)).encode()
    return old_lakes.security.raw(server, "POST", f"/v1/shop/{collection}/changes", body, (), TOKEN)


def test_a_lake_of_a_newer_release_is_refused(old):
    home, log = old.home, old.log
    lake = home / "data/lake"
    for pattern in FORMATS:
        newest = max(lake.glob(pattern))
        kept = newest.read_bytes()
        newer = re.sub(rb'"format":\d+', b'"format":99', kept, count=1)
        assert newer != kept, newest
        newest.write_bytes(newer)
        said = refused(home, log)
        assert "format 99" in said and "newer release" in said, (pattern, said)
        newest.write_bytes(kept)
    for segment in segments(home, log):
        kept = segment.read_bytes()
        header = kept[:VERSION_AT] + (99).to_bytes(4, "little") + kept[VERSION_AT + 4:CHECKSUM_AT]
        assert crc32c(kept[:CHECKSUM_AT]) == kept[CHECKSUM_AT:CHECKSUM_AT + 4], "the header is where it was"
        segment.write_bytes(header + crc32c(header) + kept[CHECKSUM_AT + 4:])
        said = refused(home, log)
        assert "format 99" in said and "newer release" in said, said
        segment.write_bytes(kept)
    # Nothing was harmed by the attempts.
    old.start().stop()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ CASTAGNOLI * (crc & 1)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


def segments(home, log):
    folder = home / ("data/lake/_tidemark/log" if log == "object" else "data/log")
    return [max(folder.rglob("*.seg"))]


def refused(home, log):
    """What a start says that does not come up. It works on a copy: looking on may cost an epoch."""
    attempt = home / "attempt"
    shutil.copytree(home / "data", attempt)
    words = [binary(), "serve", "--data", attempt, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"]
    words += ["--log", log] if log != "local" else []
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env={"AUTH_TOKEN": TOKEN, "TIDEMARK_LEASE__TIME_MS": "1000"})
    shutil.rmtree(attempt)
    assert done.returncode not in {0, -6, -11, 101} and "panicked" not in done.stderr, done.stderr
    return done.stderr
