"""The value-function core and the penalty method on problems in closed form."""

import numpy as np
import pytest

from gnsopt import bilevel
from gnsopt.bilevel import BilevelProblem, Constants, ConstrainedProblem, minimize
from gnsopt.bilevel.problems.toys import Interval, Jump, Quartic, RankOne, StronglyConvex
from gnsopt.bilevel.run import Run
from gnsopt.bilevel.value_function import ValueFunction
from gnsopt.exceptions import MissingRequirement

SIGMAS = np.geomspace(1e-2, 1e-5, 7)
PLACES = {
    StronglyConvex: [[0.3, -0.2, 0.5]],
    RankOne: [[0.7]],
    Interval: [[0.6], [-0.4], [1.3]],
    Jump: [[0.5], [0.003], [-0.02]],
    Quartic: [[1.0], [-0.3]],
}
CASES = [(toy, place) for toy, places in PLACES.items() for place in places]


def quotient(problem, theta, sigma, *, central=False, inner="l-bfgs", certified=False, target=1e-13):
    box = np.full(problem.d, np.inf)
    run = Run(problem, np.asarray(theta, dtype=float), -box, box, 0.0, certified)
    found = ValueFunction(run, sigma, central, inner).at(run.theta)
    found.solve(target)
    return found


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


# --------------------------------------------------------------------------------------------- values and slopes


@pytest.mark.parametrize(("toy", "theta"), CASES)
@pytest.mark.parametrize("inner", ["l-bfgs", "gradient"])
def test_value_and_gradient_are_those_in_closed_form(toy, theta, inner):
    problem = toy()
    for sigma in (1e-1, 1e-3):
        found = quotient(problem, theta, sigma, inner=inner)
        value, gradient = problem.penalty(np.array(theta), sigma)
        assert found.V == pytest.approx(value, rel=1e-10, abs=1e-11)
        np.testing.assert_allclose(found.z, gradient, rtol=1e-8, atol=1e-8)
        assert found.V <= problem.value(np.array(theta)) + 1e-11  # psi <= f


@pytest.mark.parametrize(("toy", "theta"), CASES)
def test_closed_forms_are_consistent(toy, theta):
    """The gradient of psi is that of its values; so is that of f away from kinks and jumps."""
    problem, theta, t = toy(), np.array(theta), 1e-5
    for value, gradient in (
        (lambda at: problem.penalty(at, 0.05)[0], problem.penalty(theta, 0.05)[1]),
        (problem.value, problem.slope(theta)),
    ):
        differences = [(value(theta + t * e) - value(theta - t * e)) / (2 * t) for e in np.eye(problem.d)]
        np.testing.assert_allclose(differences, gradient, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("toy", "theta", "order"), [(StronglyConvex, [0.3, -0.2, 0.5], 1), (RankOne, [0.7], 1), (Interval, [0.6], 1)]
)
def test_errors_are_of_first_order(toy, theta, order):
    problem, theta = toy(), np.array(theta)
    found = [quotient(problem, theta, sigma) for sigma in SIGMAS]
    assert slope(SIGMAS, [problem.value(theta) - q.V for q in found]) == pytest.approx(order, abs=0.05)
    assert slope(SIGMAS, [np.linalg.norm(q.z - problem.slope(theta)) for q in found]) == pytest.approx(order, abs=0.05)


def test_central_errors_are_of_second_order():
    problem, theta = StronglyConvex(), np.array([0.3, -0.2, 0.5])
    sigmas = np.geomspace(1e-2, 1e-3, 5)
    found = [quotient(problem, theta, sigma, central=True) for sigma in sigmas]
    assert slope(sigmas, [abs(problem.value(theta) - q.V) for q in found]) == pytest.approx(2, abs=0.05)
    assert slope(sigmas, [np.linalg.norm(q.z - problem.slope(theta)) for q in found]) == pytest.approx(2, abs=0.05)


def test_the_central_gradient_is_that_of_the_central_value():
    problem, theta, t = StronglyConvex(), np.array([0.3, -0.2, 0.5]), 1e-4

    def value(at):
        return quotient(problem, at, 0.02, central=True).V

    differences = [(value(theta + t * e) - value(theta - t * e)) / (2 * t) for e in np.eye(3)]
    np.testing.assert_allclose(quotient(problem, theta, 0.02, central=True).z, differences, rtol=1e-8)


def test_without_an_error_bound_the_bias_falls_like_the_cube_root():
    problem, theta = Quartic(), np.array([1.0])
    sigmas = np.geomspace(1e-6, 1e-9, 4)
    bias = [problem.value(theta) - quotient(problem, theta, sigma, target=1e-16).V for sigma in sigmas]
    assert slope(sigmas, bias) == pytest.approx(1 / 3, abs=0.005)
    np.testing.assert_allclose(bias, 0.75 * np.cbrt(sigmas), rtol=0.01)


def test_at_a_jump_of_the_solutions_the_gradient_has_no_limit():
    """psi' is about 1/sigma at |theta| <= 2 sigma, and psi misses the jump of f."""
    problem = Jump()
    for sigma in (1e-2, 1e-3, 1e-4):
        found = quotient(problem, [sigma], sigma)
        assert found.z[0] == pytest.approx(0.5 / sigma, rel=1e-3)
        assert problem.value(np.array([sigma])) - found.V == pytest.approx(0.25, rel=1e-3)


def test_without_a_unique_solution_the_upper_level_chooses():
    """Another point of S(theta) gives another gradient: y must minimise g over S."""
    problem, theta = RankOne(), np.array([0.7])
    found = quotient(problem, theta, 1e-6)
    assert found.z[0] == pytest.approx(problem.slope(theta)[0], rel=1e-4)
    y = found.levels[0].x
    elsewhere = y + np.array([problem.a[1], -problem.a[0], 0, 0])  # also in S
    assert problem.lower(elsewhere, theta)[0] == pytest.approx(problem.lower(y, theta)[0], abs=1e-10)
    multiplier = problem.upper(elsewhere, theta)[1] @ problem.a / (problem.a @ problem.a)
    assert abs(multiplier - problem.slope(theta)[0]) > 0.01


def test_active_constraints_make_the_gradient_vanish():
    problem = Interval()
    assert quotient(problem, [1.4], 1e-3).z[0] == 0
    assert quotient(problem, [-0.4], 1e-3).z[0] == 0
    assert quotient(problem, [0.4], 1e-3).z[0] == pytest.approx(-1.6, rel=2e-3)


# ----------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("central", [False, True])
def test_certified_bounds_are_never_violated(central):
    """Intervals of psi and of f, errors of z as the gradient of either, at any accuracy of the inner solves."""
    rng, violations = np.random.default_rng(0), 0
    for trial in range(200):
        problem = StronglyConvex(seed=trial % 10)
        theta, sigma = rng.standard_normal(3), 10 ** rng.uniform(-4, -1.2)
        found = quotient(problem, theta, sigma, central=central, certified=True, target=10 ** rng.uniform(-6, 1))
        value, gradient = problem.penalty(theta, sigma)
        if central:
            below, gradient_below = problem.penalty(theta, -sigma)
            value, gradient = (value + below) / 2, (gradient + gradient_below) / 2
        noise = 1e-10 * (1 + abs(value))
        violations += abs(found.V - value) > found.E + noise
        violations += np.linalg.norm(found.z - gradient) > found.error + 1e-9 / sigma * found.gradient + noise / sigma
        iterate = found.iterate()
        assert iterate.certified
        violations += not iterate.low - noise <= problem.value(theta) <= iterate.high + noise
        violations += np.linalg.norm(found.z - problem.slope(theta)) > iterate.error + noise / sigma
    assert violations == 0


def test_certified_intervals_hold_under_constraints():
    rng, problem = np.random.default_rng(1), Interval()
    for _ in range(200):
        theta, sigma = rng.uniform(-1, 2, 1), 10 ** rng.uniform(-4, 0)
        found = quotient(problem, theta, sigma, certified=True, target=10 ** rng.uniform(-8, 0))
        value, gradient = problem.penalty(theta, sigma)
        assert abs(found.V - value) <= found.E + 1e-13 / sigma
        assert abs(found.z[0] - gradient[0]) <= found.error + 1e-13 / sigma
        iterate = found.iterate()
        assert iterate.low - 1e-12 / sigma <= problem.value(theta) <= iterate.high + 1e-12 / sigma
        assert not iterate.certified  # the error of z as the gradient of f is not bounded


@pytest.mark.parametrize("groups", ["single", "feature"])
def test_certified_bounds_hold_on_logistic_regression(groups):
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((80, 5)), rng.standard_normal(5)
    y = (X @ w + rng.standard_normal(80) > 0).astype(int)
    problem = bilevel.LogisticPenalties(X[:40], y[:40], X[40:], y[40:], groups)
    for _ in range(30):
        theta, sigma = rng.uniform(-4, 1, problem.d), 10 ** rng.uniform(-4, -1)
        h = problem.objective(theta)
        x = np.zeros(5)
        for _ in range(30):
            z = h.prepare(x)
            x = x - np.linalg.solve(h.hess(x, z).dense(), h.grad(x, z))
        f, slope, _ = problem.upper(x, theta)
        gradient = -problem.cross_t(x, theta, np.linalg.solve(h.hess(x, h.prepare(x)).dense(), slope))
        central = problem.mu(theta) > 1.1 * sigma * problem.constants(theta).L_g and rng.random() < 0.5
        found = quotient(problem, theta, sigma, central=central, certified=True, target=10 ** rng.uniform(-8, -1))
        iterate = found.iterate()
        assert iterate.certified
        assert iterate.low - 1e-12 / sigma <= f <= iterate.high + 1e-12 / sigma
        assert np.linalg.norm(iterate.z - gradient) <= iterate.error + 1e-12 / sigma


def test_the_bias_bound_holds_and_is_not_idle():
    problem, theta = StronglyConvex(), np.array([0.3, -0.2, 0.5])
    for sigma in (1e-2, 1e-3, 1e-4):
        found = quotient(problem, theta, sigma, certified=True)
        below, above, gradient = found.bias()
        bias = problem.value(theta) - problem.penalty(theta, sigma)[0]
        assert below == 0
        assert bias <= above <= 5 * bias
        assert np.linalg.norm(problem.slope(theta) - problem.penalty(theta, sigma)[1]) <= gradient


def test_measured_intervals_are_narrower_than_certified_ones():
    problem = StronglyConvex(n=30)
    loose = quotient(problem, [0.3, -0.2, 0.5], 1e-2, certified=True, target=1e-2)
    tight = quotient(problem, [0.3, -0.2, 0.5], 1e-2, certified=False, target=1e-2)
    assert tight.E < loose.E


# ----------------------------------------------------------------------------------------------------- the method


@pytest.mark.parametrize("certified", [False, True])
@pytest.mark.parametrize("options", [{}, {"central": True, "sigma": 0.05}, {"inner": "gradient"}, {"memory": 0}])
def test_the_minimiser_is_that_of_the_last_sigma(options, certified):
    problem = StronglyConvex()
    found = minimize(problem, 0.0, "penalty", certified=certified, tol=1e-5, sigma_end=1e-3, maxiter=200, **options)
    assert found.success
    assert found.certified == certified
    goal = problem.minimiser(1e-3)
    if "central" in options:
        goal = problem.minimiser()
    np.testing.assert_allclose(found.theta, goal, atol=2e-5)
    low, high = found.interval
    assert low - 1e-9 <= problem.value(found.theta) <= high + 1e-9
    sigmas = found.trace["sigma"]
    assert sigmas[-1] == 1e-3
    assert np.all(np.diff(sigmas) <= 0)


def test_certified_steps_decrease_the_penalty_function():
    problem = StronglyConvex(seed=3)
    found = minimize(problem, 0.0, "penalty", certified=True, keep_theta=True, tol=1e-6, lam=1e-2)
    thetas, sigmas = found.trace.x, found.trace["sigma"]
    steps = 0
    for one, other, sigma, same in zip(thetas[:-1], thetas[1:], sigmas[1:], np.diff(sigmas) == 0, strict=True):
        if same:
            value, gradient = problem.penalty(one, sigma)
            promised = 1e-2 * gradient @ (one - other) * 0.5  # z is within a tenth of the gradient
            assert problem.penalty(other, sigma)[0] <= value - promised + 1e-12 / sigma
            steps += 1
    assert steps >= 5


def test_a_box_of_theta_is_kept():
    problem = StronglyConvex()
    free = minimize(problem, 0.0, "penalty", tol=1e-5).theta
    low, high = free - 1.0, free + 1.0
    high[0] = free[0] - 0.2
    found = minimize(problem, np.minimum(0.0, high).clip(low), "penalty", tol=1e-5, bounds=(low, high), keep_theta=True)
    assert found.success
    assert found.theta[0] == high[0]
    assert all(np.all((low <= theta) & (theta <= high)) for theta in found.trace.x)
    gradient = problem.slope(found.theta)
    assert gradient[0] < 0
    np.testing.assert_allclose(gradient[1:], 0, atol=0.2)


def test_constrained_lower_levels_are_solved():
    """The least f over theta >= 1 or the kink at 1: f = 1/2 there."""
    for start in (0.2, 0.7):
        found = minimize(Interval(), start, "penalty", sigma_end=1e-6, bounds=(-3, 3))
        assert found.fun == pytest.approx(0.5, abs=1e-5)
        assert 0 <= found.x[0] <= 1
        assert found.theta[0] > 1 - 1e-4


def test_a_projection_stands_for_a_box():
    """Euclidean ball: x* is the projection of theta, f = |x* - c|^2/2 falls to the boundary point next to c."""
    c = np.array([2.0, 1.0])
    problem = ConstrainedProblem(
        2,
        2,
        project=lambda x: x / max(1.0, np.linalg.norm(x)),
        lower=lambda x, theta: (0.5 * float((x - theta) @ (x - theta)), x - theta),
        upper=lambda x, theta: (0.5 * float((x - c) @ (x - c)), x - c, None),
        hvp=lambda x, theta: np.eye(2),
        lower_theta=lambda x, theta: theta - x,
        mu=1.0,
        constants=Constants(1.0, 1.0, 0.0, 0.0),
        J_norm=lambda x, theta: 1.0,
    )
    found = minimize(problem, [0.1, 0.5], "penalty", sigma_end=1e-6)
    assert found.success
    np.testing.assert_allclose(found.x, c / np.linalg.norm(c), atol=1e-4)
    assert found.fun == pytest.approx(0.5 * (np.linalg.norm(c) - 1) ** 2, rel=1e-4)


@pytest.mark.parametrize("method", [name for name in bilevel.METHODS if name != "penalty"])
def test_other_methods_refuse_constraints_of_x(method):
    with pytest.raises((ValueError, MissingRequirement), match="'penalty'"):
        minimize(Interval(), 0.5, method)


def test_identical_folds_are_one_fold():
    from gnsopt.bilevel.blocks import MultiBlock

    one = minimize(StronglyConvex(), 0.0, "penalty", tol=1e-5)
    three = minimize(MultiBlock([StronglyConvex()] * 3), 0.0, "penalty", tol=1e-5)
    np.testing.assert_allclose(three.theta, one.theta, atol=1e-6)
    assert three.fun == pytest.approx(one.fun, rel=1e-9)
    assert three.x.shape == (18,)


def test_different_folds_are_averaged():
    from gnsopt.bilevel.blocks import MultiBlock

    folds = [StronglyConvex(seed=seed) for seed in range(3)]
    theta = np.array([0.1, 0.2, -0.3])
    found = quotient(MultiBlock(folds), theta, 0.01)
    np.testing.assert_allclose(found.z, np.mean([fold.penalty(theta, 0.01)[1] for fold in folds], axis=0), rtol=1e-8)
    assert found.V == pytest.approx(np.mean([fold.penalty(theta, 0.01)[0] for fold in folds]), rel=1e-10)


def test_same_run_twice():
    runs = [minimize(StronglyConvex(), 0.0, "penalty", tol=1e-5) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)
    assert runs[0].work == runs[1].work


# ------------------------------------------------------------------------------------------------ misuse, trouble


@pytest.mark.parametrize(
    "options",
    [
        {"loop": "triple"},
        {"sigma": 0.0},
        {"sigma": np.nan},
        {"sigma_end": 1.0},
        {"factor": 1.0},
        {"inner": "newton"},
        {"beta": 0.0},
        {"rho": -1.0},
        {"alpha": np.inf},
        {"T_in": 0},
        {"lam": 1.0},
        {"loop": "single", "central": True},
        {"sigm": 0.1},
    ],
)
def test_wrong_options_are_named(options):
    name = list(options)[-1]
    with pytest.raises(ValueError, match=name):
        minimize(StronglyConvex(), 0.0, "penalty", **options)


def test_a_sigma_that_is_too_large_for_the_central_twin():
    with pytest.raises(ValueError, match=r"sigma=0.2.*take sigma below mu/L_g = 0.1"):
        minimize(StronglyConvex(), 0.0, "penalty", central=True, sigma=0.2)


def test_lower_theta_is_asked_for():
    problem = BilevelProblem(
        1,
        1,
        lower=lambda x, theta: (float(x @ x), 2 * x),
        upper=lambda x, theta: (float(x[0]), np.ones(1), None),
        mu=2.0,
    )
    with pytest.raises(MissingRequirement, match="lower_theta"):
        minimize(problem, 0.0, "penalty")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of lower_bounds and project"),
        ({"lower_bounds": (0, 1), "project": np.abs}, "one of lower_bounds and project"),
        ({"lower_bounds": (1, 0)}, "lower_bounds"),
        ({"project": 3}, "project=3"),
        ({"project": lambda x: x + 1}, "twice"),
        ({"lower_bounds": (0, 1), "cross_t": np.dot}, "cross_t"),
    ],
)
def test_wrong_constraints_are_named(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ConstrainedProblem(2, 1, **settings)


def broken(allowed):
    """A problem whose lower level is finite where `allowed` says so."""
    toy = StronglyConvex()

    def lower(x, theta):
        h, grad = toy.lower(x, theta)
        return (h, grad) if allowed(theta) else (np.nan, np.full(toy.n, np.nan))

    oracles = {name: getattr(toy, name) for name in ("upper", "lower_theta", "mu", "hvp", "constants", "J_norm")}
    return BilevelProblem(toy.n, toy.d, lower=lower, **oracles)


@pytest.mark.parametrize("method", ["penalty", "f2ba"])
def test_trouble_on_the_way_is_a_status(method):
    goal = StronglyConvex().minimiser()
    problem = broken(lambda theta: theta @ goal < 0.5 * goal @ goal)
    options = {"step": 5e-3} if method == "f2ba" else {}
    found = minimize(problem, 0.0, method, tol=1e-5, **options)
    assert found.status in ("not-finite", "accuracy-floor", "step-failure")
    assert not found.status == "stationary"
    assert np.isfinite([found.fun, *found.theta, *found.x]).all()
    assert found.theta @ goal < 0.5 * goal @ goal


def test_the_budget_is_kept():
    found = minimize(StronglyConvex(), 0.0, "penalty", tol=0.0, maxwork=100)
    assert found.status == "budget"
    assert 100 <= found.work <= 105
    assert minimize(StronglyConvex(), 0.0, "penalty", maxiter=2).nit == 2
