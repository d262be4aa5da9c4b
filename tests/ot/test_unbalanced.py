"""Unbalanced transport: the objective, optimality from the plan itself, limits, and the primal minimised directly."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import kl_div

from gnsopt.ot import NotConverged, PointCloud, Problem, sinkhorn_divergence, solve
from gnsopt.testing import check_objective, check_solver

RHOS = (0.1, 1.0, (0.3, 2.0), (np.inf, 0.5), (0.5, np.inf))


def data(n=7, m=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(n) + 0.1, 2 * rng.random(m) + 0.1, rng.random((n, m))


def primal(P, a, b, C, reg, rho):
    value = np.sum(P * C) + reg * kl_div(P, np.outer(a, b)).sum()
    for sums, mass, price in ((P.sum(axis=1), a, rho[0]), (P.sum(axis=0), b, rho[1])):
        value += 0.0 if price == np.inf else price * kl_div(sums, mass).sum()
    return value


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("reg", [1.0, 0.05])
def test_objective_passes(rho, reg):
    check_objective(Problem(*data(), reg, rho=rho).semidual())


def test_solver_passes():
    from gnsopt.ot import Newton, Sinkhorn

    problem = Problem(*data(12, 10), 0.05, rho=0.5).semidual()
    check_solver(Newton(eps_scaling=False), problem)
    check_solver(Sinkhorn(every=3), problem)


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("swap", [False, True])
def test_optimality_from_the_plan_itself(method, rho, swap):
    a, b, C = data()
    a, b, C = (b, a, C.T) if swap else (a, b, C)
    reg = 0.05
    found = solve(a, b, C, reg, rho=rho, method=method)
    pair = rho if isinstance(rho, tuple) else (rho, rho)
    P = found.plan
    assert found.converged
    np.testing.assert_allclose(P, np.exp((found.phi[:, None] + found.psi - C) / reg), rtol=1e-10)
    for axis, mass, phi, price in ((1, a, found.phi, pair[0]), (0, b, found.psi, pair[1])):
        f = phi - reg * np.log(mass)
        np.testing.assert_allclose(P.sum(axis=axis), mass * np.exp(-f / price), atol=1e-8)
    assert found.err1 <= 1e-9 * np.sqrt(a.sum() * b.sum()) * (1 + 1e-6)
    np.testing.assert_allclose(found.value, primal(P, a, b, C, reg, pair), rtol=1e-10)
    assert 0 <= found.gap <= 1e-8
    np.testing.assert_allclose(found.cost, np.sum(P * C), rtol=1e-12)
    with pytest.raises(ValueError, match="unbalanced"):
        _ = found.interval


def test_gap_bounds_the_suboptimality():
    a, b, C = data()
    best = solve(a, b, C, 0.05, rho=0.5, tol=1e-13).value
    for steps in (1, 3, 10):
        with pytest.warns(NotConverged):
            found = solve(a, b, C, 0.05, rho=0.5, method="sinkhorn", every=1, max_iter=steps)
        assert 0 <= found.value - best <= found.gap * (1 + 1e-10)


@pytest.mark.parametrize("rho", [0.2, (0.3, 2.0)])
def test_the_primal_minimised_directly(rho):
    a, b, C = data(4, 3)
    pair = rho if isinstance(rho, tuple) else (rho, rho)
    direct = minimize(lambda w: primal(np.exp(w).reshape(4, 3), a, b, C, 0.2, pair), np.zeros(12), tol=1e-14)
    found = solve(a, b, C, 0.2, rho=rho, tol=1e-12)
    np.testing.assert_allclose(found.value, direct.fun, rtol=1e-9)
    np.testing.assert_allclose(found.plan, np.exp(direct.x).reshape(4, 3), atol=1e-5)


def test_dear_marginals_are_met_and_cheap_ones_vanish(make):
    a, b, C, reg = make.random()
    balanced = solve(a, b, C, reg, tol=1e-13)
    for rho in (1e3, 1e6):
        found = solve(a, b, C, reg, rho=rho)
        assert np.abs(found.plan - balanced.plan).max() <= 1.0 / rho
    cheap = solve(a, b, C + 1, reg, rho=1e-3)
    assert cheap.plan.sum() < 1e-4
    exact = solve(a, b, C, reg, rho=np.inf)
    np.testing.assert_array_equal(exact.plan, solve(a, b, C, reg).plan)


@pytest.mark.parametrize("rho", [10.0, 1000.0])
def test_masses_that_differ_cost_no_iterations_however_dear_they_are(rho):
    """The best translation is known; without it Sinkhorn takes 1300 iterations, and 80 000 (measured)."""
    a, b, C = data()
    found = solve(a, 10 * b, C, 0.05, rho=rho, method="sinkhorn")
    assert found.converged
    assert found.n_iter <= 300


def test_constants_on_the_cost_matter_and_points_far_away_are_left_out():
    X = np.array([0.0, 0.1, 50.0])
    found = solve([1, 1, 1], [1, 1], PointCloud(X, [0.0, 0.1]), 0.01, rho=1.0)
    assert found.converged
    assert found.plan[2].sum() < 1e-10
    assert found.plan[:2].sum() > 1.9


def test_places_without_mass_change_nothing():
    a, b, C = data()
    plain = solve(a, b, C, 0.05, rho=0.5)
    wide_a, wide_C = np.append(a, 0.0), np.vstack([C, np.zeros(5)])
    found = solve(wide_a, b, wide_C, 0.05, rho=0.5)
    np.testing.assert_allclose(found.plan[:-1], plain.plan, rtol=1e-12)
    np.testing.assert_allclose([found.value, found.gap], [plain.value, plain.gap], rtol=1e-12, atol=1e-14)
    assert np.isfinite(found.phi).all()


def test_warm_start():
    a, b, C = data()
    first = solve(a, b, C, 0.05, rho=0.5, tol=1e-11)
    assert solve(a, b, C, 0.05, rho=0.5, warm_start=first).n_iter == 0


@pytest.mark.parametrize("rho", [0.0, -1.0, "x", (1.0, 2.0, 3.0), (1.0, 0.0)])
def test_prices_are_checked(rho):
    with pytest.raises(ValueError, match="rho="):
        solve(*data(), 0.1, rho=rho)


def test_sns_is_for_balanced_problems():
    with pytest.raises(ValueError, match="plain transport"):
        solve(*data(), 0.1, rho=1.0, method="sns")


def test_against_pot():
    pot = pytest.importorskip("ot")
    a, b, C = data()
    P = pot.unbalanced.sinkhorn_unbalanced(a, b, C, 0.05, 0.5, reg_type="kl", numItermax=10_000, stopThr=1e-14)
    np.testing.assert_allclose(solve(a, b, C, 0.05, rho=0.5).plan, P, atol=1e-8)


@pytest.mark.parametrize("reg", [0.1, 5.0])
def test_the_divergence_by_its_definition(reg):
    """With the term of the masses it is zero for equal measures and positive otherwise [Sejourne et al. 2019]."""
    rng = np.random.default_rng(0)
    X, Y, a, b = rng.random((3, 2)), rng.random((2, 2)), rng.random(3) + 0.5, 3 * rng.random(2) + 0.5
    rho = 0.7

    def least(p, q, U, V):
        C, shape = ((U[:, None] - V) ** 2).sum(-1), (p.size, q.size)
        return minimize(lambda w: primal(np.exp(w).reshape(shape), p, q, C, reg, (rho, rho)), np.zeros(C.size)).fun

    found = sinkhorn_divergence(a, b, X, Y, reg, rho=rho)
    expected = least(a, b, X, Y) - 0.5 * (least(a, a, X, X) + least(b, b, Y, Y))
    expected += 0.5 * reg * (a.sum() - b.sum()) ** 2
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert abs(sinkhorn_divergence(a, a, X, X, reg, rho=rho).value) <= found.error


@pytest.mark.parametrize("rho", [1.0, (1.0, 1.0), np.inf])
def test_the_divergence_of_a_multiple_is_positive(rho):
    a, X = np.full(4, 0.25), np.random.default_rng(0).random((4, 2))
    other = 1 if rho == np.inf else 3
    found = sinkhorn_divergence(a, other * a, X, X, 5.0, rho=rho)
    assert found.value > 0.1 if other == 3 else abs(found.value) <= found.error


def test_divergences_that_are_not_defined_are_refused():
    X = np.arange(3.0)
    with pytest.raises(ValueError, match="same price"):
        sinkhorn_divergence(None, None, X, X, 1.0, rho=(1.0, 2.0))
    with pytest.raises(ValueError, match="constraints"):
        sinkhorn_divergence(None, None, X, X, 1.0, constraints=[1])


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
@pytest.mark.parametrize("swap", [False, True])
def test_places_without_an_allowed_pair_lose_their_mass_at_its_price(method, swap):
    a, b, C = data()
    wide_a, wide_b, wide = np.append(a, 0.3), np.append(0.6, b), np.full((8, 6), np.inf)
    wide[:7, 1:] = C
    rho = (0.5, 2.0)
    if swap:
        wide_a, wide_b, wide, rho = wide_b, wide_a, wide.T, rho[::-1]
    found = solve(wide_a, wide_b, wide, 0.05, rho=rho, method=method)
    assert found.converged, found.message
    P = found.plan
    finite = np.where(np.isfinite(wide), wide, 0.0)
    np.testing.assert_allclose(found.value, primal(P, wide_a, wide_b, finite, 0.05, rho), rtol=1e-10)
    assert 0 <= found.gap <= 1e-8
    plain = solve(a, b, C, 0.05, rho=(0.5, 2.0), tol=1e-11)
    np.testing.assert_allclose(P.T[1:, :7].T if not swap else P[1:, :7].T, plain.plan, atol=1e-8)
    assert P.sum() == pytest.approx(plain.plan.sum(), abs=1e-8)
    assert np.isfinite(found.phi).all()
    assert np.isfinite(found.psi).all()
    assert solve(wide_a, wide_b, wide, 0.05, rho=rho, warm_start=found).n_iter <= 10


def test_an_exact_side_still_refuses_them_and_so_does_a_problem_without_pairs():
    C = np.array([[1.0, 2.0], [np.inf, np.inf]])
    with pytest.raises(ValueError, match=r"a\[1\] > 0"):
        solve(None, None, C, 1.0, rho=(np.inf, 1.0))
    assert solve(None, None, C, 1.0, rho=(1.0, np.inf)).converged
    with pytest.raises(ValueError, match="every cost between places with mass"):
        solve(None, None, np.full((2, 2), np.inf), 1.0, rho=1.0)
