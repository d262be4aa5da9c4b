"""The semi-dual as an objective: derivatives, the Laplacian, Sinkhorn's rate, and solvers through the public checks."""

import numpy as np
import pytest
from scipy.special import logsumexp

import gnsopt
from gnsopt.exceptions import MissingRequirement
from gnsopt.ot import Auto, CostMatrix, Newton, Problem, SemiDual, Sinkhorn, anchor, solve
from gnsopt.testing import check_objective, check_solver


def semidual(make, n=7, m=5, reg=0.1, **options):
    return Problem(*make.random(n, m, reg=reg)).semidual(**options)


def plan(problem, y):
    p, q = problem.geometry.offsets
    T = y - ((problem.geometry.dense() - p[:, None]) - q) / problem.reg
    return problem.a[:, None] * np.exp(T - logsumexp(T, axis=1, keepdims=True))


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.003])
def test_objective_passes(make, reg):
    check_objective(semidual(make, reg=reg))


def test_value_gradient_and_hessian_by_their_formulas(make):
    problem = semidual(make)
    y = np.random.default_rng(1).standard_normal(5)
    z = problem.prepare(y)
    P = plan(problem, y)
    c = P.sum(axis=0)
    np.testing.assert_allclose(problem.grad(y, z), c - problem.b, rtol=1e-13, atol=1e-16)
    S = np.diag(c) - (P.T / problem.a) @ P
    H = problem.hess(y, z)
    np.testing.assert_allclose(H.dense(), S, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(H.diagonal(), S.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(H.matvec(np.ones(5)), 0, atol=1e-16)
    assert np.linalg.eigvalsh(S)[0] > -1e-16
    assert np.all(S[~np.eye(5, dtype=bool)] <= 0)
    x = problem.row_potentials(z)
    value = P.sum() - 1 + problem.a @ np.log(problem.a) - problem.a @ x - problem.b @ y
    np.testing.assert_allclose(problem.fun(y, z), value, rtol=1e-13)


def test_potentials_shifted_together_change_nothing(make):
    problem = semidual(make)
    y = np.random.default_rng(1).standard_normal(5)
    z, shifted = problem.prepare(y), problem.prepare(y + 3.0)
    np.testing.assert_allclose(shifted.f, z.f, rtol=1e-13)
    np.testing.assert_allclose(shifted.c, z.c, rtol=1e-13)


@pytest.mark.parametrize("kept", ["dense", "sparse", "block"])
def test_sinkhorn_steps_of_columns_that_have_lost_their_mass(make, kept, monkeypatch):
    """Column sums that underflow are no use; the step is then made in the log domain."""
    monkeypatch.setattr(anchor, "SPARSE_PAYS", float(kept == "sparse"))
    if kept == "block":
        monkeypatch.setattr(anchor, "DENSE_BYTES", 0.0)
        monkeypatch.setattr(anchor, "SPARSE_BYTES", 0.0)
    problem = semidual(make, reg=0.05).fresh()
    p, q = problem.geometry.offsets
    for depth in (30.0, 60.0, 1e4):
        x = gnsopt.Point(problem, np.array([0.0, -depth, 0.5, 0.0, -depth]))
        y = problem.sinkhorn(x, 1).x
        exponents = problem.row_potentials(x.z)[:, None] - ((problem.geometry.dense() - p[:, None]) - q) / problem.reg
        expected = np.log(problem.b) - logsumexp(exponents, axis=0)
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


def test_a_state_outlives_its_kernel(make):
    """The Hessian of an earlier point is still right after the run has built another kernel."""
    problem = semidual(make, 30, 20, reg=0.05).fresh()
    y = np.random.default_rng(1).standard_normal(20)
    z = problem.prepare(y)
    H = problem.hess(y, z)
    before = H.dense()
    problem.prepare(y + 1e3 * np.arange(20))
    np.testing.assert_allclose(H.dense(), before, rtol=1e-11, atol=1e-18)
    np.testing.assert_allclose(H.matvec(y), before @ y, rtol=1e-10, atol=1e-16)


def test_sinkhorn_converges_at_the_rate_of_the_second_eigenvalue(make):
    a, b, C, reg = make.random(12, 10, reg=0.05)
    solved = solve(a, b, C, reg, tol=1e-14)
    P = solved.plan
    rate = np.sort(np.linalg.eigvals((P.T / a) @ P / b[:, None]).real)[-2]
    run = solve(a, b, C, reg, method="sinkhorn", every=1, tol=1e-10)
    err = run.trace["gnorm"]
    np.testing.assert_allclose((err[-1] / err[-11]) ** 0.1, rate, rtol=1e-3)


def test_sinkhorn_iterates_are_those_of_the_textbook(make):
    a, b, C, reg = make.random(12, 10, reg=0.05)
    K = np.exp(-C / reg)
    v = np.ones(10)
    errors = []
    for _ in range(30):
        u = a / (K @ v)
        errors.append(np.abs(v * (K.T @ u) - b).sum())
        v = b / (K.T @ u)
    p, q = CostMatrix(C).offsets
    for domain in ("kernel", "log"):
        problem = Problem(a, b, C, reg).semidual(keep=domain == "kernel")
        run = Sinkhorn(domain=domain, every=1).minimize(problem, -q / reg, gtol=0, norm=1, maxiter=29)
        np.testing.assert_allclose(run.trace["gnorm"], errors, rtol=1e-9, atol=1e-15)


SOLVERS = {
    "newton": Newton(eps_scaling=False),
    "newton-scaled": Newton(),
    "newton-cg": Newton(linear="cg", polish=0),
    "newton-cholesky": Newton(linear="cholesky"),
    "sinkhorn": Sinkhorn(),
    "sinkhorn-log": Sinkhorn(domain="log"),
    "sinkhorn-scaled": Sinkhorn(eps_scaling=True, every=1),
    "sinkhorn-momentum": Sinkhorn(momentum=0.3),
    "auto": Auto(tol=1e-6),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("reg", [0.1, 0.005])
def test_solver_passes(make, name, reg):
    check_solver(SOLVERS[name], semidual(make, 14, 12, reg=reg))


def test_solver_passes_on_sparse_and_streamed_kernels(make, monkeypatch):
    monkeypatch.setattr(anchor, "SPARSE_PAYS", 1.0)
    check_solver(Newton(), semidual(make, 14, 12, reg=0.005))
    monkeypatch.setattr(anchor, "DENSE_BYTES", 0.0)
    monkeypatch.setattr(anchor, "SPARSE_BYTES", 0.0)
    check_solver(Newton(), semidual(make, 14, 12, reg=0.05))


def test_every_second_order_solver_of_the_library_solves_transport(make):
    a, b, C, reg = make.random(10, 8)
    expected = solve(a, b, C, reg)
    for method in (gnsopt.GradNormSmooth(), gnsopt.CubicNewton(), gnsopt.SuperNewton()):
        found = solve(a, b, C, reg, method=method)
        assert found.converged
        np.testing.assert_allclose(found.plan, expected.plan, atol=1e-9)


@pytest.mark.parametrize("solver", [Newton(), Sinkhorn(), Auto()])
def test_transport_solvers_refuse_other_problems(solver):
    with pytest.raises(MissingRequirement, match="transport problems, not a Rosenbrock"):
        solver.minimize(gnsopt.Rosenbrock())


@pytest.mark.parametrize(
    ("solver", "fields", "match"),
    [
        (Newton, {"mu0": 0.0}, "mu0=0.0"),
        (Newton, {"polish": -1}, "polish=-1"),
        (Newton, {"linear": "lu"}, "linear='lu'"),
        (Sinkhorn, {"domain": "dense"}, "domain='dense'"),
        (Sinkhorn, {"momentum": 1.0}, "momentum=1.0"),
        (Sinkhorn, {"every": 0}, "every=0"),
    ],
)
def test_fields_are_checked(solver, fields, match):
    with pytest.raises(ValueError, match=match):
        solver(**fields)


def test_semidual_is_monotone_under_every_step(make):
    problem = semidual(make, 60, 50, reg=0.002)
    for solver in (Newton(eps_scaling=False), Sinkhorn(every=1)):
        run = solver.minimize(problem, gtol=1e-9, norm=1, maxiter=400)
        assert np.max(np.diff(run.trace["fun"])) <= 1e-13 * np.abs(run.trace["fun"]).max()
        assert isinstance(problem, SemiDual)
