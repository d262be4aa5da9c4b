"""What the figures of the transport papers are made of, and the claims of the fast ones in full size."""

import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import catalog, config, sweep, transport
from experiments.results import Run, load
from gnsopt.ot import Problem, solve
from paper_figures import build
from paper_figures.sns.figure_hessian_pattern import dropped, pattern

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("paper", "name"),
    [("sparsity_constrained_ot", "plans"), ("sparsity_constrained_ot", "expert_matching"), ("sns", "assignment")],
)
def test_full_size(tmp_path, paper, name):
    """What --quick does not assert; seconds are not part of these claims."""
    settings = config.read(ROOT / "experiments" / paper / f"{name}.toml")
    assert sweep.run(settings, tmp_path, False, Console(quiet=True)) == []
    assert not load(tmp_path / paper / name).quick
    assert build.build(paper, name, tmp_path, tmp_path) is None


@pytest.mark.parametrize("paper", ["sparsity_constrained_ot", "sns"])
def test_every_figure_has_its_row_and_its_drawing(paper):
    text = (ROOT / "experiments" / paper / "README.md").read_text()
    rows = re.findall(rf"^\| \[(\w+)\]\(\.\./\.\./paper_figures/{paper}/(\w+)\.png\) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == [file for _, file in rows]
    assert sorted(name for name, _ in rows) == build.names(paper)
    for name, _ in rows:
        assert (ROOT / "paper_figures" / paper / f"{name}.png").stat().st_size < 260_000


SPARSE = {"name": "sparse_transport", "data": "clouds", "n": 12, "m": 10, "k": 3, "gamma": 2.0}


def test_stages_of_the_proximal_method_are_its_iterations():
    instance = catalog.problem(SPARSE, 0)
    found = catalog.solver({"method": "sparsity-constrained"}, instance, 0).minimize(instance.objective)
    plan = found.transport
    assert len(found.trace) == found.nit + 1
    assert found.fun == -plan.lower_bound == found.trace["fun"].min()
    assert found.nfev == found.trace["nfev"][-1] <= sum(run["nfev"] for run in plan.history)
    assert np.all(np.diff(found.trace["nfev"]) > 0)
    kept = instance.arrays(found)
    np.testing.assert_array_equal(kept["plan"], plan.plan.toarray())
    assert kept["value"] == plan.value
    assert instance.objective.f_star == pytest.approx(-plan.lower_bound, rel=1e-9)


@pytest.mark.parametrize("formulation", ["dual", "semi-dual"])
def test_both_formulations_have_the_same_minimum(formulation):
    instance = catalog.problem({**SPARSE, "k": 0, "formulation": formulation}, 0)
    for method in ("gns", "l-bfgs"):
        solver = catalog.solver({"method": method}, instance, 0)
        found = solver.minimize(instance.objective, gtol=1e-9, maxiter=500)
        assert found.fun == pytest.approx(instance.objective.f_star, abs=1e-9)
        assert instance.arrays(found)["row_error"] < 1e-6


@pytest.mark.parametrize("method", ["ot-sinkhorn", "ot-sns", "ot-newton", "ot-auto"])
def test_every_method_has_the_value_of_the_semi_dual(method):
    instance = catalog.problem({"name": "entropic", "n": 30, "eta": 40.0, "keep_plan": True}, 0)
    found = catalog.solver({"method": method}, instance, 0).minimize(instance.objective, gtol=1e-11)
    assert found.success
    assert found.trace["fun"][-1] == found.fun == pytest.approx(instance.objective.f_star, abs=1e-10)
    assert found.trace["fun"].min() >= instance.objective.f_star - 1e-10
    kept = instance.arrays(found)
    assert kept["err1"] <= 2e-11
    np.testing.assert_allclose(kept["plan"].sum(axis=0), 1 / 30, atol=1e-11)


def test_kept_entries_are_those_of_a_row():
    instance = catalog.problem({"name": "entropic", "n": 30, "eta": 40.0}, 0)
    few, all_of_them = (
        catalog.solver({"method": "ot-sns", "kept": kept}, instance, 0).minimize(instance.objective) for kept in (3, 30)
    )
    assert np.nanmax(all_of_them.trace["kept"]) == 1
    assert np.nanmin(few.trace["kept"]) < 0.99


def test_images_are_masses_on_their_pixels():
    one, other = np.zeros((2, 3, 3))
    one[0, 0], other[0, 2], other[2, 0] = 2.0, 1.0, 3.0
    for power, distance in ((1, 2.0), (2, 4.0)):
        data = transport.images(one, other, power)
        found = solve(Problem(data["a"], data["b"], data["C"], 0.1))
        assert found.cost == pytest.approx(distance / data_range(power), rel=1e-9)


def data_range(power):
    """Distance of opposite corners of a grid of 3 x 3, which costs are divided by."""
    return 2 * 2.0**power


def test_without_mnist_the_images_are_scikit_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path))
    monkeypatch.setattr("gnsopt.datasets.load", lambda name: (_ for _ in ()).throw(FileNotFoundError(name)))
    data, name = transport.handwritten(14, 2, 1e-3)
    assert name == "digits of scikit-learn"
    assert data["a"].shape == (196,)
    assert data["a"].min() > 0
    assert data["C"].max() == 1


def test_mnist_images_are_the_first_two(data):
    X, _ = data("mnist.scale")
    found, name = transport.handwritten(28, 1, 0.5)
    assert name == "MNIST"
    ink = np.zeros(784)
    ink[: X.shape[1]] = X[[0]].toarray()[0]
    np.testing.assert_allclose(found["a"], (ink + 0.5) / (ink + 0.5).sum(), rtol=1e-12)
    middle = ink.reshape(2, 14, 28).sum(axis=(1, 2))
    assert 0.5 < middle[0] / middle[1] < 2  # a digit stands upright in the middle


def test_dropped_mass_and_pattern():
    P = np.array([[0.5, 0.1, 0.0], [0.05, 0.2, 0.05], [0.0, 0.0, 0.1]])
    np.testing.assert_allclose(dropped(P, np.array([1, 2, 3])), [0.2, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(pattern(P)[0, :2], np.log10([1, 0.2]))
    assert pattern(P)[2, 0] == -7
    large = np.zeros((401, 401))
    large[7, 8] = 1.0
    found = pattern(large)
    assert found.shape == (134, 134)
    assert found[2, 2] == 0
    assert (found > -7).sum() == 1


def test_arrays_are_kept_beside_the_trace(tmp_path):
    path = tmp_path / "toy" / "one.toml"
    path.parent.mkdir()
    path.write_text(
        '[provenance]\npaper = "p"\nfigure = "f"\nclaim = "c"\n[[grid]]\nsolver = {method = "sparsity-constrained"}\n'
        'problem = {name = "sparse_transport", data = "clouds", n = 6, m = 5, k = 2, gamma = 1.0}\n'
    )
    assert sweep.run(config.read(path), tmp_path, False, Console(quiet=True)) == []
    (run,) = load(tmp_path / "toy" / "one").runs
    assert isinstance(run, Run)
    assert run["plan"].shape == (6, 5)
    assert float(run["value"]) >= float(run["lower_bound"]) - 1e-9
