"""The derivative of the solution of a least-squares problem, against differences of solutions and closed forms."""

import numpy as np
import pytest

from gnsopt.solvers.least_squares_layer import LeastSquaresLayer

T = np.linspace(0, 2, 15)
NOISE = 0.1 * np.cos(7 * T)


def residual(w, p):
    """Decay with parameters w, weights and data moved by p; analytic in p."""
    return (1 + p[0] * T) * (w[0] * np.exp(-w[1] * T) - (1 + p[1] * T**2) + NOISE)


def jac(w, p):
    e = np.exp(-w[1] * T)
    return (1 + p[0] * T)[:, None] * np.stack([e, -w[0] * T * e], axis=1)


def hess(w, p, F):
    e = F * (1 + p[0] * T) * np.exp(-w[1] * T)
    cross = -np.sum(T * e)
    return np.array([[0.0, cross], [cross, w[0] * np.sum(T**2 * e)]])


P = np.array([0.3, -0.2])
C = np.array([0.7, -1.1])


def solution(layer, p):
    result = layer.solve(p, [1.0, 0.5], gtol=1e-13, maxiter=200)
    return result.x


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_derivative_is_that_of_differences(ridge):
    layer = LeastSquaresLayer(residual, jac, 2, ridge=ridge, hess=hess)
    ours = layer.pull_back(solution(layer, P), P, C)
    t = 1e-4
    theirs = [(C @ solution(layer, P + t * e) - C @ solution(layer, P - t * e)) / (2 * t) for e in np.eye(2)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_gauss_newton_is_off_by_the_residual():
    """Without second derivatives it is wrong where F does not vanish, and right where it does."""
    exact, short = LeastSquaresLayer(residual, jac, 2, hess=hess), LeastSquaresLayer(residual, jac, 2)
    w = solution(exact, P)
    assert np.max(np.abs(exact.pull_back(w, P, C) - short.pull_back(w, P, C))) > 1e-3

    def fitted(w, p):  # solved exactly by w = (1 + p_0, 2 + p_1)
        return w[0] * np.exp(-w[1] * T) - (1 + p[0]) * np.exp(-(2 + p[1]) * T)

    def fitted_jac(w, p):
        return np.stack([np.exp(-w[1] * T), -w[0] * T * np.exp(-w[1] * T)], axis=1)

    layer = LeastSquaresLayer(fitted, fitted_jac, 2)
    np.testing.assert_allclose(layer.pull_back(np.array([1.0, 2.0]) + P, P, C), C, rtol=1e-9)


def test_linear_least_squares_has_its_closed_form():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 3))
    layer = LeastSquaresLayer(lambda w, p: A @ w - p, lambda w, p: A, 3, ridge=0.1)
    p = rng.standard_normal(6)
    w = layer.solve(p, gtol=1e-13).x
    K = np.linalg.solve(A.T @ A + 0.1 * np.eye(3), A.T)
    np.testing.assert_allclose(w, K @ p, rtol=1e-10)
    dw = rng.standard_normal(3)
    np.testing.assert_allclose(layer.pull_back(w, p, dw), K.T @ dw, rtol=1e-11)


def test_cross_given_is_cross_by_the_complex_step():
    def cross(w, p, a):
        e = w[0] * np.exp(-w[1] * T) - (1 + p[1] * T**2) + NOISE
        Ja = jac(w, p) @ a / (1 + p[0] * T)
        scale = 1 + p[0] * T
        return np.array([np.sum(2 * scale * T * Ja * e), np.sum(-(scale**2) * Ja * T**2)])

    w = np.array([0.8, 0.4])
    one = LeastSquaresLayer(residual, jac, 2).pull_back(w, P, C)
    np.testing.assert_allclose(LeastSquaresLayer(residual, jac, 2, cross=cross).pull_back(w, P, C), one, rtol=1e-12)


@pytest.mark.parametrize("turn", [np.abs, np.real, lambda p: np.array([float(p[0]), p[1]])])
def test_what_is_not_analytic_is_refused(turn):
    """The complex step of abs is zero, and so would be the derivative."""
    w = np.array([0.8, 0.4])
    layer = LeastSquaresLayer(lambda w, p: residual(w, turn(p)), lambda w, p: jac(w, turn(p)), 2)
    with pytest.raises(ValueError, match="not analytic in p.*cross=|no complex p.*cross="):
        layer.pull_back(w, np.abs(P), C)
    given = LeastSquaresLayer(layer.residual, layer.jac, 2, cross=lambda w, p, a: np.ones(2))
    np.testing.assert_array_equal(given.pull_back(w, np.abs(P), C), [-1, -1])


def test_what_differences_cannot_follow_is_taken():
    """Oscillations within a step, a kink, values that are not finite: the complex step has its derivative there."""
    for turn, slope in (
        (lambda p: np.sin(1e8 * p), lambda p: 1e8 * np.cos(1e8 * p)),
        (lambda p: np.where(p.real > P, 2.0, 3.0) * p, lambda p: 3.0),
        (lambda p: p * np.where(p.real > P, np.nan, 1.0), lambda p: 1.0),
    ):
        layer = LeastSquaresLayer(lambda w, p, t=turn: w - t(p), lambda w, p: np.eye(2), 2)
        np.testing.assert_allclose(layer.pull_back(turn(P), P, C), slope(P) * C, rtol=1e-12)


def test_misuse():
    with pytest.raises(ValueError, match="ridge"):
        LeastSquaresLayer(residual, jac, 2, ridge=-1.0)
