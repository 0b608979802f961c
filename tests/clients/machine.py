"""The machine of the runbook: a folder. What docs/operations.md names below /etc, /var/lib and /backup lies in it, ports are free ones, and
`systemctl` and `journalctl` are programs of this file that start, stop and tell of the one server there is, with the unit's words and the
settings of deploy/. And the commands of the runbook, off the document."""

import os
import pathlib
import re
import signal
import subprocess

from conftest import binary
from watching import DEPLOY, OPERATIONS, free_port

TOKEN = "the root token of this test"
SECTIONS = ("## Runbook", "## Upgrading")
#: Of a whole block.
BLOCK_SECONDS = 60
SYSTEMCTL = """#!/bin/sh
# start, stop, restart and tell of the one server there is
pid() { cat "$MACHINE/pid" 2>/dev/null; }
lives() { [ -n "$(pid)" ] && kill -0 "$(pid)" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$(pid)/status"; }
stands_by() { grep -q '^standby = true' "$MACHINE/etc/tidemark/tidemark.toml" && curl -sf -o /dev/null "$MACHINE_URL/health"; }
start() {
  lives && return 0
  : > "$MACHINE/ready"
  AUTH_TOKEN="file:$MACHINE/etc/tidemark/token" setsid tidemark serve --config "$MACHINE/etc/tidemark/tidemark.toml" \\
    > "$MACHINE/ready" 2>> "$MACHINE/journal" < /dev/null &
  echo $! > "$MACHINE/pid"
  until grep -q '^ready' "$MACHINE/ready" || stands_by; do lives || exit 1; sleep 0.05; done
}
stop() { lives || return 0; kill "$(pid)"; while lives; do sleep 0.05; done; rm -f "$MACHINE/pid"; }
case "$1" in
  start) start ;;
  stop) stop ;;
  restart) stop; start ;;
  is-active|status) lives && echo active ;;
  show) pid ;;
  reset-failed) ;;
  *) echo "systemctl $1: not in this test" >&2; exit 64 ;;
esac
"""
JOURNALCTL = """#!/bin/sh
cat "$MACHINE/journal"
"""


def blocks():
    """What is put before each block; and line, text, what happens first and what must be shown, of each block of the run."""
    lines = OPERATIONS.read_text().splitlines()
    first, last = (lines.index(heading) for heading in SECTIONS)
    before, found = "", []
    for at in range(first, last):
        mark = re.fullmatch(r"<!-- operate(?:: (.*))? -->", lines[at])
        if not mark:
            continue
        assert lines[at + 1] == "```sh", f"line {at + 2}: a mark stands before a block of sh"
        text = "\n".join(lines[at + 2:lines.index("```", at + 2)]) + "\n"
        parts = dict((part.partition(" ")[::2] for part in (mark[1] or "").split("; ") if part))
        assert parts.keys() <= {"before", "after", "shows", "twice"}, mark[0]
        if parts.get("before"):
            before += text
        else:
            block = (at + 2, text, parts.get("after"), parts.get("shows"))
            found += [block, block] if "twice" in parts else [block]
    return before, found


class Machine:
    """A folder that stands for a machine. Settings are those of deploy/ with lines of TOML put before them, variables those of its environment."""

    def __init__(self, home, settings=(), variables=None):
        self.home = home
        self.url, self.reading = f"http://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        for folder in ("etc/tidemark", "var/lib/tidemark", "backup", "bin"):
            (home / folder).mkdir(parents=True)
        (home / "bin/tidemark").symlink_to(pathlib.Path(binary()).resolve())
        for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
            (home / "bin" / name).write_text(text)
            (home / "bin" / name).chmod(0o755)
        (home / "etc/tidemark/token").write_text(TOKEN + "\n")
        text = "\n".join([*settings, (DEPLOY / "tidemark.toml").read_text()])
        # Nobody has to be told, and other ports are those of this test.
        text = text.replace("announce_ms = 5000", "announce_ms = 0").replace('"0.0.0.0:7070"', f'"{self.url[7:]}"')
        (home / "etc/tidemark/tidemark.toml").write_text(re.sub(r'"0\.0\.0\.0:\d+"', '"127.0.0.1:0"', self.here(text)))
        path = f"{home / 'bin'}:{os.environ['PATH']}"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TIDEMARK", "AUTH_", "AWS_"))}
        self.environment = {**inherited, **(variables or {}), "PATH": path, "MACHINE": str(home), "MACHINE_URL": self.url}

    def here(self, text):
        """A text of the document as it is on this machine."""
        text = re.sub(r"(?<![\w.])/(etc/tidemark|var/lib/tidemark|backup)", rf"{self.home}/\1", text)
        return text.replace("http://127.0.0.1:7070", self.url).replace("127.0.0.1:7080", self.reading)

    def run(self, text):
        """Status and output of commands, those of the runbook behind the lines that it puts before each."""
        text = blocks()[0] + text
        shell = subprocess.Popen(["sh", "-eu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 cwd=self.home, env=self.environment, start_new_session=True)
        try:
            output, _ = shell.communicate(self.here(text), timeout=BLOCK_SECONDS)
        finally:
            # What it left running in the background; the server has a session of its own.
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return shell.returncode, output

    def journal(self):
        file = self.home / "journal"
        return file.read_text() if file.exists() else ""

    @property
    def pid(self):
        return int((self.home / "pid").read_text())
