"""The runbook works: the commands of docs/operations.md, from Runbook to Upgrading, are run in their order against a real server.

The convention: an HTML comment on the line before a fenced `sh` block makes it part of the run. Behind a colon it says more, parts separated
by `; `:

- `<!-- operate -->`: it must end with 0, run by `sh -eu`.
- `before each`: it is put before every later block.
- `after EVENT`: something happens first, as HAPPENS has it.
- `shows TEXT`: its output must hold TEXT.
- `twice`: it is run once more, as by whoever does it every day.

The machine is a folder (machine.py)."""

import re

import pytest
from machine import Machine, blocks
from watching import OPERATIONS

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
