"""Wide linear models run in the coordinates of their row space: the same iterates, the same truth."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import gnsopt
from gnsopt.curvature import exact
from gnsopt.linalg.design import Design
from gnsopt.linalg.span import RowSpan


def wide(seed, n=40, d=300, classes=2, centred=False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.uniform(0.2, 2.0, d)
    if centred:
        X -= X.mean(axis=0)
    return X, rng.integers(0, classes, n)


@pytest.mark.parametrize("centred", [False, True])
def test_the_basis_is_orthonormal_and_carries_the_rows(centred):
    X, _ = wide(0, centred=centred)
    span = RowSpan(Design(X))
    Q = np.stack([span.vector(e) for e in np.eye(span.L.shape[1])], axis=1)
    assert span.L.shape[1] == 40 - centred
    np.testing.assert_allclose(Q.T @ Q, np.eye(Q.shape[1]), atol=1e-11)
    np.testing.assert_allclose(span.L @ Q.T, X, atol=1e-11)


def test_a_rank_that_is_not_clear_gives_no_basis():
    X, _ = wide(1)
    X[1] = X[0] + 6e-7 * np.random.default_rng(9).standard_normal(300)
    with pytest.raises(ArithmeticError, match="rank"):
        RowSpan(Design(X))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_iterates_are_those_of_the_solves_by_the_data(classes, intercept, centred, sparse):
    X, y = wide(2, classes=classes, centred=centred)
    if sparse:
        X = np.where(np.abs(X) > 1.0, X, 0.0)
    problem = (gnsopt.Logistic if classes == 2 else gnsopt.Softmax)(
        csr_array(X) if sparse else X, y, l2=1e-2, fit_intercept=intercept
    )
    run = gnsopt.minimize(problem, options={"keep_x": True, "gtol": 1e-10})
    reference = gnsopt.minimize(problem, options={"keep_x": True, "gtol": 1e-10, "curvature": exact.using("cholesky")})
    assert run.success
    assert run.nhev >= 1
    few = min(run.nit, reference.nit) if classes == 2 else 0  # many classes are solved inexactly
    for a, b in zip(run.trace.x[: few + 1], reference.trace.x, strict=False):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(problem.predict(run.x, X), problem.predict(reference.x, X), atol=1e-7)
    twin = gnsopt.Logistic(X, y, l2=1e-2, fit_intercept=intercept) if classes == 2 else problem
    assert abs(run.fun - twin.fun(run.x, twin.prepare(run.x))) <= 1e-14
    assert np.abs(twin.grad(run.x, twin.prepare(run.x))).max() <= 1e-10
    assert np.abs(run.jac - twin.grad(run.x, twin.prepare(run.x))).max() <= 1e-15


@pytest.mark.parametrize("maxiter", [0, 1, 3])
def test_what_is_reported_on_the_way_is_true(maxiter):
    X, y = wide(3)
    problem = gnsopt.Logistic(X, y, l2=1e-3, fit_intercept=True)
    seen = []
    run = gnsopt.minimize(problem, callback=lambda x: seen.append(x), options={"maxiter": maxiter, "keep_x": True})
    assert len(seen) == run.nit == maxiter
    for x, f, gnorm in zip(run.trace.x, run.trace["fun"], run.trace["gnorm"], strict=True):
        z = problem.prepare(x)
        assert abs(problem.fun(x, z) - f) <= 1e-13
        assert abs(np.abs(problem.grad(x, z)).max() - gnorm) <= 1e-13


def test_one_matrix_of_the_rows_serves_the_run_and_other_starts_take_the_data():
    X, y = wide(4, n=60, d=4000)
    problem = gnsopt.Logistic(X, y, l2=1e-3)
    first = gnsopt.minimize(problem)
    assert first.curvature.endswith("(n = 60), in the row space of 4000 variables")
    again = gnsopt.minimize(problem, first.x)
    assert first.success
    assert again.success
    assert again.nit <= 1
    closer = gnsopt.Logistic(X, y, l2=5e-4)
    warm = gnsopt.minimize(closer, first.x)  # a start in the row space
    assert warm.success
    assert warm.nhev <= 1 + warm.nit
    assert warm.nit < gnsopt.minimize(closer).nit
    moved = gnsopt.minimize(problem, np.ones(problem.n))
    np.testing.assert_allclose(moved.x, first.x, atol=1e-5)
    assert gnsopt.minimize(problem, options={"gtol": 0.0}).jac == pytest.approx(0.0, abs=1e-13)


def test_poisson_and_squares_take_the_same_way():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((30, 400)) / 20
    for problem in (
        gnsopt.problems.SquaredLoss(X, rng.standard_normal(30), l2=1e-2),
        gnsopt.problems.PoissonRegression(X, rng.poisson(2.0, 30), l2=1e-2, fit_intercept=True),
    ):
        run = gnsopt.minimize(problem, options={"gtol": 1e-11})
        reference = gnsopt.minimize(problem, options={"gtol": 1e-11, "curvature": exact.using("cholesky")})
        assert run.success
        np.testing.assert_allclose(run.x, reference.x, atol=1e-8)


def test_nearly_dependent_rows_cost_no_digits():
    X, y = wide(6)
    X[1] = X[0] + 1e-4 * np.random.default_rng(9).standard_normal(300)
    problem = gnsopt.Logistic(X, y, l2=1e-3)
    run = gnsopt.minimize(problem, options={"maxiter": 3, "keep_x": True})
    for x, f, gnorm in zip(run.trace.x, run.trace["fun"], run.trace["gnorm"], strict=True):
        z = problem.prepare(x)
        assert abs(problem.fun(x, z) - f) <= 1e-13
        assert abs(np.abs(problem.grad(x, z)).max() - gnorm) <= 1e-12
