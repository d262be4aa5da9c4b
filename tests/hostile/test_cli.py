"""Options of the command line that cannot be: exit code 2 and one line that names the option; never a traceback."""

import contextlib
import io
import os
import tempfile
from unittest import mock

import pytest

from gnsopt.cli import app, main
from tests.hostile.judge import Case, judge

JUNK = {
    "word": "many",
    "empty": "",
    "blank": " ",
    "nan": "nan",
    "inf": "inf",
    "minus": "-",
    "minus-one": "-1",
    "zero": "0",
    "half": "0.5",
    "huge": "1e999",
    "digits": "9" * 40,
    "hex": "0x10",
    "comma": "1,2",
    "slash": "1/0",
    "quote": "'",
    "unicode": "½",
    "emoji": "🙂",
    "NUL-like": "\\0",
    "colon": ":",
    "path": "../..",
    "option": "--help-me",
    "star": "*",
    "tab": "\t",
    "long": "x" * 300,
}
# option -> the values of JUNK that make sense for it
NUMBERS = {
    "fit iris --maxiter": {"zero", "digits"},
    "fit iris --tol": {"zero", "half", "inf", "huge", "digits"},
    "fit iris --maxtime": {"half", "inf", "huge", "digits"},
    "fit iris --l2": {"zero", "half", "digits"},
    "fit iris --checkpoint-every": {"half", "zero", "inf", "huge", "digits"},
    "fit iris --loss": set(),
    "fit iris --method": set(),
    "fit iris --curvature": {"empty"},
    "fit iris --save-weights": set(),
    "fit iris --save-trace": set(),
    "fit": set(),
    "compare iris --no-figure --maxiter": {"zero", "digits"},
    "compare iris --no-figure --tol": {"zero", "half", "inf", "huge", "digits"},
    "compare iris --no-figure --methods": set(),
    "compare iris --figure": set(),
    "compare iris --no-figure --loss": set(),
    "compare": set(),
    "demo --output": {"path"},
    "": set(),
}


def run(arguments):
    """Run a command in an empty folder; return its exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict("os.environ", {"GNSOPT_CACHE": folder, "COLUMNS": "80"}),
    ):
        os.environ.pop("GNSOPT_DATA", None)
        here = os.getcwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
                app(arguments, prog_name="gnsopt")
        finally:
            os.chdir(here)
    return end.value.code, out.getvalue(), err.getvalue()


def refused(found):
    """One line that begins with the program's name."""
    code, _, err = found
    assert code == 2, found
    assert err.startswith("gnsopt: error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err


def ran(found):
    """A run that converged or not, or one line."""
    code, _, err = found
    assert code in (0, 1, 2), found
    assert code != 2 or err.count("\n") == 1
    assert "Traceback" not in err


CASES = [
    Case(
        main,
        f"{command or 'gnsopt'}-{name}",
        lambda calls, command=command, value=value: run([*command.split(), value]),
        check=ran if name in sound or name == "option" else refused,
    )
    for command, sound in NUMBERS.items()
    for name, value in JUNK.items()
    if not (command.startswith("demo") and name != "option" and name not in ("word",))
    and not (command in ("fit", "compare", "") and name == "empty")
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    judge(case)
