"""Bounds of the schedules on random polyhedral functions, where subgradient methods are as bad as they get."""

import numpy as np
import pytest
from scipy.optimize import linprog

from gnsopt.objective import Callables
from gnsopt.solvers import Adaptive
from gnsopt.solvers.schedules import bound, cosine_power, from_weights, linear_decay, refined


def polyhedral(seed):
    """``max_i <a_i, x> + b_i`` with |a_i| = 1 and a minimiser; and the start."""
    rng = np.random.default_rng(seed)
    d, m = rng.integers(1, 4), rng.integers(2, 8)
    A = rng.standard_normal((m, d))
    A = np.vstack([A, -A]) / np.linalg.norm(np.vstack([A, -A]), axis=1, keepdims=True)
    b = rng.standard_normal(2 * m) * (seed % 3 > 0)
    found = linprog(np.append(np.zeros(d), 1), np.c_[A, -np.ones(2 * m)], -b, bounds=[(None, None)] * (d + 1))
    return A, b, found.x[:d], found.fun, rng.standard_normal(d) * 3, rng


def run(A, b, x0, steps):
    """Values and subgradient norms along the steps, by the solver of the library."""
    problem = Callables(lambda x: float(np.max(A @ x + b)), A.shape[1], jac=lambda x: A[np.argmax(A @ x + b)])
    trace = Adaptive("gradient", lr=steps).minimize(problem, x0, gtol=0, maxiter=len(steps), norm="2").trace
    return trace["fun"], trace["gnorm"]


@pytest.mark.parametrize("seed", range(60))
def test_last_iterate_of_linear_decay(seed):
    A, b, x, f, x0, rng = polyhedral(seed)
    N, R = int(rng.integers(1, 25)), float(np.linalg.norm(x0 - x))
    values, _ = run(A, b, x0, linear_decay(N, R))
    assert values[-1] - f <= R / np.sqrt(N + 1) + 1e-12


@pytest.mark.parametrize("seed", range(60))
def test_bound_of_any_weights(seed):
    A, b, x, f, x0, rng = polyhedral(seed)
    A = A * rng.uniform(0.1, 1, (len(A), 1)) if seed % 2 else A
    f = linprog(np.append(np.zeros(x.size), 1), np.c_[A, -np.ones(len(A))], -b, bounds=[(None, None)] * (x.size + 1))
    x, f = f.x[:-1], f.fun
    T, R = int(rng.integers(2, 15)), float(np.linalg.norm(x0 - x))
    w = rng.exponential(size=T) * R / np.sqrt(T) + 1e-3
    values, norms = run(A, b, x0, from_weights(w)[:-1])
    assert values[T - 1] - f <= bound(w, norms[:T], R) + 1e-12


def test_the_bound_is_attained():
    """G |x| at distance R, with the best weight: f(x_1) - f* is G R, and so is the bound."""
    R, G = 3.0, 0.2
    assert bound([R / G], [G], R) == pytest.approx(G * R, rel=1e-15)


def test_constant_weights_are_linear_decay():
    ours, theirs = from_weights(np.ones(10)), np.append(linear_decay(9), 0.0)
    np.testing.assert_allclose(ours / ours[0], theirs / theirs[0], rtol=1e-14)


def test_refined_schedule_of_constant_norms_is_linear():
    np.testing.assert_allclose(refined(np.full(21, 7.0)), np.linspace(1, 0, 21), atol=1e-14)


def test_refined_schedule_does_not_depend_on_units_and_ends_at_zero():
    norms = np.random.default_rng(0).uniform(0.5, 2, 50) * np.geomspace(10, 0.1, 50)
    one = refined(norms)
    np.testing.assert_allclose(one, refined(1e150 * norms), rtol=1e-12)
    assert one[-1] == 0
    assert one.max() == 1


def test_refined_weights_minimise_the_bound():
    """Without smoothing, weights ``c/|g|^2`` with the best c give ``R / sqrt(sum 1/|g|^2)``; no others are lower."""
    rng = np.random.default_rng(1)
    norms, R = rng.uniform(0.2, 3, 20), 2.0
    best = R / np.sqrt(np.sum(norms**-2.0))
    w = norms**-2.0 * R / np.sqrt(np.sum(norms**-2.0))
    assert bound(w, norms, R) == pytest.approx(best, rel=1e-14)
    assert all(bound(w * rng.uniform(0.8, 1.25, 20), norms, R) > best for _ in range(200))
    np.testing.assert_allclose(refined(norms, width=0.0), from_weights(w) / from_weights(w).max(), rtol=1e-13)


def test_median_filter_removes_a_spike():
    norms = np.ones(100)
    norms[40] = 1e-3
    np.testing.assert_allclose(refined(norms), refined(np.ones(100)), atol=1e-14)


def test_cosine_power():
    N = 100
    cosine = 1e-4 + (0.1 - 1e-4) * (1 + np.cos(np.pi * np.arange(N) / N)) / 2
    np.testing.assert_allclose(cosine_power(N, power=1.0), cosine, rtol=1e-14)
    np.testing.assert_allclose(cosine_power(N, power=1 + 1e-9), cosine, rtol=1e-7)
    p = (1 + np.cos(np.pi * np.arange(N) / N)) / 2
    q = 10 ** (p + 1)
    np.testing.assert_allclose(cosine_power(N), 1e-4 + (0.1 - 1e-4) * (q - 10) / 90, rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: linear_decay(0),
        lambda: bound([1.0, 1.0], [1.0], 1.0),
        lambda: bound([1.0, 1.0], 1.0, 1.0),
        lambda: bound([1.0, 1.0], [1.0, np.nan], 1.0),
        lambda: bound([1.0, 1.0], [1.0, -1.0], 1.0),
        lambda: bound([1.0, 1.0], [1.0, 1.0], -1.0),
        lambda: bound([1.0, 1.0], [1.0, 1.0], np.nan),
        lambda: refined([1.0, 2.0], power=np.nan),
        lambda: linear_decay(3, R=-1),
        lambda: from_weights([1.0, 0.0]),
        lambda: refined([1.0]),
        lambda: refined([1.0, 2.0], width=1.0),
        lambda: cosine_power(5, first=0.1, last=0.2),
    ],
)
def test_misuse_of_schedules(call):
    with pytest.raises(ValueError, match=r"must|at least"):
        call()
