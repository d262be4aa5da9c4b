"""What a bilevel run returns: the point, an interval that holds f, the hypergradient with its error, status, trace."""

from __future__ import annotations

from dataclasses import dataclass

from gnsopt._typing import Array
from gnsopt.driver import Trace

STATUSES = {
    "stationary": "converged: the norm of the projected hypergradient plus its error bound is at most tol",
    "accuracy-floor": (
        "converged to the attainable accuracy: no step gives a decrease beyond the error bounds, and float64 does not "
        "let them shrink further"
    ),
    "budget": "stopped: maxiter, maxtime or maxwork was used up; raise it",
    "not-finite": "stopped: f or the hypergradient is not finite; the result holds the best finite point",
    "not-convex": "stopped: the lower level is not strongly convex at the last point; narrow the box of theta",
    "wrong-mu": "stopped: mu is not a lower bound of the curvature of the lower level at the result; correct mu",
    "step-failure": "stopped: no acceptable step within the trial limit; check cross_t and the constants",
    "interrupted": "interrupted by the user; the result holds the best point so far",
    "callback": "`callback` raised `StopIteration`; the result holds the best point so far",
}


@dataclass
class BilevelResult:
    """Result of `gnsopt.bilevel.minimize`.

    Parameters
    ----------
    theta : ndarray of shape (d,)
        Upper variables.
    x : ndarray of shape (n,)
        Approximate lower solution at `theta`; the blocks one after the other.
    fun : float
        Best estimate of ``f(theta)``.
    interval : tuple of float
        ``(low, high)``; it contains f(theta) where `certified`, else it is an estimate.
    hypergradient : ndarray of shape (d,)
        Approximate gradient z of f.
    norm : float
        Norm of the projected hypergradient, ``|theta - clip(theta - z)|``; of z itself without bounds.
    error : float
        Bound of the error ``|z - grad f|`` where `certified`, else an estimate; NaN where there is neither.
    status : str
        A name of `STATUSES`.
    certified : bool
        Whether `interval` and `error` are rigorous (up to rounding), given that the declared constants are true.
    nit : int
        Accepted outer steps.
    work : float
        Work in equal cost units, see `counts`.
    counts : dict
        ``lower_gradients``, ``hessian_products``, ``adjoint_products``, ``hessians``, ``solves``: the first three cost
        one unit of `work` each, an assembled Hessian what it costs in units of a product.
    trace : Trace
        A row for the start and each accepted outer step: ``nit fun gnorm time work low high error`` and what the
        method adds; ``trace.x`` holds the theta's with ``keep_theta=True``.
    method : str
        What was used.
    """

    theta: Array
    x: Array
    fun: float
    interval: tuple[float, float]
    hypergradient: Array
    norm: float
    error: float
    status: str
    certified: bool
    nit: int
    work: float
    counts: dict[str, float]
    trace: Trace
    method: str = ""

    @property
    def success(self) -> bool:
        """Whether the run ended at a stationary point, to `tol` or to the attainable accuracy."""
        return self.status in ("stationary", "accuracy-floor")

    @property
    def message(self) -> str:
        """The sentence of the status."""
        return STATUSES[self.status]

    def __repr__(self) -> str:
        """Return a few lines that say what there is."""
        low, high = self.interval
        kind = "certified" if self.certified else "estimated"
        return (
            f"<BilevelResult by {self.method or 'hand'}: {self.status}\n"
            f"  fun {self.fun:.9g} in [{low:.9g}, {high:.9g}] ({kind})\n"
            f"  |z| {self.norm:.3g} +- {self.error:.2g}   nit {self.nit}   work {self.work:.6g}>"
        )
