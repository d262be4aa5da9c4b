"""One cell, in its own process: ``python -m experiments.benchmarks.ot.cell INSTANCE METHOD TARGET SECONDS FILE``.

The error is ``|P 1 - a|_1 + |P'1 - b|_1`` of the plan that is returned. A method's own threshold begins at the target
and is divided by `STEP` until the error is at most the target; only the run that does it is timed, and run again while
that is quick. Seconds are CPU seconds from the arrays to the plan, the least of these runs: other processes only add
to them. What one iteration takes is found first, with compilation and loading out of the way, and limits their number
to about the seconds given. That first figure contains setting up, which a few iterations do not spread: a run that ends
at its limit long before the seconds is repeated with a limit in proportion.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments import environment
from experiments.benchmarks.ot.instances import INSTANCES
from experiments.benchmarks.ot.methods import METHODS, Method
from experiments.storage import write_json

STEP, TRIES = 4.0, 14  # 14 quarters: a threshold a hundred million times below the target
REPEATS, ENOUGH = 9, 0.5  # timed runs at the most, and seconds of them that are enough (chosen)
NEARLY = 0.8  # of the seconds: a run that has taken less at its limit of iterations gets more of them (chosen)
MANY = 2_000_000  # iterations
WARM = 1000  # iterations in which ours has compiled all that it needs


def error_of(plan: Any, a: Any, b: Any) -> float:
    """Return the L1 error of both marginals; infinity where the plan has a NaN or a negative entry."""
    if not (np.isfinite(plan).all() and np.min(plan) >= 0):
        return np.inf
    return float(np.abs(plan.sum(axis=1) - a).sum() + np.abs(plan.sum(axis=0) - b).sum())


def timed(method: Method, data: tuple[Any, ...], threshold: float, cap: int) -> tuple[float, Any, int]:
    """Run once; return CPU seconds, plan and iterations."""
    begin = time.process_time()
    plan, iterations = method.solve(*data, threshold, cap)
    return time.process_time() - begin, plan, iterations


def measure(data: tuple[Any, ...], method: Method, target: float, seconds: float) -> dict[str, Any]:
    """Return seconds, iterations, error, cost and threshold of the first run at the target, or of the nearest one."""
    a, b, C, reg = data
    data = (a, b, np.asarray(C, order=method.order), reg)  # type: ignore[call-overload]
    timed(method, data, target, WARM if method.ours else 1)  # compiles and loads
    if method.exact:
        taken, plan, _ = timed(method, data, target, MANY)
        return {"reached": True, "seconds": taken, "iterations": 0, **facts(plan, data)}
    probe, _, _ = timed(method, data, 0.0, method.few)
    cap = MANY if method.ours else int(np.clip(seconds / max(probe / method.few, 1e-7), method.few, MANY))
    best: dict[str, Any] = {"reached": False, "error": np.inf}
    threshold = target
    for _ in range(TRIES):
        taken, plan, iterations = timed(method, data, threshold, cap)
        found = facts(plan, data)
        if found["error"] <= target:
            runs = [taken]
            while len(runs) < REPEATS and sum(runs) < ENOUGH:
                runs.append(timed(method, data, threshold, cap)[0])
            return {"reached": True, "seconds": min(runs), "iterations": iterations, "threshold": threshold, **found}
        if found["error"] < best["error"]:
            best |= {"seconds": taken, "iterations": iterations, "threshold": threshold, **found}
        if taken > seconds:
            break
        if iterations + 1 >= cap:  # some count from zero
            if taken >= NEARLY * seconds or cap >= MANY:
                break
            cap = min(MANY, int(np.ceil(cap * seconds / max(taken, seconds / 100))))
        else:
            threshold /= STEP
    return best


def facts(plan: Any, data: tuple[Any, ...]) -> dict[str, float]:
    """Return error and cost of a plan."""
    a, b, C, _ = data
    return {"error": error_of(plan, a, b), "cost": float(np.sum(C * plan))}


def main(instance: str, name: str, target: str, seconds: str, file: str) -> None:
    """Measure and write the answer; a failure is an answer too."""
    try:
        answer = measure(INSTANCES[instance](), METHODS[name], float(target), float(seconds))
    except Exception as error:  # of a peer, most likely: the table says so
        answer = {"reached": False, "error": float("inf"), "raised": f"{type(error).__name__}: {error}"}
    write_json(Path(file), answer | {"environment": environment.describe()})


if __name__ == "__main__":
    main(*sys.argv[1:])
