"""Any text for a configuration: it is read, or refused in one short message; it never hangs and runs nothing."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents import gin_names
from agents.gin_messages import ConfigError

NAMES = [
    "agent.gamma",
    "agent.metric",
    "metrics.mmd.kernel",
    "widths",
    "a",
    "train.seed",
    "x/optimizers.adam.b1",
    "mmd",
]
VALUES = [
    "0.5",
    "-1",
    "@metrics.mmd()",
    "@kernels.energy()",
    "%a",
    "%widths",
    "'u'",
    "(1,2)",
    "{'a':[1]}",
    "None",
    "1e999",
]
PIECES = ["=", " = ", "\n", "\t", "include ", "import ", *"'\"([{)@%#\\/.:é"]

lines = st.builds("{} = {}".format, st.sampled_from(NAMES), st.sampled_from(VALUES))
anything = st.lists(st.sampled_from((*NAMES, *VALUES, *PIECES)), max_size=12).map("".join)
texts = st.lists(lines | anything | st.text(max_size=12), min_size=1, max_size=4).map("\n".join)


def is_refused_or_read(files: list[str], bindings: list[str]) -> None:
    message = "read"
    try:
        gin_names.load(files, bindings)
    except ConfigError as error:
        message = str(error)
    assert 0 < len(message.splitlines()) <= 6, message


@given(text=texts)
@example(text="a = %a\nagent.gamma = %a")
@example(text="a = %widths\nwidths = (%a, 1)")
@example(text="widths = [%widths]")
def test_bindings(text: str) -> None:
    is_refused_or_read(["gin/td3.gin"], text.splitlines())


@given(content=st.binary(max_size=60) | texts.map(str.encode))
def test_files(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path: Path = tmp_path_factory.mktemp("fuzz") / "x.gin"
    path.write_bytes(content)
    is_refused_or_read(["gin/td3.gin", str(path)], [])
