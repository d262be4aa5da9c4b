r"""Directions along which a classification loss falls for ever: then there is no minimiser.

v is one if no margin falls along it and some grows. From the last point x of a run it is found exactly: samples whose
margin still counts must not move at all (else their loss would have pushed x on), so

    v = x - argmin_u |A_M (x - u)|,      M = margins with sigma(-t) > 1e-4,  variables without a penalty only,

the part of x in the null space of these rows (LSQR: products only). That v is a certificate, whatever M was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, lsqr

from gnsopt._typing import Array
from gnsopt.linalg.design import Design

UNDECIDED = 1e-4  # probability of the wrong label above which a margin counts (chosen: 1e-2 to 1e-5 agree on real data)
ROUNDING = 1e-9  # of a margin, relative to the largest, both by the norms of their rows
GROWS = 1e-6  # below, a margin is the rounding of LSQR (measured: 1e-14)
Map = Callable[[Array], Array]


def falls_for_ever(
    design: Design,
    free: Array,
    weight: Array,
    undecided: Any,
    gaps: Map,
    gaps_t: Map,
    directions: tuple[Array, ...],
) -> bool:
    """Whether one of `directions`, cleared of what must not move, is a direction of recession.

    Parameters
    ----------
    design : Design
        The rows.
    free : ndarray of shape (n,)
        1 for the variables without a penalty, 0 for the others.
    weight : ndarray of shape (n_samples,)
        Sample weights.
    undecided : ndarray of bool
        Margins that still count, in the shape of what `gaps` returns.
    gaps, gaps_t : callable
        Scores to margins, and the adjoint.
    directions : tuple of ndarray of shape (n,)
        Where to look.

    Returns
    -------
    bool
        Whether the loss has no minimiser.
    """
    n = free.size

    def margins(v: Array) -> Array:
        return gaps(design.matvec(v if n == design.n_columns else v.reshape(design.n_columns, -1)))

    def forward(v: Array) -> Array:
        return np.where(undecided, margins(free * v), 0.0).reshape(-1)

    def adjoint(u: Array) -> Array:
        U = np.where(undecided, u.reshape(undecided.shape), 0.0)
        return np.asarray(free * design.rmatvec(gaps_t(U)).reshape(-1))

    A = LinearOperator((undecided.size, n), matvec=forward, rmatvec=adjoint, dtype=float)
    for v in directions:
        v = free * (v - lsqr(A, forward(v), atol=1e-15, btol=1e-15, conlim=0.0, iter_lim=500)[0])
        size = design.row_norms * float(np.linalg.norm(v))
        moves = (margins(v).T / np.where(size > 0, size, 1.0)).T[weight > 0]
        if moves.max() > GROWS and moves.min() >= -ROUNDING * moves.max():
            return True
    return False
