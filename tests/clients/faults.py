"""Faults of a store by a seeded plan: a handler for the proxy.

Some come before anything is applied, some after it was: then whoever asked cannot know what happened."""

import collections
import random
import threading
import time
import xml.etree.ElementTree as xml

from s3_proxy import Reset, Torn, refusal

LATENCY_SECONDS = 0.3
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


class Spared(Exception):
    """There was nothing to spoil."""

    def __init__(self, answer):
        self.answer = answer


def failed(status, code):
    return lambda _request, _forward: refusal(status, code, "injected")


def reset(_request, _forward):
    raise Reset


def applied_then_failed(request, forward):
    forward(request)
    return refusal(500, "InternalError", "injected, after it was applied")


def applied_then_reset(request, forward):
    forward(request)
    raise Reset


def late(request, forward):
    time.sleep(LATENCY_SECONDS)
    return forward(request)


def torn(request, forward):
    answer = forward(request)
    raise Torn(answer) if len(answer.body) > 1 else Spared(answer)


def stale(request, forward):
    """A list without the newest of its keys."""
    answer = forward(request)
    page = xml.fromstring(answer.body)
    objects = page.findall("{*}Contents")
    if not objects:
        raise Spared(answer)
    newest = max(objects, key=lambda one: (one.findtext("{*}LastModified"), one.findtext("{*}Key")))
    page.remove(newest)
    count = page.find("{*}KeyCount")
    if count is not None:
        count.text = str(len(objects) - 1)
    xml.register_namespace("", XMLNS)
    return answer._replace(body=xml.tostring(page, encoding="utf-8", xml_declaration=True))


#: Of each kind: how often it comes where it may come, which requests it may come to, and what happens.
KINDS = {
    "500 before": (0.01, lambda request: True, failed(500, "InternalError")),
    "503 before": (0.01, lambda request: True, failed(503, "SlowDown")),
    "429 before": (0.01, lambda request: True, failed(429, "TooManyRequests")),
    "reset before": (0.01, lambda request: True, reset),
    "409 before": (0.05, lambda request: request.is_create, failed(409, "ConditionalRequestConflict")),
    "500 after": (0.03, lambda request: request.method != "HEAD", applied_then_failed),
    "reset after": (0.03, lambda request: request.method != "HEAD", applied_then_reset),
    "500 after a create": (0.1, lambda request: request.is_create, applied_then_failed),
    "reset after a create": (0.1, lambda request: request.is_create, applied_then_reset),
    "latency": (0.02, lambda request: True, late),
    "torn get": (0.05, lambda request: request.is_get, torn),
    "stale list": (0.5, lambda request: request.is_list, stale),
}


class Faults:
    """The handler, at first without any fault; how often each kind came. What lasts long needs a part of each rate only."""

    def __init__(self, seed, part=1):
        self.chance, self.lock, self.part = random.Random(seed), threading.Lock(), part
        self.hits, self.are_on = collections.Counter(), False

    def __call__(self, request, forward):
        kind = self.draw(request)
        if kind is None:
            return forward(request)
        try:
            return KINDS[kind][2](request, forward)
        except Spared as spared:
            self.hits[kind] -= 1
            return spared.answer

    def draw(self, request):
        with self.lock:
            for kind, (rate, may_come, _what) in KINDS.items():
                if self.are_on and may_come(request) and self.chance.random() < rate * self.part:
                    self.hits[kind] += 1
                    return kind
        return None

    def rarest(self):
        """How often the kind came that came least."""
        return min(self.hits[kind] for kind in KINDS)
