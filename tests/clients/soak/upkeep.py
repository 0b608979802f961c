"""Every kind of work of a lake, asked for over and over besides what its jobs do by themselves."""

import http.client
import itertools

from .ledger import NAMESPACE
from .load import AWAY
from .trouble import Worker

PAUSE_SECONDS = 20
WITHIN_SECONDS = 120
#: Named snapshots are limited, so there is one of them to many other calls.
CALLS = [("/v1/compact", {"namespace": NAMESPACE}), ("/v1/publish", {"namespace": NAMESPACE}), (f"/v1/{NAMESPACE}/docs/clean-up", {})]
SNAPSHOT = (f"/v1/{NAMESPACE}/docs/snapshots", {})
#: Calls to one snapshot.
SNAPSHOT_EVERY = 9


class Upkeep(Worker):
    def __init__(self, place, trouble):
        super().__init__(trouble)
        self.place, self.done, self.missed = place, 0, 0

    def work(self):
        calls = itertools.cycle([*itertools.islice(itertools.cycle(CALLS), SNAPSHOT_EVERY), SNAPSHOT])
        while self.pause(PAUSE_SECONDS):
            call = next(calls)
            try:
                answer = self.place.owner.ask("POST", *call, within=WITHIN_SECONDS)
            except (OSError, http.client.HTTPException, ValueError):
                self.missed += 1
                continue
            if answer.status == 200:
                self.done += 1
            elif answer.status in AWAY:
                self.missed += 1
            else:
                self.trouble.tell(f"{call}: {answer}")
