"""Every problem of the table passes the public check of objectives, at a random point and close to its start."""

import numpy as np
import pytest

from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_objective


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_passes(name, seed):
    check_objective(PROBLEMS[name](), seed=seed)


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_passes_near_its_start(name):
    problem = PROBLEMS[name]()
    check_objective(problem, problem.start() + 1e-3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_factory_is_deterministic(name):
    one, other = PROBLEMS[name](), PROBLEMS[name]()
    x = one.start() + 0.1
    assert one is not other
    np.testing.assert_array_equal(one.grad(x, one.prepare(x)), other.grad(x, other.prepare(x)))
