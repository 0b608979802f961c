"""The runbook works: the commands of docs/operations.md, from Runbook to Upgrading, are run in their order against a real server.

The convention: an HTML comment on the line before a fenced `sh` block makes it part of the run. Behind a colon it says more, parts separated
by `; `:

- `<!-- operate -->`: it must end with 0, run by `sh -eu`.
- `before each`: it is put before every later block.
- `after EVENT`: something happens first, as HAPPENS has it.
- `shows TEXT`: its output must hold TEXT.

The machine is a folder: what the text names below /etc, /var/lib and /backup lies in it, ports are free ones, and `systemctl` and `journalctl`
are programs of this test that start, stop and tell of the one server there is, with the unit's words and the settings of deploy/.
"""

import os
import pathlib
import re
import signal
import subprocess

import pytest
from conftest import binary
from watching import DEPLOY, OPERATIONS, free_port

SECTIONS = ("## Runbook", "## Upgrading")
#: Of a whole block.
BLOCK_SECONDS = 60
SYSTEMCTL = """#!/bin/sh
# start, stop, restart and tell of the one server there is
pid() { cat "$MACHINE/pid" 2>/dev/null; }
lives() { [ -n "$(pid)" ] && kill -0 "$(pid)" 2>/dev/null; }
start() {
  lives && return 0
  : > "$MACHINE/ready"
  AUTH_TOKEN="file:$MACHINE/etc/tidemark/token" setsid tidemark serve --config "$MACHINE/etc/tidemark/tidemark.toml" \\
    > "$MACHINE/ready" 2>> "$MACHINE/journal" < /dev/null &
  echo $! > "$MACHINE/pid"
  until grep -q '^ready' "$MACHINE/ready"; do lives || exit 1; sleep 0.05; done
}
stop() { lives || return 0; kill "$(pid)"; while lives; do sleep 0.05; done; }
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
        assert parts.keys() <= {"before", "after", "shows"}, mark[0]
        if parts.get("before"):
            before += text
        else:
            found.append((at + 2, text, parts.get("after"), parts.get("shows")))
    return before, found


class Machine:
    """A folder that stands for a machine."""

    def __init__(self, home):
        self.home = home
        self.url, self.reading = f"http://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        for folder in ("etc/tidemark", "var/lib/tidemark", "backup", "bin"):
            (home / folder).mkdir(parents=True)
        (home / "bin/tidemark").symlink_to(pathlib.Path(binary()).resolve())
        for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
            (home / "bin" / name).write_text(text)
            (home / "bin" / name).chmod(0o755)
        (home / "etc/tidemark/token").write_text("the root token of this test\n")
        settings = (DEPLOY / "tidemark.toml").read_text()
        # Nobody has to be told, and other ports are those of this test.
        settings = settings.replace("announce_ms = 5000", "announce_ms = 0").replace('"0.0.0.0:7070"', f'"{self.url[7:]}"')
        (home / "etc/tidemark/tidemark.toml").write_text(re.sub(r'"0\.0\.0\.0:\d+"', '"127.0.0.1:0"', self.here(settings)))
        path = f"{home / 'bin'}:{os.environ['PATH']}"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TIDEMARK", "AUTH_"))}
        self.environment = {**inherited, "PATH": path, "MACHINE": str(home)}

    def here(self, text):
        """A text of the document as it is on this machine."""
        text = re.sub(r"(?<![\w.])/(etc/tidemark|var/lib/tidemark|backup)", rf"{self.home}/\1", text)
        return text.replace("http://127.0.0.1:7070", self.url).replace("127.0.0.1:7080", self.reading)

    def run(self, text):
        """Status and output of commands."""
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
        return (self.home / "journal").read_text()


SEED = """
post() { curl -sf -H "authorization: Bearer $TIDEMARK_TOKEN" -H 'content-type: application/x-ndjson' "$TIDEMARK_URL$1" --data-binary "$2"; }
systemctl start tidemark
post /v1/shop/events '{"type":"order.placed","source":"till","data":{"order":"1"}}'
post '/v1/shop/events?on_error=partial' '{"type":"no type at all"}'
post /v1/shop/orders/changes '{"op":"insert","id":"1","doc":{"total":10}}
{"op":"insert","id":"2","doc":{"total":20}}
{"op":"insert","id":"3","doc":{"total":30}}'
tidemark compact
"""
DELETED = """
curl -sf -H "authorization: Bearer $TIDEMARK_TOKEN" -H 'content-type: application/json' "$TIDEMARK_URL/v1/shop/orders/changes" \\
  --data '{"op":"delete","id":"2"}'
"""


def damage(machine):
    """A byte of a delta that the copy has too turns over."""
    deltas = (machine.home / "var/lib/tidemark/lake/shop/orders/deltas").glob("*.parquet")
    copied = machine.home / "backup/tidemark/lake/shop/orders/deltas"
    file = next(file for file in sorted(deltas) if (copied / file.name).exists())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def delete(machine):
    status, output = machine.run(DELETED)
    assert status == 0, output


#: What may happen before a block.
HAPPENS = {"a delete": delete, "damage": damage}


@pytest.fixture
def machine(tmp_path):
    found = Machine(tmp_path)
    yield found
    found.run("systemctl stop tidemark")


def test_the_runbook_runs(machine):
    status, output = machine.run(SEED)
    assert status == 0, f"{output}\n{machine.journal()}"
    for line, text, after, shows in blocks()[1]:
        if after:
            HAPPENS[after](machine)
        status, output = machine.run(text)
        assert status == 0 and (shows or "") in output, f"docs/operations.md:{line}: {status}, shows {shows!r}?\n{output}\n{machine.journal()[-3000:]}"
        assert "panicked" not in machine.journal()


def test_every_scenario_has_commands():
    text = OPERATIONS.read_text()
    runbook = text[text.index("## Runbook"):text.index("## Backup and restore")]
    scenarios = re.split(r"^### ", runbook, flags=re.M)[1:]
    without = [scenario.splitlines()[0] for scenario in scenarios if "<!-- operate" not in scenario]
    assert without == ["Severities", "An incident in five steps", "Limits", "More than one server's worth"]
