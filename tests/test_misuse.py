"""Misuse: a ValueError or TypeError that names the argument, before the objective is evaluated."""

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import LinearConstraint, OptimizeWarning, rosen, rosen_der, rosen_hess
from scipy.sparse import csr_array

import gnsopt
from gnsopt import SOLVERS, GradNormSmooth, Logistic, LogSumExp, Objective, Softmax, gram_metric
from gnsopt.curvature import exact, lazy
from gnsopt.exceptions import MissingRequirement

X = np.random.default_rng(0).standard_normal((10, 3))
Y = np.array([0, 1] * 5)
Y3 = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
X0 = [-1.2, 1.0]


def spoilt(value, sparse=False):
    """X with one entry replaced; sparse, with few others."""
    A = X * (np.arange(10) % 4 == 2)[:, None] * [0, 1, 0] if sparse else X.copy()
    A[2, 1] = value
    return csr_array(A) if sparse else A


# ---------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("problem", [Logistic, Softmax])
@pytest.mark.parametrize(
    ("A", "message"),
    [
        (spoilt(np.nan), "X contains NaN or infinity"),
        (spoilt(np.inf), "X contains NaN or infinity"),
        (spoilt(-np.inf), "X contains NaN or infinity"),
        (spoilt(np.nan, sparse=True), "X contains NaN or infinity"),
        (spoilt(np.inf, sparse=True), "X contains NaN or infinity"),
        (np.where(np.isnan(spoilt(np.nan)), None, X), "X contains NaN or infinity"),
        (X[0], r"X has shape \(3,\)"),
        (X[None], r"X has shape \(1, 10, 3\)"),
        (3.0, "X has shape"),
        (X[:0], "X .* holds no samples"),
        (X[:, :0], "X .* no features"),
        (csr_array((10, 0)), "X .* no features"),
        (X + 1j, "X is not an array of real numbers"),
        (csr_array(X + 1j), "X has dtype complex128"),
        (np.full((10, 3), "a"), "X is not an array of real numbers"),
        ([[1.0, 2.0], [3.0]], "X is not an array of real numbers"),
        (None, "X "),
    ],
)
def test_designs(problem, A, message):
    with pytest.raises(ValueError, match=message):
        problem(A, Y)


@pytest.mark.parametrize(
    ("problem", "y", "message"),
    [
        (Logistic, np.zeros(10), r"y has 1 class\(es\).*nothing to separate"),
        (Logistic, Y3, r"y has 3 class\(es\).*use Softmax"),
        (Softmax, np.zeros(10), "y has 1 class"),
        *[
            (problem, y, message)
            for problem in (Logistic, Softmax)
            for y, message in (
                (Y[:-1], r"y has shape \(9,\); X has 10 rows"),
                (np.append(Y, 1), r"y has shape \(11,\)"),
                (np.stack([Y, Y], axis=1), r"y has shape \(10, 2\)"),
                (np.where(Y == 1, np.nan, 0.0), "y contains NaN or infinity"),
                (np.where(Y == 1, np.inf, 0.0), "y contains NaN or infinity"),
                (1.0, r"y has shape \(\)"),
                (None, "y has shape"),
                ([None, 1] * 5, "y "),
                (["a", 1] * 5, None),  # mixed types become strings, or are refused: never a wrong problem
            )
        ],
    ],
)
def test_labels(problem, y, message):
    if message is None:
        assert list(problem(X, y).classes) == ["1", "a"]
        return
    with pytest.raises(ValueError, match=message):
        problem(X, y)


@pytest.mark.parametrize("problem", [Logistic, Softmax])
@pytest.mark.parametrize(
    ("l2", "message"),
    [
        (-1e-9, "l2=-1e-09 must be finite and non-negative"),
        (np.nan, "l2=nan"),
        (np.inf, "l2=inf"),
        ([1.0, -1.0, 1.0], "l2=.* non-negative"),
        ([1.0, 1.0], r"l2 has shape \(2,\)"),
        (np.ones((3, 1)), r"l2 has shape \(3, 1\)"),
        ("much", "l2='much'"),
        (None, "l2=None"),
    ],
)
def test_penalties(problem, l2, message):
    with pytest.raises(ValueError, match=message):
        problem(X, Y, l2)


@pytest.mark.parametrize("problem", [Logistic, Softmax])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(10), "sample_weight must be finite and non-negative"),
        (np.append(np.ones(9), np.nan), "sample_weight must be finite"),
        (np.append(np.ones(9), np.inf), "sample_weight must be finite"),
        (np.zeros(10), "sample_weight is zero for every sample"),
        (0.0, "sample_weight is zero"),
        (np.ones(9), r"sample_weight has shape \(9,\)"),
        (np.ones((10, 1)), r"sample_weight has shape \(10, 1\)"),
        ("balanced", "sample_weight"),
    ],
)
def test_weights(problem, weight, message):
    with pytest.raises(ValueError, match=message):
        problem(X, Y, sample_weight=weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((spoilt(np.nan), np.zeros(10)), "A contains NaN"),
        ((X[0], np.zeros(3)), "A has shape"),
        ((X, np.zeros(9)), r"b has shape \(9,\)"),
        ((X, np.full(10, np.nan)), "b .* finite"),
        ((X, np.zeros(10), 0.0), "mu=0.0 must be positive"),
        ((X, np.zeros(10), -1.0), "mu=-1.0"),
        ((X, np.zeros(10), np.nan), "mu=nan"),
        ((X, np.zeros(10), np.inf), "mu=inf"),
        ((X, np.zeros(10), [1.0]), r"mu=\[1.0\]"),
    ],
)
def test_log_sum_exp(arguments, message):
    for make in (LogSumExp, LogSumExp.centered):
        with pytest.raises(ValueError, match=message):
            make(*arguments)


# ----------------------------------------------------------------------------------------------------------- runs


class Counted:
    """Rosenbrock's function, its gradient and its Hessian, counting every call."""

    def __init__(self):
        self.calls = 0

    def fun(self, x, *args):
        self.calls += 1
        return rosen(x)

    def jac(self, x, *args):
        self.calls += 1
        return rosen_der(x)

    def hess(self, x, *args):
        self.calls += 1
        return rosen_hess(x)


class CountedProblem(Objective):
    """The same as a problem."""

    n = 2

    def __init__(self):
        self.calls = 0

    def prepare(self, x):
        self.calls += 1

    def fun(self, x, z):
        self.calls += 1
        return rosen(x)

    def grad(self, x, z):
        self.calls += 1
        return rosen_der(x)

    def hess(self, x, z):
        self.calls += 1
        return rosen_hess(x)


# options of a run: what is given, the error, its message
OPTIONS = [
    ({"gtol": -1e-9}, ValueError, "gtol=-1e-09 must be a number >= 0"),
    ({"gtol": np.nan}, ValueError, "gtol=nan"),
    ({"gtol": "small"}, ValueError, "gtol='small'"),
    ({"gtol": None}, ValueError, "gtol=None"),
    ({"gtol": [1e-8]}, ValueError, r"gtol=\[1e-08\]"),
    ({"gtol": 1j}, ValueError, "gtol=1j"),
    ({"maxiter": -1}, ValueError, "maxiter=-1 must be an integer >= 0"),
    ({"maxiter": 2.5}, ValueError, "maxiter=2.5"),
    ({"maxiter": None}, ValueError, "maxiter=None"),
    ({"maxiter": "many"}, ValueError, "maxiter='many'"),
    ({"norm": "fro"}, ValueError, "norm='fro' must be"),
    ({"norm": 0.5}, ValueError, "norm=0.5"),
    ({"norm": None}, ValueError, "norm=None"),
    ({"f_target": np.nan}, ValueError, "f_target is NaN"),
    ({"f_target": "low"}, (ValueError, TypeError), "f_target"),
    ({"maxtime": 0}, ValueError, "maxtime=0 must be"),
    ({"maxtime": -1.0}, ValueError, "maxtime=-1.0"),
    ({"maxtime": np.nan}, ValueError, "maxtime=nan"),
    ({"maxtime": "long"}, (ValueError, TypeError), "maxtime"),
    ({"stop": "never"}, (ValueError, TypeError), "stop"),
]
ARGUMENTS = [
    ({"x0": [1.0, 2.0, 3.0]}, ValueError, "x0 has 3 entries; the problem has 2 variables"),
    ({"x0": [1.0]}, ValueError, "x0 has 1 entries"),
    ({"x0": []}, ValueError, "x0 "),
    ({"x0": np.zeros((2, 1))}, ValueError, r"x0 has shape \(2, 1\)"),
    ({"x0": [1j, 0.0]}, ValueError, "x0 .* real numbers"),
    ({"x0": ["a", "b"]}, ValueError, "x0 .* real numbers"),
    ({"x0": [None, 1.0]}, ValueError, "x0 .* real numbers"),
    ({"callback": 3}, TypeError, "callback=3 is not callable"),
]


@pytest.mark.parametrize(("given", "error", "message"), OPTIONS + ARGUMENTS)
def test_native_door(given, error, message):
    problem = CountedProblem()
    with pytest.raises(error, match=message):
        GradNormSmooth().minimize(problem, **({"x0": X0} | given))
    assert problem.calls == 0


@pytest.mark.parametrize("as_callable", [False, True])
@pytest.mark.parametrize(("given", "error", "message"), OPTIONS)
def test_functional_door(given, error, message, as_callable):
    counted = Counted() if as_callable else CountedProblem()
    with pytest.raises(error, match=message):
        gnsopt.minimize(counted.fun if as_callable else counted, X0, options=given)
    assert counted.calls == 0


@pytest.mark.parametrize(("given", "error", "message"), OPTIONS)
def test_scipy_door(given, error, message):
    counted = Counted()
    with pytest.raises(error, match=message):
        scipy.optimize.minimize(counted.fun, X0, jac=counted.jac, method=GradNormSmooth(), options=given)
    assert counted.calls == 0


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "newton"}, ValueError, "method='newton' is unknown"),
        ({"method": "super_newton"}, ValueError, "method='super_newton' is unknown; did you mean 'super-newton'"),
        ({"method": 3}, ValueError, "method=3 is unknown"),
        ({"method": None}, ValueError, "method=None is unknown"),
        (
            {"options": {"gtoll": 1e-3}},
            ValueError,
            "options: 'gtoll' is unknown to CubicNewton; did you mean 'gtol'",
        ),
        ({"method": "gns", "options": {"L0": 1.0}}, ValueError, "options: 'L0' is unknown to GradNormSmooth"),
        ({"options": {"gamma0": -1.0}}, ValueError, "gamma0=-1.0"),
        (
            {"method": "gns", "bounds": [(0, 1), (0, 1)]},
            ValueError,
            "bounds: GradNormSmooth solves unconstrained problems",
        ),
        ({"method": "gns", "constraints": LinearConstraint(np.eye(2))}, ValueError, "constraints: GradNormSmooth"),
        ({"method": "gns", "constraints": [{"type": "eq", "fun": rosen}]}, ValueError, "constraints: GradNormSmooth"),
        ({"method": "gns", "constraints": {"type": "eq", "fun": rosen}}, ValueError, "constraints: GradNormSmooth"),
        ({"tol": -1.0}, ValueError, "gtol=-1.0"),
        ({"jac": 3}, TypeError, "jac=3 is not supported"),
        ({"jac": "4-point"}, TypeError, "jac='4-point' is not supported"),
        ({"hess": np.eye(2)}, TypeError, "hess="),
        ({"hessp": True}, TypeError, "hessp=True is not supported"),
        ({"x0": None}, ValueError, "x0=None: a callable needs a starting point"),
        ({"x0": [[1.0, 2.0], [3.0, 4.0]]}, ValueError, r"x0 has shape \(2, 2\)"),
        ({"x0": []}, ValueError, "x0 is empty"),
        ({"callback": "print"}, TypeError, "callback='print' is not callable"),
    ],
)
def test_callables(given, error, message):
    counted = Counted()
    arguments = {"x0": X0, "jac": counted.jac, "hess": counted.hess} | given
    with pytest.raises(error, match=message):
        gnsopt.minimize(counted.fun, **arguments)
    assert counted.calls == 0


@pytest.mark.parametrize("fun", [None, 3, "rosen", np.eye(2), [rosen]])
def test_what_is_neither_a_problem_nor_a_callable(fun):
    with pytest.raises(TypeError, match=r"(?s)problem_or_fun=.* is neither a gnsopt problem nor a callable"):
        gnsopt.minimize(fun, X0)
    with pytest.raises(TypeError, match="problem=.* is not an Objective"):
        GradNormSmooth().minimize(fun, X0)


@pytest.mark.parametrize("name", ["jac", "hess", "hessp", "args"])
def test_a_problem_brings_its_own_derivatives(name):
    problem = CountedProblem()
    with pytest.raises(ValueError, match=f"{name}: a CountedProblem brings its own derivatives; leave {name} out"):
        gnsopt.minimize(problem, X0, **{name: (1.0,) if name == "args" else rosen_der})
    assert problem.calls == 0


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("constraint", [{"bounds": [(0, 1), (0, 1)]}, {"constraints": LinearConstraint(np.eye(2))}])
def test_constraints_reach_no_solver_without_them(method, constraint):
    if SOLVERS[method].supports_constraints and "constraints" in constraint:
        pytest.skip("this one takes constraints")
    counted = Counted()
    for run in (gnsopt.minimize, scipy.optimize.minimize):
        with pytest.raises(ValueError, match=next(iter(constraint))):
            run(counted.fun, X0, jac=counted.jac, method=SOLVERS[method](), **constraint)
    assert counted.calls == 0


def test_scipy_warns_of_an_unknown_option_and_goes_on():
    with pytest.warns(OptimizeWarning, match="Unknown solver options: gtoll"):
        res = scipy.optimize.minimize(
            rosen, X0, jac=rosen_der, hess=rosen_hess, method=GradNormSmooth(), options={"gtoll": 1e-3}
        )
    assert res.success


# --------------------------------------------------------------------------------------- what callables give back


@pytest.mark.parametrize(
    ("replaced", "error", "message"),
    [
        ({"jac": lambda x: np.ones(3)}, TypeError, r"jac returned shape \(3,\); it must be \(2,\)"),
        ({"jac": lambda x: 1.0}, TypeError, r"jac returned shape \(\)"),
        ({"jac": lambda x: np.eye(2)}, TypeError, r"jac returned shape \(2, 2\)"),
        ({"fun": lambda x: np.ones(2)}, TypeError, r"fun returned .* shape \(2,\)"),
        ({"fun": lambda x: 1j}, TypeError, "fun returned complex"),
        ({"fun": lambda x: "low"}, TypeError, "fun returned str"),
        ({"fun": lambda x: None}, TypeError, "fun returned NoneType"),
        ({"hess": lambda x: np.eye(3)}, ValueError, r"hess returned an array of shape \(3, 3\); it must be \(2, 2\)"),
        ({"hess": lambda x: np.ones(2)}, ValueError, r"hess returned an array of shape \(2,\)"),
        ({"hess": None, "hessp": lambda x, v: np.ones(3)}, (TypeError, ValueError), "hessp"),
        ({"fun": lambda x: (rosen(x), np.ones(3)), "jac": True}, TypeError, r"jac returned shape \(3,\)"),
        ({"fun": rosen, "jac": True}, TypeError, "fun|jac"),
    ],
)
def test_callables_that_return_the_wrong_thing(replaced, error, message):
    arguments = {"fun": rosen, "jac": rosen_der, "hess": rosen_hess} | replaced
    with pytest.raises(error, match=message):
        gnsopt.minimize(arguments.pop("fun"), X0, **arguments)


def test_an_exception_of_the_user_comes_out_as_it_is():
    class Own(Exception):
        pass

    def broken(x):
        raise Own("mine")

    for given in ({"fun": broken}, {"jac": broken}, {"hess": broken}):
        arguments = {"fun": rosen, "jac": rosen_der, "hess": rosen_hess} | given
        with pytest.raises(Own, match="mine"):
            gnsopt.minimize(arguments.pop("fun"), X0, **arguments)


# -------------------------------------------------------------------------------------------- solvers and curvature


@pytest.mark.parametrize(
    ("solver", "given", "message"),
    [
        ("gns", {"gamma0": 0.0}, "gamma0=0.0"),
        ("gns", {"gamma0": np.inf}, "gamma0=inf"),
        ("gns", {"gamma0": np.nan}, "gamma0=nan"),
        ("gns", {"gamma_min": -1.0}, "gamma_min=-1.0"),
        ("gns", {"growth": "fast"}, "growth='fast' is unknown"),
        ("gns", {"max_trials": 0}, "max_trials=0"),
        ("gns", {"curvature": "hessian"}, "curvature='hessian' is unknown"),
        ("gns", {"curvature": "exact:qr"}, "solver='qr' is unknown"),
        ("gns", {"curvature": "lazy:0"}, "m must be"),
        ("super-newton", {"alpha": 1.5}, "alpha=1.5"),
        ("super-newton", {"alpha": np.nan}, "alpha=nan"),
        ("super-newton", {"H0": 0.0}, "H0=0.0"),
        ("super-newton", {"H0": 1e-9, "H_min": 1e-5}, "H0=1e-09 and H_min=1e-05"),
        ("super-newton", {"max_trials": 0}, "max_trials=0"),
        ("cubic-newton", {"M0": -1.0}, "M0=-1.0"),
        ("cubic-newton", {"max_trials": 0}, "max_trials=0"),
        ("gradient", {"L0": np.nan}, "L0=nan"),
        ("gradient", {"max_trials": 0}, "max_trials=0"),
        ("fast-gradient", {"L_min": 0.0}, "L_min=0.0"),
        ("fast-gradient", {"max_trials": 0}, "max_trials=0"),
    ],
)
def test_hyper_parameters(solver, given, message):
    with pytest.raises(ValueError, match=message):
        SOLVERS[solver](**given)
    counted = Counted()
    with pytest.raises(ValueError, match=message):
        gnsopt.minimize(counted.fun, X0, jac=counted.jac, method=solver, options=given)
    assert counted.calls == 0


def test_unknown_hyper_parameters_and_wrong_kinds():
    with pytest.raises(TypeError, match="gamma"):
        GradNormSmooth(gamma=1.0)
    with pytest.raises(TypeError, match=r"curvature=3"):
        GradNormSmooth(curvature=3)
    with pytest.raises(ValueError, match="theta=0"):
        exact.using("cg", theta=0.0)
    with pytest.raises(TypeError, match="rank"):
        exact.using("cg", rank=3)
    for m in (0, -1, 2.5, "3", None):
        with pytest.raises(ValueError, match="m must be an integer"):
            lazy(m)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (np.ones(3), "metric has shape"),
        (-1.0, "metric.*positive"),
        (np.eye(3), "metric has shape"),
        ("l2", "metric='l2'"),
    ],
)
def test_metrics(metric, message):
    problem = CountedProblem()
    with pytest.raises(ValueError, match=message):
        GradNormSmooth(metric=metric).minimize(problem, X0)
    assert problem.calls == 0


def test_a_ready_metric_of_another_size():
    problem = CountedProblem()
    with pytest.raises(ValueError, match="metric"):
        GradNormSmooth(metric=gram_metric(X)).minimize(problem, X0)
    assert problem.calls == 0


@pytest.mark.parametrize("kind", ["gauss_newton", "fisher"])
def test_a_missing_approximation_names_the_cure(kind):
    with pytest.raises(MissingRequirement, match=rf"CountedProblem has no '{kind}'.*it offers hess"):
        GradNormSmooth(curvature=kind).minimize(CountedProblem(), X0)


def test_results_of_misuse_are_one_line():
    """What a user reads is one clear line, with the offending value in it."""
    for call in (
        lambda: Logistic(spoilt(np.nan), Y),
        lambda: gnsopt.minimize(rosen, X0, method="newton"),
        lambda: GradNormSmooth().minimize(CountedProblem(), [1.0]),
    ):
        with pytest.raises(ValueError, match=".") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 200


def test_a_misspelt_option_of_the_automatic_method_is_answered_by_that_method():
    with pytest.raises(ValueError, match="'M00' is unknown to CubicNewton; did you mean 'M0'"):
        gnsopt.minimize(rosen, [1.0, 2.0], jac=rosen_der, hess=rosen_hess, options={"M00": 1.0})
    run = gnsopt.minimize(rosen, [1.0, 2.0], jac=rosen_der, hess=rosen_hess, options={"gamma0": 2.0})
    assert "gamma" in run.trace.columns
