"""Every figure of every paper, from its toml to its claim, in the small sizes of --quick."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.results import load
from paper_figures import build

ROOT = Path(__file__).parents[2]
FIGURES = sorted((path.parent.name, path.stem) for path in (ROOT / "experiments").glob("*/*.toml"))
MODULES = sorted(
    (path.parent.name, path.stem.removeprefix("figure_")) for path in (ROOT / "paper_figures").glob("*/figure_*.py")
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run all figures of a paper, once, as a user does."""
    folder, done = tmp_path_factory.mktemp("results"), set()

    def run(paper):
        if paper not in done:
            command = [sys.executable, "-m", "experiments.run", paper, "--quick", "--results", str(folder)]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            done.add(paper)
        return folder

    return run


def test_a_toml_for_each_figure_and_a_figure_for_each_toml():
    assert FIGURES == MODULES != []


@pytest.mark.parametrize(("paper", "figure"), FIGURES)
def test_figure(results, tmp_path, paper, figure):
    folder = results(paper)
    found = load(folder / paper / figure)
    absent = [row for row in found.skipped if "GNSOPT_DATA" in str(row["message"])]
    if absent:
        pytest.skip(f"no data for {absent[0]['label']}")
    assert not found.skipped
    assert found.quick
    for run in found.runs:
        assert len(run["fun"]) == run.facts["nit"] + 1
        assert run["fun"].min() >= run.facts["f_star"] - 1e-11 * abs(run.facts["f_star"])
    assert build.build(paper, figure, folder, tmp_path) is None
    assert (tmp_path / paper / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / paper / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    first = (tmp_path / paper / f"{figure}.pdf").read_bytes()
    assert build.build(paper, figure, folder, tmp_path) is None
    assert (tmp_path / paper / f"{figure}.pdf").read_bytes() == first, "the same data give the same file"


def test_a_claim_that_fails_is_reported(results, tmp_path, monkeypatch):
    folder = results("gns")
    script = build.module("gns", "lse_iterations")
    swapped = {script.EXACT: script.GRADIENT, script.GRADIENT: script.EXACT}
    for name in ("EXACT", "GRADIENT"):
        monkeypatch.setattr(script, name, swapped[getattr(script, name)])
    assert "the claim does not hold" in build.build("gns", "lse_iterations", folder, tmp_path)


def test_a_figure_without_results_says_how_to_get_them(tmp_path):
    assert "python -m experiments.run gns/lse_gamma.toml" in build.build("gns", "lse_gamma", tmp_path, tmp_path)


def test_drawing_leaves_no_global_state(results, tmp_path):
    import matplotlib as mpl

    folder, before = results("gns"), dict(mpl.rcParams)
    build.build("gns", "lse_gamma", folder, tmp_path)
    assert dict(mpl.rcParams) == before
    code = (
        "import sys; from paper_figures import build\n"
        "build.module('gns', 'lse_gamma'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
