"""Exceptions: misuse is a ``ValueError`` or ``TypeError``; numerical trouble never leaves the driver."""

from __future__ import annotations


class MissingRequirement(TypeError):
    """An objective lacks what a solver or curvature model needs; the message names the cure."""


class NotPositiveDefinite(ArithmeticError):
    """``H + lam B`` is not positive definite: the trial is rejected and ``lam`` grows."""


class StepFailure(ArithmeticError):
    """No acceptable step within the trial limit; the driver turns it into a status.

    Parameters
    ----------
    message : str
        What failed.
    promised : float, default=inf
        Decrease that the model promised for the best trial: at or below rounding of f, the limit is float64's.
    """

    def __init__(self, message: str, promised: float = float("inf")) -> None:
        super().__init__(message)
        self.promised = promised
