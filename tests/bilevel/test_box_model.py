"""The quasi-Newton model in a box: its matrix, its steps, and steepest steps with a rough gradient."""

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from gnsopt.bilevel.box_model import BoxModel, steepest


def made(rng, d=12, memory=5, updates=9):
    """A model with pairs of a badly scaled convex quadratic, and these pairs."""
    A = rng.standard_normal((d, d))
    A = A @ A.T + np.eye(d)
    scales = np.exp(rng.uniform(-3, 3, d))
    A = scales[:, None] * A * scales
    model, pairs = BoxModel(memory), []
    for _ in range(updates):
        s = rng.standard_normal(d)
        model.update(s, A @ s)
        pairs.append((s, A @ s))
    return model, pairs[-memory:], A


def bfgs(D, pairs):
    B = np.diag(D)
    for s, y in pairs:
        Bs = B @ s
        B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (s @ y)
    return B


@pytest.mark.parametrize("seed", range(10))
def test_the_compact_form_is_the_recursion_of_bfgs(seed):
    rng = np.random.default_rng(seed)
    model, pairs, _ = made(rng)
    B = bfgs(model._D, pairs)
    scale = np.abs(B).max()
    v, free = rng.standard_normal(12), rng.random(12) < 0.6
    np.testing.assert_allclose(model.times(v), B @ v, atol=1e-11 * scale)
    s, y = pairs[-1]
    np.testing.assert_allclose(model.times(s), y, atol=1e-11 * scale)  # the secant equation
    p = np.zeros(12)
    p[free] = -np.linalg.solve(B[np.ix_(free, free)], v[free])
    np.testing.assert_allclose(model.newton(v, free), p, rtol=1e-6, atol=1e-9 * np.abs(p).max())


def test_the_diagonal_learns_the_scales_of_a_diagonal_quadratic():
    rng = np.random.default_rng(0)
    scales = np.exp(rng.uniform(-6, 6, 20))
    learns, model = [], BoxModel(3)
    for _ in range(300):
        s = rng.standard_normal(20) / np.sqrt(scales)
        model.update(s, scales * s)
        learns.append(np.ptp(np.log(model._D / scales)))
    assert learns[0] > 8
    assert learns[-1] < 1


@pytest.mark.parametrize("seed", range(20))
def test_the_step_minimises_the_model_in_the_box(seed):
    rng = np.random.default_rng(seed)
    model, pairs, _ = made(rng)
    B, z = bfgs(model._D, pairs), rng.standard_normal(12) * np.exp(rng.uniform(-3, 3, 12))
    low, high = -rng.uniform(0, 1, 12), rng.uniform(0, 1, 12)
    low[rng.random(12) < 0.2] = 0.0
    s, fall = model.minimize(z, low, high)
    assert np.all((low <= s) & (s <= high))
    assert fall == pytest.approx(-(z @ s + 0.5 * s @ B @ s), rel=1e-7)
    best = scipy_minimize(
        lambda s: (z @ s + 0.5 * s @ B @ s, z + B @ s),
        np.zeros(12),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options={"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10**4, "maxfun": 10**5},
    )
    assert fall >= -0.98 * best.fun


def test_the_step_descends_where_a_clipped_direction_does_not():
    """Two variables that go together: the clipped Newton direction climbs, the model's step in the box does not."""
    B, model = np.array([[1.0, 0.999], [0.999, 1.0]]), BoxModel(2)
    for s in np.array([[1.0, 1.0], [1.0, -1.0]]):  # conjugate: the model is B
        model.update(s, B @ s)
    z, low, high = np.array([-1.0, -0.9]), np.array([-1.0, -1.0]), np.array([0.01, 1.0])
    assert z @ np.clip(model.newton(z, np.ones(2, dtype=bool)), low, high) > 0
    s, fall = model.minimize(z, low, high)
    assert z @ s < 0 < fall


def test_pairs_without_positive_curvature_are_left_out_and_none_are_kept_without_memory():
    model, s = BoxModel(3), np.array([1.0, 0.0])
    model.update(s, -s)
    model.update(s, np.array([0.0, 1.0]))
    model.update(s, np.array([np.nan, 1.0]))
    assert len(model) == 0
    model.update(s, s)
    assert len(model) == 1
    model.forget()
    assert len(model) == 0
    none = BoxModel(0)
    none.update(s, s)
    assert len(none) == 0


def test_dependent_pairs_leave_a_step_that_is_no_ascent():
    model, s = BoxModel(20), np.array([1.0, 2.0, 3.0])
    for i in range(30):
        model.update(s * 10.0**-i, s * 10.0**-i)
    step, fall = model.minimize(np.ones(3), -np.ones(3), np.ones(3))
    assert np.isfinite(step).all()
    assert fall >= 0


def test_a_steepest_step_descends_whatever_the_error_is():
    rng = np.random.default_rng(0)
    for _ in range(3000):
        d = int(rng.integers(1, 40))
        z = rng.standard_normal(d) * np.exp(rng.uniform(-8, 8, d) * rng.integers(0, 2))
        error = float(np.linalg.norm(z)) * rng.choice([0.0, 0.01, 0.3, 0.5])
        radius = float(np.exp(rng.uniform(-5, 5)))
        s, fall = steepest(z, error, np.full(d, -radius), np.full(d, radius))
        assert np.abs(s).max() <= radius * (1 + 1e-15)
        assert fall == pytest.approx(-z @ s)
        worst = z + error * s / np.linalg.norm(s)
        assert worst @ s < 0
        if error == 0:
            np.testing.assert_array_equal(s, -radius * np.sign(z))


def test_a_steepest_step_stays_in_the_box():
    z, low, high = np.array([1.0, -1.0, 0.0, 2.0, -3.0]), np.array([-1, -1, -1, 0, -1.0]), np.array([1, 0.25, 1, 1, 0])
    s, fall = steepest(z, 0.0, low, high)
    np.testing.assert_array_equal(s, [-1.0, 0.25, 0.0, 0.0, 0.0])
    assert fall == 1.25
