"""Sums in a fixed tree: no bit depends on threads, bundles, or who is ready first."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from gnsopt import RowBlocks, datasets, minimize
from gnsopt.blocks import Block, Part, split
from gnsopt.blocks.engines import InProcess, add

X, y = datasets.make_softmax(500, 7, 3, seed=1)


def level_by_level(results):
    results = list(results)
    while len(results) > 1:
        pairs = [results[i : i + 2] for i in range(0, len(results), 2)]
        results = [sum(pair[1:], pair[0]) for pair in pairs]
    return results[0]


@pytest.mark.parametrize("count", range(1, 35))
def test_tree_is_that_of_neighbours(count):
    values = np.random.default_rng(count).standard_normal((count, 3)) * 10.0 ** np.arange(count)[:, None]
    expected = level_by_level(values)
    before = values.copy()
    total, size = add((v, float(v[0])) for v in values)
    assert (total == expected).all()
    assert size == expected[0]
    assert (values == before).all()
    for bundle in (1, 2, 4, 8):  # neighbours that are added elsewhere first
        parts = [add([(v,) for v in values[i : i + bundle]]) for i in range(0, count, bundle)]
        assert (add(parts)[0] == expected).all()


def test_nothing_counts_for_nothing():
    one = (np.ones(2), 1.0)
    assert add([None, None]) is None
    assert add([None, one, None])[1] == 1.0
    assert add([one, None, one])[1] == 2.0


@dataclass(frozen=True)
class Late(Block):
    """Rows that come the later, the earlier they stand."""

    name: str
    part: Part
    wait: float

    def load(self):
        time.sleep(self.wait)
        return self.part


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_depend_neither_on_threads_nor_on_the_order_of_completion(threads):
    plain = minimize(RowBlocks("softmax", split(X, y, rows=40), l2=1e-3, threads=1))
    blocks = [Late(b.name, b.load(), 1e-3 * (i % 3)) for i, b in enumerate(split(X, y, rows=40))]
    for some in (split(X, y, rows=40), blocks):
        problem = RowBlocks("softmax", some, l2=1e-3, threads=threads)
        x = np.linspace(-1, 1, problem.n)
        other = RowBlocks("softmax", split(X, y, rows=40), l2=1e-3, threads=1)
        assert (problem.prepare(x).g == other.prepare(x).g).all()
        H, G = problem.hess(x, problem.prepare(x)), other.hess(x, other.prepare(x))
        assert (np.tril(H.lower()) == np.tril(G.lower())).all()
    assert (minimize(problem, method="gns").x == minimize(other, method="gns").x).all()
    assert plain.success


def test_few_results_wait_and_an_error_ends_the_pass():
    alive, most, lock = 0, 0, threading.Lock()

    class Made:
        def __init__(self):
            nonlocal alive, most
            with lock:
                alive += 1
                most = max(most, alive)

    def task(i):
        nonlocal alive
        made = Made()
        with lock:
            alive -= 1
        del made
        if i == 7:
            raise OSError("block 7 is gone")
        return (1.0,)

    engine = InProcess(3)
    handles = engine.then(lambda i: i, [lambda i=i: i for i in range(40)], False)
    with pytest.raises(OSError, match="block 7"):
        engine.total(task, handles)
    assert most <= 3
