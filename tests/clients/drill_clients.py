"""The clients of a lake that is drilled: what they loaded, what they go on sending, which answer is right, and the clock that runs until it comes."""

import concurrent.futures
import datetime
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
import uuid

from book import AWAY, Book
from machine import TOKEN

BEARER = {"Authorization": f"Bearer {TOKEN}"}
#: What anything that is awaited may take at most, however busy the machine is.
WITHIN_SECONDS = 300
#: Between two questions of one who waits.
PAUSE_SECONDS = 0.01
SENDERS, APART_SECONDS = 3, 0.02
#: Records of a request that loads, as many as a server takes.
REQUEST = 10_000
#: How documents spread over the collections of the shop.
SHARES = {"orders": 0.6, "customers": 0.3, "articles": 0.1}


class Wrong(AssertionError):
    """An answer that is not what the receipts tell."""


class Door:
    """The addresses of a lake, tried in turn: whoever gets no answer at one goes to the next."""

    def __init__(self, *machines):
        self.urls = [machine.url for machine in machines]

    @property
    def http(self):
        return self.urls[0]

    def turn(self):
        self.urls = [*self.urls[1:], self.urls[0]]

    def ask(self, path, body=None, timeout=60):
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, raw, {"Content-Type": "application/json", **BEARER})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)

    def is_ready(self):
        try:
            return self.ask("/ready")
        except OSError:
            return None

    def rows(self, sql):
        return [tuple(row) for row in self.ask("/v1/query", {"sql": sql})["rows"]]

    def post(self, path, records):
        """The receipt of records, a line each; a server that cannot take them now is asked again."""
        body = "\n".join(json.dumps(record) for record in records).encode()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": str(uuid.uuid4()), **BEARER}
        receipts = []

        def is_taken():
            try:
                with urllib.request.urlopen(urllib.request.Request(self.http + path, body, headers), timeout=60) as answer:
                    return receipts.append(json.load(answer)) or receipts
            except urllib.error.HTTPError as refused:
                if refused.code not in AWAY:
                    raise
                return None
        until(is_taken, "records are never taken")
        return receipts[0]


class Ledger(Book):
    """A book that knows when it heard of each acknowledgement, and from where."""

    def __init__(self, durability):
        super().__init__(durability=durability, headers=BEARER)
        self.heard = []

    def post(self, server, batch):
        url, sent = server.http, time.monotonic()
        receipt = super().post(server, batch)
        if receipt and not receipt.get("duplicate"):
            self.heard.append((time.monotonic(), sent, url, batch))
        return receipt

    def carry(self, door, over):
        """The next batch, again and again under its key and from address to address, until it is acknowledged or all is over."""
        with self.lock:
            batch, self.next = self.next, self.next + 1
            self.receipts[batch] = None
        while not (receipt := self.post(door, batch)) and not over.wait(APART_SECONDS):
            door.turn()
        with self.has_news:
            self.receipts[batch] = receipt
            self.has_news.notify_all()

    def since(self, began, url):
        """When the first acknowledgement was heard from there, of a batch that was sent after an instant."""
        return min((at for at, sent, told, _batch in list(self.heard) if sent > began and told == url), default=None)

    def missing(self, server):
        """Acknowledged batches that are not there."""
        found = self.stored(server)
        return sorted(batch for batch, receipt in self.receipts.items() if receipt and batch not in found)

    def newest(self):
        """The latest system time of an acknowledgement."""
        return max(receipt["system_time"] for receipt in list(self.receipts.values()) if receipt)

    def send_again(self, server, batches, safe_up_to):
        """What a disk or a store took with it is sent once more under its keys, and is new there; what was safe cannot be among it.
        Over how many seconds it had been acknowledged."""
        times = [datetime.datetime.fromisoformat(self.receipts[batch]["system_time"]) for batch in batches]
        safe = datetime.datetime.fromisoformat(safe_up_to)
        if times and min(times) <= safe:
            raise Wrong(f"acknowledged at {min(times)} and lost, though what was acknowledged up to {safe} was safe")
        with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
            for batch, receipt in zip(batches, pool.map(lambda batch: self.post(server, batch), batches)):
                if not receipt or receipt.get("duplicate"):
                    raise Wrong(f"batch {batch} was lost, and is answered so when it is sent again: {receipt}")
                self.receipts[batch] = receipt
        return (max(times) - safe).total_seconds() if times else 0


class Stock:
    """What was loaded: half of it events of a shop, half of it documents of its collections, each with its number."""

    def __init__(self):
        self.events, self.documents = 0, dict.fromkeys(SHARES, 0)

    @property
    def records(self):
        return self.events + sum(self.documents.values())

    def grow(self, door, count):
        half = count // 2
        for first in range(self.events, self.events + half, REQUEST):
            numbers = range(first, min(first + REQUEST, self.events + half))
            door.post("/v1/shop/events", [{"type": "order.placed", "source": "till", "data": {"n": n, "text": "a few words " * 5}} for n in numbers])
        self.events += half
        for name, share in SHARES.items():
            begin, end = self.documents[name], self.documents[name] + int(half * share)
            for first in range(begin, end, REQUEST):
                numbers = range(first, min(first + REQUEST, end))
                door.post(f"/v1/shop/{name}/changes", [{"op": "insert", "id": f"{name}-{n}", "doc": {"n": n, "text": f"a few words of {n}"}} for n in numbers])
            self.documents[name] = end

    def answers(self):
        """What each table has to answer to how many, how many of them different, and the sum of their numbers."""
        tables = {"events WHERE type = 'order.placed'": ("id", "CAST(data ->> 'n' AS BIGINT)", self.events)}
        tables |= {name: ("_id", "n", count) for name, count in self.documents.items()}
        return {f"SELECT count(*), count(DISTINCT {key}), sum({n}) FROM shop.{table}": (count, count, count * (count - 1) // 2)
                for table, (key, n, count) in tables.items()}

    def check(self, door):
        for sql, answer in self.answers().items():
            found = door.rows(sql)
            if found != [answer]:
                raise Wrong(f"{sql}: {found}, not {answer}")

    def question(self, table="shop.orders"):
        """One question and its right answer, for whoever asks over and over."""
        count = self.documents["orders"]
        return f"SELECT count(*), sum(n) FROM {table}", (count, count * (count - 1) // 2)


class Load:
    """Senders at work, whatever they are answered."""

    def __init__(self, ledger, door):
        self.over, self.wrong = threading.Event(), []
        self.threads = [threading.Thread(target=self.work, args=(ledger, door), daemon=True) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def work(self, ledger, door):
        try:
            while not self.over.wait(APART_SECONDS):
                ledger.carry(door, self.over)
        except Exception as error:
            self.wrong.append(error)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.wrong, self.wrong


class Watch:
    """Asks one address from an instant on, until it is ready and answers right. A wrong answer is kept, unless it is what is being repaired."""

    def __init__(self, url, question, began, repairs=False):
        self.url, self.question, self.began, self.repairs = url, question, began, repairs
        self.door, self.ready, self.right, self.wrong = Door(), None, None, None
        self.door.urls = [url]
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.wait_for_ready, self.wait_for_right)]
        for thread in self.threads:
            thread.start()

    def repeat(self, ask):
        while time.monotonic() < self.began + WITHIN_SECONDS:
            try:
                if ask():
                    return time.monotonic()
            except urllib.error.HTTPError as refused:
                if refused.code not in AWAY and not (self.repairs and refused.code == 404):
                    self.wrong = f"{refused.code} {refused.read()}"
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(PAUSE_SECONDS)
        self.wrong = self.wrong or "it never came back"
        return None

    def wait_for_ready(self):
        self.ready = self.repeat(lambda: self.door.ask("/ready"))

    def wait_for_right(self):
        sql, answer = self.question

        def ask():
            found = self.door.rows(sql)
            if found != [answer] and not self.repairs:
                self.wrong = f"{sql}: {found}, not {answer}"
            return found == [answer]
        self.right = self.repeat(ask)

    def end(self):
        """Seconds until both were there."""
        for thread in self.threads:
            thread.join()
        if self.wrong:
            raise Wrong(self.wrong)
        return max(self.ready, self.right) - self.began


def until(said, otherwise):
    """Waits for what sends no word; what is said where it never comes may be asked for only then."""
    ends = time.monotonic() + WITHIN_SECONDS
    while not said():
        assert time.monotonic() < ends, otherwise() if callable(otherwise) else otherwise
        time.sleep(PAUSE_SECONDS)
