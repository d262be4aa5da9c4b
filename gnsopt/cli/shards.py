"""Data in several files, or on a Dask cluster, as one task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt import datasets
from gnsopt.blocks import RowBlocks, Survey, connect, shards, split
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.options import Loss, Task, read_l2


@dataclass(frozen=True)
class ShardsTask(Task):
    """Data in blocks as a problem.

    Parameters
    ----------
    survey : Survey
        The blocks, where X and y are None.
    """

    survey: Any = None

    def problem(self) -> Any:
        """Return the problem; the blocks stay where they are."""
        with said_in_one_line():
            return RowBlocks(self.loss, self.survey, l2=self.l2, fit_intercept=self.intercept)


def in_blocks(name: str) -> bool:
    """Return whether a name is a pattern, or a file that only blocks can have."""
    return name.endswith(".npz") or any(mark in name for mark in "*?[")


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Connect to a Dask scheduler, if there is an address."""
    if address is None:
        yield None
        return
    with said_in_one_line():
        client = connect(address)
    try:
        yield client
    finally:
        client.close()


def read_shards(name: str, loss: Loss, l2: str, intercept: bool, zero_based: bool, client: Any) -> ShardsTask:
    """Look at the blocks that the user named and choose the loss."""
    with said_in_one_line():
        blocks = shards(name, zero_based=zero_based) if in_blocks(name) else split(
            *datasets.load(name, zero_based=zero_based)
        )  # fmt: skip
        survey = Survey(blocks, True, client)
    classes = survey.classes
    numbers = classes.dtype.kind in "fiub"
    if loss is Loss.auto and numbers and np.any(classes != np.round(classes)):
        raise Misuse(f"the labels of {name} are no classes (one is {classes[classes != np.round(classes)][0]:g}): "
                     "take a classification data set, or pass --loss softmax to make each value a class")  # fmt: skip
    chosen = ("logistic" if len(classes) == 2 else "softmax") if loss is Loss.auto else loss.value
    n = survey.n_samples
    label = f"{name} ({len(survey.facts)} blocks)"
    return ShardsTask(label, None, None, chosen, read_l2(l2, n), l2, intercept, survey)
