"""Objectives that return NaN or infinity, raise, are noisy or badly scaled: finite result, right status, no hang."""

import numpy as np
import pytest

import gnsopt
from gnsopt import CubicNewton, GradNormSmooth, Status, SuperNewton
from gnsopt.objective import Callables
from gnsopt.point import Point
from gnsopt.registry import SOLVERS
from gnsopt.solvers.cubic_newton import cubic_step
from gnsopt.testing import check_result

D = np.array([1.0, 10.0, 100.0])
CENTER = np.ones(3)
FAR = np.array([2.0, 3.0, 4.0])
SECOND_ORDER = ["gns", "super-newton", "cubic-newton"]
NOT_DONE = {Status.MAXITER, Status.PRECISION_LIMIT, Status.STEP_FAILURE}


def bowl(x):
    return 0.5 * float((x - CENTER) @ (D * (x - CENTER)))


def bowl_grad(x):
    return D * (x - CENTER)


def bowl_hess(x):
    return np.diag(D)


def broken(function, where, how):
    """Return `function`, which at the points `where` holds returns `how`, or raises it."""

    def call(x):
        if not where(x):
            return function(x)
        if isinstance(how, Exception):
            raise how
        return how * np.ones_like(function(x))

    return call


def run(solver, fun, x0, jac, hess, *, gtol=1e-6, maxiter=3000):
    solver = SOLVERS[solver]() if isinstance(solver, str) else solver
    options = {"maxiter": maxiter, "gtol": gtol}
    result = gnsopt.minimize(fun, x0, jac=jac, hess=hess, method=solver, options=options)
    check_result(result, Callables(fun, 3, jac=jac, hess=hess), x0, gtol=gtol)
    return result


FAULTS = {
    "NaN": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "ValueError": ValueError("outside"),
    "ZeroDivisionError": ZeroDivisionError("outside"),
    "OverflowError": OverflowError("outside"),
    "FloatingPointError": FloatingPointError("outside"),
    "LinAlgError": np.linalg.LinAlgError("outside"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_value_fails_beyond_the_minimiser(solver, fault):
    """Trial points land in the region; the minimiser is not in it."""
    met = []

    def outside(x):
        met.append(x[2] < 0.9)
        return met[-1]

    start = np.array([1.0, 1.0, 400.0])
    result = run(solver, broken(bowl, outside, FAULTS[fault]), start, bowl_grad, bowl_hess)
    if solver in (*SECOND_ORDER, "gradient"):  # others extrapolate: their point may lie outside, and they have no other
        assert result.status == Status.CONVERGED
        np.testing.assert_allclose(result.x, CENTER, atol=1e-5)
    if solver in ("gradient", "fast-gradient"):
        assert any(met), "the test does not show what it is for"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_value_fails_everywhere_but_at_the_start(solver, fault):
    """No step at all is not the limit of float64, for all that the last trials were short."""
    fun = broken(bowl, lambda x: not np.array_equal(x, FAR), FAULTS[fault])
    result = gnsopt.minimize(fun, FAR, jac=bowl_grad, hess=bowl_hess, method=solver)
    assert (result.status, result.nit) == (Status.STEP_FAILURE, 0)
    np.testing.assert_array_equal(result.x, FAR)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_gradient_fails_beyond_the_minimiser(solver, fault):
    jac = broken(bowl_grad, lambda x: x[2] < 0.9, FAULTS[fault])
    result = run(solver, bowl, np.array([1.0, 1.0, 400.0]), jac, bowl_hess)
    assert np.isfinite(result.jac).all()
    assert result.status == Status.CONVERGED or (solver not in SECOND_ORDER and result.status in NOT_DONE)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_hessian_fails_on_the_way(solver, fault):
    """There is no step from there: the run ends with the point that it reached."""
    hess = broken(bowl_hess, lambda x: x[0] < 1.5, FAULTS[fault])
    result = run(solver, bowl, FAR, bowl_grad, hess)
    assert result.status == Status.STEP_FAILURE
    assert 1 <= result.nit < 100
    assert result.fun < bowl(FAR)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("curvature", ["exact:cholesky", "exact:tridiagonal", "exact:spectral", "exact:cg", "diagonal"])
@pytest.mark.parametrize("solver", [GradNormSmooth, SuperNewton, CubicNewton])
def test_hessian_is_not_finite(solver, curvature, value):
    """Whatever solves with it: refused, not looped over."""
    hess = broken(bowl_hess, lambda x: x[0] < 1.5, value)
    result = run(solver(curvature=curvature), bowl, FAR, bowl_grad, hess, maxiter=100)
    assert result.status == Status.STEP_FAILURE


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("solver", [GradNormSmooth, SuperNewton, CubicNewton])
def test_hessian_products_are_not_finite(solver, value):
    def hessp(x, v):
        return D * v if x[0] >= 1.5 else np.full(3, value)

    options = {"curvature": "exact:cg", "maxiter": 100}
    result = gnsopt.minimize(bowl, FAR, jac=bowl_grad, hessp=hessp, method=solver(), options=options)
    check_result(result, Callables(bowl, 3, jac=bowl_grad), FAR, gtol=1e-8)
    assert result.status == Status.STEP_FAILURE


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["fun", "jac"])
def test_start_is_not_finite(solver, which, value):
    functions = {"fun": bowl, "jac": bowl_grad}
    functions[which] = broken(functions[which], lambda x: True, value)
    result = gnsopt.minimize(
        x0=FAR, hess=bowl_hess, method=solver, problem_or_fun=functions["fun"], jac=functions["jac"]
    )
    assert (result.status, result.success, result.nit) == (Status.NOT_FINITE, False, 0)
    np.testing.assert_array_equal(result.x, FAR)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("which", ["fun", "jac"])
def test_what_the_start_raises_reaches_the_user(solver, which):
    functions = {"fun": bowl, "jac": bowl_grad}
    functions[which] = broken(functions[which], lambda x: True, ValueError("of the user"))
    with pytest.raises(ValueError, match="of the user"):
        gnsopt.minimize(functions["fun"], FAR, jac=functions["jac"], hess=bowl_hess, method=solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_bug_in_the_users_code_reaches_the_user(solver):
    """A TypeError is no numerical trouble: it is not taken for a rejected trial."""
    fun = broken(bowl, lambda x: x[0] < 1.9, TypeError("a typo"))
    with pytest.raises(TypeError, match="a typo"):
        gnsopt.minimize(fun, FAR, jac=bowl_grad, hess=bowl_hess, method=solver)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("gtol", [1e-6, 0.0])
def test_noisy_value(solver, gtol):
    """Noise of 1e-7 in f, none in the gradient: a point good to the noise, and no false success."""

    def noisy(x):
        return bowl(x) + 1e-7 * float(np.sin(1e9 * x.sum()))

    result = run(solver, noisy, FAR, bowl_grad, bowl_hess, gtol=gtol, maxiter=300)
    assert bowl(result.x) < 1e-2
    assert result.success == (np.max(np.abs(bowl_grad(result.x))) <= gtol)


@pytest.mark.parametrize("solver", SOLVERS)
def test_noisy_gradient(solver):
    def noisy(x):
        return bowl_grad(x) + 1e-5 * np.sin(1e9 * x)

    result = run(solver, bowl, FAR, noisy, bowl_hess, gtol=1e-9, maxiter=300)
    assert bowl(result.x) < 1e-6


@pytest.mark.parametrize("size", [1e290, 1e200, 1e100, 1e-100])
@pytest.mark.parametrize("solver", SOLVERS)
def test_scale_of_the_objective(solver, size):
    """Squares overflow from 1e154 on: no exception, no false success, and no worse point."""

    def fun(x):
        with np.errstate(over="ignore"):
            return size * bowl(x)

    def jac(x):
        with np.errstate(over="ignore"):
            return size * bowl_grad(x)

    start_slope = float(np.max(np.abs(jac(FAR))))
    result = run(solver, fun, FAR, jac, lambda x: size * np.diag(D), gtol=1e-6 * start_slope)
    assert result.fun <= fun(FAR)
    if solver in SECOND_ORDER:
        assert result.success


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_scale_of_the_variables(solver):
    """Condition number 1e24: each component of the gradient falls below the tolerance."""
    S = np.array([1e-12, 1.0, 1e12])
    result = run(solver, lambda x: 0.5 * float(x @ (S * x)), FAR, lambda x: S * x, lambda x: np.diag(S))
    assert result.status == Status.CONVERGED


@pytest.mark.parametrize("solver", SOLVERS)
def test_unbounded_below(solver):
    """No minimum, so no success, whether values overflow or the iterations run out."""

    def fun(x):
        with np.errstate(over="ignore"):
            return -0.5 * float(x @ (D * x))

    def jac(x):
        with np.errstate(over="ignore"):
            return -D * x

    result = run(solver, fun, FAR, jac, lambda x: -np.diag(D), maxiter=1500)
    assert result.status in NOT_DONE
    assert np.isfinite(result.fun)
    assert result.fun < fun(FAR)


@pytest.mark.parametrize("solver", [name for name, solver in SOLVERS.items() if solver.requires_gradient])
def test_wrong_sign_of_the_gradient(solver):
    """No descent along it, so no success; the start is at least not made worse."""
    result = run(solver, bowl, FAR, lambda x: -bowl_grad(x), bowl_hess, maxiter=200)
    assert result.status in NOT_DONE
    assert result.fun <= bowl(FAR)


@pytest.mark.parametrize("solver", SOLVERS)
def test_kink(solver):
    """|x|: the gradient does not vanish anywhere."""

    def jac(x):
        return np.where(x >= 0, 1.0, -1.0)

    result = run(solver, lambda x: float(np.abs(x).sum()), FAR, jac, lambda x: np.zeros((3, 3)), maxiter=300)
    assert result.status in NOT_DONE
    assert result.fun < 3.0


@pytest.mark.parametrize("factor", [-1.0, 1e-8, 1e4])
@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_wrong_hessian(solver, factor):
    """A wrong Hessian costs iterations, never the descent."""
    result = run(solver, bowl, FAR, bowl_grad, lambda x: factor * np.diag(D), maxiter=200)
    assert np.all(np.diff(result.trace["fun"]) <= 0)
    assert result.fun < bowl(FAR)


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_asymmetric_hessian(solver):
    """Its symmetric part is used."""
    twist = np.array([[0.0, 3.0, 0.0], [-3.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    skew = run(solver, bowl, FAR, bowl_grad, lambda x: np.diag(D) + twist)
    plain = run(solver, bowl, FAR, bowl_grad, bowl_hess)
    np.testing.assert_array_equal(skew.x, plain.x)


@pytest.mark.parametrize("solver", SOLVERS)
def test_flat(solver):
    """A constant function is solved where it stands."""
    result = run(solver, lambda x: 1.0, FAR, lambda x: np.zeros(3), lambda x: np.zeros((3, 3)), gtol=0.0)
    assert (result.status, result.nit) == (Status.CONVERGED, 0)


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_barrier(solver):
    """Steps that leave the domain are cut."""

    def fun(x):
        return float(np.sum(x - np.log(x))) if np.all(x > 0) else np.inf

    result = run(solver, fun, 10 * FAR, lambda x: 1 - 1 / x, lambda x: np.diag(1 / x**2))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_large_constant(solver):
    """Values at 1e8 hide the last eight digits of the decrease; the slopes do not."""
    result = run(solver, lambda x: 1e8 + bowl(x), FAR, bowl_grad, bowl_hess, gtol=1e-12)
    assert result.status == Status.CONVERGED


@pytest.mark.parametrize("method", ["gns", "cubic-newton", "super-newton", "adaptive"])
def test_a_start_at_which_steps_are_lost_is_no_limit_of_float64(method):
    X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    run = gnsopt.minimize(gnsopt.Logistic(X, y, l2=1e-3), np.full(5, 1e150), method=method)
    assert run.status == gnsopt.Status.STEP_FAILURE
    assert "lost in the rounding of x, 1e+150: start nearer" in run.message


def test_a_limit_of_float64_is_told_as_before():
    X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    for method in ("gns", "cubic-newton", "super-newton", "line-newton", "gradient"):
        run = gnsopt.minimize(gnsopt.Logistic(X, y, l2=1e-3), method=method, tol=0.0)
        assert run.status in (gnsopt.Status.PRECISION_LIMIT, gnsopt.Status.CONVERGED)


def test_a_cubic_step_stands_solves_that_round_differently():
    """A shifted solve may change its factorisation after a few shifts; the root lies at the end of the bracket here."""

    class Zero:
        solves = 0

        def solve(self, lam, b):
            self.solves += 1
            return b / lam * (1 - 1e-12 if self.solves == 1 else 1 + 1e-12)

    x = Point(Callables(bowl, 3, jac=bowl_grad), FAR)
    for M in (1e-3, 1.0, 7.0):
        lam, h = cubic_step(Zero(), x, M)
        assert np.linalg.norm(h) == pytest.approx(2 * lam / M, rel=1e-9)
