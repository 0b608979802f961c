"""The Python examples of docs/grpc.md, run as they stand, but for the address."""

import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "grpc.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def test_there_are_examples():
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(server, example):
    assert "localhost:7071" in example
    exec(compile(example.replace("localhost:7071", server.grpc.removeprefix("grpc://")), str(PAGE), "exec"), {})
