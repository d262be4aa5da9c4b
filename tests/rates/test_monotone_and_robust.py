"""f never rises, the telescoped inequality holds along every run, and no start, scale or trial breaks a run."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, LogSumExp, Objective, Point, Softmax, Status, SuperNewton, minimize
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.globalization import decrease


def logistic():
    return Logistic(*make_logistic(200, 12, condition=100), 1e-4, fit_intercept=True)


def softmax():
    return Softmax(*make_softmax(150, 6, 3, condition=10), 1e-3)


def log_sum_exp():
    rng = np.random.default_rng(0)
    return LogSumExp.centered(rng.standard_normal((60, 12)), rng.standard_normal(60), 0.1)


def wide():
    return Logistic(*make_logistic(25, 60), 1e-3, fit_intercept=True)


class Rosenbrock(Objective):
    """Not convex: the exact Hessian is indefinite on the way from (-2, 2)."""

    n = 2
    f_star = 0.0

    def fun(self, x, z):
        return float((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)

    def grad(self, x, z):
        d = x[1] - x[0] ** 2
        return np.array([2 * (x[0] - 1) - 400 * x[0] * d, 200 * d])

    def hess(self, x, z):
        return np.array([[2 - 400 * (x[1] - 3 * x[0] ** 2), -400 * x[0]], [-400 * x[0], 200.0]])

    def start(self):
        return np.array([-2.0, 2.0])


PROBLEMS = [logistic, softmax, log_sum_exp, wide, Rosenbrock]
CURVATURES = ["exact", "exact:spectral", "exact:tridiagonal", "exact:cg", "zero", "diagonal", "lazy:3"]


def begin(problem):
    """A start away from the minimiser of the centred log-sum-exp."""
    return problem.start() if not isinstance(problem, LogSumExp) else np.ones(problem.n)


@pytest.mark.parametrize("growth", ["paper", "ratio"])
@pytest.mark.parametrize("metric", [None, "auto", 100.0])
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("case", PROBLEMS)
def test_telescoped_inequality(case, curvature, metric, growth):
    problem = case()
    solver = GradNormSmooth(curvature=curvature, metric=metric, growth=growth)
    res = solver.minimize(problem, begin(problem), gtol=1e-9, norm="dual", maxiter=60, keep_x=True)
    points = [Point(problem, x) for x in res.trace.x]
    down = np.array([decrease(x, y) for x, y in zip(points[:-1], points[1:], strict=True)])
    assert (down >= 0).all()
    f, G = res.trace["fun"], res.trace["gnorm"]
    lam, gamma, ratio = (res.trace[name][1:] for name in ("lam", "gamma", "ratio"))
    assert (ratio >= 1).all()
    assert (lam >= G[:-1] / gamma * (1 - 1e-12)).all()
    # |g_{k+1}|^2 / (8 lam_k) <= f_k - f_{k+1}, and lam_k = |g_k|/gamma_k
    rounding = 1e-13 * max(1.0, abs(f[0]))
    assert (G[1:] ** 2 / (8 * lam) <= down * (1 + 1e-9) + 1e-30).all()
    total = np.cumsum(G[1:] ** 2 * gamma / (8 * G[:-1]))
    floored = lam > G[:-1] / gamma * (1 + 1e-12)
    if not floored.any():
        assert (total <= f[0] - f[1:] + rounding).all()
    # steps are no longer than gamma
    B = 1.0 if metric is None else metric
    if metric != "auto":
        steps = np.sqrt(B) * np.linalg.norm(np.diff(res.trace.x, axis=0), axis=1)
        assert (steps <= gamma * (1 + 1e-9)).all()


@pytest.mark.parametrize("gamma0", [1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("growth", ["paper", "ratio"])
@pytest.mark.parametrize("case", PROBLEMS)
def test_any_first_radius_leads_to_the_same_value(case, growth, gamma0):
    problem = case()
    x0 = begin(problem)
    usual = GradNormSmooth(growth=growth).minimize(problem, x0, gtol=1e-9)
    res = GradNormSmooth(growth=growth, gamma0=gamma0).minimize(problem, x0, gtol=1e-9)
    assert usual.success
    assert res.success
    assert res.fun == pytest.approx(usual.fun, rel=1e-12, abs=1e-15)
    # a radius is found by doubling (or halving) no slower than one bit a step
    assert res.nit <= usual.nit + 45
    assert (np.diff(res.trace["fun"]) <= 1e-14 * abs(res.trace["fun"][0])).all()


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("case", PROBLEMS)
def test_two_runs_are_bitwise_the_same(case, curvature):
    one, other = (
        GradNormSmooth(curvature=curvature).minimize(problem, begin(problem), maxiter=40)
        for problem in (case(), case())
    )
    assert one.x.tobytes() == other.x.tobytes()
    assert one.fun == other.fun
    for name in one.trace.columns:
        if name != "time":
            np.testing.assert_array_equal(one.trace[name], other.trace[name])


class Barrier(Objective):
    """x - log x, undefined (NaN) or infinite or raising for x <= 0; the minimum is 1 at 1."""

    n = 1

    def __init__(self, outside):
        self.outside = outside

    def fun(self, x, z):
        if x[0] > 0:
            return float(x[0] - np.log(x[0]))
        if isinstance(self.outside, float):
            return self.outside
        raise self.outside("left the domain")

    def grad(self, x, z):
        return 1 - 1 / x

    def hess(self, x, z):
        return np.array([[1 / x[0] ** 2]])


@pytest.mark.parametrize("outside", [np.nan, np.inf, -np.inf, ValueError, ZeroDivisionError, np.linalg.LinAlgError])
@pytest.mark.parametrize(
    "solver",
    [GradNormSmooth(gamma0=1e6), SuperNewton(H0=1e-3), GradNormSmooth(curvature="zero", gamma0=100.0)],
    ids=repr,
)
def test_a_trial_outside_the_domain_is_rejected(solver, outside):
    # from 3 the Newton step leads to 3 - 6 < 0
    res = solver.minimize(Barrier(outside), [3.0], gtol=1e-10)
    assert res.success
    assert res.x[0] == pytest.approx(1.0, abs=1e-9)
    assert res.trace["trials"][1] > 1


@pytest.mark.parametrize(
    "curvature", ["exact", "exact:cg", "exact:spectral", "exact:tridiagonal", "gauss_newton", "fisher"]
)
def test_singular_hessian(curvature):
    """Every column three times and a column of zeros: the Hessian has rank 4 of 13."""
    X, y = make_logistic(100, 4)
    problem = Logistic(np.hstack([X, X, X, np.zeros((100, 1))]), y)
    res = GradNormSmooth(curvature=curvature).minimize(problem, gtol=1e-10)
    assert res.success
    assert res.fun == pytest.approx(GradNormSmooth().minimize(Logistic(X, y), gtol=1e-12).fun, rel=1e-13)
    np.testing.assert_allclose(res.x[:4], res.x[4:8], atol=1e-6)
    assert res.x[12] == 0.0


def test_duplicated_columns_get_bitwise_the_same_weights():
    X, y = make_logistic(100, 4)
    res = GradNormSmooth(curvature="zero").minimize(Logistic(np.hstack([X, X]), y), maxiter=30)
    np.testing.assert_array_equal(res.x[:4], res.x[4:])


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_start_at_the_minimiser_takes_no_step(case):
    problem = case()
    first = GradNormSmooth().minimize(problem, begin(problem), gtol=1e-11)
    again = GradNormSmooth().minimize(problem, first.x, gtol=1e-9)
    assert (again.nit, again.nsolve, again.status) == (0, 0, Status.CONVERGED)
    np.testing.assert_array_equal(again.x, first.x)


def test_a_gradient_of_zero_meets_a_tolerance_of_zero():
    res = minimize(lambda x: x @ x, np.zeros(3), jac=lambda x: 2 * x, options={"gtol": 0.0})
    assert (res.nit, res.status) == (0, Status.CONVERGED)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_huge_and_tiny_values(scale):
    """f from 1e-300 to 1e300 times a quadratic and a quartic: nothing overflows on the way."""
    res = minimize(
        lambda x: scale * (x @ x + x[0] ** 4),
        [3.0, -2.0],
        jac=lambda x: scale * (2 * x + np.array([4 * x[0] ** 3, 0.0])),
        hess=lambda x: scale * np.diag([2 + 12 * x[0] ** 2, 2.0]),
        tol=1e-10 * scale,
    )
    assert res.success
    assert np.abs(res.x).max() <= 1e-9


def test_stops_at_the_limit_of_float64():
    """gtol = 0 cannot be met: the run ends by itself with the gradient at rounding level."""
    problem = logistic()
    res = GradNormSmooth().minimize(problem, gtol=0)
    assert res.status in (Status.PRECISION_LIMIT, Status.CONVERGED)
    assert np.abs(res.jac).max() <= 1e-15
    assert res.nit < 60
