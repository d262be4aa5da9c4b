"""Bad input is an error that names it; trouble along the way is a status."""

import numpy as np
import pytest

from gnsopt.bilevel import BilevelProblem, Constants, LogisticPenalties, MultiBlock, certify, minimize
from gnsopt.bilevel.maid import Maid
from gnsopt.bilevel.maid_qn import MaidQN
from gnsopt.bilevel.problems import CrossValidation
from gnsopt.exceptions import MissingRequirement
from gnsopt.problems import Logistic
from tests.bilevel.instances import data, scalar


def problem(**changes):
    """``h = |x - t|^2/2 + |x|^2/2``, ``g = |x - 1|^2/2`` in the plane, with one oracle changed."""
    oracles = {
        "lower": lambda x, t: (0.5 * (x - t) @ (x - t) + 0.5 * x @ x, 2 * x - t),
        "upper": lambda x, t: (0.5 * (x - 1) @ (x - 1), x - 1, None),
        "cross_t": lambda x, t, q: -q,
        "hvp": lambda x, t: 2 * np.eye(2),
        "mu": 2.0,
    }
    return BilevelProblem(2, 2, **{**oracles, **changes})


def test_the_plain_problem_is_solved():
    run = minimize(problem(), np.zeros(2), tol=1e-9)
    np.testing.assert_allclose(run.theta, 2.0, rtol=1e-7)


@pytest.mark.parametrize("lower", ["value", "objective"])
def test_the_lower_level_may_be_an_objective(lower):
    X, y = data(40, 2)
    maker = {
        "value": lambda x, t: logistic_value(X, y, x, t),
        "objective": lambda t: Logistic(X, y, l2=np.exp(t)),
    }[lower]
    own = problem(
        lower=maker,
        hvp=None,
        cross_t=lambda x, t, q: np.exp(t) * x * q,
        mu=lambda t: np.exp(t.min()),
        hdiag=None,
        bounds=(-5, 2),
    )
    run = minimize(own, -1.0, tol=1e-6)
    assert run.success
    if lower == "value":
        other = problem(
            lower=lambda t: Logistic(X, y, l2=np.exp(t)),
            hvp=None,
            mu=lambda t: np.exp(t.min()),
            cross_t=lambda x, t, q: np.exp(t) * x * q,
            bounds=(-5, 2),
        )
        assert run.fun == pytest.approx(minimize(other, -1.0, tol=1e-6).fun, rel=1e-6)


def logistic_value(X, y, x, t):
    h = Logistic(X, y, l2=np.exp(t))
    z = h.prepare(x)
    return h.fun(x, z), h.grad(x, z)


WRONG = {
    "gradient of lower": ({"lower": lambda x, t: (0.0, np.zeros(3))}, ValueError, "lower: gradient in x"),
    "lower without gradient": ({"lower": lambda x, t: 0.0}, TypeError, "lower returned float"),
    "upper of two": ({"upper": lambda x, t: (0.0, x)}, TypeError, r"return \(g, grad_x g"),
    "gradient of upper": ({"upper": lambda x, t: (0.0, np.zeros((2, 1)), None)}, ValueError, "upper: gradient in x"),
    "theta gradient": ({"upper": lambda x, t: (0.0, x, np.zeros(5))}, ValueError, "upper: gradient in theta"),
    "cross_t": ({"cross_t": lambda x, t, q: np.zeros(7)}, ValueError, r"cross_t.*shape \(2,\)"),
    "hvp shape": ({"hvp": lambda x, t: np.eye(3)}, ValueError, r"must be \(2, 2\)"),
    "hvp product": ({"hvp": lambda x, t: lambda v: np.zeros(4)}, ValueError, "hvp"),
    "hdiag": ({"hvp": lambda x, t: lambda v: 2 * v, "hdiag": lambda x, t: np.ones(3)}, ValueError, "hdiag"),
    "mu too large": ({"mu": 2.5}, ValueError, r"mu\(theta\)=2.5 is wrong"),
    "mu of a concave": ({"hvp": lambda x, t: -np.eye(2)}, ValueError, "is not convex"),
    "mu zero": ({"mu": 0.0}, ValueError, "must be positive"),
    "lower not finite": ({"lower": lambda x, t: (np.nan, x)}, ValueError, "lower.*not finite"),
    "upper not finite": ({"upper": lambda x, t: (0.0, np.full(2, np.inf), None)}, ValueError, "upper.*not finite"),
    "cross_t not finite": ({"cross_t": lambda x, t, q: np.full(2, np.nan)}, ValueError, "cross_t.*not finite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_oracles_that_cannot_be_right_are_named(name):
    changes, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        minimize(problem(**changes), np.zeros(2))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"theta0": [0.0, 9.0], "bounds": (-1, 1)}, ValueError, r"theta0\[1\]=9 is outside the box"),
        ({"theta0": [0.0, np.nan]}, ValueError, "theta0 contains NaN"),
        ({"theta0": np.zeros(3)}, ValueError, "theta0"),
        ({"bounds": (1, -1)}, ValueError, "lower bound"),
        ({"bounds": 3}, ValueError, "bounds=3"),
        ({"method": "maidqn"}, ValueError, "did you mean 'maid-qn'"),
        ({"memmory": 3}, ValueError, "did you mean 'memory'"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"maxiter": 1.5}, ValueError, "maxiter"),
        ({"maxtime": 0}, ValueError, "maxtime"),
        ({"maxwork": -3}, ValueError, "maxwork"),
        ({"lower_solver": "newtn"}, ValueError, "did you mean 'newton'"),
        ({"lower_solver": 3}, ValueError, "lower_solver=3"),
        ({"method": "maid"}, MissingRequirement, "'constants', needed for method 'maid'"),
        ({"method": "hoag", "schedule": "linear"}, ValueError, "schedule"),
        ({"lam": 0.7}, ValueError, "lam"),
        ({"method": "maid", "preset": "old"}, ValueError, "preset"),
    ],
    ids=str,
)
def test_misuse_is_an_error(arguments, error, match):
    arguments = {"theta0": np.zeros(2), **arguments}
    with pytest.raises(error, match=match):
        minimize(problem(), **arguments)


def test_a_problem_must_be_one():
    with pytest.raises(TypeError, match="BilevelProblem"):
        minimize(lambda t: t, 0.0)
    with pytest.raises(TypeError, match="upper=3 must be callable"):
        problem(upper=3)
    with pytest.raises(ValueError, match="n=0"):
        BilevelProblem(0, 1)
    with pytest.raises(MissingRequirement, match="no 'cross_t'"):
        minimize(problem(cross_t=None), np.zeros(2))
    with pytest.raises(MissingRequirement, match="no 'lower'"):
        minimize(BilevelProblem(1, 1, upper=lambda x, t: (0.0, x, None), cross_t=lambda x, t, q: q, mu=1.0), 0.0)
    with pytest.raises(MissingRequirement, match="constants"):
        certify(problem(), np.zeros(2))
    with pytest.raises(ValueError, match="L_g"):
        Constants(1.0, np.nan, 0.0, 0.0)
    with pytest.raises(TypeError, match="blocks"):
        MultiBlock([])
    with pytest.raises(ValueError, match="share theta"):
        MultiBlock([problem(), scalar()])


def test_certificates_without_constants_warn():
    with pytest.warns(RuntimeWarning, match="mu, constants and J_norm"):
        run = minimize(problem(), np.zeros(2), certified=True, tol=1e-6)
    assert not run.certified


def test_data_that_do_not_fit_are_errors():
    X, y = data(40, 3)
    with pytest.raises(ValueError, match="groups='columns'"):
        LogisticPenalties(X, y, X, y, groups="columns")
    with pytest.raises(ValueError, match="without gaps"):
        LogisticPenalties(X, y, X, y, groups=np.array([0, 2, 2]))
    with pytest.raises(ValueError, match="they must have the same"):
        LogisticPenalties(X, y, X[:, :2], y)
    with pytest.raises(ValueError, match="label 7"):
        LogisticPenalties(X, y, X, np.where(y == 1, 7, 0))
    with pytest.raises(ValueError, match="folds=1"):
        CrossValidation(X, y, folds=1)
    with pytest.raises(ValueError, match="folds"):
        CrossValidation(X, y, folds=np.zeros(40, dtype=int))
    with pytest.raises(ValueError, match="loss='hinge'"):
        CrossValidation(X, y, loss="hinge")


def test_options_are_checked():
    with pytest.raises(ValueError, match="0 < lam < eta"):
        Maid(lam=0.5, eta=0.1)
    with pytest.raises(ValueError, match="rho"):
        Maid(rho=1.5)
    with pytest.raises(ValueError, match="bound"):
        Maid(bound="tight")
    with pytest.raises(ValueError, match="memory"):
        MaidQN(memory=-1)
    later = Maid(preset="later", eta=0.9)
    assert (later.eta, later.lam, later.test_error, later.max_backtracks) == (0.9, 0.1, False, 20)


def test_a_held_out_set_may_lack_a_class():
    X, y = data(60, 3, 3)
    whole = LogisticPenalties(X[:40], y[:40], X[40:], y[40:])
    part = np.flatnonzero(y[40:] != 1) + 40
    lacking = LogisticPenalties(X[:40], y[:40], X[part], y[part])
    x = np.random.default_rng(0).standard_normal(9)
    each = [LogisticPenalties(X[:40], y[:40], X[i : i + 3], y[i : i + 3]) for i in (40, 43)]
    assert lacking.n == whole.n
    P = np.exp(X[part] @ x.reshape(3, 3))
    P /= P.sum(axis=1, keepdims=True)
    assert lacking.upper(x, None)[0] == pytest.approx(-np.log(P[np.arange(part.size), y[part]]).mean())
    assert len(each) == 2


# ------------------------------------------------------------------------------------------------- trouble on the way


def test_a_hypergradient_that_is_not_finite_ends_the_run():
    calls = []

    def cross_t(x, t, q):
        calls.append(1)
        return -q if len(calls) < 6 else np.full(2, np.nan)

    run = minimize(problem(cross_t=cross_t), np.zeros(2), tol=0)
    assert run.status == "not-finite"
    assert np.isfinite(run.theta).all()
    assert np.isfinite(run.fun)


def test_an_upper_level_that_is_not_finite_far_away_is_a_rejected_trial_or_a_status():
    def upper(x, t):
        with np.errstate(divide="ignore", invalid="ignore"):
            value = 0.5 * (x - 1) @ (x - 1) - np.log(1.05 - x[0])
            return value, x - 1 + np.array([1 / (1.05 - x[0]), 0.0]), None

    run = minimize(problem(upper=upper), np.zeros(2), tol=1e-7, bounds=(-50, 50))
    assert run.status in ("stationary", "not-finite")
    assert np.isfinite(run.fun)


def test_a_lower_level_that_loses_its_convexity_ends_the_run():
    def lower(x, t):
        return 0.5 * (1 - t[0]) * float(x @ x) - float(x.sum()), (1 - t[0]) * x - 1

    own = problem(
        lower=lower,
        hvp=lambda x, t: (1 - t[0]) * np.eye(2),
        cross_t=lambda x, t, q: np.array([-x @ q, 0.0]),
        upper=lambda x, t: (0.5 * float((x + 3) @ (x + 3)), x + 3, None),
        mu=lambda t: max(1 - t[0], 0.5),
    )
    run = minimize(own, np.array([0.4, 0.0]), tol=1e-8, bounds=(-5, 5))
    assert np.isfinite(run.theta).all()
    wrong = minimize(own, np.array([1.5, 0.0]), check=False)
    assert wrong.status in ("not-convex", "not-finite", "step-failure")
    assert not wrong.success
