"""The drill works: its quickest scenarios with a small lake; its commands are those of the runbook, and the document's table is of its scenarios."""

import pytest
from drill import BEGIN, END, drilled, options, row, titles
from drill_scenarios import SCENARIOS
from watching import OPERATIONS

from conftest import remark

TOLD = options(["--events", "2000", "--repeats", "1"])
QUICK = ("crash-disk", "restore", "restore-all")


@pytest.mark.parametrize("name", QUICK)
def test_a_lake_comes_back_with_everything(tmp_path, name):
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    (outcome,) = drilled(scenario, tmp_path, None, TOLD)
    assert outcome.missing == 0 and outcome.acknowledged > 0
    assert row(scenario, [outcome]).count(" | ") == 6
    remark(f"drill, {name}: answers after {outcome.answers:.2f} s, takes after {outcome.takes:.2f} s")


def test_a_lake_elsewhere_lacks_what_the_lost_disk_had_and_nothing_else(tmp_path, s3):
    (scenario,) = (one for one in SCENARIOS if one.name == "disk-lost")
    (outcome,) = drilled(scenario, tmp_path, s3, TOLD)
    assert 0 < outcome.missing < outcome.acknowledged


def test_every_scenario_is_in_the_table_of_the_document():
    assert titles(OPERATIONS.read_text()) == [scenario.title for scenario in SCENARIOS]


def test_every_command_is_one_of_the_runbook():
    text = OPERATIONS.read_text()
    lines = (text.split(BEGIN)[0] + text.split(END)[1]).splitlines()
    for scenario in SCENARIOS:
        unknown = [line for line in scenario.commands.splitlines() if line not in lines]
        assert not unknown, f"{scenario.name}: {unknown}"
