"""The house rules, each checked by the tool that knows it: layers, style, types, docstrings, packaging."""

import importlib
import inspect
import os
import pkgutil
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("gnsopt", "tests", "experiments", "paper_figures", "docs", ".ci")
FILES = (
    "setup.cfg",
    "pyproject.toml",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    ".pre-commit-config.yaml",
    ".gitignore",
    ".ci/run",
    "docs/architecture.md",
    "gnsopt/py.typed",
    "experiments/__init__.py",
    "paper_figures/__init__.py",
)


def run(*arguments, cwd=ROOT):
    """Run this Python with the arguments; return the output, or fail with it."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, NO_COLOR="1", COLUMNS="200"),
    )
    if done.returncode:
        pytest.fail(f"{' '.join(arguments)}\n{done.stdout}", pytrace=False)
    return done.stdout


# ------------------------------------------------------------------------------------------------------ tools


def test_import_contracts_hold():
    run("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")


def test_ruff_check_passes():
    run("-m", "ruff", "check", "--no-cache", ".")


def test_ruff_format_passes():
    run("-m", "ruff", "format", "--check", "--diff", "--no-cache", ".")


def test_mypy_passes():
    run("-m", "mypy")


# ------------------------------------------------------------------------------------------------- docstrings


def unwrapped(member):
    """Return the plain function behind a class member or a Numba dispatcher (properties stay as they are)."""
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    return inspect.unwrap(member) if callable(member) and not inspect.isclass(member) else member


def public_objects():
    """Yield (name, object, owner) of each public class, function, method and property that gnsopt defines."""
    package = importlib.import_module("gnsopt")
    for info in pkgutil.walk_packages(package.__path__, "gnsopt."):
        if info.name.rsplit(".", 1)[-1] == "__main__":
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            obj = unwrapped(value)
            if name.startswith("_") or getattr(obj, "__module__", None) != info.name:
                continue
            if inspect.isfunction(obj):
                yield f"{info.name}.{name}", obj, None
            elif inspect.isclass(obj) and obj.__name__ == name:
                yield f"{info.name}.{name}", obj, None
                for attribute, raw in vars(obj).items():
                    member = unwrapped(raw)
                    if inspect.isfunction(member) or isinstance(member, (property, cached_property)):
                        yield f"{info.name}.{name}.{attribute}", member, obj


def docstring_errors(name, obj, owner, checks):
    """Return numpydoc's findings about one object, as (code, sentence)."""
    from numpydoc.docscrape import get_doc_object
    from numpydoc.validate import validate

    if not obj.__doc__:
        attribute = name.rsplit(".", 1)[-1]
        inherited = owner and any(getattr(vars(b).get(attribute), "__doc__", None) for b in owner.__mro__[1:])
        return [] if inherited else [("GL08", "no docstring, own or inherited")]
    skipped = set()
    if owner and "\n" not in obj.__doc__.strip():
        skipped = {"PR01", "RT01", "YD01"}  # a one-line method: its class, or the base class, tells the rest
    if inspect.isclass(obj) and not getattr(obj.__init__, "__module__", "").startswith("gnsopt"):
        skipped = {"PR01"}  # enum, protocol, exception: the constructor is not ours
    errors = validate(get_doc_object(obj))["errors"]
    return [(code, text) for code, text in errors if code in checks - skipped]


def test_public_docstrings_pass_numpydoc():
    from numpydoc.hooks.validate_docstrings import parse_config

    config = parse_config(ROOT)
    found = [
        f"{name}: {code} {text}"
        for name, obj, owner in public_objects()
        if not config["exclude"].search(name)
        for code, text in docstring_errors(name, obj, owner, config["checks"])
    ]
    assert not found, f"{len(found)} findings\n" + "\n".join(found)


# ----------------------------------------------------------------------------------------- imports, packaging


def test_import_is_light():
    loaded = run("-c", "import gnsopt, sys; print(*sys.modules, sep='\\n')").split()
    heavy = {"matplotlib", "sklearn.linear_model", "pandas"} & set(loaded)
    assert not heavy, f"`import gnsopt` also imports {sorted(heavy)}: import them where they are used"


@pytest.mark.parametrize("name", ["bilevel", "diagnostics", "estimators", "ot", "plotting", "registry", "testing"])
def test_a_package_that_is_not_imported_comes_at_its_first_use(name):
    code = f"import gnsopt, sys; late = 'gnsopt.{name}' not in sys.modules; print(late, gnsopt.{name}.__name__)"
    assert run("-c", code).split() == ["True", f"gnsopt.{name}"]


def test_every_module_is_packaged(tmp_path):
    project, lib = tmp_path / "project", tmp_path / "lib"
    shutil.copytree(ROOT / "gnsopt", project / "gnsopt", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project / name)
    run("-c", "import setuptools; setuptools.setup()", "-q", "build_py", "-d", str(lib), cwd=project)

    def files(folder):
        return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    absent = sorted(files(project / "gnsopt") - files(lib / "gnsopt"))
    assert not absent, f"not installed: {absent} (an __init__.py or a line of package_data is missing)"
    assert [p.name for p in lib.iterdir()] == ["gnsopt"], "only gnsopt is installed"


@pytest.mark.parametrize("name", FILES)
def test_top_level_exists(name):
    assert (ROOT / name).is_file(), f"{name} is missing"


def test_ci_run_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_no_file_names_a_machine_path():
    forbidden = ["/" + "/".join(parts) for parts in (("work", ""), ("opt", "venv"))]
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    paths += [path for path in ROOT.iterdir() if path.name not in {".git", ".coverage"}]
    written = {"__pycache__", "results"}  # by tools and runs
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in paths
        if path.is_file() and not written & set(path.relative_to(ROOT).parts)
        for text in forbidden
        if text.encode() in path.read_bytes()
    ]
    assert not found, "\n".join(found)
