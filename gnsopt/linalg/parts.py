"""Work in parts that do not depend on the number of threads: then neither does any bit of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba
import numpy as np

from gnsopt._typing import Array

PART = 1e8  # counted work of a part, about 2 ms: starting threads costs a tenth of it
ROWS = 2048  # rows of a part: fewer do not pay for a sum of their own
MOST = 8  # parts

Job = TypeVar("Job")
Result = TypeVar("Result")


def split(n_samples: int, price: float, most: float = np.inf) -> list[slice]:
    """Return consecutive slices of the rows, by the work alone.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    price : float
        Counted work of all of them.
    most : float, optional
        Number of parts at the most: a sum of its own must be worth its memory.

    Returns
    -------
    list of slice
        One to `MOST` parts.
    """
    count = max(1, int(min(MOST, price / PART, n_samples // ROWS, most)))
    ends = [n_samples * i // count for i in range(count + 1)]
    return [slice(lo, hi) for lo, hi in zip(ends[:-1], ends[1:], strict=True)]


def run(task: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """Yield ``task(job)`` in the order of the jobs, several at a time where Numba may use several threads.

    Parameters
    ----------
    task : callable
        What to do; it should release the lock of the interpreter.
    jobs : sequence
        Its arguments.

    Yields
    ------
    object
        What the task returned.
    """
    threads = min(len(jobs), numba.get_num_threads()) if len(jobs) > 1 else 1
    if threads == 1:
        yield from map(task, jobs)
    else:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(task, jobs)


def total(task: Callable[[slice], Array], parts: Sequence[slice]) -> Array:
    """Return the sum of ``task(part)``, added in the order of the parts.

    Parameters
    ----------
    task : callable
        Return an array of its own.
    parts : sequence of slice
        Rows.

    Returns
    -------
    ndarray
        The sum.
    """
    results = run(task, parts)
    out = next(results)
    for result in results:
        out += result
    return out
