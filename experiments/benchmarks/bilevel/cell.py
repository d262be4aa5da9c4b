"""One cell: a method on a task; its values at the limits are recomputed exactly, off the clock, on three sets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments import environment
from experiments.benchmarks.bilevel.methods import METHODS
from experiments.benchmarks.bilevel.recorder import OutOfTime, Recorder
from experiments.benchmarks.bilevel.tasks import Task, task
from experiments.storage import read_json, write_json
from gnsopt.bilevel import LogisticPenalties
from gnsopt.bilevel.newton import InexactNewton
from gnsopt.cli.interrupt import heed
from gnsopt.curvature import exact

cached_task = cache(task)


def measure(folder: Path, name: str, method: str, limits: tuple[float, ...], force: bool) -> str:
    """Run a cell unless its file is there; return a sentence."""
    path = folder / f"{name}--{method.replace(' ', '_').replace('/', '-')}.json"
    if path.exists() and not force and read_json(path)["limits"] == list(limits):
        return f"{name}, {method}: there"
    try:
        problem = cached_task(name)
    except FileNotFoundError as error:
        return f"{name}, {method}: left out: {error}"
    recorder = Recorder(limits)
    try:
        METHODS[method](problem, recorder)
    except OutOfTime:
        pass
    except ImportError as error:
        return f"{name}, {method}: left out: {error}"
    ended = recorder.seconds
    kept = recorder.end()
    values = [accurate(problem, theta, method) for _, theta in kept]
    heed()
    write_json(
        path,
        {
            "task": name,
            "method": method,
            "limits": list(limits),
            "validation": [value["validation"] for value in values],
            "test": [value["test"] for value in values],
            "believed": [value for value, _ in kept],
            "work": recorder.works[-1],
            "works": recorder.works,
            "ended": ended,
            "history": recorder.history,
            "environment": environment.describe(),
        },
    )
    return f"{name}, {method}: " + " ".join(f"{value['validation']:.4f}" for value in values)


def accurate(problem: Task, theta: Any, method: str) -> dict[str, float]:
    """Return the mean log-losses of the fit at theta, solved to a gradient of 1e-10; NaN where there is no theta."""
    if theta is None:
        return {"validation": np.nan, "test": np.nan}
    groups = "single" if np.size(theta) == 1 else problem.groups
    pairs = {
        part: LogisticPenalties(*problem.train, *data, groups=groups)
        for part, data in (("validation", problem.validation), ("test", problem.test))
    }
    theta = np.asarray(theta, dtype=float).reshape(-1)
    h = pairs["validation"].objective(theta)
    w = InexactNewton(curvature=exact.using("auto", floor=1e-3)).minimize(h, gtol=1e-9, maxiter=200).x
    return {part: pair.upper(w, theta)[0] for part, pair in pairs.items()}
