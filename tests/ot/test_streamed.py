"""Problems too large for a kernel in memory: the same answers from blocks, in any number of threads, in O(n + m)."""

import tracemalloc

import numpy as np
import pytest

from gnsopt.ot import PointCloud, anchor, point_gradients, solve


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(anchor, "DENSE_BYTES", 0.0)
    monkeypatch.setattr(anchor, "SPARSE_BYTES", 0.0)


def clouds(n, m, workers=1, cost="sqeuclidean"):
    rng = np.random.default_rng(0)
    return PointCloud(rng.random((n, 2)), rng.random((m, 2)) ** 2, cost, workers)


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
@pytest.mark.parametrize("reg", [0.1, 0.01])
def test_blocks_give_the_answers_of_a_kernel_in_memory(method, reg, monkeypatch):
    expected = solve(None, None, clouds(400, 300), reg, method=method)
    monkeypatch.setattr(anchor, "DENSE_BYTES", 0.0)
    sparse = solve(None, None, clouds(400, 300), reg, method=method)
    monkeypatch.setattr(anchor, "SPARSE_BYTES", 0.0)
    streamed = solve(None, None, clouds(400, 300), reg, method=method)
    for found in (sparse, streamed):
        assert found.converged
        assert found.err1 <= 1e-9
        np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-8)
        np.testing.assert_allclose(found.plan, expected.plan, atol=1e-9)


@pytest.mark.usefixtures("no_kernels")
def test_threads_do_not_change_a_bit():
    alone, together = (solve(None, None, clouds(700, 500, workers), 0.01) for workers in (1, 3))
    for name in ("phi", "psi", "plan"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))
    assert alone.n_iter == together.n_iter


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize("method", ["auto", "sinkhorn"])
def test_limits_are_looked_at_after_each_pass(method):
    """Where a pass takes seconds a burst of ten would overrun the time, and the tolerance, by ten of them."""
    found = solve(None, None, clouds(300, 200), 0.1, method=method)
    sinkhorn = found.trace["njev"][: 1 + np.count_nonzero(found.trace["nhessp"] == 0)]
    assert sinkhorn.size > 3
    np.testing.assert_array_equal(np.diff(sinkhorn), 1)
    assert found.trace["gnorm"][-2] > found.tol


@pytest.mark.usefixtures("no_kernels")
def test_memory_is_linear_in_the_number_of_points():
    """A plan of 3000 x 3000 would take 72 MB; the run, its values, bounds and gradients stay far below."""
    geometry = clouds(3000, 3000)
    assert solve(None, None, clouds(100, 100), 0.1).gap >= 0  # compiles first
    tracemalloc.start()
    found = solve(None, None, geometry, 0.1, tol=1e-6)
    values = (found.cost, found.value, found.gap, *found.interval)
    point_gradients(found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.converged
    assert np.isfinite(values).all()
    assert peak < 8e6


@pytest.mark.usefixtures("no_kernels")
def test_a_function_of_the_user_is_called_by_blocks():
    sizes = []

    def cost(X, Y):
        sizes.append(len(X))
        return np.abs(X[:, None] - Y).sum(axis=-1)

    found = solve(None, None, clouds(500, 300, cost=cost), 0.1)
    assert found.converged
    assert max(sizes) * 300 <= 2**16
    expected = clouds(500, 300, cost=cost)
    np.testing.assert_allclose(found.cost, solve(None, None, expected.dense(), 0.1).cost, rtol=1e-8)


def test_workers_are_checked():
    with pytest.raises(ValueError, match="workers=0"):
        clouds(3, 3, 0)
