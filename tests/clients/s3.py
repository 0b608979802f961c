"""An S3 that runs here and what tests do in it: LocalStack, or the endpoint that TIDEMARK_S3_ENDPOINT names; buckets; requests of one's own.

Requests are signed, so that an S3 that checks signatures (rgw.sh starts one) takes them too."""

import contextlib
import datetime
import hashlib
import hmac
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree as xml
from typing import NamedTuple

START_SECONDS = 120
SERVE = pathlib.Path(__file__).parent / "localstack" / "serve.py"


class Reply(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def code(self):
        """The word of an error."""
        return xml.fromstring(self.body).findtext("{*}Code") if self.body else None


class S3:
    """An endpoint and the keys for it."""

    def __init__(self, url, key="test", secret="test"):
        self.url, self.key, self.secret = url, key, secret

    def ask(self, method, path, query=None, body=b"", headers=None, region="us-east-1"):
        """One request; an error is a reply too."""
        signed = self.signed(method, path, query or {}, body, region)
        target = urllib.parse.quote(path) + ("?" + encoded(query) if query else "")
        request = urllib.request.Request(self.url + target, data=body or None, method=method, headers={**signed, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as refused:
            return Reply(refused.code, dict(refused.headers), refused.read())

    def signed(self, method, path, query, body, region):
        """The headers that sign a request, by version 4 of the signature."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self.url.split("://")[1], "x-amz-content-sha256": digest(body), "x-amz-date": now}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = "\n".join([method, urllib.parse.quote(path), encoded(query), lines, names, headers["x-amz-content-sha256"]])
        scope = f"{now[:8]}/{region}/s3/aws4_request"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest(request.encode())}".encode(), "sha256").hexdigest()
        credential = f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        # Without a type urllib says that it is a form, which LocalStack then reads as one.
        return {**{name: value for name, value in headers.items() if name != "host"}, "authorization": credential, "content-type": "binary/octet-stream"}

    def answers(self):
        try:
            return self.ask("GET", "/").status == 200
        except OSError:
            return False


class Bucket:
    """A place for a lake: a bucket, the prefix inside it, and the endpoint by which it is reached."""

    def __init__(self, s3, name=None, prefix="lake"):
        self.s3, self.name, self.prefix = s3, name or f"tidemark-{uuid.uuid4().hex[:12]}", prefix
        self.url = f"s3://{self.name}/{prefix}"

    @property
    def variables(self):
        """What a server and other engines need to reach it."""
        return {"AWS_ENDPOINT_URL": self.s3.url, "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": self.s3.key, "AWS_SECRET_ACCESS_KEY": self.s3.secret}

    def below(self, prefix):
        """Another place in the same bucket."""
        return Bucket(self.s3, self.name, prefix)

    def through(self, url):
        """The same place, reached by another endpoint, such as a proxy."""
        return Bucket(S3(url, self.s3.key, self.s3.secret), self.name, self.prefix)

    def make(self):
        made = self.s3.ask("PUT", f"/{self.name}")
        assert made.status == 200, made
        return self

    def keys(self):
        """Every key of the bucket."""
        return list(self.sizes())

    def sizes(self):
        """Every key of the bucket, and the bytes of its object."""
        found, token = {}, {}
        while True:
            listed = self.s3.ask("GET", f"/{self.name}", {"list-type": "2", **token})
            assert listed.status == 200, listed
            page = xml.fromstring(listed.body)
            found |= {one.findtext("{*}Key"): int(one.findtext("{*}Size")) for one in page.iterfind("{*}Contents")}
            if page.findtext("{*}IsTruncated") != "true":
                return found
            token = {"continuation-token": page.findtext("{*}NextContinuationToken")}

    def copy(self, into):
        """What lies below the prefix, put into another bucket under the same keys."""
        for key in self.keys():
            if key.startswith(f"{self.prefix}/"):
                got = self.s3.ask("GET", f"/{self.name}/{key}")
                put = into.s3.ask("PUT", f"/{into.name}/{key}", body=got.body)
                assert (got.status, put.status) == (200, 200), (key, got, put)

    def remove(self):
        for key in self.keys():
            self.s3.ask("DELETE", f"/{self.name}/{key}")
        self.s3.ask("DELETE", f"/{self.name}")


class LocalStack:
    """A LocalStack of one's own, on a free port, with a folder for all that it writes."""

    def __init__(self, python, folder):
        port = free_port()
        self.folder, self.s3 = folder, S3(f"http://127.0.0.1:{port}")
        with open(folder / "localstack.log", "ab") as log:
            # A group of its own, so that whatever it starts ends with it.
            self.process = subprocess.Popen(
                [python, SERVE, folder, str(port)], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while not self.s3.answers():
            log = (self.folder / "localstack.log").read_text()
            assert self.process.poll() is None, f"LocalStack ended: {log}"
            assert time.monotonic() < deadline, f"LocalStack does not answer: {log}"
            time.sleep(0.1)

    def stop(self):
        # At once: an orderly end takes it seconds, and nothing of it is wanted any more.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def digest(raw):
    return hashlib.sha256(raw).hexdigest()


def encoded(query):
    return urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="")


def free_port():
    """A port that was free a moment ago: LocalStack cannot pick one and tell it."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]
