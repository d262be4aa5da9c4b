"""Saving: files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from gnsopt.cli.interrupt import unhurried
from gnsopt.cli.misuse import said_in_one_line
from gnsopt.cli.options import Task
from gnsopt.files import beside
from gnsopt.problems import Logistic, Softmax
from gnsopt.stopping import Status


def save(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write(temporary)`` and move the file to `path`; a signal waits until it is there."""
    with said_in_one_line(), unhurried(), beside(path) as part:
        write(part)


def save_weights(path: Path, problem: Logistic | Softmax, result: OptimizeResult, task: Task) -> None:
    """Save the weights of a linear model with what is needed to use them.

    ``weights`` has shape (n_features,) for logistic regression and (n_features, n_classes) for softmax, with one more
    row, the last, for an intercept.
    """
    weights = result.x if problem.k == 1 else result.x.reshape(-1, problem.k)

    def write(part: Path) -> None:
        with part.open("wb") as file:  # np.savez given a name would add an ending to it
            np.savez(
                file,
                weights=weights,
                classes=problem.classes,
                intercept=task.intercept,
                l2=task.l2,
                loss=task.loss,
                status=Status(result.status).name.lower(),
            )

    save(path, write)
