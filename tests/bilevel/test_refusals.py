"""What a bilevel run must not say: converged where a step failed, stationary with an unknown error."""

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gnsopt.bilevel import (
    BilevelProblem,
    Constants,
    CrossValidation,
    LogisticPenalties,
    MultiBlock,
    TotalVariation,
    certify,
    minimize,
)
from gnsopt.bilevel.maid import PRESETS, Maid
from gnsopt.bilevel.maid_qn import MaidQN
from gnsopt.estimators import RegularizationSearch
from gnsopt.problems import Logistic


def parabola(cross_t=lambda x, t, q: -q, **oracles):
    """h = (x - t)^2 / 2, g = (x - 1)^2 / 2: f = (t - 1)^2 / 2."""
    return BilevelProblem(
        n=1,
        d=1,
        lower=lambda x, t: (0.5 * float((x - t) @ (x - t)), x - t),
        hvp=lambda x, t: lambda v: v,
        cross_t=cross_t,
        upper=lambda x, t: (0.5 * float((x - 1) @ (x - 1)), x - 1, None),
        mu=lambda t: 1.0,
        **oracles,
    )


def test_the_parabola_is_solved():
    result = minimize(parabola(), 0.0, tol=1e-8)
    assert result.status == "stationary"
    assert result.theta[0] == pytest.approx(1.0, abs=1e-7)


def test_a_wrong_sign_of_cross_t_is_a_failed_step():
    result = minimize(parabola(lambda x, t, q: q), 0.0, tol=1e-8)
    assert result.status == "step-failure"
    assert not result.success


def target(up, lower_factor=lambda t: 1.0, cross_t=lambda x, t, q: -q):
    """h = (x - t)^2 / 2, times a factor, and any g(x)."""
    return BilevelProblem(
        n=1,
        d=1,
        lower=lambda x, t: (lower_factor(t) * 0.5 * float((x - t) @ (x - t)), lower_factor(t) * (x - t)),
        hvp=lambda x, t: lambda v: v,
        cross_t=cross_t,
        upper=up,
        mu=1.0,
    )


def three(x, t):
    return 0.5 * float((x - 3) @ (x - 3)), x - 3, None


def cliff(x, t):
    return 0.5 * float((x - 3) @ (x - 3)) + (10.0 if x[0] >= 1.5 else 0.0), x - 3, None


@pytest.mark.parametrize(
    "problem", [target(three, lambda t: np.nan if t[0] >= 1.5 else 1.0), target(cliff)], ids=["domain", "jump"]
)
def test_the_edge_of_the_domain_is_no_minimum(problem):
    result = minimize(problem, 0.0)
    assert result.theta[0] == pytest.approx(1.5, abs=1e-3)
    assert result.norm == pytest.approx(1.5, abs=1e-3)
    assert result.status == "step-failure"


def test_a_radius_too_short_to_be_seen_grows():
    assert minimize(target(three), 0.0, radius=1e-300).status == "step-failure"
    result = minimize(target(three), 0.0, radius=1e-20)
    assert result.status == "stationary"
    assert result.theta[0] == pytest.approx(3.0)


def test_a_floor_of_the_values_is_still_one():
    """With a constant of 1e8 float64 sees no decrease below 1e-8, so that theta is 1 within 1e-3 at the best."""
    up = lambda x, t: (1e8 + 0.5 * float((x - 1) @ (x - 1)), x - 1, None)  # noqa: E731
    result = minimize(target(up), 0.3, tol=1e-12)
    assert result.success
    assert result.theta[0] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("late", range(3, 7))
def test_a_hypergradient_whose_norm_overflows_is_no_success(late):
    calls = iter(range(10**6))
    problem = target(three, cross_t=lambda x, t, q: -q if next(calls) < late else np.full(1, 1e308))
    result = minimize(problem, 0.0, tol=1e-14)
    assert np.isfinite(result.norm)
    assert result.success == (result.norm < 1e-6)


def test_a_lower_level_that_is_too_hard_at_a_trial_is_no_floor():
    rng = np.random.default_rng(2)
    clean = np.kron(rng.random((4, 4)), np.ones((3, 3)))
    problem = TotalVariation(clean, clean + 0.1 * rng.standard_normal(clean.shape))
    result = minimize(problem, [-6, -3], tol=1e-5)
    assert result.status == "stationary"
    assert result.norm < 1e-5


def test_an_upper_gradient_that_vanishes_at_an_unsolved_x_says_nothing():
    """x* + 0.09 % is to be reached, and the first lower solve stops 0.4 % above x*, where g is zero."""
    roots = np.roots([1.0, 0.0, 0.1, -0.3])
    solution = float(roots[np.isreal(roots)].real[0])
    aim = solution * (1 + 9e-4)
    problem = BilevelProblem(
        n=1,
        d=1,
        lower=lambda x, t: (float(x[0] ** 4 / 4 + 0.05 * x[0] ** 2 - t[0] * x[0]), x**3 + 0.1 * x - t),
        hvp=lambda x, t: lambda v: (3 * x**2 + 0.1) * v,
        cross_t=lambda x, t, q: -q,
        upper=lambda x, t: (0.5 * max(aim - x[0], 0.0) ** 2, np.minimum(x - aim, 0.0), None),
        mu=0.1,
    )
    result = minimize(problem, 0.3, tol=1e-6)
    assert result.status == "stationary"
    assert result.theta[0] > 0.3
    roots = np.roots([1.0, 0.0, 0.1, -result.theta[0]])
    x = float(roots[np.isreal(roots)].real[0])
    assert max(aim - x, 0.0) / (3 * x**2 + 0.1) <= 1e-6


def test_a_rough_slope_does_not_shorten_the_steps_for_ever():
    X, y = load_digits(return_X_y=True)
    first, second = np.array_split(np.random.default_rng(1).permutation(y.size), [y.size // 2])
    problem = LogisticPenalties(X[first], y[first], X[second], y[second])
    low, start, high = (-np.log(C * first.size) for C in (1e4, 1e-2, 1e-4))
    result = minimize(problem, start, bounds=(low, high), maxiter=30)
    assert result.status == "stationary"


def test_a_run_without_an_iterate_has_a_row():
    result = minimize(parabola(), 0.0, maxwork=1e-3)
    assert result.status == "budget"
    for name in ("nit", "fun", "gnorm", "time", "work", "low", "high", "error"):
        assert result.trace[name].shape == (1,), name
    assert result.trace["work"][0] == result.work
    assert all(type(end) is float for end in minimize(parabola(), 0.0).interval)


@pytest.mark.parametrize(
    ("bounds", "match"), [((np.nan, 1.0), r"\[nan, 1\] of theta\[0\]"), ((1.0, 1.0), r"\[1, 1\] of theta\[0\]")]
)
def test_a_wrong_box_is_named(bounds, match):
    with pytest.raises(ValueError, match=match):
        minimize(parabola(), 0.0, bounds=bounds)


def test_an_unknown_error_is_not_stationary():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    problem = CrossValidation(X, (X[:, 0] > 0).astype(int), folds=3)
    result = minimize(problem, 0.0, "scalebio", maxiter=1000)
    assert result.status != "stationary" or result.norm + result.error <= 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"max_trials": 0},
        {"radius": -1.0},
        {"radius": "a"},
        {"lam": "a"},
        {"lam": 0.5},
        {"first": None},
        {"share": np.ones(2)},
        {"max_trials": True},
        {"memory": -1},
        {"memory": 2.0},
    ],
)
def test_limits_of_the_line_search_are_checked(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MaidQN(**options)


def test_a_fold_without_a_class_is_refused_by_its_name():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 4)), np.array(["a", "b", "c"])[np.arange(90) % 3]
    fold = np.arange(90) % 2
    fold[y == "a"] = 0
    with pytest.raises(ValueError, match="class 'a'|class .*'a'"):
        RegularizationSearch(cv=fold).fit(X, y)


# --------------------------------------------------------------------------------------------------- a mu that is wrong


def shrinking(mu):
    """h = e^t |x|^2 / 2 - sum x, whose curvature is e^t, and g = |x - 50|^2 / 2: theta goes to -log 50."""
    return BilevelProblem(
        n=2,
        d=1,
        lower=lambda x, t: (0.5 * np.exp(t[0]) * float(x @ x) - float(x.sum()), np.exp(t[0]) * x - 1),
        hvp=lambda x, t: np.exp(t[0]) * np.eye(2),
        cross_t=lambda x, t, q: np.exp(t) * float(x @ q),
        upper=lambda x, t: (0.5 * float((x - 50) @ (x - 50)), x - 50, None),
        mu=mu,
        constants=lambda t: Constants(L=float(np.exp(t[0])), L_g=1.0, L_H=0.0, L_J=float(np.exp(t[0]))),
        J_norm=lambda x, t: float(np.exp(t[0]) * np.linalg.norm(x)),
        bounds=(-5, 5),
    )


@pytest.mark.parametrize("mu", [np.nan, -1.0, np.inf, 5.0])
def test_a_mu_that_is_wrong_at_the_result_is_noticed_without_certificates_too(mu):
    result = minimize(shrinking(lambda t: 1.0 if t[0] == 0 else mu), 0.0, tol=1e-4)
    assert result.status == "wrong-mu"
    assert not result.success
    assert minimize(shrinking(lambda t: 1.0 if t[0] == 0 else mu), 0.0, tol=1e-4, check=False).status != "wrong-mu"


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_mu_that_is_wrong_at_the_result_certifies_nothing(blocks):
    def made(mu):
        return shrinking(mu) if blocks == 1 else MultiBlock([shrinking(lambda t: np.exp(t[0])), shrinking(mu)])

    right = minimize(made(lambda t: float(np.exp(t[0]))), 0.0, certified=True, tol=1e-4)
    assert right.certified
    assert right.success
    assert right.theta[0] == pytest.approx(-np.log(50), abs=1e-3)
    wrong = minimize(made(1.0), 0.0, certified=True, tol=1e-4)
    assert wrong.theta[0] < -1
    assert not wrong.certified
    assert not wrong.success
    assert wrong.status == "wrong-mu"
    assert "mu" in wrong.message
    with pytest.raises(ValueError, match=r"mu\(theta\)=1 is wrong"):
        certify(made(1.0), -3.0)


# ------------------------------------------------------------------------------------------------------ options of MAID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eps0", -1.0),
        ("delta0", np.nan),
        ("alpha0", "x"),
        ("alpha0", -1.0),
        ("alpha0", np.ones(2)),
        ("max_rounds", 0),
        ("max_backtracks", 0),
        ("eta", "half"),
        ("rho_up", np.inf),
        ("reference", "x"),
        ("forcing", 0.0),
    ],
)
def test_options_of_maid_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        Maid(**{name: value})


def test_options_by_hand_win_over_the_preset():
    paper = Maid()
    for preset, values in PRESETS.items():
        made = Maid(preset=preset)
        for name, value in values.items():
            assert getattr(made, name) == value
            by_hand = getattr(paper, name)
            if name != "lam":
                assert getattr(Maid(**{"preset": preset, "lam": 1e-9, name: by_hand}), name) == by_hand
    assert Maid(preset="later", eta=1e-4, lam=1e-8).eta == 1e-4
    with pytest.raises(ValueError, match="preset"):
        minimize(parabola(), 0.0, Maid(), preset="later")


# --------------------------------------------------------------------------------------------------- oracles and data


def test_an_oracle_may_return_an_array_of_one_number():
    result = minimize(shrinking(lambda t: np.exp(t)), 0.0, certified=True, tol=1e-4)
    assert result.certified
    assert result.theta[0] == pytest.approx(-np.log(50), abs=1e-3)


def changed(**oracles):
    problem = shrinking(lambda t: np.exp(t))
    for name, value in oracles.items():
        if name in ("mu", "constants"):
            setattr(problem, f"_{name}", value)
        else:
            problem._oracles[name] = value
    return problem


@pytest.mark.parametrize(
    ("oracles", "match"),
    [
        ({"mu": lambda t: np.ones(3)}, r"mu\(theta\) returned ndarray of shape \(3,\)"),
        ({"mu": lambda t: None}, r"mu\(theta\) returned NoneType"),
        ({"J_norm": lambda x, t: np.exp(t) * x}, r"J_norm\(x, theta\) returned ndarray of shape \(2,\)"),
        ({"constants": lambda t: {"L": 1.0}}, r"constants\(theta\) returned dict"),
        ({"cross_t": lambda x, t, q: None}, r"cross_t\(x, theta, q\) returned None"),
    ],
)
def test_what_an_oracle_returns_is_checked(oracles, match):
    with pytest.raises(TypeError, match=match):
        minimize(changed(**oracles), 0.0, certified=True)


def test_constants_must_be_constants():
    with pytest.raises(TypeError, match="constants=.*must be Constants"):
        parabola(constants={"L": 1.0})


@pytest.mark.parametrize("method", ["maid-qn", "hoag", "implicit"])
def test_an_unknown_linear_solver_is_named(method):
    with pytest.raises(ValueError, match="linear='nope' is unknown; choose one of auto"):
        minimize(parabola(), 0.0, method, linear="nope")


@pytest.mark.parametrize(
    ("theta", "match"),
    [(np.nan, "theta contains NaN"), (9.0, r"theta\[0\]=9 is outside the box"), (np.zeros(3), r"theta: shape \(3,\)")],
)
def test_certify_checks_where(theta, match):
    problem = shrinking(lambda t: np.exp(t))
    assert certify(problem, 0.0).low <= 49.0**2 <= certify(problem, 0.0).high
    with pytest.raises(ValueError, match=match):
        certify(problem, theta)


def test_certify_checks_its_tolerance():
    with pytest.raises(ValueError, match="tol=-1"):
        certify(shrinking(lambda t: np.exp(t)), 0.0, -1)


def test_missing_data_are_named():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 2)), np.arange(20) % 2
    for arguments, match in (
        ((X, y, X[:0], y[:0]), r"X_val has shape \(0, 2\)"),
        ((X[:0], y[:0], X, y), r"X_train has shape \(0, 2\)"),
        ((X, None, X, y), "y_train=None"),
        ((X, y, X, None), "y_val=None"),
    ):
        with pytest.raises(ValueError, match=match):
            LogisticPenalties(*arguments)


class Maker:
    """A callable that takes theta alone."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __call__(self, theta):
        return made(self.X, self.y, theta)


def made(X, y, theta):
    return Logistic(X, y, l2=np.exp(theta))


@pytest.mark.parametrize("kind", ["function", "partial", "object", "method"])
def test_a_lower_level_may_be_any_callable_of_theta(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    y = (X[:, 0] + rng.standard_normal(40) > 0).astype(int)
    maker = Maker(X, y)
    lower = {
        "function": lambda t: made(X, y, t),
        "partial": partial(made, X, y),
        "object": maker,
        "method": maker.__call__,
    }[kind]
    problem = BilevelProblem(
        2,
        2,
        lower=lower,
        upper=lambda x, t: (0.5 * float((x - 1) @ (x - 1)), x - 1, None),
        cross_t=lambda x, t, q: np.exp(t) * x * q,
        mu=lambda t: np.exp(t.min()),
        bounds=(-5, 2),
    )
    result = minimize(problem, -1.0, tol=1e-6)
    assert result.success
    pair = partial(lambda x, theta, a: (0.5 * a * float((x - theta) @ (x - theta)), a * (x - theta)), a=1.0)
    other = parabola()
    assert not BilevelProblem(1, 1, lower=pair, upper=other.upper, mu=1.0)._makes_objectives
