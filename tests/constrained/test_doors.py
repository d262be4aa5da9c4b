"""`gnsopt.minimize` and SciPy's `minimize`: constraint objects and dicts, derivatives left out, misuse."""

import numpy as np
import pytest
from scipy.optimize import (
    Bounds,
    LinearConstraint,
    NonlinearConstraint,
    OptimizeWarning,
    minimize,
    rosen,
    rosen_der,
    rosen_hess,
)
from scipy.sparse import csr_array

import gnsopt
from gnsopt import AdaSketchNewton, ConstrainedProblem
from gnsopt.constrained import Equalities, LinearEqualities, Stacked
from gnsopt.objective import Callables

HS77 = 0.241505128786
DOORS = {
    "native": lambda fun, x0, **given: gnsopt.minimize(fun, x0, **given),
    "scipy": lambda fun, x0, **given: minimize(fun, x0, method=AdaSketchNewton(), **given),
}


def forms(functions):
    _, _, _, cons, jac, curved, _ = functions
    return {
        "NonlinearConstraint": NonlinearConstraint(cons, 0, 0, jac=jac, hess=curved),
        "by differences": NonlinearConstraint(cons, [0, 0], [0, 0]),
        "sparse": NonlinearConstraint(cons, 0, 0, jac=lambda x: csr_array(jac(x)), hess=curved),
        "dict": {"type": "eq", "fun": cons, "jac": jac},
        "shifted": NonlinearConstraint(lambda x: cons(x) + 5, 5, 5, jac=jac, hess=curved),
        "two dicts": [
            {"type": "eq", "fun": lambda x: cons(x)[0], "jac": lambda x: jac(x)[0]},
            {"type": "eq", "fun": lambda x, i: cons(x)[i], "args": (1,)},
        ],
        "one free row": NonlinearConstraint(
            lambda x: np.append(x[0], cons(x)),
            [-np.inf, 0, 0],
            [np.inf, 0, 0],
            jac=lambda x: np.vstack([np.eye(5)[0], jac(x)]),
            hess=lambda x, y: curved(x, y[1:]),
        ),
    }


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "form", ["NonlinearConstraint", "by differences", "sparse", "dict", "shifted", "two dicts", "one free row"]
)
def test_every_form_of_constraint(hs77_functions, form, door):
    fun, grad, hess, *_, x0 = hs77_functions
    result = DOORS[door](fun, x0, jac=grad, hess=hess, constraints=forms(hs77_functions)[form], tol=1e-7)
    assert result.success
    assert result.fun == pytest.approx(HS77, abs=1e-7)
    assert result.constr_violation <= 1e-7


def test_derivatives_of_the_objective_left_out(hs77_functions):
    fun, *_, x0 = hs77_functions
    constraint = forms(hs77_functions)["NonlinearConstraint"]
    result = gnsopt.minimize(fun, x0, constraints=constraint, tol=1e-5)
    assert result.success
    assert result.fun == pytest.approx(HS77, abs=1e-6)
    assert result.nfev > 10 * result.nit, "differences are counted"


def test_linear_constraints_and_fixed_variables():
    """The projection of (1, 2, 3) onto ``x_1 + x_2 = 1``, ``x_3 = 0``."""
    target = np.array([1.0, 2.0, 3.0])
    given = {"jac": lambda x: x - target, "hess": lambda x: np.eye(3)}
    for A in (np.array([[1.0, 1.0, 0.0]]), csr_array([[1.0, 1.0, 0.0]])):
        for bounds in (Bounds([-np.inf, -np.inf, 0], [np.inf, np.inf, 0]), [(None, None), (None, None), (0, 0)]):
            result = gnsopt.minimize(
                lambda x: 0.5 * np.sum((x - target) ** 2),
                np.zeros(3),
                constraints=LinearConstraint(A, 1, 1),
                bounds=bounds,
                **given,
            )
            np.testing.assert_allclose(result.x, [0.0, 1.0, 0.0], atol=1e-9)
            assert result.nit == 1
            np.testing.assert_allclose(result.multipliers, [1.0, 3.0], atol=1e-9)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("m", [2, 3])
def test_as_many_constraints_as_variables(m, door):
    """The circle meets the diagonal in (1, 1); a third row repeats it. No Hessian of the constraints is given."""
    rows = {"type": "eq", "fun": lambda x: np.array([x @ x - 2, x[0] - x[1], 2 * x[0] - 2 * x[1]])[:m]}
    result = DOORS[door](rosen, [1.0, 2.0], jac=rosen_der, hess=rosen_hess, constraints=rows)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-6)


def test_nothing_left_to_choose():
    one = gnsopt.minimize(bowl, [3.0], constraints={"type": "eq", "fun": lambda x: x**3 - 8})
    np.testing.assert_allclose(one.x, 2.0, atol=1e-7)
    fixed = gnsopt.minimize(bowl, np.ones(2), bounds=[(1, 1), (4, 4)])
    assert fixed.success
    np.testing.assert_allclose(fixed.x, [1.0, 4.0], atol=1e-9)


def test_dicts_as_scipy_reads_them():
    for given in ({"type": "EQ", "args": (3,)}, {"type": "eq", "args": 3}, {"type": "Eq", "args": [3]}):
        result = gnsopt.minimize(bowl, np.ones(2), constraints={"fun": lambda x, a: x[0] - a, **given})
        np.testing.assert_allclose(result.x, [3.0, 0.0], atol=1e-7)


def test_constraints_that_restrict_nothing():
    free = LinearConstraint(np.eye(2), -np.inf, np.inf)
    result = gnsopt.minimize(lambda x: np.sum((x - 1) ** 2), np.zeros(2), constraints=free)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-7)


def test_a_problem_and_its_method_by_name(hs77):
    by_name = gnsopt.minimize(hs77, method="adasketch-newton")
    by_default = gnsopt.minimize(hs77, options={"maxiter": 100, "kkt": "lu"})
    assert by_name.success
    assert by_default.fun == pytest.approx(by_name.fun, abs=1e-9)


def test_options_reach_solver_and_run(hs77_functions):
    fun, grad, hess, cons, jac, curved, x0 = hs77_functions
    constraint = NonlinearConstraint(cons, 0, 0, jac=jac, hess=curved)
    result = minimize(
        fun,
        x0,
        jac=grad,
        hess=hess,
        constraints=constraint,
        method=AdaSketchNewton(),
        options={"maxiter": 1, "eta1": 5.0},
    )
    assert result.reason == "maxiter"
    with pytest.warns(OptimizeWarning, match="colour"):
        minimize(fun, x0, jac=grad, constraints=constraint, method=AdaSketchNewton(), options={"colour": 1})


# ------------------------------------------------------------------------------------------------------ misuse


def bowl(x):
    return float(x @ x)


def never(x):
    raise AssertionError("the objective was evaluated")


MISUSE = {
    "inequality dict": ({"type": "ineq", "fun": lambda x: x}, ValueError, "trust-constr"),
    "inequality": (NonlinearConstraint(lambda x: x, 0, 1), ValueError, "trust-constr"),
    "linear inequality": (LinearConstraint(np.eye(2), 0, np.inf), ValueError, "trust-constr"),
    "crossed sides": (LinearConstraint(np.eye(2), [1, 1], [0, 0]), ValueError, "above"),
    "wrong columns": (LinearConstraint(np.eye(3), 0, 0), ValueError, "3 columns"),
    "wrong sides": (NonlinearConstraint(lambda x: x, [0, 0, 0], [0, 0, 0]), ValueError, "2 values"),
    "wrong jacobian": (NonlinearConstraint(lambda x: x, 0, 0, jac=lambda x: np.eye(3)), TypeError, "shape"),
    "matrix of values": (NonlinearConstraint(lambda x: np.eye(2), 0, 0), ValueError, "vector"),
    "not callable": ({"type": "eq", "fun": 3}, TypeError, "callable"),
    "None": ({"type": "eq", "fun": lambda x: None}, TypeError, "<lambda>.* returned None"),
    "None among values": ({"type": "eq", "fun": lambda x: [x[0], None]}, TypeError, "real numbers"),
    "complex": (NonlinearConstraint(lambda x: x + 1j, 0, 0), TypeError, "<lambda>.* returned .*real numbers"),
    "text": ({"type": "eq", "fun": lambda x: "3"}, TypeError, "returned '3'"),
    "ragged": ({"type": "eq", "fun": lambda x: [x, x[0]]}, TypeError, "real numbers"),
    "unknown key": ({"type": "eq", "fun": bowl, "jaco": bowl}, ValueError, "'jaco' is unknown; did you mean 'jac'"),
    "a key far off": ({"type": "eq", "fun": bowl, "jacobian": bowl}, ValueError, "'jacobian' is unknown"),
    "type no text": ({"type": 3, "fun": bowl}, ValueError, "type=3"),
    "no fun": ({"type": "eq"}, ValueError, "'fun'"),
    "no type": ({"fun": bowl}, ValueError, "type=None"),
    "not a constraint": (["eq"], TypeError, "str"),
    "NaN side": (LinearConstraint(np.eye(2), np.nan, 0), ValueError, "NaN"),
    "other variables": (LinearEqualities(np.eye(3), np.zeros(3)), ValueError, "3 variables"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_refused_before_any_work(case, door):
    constraint, error, words = MISUSE[case]
    with pytest.raises(error, match=words):
        DOORS[door](never, np.ones(2), constraints=constraint)


def test_bounds_that_are_inequalities_are_refused():
    with pytest.raises(ValueError, match=r"bounds.*trust-constr"):
        gnsopt.minimize(bowl, np.ones(2), bounds=[(0, 1), (None, None)])
    with pytest.raises(ValueError, match="3 pairs"):
        gnsopt.minimize(bowl, np.ones(2), bounds=[(None, None)] * 3)
    for bounds in (5, [(0, 0), 3], [(0, 0, 0)] * 2, [("a", "b")] * 2):
        with pytest.raises(TypeError, match=r"bounds=.*a pair \(low, high\) for each"):
            gnsopt.minimize(bowl, np.ones(2), constraints=LinearConstraint(np.eye(2), 0, 0), bounds=bounds)


def test_other_solvers_name_this_one(hs77):
    with pytest.raises(ValueError, match="AdaSketchNewton"):
        gnsopt.minimize(bowl, np.ones(2), method="gns", constraints=LinearConstraint(np.eye(2), 0, 0))
    with pytest.raises(ValueError, match="adasketch-newton"):
        gnsopt.minimize(hs77, method="gns")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accuracy", "exact"),
        ("kkt", "cholesky"),
        ("merit", "l1"),
        ("sketch", "hadamard"),
        ("theta", 1.0),
        ("eta1", 0.0),
        ("eta2", -1.0),
        ("beta", 0.5),
        ("nu", 1.0),
        ("block", -1),
        ("seed", 1.5),
        ("inner_cap", 0),
        ("delta", np.inf),
    ],
)
def test_settings_out_of_range(field, value):
    with pytest.raises(ValueError, match=field):
        AdaSketchNewton(**{field: value})


def test_misuse_of_problems(hs77):
    with pytest.raises(ValueError, match="fletcher"):
        AdaSketchNewton(accuracy="paper", merit="fletcher")
    with pytest.raises(ValueError, match="y0"):
        AdaSketchNewton().minimize(hs77, y0=[1.0])
    with pytest.raises(ValueError, match="norm='l3'"):
        AdaSketchNewton().minimize(hs77, norm="l3")
    with pytest.raises(ValueError, match="gtol"):
        AdaSketchNewton().minimize(hs77, gtol=-1.0)
    with pytest.raises(ValueError, match="maxiter"):
        AdaSketchNewton().minimize(hs77, maxiter=1.5)
    with pytest.raises(TypeError, match="neither"):
        AdaSketchNewton().minimize(bowl, np.ones(2))
    with pytest.raises(ValueError, match="brings its own"):
        AdaSketchNewton().minimize(hs77, constraints=LinearConstraint(np.eye(5), 0, 0))
    with pytest.raises(TypeError, match="Constraints"):
        ConstrainedProblem(None, np.eye(2))
    with pytest.raises(ValueError, match="2 variables"):
        ConstrainedProblem(Callables(bowl, 3), LinearEqualities(np.eye(2), np.zeros(2)))
    with pytest.raises(ValueError, match="b has 1"):
        LinearEqualities(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="finite"):
        LinearEqualities([[np.nan]], [1.0])
    with pytest.raises(ValueError, match="3 variables, another 2"):
        Stacked([LinearEqualities(np.eye(2), np.zeros(2)), LinearEqualities(np.eye(3), np.zeros(3))])
    with pytest.raises(ValueError, match="maxiters"):
        gnsopt.minimize(hs77, options={"maxiters": 3})


def test_a_number_of_values_that_changes():
    c = Equalities(lambda x: x[:1] if x[0] > 0.5 else x, 2, 1)
    with pytest.raises(TypeError, match="2 values"):
        AdaSketchNewton().minimize(ConstrainedProblem(None, c, [1.0, 1.0]))
