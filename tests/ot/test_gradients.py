"""Gradients of values, plans and divergences against differences."""

import numpy as np
import pytest

from gnsopt.ot import (
    CostMatrix,
    PointCloud,
    anchor,
    plan_jvp,
    plan_vjp,
    point_gradients,
    sinkhorn_divergence,
    solve,
    value_gradients,
)

TOL = 1e-13


def tangent(rng, n):
    d = rng.standard_normal(n)
    return d - d.mean()


def slope(function, h):
    """Central difference with an error of h^4."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


def check_slope(g, direction, expected, accuracy=1e-8):
    """Compare ``<g, direction>`` with a difference, up to the error that differences have on this scale."""
    scale = np.linalg.norm(g) * np.linalg.norm(direction)
    np.testing.assert_allclose(np.sum(g * direction), expected, rtol=0, atol=accuracy * scale)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7)])
@pytest.mark.parametrize("mass", [1.0, 3.0])
def test_gradients_of_the_value(make, shape, mass):
    a, b, C, reg = make.random(*shape, mass=mass)
    rng = np.random.default_rng(0)
    da, db, dC = 0.01 * tangent(rng, shape[0]), 0.01 * tangent(rng, shape[1]), rng.standard_normal(shape)
    found = solve(a, b, C, reg, tol=TOL)
    for convention, value in (("entropy", "value"), ("kl", "value_kl")):
        g = value_gradients(found, convention)
        for part, change in (("a", (da, 0, 0)), ("b", (0, db, 0)), ("C", (0, 0, dC))):

            def moved(t, change=change, value=value):
                one, other, cost = change
                return getattr(solve(a + t * one, b + t * other, C + t * cost, reg, tol=TOL), value)

            direction = {"a": da, "b": db, "C": dC}[part]
            check_slope(getattr(g, part), direction, slope(moved, 1e-3))
    expected = slope(lambda t: solve(a, b, C, reg + t, tol=TOL).value, 1e-4)
    np.testing.assert_allclose(found.moments.entropy, expected, rtol=1e-7)
    with pytest.raises(ValueError, match="convention='log'"):
        value_gradients(found, "log")


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("shape", [(7, 5), (5, 7)])
def test_gradients_in_the_points(make, cost, shape):
    a, b, _, _ = make.random(*shape)
    a[2] = 0
    a /= a.sum()
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((shape[0], 3)), rng.standard_normal((shape[1], 3))
    dX, dY = rng.standard_normal(X.shape), rng.standard_normal(Y.shape)
    gX, gY = point_gradients(solve(a, b, PointCloud(X, Y, cost), 0.3, tol=TOL))
    assert np.all(gX[2] == 0)
    value = lambda s, t: solve(a, b, PointCloud(X + s * dX, Y + t * dY, cost), 0.3, tol=TOL).value  # noqa: E731
    check_slope(gX, dX, slope(lambda t: value(t, 0), 1e-3))
    check_slope(gY, dY, slope(lambda t: value(0, t), 1e-3))


def test_point_gradients_need_points(make):
    with pytest.raises(TypeError, match="needs a PointCloud"):
        point_gradients(solve(*make.random()))
    with pytest.raises(TypeError, match="derivative of the cost"):
        point_gradients(solve(None, None, PointCloud([0.0, 1.0], [1.0], lambda X, Y: np.abs(X - Y.T)), 1.0))


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (60, 50)])
@pytest.mark.parametrize("mass", [1.0, 3.0])
def test_derivatives_of_the_plan(make, shape, mass, monkeypatch):
    if shape[0] == 60:
        monkeypatch.setattr(anchor, "SPARSE_PAYS", 1.0)  # large enough for conjugate gradients
    a, b, C, reg = make.random(*shape, mass=mass)
    rng = np.random.default_rng(0)
    da, db, dC = 0.01 * tangent(rng, shape[0]), 0.01 * tangent(rng, shape[1]), rng.standard_normal(shape)
    G = rng.standard_normal(shape)
    found = solve(a, b, C, reg, tol=TOL)
    g = plan_vjp(found, G)
    for part, change in (("a", {"da": da}), ("b", {"db": db}), ("C", {"dC": dC})):

        def plan(t, change=change):
            moved = (a + t * change.get("da", 0), b + t * change.get("db", 0), C + t * change.get("dC", 0))
            return solve(*moved, reg, tol=TOL).plan

        expected = slope(plan, 1e-3)
        dP = plan_jvp(found, **change)
        np.testing.assert_allclose(dP, expected, atol=1e-7 * np.abs(expected).max())
        np.testing.assert_allclose(np.sum(getattr(g, part) * change["d" + part]), np.sum(G * dP), rtol=1e-8)
    np.testing.assert_allclose(dP.sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(dP.sum(axis=1), 0, atol=1e-13)


def test_derivatives_of_the_plan_with_forbidden_pairs_and_places_without_mass(make):
    a, b, C, reg = make.random(9, 6)
    a[3] = 0
    a /= a.sum()
    C[0, 0] = np.inf
    found = solve(a, b, C, reg, tol=TOL)
    G = np.random.default_rng(0).standard_normal(C.shape)
    g = plan_vjp(found, G)
    assert np.isfinite(g.C).all()
    assert g.a[3] == 0
    assert g.C[0, 0] == 0
    dC = np.random.default_rng(1).standard_normal(C.shape)
    np.testing.assert_allclose(np.sum(g.C * dC), np.sum(G * plan_jvp(found, dC=dC)), rtol=1e-9)


def test_misuse(make):
    found = solve(*make.random())
    with pytest.raises(ValueError, match=r"G has shape \(5, 7\)"):
        plan_vjp(found, np.ones((5, 7)))
    with pytest.raises(ValueError, match=r"dC has shape"):
        plan_jvp(found, dC=np.ones((5, 7)))
    with pytest.raises(ValueError, match=r"sum\(da\) = 7 and sum\(db\) = 0"):
        plan_jvp(found, da=np.ones(7))


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_divergence(make, cost):
    a, b, _, _ = make.random(12, 9)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 2)), rng.standard_normal((9, 2)) + 0.5
    for reg in (0.1, 1.0, 10.0):
        found = sinkhorn_divergence(a, b, X, Y, reg, cost=cost)
        assert found.converged
        assert found.value > 0
        assert found.error < 1e-8
        itself = sinkhorn_divergence(a, a, X, X[::-1][::-1], reg, cost=cost)
        assert abs(itself.value) <= itself.error + 1e-13
        parts = [
            solve(p, q, PointCloud(U, V, cost), reg).value_kl
            for p, q, U, V in ((a, b, X, Y), (a, a, X, X), (b, b, Y, Y))
        ]
        np.testing.assert_allclose(found.value, parts[0] - (parts[1] + parts[2]) / 2, atol=1e-9)


def test_divergence_tends_to_the_distance_of_the_means():
    """reg to infinity: ``S -> |mean X - mean Y|^2`` for the squared distance (an MMD with the kernel -|x - y|^2/2)."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 2)), rng.standard_normal((9, 2)) + 0.5
    found = sinkhorn_divergence(None, None, X, Y, 1e5, tol=1e-13)
    np.testing.assert_allclose(found.value, np.sum((X.mean(axis=0) - Y.mean(axis=0)) ** 2), rtol=1e-3)


@pytest.mark.parametrize("reg", [1e-2, 1.0, 1e6, 1e12])
def test_the_error_of_the_divergence_is_bounded_by_what_it_says(reg):
    rng = np.random.default_rng(0)
    X, a = rng.random((30, 2)), rng.random(30)
    a, order = a / a.sum(), rng.permutation(30)
    found = sinkhorn_divergence(a, a[order], X, X[order], reg, tol=1e-7)
    assert abs(found.value) <= found.error, "the two measures are the same"
    assert found.error <= max(1e-6, 1e-13 * reg)
    exact = solve(a, a, PointCloud(X, X), reg, tol=1e-13 if reg > 0.1 else 1e-12)
    loose = solve(a, a, PointCloud(X, X), reg, tol=1e-3)
    assert abs(loose.value_kl - exact.value_kl) <= loose.value_error + exact.value_error


def test_gradients_of_the_divergence(make):
    a, b, _, _ = make.random(8, 6)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((8, 2)), rng.standard_normal((6, 2))
    dX, dY, da, db = rng.standard_normal(X.shape), rng.standard_normal(Y.shape), tangent(rng, 8), tangent(rng, 6)
    found = sinkhorn_divergence(a, b, X, Y, 0.5, tol=TOL)

    def value(t, dX=0.0, dY=0.0, da=0.0, db=0.0):
        return sinkhorn_divergence(a + t * da, b + t * db, X + t * dX, Y + t * dY, 0.5, tol=TOL).value

    gX, gY = found.point_gradients()
    ga, gb = found.mass_gradients()
    check_slope(gX, dX, slope(lambda t: value(t, dX=dX), 1e-3))
    check_slope(gY, dY, slope(lambda t: value(t, dY=dY), 1e-3))
    check_slope(ga, 0.01 * da, slope(lambda t: value(t, da=0.01 * da), 1e-2))
    check_slope(gb, 0.01 * db, slope(lambda t: value(t, db=0.01 * db), 1e-2))


def test_cost_matrices_are_geometries_too(make):
    a, b, C, reg = make.random()
    np.testing.assert_array_equal(solve(a, b, CostMatrix(C), reg).plan, solve(a, b, C, reg).plan)
