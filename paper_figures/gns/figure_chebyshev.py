"""Chebyshev chains of 200 and 1000 variables: the residual against iterations and seconds."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.gns.common import counts, side_by_side, values

INEXACT, EXACT = "GNS, inexact Hessian", "GNS, exact Hessian"
SUPER, GRADIENT = "super-universal Newton, α = 1", "gradient method"
N = "problem.n"
# n: f at the start, iterations with the inexact Hessian to 1e-12, f of 200 gradient steps
GOLDEN = {
    200: (13543.341856808744, 30, 6.690027926868388e-08),
    1000: (329749.99943691836, 33, 1.1548067792928242e-06),
}
# n: iterations and systems to 1e-8. Super-universal Newton of the authors' code takes 32 (50) for n = 200, with steps
# left over from failed factorisations; ours rejects those.
COUNTS = {
    200: {INEXACT: (22, 44), EXACT: (25, 50), SUPER: (33, 67), GRADIENT: (np.inf, 0)},
    1000: {INEXACT: (26, 52), EXACT: (29, 58), SUPER: (34, 68), GRADIENT: (np.inf, 0)},
}


def draw(results: Results) -> Figure:
    """Return a panel for each size and measure."""
    return side_by_side(results, N, lambda run: f"n = {run.facts[N]}")


def claim(results: Results) -> None:
    """The inexact Hessian needs the fewest iterations, the exact one converges; in full size the authors' counts."""
    for n in values(results, N):
        found = {run.label: counts(run, 1e-8) for run in results.select(**{N: n})}
        assert found[INEXACT][0] <= found[EXACT][0] < found[SUPER][0] < np.inf, f"n = {n}: {found}"
        assert found[SUPER][0] < found[GRADIENT][0], f"n = {n}: {found}"
        if not results.quick:
            start, further, slow = GOLDEN[n]
            inexact, gradient = results.run(INEXACT, **{N: n}), results.run(GRADIENT, **{N: n})
            assert found == COUNTS[n], f"n = {n}: {found}, not {COUNTS[n]}"
            assert inexact.reached(1e-12) == further, f"n = {n}: 1e-12 after {inexact.reached(1e-12)}"
            assert np.isclose(inexact["fun"][0], start, rtol=1e-13)
            assert np.isclose(gradient["fun"][200], slow, rtol=1e-8), gradient["fun"][200]
