"""Rows on disk: a few blocks at a time, one pass for an evaluation, and all that an iteration needs in one pass."""

import threading
import tracemalloc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

from gnsopt import Logistic, RowBlocks, datasets, minimize
from gnsopt.blocks import Block, Part, sources, split
from gnsopt.blocks.sources import Stretch


class Watch:
    """Count the blocks that are loaded and those that are alive."""

    def __init__(self):
        self.loads, self.alive, self.most, self.lock = 0, 0, 0, threading.Lock()

    def __call__(self, array):
        with self.lock:
            self.loads += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(array, self.gone)

    def gone(self):
        with self.lock:
            self.alive -= 1


@dataclass(frozen=True)
class Watched(Block):
    name: str
    X: np.ndarray
    y: np.ndarray
    watch: Watch

    def load(self):
        X = np.array(self.X)
        self.watch(X)
        return Part(X, self.y, None)


def watched(n_blocks, n=600, d=5, **options):
    X, y = datasets.make_logistic(n, d, seed=2)
    watch, step = Watch(), n // n_blocks
    blocks = [Watched(f"{i}", X[i : i + step], y[i : i + step], watch) for i in range(0, n, step)]
    return RowBlocks("logistic", blocks, l2=1e-2, **options), Logistic(X, y, l2=1e-2), watch


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_blocks_than_threads_are_alive(threads):
    problem, _, watch = watched(20, threads=threads)
    assert minimize(problem).success
    assert watch.most <= threads
    assert watch.alive == 0


def test_one_pass_for_an_evaluation_and_none_for_the_hessian_that_came_with_it():
    problem, _, watch = watched(10)
    assert watch.loads == 10  # the survey
    run = problem.fresh()
    x = np.zeros(run.n)
    z = run.prepare(x)
    _ = run.fun(x, z), run.grad(x, z)
    assert watch.loads == 20
    assert run.prepare(x) is z  # the last x is no pass
    assert watch.loads == 20
    first = run.hess(x, z).lower()
    assert watch.loads == 30  # a run that had not asked before
    z = run.prepare(x)
    second = run.hess(x, z).lower()
    assert watch.loads == 40
    assert (np.tril(first) == np.tril(second)).all()
    assert problem.prepare(x).lowers == {}  # another run begins anew


def test_the_hessian_that_comes_along_changes_no_bit(tmp_path):
    X, y = datasets.make_logistic(500, 6, seed=3)
    np.save(tmp_path / "X.npy", X)
    disk = RowBlocks("logistic", split(np.load(tmp_path / "X.npy", mmap_mode="r"), y, rows=32), l2=1e-3)
    held = RowBlocks("logistic", split(X, y, rows=32), l2=1e-3)
    ours, theirs = (minimize(p, method="gns", options={"curvature": "exact"}) for p in (disk, held))
    assert (ours.x == theirs.x).all()
    assert ours.nhev == theirs.nhev


def test_memory_is_that_of_some_blocks(tmp_path):
    n, d, rows = 40_000, 20, 1_000
    X, y = datasets.make_logistic(n, d, seed=4)
    np.save(tmp_path / "X.npy", X)
    total = X.nbytes
    problem = RowBlocks("logistic", split(np.load(tmp_path / "X.npy", mmap_mode="r"), y, rows=rows), l2=1e-3, threads=2)
    minimize(problem)
    tracemalloc.start()
    try:
        assert minimize(problem).success
        assert tracemalloc.get_traced_memory()[1] < total / 5
    finally:
        tracemalloc.stop()


def test_stretches_of_maps_and_of_their_views(tmp_path):
    X = np.arange(60.0).reshape(12, 5)
    np.save(tmp_path / "X.npy", X)
    whole = np.load(tmp_path / "X.npy", mmap_mode="r")
    for a, b in ((whole, X), (whole[3:9], X[3:9]), (whole[2:][1:], X[3:]), (whole[4], X[4])):
        found = sources._stretch(a)
        assert isinstance(found, Stretch)
        np.testing.assert_array_equal(found.read(), b)
    for a in (whole[:, 1:3], whole[::2], X):  # not rows of a file in C order: taken as they are
        assert not isinstance(sources._stretch(a), Stretch)
    order = np.lib.format.open_memmap(tmp_path / "F.npy", "w+", np.float64, (12, 5), fortran_order=True)
    order[:] = X
    assert [block.held for block in split(order, X[:, 0], rows=5)] == [False] * 3
    np.testing.assert_array_equal(np.vstack([block.load().X for block in split(order, X[:, 0], rows=5)]), X)
    raw = np.memmap(tmp_path / "X.npy", np.float64, "r", offset=whole.offset, shape=(12, 5))
    np.testing.assert_array_equal(sources._stretch(raw[5:]).read(), X[5:])
    np.testing.assert_array_equal(sources._stretch(raw).rows(2, 4).read(), X[2:4])


def test_a_file_that_was_cut_ends_the_run_with_its_name(tmp_path):
    X, y = datasets.make_logistic(100, 4, seed=5)
    np.save(tmp_path / "X.npy", X)
    problem = RowBlocks("logistic", split(np.load(tmp_path / "X.npy", mmap_mode="r"), y, rows=9), l2=1e-3)
    with open(tmp_path / "X.npy", "r+b") as file:
        file.truncate(2000)
    with pytest.raises(OSError, match=r"X\.npy ends after"):
        minimize(problem)
