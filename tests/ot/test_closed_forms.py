"""Plans and values that are known: two by two, separable costs, Gaussians, limits in reg, symmetries."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment, linprog

from gnsopt.ot import Grid, PointCloud, solve

METHODS = ("auto", "newton", "sinkhorn")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [0.05, 1.0, 20.0])
def test_two_by_two(method, reg):
    C = np.array([[0.1, 0.9], [0.7, 0.2]])
    a1, b1 = 0.3, 0.45
    theta = np.exp(-(C[0, 0] + C[1, 1] - C[0, 1] - C[1, 0]) / reg)
    # (P11 P22)/(P12 P21) = theta, with P12 = a1 - p, P21 = b1 - p, P22 = 1 - a1 - b1 + p
    roots = np.roots([1 - theta, 1 - a1 - b1 + theta * (a1 + b1), -theta * a1 * b1])
    p = next(r for r in roots if max(0, a1 + b1 - 1) <= r <= min(a1, b1))
    found = solve([a1, 1 - a1], [b1, 1 - b1], C, reg, method=method, tol=1e-13)
    np.testing.assert_allclose(found.plan[0, 0], p, rtol=1e-9)


def test_two_by_two_symmetric():
    found = solve([0.5, 0.5], [0.5, 0.5], [[0, 1], [1, 0]], reg=1.0)
    np.testing.assert_allclose(found.plan[0, 0], 1 / (2 * (1 + np.exp(-1))), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [1e-3, 1.0, 1e3])
def test_separable_cost_gives_the_product_plan_at_once(method, reg, make):
    a, b, _, _ = make.random(6, 8)
    rng = np.random.default_rng(0)
    found = solve(a, b, rng.random(6)[:, None] + rng.random(8), reg, method=method)
    np.testing.assert_allclose(found.plan, np.outer(a, b), rtol=1e-11)


def test_constants_on_rows_and_columns_never_matter(make):
    a, b, C, reg = make.random(9, 7)
    plain = solve(a, b, C, reg, tol=1e-13)
    rng = np.random.default_rng(1)
    shifted = solve(a, b, C + 100 * rng.random(9)[:, None] - 50 * rng.random(7), reg, tol=1e-12)
    np.testing.assert_allclose(shifted.plan, plain.plan, rtol=1e-9)


def test_large_reg_expansion(make):
    a, b, C, _ = make.random(6, 5)
    centred = C - (C @ b)[:, None] - a @ C + a @ C @ b
    errors = []
    for reg in (100.0, 200.0, 400.0):
        first_order = np.outer(a, b) * (1 - centred / reg)
        errors.append(np.abs(solve(a, b, C, reg, tol=1e-15).plan - first_order).max())
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.05)


def test_gaussians_on_a_grid():
    """``c = (sqrt(eps^2/4 + 4 s^2 t^2) - eps/2)/2`` is the covariance of the plan between N(m, s^2) and N(l, t^2)."""
    x = np.linspace(-8, 8, 400)
    s, t, m, l, eps = 0.7, 1.1, 0.3, -0.4, 0.6
    a, b = np.exp(-((x - m) ** 2) / (2 * s**2)), np.exp(-((x - l) ** 2) / (2 * t**2))
    a, b = a / a.sum(), b / b.sum()
    found = solve(a, b, PointCloud(x, x), eps, tol=1e-12)
    c = (np.sqrt(eps**2 / 4 + 4 * s**2 * t**2) - eps / 2) / 2
    value = (m - l) ** 2 + s**2 + t**2 - 2 * c - eps / 2 * np.log(1 - c**2 / (s * t) ** 2)
    np.testing.assert_allclose(c, 0.6344743463, atol=1e-10)
    np.testing.assert_allclose(value, 1.2619118172, atol=1e-9)
    np.testing.assert_allclose(found.value_kl, value, atol=1e-9)
    P = found.plan
    np.testing.assert_allclose(x @ P @ x - (a @ x) * (b @ x), c, atol=1e-9)


def test_gaussians_in_the_plane_on_a_grid():
    """Cross-covariance ``R D R^(-1)/2 - s^2 I/2``, ``R = A^(1/2)``, ``D = (4 R B R + s^4 I)^(1/2)``, eps = 2 s^2."""
    A, B, eps = np.array([[0.5, 0.2], [0.2, 0.4]]), np.array([[0.3, -0.1], [-0.1, 0.6]]), 0.5
    x = np.linspace(-4.5, 4.5, 46)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    a, b = (np.exp(-0.5 * np.einsum("ij,jk,ik->i", points, np.linalg.inv(S), points)) for S in (A, B))
    a, b = a / a.sum(), b / b.sum()
    found = solve(a, b, Grid((x, x)), eps)
    root, s2 = sqrtm(A).real, eps / 2
    D = sqrtm(4 * root @ B @ root + s2**2 * np.eye(2)).real
    expected = root @ D @ np.linalg.inv(root) / 2 - s2 * np.eye(2) / 2
    np.testing.assert_allclose(points.T @ found.plan @ points, expected, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_small_reg_is_the_assignment(seed):
    n = 30
    C = np.random.default_rng(seed).random((n, n))
    rows, columns = linear_sum_assignment(C)
    exact = C[rows, columns].sum() / n
    gaps = []
    for reg in (1e-2, 1e-3, 1e-4):
        found = solve(None, None, C, reg)
        assert found.interval.lower <= exact + 1e-12
        assert found.interval.upper >= exact - 1e-12
        gaps.append(found.cost - exact)
        assert -1e-9 <= gaps[-1] <= reg * np.log(n)
    assert gaps[0] > gaps[1] > gaps[2]
    expected = np.zeros((n, n))
    expected[rows, columns] = 1 / n
    np.testing.assert_allclose(solve(None, None, C, 2e-5).plan, expected, atol=1e-8)


def test_bias_and_bounds_against_the_linear_program(make):
    a, b, C, _ = make.random(8, 6)
    n, m = C.shape
    A = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    exact = linprog(C.ravel(), A_eq=A, b_eq=np.concatenate([a, b])).fun
    entropy = min(-(a @ np.log(a)), -(b @ np.log(b)))
    for reg in (1.0, 0.1, 0.01):
        for tol in (1e-1, 1e-9):
            found = solve(a, b, C, reg, tol=tol)
            assert found.interval.lower <= exact + 1e-12
            assert found.interval.upper >= exact - 1e-12
        assert -1e-9 <= found.cost - exact <= reg * entropy


def test_permutation_equivariance_and_transposition(make):
    a, b, C, reg = make.random(9, 6)
    plain = solve(a, b, C, reg, tol=1e-13)
    i, j = np.random.default_rng(0).permutation(9), np.random.default_rng(1).permutation(6)
    permuted = solve(a[i], b[j], C[np.ix_(i, j)], reg, tol=1e-13)
    np.testing.assert_allclose(permuted.plan, plain.plan[np.ix_(i, j)], rtol=1e-9)
    np.testing.assert_allclose(permuted.phi, plain.phi[i], atol=1e-10)
    swapped = solve(b, a, C.T, reg, tol=1e-13)
    np.testing.assert_allclose(swapped.plan, plain.plan.T, rtol=1e-9)
    np.testing.assert_allclose(swapped.psi, plain.phi, atol=1e-10)


def test_symmetric_problem_has_symmetric_answers(make):
    a, _, _, _ = make.random(8, 8)
    x = np.random.default_rng(0).random((8, 2))
    found = solve(a, a, PointCloud(x, x), 0.1, tol=1e-13)
    np.testing.assert_allclose(found.plan, found.plan.T, rtol=1e-9)
    np.testing.assert_allclose(found.phi, found.psi, atol=1e-10)


def test_scaling_cost_and_reg_together_scales_the_potentials(make):
    a, b, C, reg = make.random(8, 6)
    one, other = solve(a, b, C, reg, tol=1e-12), solve(a, b, 7 * C, 7 * reg, tol=1e-12)
    np.testing.assert_allclose(other.plan, one.plan, rtol=1e-9)
    np.testing.assert_allclose(other.phi, 7 * one.phi, rtol=1e-8, atol=1e-9)


def test_relative_regularisation(make):
    a, b, C, _ = make.random(8, 6)
    for scale, size in (("max", C.max()), ("std", C.std())):
        found = solve(a, b, C, reg_rel=0.2, scale=scale)
        assert found.problem.reg == pytest.approx(0.2 * size, rel=1e-12)
        np.testing.assert_allclose(found.plan, solve(a, b, C, 0.2 * size).plan, rtol=1e-9)


def test_weak_duality_at_any_potentials(make):
    """``<a, x> + <b, y> - reg sum P + reg`` is below the optimal value, for any x and y."""
    a, b, C, reg = make.random(8, 6)
    best = solve(a, b, C, reg, tol=1e-13)
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        x, y = best.phi + size * rng.standard_normal(8), best.psi + size * rng.standard_normal(6)
        dual = a @ x + b @ y - reg * np.exp((x[:, None] + y - C) / reg).sum() + reg
        assert dual < best.value
