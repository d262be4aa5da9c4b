"""The documentation site is true: every code block runs, every command exists, every name is listed, and it builds."""

import importlib
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

import gnsopt
from gnsopt.curvature import start
from gnsopt.exceptions import StepFailure
from gnsopt.globalization import progress_ratio
from tests.pages import (
    ROOT,
    command_lines,
    markdown_blocks,
    python_blocks,
    rst_blocks,
    run_command,
    run_python,
    runs_here,
)

DOCS = ROOT / "docs"
MADE = ("auto_tutorials", "generated")  # by a build
PAGES = sorted(page for page in DOCS.rglob("*.rst") if not {*MADE, "templates"} & {*page.relative_to(DOCS).parts})
TEXTS = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {name: rst_blocks(text) for name, text in TEXTS.items()}
PYTHON = {name: python_blocks(blocks) for name, blocks in BLOCKS.items()}
COMMANDS = [(name, line) for name, blocks in BLOCKS.items() for line in command_lines(blocks)]
SCRIPTS = [(name, line) for name, blocks in BLOCKS.items() for line in command_lines(blocks, "python -m ")]
INSTALLS = [(name, line) for name, blocks in BLOCKS.items() for line in command_lines(blocks, "pip install ")]
CHECKED = ("gnsopt ", "python -m ", "pip install ", "#")
PACKAGES = ("", ".bilevel", ".constrained", ".curvature", ".datasets", ".diagnostics", ".estimators", ".ot")
PACKAGES += (".blocks", ".problems", ".solvers")
CONSTANTS = {"Build", "METHODS", "NAMES", "REGISTRY", "SOLVERS", "STATUSES", "TESTS"}  # not documented one by one


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_is_found_and_of_a_checked_kind():
    for name, text in TEXTS.items():
        assert len(BLOCKS[name]) == text.count(".. code-block::"), f"{name}: a code block that nothing runs"
        literal = re.findall(r"^(?! *\.\. ).*::\n\n +\S.*", text, flags=re.MULTILINE)
        assert not literal + re.findall(r"^ *>>>.*", text, flags=re.MULTILINE), f"{name}: a block that nothing runs"
        for k, (language, code, _) in enumerate(BLOCKS[name]):
            assert language in ("python", "bash", "text", "toml"), f"{name}: {language}"
            if language == "text":
                above = BLOCKS[name][k - 1][0] if k else None
                assert above == "python", f"{name}: an output of nothing"
            if language == "bash":
                odd = [line for line in code.splitlines() if line.strip() and not line.startswith(CHECKED)]
                assert not odd, f"{name}: {odd}"


@pytest.mark.parametrize("name", [name for name, blocks in PYTHON.items() if blocks])
def test_python_blocks_run_and_print_what_is_shown(name, folder, capsys):
    names = {}
    for number, (code, printed, module) in enumerate(PYTHON[name]):
        if runs_here(module):
            run_python(code, printed, capsys, names, page=f"{name}, block {number}")
        else:
            compile(code, name, "exec")


def test_a_wrong_output_is_seen(capsys):
    [(code, printed, _)] = python_blocks(
        rst_blocks(".. code-block:: python\n\n   print(1)\n\n.. code-block:: text\n\n   2\n")
    )
    with pytest.raises(AssertionError):
        run_python(code, printed, capsys)


def test_the_bare_solver_of_the_architecture_runs():
    """The one Python block in Markdown, which is a method: as that of a solver it does what the real one does."""
    [(code, _, _)] = python_blocks(markdown_blocks((DOCS / "architecture.md").read_text(encoding="utf-8")))
    names = {"start": start, "progress_ratio": progress_ratio, "StepFailure": StepFailure}
    exec(compile(code, "architecture.md", "exec"), names)

    @dataclass(frozen=True)
    class Bare(gnsopt.Solver):
        curvature: object = gnsopt.curvature.exact
        gamma0: float = 1.0
        gamma_min: float = 1e-9
        max_trials: int = 60
        iterates = names["iterates"]

    problem = gnsopt.Logistic(*gnsopt.datasets.make_logistic(60, 8, condition=10.0, seed=1), l2=1e-2)
    bare = Bare().minimize(problem, gtol=1e-6)
    real = gnsopt.GradNormSmooth("exact", growth="paper", metric=None).minimize(problem, gtol=1e-6)
    assert bare.success
    assert (bare.x == real.x).all()


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_command_succeeds(name, command, folder, capsys):
    if "tcp://" not in command:
        run_command(command, folder)
        return
    run_command(f"gnsopt {command.split()[1]} --help", folder)  # there is no cluster: its options exist
    known = capsys.readouterr().out
    assert all(word in known for word in command.split() if word.startswith("--"))


@pytest.mark.parametrize(("name", "line"), SCRIPTS)
def test_script_exists(name, line):
    """Long runs are not made here: the module is there, and so are the experiments and figures that it is asked for."""
    words = shlex.split(line, comments=True)
    module, arguments = words[2], words[3:]
    if module == "sphinx":
        return
    assert importlib.util.find_spec(module), module
    for argument in (argument for argument in arguments if not argument.startswith("-")):
        if module == "experiments.run":
            assert (ROOT / "experiments" / argument).exists(), argument
        elif module == "paper_figures.build" and argument in {path.name for path in (ROOT / "paper_figures").iterdir()}:
            paper = argument
        elif module == "paper_figures.build":
            assert (ROOT / "paper_figures" / paper / f"figure_{argument}.py").exists(), argument


@pytest.mark.parametrize(("name", "line"), INSTALLS)
def test_extra_exists(name, line):
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    for extra in re.findall(r"\[(.*?)\]", line):
        assert all(f"\n{one} =\n" in setup for one in extra.split(",")), line


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package):
    """Classes and functions; aliases and models that are instances go by the names of what they are."""
    listed = "\n".join(text for name, text in TEXTS.items() if name.startswith("reference/"))
    module = importlib.import_module(f"gnsopt{package}")
    absent = [
        name
        for name in module.__all__
        if (inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name)))
        and name not in CONSTANTS
        and getattr(module, name).__name__ == name
        and not re.search(rf"^   {name}$", listed, flags=re.MULTILINE)
    ]
    assert not absent, f"docs/reference lacks these names of gnsopt{package}"


@pytest.mark.parametrize("target", sorted({t for text in TEXTS.values() for t in re.findall(r"figure:: (\S+)", text)}))
def test_figure_is_kept_in_the_repository(target):
    assert (DOCS / "papers" / target).resolve().is_file()


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    """From a copy, as from a clean checkout; the tutorials run."""
    pytest.importorskip("sphinx_gallery")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns(*MADE))
    for name in ("paper_figures", "experiments"):  # whose drawings and results the pages show
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", "site"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, PYTHONWARNINGS="default"),
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "site" / "index.html").stat().st_size > 0
