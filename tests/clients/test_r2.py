"""What R2 refuses is never asked of it: the server behind a fake that refuses as R2 does (r2.py), under load with all of its work on."""

import base64
import collections
import random
import re
import threading
import time

import pytest
from book import NAMESPACE, Book
from r2 import PART_BYTES_MIN, R2
from s3_proxy import Proxy
from test_object_store import BUSY

from conftest import Server, remark

ROUNDS = 3
#: Records that nothing compresses: enough for an object in three parts.
RECORDS, RECORD_BYTES = 50, 600_000


@pytest.fixture
def r2(s3):
    refusing = R2()
    with Proxy(s3.url, refusing) as proxy:
        refusing.url = proxy.url
        yield refusing


def test_the_fake_refuses_what_r2_refuses(bucket, r2):
    mine, body = bucket.through(r2.url), b"x"
    for region, code in [("auto", None), ("us-east-1", None), ("eu-central-1", "InvalidRegionName"), ("wnam", "InvalidRegionName")]:
        assert mine.s3.ask("PUT", f"/{mine.name}/in-{region}", body=body, region=region).code == code, region
    assert mine.s3.ask("PUT", f"/{mine.name}/twice", body=body, headers={"If-None-Match": "*"}).status == 200
    again = mine.s3.ask("PUT", f"/{mine.name}/twice", body=body, headers={"If-None-Match": "*"})
    assert (again.status, again.code) == (429, "TooManyRequests")
    assert mine.s3.ask("GET", f"/{mine.name}/twice").body == body and mine.s3.ask("DELETE", f"/{mine.name}/twice").status == 204
    assert mine.s3.ask("PUT", f"/{mine.name}/tagged", body=body, headers={"x-amz-tagging": "a=b"}).code == "NotImplemented"
    two = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}
    assert mine.s3.ask("PUT", f"/{mine.name}/summed", body=body, headers=two).code == "InvalidRequest"
    least = PART_BYTES_MIN
    for number, (sizes, code) in enumerate([
        ([least, least, 1], None),
        ([least, least + 1, 1], "InvalidPart"),
        ([least, least, least + 1], "InvalidPart"),
        ([least - 1, least - 1], "EntityTooSmall"),
        ([1], None),
    ]):
        assert in_parts(mine, f"parts-{number}", sizes) == code, sizes


def in_parts(bucket, key, sizes):
    """The word of the error that an upload in parts ends with, if any."""
    path = f"/{bucket.name}/{key}"
    begun = bucket.s3.ask("POST", path, {"uploads": ""})
    upload = begun.body.decode().split("<UploadId>")[1].split("<")[0]
    parts = ""
    for number, size in enumerate(sizes, 1):
        put = bucket.s3.ask("PUT", path, {"partNumber": str(number), "uploadId": upload}, body=b"x" * size)
        etag = {name.lower(): value for name, value in put.headers.items()}["etag"]
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    body = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'.encode()
    ended = bucket.s3.ask("POST", path, {"uploadId": upload}, body=body)
    return None if ended.status == 200 else ended.code


def test_r2_has_nothing_to_refuse(tmp_path, bucket, r2):
    book, mine = Book(seed=17), bucket.through(r2.url)
    server = Server(tmp_path, store=mine, settings=BUSY)
    try:
        with book.senders(server, 1, apart_seconds=0.03):
            large(server)
            for _round in range(ROUNDS):
                book.wait(more=10)
                server.post(f"/v1/{NAMESPACE}/docs/snapshots", {})
                server.post("/v1/publish", {"namespace": NAMESPACE})
        server.post("/v1/compact", {"namespace": NAMESPACE})
        book.audit(server, probes=2)
        assert server.rows("SELECT count(*) FROM large.events") == [(RECORDS,)]
        # An end and a start, and a kill and a start, write what they write within the same second.
        assert server.stop() == 0
        server = server.again()
        book.send(server)
        server.kill()
        server = server.again()
        book.audit(server, probes=1)
        assert server.stop() == 0
        server.verify()
    finally:
        server.kill()
    assert r2.ended > 0, "nothing was uploaded in parts"
    assert set(r2.refused) <= {"TooManyRequests"}, dict(r2.refused)
    refused = collections.Counter(re.sub(r"\d{20}", "NUMBER", key) for key in too_often(r2))
    # Two commits of one table may want the same number within the same second: then the later one is told so late that
    # it lost. Nothing else is written twice in a second.
    assert all("NUMBER" in key for key in refused), refused
    remark(f"the fake of R2: {len(book.receipts)} batches, {r2.ended} uploads in parts, refused for their rate: {dict(refused)}")


def test_the_copy_of_a_manifest_is_written_once_a_second_at_most(tmp_path, bucket, s3):
    refusing, slow = R2(), threading.Event()

    def handler(request, forward):
        if slow.is_set() and "/docs/_manifest/" in request.key and request.is_create:
            slow.clear()
            time.sleep(0.8)
        return refusing(request, forward)

    with Proxy(s3.url, handler) as proxy:
        server = Server(tmp_path, store=bucket.through(proxy.url))
        try:
            for number in range(4):
                server.changes(f"{NAMESPACE}/docs", [{"op": "insert", "id": str(number), "doc": {"n": number}}])
                # One commit that takes long, and one that does not.
                slow.set() if number % 2 == 0 else time.sleep(0.25)
                server.post(f"/v1/{NAMESPACE}/docs/snapshots", {})
                assert not slow.is_set(), "no commit was slow"
        finally:
            server.kill()
    assert set(refusing.refused) <= {"TooManyRequests"} and not too_often(refusing), dict(refusing.refused)


def too_often(r2):
    """The keys that were written twice in a second, but by the check of the store, whose work that is."""
    return [key for _method, key in r2.refused["TooManyRequests"] if "/_tidemark/check/" not in key]


def large(server):
    """Events of one file that is too large for one request."""
    chance = random.Random(1)
    for batch in range(0, RECORDS, 10):
        server.post("/v1/large/events", [
            {"type": "large", "id": f"l{batch + n}", "data": {"noise": noise(chance)}} for n in range(10)])
    server.post("/v1/compact", {"namespace": "large"})


def noise(chance):
    return base64.b64encode(chance.randbytes(RECORD_BYTES * 3 // 4)).decode()
