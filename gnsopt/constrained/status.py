"""Why a constrained run ends."""

from __future__ import annotations

from enum import IntEnum


class KKTStatus(IntEnum):
    """How a run ended, with the numbers of `gnsopt.Status` where the meaning is the same."""

    CONVERGED = 0
    MAXITER = 1
    MAXTIME = 2
    PRECISION_LIMIT = 3
    LINE_SEARCH = 4
    NOT_FINITE = 5
    INTERRUPTED = 7
    INFEASIBLE_STATIONARY = 9
    SINGULAR = 10
    UNBOUNDED = 11
    CALLBACK = 99

    @property
    def message(self) -> str:
        """The sentence that a result carries."""
        return MESSAGES[self]

    @property
    def reason(self) -> str:
        """The short name: ``"converged"``, ``"infeasible-stationary"``, ``"singular"``, ``"line-search"``, ..."""
        return self.name.lower().replace("_", "-")

    @property
    def success(self) -> bool:
        """Whether the run reached its tolerance."""
        return self is KKTStatus.CONVERGED


MESSAGES = {
    KKTStatus.CONVERGED: "converged: the KKT residual is at most gtol",
    KKTStatus.MAXITER: "stopped: maxiter iterations were done before the KKT residual fell to gtol; raise maxiter",
    KKTStatus.MAXTIME: "stopped: maxtime seconds passed before the KKT residual fell to gtol; raise maxtime",
    KKTStatus.PRECISION_LIMIT: (
        "stopped at the limit of float64: no step lowers the merit beyond rounding; gtol is below what the scaling of "
        "the problem allows, so rescale it or raise gtol"
    ),
    KKTStatus.LINE_SEARCH: "stopped: the line search found no acceptable step; check jac and hess, or try another x0",
    KKTStatus.NOT_FINITE: "stopped: a function or derivative is not finite at the starting point; choose another x0",
    KKTStatus.INTERRUPTED: "interrupted by the user; the result holds the best point so far",
    KKTStatus.INFEASIBLE_STATIONARY: (
        "stopped at a stationary point of the violation of the constraints that is not feasible: the constraints may "
        "contradict each other; relax them or try another x0"
    ),
    KKTStatus.SINGULAR: (
        "stopped: the Jacobian of the constraints is rank deficient; use accuracy='forcing', which takes least-squares "
        "steps there, or another x0"
    ),
    KKTStatus.UNBOUNDED: "stopped: the objective falls without bound along feasible points",
    KKTStatus.CALLBACK: "`callback` raised `StopIteration`; the result holds the best point so far",
}
