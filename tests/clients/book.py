"""What was sent to a server, what is known of it, and what must therefore be there: the audit behind kills and faults.

Senders post batches under keys: every second one plain events, the others changes of few documents. An acknowledged
batch is there once; one whose answer never came is there whole or not at all, and its retry under the same key settles
it. Then the receipts tell every state that ever was: of a document the change with the latest system time wins."""

import contextlib
import http.client
import json
import random
import threading
import urllib.error
import urllib.request

NAMESPACE = "audit"
BATCH = 20
DOCUMENTS = 50
#: What a server answers that cannot take anything now; whether it took it is unknown.
AWAY = (429, 503)


class Book:
    """The batches of one lake, over all of its servers. `durability` is what every receipt has to tell; `headers` go with every request."""

    def __init__(self, seed=7, durability="local", headers=None):
        self.receipts, self.next, self.lock = {}, 0, threading.Lock()
        self.chance, self.durability, self.headers = random.Random(seed), durability, headers or {}
        self.has_news = threading.Condition(self.lock)
        #: How many batches had no answer, and how many of these were not stored.
        self.unknown = self.lost = 0

    def post(self, server, batch):
        """The receipt of a batch; None where its fate is unknown."""
        path = "docs/changes" if is_change(batch) else "events"
        body = "\n".join(json.dumps(record(batch, n)) for n in range(BATCH)).encode()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"batch-{batch}", **self.headers}
        request = urllib.request.Request(f"{server.http}/v1/{NAMESPACE}/{path}", data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                receipt = json.load(answer)
        except urllib.error.HTTPError as refused:
            assert refused.code in AWAY, (refused.code, refused.read())
            return None
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return None
        assert receipt["durability"] == self.durability, receipt
        return receipt

    def send(self, server):
        """Sends the next batch; whether it was answered."""
        with self.lock:
            batch, self.next = self.next, self.next + 1
            self.receipts[batch] = None
        receipt = self.post(server, batch)
        with self.has_news:
            self.receipts[batch] = receipt
            self.has_news.notify_all()
        return receipt is not None

    def acknowledged(self):
        return sum(receipt is not None for receipt in self.receipts.values())

    def wait(self, more, seconds=60):
        """Until so many more batches are acknowledged."""
        with self.has_news:
            wanted = self.acknowledged() + more
            assert self.has_news.wait_for(lambda: self.acknowledged() >= wanted, seconds), "nothing is acknowledged any more"

    @contextlib.contextmanager
    def senders(self, server, count=4, apart_seconds=0):
        """Senders at work, until the block ends or the server does; each rests so long between two batches."""
        is_over, wrong = threading.Event(), []

        def work():
            try:
                while not is_over.wait(apart_seconds) and server.process.poll() is None:
                    self.send(server)
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        assert not wrong, wrong

    def stored(self, server):
        """Of each batch that is stored how many events, and of how many ids."""
        if not self.acknowledged() and server.rows(f"SELECT count(*) FROM information_schema.tables WHERE table_schema = '{NAMESPACE}'") == [(0,)]:
            return {}
        by_batch = f"SELECT split_part(id, '-', 1), count(*), count(DISTINCT id) FROM {NAMESPACE}.events GROUP BY 1"
        return {int(batch[1:]): (count, ids) for batch, count, ids in server.rows(by_batch)}

    def settle(self, server):
        """Every batch against what is stored, then the unknown ones once more."""
        found = self.stored(server)
        for batch, receipt in sorted(self.receipts.items()):
            stored = found.get(batch)
            assert stored in ((BATCH, BATCH), None), f"batch {batch} is torn or doubled: {stored}"
            if receipt is None:
                self.unknown, self.lost = self.unknown + 1, self.lost + (stored is None)
                receipt = self.receipts[batch] = self.post(server, batch)
                assert receipt and receipt.get("duplicate", False) == (stored is not None), f"batch {batch}: {receipt}, {stored}"
            else:
                assert stored, f"batch {batch} is lost: {receipt}"
        assert set(found) <= set(self.receipts), "what nobody sent is there"

    def instants(self):
        """When documents changed, the latest first. All must be settled."""
        return sorted((receipt["system_time"] for batch, receipt in self.receipts.items() if is_change(batch)), reverse=True)

    def documents(self, at=None):
        """The documents as they were at an instant, by all receipts."""
        known = [(receipt["system_time"], batch) for batch, receipt in self.receipts.items() if is_change(batch)]
        state = {}
        for time, batch in sorted(known):
            for n in range(BATCH) if at is None or time <= at else ():
                change = record(batch, n)
                state[change["id"]] = None if change["op"] == "delete" else (change["id"], batch, n)
        return sorted(row for row in state.values() if row)

    def audit(self, server, probes=4):
        """Everything settled; now and at instants of before, documents are what the receipts tell."""
        self.settle(server)
        instants = self.instants()
        for at in [None, *self.chance.sample(instants, min(probes, len(instants)))] if instants else []:
            assert documents(server, at) == self.documents(at), f"as of {at or 'now'}"


def is_change(batch):
    return batch % 2 == 1


def record(batch, n):
    one = f"b{batch}-{n}"
    if not is_change(batch):
        return {"type": "load", "id": one, "subject": f"b{batch}", "data": {"n": n, "text": "x" * n}}
    change = {"id": f"d{(batch * 7 + n) % DOCUMENTS:02}", "event_id": one}
    return {**change, "op": "delete"} if (batch + n) % 9 == 0 else {**change, "op": "update", "doc": {"batch": batch, "n": n}}


def documents(server, at=None):
    past = f" FOR SYSTEM_TIME AS OF TIMESTAMP '{at}'" if at else ""
    return server.rows(f"SELECT _id, batch, n FROM {NAMESPACE}.docs{past} ORDER BY _id")
