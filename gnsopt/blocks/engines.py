"""Who works on the blocks: threads of this process, or the workers of a Dask cluster.

Blocks stay where they are; an evaluation sends x and gets sums. These are added in pairs of neighbours, then in pairs
of such pairs, and so on: the same tree everywhere, so that no bit depends on who was ready first, or had which block.
"""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any

import numba
import numpy as np

from gnsopt.arguments import check_kind
from gnsopt.blocks.sources import Block, Part, Partition, aligned
from gnsopt.exceptions import MissingRequirement

SHARES = 2  # tasks for each thread of a cluster: what a lost worker leaves is spread over others (chosen)
PATIENCE = 30.0  # seconds without a worker, at first or during a run (chosen)
TICK = 1.0  # seconds between two looks whether there are workers (chosen)
LARGE = 2**17  # bytes of an argument that is sent to each worker once, not with each task (chosen)
Sums = tuple[Any, ...]  # floats and arrays


def add(results: Iterable[Sums | None]) -> Sums | None:
    """Return the sum of results by the tree of neighbours; None stands for nothing.

    Parameters
    ----------
    results : iterable of tuple or None
        In the order of the blocks; left as they are, and dropped as soon as they are added.

    Returns
    -------
    tuple of float or ndarray, or None
        The sums.
    """
    stack: list[Sums | None] = []  # sums over 2^j neighbours, j falling
    for count, result in enumerate(results, start=1):
        stack.append(result)
        while count % 2 == 0:
            count //= 2
            right = stack.pop()
            stack.append(_pair(stack.pop(), right))
    while len(stack) > 1:
        right = stack.pop()
        stack.append(_pair(stack.pop(), right))
    return stack[0]


def _pair(left: Sums | None, right: Sums | None) -> Sums | None:
    if left is None or right is None:
        return right if left is None else left
    return tuple(a + b for a, b in zip(left, right, strict=True))


class Handle:
    """What a thread of this process gets by calling: kept, or made anew each time.

    Parameters
    ----------
    make : callable
        How.
    held : bool
        Whether to keep it.
    """

    def __init__(self, make: Callable[[], Any], held: bool) -> None:
        self._make, self.held, self._kept = make, held, None

    def __call__(self) -> Any:
        """Return the object."""
        if self._kept is not None:
            return self._kept
        made = self._make()
        if self.held:
            self._kept = made
        return made


class InProcess:
    """Threads of this process, with one block each.

    Parameters
    ----------
    threads : int, optional
        Blocks at a time. By default as many as Numba uses threads, and at least two where blocks are loaded: one is
        read while another one is worked on.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and not (isinstance(threads, int | np.integer) and threads >= 1):
            raise ValueError(f"threads={threads!r} must be an integer of at least 1")
        self.threads = threads

    def open(self, blocks: Sequence[Block]) -> list[Handle]:
        """Return a handle for the rows of each block."""
        return [Handle(partial(load, block, number), False) for number, block in enumerate(blocks)]

    def then(self, task: Callable[..., Any], handles: Sequence[Handle], keep: bool, *args: Any) -> list[Handle]:
        """Return handles for ``task(object, *args)``."""
        return [Handle(partial(_chain, task, handle, args), keep) for handle in handles]

    def each(self, task: Callable[..., Any], handles: Sequence[Handle], *args: Any) -> list[Any]:
        """Return ``task(object, *args)`` for each object that is not None, in their order."""
        return [result for result in self._run(task, handles, args) if result is not None]

    def total(self, task: Callable[..., Sums], handles: Sequence[Handle], *args: Any) -> Sums:
        """Return the sum of ``task(object, *args)``."""
        return add(self._run(task, handles, args)) or ()

    def _run(self, task: Callable[..., Any], handles: Sequence[Handle], args: Sequence[Any]) -> Iterator[Any]:
        """Yield results in order; no more than twice the threads wait for their turn."""
        least = 1 if all(handle.held for handle in handles) else 2
        threads = min(len(handles), self.threads or max(least, numba.get_num_threads()))

        def work(handle: Handle) -> Any:
            return _done(handle(), task, args)

        if threads == 1:
            yield from map(work, handles)
            return
        pool = ThreadPoolExecutor(threads)
        waiting: deque[Any] = deque()
        try:
            for handle in handles:
                waiting.append(pool.submit(work, handle))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class OnDask:
    """The workers of a Dask cluster, which keep the blocks in their memory, a bundle of neighbours in each task.

    All that a worker holds is made by a task that Dask can do again: a worker that is lost costs time, not the run.

    Parameters
    ----------
    client : distributed.Client
        The connection.
    """

    def __init__(self, client: Any) -> None:
        if not all(hasattr(client, name) for name in ("submit", "map", "gather", "sync")):
            raise TypeError(f"client={client!r} is no distributed.Client: pass distributed.Client(address)")
        if client.asynchronous:
            raise TypeError("client is asynchronous: pass distributed.Client(address) without asynchronous=True")
        if client.status != "running":
            raise ValueError(f"client is {client.status}: connect anew, distributed.Client(address)")
        self.client = client

    def open(self, blocks: Sequence[Block]) -> list[Any]:
        """Return futures for the rows of bundles of 2^j blocks, as large as leaves a share for each thread."""
        size, threads = 1, sum(self._workers().values())
        while len(blocks) >= 2 * size * SHARES * threads:
            size *= 2
        loaders = [(self._parts(block), number) for number, block in enumerate(blocks)]
        bundles = [loaders[i : i + size] for i in range(0, len(blocks), size)]
        with _large_tasks():
            return [self.client.submit(_load_all, bundle, pure=False) for bundle in bundles]

    def _workers(self) -> dict[str, int]:
        """Return the threads of each worker; there must be one."""
        try:
            self.client.wait_for_workers(1, timeout=PATIENCE)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            raise ValueError(f"client: the cluster has had no worker for {PATIENCE} s; start one with 'dask worker "
                             f"{self.client.scheduler.address}'") from None  # fmt: skip
        return dict(self.client.nthreads())

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Turn what goes wrong with the cluster itself into OSError: it is no numerical trouble."""
        distributed: Any = import_module("distributed")
        try:
            yield
        except distributed.KilledWorker as error:
            raise OSError(
                f"worker after worker of the cluster died; perhaps they have too little memory: {error}"
            ) from error
        except Exception as error:
            if self.client.status != "running":
                raise OSError(f"the client of the cluster is {self.client.status}: keep it open during the run, or "
                              "start the cluster anew") from error  # fmt: skip
            if isinstance(error, CancelledError):
                raise OSError(f"the cluster is gone: {error}") from error
            raise

    def _gather(self, futures: Any) -> Any:
        """Wait for results, as long as there are workers."""
        return self.client.sync(self._results, futures)

    async def _results(self, futures: Any) -> Any:
        work = asyncio.ensure_future(self.client.gather(futures, asynchronous=True))
        seen = time.monotonic()
        while not (await asyncio.wait([work], timeout=TICK))[0]:
            if await self.client.nthreads(asynchronous=True):
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                await self.client.cancel(futures, asynchronous=True)
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(asyncio.gather(work, return_exceptions=True), TICK)
                raise OSError(
                    f"the cluster has had no worker for {PATIENCE:g} s; start one with 'dask worker "
                    f"{self.client.scheduler.address}' and run again, or go on from a checkpoint"
                )
        return work.result()

    def _parts(self, block: Block) -> Any:
        if not isinstance(block, Partition):
            return block
        is_dask_collection = import_module("dask").is_dask_collection
        parts = (block.X, block.y, block.weight)
        return [*(self.client.compute(p) if is_dask_collection(p) else p for p in parts), block.name]

    def then(self, task: Callable[..., Any], handles: Sequence[Any], keep: bool, *args: Any) -> list[Any]:
        """Return futures for ``task(object, *args)``; the workers keep all of them."""
        with self._blamed(), _large_tasks():  # a plan has a few numbers of each block: it goes once, not with each task
            given = [self.client.submit(_itself, a, pure=False) for a in args]
            return self._map(_each, handles, task, given)

    def each(self, task: Callable[..., Any], handles: Sequence[Any], *args: Any) -> list[Any]:
        """Return ``task(object, *args)`` for each object that is not None, in their order."""
        with self._blamed():
            bundles = self._gather(self._map(_each, handles, task, args))
        return [result for bundle in bundles for result in bundle if result is not None]

    def total(self, task: Callable[..., Sums], handles: Sequence[Any], *args: Any) -> Sums:
        """Return the sum of ``task(object, *args)``: one round trip."""
        with self._blamed():
            sums = self._map(_total, handles, task, args)
            out: Sums | None = self._gather(self.client.submit(add, sums, pure=False))
        return out or ()

    def _map(self, each: Callable[..., Any], handles: Sequence[Any], task: Any, args: Sequence[Any]) -> list[Any]:
        """Return futures for a task over each bundle.

        Large arguments go to the workers as the result of a task, not by `scatter`, which fails with any worker and
        is not done again. No keywords, for Dask gives large ones a key that all calls share.
        """
        m = len(handles)
        with _large_tasks():
            given = [
                self.client.submit(_itself, a, pure=False) if isinstance(a, np.ndarray) and a.nbytes > LARGE else a
                for a in args
            ]
            return list(self.client.map(each, handles, [task] * m, [given] * m, pure=False))


Engine = InProcess | OnDask


def load(block: Any, number: int) -> Part:
    """Return the rows of a block under its name.

    Parameters
    ----------
    block : Block or list
        The block; or X, y, weights and name of one that Dask has loaded.
    number : int
        Its place among all.

    Returns
    -------
    Part
        The rows.
    """
    if isinstance(block, Block):
        return block.load()._replace(name=block.name, may_be_empty=block.may_be_empty, number=number)
    X, y, weight, name = block
    return Part(X, y, weight, name, True, number)


def _load_all(bundle: Sequence[Any]) -> list[Part]:
    return [load(block, number) for block, number in bundle]


def _chain(task: Callable[..., Any], handle: Handle, args: Sequence[Any]) -> Any:
    return task(handle(), *args)


def _done(made: Any, task: Callable[..., Any], args: Sequence[Any]) -> Any:
    if made is None:
        return None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as the driver has it, in its own thread
        return task(made, *args)


@contextmanager
def _large_tasks() -> Iterator[None]:
    """Arrays of this process are part of some tasks on purpose: the scheduler sends them anew to a new worker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
        yield


def _itself(a: Any) -> Any:
    return a


def _each(bundle: Sequence[Any], task: Callable[..., Any], args: Sequence[Any]) -> list[Any]:
    args = [aligned(a) for a in args]
    return [_done(made, task, args) for made in bundle]


def _total(bundle: Sequence[Any], task: Callable[..., Sums], args: Sequence[Any]) -> Sums | None:
    args = [aligned(a) for a in args]
    return add(_done(made, task, args) for made in bundle)


def _is_address(address: str) -> bool:
    if address.startswith("inproc://"):
        return True
    found = re.fullmatch(r"(?:(?:tcp|tls|ucx|wss?)://)?(?:[^\s:/\[\]]+|\[[\da-fA-F:.]+\]):(\d{1,5})/?", address)
    return found is not None and 0 < int(found[1]) < 2**16


def connect(address: str) -> Any:
    """Return a client of the Dask scheduler at `address`.

    Parameters
    ----------
    address : str
        Such as ``"tcp://10.0.0.1:8786"``.

    Returns
    -------
    distributed.Client
        The connection.

    Raises
    ------
    MissingRequirement
        Without Dask.
    ValueError
        If nobody answers.
    """
    check_kind(address, "address", str)
    if not _is_address(address):  # of which Client complains after a long time, and twice
        raise ValueError(f"no Dask scheduler answers at {address!r}: write its host and port, tcp://host:8786")
    try:
        Client: Any = import_module("distributed").Client
    except ImportError as error:
        raise MissingRequirement("a Dask cluster needs Dask: pip install 'gnsopt[dask]'") from error
    try:
        return Client(address, timeout=10, set_as_default=False)  # one that fails would stay the default
    except (OSError, ValueError, TimeoutError, asyncio.TimeoutError) as error:
        raise ValueError(f"no Dask scheduler answers at {address!r}: {error}") from error
