"""Why a run ends: statuses with their sentence, and stop rules that compose with ``|`` and ``&``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from numbers import Real
from typing import Any

import numpy as np

from gnsopt.arguments import as_number, shown
from gnsopt.point import Point


class Status(IntEnum):
    """How a run ended; `message` is its sentence, `success` whether it reached what was asked."""

    CONVERGED = 0
    MAXITER = 1
    MAXTIME = 2
    PRECISION_LIMIT = 3
    STEP_FAILURE = 4
    NOT_FINITE = 5
    AT_INFINITY = 6
    INTERRUPTED = 7
    TARGET_REACHED = 8
    CALLBACK = 99

    @property
    def message(self) -> str:
        """The sentence that a result carries."""
        return MESSAGES[self]

    @property
    def success(self) -> bool:
        """Whether the run reached its tolerance or its target."""
        return self in (Status.CONVERGED, Status.TARGET_REACHED)


MESSAGES = {
    Status.CONVERGED: "converged: the gradient norm is at most gtol",
    Status.MAXITER: "stopped: maxiter iterations were done before the gradient norm fell to gtol; raise maxiter",
    Status.MAXTIME: "stopped: maxtime seconds passed before the gradient norm fell to gtol; raise maxtime",
    Status.PRECISION_LIMIT: (
        "stopped at the limit of float64: no step gives a decrease beyond rounding; gtol is below what this problem's "
        "scaling allows, so rescale it or raise gtol"
    ),
    Status.STEP_FAILURE: (
        "stopped: no acceptable step within the trial limit; check jac and hess, or try another curvature"
    ),
    Status.NOT_FINITE: "stopped: the objective or its gradient is not finite at the starting point; choose another x0",
    Status.AT_INFINITY: (
        "the gradient norm is at most gtol, but the minimiser is at infinity: the objective keeps falling along a ray "
        "(separable data without a penalty); set l2 > 0"
    ),
    Status.INTERRUPTED: "interrupted by the user; the result holds the best point so far",
    Status.TARGET_REACHED: "converged: the objective is at most f_target",
    Status.CALLBACK: "`callback` raised `StopIteration`; the result holds the best point so far",
}


@dataclass(frozen=True)
class Progress:
    """What a stop rule sees after each iteration.

    Parameters
    ----------
    point : Point
        The accepted point.
    nit : int
        Iterations so far.
    seconds : float
        The solver's own time so far.
    """

    point: Point
    nit: int
    seconds: float


class StopRule(ABC):
    """A condition that ends a run with a status; ``a | b`` stops when either does, ``a & b`` when both do."""

    @abstractmethod
    def __call__(self, progress: Progress) -> Status | None:
        """Return the status to stop with, or None to go on."""

    def __or__(self, other: StopRule) -> StopRule:
        """Stop when either rule does; the left one is asked first."""
        return _Either(self, other)

    def __and__(self, other: StopRule) -> StopRule:
        """Stop, with the left rule's status, when both rules do."""
        return _Both(self, other)


@dataclass(frozen=True)
class _Either(StopRule):
    left: StopRule
    right: StopRule

    def __call__(self, progress: Progress) -> Status | None:
        status = self.left(progress)
        return self.right(progress) if status is None else status


@dataclass(frozen=True)
class _Both(StopRule):
    left: StopRule
    right: StopRule

    def __call__(self, progress: Progress) -> Status | None:
        status = self.left(progress)
        return None if status is None or self.right(progress) is None else status


@dataclass(frozen=True)
class GradientNorm(StopRule):
    """Stop when ``norm(g) <= gtol``.

    Parameters
    ----------
    gtol : float
        Tolerance, non-negative.
    norm : {"inf", "2", "dual"} or float, default="inf"
        The infinity norm (SciPy's convention), the Euclidean norm, the dual norm of the run's metric, or any order
        that ``numpy.linalg.norm`` takes.
    """

    gtol: float
    norm: Any = "inf"

    def __post_init__(self) -> None:
        """Refuse what is no tolerance and no norm."""
        if isinstance(self.gtol, bool) or not as_number(self.gtol, "gtol") >= 0:
            raise ValueError(f"gtol={shown(self.gtol)} must be a number >= 0")
        check_norm(self.norm)

    def __call__(self, progress: Progress) -> Status | None:
        """Compare the gradient norm with the tolerance."""
        return Status.CONVERGED if gradient_norm(progress.point, self.norm) <= self.gtol else None


@dataclass(frozen=True)
class Target(StopRule):
    """Stop when ``f <= f_target``.

    Parameters
    ----------
    f_target : float
        The target.
    """

    f_target: float

    def __post_init__(self) -> None:
        """Refuse NaN."""
        if np.isnan(as_number(self.f_target, "f_target")):
            raise ValueError("f_target is NaN; pass a number or None")

    def __call__(self, progress: Progress) -> Status | None:
        """Compare the value with the target."""
        return Status.TARGET_REACHED if progress.point.f <= self.f_target else None


@dataclass(frozen=True)
class MaxIterations(StopRule):
    """Stop after `maxiter` iterations.

    Parameters
    ----------
    maxiter : int
        Limit, non-negative.
    """

    maxiter: int

    def __post_init__(self) -> None:
        """Refuse what is no count."""
        if not (isinstance(self.maxiter, int | np.integer) and self.maxiter >= 0):
            raise ValueError(f"maxiter={shown(self.maxiter)} must be an integer >= 0")

    def __call__(self, progress: Progress) -> Status | None:
        """Compare the iterations with the limit."""
        return Status.MAXITER if progress.nit >= self.maxiter else None


@dataclass(frozen=True)
class MaxTime(StopRule):
    """Stop after `maxtime` seconds of the solver's own time (trace and callbacks excluded).

    Parameters
    ----------
    maxtime : float
        Limit in seconds, positive.
    """

    maxtime: float

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        if not as_number(self.maxtime, "maxtime") > 0:
            raise ValueError(f"maxtime={shown(self.maxtime)} must be a number of seconds > 0, or None")

    def __call__(self, progress: Progress) -> Status | None:
        """Compare the seconds with the limit."""
        return Status.MAXTIME if progress.seconds >= self.maxtime else None


def gradient_norm(x: Point, norm: Any = "inf") -> float:
    """Return the norm of the gradient at `x` that the stop rule and the trace use.

    Parameters
    ----------
    x : Point
        Where.
    norm : {"inf", "2", "dual"} or float
        As in `GradientNorm`.

    Returns
    -------
    float
        The norm; NaN if the gradient has one.
    """
    if isinstance(norm, str) and norm == "inf":
        return x.max_norm
    if isinstance(norm, str) and norm == "dual":
        return x.dual_norm
    check_norm(norm)
    return float(np.linalg.norm(x.g, ord=float(norm)))


def check_norm(norm: Any) -> None:
    """Raise ValueError unless `norm` is one of those of `GradientNorm`.

    Parameters
    ----------
    norm : {"inf", "2", "dual"} or float
        The norm.

    Raises
    ------
    ValueError
        With the choices.
    """
    named = isinstance(norm, str) and norm in ("inf", "2", "dual")
    if not named and not (isinstance(norm, Real) and not isinstance(norm, bool) and as_number(norm, "norm") >= 1):
        raise ValueError(f"norm={shown(norm)} must be 'inf', '2', 'dual' or an order >= 1")
