"""Two-layer ReLU networks: the certificate of the global minimum, recovery, patterns, and no start that gets below."""

import numpy as np
import pytest
from scipy.optimize import OptimizeWarning, minimize

from gnsopt.problems import TwoLayerReLU
from gnsopt.problems.relu_convex import ConvexProgram, plane_vectors
from gnsopt.testing import check_objective


def data(n, d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.sin(2 * X[:, 0]) + 0.3 * rng.standard_normal(n)


def value(problem, x):
    return problem.fun(x, problem.prepare(x))


def numerical(problem, x, t=1e-6):
    return np.array([(value(problem, x + t * e) - value(problem, x - t * e)) / (2 * t) for e in np.eye(problem.n)])


def test_derivatives():
    problem = TwoLayerReLU(*data(12, 3), neurons=5, beta=0.1)
    x, v = problem.start(), np.random.default_rng(1).standard_normal(problem.n)
    z = problem.prepare(x)
    np.testing.assert_allclose(problem.grad(x, z), numerical(problem, x), atol=1e-7)
    up, down = (problem.grad(x + t * v, problem.prepare(x + t * v)) for t in (1e-6, -1e-6))
    np.testing.assert_allclose(problem.hessp(x, z, v), (up - down) / 2e-6, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_objective_keeps_the_contract(seed):
    check_objective(TwoLayerReLU(*data(12, 3), neurons=5, beta=0.1), seed=seed)


def test_gauss_newton_is_the_hessian_where_the_network_fits():
    problem = TwoLayerReLU(*data(12, 3), neurons=5, beta=0.1)
    x = problem.start()
    problem.y = problem.prepare(x).r + problem.y
    z = problem.prepare(x)
    exact = np.array([problem.hessp(x, z, e) for e in np.eye(problem.n)])
    np.testing.assert_allclose(problem.gauss_newton(x, z), exact, atol=1e-12)


@pytest.mark.parametrize("n", [4, 10, 25])
def test_patterns_in_the_plane_are_all(n):
    """2 n of them for rows in general position; drawing a hundred thousand vectors finds no other."""
    X, _ = data(n, 2)
    found = {tuple(row) for row in plane_vectors(X) @ X.T >= 0}
    drawn = {tuple(row) for row in np.random.default_rng(1).standard_normal((100_000, 2)) @ X.T >= 0}
    assert len(found) == 2 * n
    assert drawn <= found


@pytest.mark.parametrize("beta", [1e-2, 0.1, 1.0])
@pytest.mark.parametrize("bias", [False, True])
def test_gap_in_the_plane(beta, bias):
    X, y = data(10, 2)
    X[:, 1] = 1.0 if bias else X[:, 1]
    problem = TwoLayerReLU(X, y, 24, beta)
    found = problem.certified_optimum()
    assert found.complete
    assert abs(found.gap) < 1e-9
    assert problem.f_star == found.value
    np.testing.assert_allclose(value(problem, problem.x_star), found.value, rtol=1e-13)
    assert found.value <= value(problem, problem.balanced(problem.start()))


def test_no_start_gets_below_the_certified_value():
    """The non-convex training problem from 40 starts by L-BFGS: local minima above, the best one near."""
    X, y = data(10, 2)
    problem = TwoLayerReLU(X, y, 20, 0.1)
    found = problem.certified_optimum()
    rng = np.random.default_rng(0)

    def fun(x):
        z = problem.prepare(x)
        return problem.fun(x, z), problem.grad(x, z)

    ends = []
    for _ in range(40):
        start = rng.standard_normal(problem.n) * rng.choice([0.1, 0.5, 1.0])
        ends.append(minimize(fun, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).fun)
    assert min(ends) >= found.lower - 1e-12
    assert min(ends) - found.value < 5e-3 * found.value
    assert max(ends) > found.value + 1e-4  # there are others


def test_no_direction_descends_from_the_recovered_network():
    """Samples sit on the kinks of its neurons, so that there is no gradient to look at: one-sided differences."""
    X, y = data(10, 2)
    problem = TwoLayerReLU(X, y, 20, 0.1)
    problem.certified_optimum()
    t, rng = 1e-7, np.random.default_rng(0)
    directions = rng.standard_normal((500, problem.n))
    slopes = {}
    for name, x in (("optimum", problem.x_star), ("start", problem.start())):
        slopes[name] = min((value(problem, x + t * v) - value(problem, x)) / t for v in directions)
    assert slopes["optimum"] > -1e-6
    assert slopes["start"] < -1
    np.testing.assert_allclose(problem.balanced(problem.x_star), problem.x_star, atol=1e-14)


def test_sampled_patterns_in_space():
    """What is certified is the minimum over the sampled patterns; more of them can only lower it."""
    X, y = data(40, 3)
    problem = TwoLayerReLU(X, y, 60, 0.05)
    few, more = (problem.certified_optimum(patterns) for patterns in (15, 60))
    assert not few.complete
    assert max(abs(few.gap), abs(more.gap)) < 1e-8
    assert more.value < few.value
    assert problem.f_star is None
    np.testing.assert_allclose(value(problem, problem.network(few)), few.value, rtol=1e-12)


def test_both_solvers_agree():
    X, y = data(10, 2)
    program = ConvexProgram(X, y, 0.1)
    newton, admm = program.solve(), program.solve("admm", tol=1e-7)
    assert admm.gap < 1e-7 * max(1, y @ y / 2)
    assert admm.value == pytest.approx(newton.value, abs=1e-6)
    assert admm.value >= newton.lower
    assert newton.iterations < 100 < admm.iterations


def test_lower_bound_holds_for_any_residual():
    X, y = data(8, 2)
    program = ConvexProgram(X, y, 0.1)
    best, rng = program.solve().value, np.random.default_rng(0)
    for _ in range(200):
        lam = rng.exponential(size=program.E.shape) * rng.choice([0, 0.1, 1])
        assert program.lower(y * rng.random() + rng.standard_normal(8) * rng.random(), lam) <= best + 1e-10


def test_value_of_a_feasible_point_is_that_of_the_program():
    X, y = data(8, 2)
    program = ConvexProgram(X, y, 0.1)
    v = (program.h * np.random.default_rng(0).random((program.blocks, 1))).ravel()
    r = program.F @ v - y
    norms = np.sum(np.linalg.norm(v.reshape(-1, 2), axis=1))
    assert program.value(v) == pytest.approx(0.5 * r @ r + 0.1 * norms, rel=1e-13)


def test_a_large_penalty_leaves_nothing():
    X, y = data(8, 2)
    found = ConvexProgram(X, y, 1e3).solve()
    assert found.value == pytest.approx(0.5 * y @ y, rel=1e-9)


def test_rows_of_zero_and_one_column():
    X, y = data(8, 1)
    X[3] = 0
    found = TwoLayerReLU(X, y, 4, 0.1).certified_optimum()
    assert abs(found.gap) < 1e-9


@pytest.mark.parametrize(("by_X", "by_y", "beta", "settings"), [(1.0, 1.0, 0.1, {"maxiter": 3}), (1e4, 1e3, 0.05, {})])
def test_an_open_gap_is_no_optimum(by_X, by_y, beta, settings):
    """Too few iterations, or a program too ill scaled to be solved: bounds, a warning, and no `f_star`."""
    X, y = data(10, 2)
    problem = TwoLayerReLU(by_X * X, by_y * y, 24, beta)
    with pytest.warns(OptimizeWarning, match="not certified: it lies between"):
        found = problem.certified_optimum(**settings)
    assert found.gap > 1e-6 * found.value  # how far it comes depends on rounding
    assert problem.f_star is None
    assert problem.x_star is None


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_certificate_has_the_units_of_the_targets(scale):
    X, y = data(10, 2)
    one = TwoLayerReLU(X, y, 24, 0.1).certified_optimum()
    problem = TwoLayerReLU(X, scale * y, 24, 0.1 * scale)
    found = problem.certified_optimum()
    assert found.value == pytest.approx(scale**2 * one.value, rel=1e-8)
    assert abs(found.gap) < 1e-8 * found.value
    assert problem.f_star == found.value


def test_targets_of_zero():
    problem = TwoLayerReLU(data(10, 2)[0], np.zeros(10), 4, 0.1)
    assert (problem.certified_optimum().value, problem.f_star) == (0, 0)
    assert not problem.x_star.any()


def test_misuse():
    X, y = data(6, 3)
    with pytest.raises(ValueError, match="patterns=None: with 3 columns"):
        TwoLayerReLU(X, y, 5, 0.1).certified_optimum()
    with pytest.raises(ValueError, match="beta=0"):
        TwoLayerReLU(X, y, 5, 0.0)
    with pytest.raises(ValueError, match="method='sgd'"):
        ConvexProgram(X, y, 0.1, 5).solve("sgd")
    wide = TwoLayerReLU(*data(10, 2), 1, 0.01)
    with pytest.raises(ValueError, match="neurons=1"):
        wide.network(wide.certified_optimum())
    assert wide.f_star is None
