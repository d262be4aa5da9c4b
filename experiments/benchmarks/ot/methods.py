"""Ours and the peers, each as ``solve(a, b, C, reg, threshold, max_iter) -> (plan, iterations)``.

A threshold is what each library takes for one, in its own measure. Peers are called as their documentation says; where
an option decides whether they can converge at all (iterations of an inner loop), that option is set and said here.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = tuple[Any, int]


@dataclass(frozen=True)
class Method:
    """A solver: what it needs, and iterations that are few (to find out what one costs)."""

    name: str
    solve: Callable[..., Answer]
    module: str = "gnsopt"
    few: int = 3
    order: str = "C"  # of the costs in memory: what the library would have to copy otherwise
    exact: bool = False  # solves the linear program: only for scale

    @property
    def ours(self) -> bool:
        """Whether it is ours."""
        return self.module == "gnsopt"

    @property
    def installed(self) -> bool:
        """Whether its library is there."""
        return importlib.util.find_spec(self.module) is not None


def gnsopt(method: str) -> Callable[..., Answer]:
    """``gnsopt.ot.solve`` with default options; the plan is formed."""

    def solve(a: Any, b: Any, C: Any, reg: float, threshold: float, max_iter: int) -> Answer:
        from gnsopt import ot

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ot.NotConverged)
            found = ot.solve(a, b, C, reg=reg, method=method, tol=threshold, max_iter=max_iter)
        return found.plan, int(found.run.njev)

    return solve


def pot(name: str) -> Callable[..., Answer]:
    """A function of ``ot.bregman``; the 2-norm of one side's error is tested every ten iterations."""

    def solve(a: Any, b: Any, C: Any, reg: float, threshold: float, max_iter: int) -> Answer:
        import ot

        options: dict[str, Any] = {"numItermax": max_iter, "stopThr": threshold}
        if name == "sinkhorn_epsilon_scaling":  # its iterations are stages, 36 of them, with iterations of their own
            options = {"numItermax": 100, "numInnerItermax": max(max_iter // 36, 100), "stopThr": threshold}
        plan, log = getattr(ot.bregman, name)(a, b, C, reg, log=True, warn=False, **options)
        return plan, int(log.get("niter", log.get("n_iter", -1)))

    return solve


def pot_exact(a: Any, b: Any, C: Any, reg: float, threshold: float, max_iter: int) -> Answer:
    """POT's network simplex: the unregularised problem."""
    import ot

    return ot.emd(a, b, C, numItermax=10_000_000), 0


def regot(name: str) -> Callable[..., Answer]:
    """A function of regot; the 2-norm of the gradient of the grounded dual is tested."""

    def solve(a: Any, b: Any, C: Any, reg: float, threshold: float, max_iter: int) -> Answer:
        import regot as library

        found = getattr(library, name)(C, a, b, reg, tol=threshold, max_iter=max_iter)
        return found.plan, int(found.niter)

    return solve


METHODS = {
    method.name: method
    for method in (
        Method("gnsopt auto", gnsopt("auto")),
        Method("gnsopt newton", gnsopt("newton")),
        Method("gnsopt sinkhorn", gnsopt("sinkhorn"), few=20),
        Method("gnsopt sns", gnsopt("sns"), few=25),
        Method("POT sinkhorn", pot("sinkhorn_knopp"), "ot", few=20),
        Method("POT sinkhorn_log", pot("sinkhorn_log"), "ot", few=10),
        Method("POT sinkhorn_stabilized", pot("sinkhorn_stabilized"), "ot", few=20),
        Method("POT epsilon_scaling", pot("sinkhorn_epsilon_scaling"), "ot", few=100),
        Method("regot SSNS", regot("sinkhorn_ssns"), "regot", order="F"),
        Method("regot SPLR", regot("sinkhorn_splr"), "regot", order="F"),
        Method("regot sparse_newton", regot("sinkhorn_sparse_newton"), "regot", order="F"),
        Method("regot newton", regot("sinkhorn_newton"), "regot", order="F"),
        Method("POT emd (linear program)", pot_exact, "ot", exact=True),
    )
}
