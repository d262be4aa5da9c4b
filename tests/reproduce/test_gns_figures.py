"""What the figures of the gns paper are made of, and the claims of the fast ones in full size."""

import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import catalog, config, sweep
from experiments.results import Run, load
from gnsopt import Point
from gnsopt.curvature import exact, start
from gnsopt.linalg.metric import as_metric
from paper_figures import build
from paper_figures.gns.common import counts
from paper_figures.gns.figure_phase_diagram import exponent

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "experiments" / "gns" / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["residual_power_iterations", "chebyshev", "worst_case", "polytope", "rosenbrock_equations"]
)
def test_full_size(tmp_path, name):
    """The authors' counts, which --quick does not assert; seconds are not part of these claims."""
    settings = config.read(ROOT / "experiments" / "gns" / f"{name}.toml")
    assert sweep.run(settings, tmp_path, False, Console(quiet=True)) == []
    assert not load(tmp_path / "gns" / name).quick
    assert build.build("gns", name, tmp_path, tmp_path) is None


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
    solver = catalog.solver({"method": "gns", "curvature": f"perturbed:{beta}"}, instance, 0)
    assert solver.curvature == catalog.Perturbed(beta) != exact


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


def test_data_sets_that_are_absent_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path))
    monkeypatch.setattr("gnsopt.datasets.load", lambda name: (_ for _ in ()).throw(FileNotFoundError(name)))
    with pytest.raises(FileNotFoundError, match="a9a"):
        catalog.problem({"name": "logsumexp_data", "data": "a9a"}, 0)
