"""The prompt in a real terminal: Ctrl-C cancels what is running, and the prompt goes on."""

import os
import pty
import select
import subprocess
import time
import urllib.request

from conftest import READY_SECONDS, binary

LONG = "SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 3;\n"


class Terminal:
    """A program at the other end of a pseudo terminal."""

    def __init__(self, words, home):
        self.ours, theirs = pty.openpty()
        environment = {**os.environ, "HOME": str(home), "TERM": "xterm"}
        self.process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(theirs)
        self.shown = b""

    def type(self, text):
        """Key by key, as people do."""
        for key in text:
            os.write(self.ours, key.encode())
            time.sleep(0.002)

    def until(self, wanted):
        """What is shown up to and with the wanted text, since the last time."""
        end = time.monotonic() + READY_SECONDS
        while wanted.encode() not in self.shown:
            left = end - time.monotonic()
            more = left > 0 and select.select([self.ours], [], [], left)[0]
            assert more, f"no {wanted!r} in {self.shown!r}"
            self.shown += os.read(self.ours, 65536)
        before, found, self.shown = self.shown.partition(wanted.encode())
        return (before + found).decode(errors="replace")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


def test_ctrl_c_cancels_a_running_question(server, tmp_path):
    terminal = Terminal([binary(), "sql", "--url", server.http], tmp_path)
    try:
        terminal.until("tidemark> ")
        terminal.type(LONG)
        running = 'tidemark_query_running 1'
        end = time.monotonic() + READY_SECONDS
        while running not in metrics(server):
            assert time.monotonic() < end, "the question never ran"
        terminal.type("\x03")
        terminal.until("cancelled")
        terminal.until("tidemark> ")
        terminal.type("SELECT 40 + 2 AS answer;\n")
        assert "42" in terminal.until("row")
        terminal.type("\x03")
        terminal.type("\\q\n")
        assert terminal.process.wait(READY_SECONDS) == 0
    finally:
        terminal.close()


def metrics(server):
    with urllib.request.urlopen(server.http + "/metrics", timeout=10) as answer:
        return answer.read().decode()
