"""What the wheel and the sdist hold, and that the wheel works where the checkout is not."""

import email
import re
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest

from tests.packaging.conftest import ROOT, run


@pytest.fixture(scope="module")
def wheel(distributions):
    (path,) = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_string(wheel.read(name).decode())


def modules():
    """The files of the package, as they are in the checkout."""
    files = (path for path in (ROOT / "gnsopt").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix not in (".nbi", ".nbc")}


def test_the_wheel_holds_the_package_and_its_metadata(wheel):
    names = set(wheel.namelist())
    assert modules() == {name for name in names if name.startswith("gnsopt/")}
    rest = {PurePosixPath(name).parts[0] for name in names} - {"gnsopt"}
    assert len(rest) == 1, rest
    assert rest.pop().endswith(".dist-info")
    assert "gnsopt/py.typed" in names
    assert any(re.fullmatch(r"gnsopt-.*\.dist-info/licenses/LICENSE", name) for name in names)


def test_the_sdist_holds_what_the_wheel_is_built_from(distributions):
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    kept = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "MANIFEST.in"}
    assert kept | modules() <= names
    assert {name.partition("/")[0] for name in names - kept} == {"gnsopt", "gnsopt.egg-info", "PKG-INFO"}


def test_the_metadata_say_what_a_package_index_shows(metadata):
    assert metadata["Name"] == "gnsopt"
    assert metadata["Version"] in (ROOT / "gnsopt" / "__init__.py").read_text()
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] or metadata["License"] == "BSD-3-Clause"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert {"Typing :: Typed", "Programming Language :: Python :: 3"} <= set(metadata.get_all("Classifier"))


def test_the_page_of_a_package_index_has_no_dead_links(metadata):
    """Files of the checkout are named there, not linked to: the page has no such files beside it."""
    targets = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    assert targets
    assert not [target for target in targets if not target.startswith(("https://", "#"))]


def test_the_wheel_is_what_is_imported(installed, tmp_path):
    code = "import gnsopt, sys; print(gnsopt.__file__.startswith(sys.prefix), gnsopt.__version__)"
    assert run("-c", code, cwd=tmp_path, python=installed).split() == ["True", __import__("gnsopt").__version__]


def test_the_command_is_installed(installed, tmp_path):
    said = run(
        installed.parent / "gnsopt", "fit", "iris", "--quiet", "--save-weights", "w.npz", cwd=tmp_path, python=installed
    )
    assert not said
    assert (tmp_path / "w.npz").is_file()
