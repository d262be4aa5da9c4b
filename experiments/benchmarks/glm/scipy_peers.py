"""SciPy's minimisers on the oracle of `oracle.py`; each shows its iterates."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from experiments.benchmarks.glm.registry import TIGHT, method
from experiments.benchmarks.glm.tasks import Size, Task

MANY = 1_000_000
DENSE = 5000  # variables up to which a Hessian is asked for (chosen: 200 MB)


def few(size: Size) -> bool:
    """Whether a dense Hessian is affordable at all."""
    return size.variables <= DENSE


def run(task: Task, name: str, watch: Any, **options: Any) -> Any:
    """Minimise from zero."""
    oracle = task.oracle()
    derivatives: dict[str, Any] = {"jac": oracle.grad}
    if name == "L-BFGS-B":
        derivatives = {"jac": True}
    elif name == "trust-exact":
        derivatives["hess"] = oracle.hess
    else:
        derivatives["hessp"] = oracle.product

    def callback(x: Any) -> None:
        watch(x, **oracle.counts)

    fun = oracle.fun_grad if name == "L-BFGS-B" else oracle.fun
    found = minimize(fun, np.zeros(oracle.size), method=name, callback=callback, options=options, **derivatives)
    return found.x


@method("L-BFGS-B, m = 10", needs="scipy", tolerances=TIGHT)
def lbfgsb_10(task: Task, tol: float, watch: Any) -> Any:
    """SciPy's default memory."""
    return run(task, "L-BFGS-B", watch, maxcor=10, ftol=0.0, gtol=0.01 * tol, maxiter=MANY, maxfun=MANY)


@method("L-BFGS-B, m = 30", needs="scipy", tolerances=TIGHT)
def lbfgsb_30(task: Task, tol: float, watch: Any) -> Any:
    """More memory."""
    return run(task, "L-BFGS-B", watch, maxcor=30, ftol=0.0, gtol=0.01 * tol, maxiter=MANY, maxfun=MANY)


@method("Newton-CG", needs="scipy", tolerances=TIGHT)
def newton_cg(task: Task, tol: float, watch: Any) -> Any:
    """Its tolerance is on the step; the watch ends the run."""
    return run(task, "Newton-CG", watch, xtol=1e-15, maxiter=MANY)


@method("trust-ncg", needs="scipy", tolerances=TIGHT)
def trust_ncg(task: Task, tol: float, watch: Any) -> Any:
    """Steihaug's conjugate gradients."""
    return run(task, "trust-ncg", watch, gtol=tol, maxiter=MANY)


@method("trust-exact", needs="scipy", tolerances=TIGHT, takes=few)
def trust_exact(task: Task, tol: float, watch: Any) -> Any:
    """Cholesky of the Hessian."""
    return run(task, "trust-exact", watch, gtol=tol, maxiter=MANY)


@method("trust-krylov", needs="scipy", tolerances=TIGHT)
def trust_krylov(task: Task, tol: float, watch: Any) -> Any:
    """Lanczos."""
    return run(task, "trust-krylov", watch, gtol=tol, maxiter=MANY)
