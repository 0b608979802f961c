"""A lake whose owner lives from the beginning to the end, and is watched: memory, open files, threads, and what it says of itself."""

import contextlib
import http.client
import os
import pathlib
import re
import statistics
import time

from owners import Lake
from writers import Place

from .churn import last_line
from .slope import least, medians, slope
from .trouble import Worker

LEASE_MS = 10_000
SAMPLE_SECONDS, METRICS_EVERY = 1, 30
KIB = 1024
#: Before memory is judged, at most, and as a part of the run.
WARM_UP_SECONDS, WARM_UP_PART = 900, 1 / 3
#: In the warm-up so many ask it at once, at most for so long, so often: each of its threads has then been as deep as it gets, and what it keeps for
#: the next one is as much as it becomes.
CROWD, CROWD_SECONDS, CROWDS = 24, 60, 2
#: How often nobody asks it anything, and for how long: what it holds then is judged.
REST_EVERY_SECONDS, REST_SECONDS = 60, 8
#: Of a rest, before what is on its way has come to its end and the allocator has given back what was freed.
SETTLED_SECONDS = 3
#: What of its metrics is kept: what may grow, and the jobs.
TOLD = re.compile(r"tidemark_(ingest_(unflushed_bytes|tail_rows|remembered|log_bytes|broken_invariants|steps)|cdc_(pending_rows|steps)|publish_total|job_ticks|allocator_bytes|query_cache_bytes)")


def warm_up_of(seconds):
    """How much of a run that takes so long is not judged."""
    return min(WARM_UP_SECONDS, WARM_UP_PART * seconds)


class Steady(Worker):
    def __init__(self, home, bucket, settings, trouble):
        super().__init__(trouble)
        self.lake = Lake(home, LEASE_MS, bucket)
        self.owner = self.lake.serve(**settings)
        self.place, self.samples, self.metrics, self.rests = Place(self.owner), [], [], []

    def start(self):
        self.began = time.monotonic()
        super().start()

    def work(self):
        for count in range(1_000_000):
            if not self.owner.is_alive:
                self.trouble.tell(f"the steady owner ended with {self.owner.process.returncode}: {last_line(self.owner)}")
                return
            self.samples.append({"at": time.monotonic() - self.began, "busy": os.getloadavg()[0], **sample(self.owner.process.pid)})
            if count % METRICS_EVERY == 0:
                self.metrics.append({"at": time.monotonic() - self.began, **metrics(self.owner)})
            if self.is_over.wait(SAMPLE_SECONDS):
                return

    @contextlib.contextmanager
    def rest(self):
        """Nobody asks it anything meanwhile."""
        began = time.monotonic() - self.began
        yield
        self.rests.append((began + SETTLED_SECONDS, time.monotonic() - self.began))

    def rested(self):
        """Of each rest its middle and the least that was held."""
        for began, ended in self.rests:
            held = [one["anonymous"] for one in self.samples if began <= one["at"] <= ended]
            if held:
                yield (began + ended) / 2, min(held)

    def figures(self, seconds):
        """Of a run that took so long: what is judged is what came after the warm-up."""
        warm_up = warm_up_of(seconds)
        judged = [one for one in self.samples if one["at"] >= warm_up]
        fits = {what: slope([(one["at"], one[what]) for one in judged]) for what in ("anonymous", "resident")}
        series = [of((one["at"], one[what]) for one in self.samples)
                  for of, what in ((least, "anonymous"), (medians, "anonymous"), (medians, "resident"), (medians, "threads"), (medians, "descriptors"))]
        points = [(rows[0][0] / 60, *(value for _, value in rows)) for rows in zip(*series)]
        return {
            "warm_up_s": warm_up, "memory": told(fits["resident"]), "rested": told(slope(self.rested(), warm_up)), "busy": told(fits["anonymous"]),
            "rests": len(self.rests),
            "descriptors": halves(judged, "descriptors"), "threads": halves(judged, "threads"), "points": points,
            "load_average": statistics.median(one["busy"] for one in self.samples) if self.samples else None,
            "metrics": self.metrics[-1] if self.metrics else {},
        }

    def end(self):
        if self.owner.is_alive and self.owner.stop() != 0:
            self.trouble.tell(f"an orderly end fails: {self.owner.name}")
        if self.owner.is_defect():
            self.trouble.tell(f"a panic or a defect: {self.owner.name}")


def told(fit):
    return fit and fit._asdict()


def halves(samples, what):
    """The medians of the first half and of the second."""
    middle = len(samples) // 2
    return [statistics.median_low([one[what] for one in half] or [0]) for half in (samples[:middle], samples[middle:])]


def sample(pid):
    """Bytes, descriptors and threads of a process. `anonymous` is its heap and stacks; what else is resident are pages of its binary."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = {name: int(value) for name, value in re.findall(r"^(VmRSS|RssAnon|Threads):\s+(\d+)", status, flags=re.M)}
    descriptors = sum(1 for _ in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return {"resident": found["VmRSS"] * KIB, "anonymous": found["RssAnon"] * KIB, "threads": found["Threads"], "descriptors": descriptors}


def metrics(owner):
    connection = http.client.HTTPConnection(owner.http, timeout=20)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if TOLD.match(line) and "_bucket" not in line)
    return {name: float(value) for name, value in samples}
