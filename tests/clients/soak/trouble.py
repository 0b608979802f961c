"""What went wrong, kept until the verdict: a run goes on, so that it tells all of it."""

import threading
import time
import traceback

#: More of the same tells nothing new.
KEPT_MAX = 200


class Trouble:
    def __init__(self):
        self.told, self.lock, self.begun = [], threading.Lock(), time.monotonic()

    def tell(self, what):
        with self.lock:
            if len(self.told) < KEPT_MAX:
                self.told.append(f"{time.monotonic() - self.begun:.0f} s: {what}")
        print(f"WRONG: {what}", flush=True)

    def watched(self, work):
        """A thread for it; what it raises is told."""
        def run():
            try:
                work()
            except Exception:
                self.tell(traceback.format_exc())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


class Worker:
    """Work beside the load, until it is told that all is over."""

    def __init__(self, trouble):
        self.trouble, self.is_over, self.rests = trouble, threading.Event(), False

    def pause(self, seconds):
        """Waits for the next turn, and longer while it rests; whether there is one."""
        while not self.is_over.wait(seconds):
            if not self.rests:
                return True
        return False

    def start(self):
        self.thread = self.trouble.watched(self.work)

    def stop(self):
        self.is_over.set()
        self.thread.join()
