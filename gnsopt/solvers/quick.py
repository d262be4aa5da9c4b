r"""Quick steps: quasi-Newton directions between Newton's, for as long as they make better speed.

A Newton step by conjugate gradients pays all its products at one point and forgets what they told at the next. A
direction ``-G g`` by the last pairs of steps and gradients [1], over the preconditioner M that those solves use, costs
one product with the data, the search along its line included; on a quadratic it is the one of conjugate gradients [2].
Where M is good (wide data, clustered spectra, the matrix of a sample of the rows) the steps fall as fast, on the
function itself and without beginning anew.

The pace of steps is the fall of ``log |g|_*`` per product. Quick steps go on while theirs, over the last four, is above
that of the last Newton step (`SLOW` before there was one); else Newton steps follow, one after the first failure, two
after the second, then four: a problem that is not for quick steps loses a logarithm of them. At the pace of now the
products that are still to come are known, and a better M is bought where it costs a third of them or less.

References
----------
[1] Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Program. 45 (1989), 503-528.
[2] Nazareth, "A relationship between the BFGS and conjugate gradient algorithms and its implications for new
   algorithms", SIAM J. Numer. Anal. 16 (1979), 794-800.
"""

from __future__ import annotations

import math

from gnsopt.curvature import Curvature
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.globalization import flat_point
from gnsopt.linalg.forms import Apply, Shifted
from gnsopt.linalg.pairs import Pairs
from gnsopt.point import Point

WINDOW = 4  # steps whose mean pace counts (chosen)
SLOW = 0.15  # pace of a Newton step that has not been seen: a tenth in 15 products (chosen)
BRISK = 1.0  # pace at which no better preconditioner is looked for (chosen)
DEAR = 2.0  # price in products from which on a step is not quick (chosen)
END = 1e-10  # of the first gradient: where a run is thought to end that does not know (chosen)
ROUNDING = 1e-13  # relative rise of f that may be rounding, where the gradient falls (chosen)


class Quick:
    """The quick steps of one run.

    Parameters
    ----------
    x : Point
        Where the run begins.
    first : float
        Dual norm of the first gradient.
    """

    def __init__(self, x: Point, first: float) -> None:
        self._able = x.objective.offers("line")
        self._end = END * first
        self._pairs: Pairs | None = None
        self._norms: list[float] = []  # of the gradients since the last Newton step
        self._since = 0  # index of the first of them with the preconditioner of now
        self._newton = SLOW  # pace of the last Newton step
        self._wait, self._again = 0, 1  # Newton steps before the next attempt: now, and after it has failed

    def step(self, x: Point, H: Curvature, lam: float, flat: float) -> tuple[Point, float] | None:
        """Return the flat point along the quick direction.

        Parameters
        ----------
        x : Point
            Where.
        H : Curvature
            The Hessian there, whose solves know a preconditioner.
        lam : float
            Shift of the preconditioner.
        flat : float
            Share of the slope at which the search ends.

        Returns
        -------
        tuple of Point and float, or None
            The point and its t; None where a Newton step is thought to be the better one.
        """
        if not self._able or self._wait or H.shifted.quick_price > DEAR:
            return None
        self._norms = self._norms or [x.dual_norm]
        found = self._preconditioner(x, H.shifted, lam)
        if found is not None:
            M, scaled = found
            if self._pairs is None:
                x.counts.memory = True
                self._pairs = Pairs(H.shifted.memory, x.x.size)
            try:
                y, t = flat_point(x, -self._pairs.apply(M, x.g, scaled), flat)
                if y.finite and (y.f < x.f or (y.f - x.f <= ROUNDING * abs(x.f) and y.dual_norm < x.dual_norm)):
                    self._pairs.add(y.x - x.x, y.g - x.g)
                    self._norms.append(y.dual_norm)
                    return y, t
            except NotPositiveDefinite:
                pass
        self._norms, self._since = [], 0
        self._wait, self._again = self._again, 2 * self._again
        return None

    def _preconditioner(self, x: Point, shifted: Shifted, lam: float) -> tuple[Apply, bool] | None:
        """Return what the direction is made with; None where the pace is below that of Newton steps."""
        last = self._norms[-1 - WINDOW :]
        if len(last) > WINDOW and _pace(last) < self._newton * shifted.quick_price:
            return None
        work = x.counts.nhev, x.counts.nhessp
        found = shifted.quick(lam, self._ahead(x))
        if (x.counts.nhev, x.counts.nhessp) != work:  # it was bought just now
            self._since = len(self._norms) - 1
        return found

    def learn(self, x: Point, y: Point, products: int) -> None:
        """Take note of a Newton step from `x` to `y`, whose solves took so many products."""
        self._wait = max(self._wait - 1, 0)
        if self._pairs is not None and products:
            self._pairs.add(y.x - x.x, y.g - x.g)
            self._newton = _pace([x.dual_norm, y.dual_norm]) / (1 + products)

    def _ahead(self, x: Point) -> float:
        """Products to come at the pace of now; 0 where that is brisk or not known yet."""
        pace = _pace(self._norms[self._since :])
        if len(self._norms) - self._since < 3 or pace >= BRISK:
            return 0.0
        fall = x.max_norm / x.enough if x.enough > 0 else x.dual_norm / self._end
        return max(math.log(max(fall, math.e)), 1.0) / max(pace, 1e-3)


def _pace(norms: list[float]) -> float:
    """Return the mean fall of the logarithm; infinite where there has been none."""
    if len(norms) < 2 or not norms[-1] > 0:
        return math.inf
    return math.log(norms[0] / norms[-1]) / (len(norms) - 1)
