"""One cell, in its own process: a method on a problem, or the minimum of a problem.

    python -m experiments.benchmarks.glm.cell minimum PROBLEM FILE
    python -m experiments.benchmarks.glm.cell run PROBLEM FILE METHOD CLOCK TIMEOUT MINIMUM

PROBLEM is the problem as json. A method first runs on a small problem of the same type, then with every iterate
judged, which finds where each target is reached; then again, from the arrays to that iterate, with a clock only. Times
are those of the second runs (the median), unless the first took more than `LONG` of the timeout. The answer is a json
file, written anew after each run: a cell that is killed has lost its last run only.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import sparse

from experiments import environment
from experiments.benchmarks.glm import registry
from experiments.benchmarks.glm.optimum import minimum
from experiments.benchmarks.glm.oracle import Oracle, Vector
from experiments.benchmarks.glm.registry import Enough, Method
from experiments.benchmarks.glm.tasks import Problem, Task
from experiments.storage import read_json, write_json

CLOCKS: dict[str, Callable[[], float]] = {"cpu": time.process_time, "wall": time.perf_counter}
TARGETS = ("r4", "r8", "g8")
LONG = 1 / 3  # of the timeout: runs longer than that are not repeated
PATIENCE = 2.5  # wall seconds for each of the timeout, which another load may need (chosen)
REPEATS, ENOUGH = 9, 0.5  # timed runs at the most, and seconds of them that are enough (chosen)
SAME = 8  # tolerances in a row that lead to the same point: the method comes no closer (chosen: four decades)
GRAM = 4e12  # operations up to which a Hessian is built to know its price
GRAM_SIDE = 6000  # and its side


class Judge:
    """Which targets an iterate has reached, by the independent oracle."""

    def __init__(self, oracle: Oracle, f_star: float) -> None:
        self.oracle, self.f_star = oracle, f_star
        self.bound = 1e-8 * max(1.0, float(np.linalg.norm(oracle.grad(np.zeros(oracle.size)))))

    def __call__(self, x: Vector) -> dict[str, float]:
        """Return gap, relative gap and norm of the gradient."""
        x = np.asarray(x, dtype=float).reshape(-1)
        gap = self.oracle.fun(x) - self.f_star
        return {"gap": gap, "relative": gap / self.f_star, "gnorm": float(np.linalg.norm(self.oracle.grad(x)))}

    def reached(self, found: dict[str, float]) -> set[str]:
        """Return the names of the targets."""
        hit = {"r4": found["relative"] <= 1e-4, "r8": found["relative"] <= 1e-8, "g8": found["gnorm"] <= self.bound}
        return {name for name, value in hit.items() if value}


class Watch:
    """The clock of a run, stopped while an iterate is looked at; the end of the run counts as an iterate."""

    counts: list[dict[str, Any]] | None = None  # of the start and each iterate, where a method knows them afterwards
    note: str = ""

    def __init__(self, clock: Callable[[], float], limit: float) -> None:
        self.clock, self.limit, self.paused, self.index = clock, limit, 0.0, 0
        self.over = False
        self.begin = clock()

    def __call__(self, x: Any, **counts: int) -> None:
        """Look at an iterate; raise `Enough` when there is nothing more to see."""
        if self.over:
            return
        now = self.clock()
        seconds = now - self.begin - self.paused
        self.index += 1
        self.over = self.see(x, seconds, counts) or seconds > self.limit
        self.paused += self.clock() - now
        if self.over:
            raise Enough

    def see(self, x: Any, seconds: float, counts: dict[str, int]) -> bool:
        """Look; return whether that is enough."""
        raise NotImplementedError


class Judging(Watch):
    """Finds the first iterate that reaches each target, and tells at once: the run may be killed."""

    def __init__(
        self,
        clock: Callable[[], float],
        limit: float,
        judge: Judge,
        wanted: Iterable[str],
        tell: Callable[[dict[str, Any]], None] = lambda hits: None,
    ) -> None:
        self.judge, self.wanted, self.tell = judge, set(wanted), tell
        self.hits: dict[str, dict[str, Any]] = {}
        self.last: dict[str, float] = {}
        self.seconds = 0.0
        super().__init__(clock, limit)

    def see(self, x: Any, seconds: float, counts: dict[str, int]) -> bool:
        self.last, self.seconds = self.judge(x), seconds
        new = (self.judge.reached(self.last) & self.wanted) - set(self.hits)
        self.hits |= {name: {"index": self.index, "seconds": seconds, **self.last, "counts": counts} for name in new}
        if new:
            self.tell(self.hits)
        return self.wanted <= set(self.hits)


class Timing(Watch):
    """Stamps the iterates of the given indices and keeps copies of them, to be judged later."""

    def __init__(self, clock: Callable[[], float], limit: float, indices: set[int]) -> None:
        self.indices = indices
        self.stamps: dict[int, float] = {}
        self.copies: dict[int, Vector] = {}
        super().__init__(clock, limit)

    def see(self, x: Any, seconds: float, counts: dict[str, int]) -> bool:
        if self.index in self.indices:
            self.stamps[self.index], self.copies[self.index] = seconds, np.array(x, dtype=float)
        return self.index >= max(self.indices)


def attempt(method: Method, task: Task, tol: float, watch: Watch) -> None:
    """Run the method to its end or to that of the watch."""
    gc.collect()
    watch.begin = watch.clock()
    try:
        x = method.fit(task, tol, watch)
        watch(x)
    except Enough:
        pass


def small(task: Task) -> Task:
    """Return a small problem of the same type."""
    rng = np.random.default_rng(0)
    outputs = max(task.k, 2)
    n = 40 * outputs
    X = rng.standard_normal((n, 6))
    codes = np.concatenate([np.arange(outputs), rng.integers(outputs, size=n - outputs)])
    return Task(sparse.csr_array(X) if sparse.issparse(task.X) else X, codes, task.k, 0.1, task.intercept)


def run(method: Method, task: Task, clock: Callable[[], float], timeout: float, f_star: float, save: Any) -> None:
    """Measure; `save` is called with what is known so far."""
    judge = Judge(task.oracle(), f_star)
    warm = small(task)
    warm_judge = Judge(warm.oracle(), minimum(warm.oracle())[1]["f_star"])
    attempt(method, warm, method.tolerances[0], Judging(clock, timeout, warm_judge, TARGETS))
    answer: dict[str, Any] = {"pass_seconds": data_pass(task, clock), "targets": {}, "attempts": [], "note": ""}
    save(answer)
    gc.collect()
    gc.freeze()  # what the imports made is not looked through again before every run
    spent, targets = 0.0, answer["targets"]
    for tol in method.tolerances:
        limit(timeout - spent)
        watch = Judging(clock, timeout - spent, judge, set(TARGETS) - set(targets), partial(tell, save, answer))
        begin = clock()
        attempt(method, task, tol, watch)
        spent += clock() - begin - watch.paused
        answer["attempts"].append({"tol": tol, "seconds": watch.seconds, **watch.last, "iterates": watch.index})
        answer["note"] = watch.note
        for hit in watch.hits.values():
            hit["tol"] = tol
            if watch.counts is not None and hit["index"] < len(watch.counts):
                hit["counts"] = watch.counts[hit["index"]]
        targets |= watch.hits
        save(answer)
        if watch.hits:
            limit(4 * timeout)
            again(method, task, tol, clock, timeout, judge, watch.hits)
        ends = [each.get("gnorm") for each in answer["attempts"][-SAME:]]
        if len(targets) == len(TARGETS) or spent > timeout or ends == ends[:1] * SAME:
            break
    faulthandler.cancel_dump_traceback_later()
    answer["status"] = "done" if len(targets) == len(TARGETS) else "timeout" if spent > timeout else "stopped short"
    save(answer)


def tell(save: Callable[[dict[str, Any]], None], answer: dict[str, Any], hits: dict[str, Any]) -> None:
    """Save what a run has reached before its end."""
    save(answer | {"targets": answer["targets"] | hits})


def again(method: Method, task: Task, tol: float, clock: Any, timeout: float, judge: Judge, hits: Any) -> None:
    """Time the run at `tol` without looking at it, a few times, and put the medians in the place of its first times."""
    if max(hit["seconds"] for hit in hits.values()) > LONG * timeout:
        return
    stamps: dict[str, list[float]] = {name: [] for name in hits}
    spent = 0.0
    while spent < ENOUGH and len(next(iter(stamps.values()))) < REPEATS:
        watch = Timing(clock, timeout, {hit["index"] for hit in hits.values()})
        attempt(method, task, tol, watch)
        for name, hit in hits.items():
            if hit["index"] not in watch.copies or name not in judge.reached(judge(watch.copies[hit["index"]])):
                hit["irreproducible"] = True  # threads or chance: the first time stands
                return
            stamps[name].append(watch.stamps[hit["index"]])
        spent += max(watch.stamps.values())
    for name, hit in hits.items():
        hit |= {"seconds": median(stamps[name]), "fastest": min(stamps[name]), "runs": len(stamps[name])}


def limit(seconds: float) -> None:
    """Have this process end that many seconds from now, in compiled code too, unless it is called again before.

    A limit on its CPU time would be steadier, but under one the system counts CPU time in ticks of milliseconds.
    """
    faulthandler.dump_traceback_later(PATIENCE * max(seconds, 1.0), exit=True, file=open(os.devnull, "w"))


def data_pass(task: Task, clock: Callable[[], float]) -> float:
    """Return the time of ``X V`` and ``X' R``, the fastest of five."""
    rng = np.random.default_rng(0)
    n, d = task.X.shape
    shape = () if task.k == 1 else (task.k,)
    V, R = rng.standard_normal((d, *shape)), rng.standard_normal((n, *shape))
    XT = task.X.T
    times = []
    for _ in range(5):
        begin = clock()
        task.X @ V
        XT @ R
        times.append(clock() - begin)
    return min(times)


def hessian_build(task: Task, clock: Callable[[], float]) -> float | None:
    """Return the time of one Hessian by matrix products, of the Gram matrix of the rows where those are fewer.

    That of softmax is as many blocks; None where it is beyond reach.
    """
    n, d = task.X.shape
    weight = np.random.default_rng(0).random(n)
    if min(n, d) > GRAM_SIDE or 2.0 * n * d * min(n, d) > GRAM:
        return None
    begin = clock()
    if n < d:
        task.X @ task.X.T
    else:
        task.oracle().gram(weight)
    return (clock() - begin) * task.k * (task.k + 1) / 2


def find_minimum(task: Task) -> dict[str, Any]:
    """Return the minimum and what the problem's work is measured in."""
    oracle = task.oracle()
    zero = np.zeros(oracle.size)
    start = {"f_0": oracle.fun(zero), "gnorm_0": float(np.linalg.norm(oracle.grad(zero)))}
    clock = CLOCKS["cpu"]
    found = minimum(oracle)[1]
    return {
        "size": asdict(task.size),
        "l2": task.l2,
        **start,
        **found,
        "pass_seconds": data_pass(task, clock),
        "hessian_seconds": hessian_build(task, clock),
    }


def main(mode: str, problem: str, file: str, *rest: str) -> None:
    """Do what the command line says; absent data and failures are answers too."""
    path = Path(file)

    def save(answer: dict[str, Any]) -> None:
        write_json(path, {"status": "running", **answer})

    answer: dict[str, Any] = {}

    def keep(known: dict[str, Any]) -> None:
        nonlocal answer
        answer = known
        save(answer)

    try:
        task = Problem(**json.loads(problem)).load()
        if mode == "minimum":
            keep({"status": "done", **find_minimum(task)})
        else:
            name, clock, timeout, optimum = rest
            method = registry.load()[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # loose tolerances warn; the iterates are judged
                run(method, task, CLOCKS[clock], float(timeout), float(read_json(Path(optimum))["f_star"]), keep)
    except FileNotFoundError as error:
        answer |= {"status": "absent", "message": str(error)}
    except Exception as error:  # the others go on; the table says so
        answer |= {"status": "failed", "message": f"{type(error).__name__}: {error}"}
    save(answer | {"environment": environment.describe()})


if __name__ == "__main__":
    main(*sys.argv[1:])
