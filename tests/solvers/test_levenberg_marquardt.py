"""Levenberg-Marquardt: the step, least squares in one step, the rank-one identity, NIST's problems."""

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from gnsopt import SquaredLoss
from gnsopt.curvature import gauss_newton, start
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.point import Counts, Point
from gnsopt.problems import Composite, RosenbrockEquations, Squared
from gnsopt.problems.nonlinear_regression import NIST, NonlinearRegression, load_nist, parse_nist
from gnsopt.registry import PROBLEMS
from gnsopt.solvers import LevenbergMarquardt
from gnsopt.testing import check_objective, check_solver


def decay(b, x):
    return b[0] * np.exp(-b[1] * x) + b[2]


def regression():
    x = np.linspace(0, 3, 20)
    y = decay(np.array([2.0, 1.5, 0.3]), x) + 0.05 * np.sin(9 * x)
    return NonlinearRegression(decay, x, y, [1.0, 1.0, 1.0])


def test_first_step_is_the_damped_normal_equations():
    problem = regression()
    result = LevenbergMarquardt(mu0=0.3, metric=None).minimize(problem, maxiter=1, keep_x=True)
    x0, x1 = result.trace.x
    J, r = problem.jacobian(x0), problem.residual(x0)
    mu = 0.3 * np.max(np.sum(J**2, axis=0))
    np.testing.assert_allclose(x1, x0 - np.linalg.solve(J.T @ J + mu * np.eye(3), J.T @ r), rtol=1e-12)
    assert result.trace["lam"][1] == pytest.approx(mu, rel=1e-14)
    model = 0.5 * r @ r - 0.5 * np.sum((r + J @ (x1 - x0)) ** 2) - 0.5 * mu * np.sum((x1 - x0) ** 2)
    predicted = model + 0.5 * mu * np.sum((x1 - x0) ** 2)
    actual = problem.fun(x0, problem.prepare(x0)) - result.fun
    assert result.trace["ratio"][1] == pytest.approx(actual / (predicted), rel=1e-9)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda b, x: np.abs(b[0]) * np.exp(-np.abs(b[1]) * x), r"b\[0\]"),
        (lambda b, x: b[0] * np.exp(-np.real(b[1]) * x), r"b\[1\]"),
        (lambda b, x: b[0] + float(b[1]) * x, r"b\[1\]"),
        (lambda b, x: b[0] + math.hypot(*b) * x, "jac="),
    ],
)
def test_models_that_are_not_analytic_are_refused(model, message):
    """The complex step of abs is zero: the start would pass for the solution."""
    x = np.linspace(0, 3, 20)
    with pytest.raises(ValueError, match=message):
        NonlinearRegression(model, x, np.exp(-2 * x), [1.0, 1.0])
    NonlinearRegression(model, x, np.exp(-2 * x), [1.0, 1.0], jac=lambda b, x: np.ones((20, 2)))


@pytest.mark.parametrize(
    "model",
    [
        lambda b, x: np.maximum(b[0], 0.0) * x + b[1],
        lambda b, x: np.where(b[0].real > 0.5, b[0] * x, 2 * b[1]),
        lambda b, x: np.exp(-b[1] * x * 1e5) + b[0],  # differences are worth nothing
        lambda b, x: np.sin(1e8 * b[0] * x) + b[1],
        lambda b, x: 1e12 + b[0] * x + 0 * b[1],
        lambda b, x: b[0] + np.log(b[1] * x),  # not finite
        lambda b, x: b[0] + np.log((b[1] - 1) * x),
    ],
)
def test_analytic_models_are_taken_however_rough(model):
    x = np.linspace(0, 3, 20)
    NonlinearRegression(model, x, np.exp(-2 * x), [1.0, 0.0])


@pytest.mark.parametrize("damping", ["gain", "gradient", "residual"])
def test_agrees_with_scipy(damping):
    problem = regression()
    result = LevenbergMarquardt(damping=damping).minimize(problem, gtol=1e-11)
    reference = least_squares(problem.residual, problem.b0, jac=problem.jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert result.success
    np.testing.assert_allclose(result.x, reference.x, rtol=1e-7)


def test_damping_by_the_gradient_is_a_multiple_of_its_norm():
    result = LevenbergMarquardt(damping="gradient", metric=None).minimize(regression(), norm="2")
    ratio = result.trace["lam"][1:] / result.trace["gnorm"][:-1]
    assert ratio[0] == pytest.approx(2.0 ** round(np.log2(ratio[0])), rel=1e-12)
    residual = LevenbergMarquardt(damping="residual", metric=None).minimize(regression())
    first = residual.trace["lam"][1] / np.sqrt(2 * residual.trace["fun"][0])
    assert first == pytest.approx(2.0 ** round(np.log2(first)), rel=1e-12)


def test_a_linear_equation_takes_one_undamped_step():
    """A 1-D Poisson equation by finite differences, u'' = q: least squares, solved by the first step."""
    n = 12
    A = (np.diag(np.full(n - 1, 1.0), 1) - 2 * np.eye(n) + np.diag(np.full(n - 1, 1.0), -1)) * (n + 1) ** 2
    q = np.sin(np.arange(n))
    problem = Composite(Squared(), lambda u: A @ u - q, lambda u: A, n)
    result = LevenbergMarquardt(mu0=1e-14).minimize(problem, maxiter=1, gtol=0)
    np.testing.assert_allclose(result.x, np.linalg.solve(A, q), rtol=1e-8)


def test_rank_one_damping_is_a_step_size():
    """One sample: ``(lam I + g g')^{-1} g = g/(lam + |g|^2)``."""
    problem = SquaredLoss(np.array([[1.0, -2.0, 0.5]]), [1.0])
    x = Point(problem, np.zeros(3), Counts(), DiagonalMetric())
    row = np.array([1.0, -2.0, 0.5])
    h = start(gauss_newton, x)(x).solve(0.7, row)
    np.testing.assert_allclose(h, row / (0.7 + row @ row), rtol=1e-13)


def test_zero_residual_converges_quadratically():
    result = LevenbergMarquardt(mu0=1e-6).minimize(RosenbrockEquations(2.0), gtol=0, norm="2")
    g = result.trace["gnorm"]
    assert g.min() < 1e-14
    assert result.nit < 60


@pytest.mark.parametrize("damping", ["gradient", "residual"])
@pytest.mark.parametrize("name", ["composite", "logistic", "rosenbrock-equations"])
def test_other_dampings_keep_the_contract(name, damping):
    check_solver(LevenbergMarquardt(damping=damping), PROBLEMS[name](), monotone=True)


@pytest.mark.parametrize("bad", [{"damping": "none"}, {"mu0": 0.0}, {"mu0": np.inf}])
def test_misuse(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LevenbergMarquardt(**bad)


# ---------------------------------------------------------------------------------------------------------- NIST

FILE = """
   y = b1*(1-exp[-b2*x])  +  e

          Starting values                  Certified Values

        Start 1     Start 2           Parameter     Standard Deviation
  b1 =   500         250           2.3894212918E+02  2.7070075241E+00
  b2 =     0.0001      0.0005      5.5015643181E-04  7.2668688436E-06

Residual Sum of Squares:                    1.2455138894E-01

Data:   y               x
      10.07E0      77.6E0
      14.73E0     114.9E0
"""


def test_regression_keeps_the_contract_of_a_problem():
    check_objective(regression())


def test_a_file_is_read():
    found = parse_nist("Misra1a", FILE)
    np.testing.assert_array_equal(found.starts[0], [500, 0.0001])
    np.testing.assert_array_equal(found.starts[1], [250, 0.0005])
    np.testing.assert_array_equal(found.certified, [238.94212918, 5.5015643181e-4])
    np.testing.assert_array_equal(found.x, [77.6, 114.9])
    np.testing.assert_array_equal(found.y, [10.07, 14.73])
    assert found.rss == 0.12455138894
    np.testing.assert_allclose(found.digits(found.certified * [1 + 1e-7, 1]), [7, 11], atol=1e-3)
    assert found.digits([np.nan, 1e9]).max() == 0
    with pytest.raises(ValueError, match="not a file of NIST"):
        parse_nist("Misra1a", "Data: none")


def nist(data, name):
    try:
        return load_nist(name)
    except FileNotFoundError:
        pytest.skip("the archive of NIST's problems is absent")


@pytest.mark.parametrize("name", NIST)
def test_nist_problem_is_what_is_certified(data, name):
    """At the certified parameters: the certified sum of squares, and no gradient to speak of."""
    found = nist(data, name)
    problem = found.problem()
    b = found.certified
    z = problem.prepare(b)
    if name != "Lanczos1":  # certified to 1.4e-25: there it is rounding
        assert 2 * problem.fun(b, z) == pytest.approx(found.rss, rel=1e-6)
    J, r = problem.jacobian(b), problem.residual(b)
    assert np.max(np.abs(J.T @ r) / np.linalg.norm(J, axis=0)) <= 1e-5 * np.sqrt(found.rss) + 1e-9
    h = 1e-6 * np.diag(b)
    columns = [(problem.residual(b + e) - problem.residual(b - e)) / (2 * np.sum(e)) for e in h]
    scale = np.linalg.norm(J, axis=0) + np.linalg.norm(r + problem.y) / np.abs(b)
    np.testing.assert_allclose(J / scale, np.array(columns).T / scale, atol=1e-7)


@pytest.mark.parametrize("damping", ["gain", "gradient", "residual"])
@pytest.mark.parametrize("start", [1, 2])
def test_all_nist_problems_are_solved_to_six_digits(data, start, damping):
    worst = {}
    for name in NIST:
        found = nist(data, name)
        result = LevenbergMarquardt(damping=damping).minimize(found.problem(start), gtol=0, maxiter=4000)
        worst[name] = found.digits(result.x).min()
    assert min(worst.values()) >= 6, worst


def test_unknown_nist_problem():
    with pytest.raises(ValueError, match="unknown; choose one of 'Bennett5'"):
        load_nist("Misra2")
