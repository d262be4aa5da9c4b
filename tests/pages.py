"""What a page of documentation promises to run: its code blocks, found and run alike for README.md and for docs/."""

import argparse
import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

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


def shell_commands(text, blocks):
    """Return the words of the commands in shell blocks, and of the Python modules with arguments named in sentences."""
    lines = [line for language, block, _ in blocks if language in ("bash", "sh") for line in block.splitlines()]
    lines += [" ".join(line.split()) for line in re.findall(r"`(python -m [^\s`]+\s[^`]+)`", text)]
    words = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [[Path(first).name, *rest] for first, *rest in filter(None, words)]


class Parsed(Exception):
    """The options of a command, in place of its run."""


def parse_module(module, arguments):
    """Return the options that ``python -m module`` makes of its arguments by its own parser; nothing is run.

    Misuse is SystemExit(2), as on the command line; None is returned for ``--help``.
    """
    name = f"{module}.__main__" if importlib.util.find_spec(module).submodule_search_locations else module
    run = importlib.import_module("sphinx.cmd.build" if module == "sphinx" else name).main
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, args=None, namespace=None):
        raise Parsed(parse(parser, arguments, namespace))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [module, *arguments])
        try:
            run()
        except Parsed as found:
            return found.args[0]
        except SystemExit as end:
            if end.code:
                raise
            return None
    raise AssertionError(f"{module} has no parser")


def parse_command(arguments):
    """Read the arguments of ``gnsopt`` by the parser of its command; nothing is run, and misuse is an exception."""
    group = typer.main.get_command(app)
    own = not arguments or arguments[0].startswith("-")  # options of the program itself
    command = group if own else group.commands[arguments[0]]
    try:
        command.make_context("gnsopt", list(arguments if own else arguments[1:]))
    except Exception as end:
        if getattr(end, "exit_code", None) != 0:  # which is that of --help
            raise
