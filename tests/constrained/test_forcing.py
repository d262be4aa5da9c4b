"""Forcing mode: every solver and merit, hard problems, and what cannot be solved ends with the right word."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

from experiments.adasketch.problems import constrained_logistic, pde_control
from gnsopt import AdaSketchNewton, ConstrainedProblem, datasets
from gnsopt.constrained import Equalities, KKTStatus, LinearEqualities
from gnsopt.constrained.kkt import SOLVERS
from gnsopt.objective import Callables

HS77 = 0.241505128786


def quadratic(n, target=0.0):
    return Callables(
        lambda x: float(np.sum((x - target) ** 2)), n, jac=lambda x: 2 * (x - target), hess=lambda x: 2 * np.eye(n)
    )


def on_circle(fun, grad, hess, x0, level=1.0):
    c = Equalities(lambda x: x @ x - level, 2, 1, lambda x: 2 * x[None, :], lambda x, y: 2 * y[0] * np.eye(2))
    return ConstrainedProblem(Callables(fun, 2, jac=grad, hess=hess), c, np.array(x0))


@pytest.mark.parametrize("merit", ["augmented-lagrangian", "fletcher"])
@pytest.mark.parametrize("kkt", SOLVERS)
def test_every_solver_and_merit_solves(hs77, kkt, merit):
    if kkt == "qdldl":
        pytest.importorskip("qdldl")
    result = AdaSketchNewton(kkt=kkt, merit=merit).minimize(hs77)
    assert result.success
    assert result.fun == pytest.approx(HS77, rel=1e-9)
    G, g = hs77.constraints.jac(result.x), hs77.objective.grad(result.x, None)
    assert np.abs(g + G.T @ result.multipliers).max() <= 1e-7
    assert np.abs(hs77.constraints.cons(result.x)).max() <= 1e-8
    np.testing.assert_allclose(result.multipliers, result.multipliers_ls, atol=1e-5)
    assert result.nit <= 25


def test_local_convergence_is_quadratic(hs77):
    norms = AdaSketchNewton().minimize(hs77, gtol=1e-12).trace["gnorm"]
    assert norms[-1] <= 10 * norms[-2] ** 2 + 1e-12
    assert norms[-2] <= 10 * norms[-3] ** 2


def test_sketched_solves_are_keyed(hs77):
    runs = [AdaSketchNewton(kkt="sketch", seed=seed).minimize(hs77) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert (runs[0].x != runs[2].x).any()


def test_maratos_effect_is_met():
    """f = 2(|x|^2 - 1) - x_1 on the circle from (cos a, sin a): full steps raise f and |c| however close they begin."""
    problem = on_circle(
        lambda x: 2 * (x @ x - 1) - x[0],
        lambda x: 4 * x - np.array([1.0, 0.0]),
        lambda x: 4 * np.eye(2),
        (np.cos(0.4), np.sin(0.4)),
    )
    result = AdaSketchNewton().minimize(problem)
    np.testing.assert_allclose(result.x, [1.0, 0.0], atol=1e-7)
    assert result.ncev <= 14
    assert (result.trace["t"][-3:] == 1.0).all()


def test_negative_curvature_leads_to_a_minimiser():
    """``x_1 x_2`` on the circle, near a maximiser; the minimum is -1/2."""
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    for kkt in SOLVERS:
        if kkt == "qdldl":
            pytest.importorskip("qdldl")
        problem = on_circle(lambda x: x[0] * x[1], lambda x: swap @ x, lambda x: swap, (0.8, 0.6))
        result = AdaSketchNewton(kkt=kkt).minimize(problem)
        assert result.success
        assert result.fun == pytest.approx(-0.5, abs=1e-8), kkt


# -------------------------------------------------------------------------------------------------- what fails


def test_contradicting_linear_constraints():
    problem = ConstrainedProblem(quadratic(2), LinearEqualities([[1.0, 1.0], [1.0, 1.0]], [0.0, 2.0]), [3.0, -1.0])
    result = AdaSketchNewton().minimize(problem)
    assert (result.reason, result.status) == ("infeasible-stationary", KKTStatus.INFEASIBLE_STATIONARY)
    assert not result.success
    assert "contradict" in result.message
    assert np.abs(problem.constraints.A.T @ result.constr).max() <= 1e-3


def test_a_constraint_without_solution():
    c = Equalities(lambda x: x @ x + 1.0, 2, 1, lambda x: 2 * x[None, :], lambda x, y: 2 * y[0] * np.eye(2))
    result = AdaSketchNewton().minimize(ConstrainedProblem(quadratic(2, 1.0), c, [2.0, 1.0]))
    assert result.reason == "infeasible-stationary"
    np.testing.assert_allclose(result.constr, 1.0, atol=1e-3)


def test_dependent_constraints_are_solved():
    A = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 0.0]])
    problem = ConstrainedProblem(quadratic(3), LinearEqualities(A, [6.0, 12.0, 1.0]), [5.0, 5.0, 5.0])
    result = AdaSketchNewton().minimize(problem)
    assert result.success
    expected = np.linalg.lstsq(A, [6.0, 12.0, 1.0], rcond=None)[0]
    np.testing.assert_allclose(result.x, expected, atol=1e-8)
    assert AdaSketchNewton(accuracy="paper").minimize(problem).reason == "singular"


def test_a_start_where_the_jacobian_vanishes():
    problem = on_circle(lambda x: x.sum(), lambda x: np.ones(2), lambda x: np.zeros((2, 2)), (0.0, 0.0))
    result = AdaSketchNewton().minimize(problem)
    assert result.success
    np.testing.assert_allclose(result.x, -np.sqrt(0.5), atol=1e-7)


def test_more_constraints_than_variables():
    """Consistent: three lines through one point; inconsistent: their violation is stationary."""
    A = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    result = AdaSketchNewton().minimize(ConstrainedProblem(quadratic(2), LinearEqualities(A, [1.0, 2.0, 3.0])))
    assert result.success
    np.testing.assert_allclose(result.x, [1.0, 2.0], atol=1e-9)
    result = AdaSketchNewton().minimize(ConstrainedProblem(quadratic(2), LinearEqualities(A, [1.0, 2.0, 4.0])))
    assert result.reason == "infeasible-stationary"


def test_trials_that_are_not_numbers_are_rejected():
    """log x leaves its domain at the full step; nothing warns."""
    f = Callables(
        lambda x: float(-np.log(x[0]) + x[1] ** 2),
        2,
        jac=lambda x: np.array([-1 / x[0], 2 * x[1]]),
        hess=lambda x: np.diag([1 / x[0] ** 2, 2.0]),
    )

    def cons(x):
        if x[0] <= 0:
            raise ValueError("outside")
        return np.array([np.sqrt(x[0]) + x[1] ** 2 - 2.0])

    def curved(x, y):
        return y[0] * np.diag([-0.25 * x[0] ** -1.5, 2.0])

    c = Equalities(cons, 2, 1, lambda x: np.array([[0.5 / np.sqrt(x[0]), 2 * x[1]]]), curved)
    with np.errstate(all="ignore"):
        result = AdaSketchNewton().minimize(ConstrainedProblem(f, c, [1e-3, 3.0]))
    assert result.success
    np.testing.assert_allclose(result.x, [4.0, 0.0], atol=1e-4)


@pytest.mark.parametrize("where", ["objective", "constraint"])
def test_a_start_that_is_not_finite(where):
    nan = np.full(2, np.nan)
    f = Callables(lambda x: np.nan, 2, jac=lambda x: nan, hess=lambda x: np.eye(2)) if where == "objective" else None
    c = Equalities(lambda x: x if f else nan, 2, 2, lambda x: np.eye(2), lambda x, y: np.zeros((2, 2)))
    result = AdaSketchNewton().minimize(ConstrainedProblem(f, c, [1.0, 1.0]))
    assert result.reason == "not-finite"
    assert result.nit == 0


def test_an_objective_without_a_bound():
    f = Callables(lambda x: -np.exp(x[0]), 2, jac=lambda x: np.array([-np.exp(x[0]), 0.0]))
    result = AdaSketchNewton().minimize(ConstrainedProblem(f, LinearEqualities([[0.0, 1.0]], [0.0]), [1.0, 1.0]))
    assert result.reason == "unbounded"


def test_a_linear_objective_without_a_bound():
    f = Callables(lambda x: x.sum(), 2, jac=lambda x: np.ones(2), hess=lambda x: np.zeros((2, 2)))
    result = AdaSketchNewton().minimize(ConstrainedProblem(f, LinearEqualities([[1.0, 0.0]], [1.0]), [1.0, 1.0]))
    assert result.reason == "unbounded"
    assert result.nit <= 2
    assert result.fun < -1e15, "the point that shows it"
    assert result.constr_violation <= 1e-6 * np.abs(result.x).max()


def test_limits_and_callbacks(hs77):
    result = AdaSketchNewton().minimize(hs77, maxiter=2)
    assert (result.reason, result.nit, len(result.trace)) == ("maxiter", 2, 3)
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 3:
            raise StopIteration

    result = AdaSketchNewton().minimize(hs77, callback=stop)
    assert (result.reason, result.status, result.nit) == ("callback", 99, 3)
    assert AdaSketchNewton().minimize(hs77, maxtime=1e-9).reason == "maxtime"


def test_a_callback_that_stops_gets_its_point():
    """Also where an earlier point had a smaller residual."""

    def ends(seen, stop):
        def callback(intermediate_result):
            seen.append(intermediate_result)
            if len(seen) == stop:
                raise StopIteration

        return callback

    problem = on_circle(rosen, rosen_der, rosen_hess, (2.0, -2.0))
    whole = AdaSketchNewton().minimize(problem)
    rises = np.flatnonzero(np.diff(whole.trace["gnorm"]) > 0) + 1
    assert rises.size, "else nothing is tested"
    for stop in (int(rises[0]), 1):
        seen = []
        result = AdaSketchNewton().minimize(problem, callback=ends(seen, stop))
        np.testing.assert_array_equal(result.x, seen[-1].x)
        for name in ("nit", "fun", "constr_violation", "optimality"):
            assert seen[-1][name] == result[name], name
    points = []
    AdaSketchNewton().minimize(problem, callback=lambda xk: points.append(xk))
    assert len(points) == whole.nit


def test_a_solution_takes_no_step(hs77):
    solved = AdaSketchNewton().minimize(hs77, gtol=1e-10)
    again = AdaSketchNewton().minimize(hs77, solved.x, y0=solved.multipliers)
    assert (again.nit, again.reason) == (0, "converged")
    np.testing.assert_array_equal(again.x, solved.x)


def test_a_start_is_not_written(hs77):
    x0 = hs77.x0.copy()
    x0.setflags(write=False)
    assert AdaSketchNewton().minimize(hs77, x0).success


def test_counts_are_of_the_callables(hs77_functions):
    fun, grad, hess, cons, jac, curved, x0 = hs77_functions
    calls = dict.fromkeys(("nfev", "njev", "nhev", "ncev", "ncjev", "nchev"), 0)

    def counted(name, f):
        def call(*arguments):
            calls[name] += 1
            return f(*arguments)

        return call

    f = Callables(counted("nfev", fun), 5, jac=counted("njev", grad), hess=counted("nhev", hess))
    c = Equalities(counted("ncev", cons), 5, 2, counted("ncjev", jac), counted("nchev", curved))
    result = AdaSketchNewton().minimize(ConstrainedProblem(f, c, x0))
    assert {name: result[name] for name in calls} == calls
    assert calls["nhev"] <= result.nit + 1


def test_an_objective_hessian_is_computed_once_at_an_x(hs77):
    """Other multipliers at the same x, which the safeguard and Fletcher's penalty take, cost none."""
    result = AdaSketchNewton(merit="fletcher").minimize(hs77)
    assert result.nhev <= result.nit + 1


# -------------------------------------------------------------------------------------------------- large, real


@pytest.mark.parametrize("products", [False, True])
def test_control_on_a_fine_grid(products):
    """7938 unknowns: one sparse factorisation, or a few conjugate gradients with products of the Hessian."""
    problem = pde_control(63, products)
    result = AdaSketchNewton().minimize(problem)
    assert result.success
    assert result.nit <= (6 if products else 1)
    assert (result.nhev == 0) == products
    assert result.fun == pytest.approx(3966.0177202975, rel=1e-10)
    assert np.abs(problem.constraints.cons(result.x)).max() <= 1e-8


def test_logistic_regression_on_a_sphere():
    X, y = datasets.make_logistic(300, 30, seed=3)
    problem = constrained_logistic(X, y)
    result = AdaSketchNewton().minimize(problem)
    assert result.success
    assert result.nit <= 20
    assert result.x @ result.x == pytest.approx(1.0, abs=1e-8)
    paper = AdaSketchNewton(accuracy="paper", sketch="exact", definite=1e-2).minimize(problem)
    assert paper.success
    assert paper.fun == pytest.approx(result.fun, abs=1e-4)


# fmt: off
EASY = (
    "HS6", "HS7", "HS26", "HS27", "HS39", "HS40", "HS42", "HS46", "HS47", "HS50", "HS56", "HS77", "HS78", "HS79",
    "HS100LNP", "BT1", "BT4", "BT7", "BT11", "MARATOS", "MWRIGHT", "ORTHREGB",
)
HARD = ("BYRDSPHR", "FLT", "HS61", "S316m322", "BT8", "LUKVLE4C", "LUKVLE13", "HS49", "ORTHREGC", "LUKVLE9")
# fmt: on


@pytest.mark.parametrize("name", [*EASY, *HARD])
def test_first_order_points_of_cutest(cutest, name):
    """By an independent criterion: least-squares multipliers by NumPy, functions of the file."""
    problem = cutest(name, y0=False)
    result = AdaSketchNewton().minimize(problem)
    assert result.reason == "converged"
    g, G = problem.objective.grad(result.x, None), problem.constraints.jac(result.x)
    y = -np.linalg.lstsq(G.T, g, rcond=1e-12)[0]
    assert np.abs(g + G.T @ y).max() <= 1e-8 * max(1.0, np.linalg.norm(g), np.linalg.norm(y))
    assert np.abs(problem.constraints.cons(result.x)).max() <= 1e-8
    assert result.nit <= 80
