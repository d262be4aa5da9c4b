"""The README is true: its Python blocks run and print what stands below them, its commands succeed, its links exist."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from gnsopt.cli import app

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
PYTHON = [
    (code, BLOCKS[k + 1][1] if k + 1 < len(BLOCKS) and BLOCKS[k + 1][0] == "text" else None)
    for k, (language, code) in enumerate(BLOCKS)
    if language == "python"
]
COMMANDS = [
    line
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
    if line.startswith("gnsopt ")
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_there_is_something_to_run():
    assert len(PYTHON) >= 4
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize(("code", "printed"), PYTHON, ids=range(len(PYTHON)))
def test_python_block_runs_and_prints_what_is_shown(code, printed, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert printed is None or capsys.readouterr().out == printed


@pytest.mark.parametrize("command", COMMANDS)
def test_command_succeeds(command, tmp_path):
    arguments = shlex.split(command)[1:]
    for number, name in enumerate(("source.csv", "target.csv")):  # what the reader brings
        np.savetxt(tmp_path / name, np.random.default_rng(number).standard_normal((20, 2)), delimiter=",")
    with pytest.raises(SystemExit) as end:
        app(arguments, prog_name="gnsopt")
    assert end.value.code == 0
    for argument in arguments:
        if argument.endswith((".png", ".npz", ".csv")):
            assert (tmp_path / argument).stat().st_size > 0


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT))
def test_link_exists(target):
    assert (ROOT / target).exists()
