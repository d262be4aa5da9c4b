"""The distributions, built offline from a copy of the checkout, and an environment that has the wheel alone."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, cwd, python=sys.executable, fails=False):
    """Run Python with the arguments, away from the checkout; return what it says, or fail with it."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(python), *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment | {"NO_COLOR": "1", "COLUMNS": "200"},
    )
    if bool(done.returncode) is not fails:
        pytest.fail(f"{arguments}: exit code {done.returncode}\n{done.stdout}", pytrace=False)
    return done.stdout


def build(source, folder, *kinds):
    """Build distributions of the project in `source` as pip does, but with the setuptools that is here."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
        run("-c", code, folder, cwd=source)


def install(environment, wheel):
    """Install a wheel, without what it depends on."""
    run("-m", "pip", "--python", environment, "install", "-q", "--no-deps", "--no-index", wheel, cwd=environment.parent)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """The folder with the wheel and the sdist of this checkout."""
    if not (ROOT / "gnsopt").is_dir():
        pytest.skip("no checkout: the tests run against an installed wheel")
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools is older than pyproject.toml asks for")
    folder = tmp_path_factory.mktemp("distributions")
    # what a working copy has, and more that must stay out of both
    left_behind = (".git", ".*_cache", "__pycache__", "results", "build", "dist", "*.egg-info", ".hypothesis", "*.png")
    shutil.copytree(ROOT, folder / "project", ignore=shutil.ignore_patterns(*left_behind))
    (folder / "project" / "results").mkdir()
    (folder / "project" / "results" / "runs.csv").touch()
    build(folder / "project", folder / "dist", "wheel", "sdist")
    return folder / "dist"


def make_environment(folder):
    """Make an environment that sees the libraries of this one, but not an editable gnsopt; return its Python."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = Path(
        run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder, python=python).strip()
    )
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()])
    (packages / "libraries.pth").write_text("\n".join(here))  # as plain folders: their .pth files are not read
    return python


@pytest.fixture(scope="session")
def installed(distributions, tmp_path_factory):
    """The Python of an environment in which the wheel is installed."""
    python = make_environment(tmp_path_factory.mktemp("environment") / "venv")
    (wheel,) = distributions.glob("*.whl")
    install(python, wheel)
    return python
