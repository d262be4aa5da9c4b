"""What a result says: values by their definitions, bounds that hold, sparse plans, warm starts, rounding."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.special import xlogy

from gnsopt.ot import NotConverged, OTResult, Problem, round_plan, solve
from gnsopt.ot.anchor import Anchor


@pytest.mark.parametrize("mass", [1.0, 7.0, 1e-3])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
def test_values_by_their_definitions(make, mass, shape):
    a, b, C, reg = make.random(*shape, mass=mass)
    found = solve(a, b, C, reg, tol=1e-13)
    P = found.plan
    np.testing.assert_allclose(P, np.exp((found.phi[:, None] + found.psi - C) / reg), rtol=1e-11)
    np.testing.assert_allclose(P.sum(axis=1), a, rtol=1e-12)
    np.testing.assert_allclose(P.sum(axis=0), b, rtol=1e-11)
    r, c = found.marginals
    np.testing.assert_allclose(r, P.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(c, P.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.err1, np.abs(r - a).sum() + np.abs(c - b).sum(), atol=1e-15 * mass)
    np.testing.assert_allclose(found.cost, np.sum(P * C), rtol=1e-12)
    np.testing.assert_allclose(found.value, np.sum(P * C) + reg * xlogy(P, P).sum(), rtol=1e-11, atol=1e-14)
    kl = xlogy(P, P / np.outer(a, b) * mass).sum()
    np.testing.assert_allclose(found.value_kl, np.sum(P * C) + reg * kl, rtol=1e-11)
    np.testing.assert_allclose(found.value, a @ found.phi + b @ found.psi, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(a @ found.phi, b @ found.psi, rtol=1e-11, atol=1e-14)
    assert 0 <= found.gap <= 1e-12 * mass


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
@pytest.mark.parametrize("reg", [0.5, 0.02, 1e-3])
def test_row_potentials_of_the_run_are_those_that_follow_from_the_columns(make, method, reg, monkeypatch):
    a, b, C, _ = make.random(30, 20)
    found = solve(a, b, C, reg, method=method)
    x, y = found.reduced_potentials
    monkeypatch.setattr(Anchor, "at", None)  # they are the run's: nothing is computed anew
    assert found.plan.shape == (30, 20)
    monkeypatch.undo()
    again = OTResult(found.problem, None, y, found.run, found.tol).reduced_potentials[0]
    np.testing.assert_allclose(x, again, rtol=0, atol=1e-13 / reg)


def test_gap_bounds_the_suboptimality_of_the_rounded_plan(make):
    a, b, C, reg = make.random(20, 15, reg=0.02)
    best = solve(a, b, C, reg, tol=1e-14).value
    for steps in (1, 3, 10):
        with pytest.warns(NotConverged):
            found = solve(a, b, C, reg, method="sinkhorn", every=1, max_iter=steps)
        Q = found.rounded_plan()
        np.testing.assert_allclose(Q.sum(axis=1), a, atol=1e-16)
        np.testing.assert_allclose(Q.sum(axis=0), b, atol=1e-15)
        assert Q.min() >= 0
        assert np.abs(Q - found.plan).sum() <= 2 * found.err1
        excess = np.sum(Q * C) + reg * xlogy(Q, Q).sum() - best
        assert 0 <= excess <= found.gap * (1 + 1e-12)
        phi, psi = found.potentials
        dual = a @ phi + b @ psi - reg * found.plan.sum() + reg
        np.testing.assert_allclose(found.gap, np.sum(Q * C) + reg * xlogy(Q, Q).sum() - dual, atol=1e-14)
        start = phi - reg * np.log(a)
        transform = (C - start[:, None]).min(axis=0)
        again = (C - transform).min(axis=1)
        assert np.all(again >= start - 1e-14)
        np.testing.assert_allclose(found.interval.lower, a @ again + b @ transform, atol=1e-14)
        np.testing.assert_allclose(found.interval.upper, np.sum(Q * C), atol=1e-14)


def test_sparse_plan_keeps_the_mass(make):
    a, b, C, reg = make.random(40, 30, reg=0.01)
    found = solve(a, b, C, reg)
    P = found.plan
    for drop in (1e-2, 1e-8):
        S = found.sparse_plan(drop)
        assert S.shape == P.shape
        kept = S.toarray()
        np.testing.assert_array_equal(kept[kept > 0], P[kept > 0])
        assert np.all((P - kept).sum(axis=1) <= drop * a)
        assert S.nnz < P.size


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
def test_warm_start(make, method):
    a, b, C, reg = make.random(30, 20, reg=0.01)
    first = solve(a, b, C, reg, method=method, tol=1e-12)
    again = solve(a, b, C, reg, method=method, tol=1e-9, warm_start=first)
    assert again.n_iter == 0
    swapped = solve(b, a, C.T, reg, method=method, warm_start=(first.psi, first.phi))
    assert swapped.n_iter == 0
    shifted = solve(a, b, C, reg, method=method, warm_start=(first.phi + 5, first.psi - 5))
    assert shifted.n_iter == 0
    near = solve(a, b, C * 1.001, reg * 0.99, method=method, warm_start=first)
    cold = solve(a, b, C * 1.001, reg * 0.99, method=method)
    assert near.converged
    burst = 10 if method == "auto" else 0  # which it begins with to see how fast Sinkhorn is
    assert near.n_iter < cold.n_iter + burst
    np.testing.assert_allclose(near.plan, cold.plan, atol=1e-8)


def test_callback_stops_and_everything_is_still_there(make):
    a, b, C, reg = make.random(30, 20, reg=0.01)

    def stop(xk):
        raise StopIteration

    found = solve(a, b, C, reg, callback=stop)
    assert found.status == "callback"
    assert not found.converged
    assert np.isfinite([found.cost, found.value, found.gap, *found.interval]).all()


def test_messages_and_summary(make):
    a, b, C, reg = make.random(30, 20, reg=0.001)
    found = solve(a, b, C, reg)
    assert found.converged
    assert found.status == "converged"
    assert found.err1 <= 1e-9
    assert "converged" in repr(found)
    assert "30 x 20" in repr(found)
    assert len(found.trace) == found.run.nit + 1
    with pytest.warns(NotConverged, match="max_iter"):
        short = solve(a, b, C, reg, max_iter=3)
    assert short.status == "max_iter"
    assert short.n_iter <= 3 + 10
    with pytest.warns(NotConverged, match="limit of float64"):
        stalled = solve(a, b, C, reg, tol=1e-18)
    assert stalled.status == "stalled"
    assert stalled.err1 < 1e-12
    assert isinstance(stalled, OTResult)


def test_convergence_is_not_claimed_below_the_rounding_of_the_potentials(make):
    a, b, C, _ = make.random(30, 20)
    with pytest.warns(NotConverged, match="limit of float64"):
        found = solve(a, b, C, 1e-9)
    assert found.run.success, "the run itself cannot see it: it works with one rounding of the kernel"
    assert found.status == "stalled"
    assert found.err1 > 1e-9
    assert np.isfinite(found.plan).all()


def test_problem_can_be_kept_and_solved_again(make):
    problem = Problem(*make.random())
    np.testing.assert_array_equal(solve(problem).plan, solve(*make.random()).plan)
    with pytest.raises(TypeError, match="leave them out"):
        solve(problem, reg=1.0)


def test_round_plan(make):
    rng = np.random.default_rng(0)
    a, b, _, _ = make.random(9, 6)
    for P in (rng.random((9, 6)), np.zeros((9, 6)), np.outer(a, b), 1e-3 * rng.random((9, 6))):
        kept = P.copy()
        Q = round_plan(P, a, b)
        np.testing.assert_array_equal(P, kept)
        np.testing.assert_allclose(Q.sum(axis=1), a, rtol=1e-14)
        np.testing.assert_allclose(Q.sum(axis=0), b, rtol=1e-14)
        assert Q.min() >= 0
        error = np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()
        assert np.abs(P - Q).sum() <= 2 * error + 1e-15
    with pytest.raises(ValueError, match="shape"):
        round_plan(P, b, a)
    with pytest.raises(ValueError, match="P must be finite and non-negative"):
        round_plan(-P, a, b)
    with pytest.raises(ValueError, match="differ"):
        round_plan(P, a, 2 * b)


@pytest.mark.parametrize("reg", [1e-3, 1.0, 1e8, 1e14, 1e100])
@pytest.mark.parametrize("kind", ["random", "equal"])
def test_the_interval_holds_the_linear_program_at_any_reg(reg, kind):
    C = np.random.default_rng(0).random((30, 30)) if kind == "random" else np.ones((3, 3))
    exact = C[linear_sum_assignment(C)].mean()
    found = solve(None, None, C, reg)
    assert found.interval.lower <= exact <= found.interval.upper
    assert found.interval.lower >= (exact - 1e-14 if kind == "equal" else 0.0)


def test_bounds_of_plans_that_may_not_use_all_pairs(make):
    """What rounding leaves out is pushed along allowed pairs: the interval is finite, and holds the linear program."""
    diagonal = solve(None, None, [[0, np.inf, np.inf], [0.3, 0.1, np.inf], [1, 2, 0.5]], 0.1)
    assert diagonal.converged
    assert diagonal.interval.lower <= 0.2 <= diagonal.interval.upper == pytest.approx(0.2, abs=1e-9)
    assert diagonal.gap < 1e-7
    a, b, C, reg = make.random(12, 9)
    C[np.random.default_rng(3).random(C.shape) < 0.3] = np.inf
    A = np.vstack([np.kron(np.eye(12), np.ones(9)), np.kron(np.ones(12), np.eye(9))])
    allowed = np.isfinite(C).ravel()
    exact = linprog(C.ravel()[allowed], A_eq=A[:, allowed], b_eq=np.concatenate([a, b])).fun
    for tol in (1e-2, 1e-5, 1e-9):
        for source, target, cost in ((a, b, C), (b, a, C.T)):
            found = solve(source, target, cost, 0.02, tol=tol)
            assert found.converged
            assert 0 <= found.gap < 10 * tol
            assert found.interval.lower <= exact <= found.interval.upper < exact + 0.1
            Q = found.rounded_plan()
            assert Q.min() >= 0
            assert np.all(Q[~np.isfinite(cost)] == 0)
            np.testing.assert_allclose(Q.sum(axis=1), source, atol=1e-15)
            np.testing.assert_allclose(Q.sum(axis=0), target, atol=1e-15)


def test_a_plan_far_from_feasible_has_no_upper_bound_where_pairs_are_forbidden():
    C = np.where(np.eye(4) + np.eye(4, k=1) > 0, 0.0, np.inf)
    with pytest.warns(NotConverged):
        found = solve([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], C, 1.0, max_iter=0)
    assert found.gap == found.interval.upper == np.inf
