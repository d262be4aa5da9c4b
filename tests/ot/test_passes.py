"""Kernels against NumPy: passes over blocks, sparse rows, blocks computed anew, anchors that move."""

import numpy as np
import pytest
from scipy.special import logsumexp

from gnsopt.kernels import sinkhorn as passes
from gnsopt.ot import CostMatrix, Grid, PointCloud, anchor, solve
from gnsopt.ot.anchor import Anchor
from gnsopt.ot.gibbs import BlockKernel, DenseKernel, SparseKernel
from gnsopt.ot.grid_kernel import GridKernel
from gnsopt.ot.semidual import column_logs


def exponents(C, p, q, reg, y):
    return y - ((C - p[:, None]) - q) / reg


def test_exponentials_agree_with_numpy_over_the_whole_range():
    t = np.concatenate([-np.geomspace(1e-300, 699.0, 4000), [0.0, -np.inf, -701.0, -1e300]])[None].copy()
    expected = np.where(t > -700, np.exp(np.maximum(t, -700)), 0.0)
    passes.exponentials(t, np.zeros(1))
    np.testing.assert_allclose(t, expected, rtol=5e-16, atol=0)
    assert np.all(t[0, -3:] == 0)


def test_offsets_and_range():
    C = np.array([[3.0, np.inf, 5.0], [np.inf, np.inf, np.inf], [1.0, 9.0, 2.0]])
    p, q = CostMatrix(C).offsets
    np.testing.assert_array_equal(p, [3.0, 0.0, 1.0])
    np.testing.assert_array_equal(q, [0.0, 8.0, 1.0])
    assert CostMatrix(C).extent == 1.0


@pytest.mark.parametrize("forbidden", [False, True])
def test_column_logs(forbidden, make):
    _, _, C, reg = make.random(9, 6, reg=0.01)
    if forbidden:
        C[np.random.default_rng(1).random(C.shape) < 0.3] = np.inf
        C[:, 2] = np.inf
    x = np.random.default_rng(2).standard_normal(9)
    g = CostMatrix(C)
    p, q = g.offsets
    with np.errstate(divide="ignore"):
        expected = logsumexp(x[:, None] - ((C - p[:, None]) - q) / reg, axis=0)
    np.testing.assert_allclose(column_logs(g, reg, x), expected, rtol=1e-14)


def kernels(monkeypatch, C, reg, y):
    """The three kernels of one cost."""
    built = {}
    for name, limits in {
        "dense": {"SPARSE_PAYS": 0.0},
        "sparse": {"SPARSE_PAYS": 1.0},
        "block": {"DENSE_BYTES": 0.0, "SPARSE_BYTES": 0.0},
        "sparse from blocks": {"DENSE_BYTES": 0.0},
    }.items():
        with monkeypatch.context() as patch:
            for limit, value in limits.items():
                patch.setattr(anchor, limit, value)
            built[name], v, shift = Anchor(CostMatrix(C)).at(y, reg)
            assert np.all(v == 1)
            assert shift == 0
    kinds = {"dense": DenseKernel, "sparse": SparseKernel, "block": BlockKernel, "sparse from blocks": SparseKernel}
    assert {name: type(kernel) for name, kernel in built.items()} == kinds
    return built


@pytest.mark.parametrize("reg", [1.0, 0.02])
def test_kernels_agree_with_numpy(monkeypatch, reg, make):
    a, b, C, _ = make.random(40, 30)
    C[3, 4] = C[5, 5] = np.inf
    rng = np.random.default_rng(3)
    y = rng.standard_normal(30)
    p, q = CostMatrix(C).offsets
    T = exponents(C, p, q, reg, y)
    top = T.max(axis=1)
    E = np.exp(T - top[:, None])
    v, w, d = np.exp(rng.standard_normal(30)), rng.random(40), rng.standard_normal(30)
    s = E @ v
    for name, kernel in kernels(monkeypatch, C, reg, y).items():
        np.testing.assert_allclose(kernel.top, top, rtol=1e-15, err_msg=name)
        found_s, c = kernel.scale(v, a)
        np.testing.assert_allclose(found_s, s, rtol=1e-14, err_msg=name)
        np.testing.assert_allclose(c, E.T @ (a / s), rtol=1e-13, err_msg=name)
        np.testing.assert_allclose(kernel.gram(d, w), E.T @ (w * (E @ d)), rtol=1e-12, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(kernel.squares(w), (E * E).T @ w, rtol=1e-13, err_msg=name)
        moment = np.tril(kernel.second_moment(w))
        np.testing.assert_allclose(moment, np.tril((E.T * w) @ E), rtol=1e-12, atol=1e-15, err_msg=name)
        u = v.copy()
        done = kernel.burst(u, a, b, 3)
        expected = v.copy()
        for _ in range(done):
            expected = b / (E.T @ (a / (E @ expected)))
        assert 0 <= done <= 3
        np.testing.assert_allclose(u, expected, rtol=1e-12, err_msg=name)


def test_four_rows_at_a_time_give_the_same_sums():
    """Kernels that no cache holds are read four rows at a time; the last three rows are read alone."""
    rng = np.random.default_rng(0)
    E = rng.random((1603, 941))
    assert E.size > passes.FAR
    for rows in (slice(None), slice(0, 3), slice(0, 800)):
        part = E[rows]
        v, d, w, a = rng.random(941), rng.standard_normal(941), rng.random(len(part)), rng.random(len(part))
        s, c, g = np.empty(len(part)), np.ones(941), np.ones(941)
        passes.scale(part, v, a, s, c)
        passes.gram(part, d, w, g)
        np.testing.assert_allclose(s, part @ v, rtol=1e-13)
        np.testing.assert_allclose(c, 1 + part.T @ (a / (part @ v)), rtol=1e-12)
        np.testing.assert_allclose(g, 1 + part.T @ (w * (part @ d)), rtol=1e-11, atol=1e-9)


def test_burst_ends_before_scalings_leave_their_range(make):
    a, b, C, _ = make.random(20, 20)
    kernel, v, _ = Anchor(CostMatrix(C)).at(np.linspace(-90, 90, 20), 1.0)
    before = v.copy()
    assert kernel.burst(v, a, b, 5) == 0
    np.testing.assert_array_equal(v, before)


@pytest.mark.parametrize("reg", [0.5, 0.01])
@pytest.mark.parametrize("kept", ["dense", "sparse"])
def test_anchor_answers_the_same_near_and_far(reg, kept, make, monkeypatch):
    """At any sequence of potentials the sums are those of a kernel built on the spot."""
    monkeypatch.setattr(anchor, "SPARSE_PAYS", float(kept == "sparse"))
    a, _, C, _ = make.random(25, 20)
    kept, rng = Anchor(CostMatrix(C)), np.random.default_rng(5)
    y, generations = np.zeros(20), set()
    for step in (0.0, 0.1, 1.0, 8.0, 100.0, 1e4, 1e-3):
        y = y + step * rng.standard_normal(20) + step
        kernel, v, shift = kept.at(y, reg)
        generations.add(kept.generation)
        s, c = kernel.scale(v, a)
        fresh, _, _ = Anchor(CostMatrix(C)).at(y, reg)
        s1, c1 = fresh.scale(np.ones(20), a)
        np.testing.assert_allclose(kernel.top + np.log(s) + shift, fresh.top + np.log(s1), rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(c * v, c1, rtol=1e-10, atol=1e-16)
    assert 1 < len(generations) < 7
    kept.at(y, 2 * reg)
    assert kept.generation not in generations, "another reg needs another kernel"


def test_sparse_kernels_are_not_used_where_what_they_left_out_matters(monkeypatch):
    """The other entry of each row is 1e-24 of the first, then most of it."""
    monkeypatch.setattr(anchor, "SPARSE_PAYS", 1.0)
    kept = Anchor(CostMatrix([[0.0, 55.0], [55.0, 0.0], [0.0, 0.0]]))
    kernel, _, _ = kept.at(np.zeros(2), 1.0)
    assert kernel.data.size == 4
    kernel, v, _ = kept.at(np.array([-20.0, 25.0]), 1.0)
    s, _ = kernel.scale(v, np.ones(3))
    np.testing.assert_allclose(
        np.log(s[0] / s[2]) + kernel.top[0] - kernel.top[2], np.log1p(np.exp(-10)) - 45, rtol=1e-9
    )


def test_point_cloud_costs_and_transposition():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((30, 3)), rng.standard_normal((20, 3))
    square = ((X[:, None] - Y) ** 2).sum(-1)
    for cost, expected in (
        ("sqeuclidean", square),
        ("euclidean", np.sqrt(square)),
        (lambda X, Y: np.abs(X[:, None] - Y).sum(-1), np.abs(X[:, None] - Y).sum(-1)),
    ):
        g = PointCloud(X, Y, cost)
        np.testing.assert_allclose(g.dense(), expected, rtol=1e-12)
        np.testing.assert_allclose(g.transposed().dense(), expected.T, rtol=1e-12)
        i, j = np.array([3, 1]), np.array([0, 7, 5])
        np.testing.assert_allclose(g.take(i, j).dense(), expected[np.ix_(i, j)], rtol=1e-12)
        (least, most), std = g.limits, g.deviation
        np.testing.assert_allclose([least, most, std], [expected.min(), expected.max(), expected.std()], rtol=1e-10)


GRIDS = {
    "images": Grid((6, 5), power=2),
    "l1": Grid((4, 5), (6, 3), power=1),
    "line": Grid((7,), (np.array([0.5, 3.0]),), power=1.5),
    "volume": Grid((3, 2, 4), power=2),
}


@pytest.mark.parametrize("name", GRIDS)
def test_grids_are_the_sum_over_their_axes(name):
    grid = GRIDS[name]
    axes = {
        "images": ((6, 5), (6, 5), 2),
        "l1": ((4, 5), (6, 3), 1),
        "line": ((7,), (np.array([0.5, 3.0]),), 1.5),
        "volume": ((3, 2, 4), (3, 2, 4), 2),
    }[name]
    X, Y = (
        np.stack(np.meshgrid(*(np.arange(x) if np.ndim(x) == 0 else x for x in side), indexing="ij"), -1)
        for side in axes[:2]
    )
    d = X.shape[-1]
    C = (np.abs(X.reshape(-1, 1, d) - Y.reshape(1, -1, d)) ** axes[2]).sum(-1)
    np.testing.assert_allclose(grid.dense(), C, rtol=1e-14)
    plain = CostMatrix(C)
    for found, expected in zip(grid.offsets, plain.offsets, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert grid.extent == pytest.approx(plain.extent)
    assert (*grid.limits, grid.deviation) == pytest.approx((*plain.limits, plain.deviation))
    np.testing.assert_allclose(grid.transposed().dense(), C.T, rtol=1e-14)
    i, j = np.array([3, 1]), np.array([1, 0])
    np.testing.assert_allclose(grid.take(i, j).dense(), C[np.ix_(i, j)], rtol=1e-14)
    np.testing.assert_allclose(grid.take(i, j).transposed().dense(), C[np.ix_(i, j)].T)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("reg", [1.0, 0.02])
def test_grid_kernels_agree_with_dense_ones(name, reg):
    grid = GRIDS[name]
    n, m = grid.shape
    rng = np.random.default_rng(0)
    y, a = rng.standard_normal(m), rng.random(n)
    kernel, _, _ = Anchor(grid).at(y, reg)
    expected, _, _ = Anchor(CostMatrix(grid.dense())).at(y, reg)
    assert isinstance(kernel, GridKernel)
    np.testing.assert_allclose(kernel.top, expected.top, rtol=1e-12, atol=1e-12)
    v, d, w = rng.random(m) + 0.5, rng.standard_normal(m), rng.random(n)
    for found, right in zip(kernel.scale(v, a), expected.scale(v, a), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-11)
    np.testing.assert_allclose(kernel.gram(d, w), expected.gram(d, w), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(kernel.squares(w), expected.squares(w), rtol=1e-11)
    lower = [np.tril(k.second_moment(w)) for k in (kernel, expected)]
    np.testing.assert_allclose(lower[0], lower[1], rtol=1e-11, atol=1e-14)
    x = rng.standard_normal(n)
    plain = column_logs(CostMatrix(grid.dense()), reg, x)
    np.testing.assert_allclose(column_logs(grid, reg, x), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
@pytest.mark.parametrize("masked", [False, True])
def test_transport_on_a_grid(method, masked):
    rng = np.random.default_rng(0)
    a, b = rng.random(42), rng.random(42)
    if masked:
        a[rng.random(42) < 0.3] = 0
        b[:3] = 0
    a, b = a / a.sum(), b / b.sum()
    grid = Grid((6, 7))
    found, expected = solve(a, b, grid, 1.0, method=method), solve(a, b, grid.dense(), 1.0, method=method)
    assert found.converged
    np.testing.assert_allclose(found.plan, expected.plan, atol=1e-9)
    np.testing.assert_allclose(found.phi, expected.phi, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((3, 3), (3,)), "X has 2 axes"),
        (((3,), None, 0.0), "power=0.0"),
        ((([1.0, np.inf],),), "X must hold"),
        (((),), "X"),
    ],
)
def test_grids_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match):
        Grid(*arguments)
