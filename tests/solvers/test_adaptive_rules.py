"""Each rule with a step size against its formulas written out anew, its invariants, and the searched step."""

import numpy as np
import pytest

from gnsopt import Status, minimize
from gnsopt.objective import Callables
from gnsopt.registry import PROBLEMS
from gnsopt.solvers import Adaptive
from gnsopt.solvers.adaptive import RULES
from gnsopt.testing import check_solver

START = np.array([-1.5, 2.0])


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def slope(x):
    return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


def path(rule, iterations=60, fun=rosenbrock, jac=slope, x0=START, **settings):
    options = {"maxiter": iterations, "gtol": 0.0, "keep_x": True}
    return np.array(minimize(fun, x0, jac=jac, method=Adaptive(rule, **settings), options=options).trace.x)


def by_hand(rule, iterations=60, lr=1e-2):
    """The rules one by one, with explicit sums in place of running averages."""
    x, G, X = START.copy(), [], [START]

    def average(values, beta):
        weights = (1 - beta) * beta ** np.arange(len(values))[::-1]
        return weights @ np.array(values) / (1 - beta ** len(values))

    beliefs, v = [], 0.0
    for k in range(iterations):
        g = slope(x)
        G.append(g)
        D = [np.zeros(2), *np.diff(G, axis=0)]
        m, eps = average(G, 0.9), 1e-8
        if rule == "adam":
            d = m / (np.sqrt(average(np.square(G), 0.999)) + eps)
        elif rule == "adabelief":
            beliefs.append((g - m * (1 - 0.9 ** (k + 1))) ** 2)
            v = 0.999 * v + 0.001 * beliefs[-1] + eps
            d = m / (np.sqrt(v / (1 - 0.999 ** (k + 1))) + eps)
        elif rule == "diffgrad":
            last = G[-2] if k else np.zeros(2)
            d = m / (np.sqrt(average(np.square(G), 0.999)) + eps) / (1 + np.exp(-np.abs(last - g)))
        elif rule == "adan":
            mixed = np.array(G) + 0.92 * np.array(D)
            d = (average(G, 0.98) + 0.92 * average(D, 0.92)) / (np.sqrt(average(mixed**2, 0.99)) + eps)
        elif rule == "scale":
            m = m * (1 - 0.9 ** (k + 1))
            d = m / np.sqrt(np.mean(m**2))
        elif rule == "adagrad-norm":
            d = g / np.sqrt(1e-2 + np.sum(np.square(G)))
        else:
            d = g
        x = x - lr * d
        X.append(x)
    return np.array(X)


@pytest.mark.parametrize("rule", ["adam", "adabelief", "diffgrad", "adan", "scale", "adagrad-norm"])
def test_rule_is_its_formula(rule):
    np.testing.assert_allclose(path(rule, lr=1e-2), by_hand(rule), rtol=1e-11)


def test_nme_is_nesterovs_method():
    """With x_bar = x - eta b m the estimate of Adan, unscaled, is the look-ahead form; the first difference is g."""
    b, eta = 0.9, 1e-4
    X = path("nme", 40, lr=eta, betas=(b,))
    bar, m = START.copy(), np.zeros(2)
    for x in X[:-1]:
        ahead = bar - eta * b * m
        np.testing.assert_allclose(ahead, x, rtol=1e-13)
        m = b * m + slope(ahead)
        bar = bar - eta * m


def test_exponentiated_gradient_keeps_signs_and_is_multiplicative():
    x0, target = np.array([2.0, -0.5, 1.0]), np.array([0.5, 3.0, -4.0])
    X = path(
        "exponentiated",
        400,
        lambda x: 0.5 * float((x - target) @ (x - target)),
        lambda x: x - target,
        x0,
        lr=0.05,
        spread=0.0,
    )
    assert np.all(np.sign(X) == np.sign(x0))
    np.testing.assert_allclose(X[1], x0 * np.exp(-0.05 * (x0 - target) * np.sign(x0)), rtol=1e-14)
    np.testing.assert_allclose(X[-1], [0.5, 0.0, 0.0], atol=1e-3)  # the minimiser in that orthant


def test_spread_joins_both_signs():
    """With s the map is that of two multiplicative halves, u - v with u v = s^2/4."""
    s, x, t, g = 0.3, np.array([0.7, -1.2, 0.0]), 0.1, np.array([1.0, -2.0, 3.0])
    X = path("exponentiated", 1, lambda x: float(g @ x), lambda x: g, x, lr=t, spread=s)
    u, v = (np.sqrt(x * x + s * s) + x) / 2, (np.sqrt(x * x + s * s) - x) / 2
    np.testing.assert_allclose(X[1], u * np.exp(-t * g) - v * np.exp(t * g), rtol=1e-13)


def test_sketch_has_its_moments():
    """E R'R = I and E |R'R g|^2 = (1 + (n + 1)/s) |g|^2."""
    g, s = np.array([1.0, -2.0, 0.5, 3.0, 0.0, 1.0]), 3
    D = np.diff(path("sketched", 20000, lambda x: float(g @ x), lambda x: g, np.zeros(6), lr=1.0, sketch=s), axis=0)
    np.testing.assert_allclose(-D.mean(axis=0), g, atol=0.12)
    assert np.mean(np.sum(D**2, axis=1)) / (g @ g) == pytest.approx(1 + 7 / s, rel=0.03)


def test_rows_of_scale_have_unit_root_mean_square():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((3, 4)) * np.array([[1.0], [1e3], [1e-3]])
    X = path("scale", 1, lambda x: float(G.ravel() @ x), lambda x: G.ravel(), np.zeros(12), lr=1.0, shape=(3, 4))
    np.testing.assert_allclose(np.mean(X[1].reshape(3, 4) ** 2, axis=1), 1, rtol=1e-14)


def first(x):
    return (x[0] + 0.3) ** 2 if x[0] <= 0 else (x[0] - 0.2) ** 2 + 0.05


def first_slope(x):
    return 2 * (x + 0.3) if x[0] <= 0 else 2 * (x - 0.2)


def second(x):
    return -40 * x[0] - 35.15 if x[0] <= -0.9 else x[0] ** 3 + x[0] * np.sin(8 * x[0]) + 0.85


def second_slope(x):
    return np.where(x <= -0.9, -40.0, 3 * x**2 + np.sin(8 * x) + 8 * x * np.cos(8 * x))


@pytest.mark.parametrize(
    ("fun", "jac", "adam", "diffgrad"), [(first, first_slope, 0.2, -0.3), (second, second_slope, 0.0, -0.6429)]
)
def test_friction_of_diffgrad_keeps_it_in_the_better_valley(fun, jac, adam, diffgrad):
    """The functions of its paper, with the right derivative of the second one."""
    ends = [path(r, 300, fun, jac, np.array([-1.0]), lr=0.1, betas=(0.95, 0.999))[-1, 0] for r in ("adam", "diffgrad")]
    np.testing.assert_allclose(ends, [adam, diffgrad], atol=5e-3)


def test_adagrad_norm_stabilises_itself():
    """On a smooth non-convex f: the accumulator converges, and min |g|^2 K stays bounded, without any L."""
    problem = Callables(lambda x: float(np.sum(x**2 / (1 + x**2))), 3, jac=lambda x: 2 * x / (1 + x**2) ** 2)
    result = Adaptive("adagrad-norm", lr=1.0).minimize(problem, [0.5, -3.0, 1.0], gtol=0, maxiter=4000, norm="2")
    squares = result.trace["gnorm"] ** 2
    assert np.sum(squares[2000:]) < 1e-6 * np.sum(squares)
    assert np.max(np.minimum.accumulate(squares) * np.arange(1, squares.size + 1)) < 2 * np.sum(squares) < 100


@pytest.mark.parametrize("rule", RULES)
def test_searched_steps_keep_the_contract(rule):
    check_solver(Adaptive(rule), PROBLEMS["logistic"](), gtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_all_reach_the_minimum_of_a_quadratic(rule):
    d, c = np.array([1.0, 5.0, 20.0]), np.array([1.0, 2.0, -1.0])
    problem = Callables(lambda x: 0.5 * float((x - c) @ (d * (x - c))), 3, jac=lambda x: d * (x - c))
    result = Adaptive(rule).minimize(problem, gtol=1e-9)
    assert result.success
    np.testing.assert_allclose(result.x, c, atol=1e-8)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_can_be_chosen_among_the_options(rule):
    """The fields of a solver stay as they were given: the defaults of Adam are not those of its replacement."""
    options = {"rule": rule, "lr": 1e-3, "maxiter": 5, "gtol": 0.0}
    run = minimize(rosenbrock, START, jac=slope, method="adaptive", options=options)
    np.testing.assert_array_equal(
        run.x, Adaptive(rule, lr=1e-3).minimize(Callables(rosenbrock, 2, jac=slope), START, maxiter=5, gtol=0.0).x
    )
    assert (Adaptive(rule).betas, Adaptive(rule).eps) == (None, None)


def test_forms_of_the_step_size_agree():
    steps = np.linspace(0.02, 0.01, 10)
    np.testing.assert_array_equal(path("adam", 10, lr=steps), path("adam", 10, lr=lambda k: steps[k]))
    np.testing.assert_array_equal(path("adam", 10, lr=0.02), path("adam", 10, lr=[0.02]))


def test_divergence_ends_with_a_status():
    def fun(x):
        with np.errstate(over="ignore"):
            return 0.5 * float(x @ x)

    result = Adaptive("gradient", lr=10.0).minimize(Callables(fun, 2, jac=lambda x: x), [1.0, 1.0])
    assert result.status == Status.STEP_FAILURE
    assert "take a smaller lr" in result.message
    np.testing.assert_array_equal(result.x, [1, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "adm"}, "did you mean 'adam'"),
        ({"lr": -1.0}, "lr="),
        ({"lr": [0.1, np.nan]}, "lr="),
        ({"betas": (0.9,)}, "betas=.*2 numbers"),
        ({"betas": (0.9, 1.0)}, "betas="),
        ({"betas": 0.9}, "betas=0.9"),
        ({"betas": "ab"}, "betas="),
        ({"eps": 0.0}, "eps="),
        ({"rule": "sketched", "sketch": 0}, "sketch="),
    ],
)
def test_misuse_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Adaptive(**settings)


def test_shape_must_hold_the_variables():
    with pytest.raises(ValueError, match="shape=.*does not hold the 2 variables"):
        path("scale", shape=(2, 3))
