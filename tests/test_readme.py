"""The README is true: its Python blocks run and print what stands below them, its commands succeed, its files exist."""

import re

import pytest

from tests.pages import ROOT, command_lines, markdown_blocks, python_blocks, run_command, run_python

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = markdown_blocks(TEXT)
PYTHON = [(code, printed) for code, printed, _ in python_blocks(BLOCKS)]
COMMANDS = command_lines(BLOCKS)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_there_is_something_to_run():
    assert len(PYTHON) >= 4
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize(("code", "printed"), PYTHON, ids=range(len(PYTHON)))
def test_python_block_runs_and_prints_what_is_shown(code, printed, capsys):
    run_python(code, printed, capsys, page="README.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_succeeds(command, tmp_path):
    run_command(command, tmp_path)


@pytest.mark.parametrize("target", re.findall(r"`((?:[\w.]+/)*\w+\.(?:md|cff)|LICENSE)`", TEXT))
def test_file_exists(target):
    """Named, not linked to: the README is also the page of a package index."""
    assert (ROOT / target).exists()
