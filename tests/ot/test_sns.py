"""Sinkhorn-Newton-Sparse and the dual it works on: formulas, published iteration counts, facts on sparsification."""

import numpy as np
import pytest

import gnsopt
from gnsopt.exceptions import MissingRequirement
from gnsopt.ot import Dual, NotConverged, Problem, SinkhornNewtonSparse, solve
from gnsopt.testing import check_objective, check_solver


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.01])
def test_dual_passes(make, reg):
    check_objective(Problem(*make.random(reg=reg)).dual())


def test_dual_by_its_formulas(make):
    problem = Problem(*make.random()).dual()
    w = np.random.default_rng(1).standard_normal(12)
    x, y = problem.split(w)
    p, q = problem.geometry.offsets
    P = np.exp(x[:, None] + y - (problem.geometry.dense() - p[:, None] - q) / problem.reg)
    z = problem.prepare(w)
    np.testing.assert_allclose(z.P, P, rtol=1e-13)
    np.testing.assert_allclose(problem.fun(w, z), P.sum() - problem.a @ x - problem.b @ y, rtol=1e-13)
    np.testing.assert_allclose(problem.grad(w, z), np.concatenate([P.sum(1) - problem.a, P.sum(0) - problem.b]))
    H = problem.hess(w, z).dense()
    np.testing.assert_allclose(H, np.block([[np.diag(P.sum(1)), P], [P.T, np.diag(P.sum(0))]]), rtol=1e-12)
    d = np.random.default_rng(2).standard_normal(12)
    np.testing.assert_allclose(d @ H @ d, np.sum(P * (d[:7, None] + d[7:]) ** 2), rtol=1e-12)
    null = np.concatenate([np.ones(7), -np.ones(5)])
    np.testing.assert_allclose(H @ null, 0, atol=1e-14)
    assert np.linalg.eigvalsh(H)[0] > -1e-14
    np.testing.assert_allclose(null @ problem.grad(w, z), 0, atol=1e-14)


def test_dual_overflow_is_not_finite_and_not_an_error(make):
    problem = Problem(*make.random()).dual()
    far = np.full(12, 1e4)
    assert np.isnan(problem.fun(far, problem.prepare(far)))


def test_dual_and_semidual_have_the_same_minimum(make):
    problem = Problem(*make.random(9, 6))
    solved = solve(problem, tol=1e-13)
    dual = problem.dual()
    w = dual.begin(*solved.reduced_potentials)
    assert np.abs(dual.grad(w, dual.prepare(w))).sum() < 1e-12
    run = gnsopt.GradNormSmooth().minimize(dual, gtol=1e-11)
    np.testing.assert_allclose(run.fun, dual.fun(w, dual.prepare(w)), rtol=1e-12)


@pytest.mark.parametrize("density", [None, 0.3, 1.0])
def test_solver_passes(make, density):
    check_solver(SinkhornNewtonSparse(N1=5, density=density), Problem(*make.random(12, 10, reg=0.03)).dual())


@pytest.mark.parametrize(("seed", "newton"), [(0, 9), (1, 9)])
def test_the_published_number_of_newton_steps(make, seed, newton):
    """20 + 9 on the assignment instance, n = 500, eta = 1200, to machine accuracy."""
    found = solve(*make.assignment(500, 1200, seed), method="sns", tol=1e-12)
    assert found.converged
    assert np.sum(found.trace["newton"] == 1) == newton
    assert found.run.nit == 20 + newton
    assert found.err1 < 1e-12
    np.testing.assert_allclose(found.cost, solve(*make.assignment(500, 1200, seed)).cost, rtol=1e-8)


def test_what_is_kept_decides_between_linear_and_fast(make):
    steps = [
        np.sum(solve(*make.assignment(500, 1200), method="sns", tol=1e-12, density=k / 500).trace["newton"] == 1)
        for k in (2, 4, 6, 10)
    ]
    assert steps[0] > 50
    assert 10 <= steps[1] <= 13
    assert steps[2] == steps[3] == 9


def test_sinkhorn_needs_a_hundred_times_as_many(make):
    problem = make.assignment(500, 1200)
    fast = solve(*problem, method="sns", tol=1e-9)
    with pytest.warns(NotConverged):
        slow = solve(*problem, method="sinkhorn", tol=1e-9, max_iter=100 * fast.run.nit)
    assert slow.err1 > 1e-9


def test_bounds_of_the_sparsified_hessian(make):
    """With exact diagonals: ``H_delta >= H/2`` and, D the dropped sums, ``H_delta + D >= H >= Ls``."""
    problem = Problem(*make.random(14, 10, reg=0.05)).dual()
    x = gnsopt.Point(problem, problem.start())
    M, kept = SinkhornNewtonSparse(density=0.2).sparsified(x)
    H, sparse = problem.hess(x.x, x.z).dense(), M.dense()
    K = M.K.toarray()
    P = x.z.P
    assert np.count_nonzero(K) == int(np.ceil(0.2 * P.size))
    assert K[K > 0].min() >= P[K == 0].max()
    assert kept == pytest.approx(K.sum() / P.sum())
    D = np.diag(np.concatenate([(P - K).sum(axis=1), (P - K).sum(axis=0)]))
    kept_only = sparse - D
    for difference in (sparse - H / 2, sparse + D - H, H - kept_only):
        assert np.linalg.eigvalsh(difference)[0] > -1e-15
    bound = np.sqrt((P - K).sum(axis=1).max() * (P - K).sum(axis=0).max())
    assert np.linalg.norm(sparse - H, 2) <= bound * (1 + 1e-12)


def test_failing_line_searches_end_with_a_word_of_advice(make):
    with pytest.warns(NotConverged, match="method='auto'"):
        found = solve(*make.instance("digits8_l1"), method="sns")
    assert found.status == "step_failure"
    assert np.isfinite(found.plan).all()


def test_misuse(make):
    with pytest.raises(MissingRequirement, match="not a Rosenbrock"):
        SinkhornNewtonSparse().minimize(gnsopt.Rosenbrock())
    with pytest.raises(ValueError, match="N1=-1"):
        SinkhornNewtonSparse(N1=-1)
    with pytest.raises(ValueError, match="density=2.0"):
        SinkhornNewtonSparse(density=2.0)
    a, b, C, reg = make.random(9, 6)
    found = solve(a, b, C, reg, method="sns", warm_start=solve(a, b, C, reg, tol=1e-12))
    assert found.n_iter == 0
    assert isinstance(Problem(a, b, C, reg).dual(), Dual)
