"""Finished runs of a comparison, a file for each method, so that what was killed has lost its running method only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scipy.optimize import OptimizeResult

from gnsopt.checkpoint import refuse_other, refuse_unfit, refuse_values
from gnsopt.cli.interrupt import unhurried
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.options import Task
from gnsopt.cli.screen import notices
from gnsopt.driver import Trace, new_result
from gnsopt.files import remove_leftovers
from gnsopt.point import COUNTS, Point
from gnsopt.state import State, read, write
from gnsopt.stopping import Status


class KeptRuns:
    """A folder of finished runs.

    Parameters
    ----------
    folder : Path
        The folder; it is made.
    resume : bool
        Whether runs that are there are taken; else they are refused.
    labels : list of str
        The methods that will run.
    """

    def __init__(self, folder: Path, resume: bool, labels: list[str]) -> None:
        self.folder, self.resume = folder, resume
        if folder.exists() and not folder.is_dir():
            raise Misuse(f"{folder} is a file: --save-runs names a folder")
        with said_in_one_line():
            folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        there = [label for label in labels if self.path(label).exists()]
        if there and not resume:
            raise Misuse(f"{folder} holds a run of {there[0]}: take it with --resume, or name another folder")

    def path(self, label: str) -> Path:
        """Return the file of a method."""
        return self.folder / (re.sub(r"[^\w.-]+", "_", label) + ".npz")

    def get(self, label: str, task: Task, limits: dict[str, Any]) -> OptimizeResult | None:
        """Return the finished run of a method; None where there is none. One of another problem is refused."""
        path = self.path(label)
        if not path.exists():
            return None
        with said_in_one_line():
            facts, past = read(path)
            refuse_other(path, facts, facts_of(label, task, limits))
            refuse_unfit(path, past, {})
            refuse_values(path, past, Point(task.problem(), past.x))
            trace, status = Trace(rows=past.rows), Status(past.status or 0)
        return new_result(
            x=past.x,
            fun=past.fun,
            jac=past.jac,
            nit=past.nit,
            success=status.success,
            status=int(status),
            message=past.message,
            trace=trace,
            curvature="",
            **past.counts,
        )

    def put(self, label: str, task: Task, limits: dict[str, Any], result: OptimizeResult) -> None:
        """Keep a run, unless it was interrupted: then there is more to come."""
        if result.status == Status.INTERRUPTED:
            return
        x, g, rows = result.x, result.jac, list(result.trace)
        counts = {name: int(result[name]) for name in COUNTS}
        ended = float(rows[-1]["time"]), counts, (rows[0]["gnorm"],) * 2, int(result.status), result.message
        if self.path(label).exists():  # it was not before the run
            notices().print(f"{self.path(label)} was not written: another comparison has, meanwhile")
            return
        with said_in_one_line(), unhurried():
            write(self.path(label), facts_of(label, task, limits), State(x, x, x, g, float(result.fun), rows, *ended))


def facts_of(label: str, task: Task, limits: dict[str, Any]) -> dict[str, Any]:
    """Return what a run of a comparison depends on."""
    samples, features = task.X.shape
    model = {"loss": task.loss, "l2": task.l2, "intercept": task.intercept}
    return {"method": label, "samples": samples, "features": features, **model, **limits}
