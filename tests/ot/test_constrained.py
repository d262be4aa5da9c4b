"""Linear constraints on the plan: the objective, optimality from the plan itself, the linear program in the limit."""

import numpy as np
import pytest
from scipy.optimize import linprog

from gnsopt.ot import Constraint, Newton, NotConverged, Problem, plan_vjp, solve
from gnsopt.testing import check_objective, check_solver


def constraints(shape, seed=1, bound=0.0, kinds=(">=", "==")):
    rng = np.random.default_rng(seed)
    return [Constraint(rng.standard_normal(shape), bound, kind) for kind in kinds]


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.03])
def test_objective_passes(make, reg):
    a, b, C, _ = make.random()
    check_objective(Problem(a, b, C, reg, constraints=constraints(C.shape)).semidual())


def test_solver_passes(make):
    a, b, C, reg = make.random(9, 7)
    check_solver(Newton(eps_scaling=False), Problem(a, b, C, reg, constraints=constraints(C.shape)).semidual())


@pytest.mark.parametrize("method", ["auto", "newton"])
@pytest.mark.parametrize("shape", [(8, 6), (6, 8)])
@pytest.mark.parametrize("mass", [1.0, 3.0])
def test_optimality_from_the_plan_itself(make, method, shape, mass):
    a, b, C, reg = make.random(*shape, mass=mass)
    given = constraints(shape, bound=0.05 * mass)
    found = solve(a, b, C, reg, constraints=given, method=method)
    P, lam = found.plan, found.multipliers
    assert found.converged
    assert found.err1 <= 1e-9 * mass
    tilt = sum(k.D * l for k, l in zip(given, lam, strict=True))
    np.testing.assert_allclose(P, np.exp((found.phi[:, None] + found.psi - C + tilt) / reg), rtol=1e-9)
    np.testing.assert_allclose(found.slacks, [np.sum(P * k.D) - k.bound for k in given], atol=1e-14)
    assert found.slacks[0] > 0
    assert abs(found.slacks[1]) <= 1e-8 * mass
    # entropy on the slack s of the inequality, in units of the largest coefficient: lambda = -reg (log s + 1)
    size = np.abs(given[0].D - given[0].bound / mass).max()
    np.testing.assert_allclose(lam[0], -reg * (np.log(found.slacks[0] / mass / size) + 1) / size, rtol=1e-7)
    np.testing.assert_allclose(found.cost, np.sum(P * C), rtol=1e-12)


def test_small_reg_is_the_linear_program(make):
    a, b, C, _ = make.random(8, 6)
    given = constraints(C.shape, bound=0.3, kinds=(">=", ">="))
    n, m = C.shape
    A = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    D = -np.array([k.D.ravel() for k in given])
    exact = linprog(C.ravel(), A_eq=A, b_eq=np.concatenate([a, b]), A_ub=D, b_ub=[-0.3, -0.3])
    plain = solve(a, b, C, 1e-3)
    assert min(np.sum(plain.plan * k.D) for k in given) < 0.3, "the constraints must matter"
    errors = []
    for reg in (1e-1, 1e-2, 1e-3):
        found = solve(a, b, C, reg, constraints=given)
        assert found.converged
        assert np.all(found.slacks > -1e-9)
        errors.append(found.cost - exact.fun)
    assert errors[0] > errors[1] > errors[2] > 0
    assert errors[2] < 0.02
    np.testing.assert_allclose(found.multipliers, -exact.ineqlin.marginals, atol=0.02)


def test_an_equality_that_holds_anyway_changes_nothing(make):
    a, b, C, reg = make.random(8, 6)
    plain = solve(a, b, C, reg, tol=1e-13)
    D = np.random.default_rng(0).standard_normal(C.shape)
    found = solve(a, b, C, reg, tol=1e-12, constraints=[Constraint(D, float(np.sum(plain.plan * D)), "==")])
    np.testing.assert_allclose(found.plan, plain.plan, atol=1e-10)
    np.testing.assert_allclose(found.multipliers, 0, atol=1e-8)


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("mass", [1.0, 5.0])
def test_constraints_that_no_plan_satisfies_together_are_found_by_the_dual(make, reg, mass):
    a, b, C, _ = make.random(8, 6, mass=mass)
    D = np.random.default_rng(0).standard_normal(C.shape)
    given = [Constraint(D, 0.05 * mass), Constraint(-D, 0.0)]
    assert solve(a, b, C, reg, constraints=given[:1]).converged
    with pytest.warns(NotConverged, match="no plan satisfies the constraints"):
        found = solve(a, b, C, reg, constraints=given)
    assert found.status == "infeasible"
    assert np.isfinite(found.plan).all()
    assert solve(a, b, C, reg, constraints=[Constraint(D, 0.05 * mass), Constraint(-D, -0.06 * mass)]).converged


def test_bounds_that_no_plan_attains_are_refused(make):
    a, b, C, reg = make.random(8, 6)
    D = np.random.default_rng(0).random(C.shape)
    A = np.vstack([np.kron(np.eye(8), np.ones(6)), np.kron(np.ones(8), np.eye(6))])
    most = -linprog(-D.ravel(), A_eq=A, b_eq=np.concatenate([a, b])).fun
    assert solve(a, b, C, reg, constraints=[Constraint(D, 0.95 * most)]).converged
    above = min(a @ D.max(axis=1), b @ D.max(axis=0)) + 1e-9
    for given in (
        Constraint(D, above),
        Constraint(-D, 0.0),
        Constraint(D, 0.0, "=="),
        Constraint(np.ones(C.shape), 5.0),
        Constraint(np.zeros(C.shape), 1.0),
    ):
        with pytest.raises(ValueError, match="is infeasible: <D, P> lies in"):
            solve(a, b, C, reg, constraints=[given])
    closed = np.where(D < 0.9, C, np.inf)
    with pytest.raises(ValueError, match="is infeasible"):
        solve(a, b, closed, reg, constraints=[Constraint(D, 0.9)])


def test_misuse(make):
    a, b, C, reg = make.random()
    with pytest.raises(ValueError, match=r"D has shape \(5, 7\)"):
        solve(a, b, C, reg, constraints=[Constraint(np.ones((5, 7)))])
    with pytest.raises(ValueError, match="kind='<='"):
        solve(a, b, C, reg, constraints=[Constraint(C, 0.0, "<=")])
    with pytest.raises(ValueError, match="bound=nan"):
        solve(a, b, C, reg, constraints=[Constraint(C, np.nan)])
    with pytest.raises(TypeError, match="pass a sequence"):
        solve(a, b, C, reg, constraints=Constraint(C))
    with pytest.raises(ValueError, match="bound=None"):
        Constraint(C, None)
    with pytest.raises(ValueError, match="D is ragged"):
        Constraint([[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="not a Constraint"):
        solve(a, b, C, reg, constraints=[C])
    with pytest.raises(ValueError, match="leave rho out"):
        solve(a, b, C, reg, constraints=constraints(C.shape), rho=1.0)
    for method in ("sinkhorn", "sns"):
        with pytest.raises(ValueError, match="constraints"):
            solve(a, b, C, reg, constraints=constraints(C.shape), method=method)
    found = solve(a, b, C, reg, constraints=constraints(C.shape))
    with pytest.raises(TypeError, match="without constraints"):
        plan_vjp(found, C)
    for name in ("gap", "interval"):
        with pytest.raises(ValueError, match="not available"):
            getattr(found, name)
