"""Gradients, Hessians, products: complex steps of twins written from the formulas, and slopes of Taylor remainders."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

from gnsopt import Logistic, LogSumExp, Softmax
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.objective import Callables

RNG = np.random.default_rng(0)
WEIGHTS = RNG.uniform(0, 2, 30)
WEIGHTS[::6] = 0
L2 = np.linspace(0, 1, 5)


def logistic(density, intercept):
    """A problem and its f in complex arithmetic."""
    X, y = make_logistic(30, 5, density=density)
    A = X if density == 1 else X.toarray()
    A = np.hstack([A, np.ones((30, 1))]) if intercept else A
    ridge = np.append(L2, [0.0] * intercept)

    def f(x):
        return WEIGHTS @ np.log(1 + np.exp(-y * (A @ x))) / WEIGHTS.sum() + np.sum(ridge * x**2) / 2

    return Logistic(X, y, L2, intercept, sample_weight=WEIGHTS), f


def softmax(density, intercept):
    X, y = make_softmax(30, 5, 3, density=density)
    A = X if density == 1 else X.toarray()
    A = np.hstack([A, np.ones((30, 1))]) if intercept else A
    ridge = np.append(L2, [0.0] * intercept)[:, None]

    def f(x):
        Z = A @ x.reshape(-1, 3)
        losses = np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(30), y.astype(int)]
        return WEIGHTS @ losses / WEIGHTS.sum() + np.sum(ridge * x.reshape(-1, 3) ** 2) / 2

    return Softmax(X, y, L2, intercept, sample_weight=WEIGHTS), f


def log_sum_exp(density, mu):
    A, _ = make_logistic(30, 5, density=density)
    b = RNG.standard_normal(30)
    dense = A if density == 1 else A.toarray()

    def f(x):
        return mu * np.log(np.sum(np.exp((dense @ x - b) / mu)))

    return LogSumExp(A, b, mu), f


CASES = {
    f"{make.__name__} {density} {option}": (make, density, option)
    for make, options in ((logistic, (False, True)), (softmax, (False, True)), (log_sum_exp, (1.0, 0.1)))
    for density in (1.0, 0.3)
    for option in options
}


@pytest.fixture(params=CASES)
def case(request):
    make, density, option = CASES[request.param]
    problem, f = make(density, option)
    rng = np.random.default_rng(1)
    return problem, f, rng.standard_normal(problem.n), rng.standard_normal(problem.n)


def test_value_and_gradient_are_those_of_the_formula(case):
    problem, f, x, _ = case
    z = problem.prepare(x)
    assert problem.fun(x, z) == pytest.approx(f(x), rel=1e-13)
    g = np.array([f(x + 1e-30j * e).imag / 1e-30 for e in np.eye(problem.n)])
    np.testing.assert_allclose(problem.grad(x, z), g, rtol=1e-10, atol=1e-14)


def test_hessian_is_the_derivative_of_the_gradient(case):
    problem, _, x, v = case
    z = problem.prepare(x)
    H = problem.hess(x, z)
    t = 1e-5

    def g(y):
        return problem.grad(y, problem.prepare(y))

    columns = [
        (8 * (g(x + t * e) - g(x - t * e)) - g(x + 2 * t * e) + g(x - 2 * t * e)) / (12 * t) for e in np.eye(problem.n)
    ]
    np.testing.assert_allclose(H.dense(), np.column_stack(columns), atol=1e-9 * max(1.0, np.abs(H.dense()).max()))
    np.testing.assert_allclose(H.matvec(v), H.dense() @ v, atol=1e-12)


def slopes(remainder, steps):
    """Slope of log remainder against log step."""
    return np.polyfit(np.log(steps), np.log([abs(remainder(t)) for t in steps]), 1)[0]


def test_taylor_remainders(case):
    """f - f(x+tv) by `difference`: order 2 after the gradient, 3 after the Hessian; the gradient: order 2."""
    problem, _, x, v = case
    x, v = x / 2, v / np.linalg.norm(v)
    z = problem.prepare(x)
    g, H = problem.grad(x, z), problem.hess(x, z)
    steps = np.logspace(-3.5, -2, 8) * getattr(problem, "mu", 1.0)

    def rise(t):
        return -problem.difference(x, z, t * v)

    assert slopes(lambda t: rise(t) - t * (g @ v), steps) == pytest.approx(2.0, abs=0.1)
    assert slopes(lambda t: rise(t) - t * (g @ v) - t * t * (v @ H.matvec(v)) / 2, steps) == pytest.approx(3.0, abs=0.1)

    def change(t):
        y = x + t * v
        return np.linalg.norm(problem.grad(y, problem.prepare(y)) - g - t * H.matvec(v))

    assert slopes(change, steps) == pytest.approx(2.0, abs=0.1)


def test_gauss_newton_of_a_linear_model_is_its_hessian(case):
    problem, _, x, _ = case
    if isinstance(problem, LogSumExp):
        return
    z = problem.prepare(x)
    np.testing.assert_array_equal(problem.gauss_newton(x, z).dense(), problem.hess(x, z).dense())


# -------------------------------------------------------------------------------------------------------- callables


X0 = np.array([-1.2, 1.0, 0.7, 2.0])


@pytest.mark.parametrize(
    ("jac", "tolerance", "evaluations"), [(None, 1e-6, 8), ("3-point", 1e-6, 8), ("2-point", 1e-3, 5), ("cs", 1e-13, 4)]
)
def test_difference_gradients(jac, tolerance, evaluations):
    calls = []
    problem = Callables(lambda x: calls.append(1) or rosen(x), 4, jac=jac)
    g = problem.grad(X0, problem.prepare(X0))
    np.testing.assert_allclose(g, rosen_der(X0), atol=tolerance * np.abs(rosen_der(X0)).max() / 100)
    assert len(calls) == evaluations
    assert problem.extra_counts() == {"nfev": evaluations, "njev": 0}


@pytest.mark.parametrize("jac", [rosen_der, True, np.True_])
def test_a_given_gradient_is_taken_as_it_is(jac):
    fun = rosen if callable(jac) else lambda x: (rosen(x), rosen_der(x))
    problem = Callables(fun, 4, jac=jac)
    z = problem.prepare(X0)
    assert problem.fun(X0, z) == rosen(X0)
    np.testing.assert_array_equal(problem.grad(X0, z), rosen_der(X0))
    assert problem.extra_counts() == {"nfev": 0, "njev": 0}


@pytest.mark.parametrize(("jac", "tolerance"), [(rosen_der, 1e-6), (None, 1e-2)])
def test_difference_products_and_hessians(jac, tolerance):
    scale = np.abs(rosen_hess(X0)).max()
    problem = Callables(rosen, 4, jac=jac)
    v = np.array([0.3, -1.0, 2.0, 0.1])
    np.testing.assert_allclose(problem.hessp(X0, None, v), rosen_hess_prod(X0, v), atol=tolerance * scale / 100)
    assert problem.extra_counts()["njev"] == 2
    np.testing.assert_array_equal(problem.hessp(X0, None, 0 * v), np.zeros(4))
    for name in ("2-point", "3-point", "cs"):
        H = Callables(rosen, 4, jac=jac, hess=name).hess(X0, None)
        np.testing.assert_array_equal(H, H.T)
        np.testing.assert_allclose(H, rosen_hess(X0), atol=tolerance * scale / 100)


def test_given_hessians_and_products_are_taken_as_they_are():
    problem = Callables(rosen, 4, jac=rosen_der, hess=rosen_hess, hessp=rosen_hess_prod)
    np.testing.assert_array_equal(problem.hess(X0, None), rosen_hess(X0))
    np.testing.assert_array_equal(problem.hessp(X0, None, X0), rosen_hess_prod(X0, X0))
    assert problem.extra_counts() == {"nfev": 0, "njev": 0}


def test_extra_arguments_reach_every_callable():
    def fun(x, a, b):
        return a * (x @ x) + b * x[0]

    problem = Callables(
        fun,
        2,
        args=(3.0, 1.0),
        jac=lambda x, a, b: 2 * a * x + b * np.eye(2)[0],
        hess=lambda x, a, b: 2 * a * np.eye(2),
        hessp=lambda x, v, a, b: 2 * a * v,
    )
    x = np.array([1.0, 2.0])
    assert problem.fun(x, None) == 16.0
    np.testing.assert_array_equal(problem.grad(x, None), [7.0, 12.0])
    np.testing.assert_array_equal(problem.hess(x, None), 6 * np.eye(2))
    np.testing.assert_array_equal(problem.hessp(x, None, x), 6 * x)


def test_callables_get_copies():
    """A callable that writes into its arguments does not change the run's arrays."""

    def spoil(*arrays):
        for a in arrays:
            a[:] = np.nan

    def fun(x):
        value = float(x @ x)
        spoil(x)
        return value

    def hessp(x, v):
        out = 2 * v
        spoil(x, v)
        return out

    problem = Callables(fun, 2, hessp=hessp)
    x, v = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert problem.fun(x, None) == 5.0
    np.testing.assert_allclose(problem.grad(x, None), [2.0, 4.0], rtol=1e-8)
    np.testing.assert_array_equal(problem.hessp(x, None, v), [6.0, 8.0])
    np.testing.assert_array_equal([x, v], [[1.0, 2.0], [3.0, 4.0]])
