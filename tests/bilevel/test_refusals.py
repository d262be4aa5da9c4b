"""What a bilevel run must not say: converged where a step failed, stationary with an unknown error."""

import numpy as np
import pytest

from gnsopt.bilevel import BilevelProblem, CrossValidation, minimize
from gnsopt.bilevel.maid_qn import MaidQN
from gnsopt.estimators import RegularizationSearch


def parabola(cross_t=lambda x, t, q: -q, **oracles):
    """h = (x - t)^2 / 2, g = (x - 1)^2 / 2: f = (t - 1)^2 / 2."""
    return BilevelProblem(
        n=1,
        d=1,
        lower=lambda x, t: (0.5 * float((x - t) @ (x - t)), x - t),
        hvp=lambda x, t: lambda v: v,
        cross_t=cross_t,
        upper=lambda x, t: (0.5 * float((x - 1) @ (x - 1)), x - 1, None),
        mu=lambda t: 1.0,
        **oracles,
    )


def test_the_parabola_is_solved():
    result = minimize(parabola(), 0.0, tol=1e-8)
    assert result.status == "stationary"
    assert result.theta[0] == pytest.approx(1.0, abs=1e-7)


def test_a_wrong_sign_of_cross_t_is_a_failed_step():
    result = minimize(parabola(lambda x, t, q: q), 0.0, tol=1e-8)
    assert result.status == "step-failure"
    assert not result.success


def test_an_unknown_error_is_not_stationary():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    problem = CrossValidation(X, (X[:, 0] > 0).astype(int), folds=3)
    result = minimize(problem, 0.0, "scalebio", maxiter=1000)
    assert result.status != "stationary" or result.norm + result.error <= 1e-6


@pytest.mark.parametrize("options", [{"max_trials": 0}, {"longest": -1.0}])
def test_limits_of_the_line_search_are_checked(options):
    with pytest.raises(ValueError, match="max_trials"):
        MaidQN(**options)


def test_a_fold_without_a_class_is_refused_by_its_name():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 4)), np.array(["a", "b", "c"])[np.arange(90) % 3]
    fold = np.arange(90) % 2
    fold[y == "a"] = 0
    with pytest.raises(ValueError, match="class 'a'|class .*'a'"):
        RegularizationSearch(cv=fold).fit(X, y)
