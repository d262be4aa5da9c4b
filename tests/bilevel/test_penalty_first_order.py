"""Methods of constant steps: the paper's loops, F2BA, BOME, ScaleBiO, block tracking."""

import numpy as np
import pytest

from gnsopt.bilevel import minimize
from gnsopt.bilevel.bome import Bome
from gnsopt.bilevel.f2ba import F2BA
from gnsopt.bilevel.multiblock import BlockTracking
from gnsopt.bilevel.problems.toys import Interval, Jump, StronglyConvex
from gnsopt.bilevel.scalebio import ScaleBiO

TOY = StronglyConvex()


def go(method, **options):
    run = {name: options.pop(name) for name in ("tol", "maxiter", "certified") if name in options}
    return minimize(StronglyConvex(), 0.0, method, **{"tol": 1e-6, "maxiter": 5000, **run}, **options)


# ---------------------------------------------------------------------------------------------- the paper's loops


@pytest.mark.parametrize("loop", ["double", "single"])
def test_the_loops_find_the_minimiser_of_the_penalty_function(loop):
    found = go("penalty", loop=loop, sigma=0.1, sigma_end=0.1, alpha=5e-4)
    assert found.status == "stationary"
    np.testing.assert_allclose(found.theta, TOY.minimiser(0.1), atol=1e-6)
    assert np.linalg.norm(found.theta - TOY.minimiser()) > 0.05


def test_the_default_steps_are_safe():
    found = go("penalty", loop="single", sigma=0.05, sigma_end=0.05, tol=1e-3)
    assert found.status == "stationary"
    np.testing.assert_allclose(found.theta, TOY.minimiser(0.05), atol=1e-3)


def test_a_single_loop_takes_one_inner_step():
    """An iteration of the single loop: a gradient of h_s (two units) and one of h, and two products with J'."""
    found = go("penalty", loop="single", maxiter=10, sigma=0.1)
    assert found.work == pytest.approx(3 + 10 * 5)
    found = go("penalty", loop="double", T_in=7, maxiter=10, sigma=0.1)
    assert found.work == pytest.approx(3 * 7 + 10 * (3 * 7 + 2))


def test_the_first_iteration_is_that_of_the_paper():
    """Written out by hand from the start y = z = 0."""
    sigma, alpha, beta, rho, toy = 0.1, 1e-3, 0.5, 0.2, TOY
    theta, y, z = np.zeros(3), np.zeros(6), np.zeros(6)
    gamma = 1 / (1.0 + sigma + 1 / rho)
    for _ in range(2):
        u, v = y, z
        for _ in range(3):
            u = u - gamma * (toy.lower(u, theta)[1] + sigma * (u - toy.c) + (u - y) / rho)
            v = v - gamma * (toy.lower(v, theta)[1] + (v - z) / rho)
        y, z = y + beta * (u - y), z + beta * (v - z)
        theta = theta - alpha * (toy.Q @ theta + (-toy.B.T @ y + toy.B.T @ z) / sigma)
    options = {"loop": "double", "sigma": sigma, "T_in": 3, "alpha": alpha, "beta": beta, "rho": rho}
    found = minimize(StronglyConvex(), 0.0, "penalty", maxiter=2, keep_theta=True, **options)
    np.testing.assert_allclose(found.trace.x[-1], theta, rtol=1e-12)


def test_the_single_loop_projects_both_levels():
    found = minimize(
        Interval(), 0.2, "penalty", loop="single", sigma=0.01, alpha=2e-3, bounds=(0.0, 0.8), tol=1e-8, maxiter=5000
    )
    assert found.status == "stationary"
    assert found.theta[0] == 0.8
    assert found.x[0] == pytest.approx(0.8, abs=1e-6)


def test_without_mu_the_step_must_be_given():
    with pytest.raises(TypeError, match="alpha="):
        minimize(Jump(), 0.5, "penalty", loop="single")


# ------------------------------------------------------------------------------------------------------------ F2BA


def test_f2ba_has_a_bias_of_order_sigma():
    distances = []
    for lam, inner in ((10.0, 30), (100.0, 40), (1000.0, 80)):  # y and z must keep up with lam
        found = go("f2ba", lam=lam, T=inner, step=2e-3)
        assert found.status == "stationary"
        np.testing.assert_allclose(found.theta, TOY.minimiser(1 / lam), atol=1e-6)
        distances.append(np.linalg.norm(found.theta - TOY.minimiser()))
    assert distances[0] / distances[1] == pytest.approx(10, rel=0.25)
    assert distances[1] / distances[2] == pytest.approx(10, rel=0.05)


def test_a_growing_multiplier_removes_the_bias():
    """F2SA."""
    found = go("f2ba", lam=20.0, delta=1.0, T=30, step=1e-3, tol=0.0, maxiter=500)
    assert np.linalg.norm(found.theta - TOY.minimiser()) < 2.5e-3
    assert found.trace["lam"][-1] == 520


def test_momentum_helps():
    plain, fast = (go("f2ba", lam=100.0, step=1e-3, momentum=m, maxiter=200).trace["residual"][-1] for m in (0.0, 0.5))
    assert fast < 0.5 * plain


def test_the_default_outer_step_is_that_of_the_paper():
    assert F2BA().outer_step(TOY, np.zeros(3)) == pytest.approx(1e-3)
    found = go("f2ba", tol=1e-2)
    assert found.status == "stationary"


# ------------------------------------------------------------------------------------------------------------ BOME


def bome(**options):
    """A run on a well-conditioned toy from its solution."""
    toy = StronglyConvex(n=2, d=1)
    toy.A = np.diag([0.5, 1.0])
    return minimize(toy, toy.minimiser(), "bome", tol=0.0, **options).trace["infeasibility"]


def test_bome_stalls_at_an_infeasibility_proportional_to_its_step():
    stalled = []
    for xi in (0.04, 0.02, 0.01):
        run = bome(xi=xi, maxiter=int(30 / xi))
        assert np.mean(run[-100:]) == pytest.approx(np.mean(run[-200:-100]), rel=0.01)
        stalled.append(np.mean(run[-100:]))
    assert stalled[0] / stalled[1] == pytest.approx(2, rel=0.02)
    assert stalled[1] / stalled[2] == pytest.approx(2, rel=0.02)


def test_falling_steps_make_bome_feasible():
    constant, falling = (bome(xi=0.1, decay=decay, maxiter=2000)[-1] for decay in (0.0, 0.5))
    assert falling < 0.2 * constant


def test_one_step_of_bome_by_hand():
    theta, y, toy = np.zeros(3), np.zeros(6), TOY
    y_T = y
    for _ in range(4):
        y_T = y_T - 0.5 * toy.lower(y_T, theta)[1]
    q = np.concatenate([-toy.B.T @ (y - y_T), toy.lower(y, theta)[1]])
    g = np.concatenate([toy.Q @ theta, y - toy.c])
    lam = max((0.7 * q @ q - g @ q) / (q @ q), 0.0)
    found = minimize(StronglyConvex(), 0.0, Bome(xi=0.1, T=4, alpha=0.5, eta=0.7), maxiter=1, keep_theta=True)
    np.testing.assert_allclose(found.trace.x[-1], theta - 0.1 * (g + lam * q)[:3], rtol=1e-12)


def test_both_forms_of_phi():
    theta = [minimize(StronglyConvex(), 0.0, "bome", phi=phi, maxiter=5).theta for phi in ("gradient", "value")]
    assert np.linalg.norm(theta[0] - theta[1]) > 1e-6


# ------------------------------------------------------------------------------------------------------- ScaleBiO


def test_scalebio_finds_the_minimiser_for_its_alpha():
    found = go("scalebio", alpha=20.0, eta_theta=4e-4)
    assert found.status == "stationary"
    np.testing.assert_allclose(found.theta, TOY.minimiser(1 / 20), atol=1e-6)


def test_scalebio_grows_alpha_from_round_to_round():
    found = go("scalebio", alpha=2.0, growth=3.0, steps=4, maxiter=11, eta_theta=1e-4)
    np.testing.assert_array_equal(found.trace["alpha"], np.repeat([2.0, 6.0, 18.0], 4))


def test_one_round_of_scalebio_by_hand():
    toy, theta, w, u = TOY, np.zeros(3), np.zeros(6), np.zeros(6)
    alpha, shrink = 5.0, 1.0
    for _ in range(2):
        u = u - 0.1 * shrink * alpha * toy.lower(u, theta)[1]
        w = w - 0.05 * shrink * (w - toy.c + alpha * toy.lower(w, theta)[1])
        theta = theta - 0.02 * shrink * (toy.Q @ theta + alpha * (-toy.B.T @ w + toy.B.T @ u))
        alpha, shrink = alpha * 2, shrink / 2
    options = {"alpha": 5.0, "growth": 2.0, "steps": 1, "eta_u": 0.1, "eta_w": 0.05, "eta_theta": 0.02}
    found = minimize(StronglyConvex(), 0.0, ScaleBiO(**options), maxiter=2, keep_theta=True)
    np.testing.assert_allclose(found.trace.x[-1], theta, rtol=1e-12)


# ----------------------------------------------------------------------------------------------------- multi-block


@pytest.mark.parametrize("options", [{}, {"blocks": 1}, {"blocks": 2, "momentum": 0.5}])
def test_tracked_blocks_find_the_minimiser_of_the_mean(options):
    from gnsopt.bilevel.blocks import MultiBlock

    folds = [StronglyConvex(seed=seed) for seed in range(3)]
    found = minimize(
        MultiBlock(folds), 0.0, "multi-block", alpha=1e-3, tol=1e-6, maxiter=5000, certified=True, **options
    )
    assert found.status == "stationary"
    assert found.certified
    gradient = np.mean([fold.slope(found.theta) for fold in folds], axis=0)
    assert np.linalg.norm(gradient) <= 1e-6
    value = np.mean([fold.value(found.theta) for fold in folds])
    assert found.interval[0] - 1e-12 <= value <= found.interval[1] + 1e-12


def test_bounds_of_tracked_blocks_hold_on_the_way():
    found = minimize(
        StronglyConvex(), 0.0, BlockTracking(alpha=1e-3), tol=0.0, maxiter=50, certified=True, keep_theta=True
    )
    for theta, low, high, error, gnorm in zip(
        found.trace.x, *(found.trace[name] for name in ("low", "high", "error", "gnorm")), strict=True
    ):
        assert low <= TOY.value(theta) <= high
        assert abs(gnorm - np.linalg.norm(TOY.slope(theta))) <= error


# ----------------------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("f2ba", {"lam": 0.0}),
        ("f2ba", {"delta": -1.0}),
        ("f2ba", {"T": 1.5}),
        ("f2ba", {"momentum": 1.0}),
        ("f2ba", {"step": np.nan}),
        ("bome", {"xi": -1.0}),
        ("bome", {"phi": "both"}),
        ("bome", {"decay": np.nan}),
        ("bome", {"eta": 0.0}),
        ("scalebio", {"alpha": 0}),
        ("scalebio", {"growth": 0.5}),
        ("scalebio", {"steps": 0}),
        ("multi-block", {"alpha": 0.0}),
        ("multi-block", {"blocks": 0}),
        ("multi-block", {"momentum": 0.0}),
    ],
)
def test_wrong_options_are_named(method, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        minimize(StronglyConvex(), 0.0, method, **options)


@pytest.mark.parametrize(
    ("method", "options"),
    [("f2ba", {"step": 1.0}), ("scalebio", {"eta_theta": 1e3}), ("bome", {"xi": 1e3}), ("multi-block", {"alpha": 1e3})],
)
def test_steps_that_diverge_end_with_a_status(method, options):
    found = minimize(StronglyConvex(), 0.3, method, maxiter=20_000, **options)
    assert found.status == "not-finite"
    assert np.isfinite([found.fun, *found.theta, *found.x, *found.hypergradient]).all()
    assert found.theta == pytest.approx(np.full(3, 0.3), abs=1e3)  # the best point, not the last one
