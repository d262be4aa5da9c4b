"""The arguments and options that commands share, and their reading."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gnsopt import datasets
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.scipy_method import SciPyMethod
from gnsopt.problems import Logistic, Softmax
from gnsopt.solver import Solver, suggest
from gnsopt.solvers.named import find_solver, solver_names

FIGURES = (".png", ".pdf", ".svg")
LONGEST = 200  # bytes of a file name: systems take 255, and what is written first has a longer one


class Loss(str, Enum):
    """The losses of the command line."""

    auto = "auto"
    logistic = "logistic"
    softmax = "softmax"


Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A name (digits, a9a, ...) or an svmlight file.", show_default=False)
]
Shards = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A name (digits, a9a, ...), an svmlight file, or a pattern of shards in quotes: 'part-*.npz'.",
        show_default=False,
    ),
]
DaskAddress = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Fit on the Dask cluster of this scheduler.", show_default=False),
]
LossOption = Annotated[Loss, typer.Option(metavar="LOSS", help="logistic, softmax, or auto: by the number of classes.")]
L2 = Annotated[str, typer.Option(metavar="NUMBER", help="Penalty on the mean loss; /n divides by the samples: 1e-4/n.")]
Intercept = Annotated[
    bool, typer.Option("--fit-intercept/--no-intercept", help="Add an intercept, which is not penalised.")
]
ZeroBased = Annotated[bool, typer.Option("--zero-based", help="The indices of the file start at 0.")]
Tol = Annotated[float, typer.Option(metavar="NUMBER", help="Stop when the gradient's largest entry is at most this.")]
MaxIter = Annotated[int, typer.Option(metavar="COUNT", help="Iterations at the most.")]
MaxTime = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Seconds at the most; no limit by default.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@dataclass(frozen=True)
class Task:
    """A data set as a problem.

    Parameters
    ----------
    name : str
        What the user called the data.
    X, y : array
        Design and labels.
    loss : str
        ``"logistic"`` or ``"softmax"``.
    l2 : float
        Penalty.
    l2_text : str
        The penalty as the user wrote it.
    intercept : bool
        Whether there is one.
    """

    name: str
    X: Any
    y: Any
    loss: str
    l2: float
    l2_text: str
    intercept: bool

    def problem(self) -> Logistic | Softmax:
        """Return the problem, fresh: what a run keeps in it does not help the next run."""
        model = Logistic if self.loss == "logistic" else Softmax
        with said_in_one_line():
            return model(self.X, self.y, l2=self.l2, fit_intercept=self.intercept)


def read_task(name: str, loss: Loss, l2: str, intercept: bool, zero_based: bool = False) -> Task:
    """Load the data that the user named and choose the loss."""
    with said_in_one_line():
        X, y = datasets.load(name, zero_based=zero_based)
    classes = np.unique(y)
    if loss is Loss.auto and np.any(classes != np.round(classes)):
        raise Misuse(f"the labels of {name} are no classes (one is {classes[classes != np.round(classes)][0]:g}): "
                     "take a classification data set, or pass --loss softmax to make each value a class")  # fmt: skip
    chosen = ("logistic" if classes.size == 2 else "softmax") if loss is Loss.auto else loss.value
    return Task(name, X, y, chosen, read_l2(l2, len(y)), l2, intercept)


def read_l2(text: str, n_samples: int) -> float:
    """Return the penalty: a number, or a number divided by ``n``, the number of samples."""
    number, slash, divisor = text.replace(" ", "").partition("/")
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    if not 0 <= value < np.inf or (slash and divisor != "n"):
        raise Misuse(
            f"--l2 {text!r} is no penalty: write a number >= 0, such as 1e-3, or one divided by n, such as 1/n"
        )
    return value / n_samples if slash else value


def read_method(text: str, curvature: str | None = None) -> Solver | SciPyMethod:
    """Return the method called ``NAME[:curvature[:linear solver]]`` or ``scipy:NAME``."""
    name, _, setting = text.strip().partition(":")
    if name.lower() == "scipy":
        with said_in_one_line():
            return SciPyMethod(setting)
    solver = find_solver(name)
    if solver is None:
        known = [*solver_names(), "scipy:NAME"]
        raise Misuse(f"method {text!r} is unknown; {suggest(name, known)} (see 'gnsopt methods')")
    if setting and curvature:
        raise Misuse(f"method {text!r} already names a curvature: leave out --curvature {curvature}")
    setting = setting or curvature or ""
    if not setting:
        return solver()
    if "curvature" not in solver.settings():
        raise Misuse(f"method {name!r} takes no curvature: leave out {setting!r}, or use gns:{setting}")
    with said_in_one_line():
        return solver(**{"curvature": setting})


def check_limits(tol: float, maxiter: int, maxtime: float | None) -> None:
    """Refuse limits out of range."""
    if not tol >= 0:
        raise Misuse(f"--tol {tol:g} is no tolerance: write a number >= 0; 0 runs to the limit of float64")
    if maxiter < 0:
        raise Misuse(f"--maxiter {maxiter} is no count: write an integer >= 0")
    if maxtime is not None and not maxtime > 0:
        raise Misuse(f"--maxtime {maxtime:g} is no time: write seconds > 0, or leave it out")


def check_writable(path: Path | None, suffixes: tuple[str, ...] = ()) -> None:
    """Refuse, before any work, a path that could not be written after it."""
    if path is None:
        return
    if len(path.name.encode()) > LONGEST:
        raise Misuse(f"{path.name[:40]}... is longer than the name of a file can be: {LONGEST} bytes")
    if path.is_dir():
        raise Misuse(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise Misuse(f"the folder {path.parent} does not exist: make it first")
    if not os.access(path.parent, os.W_OK):
        raise Misuse(f"the folder {path.parent} cannot be written: name another one")
    if suffixes and path.suffix.lower() not in suffixes:
        raise Misuse(f"{path} must end in {' or '.join(suffixes)}: the ending tells the format")


def check_figure(path: Path | None) -> None:
    """Refuse, before any work, a figure that could not be drawn or written after it."""
    check_writable(path, FIGURES)
    if path is not None:
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise Misuse(f"--figure {path} needs Matplotlib: pip install 'gnsopt[plot]'") from error


def check_distinct(read: Iterable[str | Path], written: dict[str, Path | None]) -> None:
    """Refuse files that would be written over each other, or over what is read (names, or patterns of them)."""
    found = (file for each in read for file in [str(each), *glob.glob(str(each), recursive=True)])
    taken = {os.path.realpath(file): "what is read" for file in found}
    for option, path in written.items():
        place = None if path is None else os.path.realpath(path)
        if place in taken:
            raise Misuse(f"{option} {path} would overwrite {taken[place]}: name another file")
        if place is not None:
            taken[place] = f"what {option} writes"
