"""A proxy in front of an S3: every request passes through a handler, which may refuse it, delay it, or spoil its answer.

A handler is a function of the request and of what forwards it: `handler(request, forward)` gives an answer, or raises
[`Reset`] or [`Torn`]. Handlers nest: one's `forward` may be another handler."""

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import urllib.parse
from typing import NamedTuple

#: Headers that belong to one connection and not to what is said over it.
OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
TIMEOUT_SECONDS = 60


class Request(NamedTuple):
    method: str
    #: As it came, with the bucket and the query.
    target: str
    headers: dict
    body: bytes

    @property
    def key(self):
        """The object, without its bucket; empty where a bucket is asked."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.target).path)
        return path.lstrip("/").partition("/")[2]

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.target).query, keep_blank_values=True))

    @property
    def is_get(self):
        return self.method == "GET" and bool(self.key)

    @property
    def is_list(self):
        return self.method == "GET" and not self.key and "list-type" in self.query

    @property
    def is_create(self):
        return self.method == "PUT" and self.headers.get("if-none-match") == "*"

    @property
    def is_write(self):
        """Whether it makes an object: in one request, by a copy, or as the end of one in parts."""
        is_part, is_end = "partNumber" in self.query, self.method == "POST" and "uploadId" in self.query
        return bool(self.key) and (self.method == "PUT" and not is_part or is_end)


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes


class Reset(Exception):
    """The connection is cut before anything is answered."""


class Torn(Exception):
    """The connection is cut in the middle of an answer."""

    def __init__(self, answer):
        self.answer = answer


def refusal(status, code, message, **headers):
    """An error as S3 tells it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status, {"content-type": "application/xml", **headers}, body.encode())


class Proxy:
    """The proxy on a port of its own; at the end of the block everything of it has ended."""

    def __init__(self, upstream, handler):
        self.upstream = upstream.split("://")[1]
        proxy = self

        class Door(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_told):
                pass

            def serve(self):
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(length))
                try:
                    self.tell(handler(request, proxy.forward))
                except Reset:
                    self.cut()
                except Torn as torn:
                    with contextlib.suppress(OSError):
                        self.tell(torn.answer, len(torn.answer.body) // 2)
                    self.cut()
                except OSError:
                    # Whoever asked is gone, such as by a kill.
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

            def tell(self, answer, most=None):
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in OF_A_CONNECTION:
                        self.send_header(name, value)
                # An answer to HEAD tells of a body that does not come.
                told = {name.lower(): value for name, value in answer.headers.items()}.get("content-length", "0")
                self.send_header("Content-Length", told if self.command == "HEAD" else str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[:most])
                self.wfile.flush()

            def cut(self):
                # With nothing to linger for, the other side is told by a reset and not by an orderly end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

        class Doors(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_told):
                pass

        self.server = Doors(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_how):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def forward(self, request):
        """What the S3 behind it answers."""
        connection = http.client.HTTPConnection(self.upstream, timeout=TIMEOUT_SECONDS)
        try:
            headers = {name: value for name, value in request.headers.items() if name not in ("connection", "content-length")}
            connection.request(request.method, request.target, body=request.body or None, headers={**headers, "content-length": str(len(request.body))})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()
