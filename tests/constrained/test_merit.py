"""The exact penalties: values, gradients by differences, the slope identity, stationarity."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from gnsopt import AdaSketchNewton
from gnsopt.constrained import (
    AugmentedLagrangian,
    ConstrainedProblem,
    Fletcher,
    KKTPoint,
    LinearEqualities,
    Primal,
    Work,
)
from gnsopt.constrained.kkt import dense_step
from gnsopt.constrained.rows import RowSpace
from gnsopt.objective import Callables


def point(problem, x, y):
    return KKTPoint(Primal(problem, np.asarray(x), Work()), np.asarray(y))


@pytest.fixture
def anywhere(hs77):
    rng = np.random.default_rng(1)
    return point(hs77, 1.0 + 0.3 * rng.standard_normal(5), rng.standard_normal(2))


def test_gradient_of_the_augmented_lagrangian(hs77, anywhere):
    merit = AugmentedLagrangian(3.0, 0.4)
    gx, gy = merit.gradient(anywhere)
    z = np.concatenate([anywhere.x, anywhere.y])
    numeric = approx_fprime(z, lambda z: merit.value(point(hs77, z[:5], z[5:])), 1e-7)
    np.testing.assert_allclose(np.concatenate([gx, gy]), numeric, rtol=1e-4, atol=1e-4)


def test_slope_identity(anywhere):
    """grad L_eta'dz = -dx'B dx + 2 c'dy - eta1 |c|^2 - eta2 |g_L|^2 + eta2 g_L'(H - B) dx for the exact step."""
    p, merit = anywhere, AugmentedLagrangian(2.0, 0.3)
    shift = 7.0
    B, G = p.H + shift * np.eye(5), p.G
    dz = np.linalg.solve(np.block([[B, G.T], [G, np.zeros((2, 2))]]), -np.concatenate([p.gL, p.c]))
    dx, dy = dz[:5], dz[5:]
    expected = -dx @ B @ dx + 2 * p.c @ dy - 2.0 * p.c @ p.c - 0.3 * p.gL @ p.gL + 0.3 * p.gL @ (-shift * dx)
    assert merit.slope(p, dx, dy) == pytest.approx(expected, rel=1e-12)


def test_both_are_stationary_at_a_kkt_point(hs77):
    result = AdaSketchNewton().minimize(hs77, gtol=1e-12)
    p = point(hs77, result.x, result.multipliers)
    for eta in ((0.1, 0.01), (10.0, 1.0)):
        gx, gy = AugmentedLagrangian(*eta).gradient(p)
        assert max(np.abs(gx).max(), np.abs(gy).max()) <= 1e-9
    rng = np.random.default_rng(2)
    assert Fletcher(5.0).slope(p, rng.standard_normal(5), np.zeros(2)) == pytest.approx(0.0, abs=1e-8)


def test_without_constraints_it_is_f_and_its_gradient():
    f = Callables(lambda x: float(np.sum(x**4)), 3, jac=lambda x: 4 * x**3, hess=lambda x: np.diag(12 * x**2))
    problem = ConstrainedProblem(f, LinearEqualities(np.zeros((0, 3)), np.zeros(0)))
    x = np.array([1.0, -0.5, 2.0])
    g = 4 * x**3
    assert AugmentedLagrangian(1.0, 0.2).value(point(problem, x, [])) == pytest.approx(np.sum(x**4) + 0.1 * g @ g)


def test_slope_of_fletchers_penalty(hs77):
    """Along a direction, by differences of values whose multipliers are the least-squares ones."""
    merit, rng = Fletcher(2.0), np.random.default_rng(3)
    p = point(hs77, 1.0 + 0.3 * rng.standard_normal(5), np.zeros(2))
    p = RowSpace.of(p).least_squares_point(p)
    dx = rng.standard_normal(5)
    values = [merit.value(merit.trial(p, dx, np.zeros(2), t)) for t in (1e-5, -1e-5)]
    assert merit.slope(p, dx, np.zeros(2)) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_sharpening_makes_the_newton_step_descend(anywhere):
    step = dense_step(anywhere, 0.0, 0, 0)
    merit = AugmentedLagrangian(1e-3, 10.0)
    assert not merit.descends(anywhere, merit.slope(anywhere, step.dx, step.dy))
    slope = merit.adapt(anywhere, step.dx, step.dy, step.curvature)
    assert merit.descends(anywhere, slope)
    assert slope == pytest.approx(merit.slope(anywhere, step.dx, step.dy))
    assert merit.eta1 > 1e-3
    assert merit.eta2 < 10.0


def test_sharpening_fletchers_makes_the_newton_step_descend(hs77):
    p = point(hs77, [2.0, 2.0, 2.0, 2.0, 2.0], np.zeros(2))
    p = RowSpace.of(p).least_squares_point(p)
    step = dense_step(p, 0.0, 0, 0)
    merit = Fletcher(1e-6)
    assert merit.adapt(p, step.dx, step.dy, step.curvature) < 0
    assert merit.rho > 1e-6


def test_values_that_are_not_finite_are_infinite(hs77):
    p = point(hs77, np.full(5, 1e200), np.zeros(2))
    with np.errstate(over="ignore", invalid="ignore"):
        assert AugmentedLagrangian().value(p) == np.inf
        assert Fletcher().value(p) == np.inf
