"""MAID, the quasi-Newton method, HOAG and L-BFGS-B: certified descent, statuses, shapes of the runs."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gnsopt import SuperNewton
from gnsopt.bilevel import MultiBlock, minimize
from gnsopt.bilevel.hoag import Hoag
from gnsopt.bilevel.hypergradient import Oracle
from gnsopt.bilevel.lbfgs import LBFGS
from gnsopt.bilevel.maid import Maid
from gnsopt.bilevel.problems import CrossValidation
from gnsopt.bilevel.run import Run
from tests.bilevel.instances import data, least_squares, logistic, ridge, scalar


def exact(problem, theta):
    run = Run(problem, theta, *problem.bounds, 0.0, False)
    return Oracle(run, "newton", "cholesky", 1e-3).at(theta).solve(1e-14, 1e-12)


BOX = (-8.0, 3.0)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("maid-qn", {}),
        ("maid-qn", {"memory": 0}),
        ("maid-qn", {"lower_solver": "gns", "linear": "cg"}),
        ("maid", {}),
        ("maid", {"preset": "release", "lower_solver": "newton"}),
        ("maid", {"preset": "later", "lower_solver": "newton"}),
        ("maid", {"barzilai_borwein": True, "bound": "adjoint", "lower_solver": "newton", "convex_upper": True}),
    ],
    ids=str,
)
def test_every_certified_step_is_an_exact_decrease(method, options):
    for problem in (logistic("feature"), logistic("class", 3)):
        run = minimize(problem, -2.0, method, bounds=BOX, certified=True, maxiter=12, tol=0, keep_theta=True, **options)
        assert run.certified
        assert run.nit >= 5
        lam = options.get("lam", {"maid-qn": 1e-4}.get(method, 1e-8))
        points = [exact(problem, theta) for theta in run.trace.x]
        for before, after, low, high in zip(
            points[:-1], points[1:], run.trace["low"][1:], run.trace["high"][1:], strict=True
        ):
            slope = before.z @ (before.theta - after.theta)
            assert before.V - after.V >= 0.5 * lam * slope - 1e-15  # the method's own slope uses an inexact z
            assert low - 1e-14 <= after.V <= high + 1e-14


def test_maid_decreases_by_its_own_inexact_slope():
    problem = logistic("feature")
    steps = []

    def record(it):
        steps.append((it.theta, it.z))

    method = Maid(eta=0.5, lam=0.1, lower_solver="newton")
    minimize(problem, -2.0, method, bounds=BOX, maxiter=15, tol=0, callback=record)
    assert len(steps) == 15
    for (theta, z), (after, _) in zip(steps[:-1], steps[1:], strict=True):
        assert exact(problem, theta).V - exact(problem, after).V >= 0.1 * z @ (theta - after) - 1e-15


@pytest.mark.parametrize("method", ["maid-qn", "maid", "hoag", "implicit"])
def test_methods_find_the_minimum_of_one_penalty(method):
    problem = logistic("single")
    best = minimize_scalar(
        lambda t: exact(problem, np.array([t])).V, bounds=BOX, method="bounded", options={"xatol": 1e-9}
    )
    options = {"lower_solver": "newton"} if method == "maid" else {}
    run = minimize(problem, -2.0, method, bounds=BOX, tol=1e-6, maxiter=500, **options)
    assert run.status in ("stationary", "accuracy-floor")
    assert run.fun == pytest.approx(best.fun, rel=1e-7)
    assert run.theta[0] == pytest.approx(best.x, abs=0.5 if method == "hoag" else 1e-2)
    assert run.success
    assert run.method == method


@pytest.mark.parametrize("method", ["maid-qn", "implicit"])
def test_the_known_solution_of_the_quadratic_is_found(method):
    problem, _, f, _, best = least_squares()
    run = minimize(problem, np.ones(10), method, tol=1e-5, maxiter=400)
    assert f(run.theta) <= f(best) * (1 + 1e-6) + 1e-9
    assert run.interval[0] - 1e-9 <= f(run.theta) <= run.interval[1] + 1e-9


def test_maid_meets_the_same_accuracy_from_every_start():
    problem = least_squares()[0]
    ends, falls = [], []
    for eps in (1e-1, 1e-3, 1e-5):
        run = minimize(problem, np.ones(10), "maid", eps0=eps, alpha0=0.01, nu_up=1.25, tol=0, maxwork=3000)
        ends.append(np.median(run.trace["eps_asked"][-10:]))
        falls.append(run.fun / run.trace["fun"][0])
    assert max(ends) < 4 * min(ends)
    assert max(falls) < 1e-2


def test_a_fixed_accuracy_stalls_where_maid_goes_on():
    problem = least_squares()[0]
    fixed = minimize(problem, np.ones(10), "maid", eps0=0.1, alpha0=0.01, fixed=True, maxwork=2000, tol=0)
    adaptive = minimize(problem, np.ones(10), "maid", eps0=0.1, alpha0=0.01, nu_up=1.25, maxwork=2000, tol=0)
    assert fixed.status == "accuracy-floor"
    assert fixed.nit < 15
    assert adaptive.fun < 0.9 * fixed.fun  # the condition of f is 1e8: no gradient method is fast
    assert adaptive.status == "budget"


def test_accuracy_is_bought_when_it_is_needed():
    """The accuracy of the hypergradient at the end is far below that at the start, and no finer than it need be."""
    run = minimize(logistic("feature"), -2.0, bounds=BOX, tol=1e-8)
    assert run.status == "stationary"
    assert run.norm + run.error <= 1e-8
    assert run.trace["eps"][-1] < 1e-3 * run.trace["eps"][0]


def test_the_box_is_kept_and_its_stationary_points_are_known():
    problem = logistic("feature")
    run = minimize(problem, -2.0, bounds=(-2.5, -1.0), tol=1e-7, keep_theta=True)
    assert run.status == "stationary"
    assert np.all([np.all((t >= -2.5) & (t <= -1.0)) for t in run.trace.x])
    z = exact(problem, run.theta).z
    at_low, at_high = run.theta == -2.5, run.theta == -1.0
    assert at_low.any() or at_high.any()
    assert np.all(z[at_low] >= -1e-7)
    assert np.all(z[at_high] <= 1e-7)
    assert np.abs(z[~at_low & ~at_high]).max(initial=0) < 1e-6


def test_the_floor_of_float64_is_a_status():
    run = minimize(logistic("single"), -2.0, bounds=BOX, tol=0.0, certified=True)
    assert run.status == "accuracy-floor"
    assert run.success
    assert "float64" in run.message
    assert run.interval[1] - run.interval[0] < 1e-12


def test_budgets_end_a_run():
    problem = logistic("feature")
    by_work = minimize(problem, -2.0, bounds=BOX, maxwork=60, tol=0)
    assert by_work.status == "budget"
    assert by_work.work < 200
    assert by_work.fun <= by_work.trace["fun"][0]
    by_steps = minimize(problem, -2.0, bounds=BOX, maxiter=2, tol=0)
    assert (by_steps.status, by_steps.nit, len(by_steps.trace)) == ("budget", 2, 3)
    assert minimize(problem, -2.0, bounds=BOX, maxtime=1e-9).status == "budget"
    assert by_steps.success is False
    for name in ("nit", "fun", "gnorm", "time", "work", "low", "high", "error", "eps", "radius"):
        assert name in by_steps.trace.columns


def test_a_callback_stops_a_run_and_sees_it():
    seen = []

    def callback(iterate):
        seen.append(iterate.fun)
        if len(seen) == 2:
            raise StopIteration

    run = minimize(logistic("feature"), -2.0, bounds=BOX, callback=callback, tol=0)
    assert run.status == "callback"
    assert len(seen) == 2
    assert run.fun == seen[-1]


def test_folds_are_blocks_with_their_own_accuracy():
    X, y = data(90, 5)
    problem = CrossValidation(X, y, groups="feature", folds=3)
    assert isinstance(problem, MultiBlock)
    assert len(problem.blocks) == 3
    run = minimize(problem, -2.0, bounds=BOX, tol=1e-6)
    assert run.status == "stationary"
    assert run.x.size == 15
    mean = np.mean([exact(block, run.theta).V for block in problem.blocks])
    assert run.fun == pytest.approx(mean, abs=1e-9)
    own = CrossValidation(X, y, folds=problem.fold)
    assert np.array_equal(own.fold, problem.fold)


@pytest.mark.parametrize("lower", ["newton", "gns", "super-newton", "fista", SuperNewton(alpha=0.5)], ids=str)
def test_any_solver_solves_the_lower_level(lower):
    run = minimize(ridge("feature"), -1.0, bounds=(-3, 3), lower_solver=lower, tol=1e-5)
    best = minimize(ridge("feature"), -1.0, bounds=(-3, 3), tol=1e-8)
    assert run.success
    assert run.fun == pytest.approx(best.fun, rel=1e-6)


def test_hoag_follows_its_schedules():
    assert Hoag(schedule="geometric").accuracy(2) == pytest.approx(1e-3 * 0.81)
    assert Hoag(schedule="quadratic", eps0=0.1).accuracy(4) == pytest.approx(0.1 / 25)
    assert Hoag(schedule="cubic", eps0=0.1).accuracy(1) == pytest.approx(0.1 / 8)
    assert Hoag(schedule="exact").accuracy(7) == 1e-12
    for schedule in ("geometric", "quadratic", "cubic"):
        run = minimize(logistic("feature"), -2.0, "hoag", schedule=schedule, bounds=BOX, maxiter=30, tol=0)
        assert np.all(np.diff(run.trace["accuracy"]) <= 0)
        assert run.fun < run.trace["fun"][0]


def test_quasi_newton_directions_descend_and_are_exact_for_quadratics():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 6))
    H = A @ A.T + np.eye(6)
    B, x, g = LBFGS(10), rng.standard_normal(6), None
    for _ in range(40):
        g = H @ x
        if np.linalg.norm(g) < 1e-10:
            break
        p = B.direction(g, np.ones(6, dtype=bool))
        assert p @ g < 0
        s = -(g @ p) / (p @ H @ p) * p
        B.update(s, H @ s)
        x = x + s
    assert np.linalg.norm(H @ x) < 1e-9
    free = np.array([True, False, True, True, False, True])
    p = B.direction(rng.standard_normal(6), free)
    assert np.all(p[~free] == 0)


def test_work_is_counted_in_equal_units():
    run = minimize(logistic("weight", 3), -2.0, bounds=BOX, maxiter=5, tol=0)
    counts = run.counts
    parts = ("lower_gradients", "hessian_products", "adjoint_products", "assembly")
    assert run.work == pytest.approx(sum(counts[name] for name in parts))
    assert counts["lower_gradients"] > 5
    assert counts["adjoint_products"] >= 6
    assert np.all(np.diff(run.trace["work"]) > 0)


def test_the_scalar_problem_goes_to_its_minimum():
    run = minimize(scalar(2.0, 0.7), 0.0, tol=1e-9)
    assert np.exp(run.theta[0]) == pytest.approx(2.0 / 0.7 - 1, rel=1e-4)
    assert run.fun == pytest.approx(0.0, abs=1e-9)
