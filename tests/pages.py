"""What a page of documentation promises to run: its code blocks, found and run alike for README.md and for docs/."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from gnsopt.cli import app

ROOT = Path(__file__).resolve().parents[1]


def markdown_blocks(text):
    """Return (language, code, condition) of each fenced block."""
    return [(*block, None) for block in re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)]


def rst_blocks(text):
    """Return (language, code, module) of each code block; ``.. needs: module`` above it names what it imports."""
    found = re.finditer(
        r"^(?:\.\. needs: (?P<module>\w+)\n+)?\.\. code-block:: (?P<language>\w+)\n\n(?P<code>(?:(?:   .*)?\n)+)",
        text,
        flags=re.MULTILINE,
    )
    return [(b["language"], re.sub(r"^   ", "", b["code"].rstrip() + "\n", flags=re.M), b["module"]) for b in found]


def python_blocks(blocks):
    """Return (code, what it prints or None, module) of each Python block: the output is the text block below it."""
    return [
        (code, blocks[k + 1][1] if k + 1 < len(blocks) and blocks[k + 1][0] == "text" else None, module)
        for k, (language, code, module) in enumerate(blocks)
        if language == "python"
    ]


def command_lines(blocks, start="gnsopt "):
    """Return the lines of shell blocks that begin with `start`."""
    lines = [line for language, block, _ in blocks if language == "bash" for line in block.splitlines()]
    return [line for line in lines if line.startswith(start)]


def run_python(code, printed, capsys, names=None, page="page"):
    """Run one block, in the names of the blocks before it, and compare what it prints."""
    exec(compile(code, page, "exec"), {} if names is None else names)
    out = capsys.readouterr().out
    assert printed is None or out == printed


def runs_here(module):
    """Whether a block that needs this module can be run."""
    return module is None or importlib.util.find_spec(module) is not None


def run_command(command, folder):
    """Run a command of the library in `folder`, where the reader's files are; what it writes must not be empty."""
    arguments = shlex.split(command, comments=True)[1:]
    for number, name in enumerate(("source.csv", "target.csv")):  # what the reader brings
        points = np.random.default_rng(number).standard_normal((20, 2))
        np.savetxt(folder / name, points, delimiter=",")
        np.savez(folder / f"part-{number}.npz", X=points, y=np.sign(points[:, 0]))
    with pytest.raises(SystemExit) as end:
        app(arguments, prog_name="gnsopt")
    assert end.value.code == 0
    for argument in arguments:
        if argument.endswith((".png", ".npz", ".csv")):
            found = list(folder.glob(argument))
            assert found, argument
            assert all(path.stat().st_size > 0 for path in found)
