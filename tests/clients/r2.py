"""What R2 refuses and S3 takes, as Cloudflare documents it: a handler for the proxy.

1. The region of the signature is `auto`; `us-east-1` and an empty one mean the same (R2, S3 API compatibility).
2. One key is written once a second at most; more is 429 `TooManyRequests` (R2, Limits; error 10058).
3. Parts of an upload are at least 5 MiB and all of one size but the last, which is no larger (R2, Multipart upload;
   errors 10011 and 10048). It is told at the end of the upload.
4. Headers of features that R2 lacks are 501 `NotImplemented`; of checksums it takes one (R2, S3 API compatibility)."""

import collections
import re
import threading
import time
import xml.etree.ElementTree as xml

from s3_proxy import refusal

REGIONS = {"auto", "us-east-1", ""}
WRITES_APART_SECONDS = 1
PART_BYTES_MIN = 5 << 20
LACKING = re.compile("x-amz-(acl|grant-.*|tagging.*|object-lock-.*|request-payer|website-.*|(source-)?expected-bucket-owner"
                     "|server-side-encryption|server-side-encryption-(aws-kms-key-id|context|bucket-key-enabled))")
CHECKSUM = re.compile("x-amz-checksum-(crc32|crc32c|crc64nvme|sha1|sha256)")


class R2:
    """The handler; what it refused, by the word of the error, each with the request's method and key."""

    def __init__(self):
        self.refused, self.written = collections.defaultdict(list), {}
        self.parts, self.lock = collections.defaultdict(dict), threading.Lock()
        #: How many uploads in parts came to their end.
        self.ended = 0

    def __call__(self, request, forward):
        told = self.of_headers(request) or self.of_parts(request) or self.of_rate(request)
        if told:
            status, code, message = told
            with self.lock:
                self.refused[code].append((request.method, request.key))
            return refusal(status, code, message)
        answer = forward(request)
        if answer.status < 300 and "partNumber" in request.query:
            with self.lock:
                self.parts[request.query["uploadId"]][int(request.query["partNumber"])] = len(request.body)
        return answer

    def of_headers(self, request):
        scope = re.search(r"Credential=[^/]*/[^/]*/([^/]*)/", request.headers.get("authorization", ""))
        if scope and scope[1] not in REGIONS:
            return 400, "InvalidRegionName", f"The region name '{scope[1]}' is not valid."
        lacking = next(filter(LACKING.fullmatch, request.headers), None)
        if lacking:
            return 501, "NotImplemented", f"Header '{lacking}' with value '{request.headers[lacking]}' not implemented"
        if len(list(filter(CHECKSUM.fullmatch, request.headers))) > 1:
            return 400, "InvalidRequest", "You can only specify one non-default checksum at a time."
        return None

    def of_parts(self, request):
        if request.method != "POST" or "uploadId" not in request.query:
            return None
        named = [int(number.text) for number in xml.fromstring(request.body).iterfind("{*}Part/{*}PartNumber")]
        with self.lock:
            self.ended += 1
            *sizes, last = (self.parts[request.query["uploadId"]].get(number, 0) for number in sorted(named))
        if any(size < PART_BYTES_MIN for size in sizes):
            return 400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size."
        if len(set(sizes)) > 1 or sizes and last > sizes[0]:
            return 400, "InvalidPart", "All non-trailing parts must have the same length."
        return None

    def of_rate(self, request):
        """A write that is refused is none."""
        # An upload in parts writes at its end; whoever begins one has written nothing yet.
        if not request.is_write:
            return None
        now = time.monotonic()
        with self.lock:
            last = self.written.get(request.target.partition("?")[0])
            if last is not None and now - last < WRITES_APART_SECONDS:
                return 429, "TooManyRequests", "Reduce your concurrent request rate for the same object."
            self.written[request.target.partition("?")[0]] = now
        return None
