"""The documentation is true: code blocks run, commands parse, quoted figures are in result files, the site builds."""

import configparser
import importlib
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from urllib.parse import unquote

import pytest

import gnsopt
from experiments import run
from gnsopt.curvature import start
from gnsopt.exceptions import StepFailure
from gnsopt.globalization import progress_ratio
from paper_figures import build
from tests.pages import (
    ROOT,
    command_lines,
    markdown_blocks,
    parse_command,
    parse_module,
    python_blocks,
    rst_blocks,
    run_command,
    run_python,
    runs_here,
    shell_commands,
)
from tests.quoted import QUOTED

DOCS = ROOT / "docs"
MADE = ("auto_tutorials", "generated")  # by a build
PAGES = sorted(page for page in DOCS.rglob("*.rst") if not {*MADE, "templates"} & {*page.relative_to(DOCS).parts})
TEXTS = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {name: rst_blocks(text) for name, text in TEXTS.items()}
PYTHON = {name: python_blocks(blocks) for name, blocks in BLOCKS.items()}
COMMANDS = [(name, line) for name, blocks in BLOCKS.items() for line in command_lines(blocks)]
NOTES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((ROOT / "experiments").rglob("*.md"))]
MARKDOWN = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in NOTES}
SHELL = {name: shell_commands(text, BLOCKS[name]) for name, text in TEXTS.items()}
SHELL |= {name: shell_commands(text, markdown_blocks(text)) for name, text in MARKDOWN.items()}
LINES = [(name, words) for name, commands in SHELL.items() for words in commands]
MODULES = sorted({(name, *words[2:]) for name, words in LINES if words[0] in ("python", "python3")})
FOREIGN = ("pytest", "venv")  # whose options are not ours
INSTALLS = [
    (name, line)
    for name, text in (TEXTS | MARKDOWN).items()
    for line in re.findall(r"pip install [^`\n]*", text)
    if "[" in line
]
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
def test_command_succeeds(name, command, folder):
    if "tcp://" not in command:  # there is no cluster
        run_command(command, folder)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, words in LINES if words[0] == "gnsopt"])
def test_command_is_understood(name, words):
    parse_command(words[1:])


@pytest.mark.parametrize("command", MODULES, ids=" ".join)
def test_options_of_a_long_run_are_understood(command):
    """By the parser of the module; what the words name (experiments, figures, tasks, data) is there."""
    _, module, *arguments = command
    assert importlib.util.find_spec(module), module
    options = None if module in FOREIGN else parse_module(module, arguments)
    if options is None:
        return
    if module == "experiments.run":
        assert run.find(options.what)
    elif module == "paper_figures.build":
        assert {*(options.only or ())} <= {*build.names(options.paper)}
    elif module == "sphinx":
        assert (ROOT / options.sourcedir / "conf.py").is_file()
    elif module == "experiments.benchmarks.glm":
        assert importlib.import_module(f"{module}.tasks").read(options.group)
    elif module == "experiments.benchmarks.main_job":
        assert {*(options.only or ())} <= {*importlib.import_module(module).DATA}
    elif module == "experiments.benchmarks.bilevel":
        assert {*(options.tasks or ())} <= {*importlib.import_module(f"{module}.tasks").TASKS}
        assert {*(options.methods or ())} <= {*importlib.import_module(f"{module}.methods").METHODS}


@pytest.mark.parametrize(
    "line", ["experiments.run gns --quik", "experiments.benchmarks.cutest constrainedd", "paper_figures.build"]
)
def test_a_wrong_option_is_seen(line):
    module, *arguments = line.split()
    with pytest.raises(SystemExit, match="2"):
        parse_module(module, arguments)


def test_a_wrong_option_of_the_program_is_seen():
    with pytest.raises(Exception, match="--figur"):
        parse_command(["demo", "--figur", "demo.png"])


@pytest.mark.parametrize(("name", "line"), INSTALLS)
def test_extra_exists(name, line):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    for extras in re.findall(r"\[(.*?)\]", line):
        assert {*extras.split(",")} <= {*setup["options.extras_require"]}, line


def once(text):
    """Return the text with single spaces."""
    return " ".join(text.split())


@pytest.mark.parametrize(("page", "file"), QUOTED)
def test_quoted_figures_are_those_of_the_results(page, file):
    for text, source in QUOTED[page, file]:
        assert once(text) in once(TEXTS[page])
        assert once(source) in once((ROOT / file).read_text(encoding="utf-8"))


def test_the_table_of_the_main_job_comes_with_its_method():
    page = (ROOT / "experiments/benchmarks/README.md").read_text(encoding="utf-8")
    options = TEXTS["benchmarks.rst"].partition(".. include:: ../experiments/benchmarks/README.md\n")[2]
    start, end = (re.search(f":{name}: (.*)", options)[1] for name in ("start-after", "end-before"))
    shown = page.partition(start)[2].partition(end)[0]
    assert "| data | samples x features (classes) |" in shown
    assert 'The table is of damped steps, `method="gns"`' in shown


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


def test_every_method_has_its_formulas_in_the_reference():
    models = [getattr(gnsopt.curvature, name) for name in gnsopt.curvature.__all__]
    methods = [*gnsopt.SOLVERS.values(), gnsopt.AdaSketchNewton, *gnsopt.curvature.NAMES.values()]
    modules = {getattr(method, "__module__", "") for method in [*methods, *models]}
    modules = {module for module in modules if module.startswith("gnsopt.")}
    assert {"gnsopt.curvature.secant", "gnsopt.solvers.momentum"} <= modules
    listed = set(re.findall(r"automodule:: (\S+)", TEXTS["reference/methods.rst"]))
    assert modules - {"gnsopt.curvature.base"} <= listed  # the protocol has no formulas


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
    assert not broken_links(tmp_path / "site")


def broken_links(site):
    """Return the links between pages of a site whose page, or whose place on it, is not there."""
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    places = {path: set(re.findall(r'id="([^"]+)"', text)) for path, text in pages.items()}
    found = []
    for path, text in pages.items():
        for target, _, place in (link.partition("#") for link in re.findall(r'href="(?!\w+:)([^"?]*)', text)):
            there = (path.parent / unquote(target)).resolve() if target else path
            if not there.exists() or (place and unquote(place) not in places.get(there, {unquote(place)})):
                found.append(f"{path.relative_to(site)}: {target}#{place}")
    return found
