"""The flat point of a line: where the slope has fallen to a share of what it was."""

from __future__ import annotations

import math

import numpy as np

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.point import Point

LONGER = 3.0  # lengths of the last step that an extrapolation goes beyond it at the most (chosen)
INSIDE = 0.1  # share of the bracket that a trial stays away from its ends (chosen)
TRIALS = 20  # evaluations along one line at the most (chosen)


def flat_point(x: Point, h: Array, share: float, least: float = 0.0) -> tuple[Point, float]:
    r"""Return ``y = x + t h`` with ``|phi'(t)| <= share |phi'(0)|``, where ``phi(t) = f(x + t h)``.

    ``t = 1`` comes first, then the zeros of the secants of ``phi'``: beyond the last t while f falls, inside the
    bracket afterwards. Of a convex f that has a minimum along the line the flat point is found; of others, the last t
    at which f still fell is returned after `TRIALS` evaluations.

    Parameters
    ----------
    x : Point
        Where the line begins.
    h : ndarray of shape (n,)
        A direction of descent.
    share : float
        In (0, 1).
    least : float, default=0.0
        A flat point nearer than this is not looked for: the last point that was seen is returned.

    Returns
    -------
    tuple of Point and float
        The point and its t.

    Raises
    ------
    NotPositiveDefinite
        If `h` does not go downhill.
    """
    line, start = x.line(h), float(x.g @ h)
    if not start < 0:
        raise NotPositiveDefinite(f"slope {start} along a step that should go downhill")
    before, low, high = (0.0, start), (0.0, start), None  # (t, slope): the last two where f falls, one where it rises
    t, best = 1.0, None
    for _ in range(TRIALS):
        y, slope = line(t)
        if abs(slope) <= share * abs(start):
            return y, t
        if slope < 0:
            before, low, best = low, (t, slope), (y, t)
        else:  # it rises, or is not finite
            high = (t, slope)
        t = _beyond(before, low) if high is None else _between(low, high)
        if t < least:
            break
    return best if best is not None else (y, t)


def _beyond(before: tuple[float, float], low: tuple[float, float]) -> float:
    """Return the zero of the secant beyond the last t, within reach."""
    width, fall = low[0] - before[0], low[1] - before[1]
    step = -low[1] / fall if fall > 0 else np.inf
    return low[0] + width * float(min(max(step, INSIDE), LONGER))


def _between(low: tuple[float, float], high: tuple[float, float]) -> float:
    """Return the zero of the secant inside the bracket, away from its ends."""
    width = high[0] - low[0]
    share = low[1] / (low[1] - high[1]) if math.isfinite(high[1]) else 0.5
    return low[0] + width * min(max(share, INSIDE), 1 - INSIDE)
