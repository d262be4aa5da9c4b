"""The solver instance as a method of SciPy: every way in which SciPy passes derivatives, options and callbacks."""

import inspect
import warnings

import numpy as np
import pytest
from scipy.optimize import (
    BFGS,
    SR1,
    LinearConstraint,
    OptimizeResult,
    OptimizeWarning,
    basinhopping,
    minimize,
    rosen,
    rosen_der,
    rosen_hess,
    rosen_hess_prod,
)

import gnsopt
from gnsopt import GradNormSmooth, Status
from gnsopt.registry import SOLVERS

X0 = [-1.2, 1.0]
SECOND_ORDER = ["gns", "super-newton", "cubic-newton"]


def bowl(x, a=1.0, b=0.0):
    return a * float(np.sum(np.cosh(x - b)))


def bowl_grad(x, a=1.0, b=0.0):
    return a * np.sinh(x - b)


def bowl_hess(x, a=1.0, b=0.0):
    return a * np.diag(np.cosh(x - b))


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_is_a_method(solver):
    result = minimize(bowl, [1.0, -2.0], jac=bowl_grad, hess=bowl_hess, method=SOLVERS[solver]())
    assert isinstance(result, OptimizeResult)
    assert result.success
    np.testing.assert_allclose(result.x, 0.0, atol=1e-7)


DERIVATIVES = {
    "jac and hess": {"jac": rosen_der, "hess": rosen_hess},
    "jac and hessp": {"jac": rosen_der, "hessp": rosen_hess_prod},
    "jac alone": {"jac": rosen_der},
    "hess by 2-point": {"jac": rosen_der, "hess": "2-point"},
    "hess by 3-point": {"jac": rosen_der, "hess": "3-point"},
    "hess by cs": {"jac": rosen_der, "hess": "cs"},
    "jac by 2-point": {"jac": "2-point"},
    "jac by 3-point": {"jac": "3-point", "hess": rosen_hess},
    "nothing": {},
    "jac is False": {"jac": False},
}


@pytest.mark.parametrize("solver", SECOND_ORDER)
@pytest.mark.parametrize("given", DERIVATIVES)
def test_derivatives_arrive(solver, given):
    result = minimize(rosen, X0, method=SOLVERS[solver](), tol=1e-6, **DERIVATIVES[given])
    assert result.status == Status.CONVERGED
    assert np.max(np.abs(rosen_der(result.x))) <= 1e-6 + 1e-8  # differences of f add up to 1e-9 or so
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)


@pytest.mark.parametrize("strategy", [BFGS, SR1])
def test_strategy_as_hess_starts_anew_in_each_run(strategy):
    one = strategy()
    first = minimize(rosen, X0, jac=rosen_der, hess=one, method=GradNormSmooth())
    again = minimize(rosen, X0, jac=rosen_der, hess=one, method=GradNormSmooth())
    assert first.success
    np.testing.assert_array_equal(first.trace["fun"], again.trace["fun"])


def test_fun_may_return_the_gradient_too():
    calls = []

    def both(x):
        calls.append(x.copy())
        return rosen(x), rosen_der(x)

    result = minimize(both, X0, jac=True, hess=rosen_hess, method=GradNormSmooth())
    apart = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth())
    np.testing.assert_array_equal(result.x, apart.x)
    assert len(calls) == result.nfev == apart.nfev


def test_values_of_differences_are_counted():
    calls = []

    def counted(x):
        calls.append(1)
        return rosen(x)

    result = minimize(counted, X0, method=GradNormSmooth(), tol=1e-5)
    assert result.nfev == len(calls)


@pytest.mark.parametrize("args", [(2.0, 0.5), (2.0,), 2.0])
def test_args_reach_every_callable(args):
    result = minimize(bowl, [1.0, -2.0], args=args, jac=bowl_grad, hess=bowl_hess, method=GradNormSmooth())
    center = args[1] if isinstance(args, tuple) and len(args) == 2 else 0.0
    np.testing.assert_allclose(result.x, center, atol=1e-7)
    np.testing.assert_allclose(result.fun, 4.0, rtol=1e-14)


def test_args_reach_hessp():
    def hessp(x, v, a, b):
        return a * np.cosh(x - b) * v

    result = minimize(bowl, [1.0, -2.0], args=(2.0, 0.5), jac=bowl_grad, hessp=hessp, method=GradNormSmooth())
    np.testing.assert_allclose(result.x, 0.5, atol=1e-7)


def test_tol_is_gtol_and_gtol_wins():
    functions = {"fun": rosen, "x0": X0, "jac": rosen_der, "hess": rosen_hess, "method": GradNormSmooth()}
    loose = minimize(tol=1e-1, **functions)
    tight = minimize(tol=1e-1, options={"gtol": 1e-9}, **functions)
    assert 1e-9 < np.max(np.abs(loose.jac)) <= 1e-1
    assert np.max(np.abs(tight.jac)) <= 1e-9


def test_options_set_fields_for_this_run_only():
    solver = GradNormSmooth()
    functions = {"fun": rosen, "x0": X0, "jac": rosen_der, "hess": rosen_hess}
    through = minimize(method=solver, options={"gamma0": 1e-3, "maxiter": 4}, **functions)
    direct = minimize(method=GradNormSmooth(gamma0=1e-3), options={"maxiter": 4}, **functions)
    other = minimize(method=solver, options={"maxiter": 4}, **functions)
    np.testing.assert_array_equal(through.x, direct.x)
    assert not np.array_equal(through.x, other.x)
    assert solver == GradNormSmooth()


def test_wrong_field_is_an_error():
    with pytest.raises(ValueError, match="gamma0"):
        minimize(rosen, X0, jac=rosen_der, method=GradNormSmooth(), options={"gamma0": -1.0})


def test_unknown_option_warns_at_the_users_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        minimize(bowl, [1.0], jac=bowl_grad, method=GradNormSmooth(), options={"xatol": 1.0})
    assert [w.category for w in caught] == [OptimizeWarning]
    assert str(caught[0].message) == "Unknown solver options: xatol"


def test_maxiter_is_not_success():
    result = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth(), options={"maxiter": 3})
    assert (result.status, result.success, result.nit) == (1, False, 3)


def test_callback_of_the_point():
    seen = []
    result = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth(), callback=seen.append)
    assert len(seen) == result.nit
    np.testing.assert_array_equal(seen[-1], result.x)
    assert len({id(x) for x in seen}) == len(seen)


def test_callback_of_the_result():
    seen = []

    def callback(intermediate_result):
        assert isinstance(intermediate_result, OptimizeResult)
        seen.append(intermediate_result.fun)

    result = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth(), callback=callback)
    np.testing.assert_array_equal(seen, result.trace["fun"][1:])


def test_callback_with_a_method_and_with_keywords():
    """SciPy decides by the name of the only parameter; methods and default arguments do not confuse it."""

    class Watcher:
        def __init__(self):
            self.seen = []

        def point(self, xk):
            self.seen.append(xk.shape)

        def result(self, *, intermediate_result):
            self.seen.append(intermediate_result.x.shape)

        def extra(self, xk, more=None):
            self.seen.append(xk.shape)

    for name in ("point", "result", "extra"):
        watcher = Watcher()
        callback = getattr(watcher, name)
        result = minimize(bowl, [1.0, 2.0], jac=bowl_grad, hess=bowl_hess, method=GradNormSmooth(), callback=callback)
        assert watcher.seen == [(2,)] * result.nit


def test_stop_iteration_is_status_99():
    def stop(xk):
        raise StopIteration

    result = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth(), callback=stop)
    theirs = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method="trust-exact", callback=stop)
    assert (result.status, result.success, result.nit) == (99, False, 1)
    assert (theirs.status, theirs.success) == (99, False)


def test_what_a_callback_raises_reaches_the_user():
    def broken(xk):
        raise ValueError("of the callback")

    with pytest.raises(ValueError, match="of the callback"):
        minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth(), callback=broken)


def test_bounds_are_refused_with_a_cure():
    with pytest.raises(ValueError, match=r"bounds: GradNormSmooth .* use scipy"):
        minimize(rosen, X0, jac=rosen_der, method=GradNormSmooth(), bounds=[(0, 2), (0, 2)])


@pytest.mark.parametrize(
    "constraints",
    [LinearConstraint([[1.0, 1.0]], 0, 1), {"type": "eq", "fun": sum}, [{"type": "eq", "fun": sum}]],
)
def test_constraints_are_refused_with_a_cure(constraints):
    with pytest.raises(ValueError, match=r"constraints: GradNormSmooth .* use "):
        minimize(rosen, X0, jac=rosen_der, method=GradNormSmooth(), constraints=constraints)


def test_empty_constraints_are_none():
    assert minimize(bowl, [1.0], jac=bowl_grad, hess=bowl_hess, method=GradNormSmooth(), constraints=()).success


@pytest.mark.parametrize("x0", [3, [3], np.array([3]), np.array([3], dtype=np.float32), np.float64(3)])
def test_starts_of_other_types(x0):
    result = minimize(bowl, x0, jac=bowl_grad, hess=bowl_hess, method=GradNormSmooth())
    assert result.x.dtype == np.float64
    assert result.x.shape == (1,)
    assert result.success


def test_functions_may_keep_and_change_what_they_are_given():
    """What the user's functions do to their argument stays theirs."""

    def spoiled(function):
        def call(x):
            value = function(x.copy())
            x[:] = np.nan
            return value

        return call

    functions = {"jac": spoiled(rosen_der), "hess": spoiled(rosen_hess)}
    result = minimize(spoiled(rosen), X0, method=GradNormSmooth(), **functions)
    plain = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth())
    np.testing.assert_array_equal(result.x, plain.x)


def test_gradients_may_share_a_buffer():
    buffer = np.empty(2)

    def jac(x):
        buffer[:] = rosen_der(x)
        return buffer

    result = minimize(rosen, X0, jac=jac, hess=rosen_hess, method=GradNormSmooth())
    plain = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth())
    np.testing.assert_array_equal(result.x, plain.x)


def test_basinhopping():
    """Two wells with their floors at -1 and 1, the right one deeper."""

    def fun(x):
        return float((x[0] ** 2 - 1) ** 2 - 0.3 * x[0])

    def jac(x):
        return np.array([4 * x[0] * (x[0] ** 2 - 1) - 0.3])

    def hess(x):
        return np.array([[12 * x[0] ** 2 - 4]])

    inner = {"method": GradNormSmooth(), "jac": jac, "hess": hess, "tol": 1e-8}
    seeded = {"rng": 0} if "rng" in inspect.signature(basinhopping).parameters else {"seed": 0}  # renamed in 1.15
    result = basinhopping(fun, [-1.0], niter=20, stepsize=2.0, minimizer_kwargs=inner, **seeded)
    assert result.lowest_optimization_result.success
    assert result.x[0] > 0.9
    np.testing.assert_allclose(jac(result.x), 0.0, atol=1e-7)


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_agrees_with_scipys_own(solver):
    ours = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=SOLVERS[solver]())
    theirs = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method="trust-exact", tol=1e-8)
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-7)


def test_the_three_doors_lead_to_one_run():
    through_scipy = minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth())
    by_name = gnsopt.minimize(rosen, X0, jac=rosen_der, hess=rosen_hess, method="gns")
    np.testing.assert_array_equal(through_scipy.x, by_name.x)
    np.testing.assert_array_equal(through_scipy.trace["fun"], by_name.trace["fun"])


def test_gnsopt_minimize_suggests_the_option():
    with pytest.raises(ValueError, match="'maxitr' is unknown to GradNormSmooth; did you mean 'maxiter'"):
        gnsopt.minimize(rosen, X0, jac=rosen_der, options={"maxitr": 3})
