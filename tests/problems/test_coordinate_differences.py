"""Differences along coordinates: their exact errors on quadratics, the mask, the counts."""

import numpy as np
import pytest
from scipy.optimize import rosen

from gnsopt import GradNormSmooth
from gnsopt.problems.coordinate_differences import CoordinateDifferences
from gnsopt.testing import check_objective

H = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, -0.5], [0.0, -0.5, 4.0]])
X = np.array([0.4, -1.0, 0.3])


def quadratic(x):
    return 0.5 * float(x @ H @ x) - float(np.sum(x))


def cubic(x):
    return float(np.sum(x**3))


def gradient(problem, x):
    return problem.grad(x, problem.prepare(x))


@pytest.mark.parametrize("seed", [0, 1])
def test_objective_keeps_the_contract(seed):
    check_objective(CoordinateDifferences(rosen, 3), seed=seed)


def test_forward_is_off_by_half_of_the_diagonal():
    problem = CoordinateDifferences(quadratic, 3, mu=1e-3, scheme="forward")
    error = gradient(problem, X) - (H @ X - 1)
    np.testing.assert_allclose(error, 0.5e-3 * np.diag(H), atol=2e-11 / 1e-1)


def test_central_and_second_are_exact_on_quadratics():
    problem = CoordinateDifferences(quadratic, 3, mu=0.5)
    np.testing.assert_allclose(gradient(problem, X), H @ X - 1, atol=1e-14)
    np.testing.assert_allclose(problem.second_differences(X), np.diag(H), atol=1e-13)


def test_central_is_of_second_order():
    errors = [np.max(np.abs(gradient(CoordinateDifferences(cubic, 3, mu=mu), X) - 3 * X**2)) for mu in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=1e-3)


def test_mask_keeps_the_others():
    problem = CoordinateDifferences(quadratic, 3, mask=[True, False, True])
    result = GradNormSmooth(curvature="diagonal").minimize(problem, X, gtol=1e-7)
    assert result.success
    assert result.x[1] == X[1]
    free = np.array([True, False, True])
    np.testing.assert_allclose((H @ result.x - 1)[free], 0, atol=1e-6)


@pytest.mark.parametrize(("scheme", "values"), [("forward", 4), ("central", 6)])
def test_values_are_counted(scheme, values):
    calls = []

    def fun(x):
        calls.append(1)
        return quadratic(x)

    problem = CoordinateDifferences(fun, 3, scheme=scheme)
    result = GradNormSmooth(curvature="zero").minimize(problem, X, maxiter=5, gtol=0)
    assert result.nfev == len(calls)
    assert result.nfev == result.trace["nfev"][-1]
    fresh = problem.fresh()
    fresh.grad(X, fresh.prepare(X))
    assert fresh.extra_counts() == {"nfev": values}
    assert problem.extra_counts() == {"nfev": 0}


def test_second_differences_make_a_newton_method():
    problem = CoordinateDifferences(lambda x: float(np.sum(np.cosh(x))), 3, mu=1e-4)
    result = GradNormSmooth(curvature="gauss_newton").minimize(problem, X, gtol=1e-8)
    assert result.success
    assert result.nit < 12


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"mu": 0.0}, "mu="), ({"scheme": "backward"}, "scheme="), ({"mask": [1.0, 0.0, 1.0]}, "mask"), ({"n": 0}, "n=")],
)
def test_misuse(settings, error):
    with pytest.raises((ValueError, TypeError), match=error):
        CoordinateDifferences(**{"fun": quadratic, "n": 3, **settings})
