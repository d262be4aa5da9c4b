"""What the figures of the families are made of: networks that a toml names, work to a residual, rows of the README."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments import catalog
from experiments.results import Run
from paper_figures.families.common import residual, work_to
from paper_figures.families.figure_mlp import seconds
from paper_figures.families.figure_sso import lowest

ROOT = Path(__file__).parents[2]


def test_rows_of_the_readme_have_their_drawing():
    text = (ROOT / "experiments" / "families" / "README.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\(\.\./\.\./paper_figures/families/(\w+)\.png\) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == [file for _, file in rows]
    assert {"sso", "mlp"} <= {name for name, _ in rows}
    for name, _ in rows:
        assert (ROOT / "paper_figures" / "families" / f"{name}.png").stat().st_size < 400_000


def test_a_network_that_a_toml_names():
    instance = catalog.problem({"name": "mlp", "data": "digits", "rows": 100, "hidden": 5, "depth": 2}, 7)
    problem = instance.objective
    assert problem.shapes[1:] == [(6, 5), (6, 10)]
    assert problem.l2 == pytest.approx(0.01)
    assert problem._input.max() == 1.0
    assert problem._input[:, :-1].any(axis=0).all()
    assert problem.seed == 7
    whole = catalog.problem({"name": "mlp", "data": "digits", "hidden": 4}, 0).objective
    assert len(whole.weight) == 1797


def test_work_to_a_residual():
    trace = {"fun": np.array([3.0, 1.5, 1.1, 1.01]), "njev": np.array([1, 2, 5, 9]), "time": np.array([0.0, 1, 2, 4])}
    run = Run("a", {"f_star": 1.0, "cpu_each": "2.0"}, trace)
    np.testing.assert_allclose(residual(run), [2, 0.5, 0.1, 0.01])
    assert work_to(run, 0.2) == 5
    assert work_to(run, 1e-9) == np.inf
    assert lowest(run, 6) == pytest.approx(0.1)
    np.testing.assert_allclose(seconds(run), [0, 0.5, 1, 2])
