"""Limited-memory BFGS: the compact form against the recursion of the dense matrix, and against conjugate gradients."""

import numpy as np
import pytest

from gnsopt.linalg.krylov import conjugate_gradients
from gnsopt.linalg.pairs import Pairs


def inverse(M, pairs, scaled):
    """The textbook recursion ``(I - r s y') H (I - r y s') + r s s'``, oldest pair first."""
    s, y = pairs[-1]
    H = M if scaled else M * (s @ y) / (y @ M @ y)
    for s, y in pairs:
        r = 1 / (s @ y)
        V = np.eye(len(s)) - r * np.outer(y, s)
        H = V.T @ H @ V + r * np.outer(s, s)
    return H


@pytest.mark.parametrize("memory", [1, 3, 8])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_compact_form_is_the_recursion(memory, scaled):
    rng = np.random.default_rng(0)
    n = 9
    A = rng.standard_normal((n, n))
    A = A @ A.T + np.eye(n)
    M = np.linalg.inv(A + np.diag(rng.uniform(0, 5, n)))
    found, kept = Pairs(memory, n), []
    g = rng.standard_normal(n)
    assert np.array_equal(found.apply(lambda v: M @ v, g, scaled), M @ g)
    for _ in range(2 * memory + 1):
        s = rng.standard_normal(n)
        found.add(s, A @ s)
        kept = [*kept, (s, A @ s)][-memory:]
        G = inverse(M, kept, scaled)
        assert np.allclose(found.apply(lambda v: M @ v, g, scaled), G @ g, rtol=1e-10, atol=1e-12)
        s, y = kept[-1]
        assert np.allclose(found.apply(lambda v: M @ v, y, scaled), s, rtol=1e-9, atol=1e-11)  # the secant equation
    assert len(found) == memory


def test_pairs_without_curvature_are_left_out():
    found = Pairs(2, 3)
    s = np.array([1.0, 0.0, 0.0])
    for y in (-s, 0 * s, np.array([0.0, 1.0, 0.0]), np.array([np.nan, 0, 0]), np.array([np.inf, 0, 0])):
        found.add(s, y)
    assert len(found) == 0
    found.add(s, 2 * s)
    assert len(found) == 1


def test_steps_with_exact_searches_are_those_of_conjugate_gradients():
    """On a quadratic, with a preconditioner, whatever the memory (Nazareth 1979)."""
    rng = np.random.default_rng(1)
    n = 30
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = Q * np.geomspace(1, 50, n) @ Q.T
    b, M = rng.standard_normal(n), np.diag(1 / A.diagonal())
    for memory in (1, 4):
        x, pairs = np.zeros(n), Pairs(memory, n)
        for steps in range(1, 9):
            g = A @ x - b
            h = -pairs.apply(lambda v: M @ v, g)
            new = x + h * -(g @ h) / (h @ A @ h)
            pairs.add(new - x, A @ (new - x))
            x = new
            reference = conjugate_gradients(A, b, preconditioner=lambda v: M @ v, maxiter=steps, rtol=0.0).x
            assert np.allclose(x, reference, rtol=1e-8, atol=1e-10)
