"""What the figures of the gns paper are made of, and the claims of the fast ones in full size."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import catalog, config, sweep
from experiments.results import Run, load
from gnsopt import Point
from gnsopt.curvature import exact, start
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.metric import as_metric
from paper_figures import build
from paper_figures.gns import figure_growth_rules as growth
from paper_figures.gns.common import counts
from paper_figures.gns.figure_phase_diagram import exponent

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "experiments" / "gns" / "README.md").read_text()


# The others take minutes, need data files or assert seconds; the claims of the three rosenbrock_* are about full size
# in quick runs too.
CHEAP = (
    "residual_power_iterations",
    "chebyshev",
    "worst_case",
    "polytope",
    "lse_iterations",
    "lse_gamma",
    "phase_diagram",
)


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """Where figures that share cells find them."""
    return tmp_path_factory.mktemp("full")


@pytest.mark.parametrize("name", CHEAP)
def test_full_size(sweeps, tmp_path, name):
    """The authors' counts, which --quick does not assert; seconds are no part of these claims: one run is enough."""
    settings = config.read(ROOT / "experiments" / "gns" / f"{name}.toml")
    once = {"repeats": 1, "warmup": 0}
    cells = tuple(dataclasses.replace(cell, run=cell.run | once) for cell in settings.cells)
    assert sweep.run(dataclasses.replace(settings, cells=cells), sweeps, False, Console(quiet=True)) == []
    assert not load(sweeps / "gns" / name).quick
    assert build.build("gns", name, sweeps, tmp_path) is None


def approximations(name):
    """Return the problems of a figure with the approximations that GNS has there; without cut-offs and seeds."""
    cells = config.read(ROOT / "experiments" / "gns" / f"{name}.toml").cells
    found = set()
    for cell in cells:
        if cell.solver["method"] == "gns":
            hessian = (cell.solver["curvature"], cell.solver.get("beta"), cell.solver.get("metric"))
            found.add((tuple(sorted(cell.problem.items())), hessian))
    return found


def test_the_growth_rules_are_compared_on_every_problem_of_the_other_figures():
    everywhere = set().union(*(approximations(name) for name in build.names("gns") if name != "growth_rules"))
    assert len(everywhere) > 150
    assert everywhere <= approximations("growth_rules")


def pair(paper, ratio, arrived=(True, True), cpu=("1", "1")):
    """Return a pair of runs with these iterations and processor seconds."""
    rows = (
        {"nit": nit, "success": done, "cpu_each": each}
        for nit, done, each in zip((paper, ratio), arrived, cpu, strict=True)
    )
    return growth.Pair(*(Run("", facts, {}) for facts in rows))


@pytest.mark.parametrize(
    ("found", "verdict", "median"),
    [
        (pair(10, 9), growth.WON, 0.9),
        (pair(10, 10), growth.LEVEL, 1.0),
        (pair(10, 11), growth.LOST, 1.1),
        (pair(10, 99, (True, False)), growth.LOST, np.inf),
        (pair(99, 10, (False, True)), growth.WON, 0.0),
        (pair(99, 99, (False, False)), growth.OPEN, None),
    ],
)
def test_who_wins_a_count(found, verdict, median):
    assert found.verdict("nit") == verdict
    assert found.quotients("nit").tolist() == ([] if median is None else [median])


@pytest.mark.parametrize(
    ("cpu", "verdict"),
    [
        (("2 4 6 8 10", "1 2 3 4 5"), growth.LOST),  # a drift that both share is no noise
        (("1 1 1 1 1", "2 3 4 5 0.1"), growth.WON),  # nor is one run that was disturbed
        (("1 2 1 2 1", "2 1 2 1 1"), growth.LEVEL),
        (("1 1", "2 2"), growth.OPEN),
    ],
)
def test_who_wins_in_seconds(cpu, verdict):
    assert pair(1, 1, cpu=cpu[::-1]).verdict("cpu") == verdict


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_the_perturbed_hessian_is_as_inexact_as_it_says(beta):
    instance = catalog.problem({"name": "residual_power", "n": 6, "m": 4, "p": 3.0}, 0)
    metric = as_metric(np.eye(6) + np.tri(6) @ np.tri(6).T, 6)
    x = Point(instance.objective, np.arange(6.0), metric=metric)
    H, error = start(catalog.Perturbed(beta), x)(x), x.dual_norm ** (1 - beta)
    v, b = np.linspace(1, 2, 6), np.linspace(-1, 1, 6)
    np.testing.assert_allclose(H.matvec(v) - x.hessp(v), error * metric.apply(v), rtol=1e-9)
    h = H.solve(0.7, b)
    np.testing.assert_allclose(H.matvec(h) + 0.7 * metric.apply(h), b, atol=1e-9)
    solver = catalog.solver({"method": "gns", "curvature": "perturbed", "beta": beta}, instance, 0)
    assert solver.curvature == catalog.Perturbed(beta) != exact


def test_ones_own_problem_and_curvature_go_by_where_they_are():
    instance = catalog.problem({"name": "experiments.catalog:residual_power", "n": 3, "m": 4, "p": 3.0}, 0)
    assert instance.objective.n == 3
    solver = catalog.solver({"method": "gns", "curvature": "gnsopt.curvature:exact"}, instance, 0)
    assert solver.curvature is exact
    with pytest.raises(ValueError, match="or write module:function"):
        catalog.problem({"name": "residual_pwoer"}, 0)


@pytest.mark.parametrize("curvature", ["fisher", "subsampled:0.1"])
def test_what_the_figure_of_log_sum_exp_leaves_out_does_not_apply(curvature):
    instance = catalog.problem({"name": "logsumexp", "n": 4, "m": 5}, 0)
    solver = catalog.solver({"method": "gns", "curvature": curvature}, instance, 0)
    with pytest.raises(MissingRequirement):
        solver.minimize(instance.objective, instance.x0, gtol=1e-6)


@pytest.mark.parametrize("slope", [0.2, 0.75])
def test_exponent_of_a_power_law(slope):
    """The slope of the second half, whatever the first half does and however the steps are spread."""
    norms = np.exp(-np.concatenate([np.linspace(0, 5, 7), np.linspace(5.1, 20, 400)]))
    gamma = np.where(np.log(norms) > -9, 1.0, norms**slope)
    run = Run("", {}, {"gnorm": np.append(norms, 0.0), "gamma": np.append(np.nan, gamma)})
    assert exponent(run) == pytest.approx(slope, abs=1e-3)


def test_counts_at_a_residual():
    trace = {"fun": np.array([3.0, 2.0, 1.5, 1.1]), "nsolve": np.array([0, 1, 4, 6])}
    run = Run("", {"f_star": 1.0}, trace)
    assert counts(run, 0.5) == (2, 4)
    assert counts(run, 0.01) == (np.inf, 6)


def test_every_figure_has_its_row_and_its_drawing():
    rows = re.findall(r"^\| \[(\w+)\]\(\.\./\.\./paper_figures/gns/(\w+)\.png\) \|", TABLE, re.MULTILINE)
    assert [name for name, _ in rows] == [file for _, file in rows]
    assert sorted(name for name, _ in rows) == build.names("gns")
    overview = (ROOT / "experiments" / "README.md").read_text()
    listed = re.findall(r"^\| \[gns/(\w+)\]\(\.\./paper_figures/gns/figure_(\w+)\.py\) \|", overview, re.MULTILINE)
    assert sorted(listed) == [(name, name) for name in build.names("gns")]


def test_the_table_of_growth_rules_has_every_pair():
    table = (build.FOLDER / "gns" / "growth_rules.md").read_text()
    rows = re.findall(r"^\| (.*?) \| (?:\*\*)?[>\d]", table, re.MULTILINE)
    pairs = {cell.turn_key for cell in config.read(ROOT / "experiments" / "gns" / "growth_rules.toml").cells}
    assert len(rows) == len(set(rows)) == len(pairs)


def test_data_sets_that_are_absent_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path))
    monkeypatch.setattr("gnsopt.datasets.load", lambda name: (_ for _ in ()).throw(FileNotFoundError(name)))
    with pytest.raises(FileNotFoundError, match="a9a"):
        catalog.problem({"name": "logsumexp_data", "data": "a9a"}, 0)
