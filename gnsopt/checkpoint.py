r"""Checkpoints: a run that was killed goes on.

A problem is told from another one by itself: ``f(x)`` and the gradient, which the resumed run evaluates in any case,
must be those of the file to ten digits. That holds for callables, for blocks on disk and on a cluster alike, and costs
nothing; a digest of the data would have to read them once more.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
import warnings
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnsopt.arguments import as_number
from gnsopt.files import remove_leftovers
from gnsopt.linalg.metric import Metric
from gnsopt.point import COUNTS, Point
from gnsopt.state import State, read, write

SAME = 1e-10  # relative change of f and g that is rounding: other threads, another order of the blocks (chosen)
SHARE = 0.05  # of the time that may pass with writing (chosen)


class CheckpointWarning(UserWarning):
    """A checkpoint was not written: the disk is full, or the folder has gone."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, and how often: the `checkpoint` of `gnsopt.Solver.minimize`.

    The file is written when the run ends, however it does, and on the way. What cannot be written costs the checkpoint,
    not the run: it warns. A run overwrites no file that it does not go on from: it looks at the start, and before each
    write for what another run has written meanwhile.

    Parameters
    ----------
    path : str or Path
        The file, in a folder that exists.
    resume : bool, default=False
        Go on from the file where it is there, else start, so that the same script does both.
    seconds : float, default=30.0
        Seconds between two writes at least; 0 writes after each iteration. Writing that would take more than a
        twentieth of the time is done more rarely.
    iterations : int, optional
        Write after so many iterations too.

    Examples
    --------
    >>> import tempfile, gnsopt
    >>> X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    >>> problem, solver = gnsopt.Logistic(X, y, l2=0.1), gnsopt.GradNormSmooth()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = gnsopt.Checkpoint(f"{folder}/run.npz", resume=True)
    ...     first = solver.minimize(problem, checkpoint=file, maxiter=2)
    ...     second = solver.minimize(problem, checkpoint=file)
    >>> second.success, bool((second.x == solver.minimize(problem).x).all())
    (True, True)
    """

    path: str | Path
    resume: bool = False
    seconds: float = 30.0
    iterations: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not isinstance(self.path, str | os.PathLike) or not os.fspath(self.path) or "\0" in str(self.path):
            raise TypeError(f"checkpoint: path={self.path!r} must be the name of a file")
        seconds = np.nan if isinstance(self.seconds, bool) else as_number(self.seconds, "checkpoint: seconds")
        if not seconds >= 0:
            raise ValueError(f"checkpoint: seconds={self.seconds!r} must be a number >= 0")
        every = self.iterations
        if every is not None and not (isinstance(every, int | np.integer) and every >= 1):
            raise ValueError(f"checkpoint: iterations={every!r} must be an integer of at least 1, or None")

    def load(self) -> State:
        """Return what the file holds.

        Returns
        -------
        State
            With ``best``, the best point so far, and ``rows``, the trace.

        Raises
        ------
        ValueError
            If the file is absent, damaged, of another kind or of another format; with the cure.
        """
        return read(Path(self.path))[1]

    def open(self, facts: dict[str, Any]) -> Log:
        """Begin or go on with a run of these facts.

        Parameters
        ----------
        facts : dict
            What the run depends on, by name: numbers and texts.

        Returns
        -------
        Log
            The checkpoint in use.

        Raises
        ------
        ValueError
            If the file is there and may not be overwritten, is damaged, or belongs to another run.
        """
        path, past = Path(self.path), None
        if os.path.isdir(path) or not os.path.isdir(path.parent):
            what = "is a folder: name a file in it" if os.path.isdir(path) else "lies in a folder that does not exist"
            raise ValueError(f"checkpoint: {path} {what}")
        if not os.access(path.parent, os.W_OK):
            raise ValueError(f"checkpoint: the folder of {path} cannot be written: name a file in another one")
        remove_leftovers(path.parent)
        try:
            stamp = stamp_of(path)
        except OSError as error:
            raise ValueError(f"checkpoint: {path} cannot be a file ({error.strerror}): name another one") from error
        if stamp is not None:
            known, past = read(path)
            if not self.resume:
                raise ValueError(
                    f"checkpoint: {path} holds a run of {past.nit} iterations: go on from it (resume=True, --resume), "
                    "or remove it to start anew"
                )
            refuse_other(path, known, facts)
            refuse_unfit(path, past, facts)
        return Log(self, facts, past, stamp)


class Log:
    """A checkpoint in use by a run: what it goes on from, and when to write.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where and how often.
    facts : dict
        What the run depends on.
    past : State, optional
        What the run goes on from.
    stamp : tuple, optional
        `stamp_of` the file before that was read; None where there was none.
    """

    def __init__(
        self, checkpoint: Checkpoint, facts: dict[str, Any], past: State | None, stamp: tuple[int, ...] | None = None
    ) -> None:
        self.checkpoint, self.facts, self.past, self._stamp = checkpoint, facts, past, stamp
        self.trouble = ""
        self._wait, self._last, self._nit = float(checkpoint.seconds), time.monotonic(), 0 if past is None else past.nit

    def due(self, nit: int) -> bool:
        """Whether it is time to write, after `nit` iterations."""
        every = self.checkpoint.iterations
        many = every is not None and nit - self._nit >= every
        return nit > self._nit and (many or time.monotonic() - self._last >= self._wait)

    def write(self, state: State) -> None:
        """Write the file; where that fails the old one stays, and a warning says why."""
        began, path = time.monotonic(), Path(self.checkpoint.path)
        try:
            if stamp_of(path) not in (None, self._stamp) and not self._continues(path, state):
                raise OSError("another run has written it meanwhile: name another file")
            write(path, self.facts, state)
            self.trouble, self._stamp = "", stamp_of(path)
        except OSError as error:
            if not self.trouble:  # once, not after each iteration
                self.trouble = f"checkpoint {self.checkpoint.path} was not written: {error.strerror or error}"
                warnings.warn(self.trouble, CheckpointWarning, stacklevel=4)
        self._last, self._nit = time.monotonic(), state.nit
        self._wait = max(float(self.checkpoint.seconds), (self._last - began) / SHARE)

    def _continues(self, path: Path, state: State) -> bool:
        """Whether a state goes on from the file that is there: the run is the same one, and not so far."""
        try:
            known, there = read(path)
        except ValueError:
            return False
        mine, theirs = ([(row["fun"], row["gnorm"]) for row in rows] for rows in (state.rows, there.rows))
        return not different(known, self.facts) and np.array_equal(mine[: len(theirs)], theirs, equal_nan=True)


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes with each writing of a file; None where there is none.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple of int, or None
        Number, time and size.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


# --------------------------------------------------------------------------------------------- whose file it is


def facts_of(problem: Any, solver: Any, norm: Any) -> dict[str, Any]:
    """Return what a run depends on, by the names that an error message uses.

    Parameters
    ----------
    problem : Objective
        The problem: its class, the variables, of a linear model samples, features, penalty and intercept.
    solver : Solver
        Its class and its settings as they print.
    norm : object
        Norm of the gradient in the trace.

    Returns
    -------
    dict
        Numbers and texts.
    """
    facts: dict[str, Any] = {"problem": type(problem).__name__, "variables": int(problem.n)}
    design, ridge = getattr(problem, "design", None), getattr(problem, "ridge", None)
    if design is not None and hasattr(design, "n_samples"):
        facts |= {"samples": int(design.n_samples), "features": int(design.n_features)}
        facts |= {"intercept": bool(getattr(design, "intercept", False))}
    if isinstance(ridge, np.ndarray) and ridge.size:
        facts |= {"l2": float(ridge.max())}
    facts |= {"method": type(solver).__name__, "norm": str(norm)}
    return facts | {f.name: in_full(getattr(solver, f.name)) for f in fields(solver)}


def in_full(value: Any) -> str:
    """Return what tells a setting from others: as it prints, with digests of arrays, which print in part only.

    Parameters
    ----------
    value : object
        A setting.

    Returns
    -------
    str
        The same in the next process.
    """
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        return f"array of shape {value.shape}, {value.dtype}, digest {digest}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(in_full, value))})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {in_full(each)}" for name, each in value.items()) + "}"
    if is_dataclass(value) and not isinstance(value, type):
        parts = ", ".join(f"{f.name}={in_full(getattr(value, f.name))}" for f in fields(value))
        return f"{type(value).__name__}({parts})"
    if isinstance(value, Metric):  # by a norm: the factors depend on the number of threads
        return f"{type(value).__name__} of norm {value.norm(np.cos(np.arange(value.n or 1))):.9g}"
    # an object without a name of its own prints its address, which is another one in the next process
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def different(known: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Return the names of the facts of a file that are not those of the run.

    Parameters
    ----------
    known, facts : dict
        What the file and the run depend on; a setting that only a later version has is at its default in the file.

    Returns
    -------
    list of str
        The names, up to that of the method: the settings of another one are others anyway.
    """
    names = [name for name in known if known[name] != facts.get(name)]
    return names[: names.index("method") + 1] if "method" in names else names


def refuse_other(path: Path, known: dict[str, Any], facts: dict[str, Any]) -> None:
    """Raise ValueError where the facts of a file are not those of the run.

    Parameters
    ----------
    path : Path
        The file.
    known, facts : dict
        What the file and the run depend on.

    Raises
    ------
    ValueError
        With the facts that differ, in both versions, and the cure.
    """
    if names := different(known, facts):
        told = "; ".join(f"{name} is {known[name]} there and {facts.get(name)} here" for name in names)
        raise ValueError(
            f"checkpoint: {path} is of another run: {told}. Give what it was begun with, or name another file"
        )


def refuse_unfit(path: Path, past: State, facts: dict[str, Any]) -> None:
    """Raise ValueError where a file is not what a run of these facts has written.

    Parameters
    ----------
    path : Path
        The file.
    past : State
        Its state.
    facts : dict
        What the run depends on.

    Raises
    ------
    ValueError
        If it counts something else, or its points have another size.
    """
    unfit = set(past.counts) ^ set(COUNTS)
    if unfit or past.x.size != facts.get("variables", past.x.size):
        what = f"its count {min(unfit)} is missing or unknown" if unfit else f"its points have {past.x.size} entries"
        raise ValueError(f"checkpoint: {path} is damaged: {what}: remove it to start anew, or name another file")


def refuse_values(path: Path, past: State, x: Point) -> None:
    """Raise ValueError unless value and gradient at the file's point are those of the problem.

    Parameters
    ----------
    path : Path
        The file.
    past : State
        Its state.
    x : Point
        The same point in the problem of the run.

    Raises
    ------
    ValueError
        If they differ by more than rounding: the data are others.
    """
    size = max(float(np.abs(past.jac).max()), past.first[1])
    value = abs(x.f - past.fun) <= SAME * max(abs(past.fun), abs(past.rows[0].get("fun", 0.0)))
    gradient = float(np.abs(x.g - past.jac).max()) <= SAME * size
    if not (math.isfinite(x.f) and value and gradient):
        what = (
            f"f at its point is {x.f!r} here and {past.fun!r} there"
            if not value
            else "the gradient at its point is another one"
        )
        raise ValueError(
            f"checkpoint: {path} is of another problem: {what}, so the data differ. Give the data that it was begun "
            "with, or name another file"
        )
