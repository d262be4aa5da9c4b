"""First-order minimisation of the penalised lower level: L-BFGS by slopes, and the accelerated projected method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gnsopt._typing import Array

if TYPE_CHECKING:
    from gnsopt.bilevel.penalised import Level

LIMIT = 20_000  # inner iterations of one solve at the most
IDLE = 200  # accelerated steps without a new low of the residual: the limit of float64 (chosen)
STALLED = (10, 300)  # its steps without a new low of the gradient that end it, near rounding and far (chosen)
TRIALS = 20  # of its line search; where they do not suffice, slopes are rounding
EPS = float(np.finfo(float).eps)


def quasi_newton(level: Level, target: float) -> Array:
    """Return the end of a run of L-BFGS, whose line search looks at slopes only.

    Values of h_s are of no use within the square root of rounding of the minimiser, where the gradients of psi, divided
    by a small sigma, still need digits. A step is accepted where ``-0.9 |s_0| <= s(t) <= 0.8 |s_0|`` (the approximate
    Wolfe conditions of Hager and Zhang with 0.1 and 0.9), s the slope along the direction.

    Parameters
    ----------
    level : Level
        What to minimise, without constraints.
    target : float
        Norm of the gradient.

    Returns
    -------
    ndarray of shape (n,)
        The point.
    """
    x, grad, B = level.x, level.grad, level.memory
    free = np.ones(x.size, dtype=bool)
    best, least, idle, steepest = x, float(np.linalg.norm(grad)), 0, 0.0
    for _ in range(LIMIT):
        far = least > 10 * EPS * steepest * float(np.linalg.norm(x))  # rounding of a gradient is of this size
        if least <= target or idle >= STALLED[far] or not np.any(grad):
            break
        p = B.direction(grad, free) if len(B) else -grad / level.L
        if not p @ grad < 0:
            B.forget()
            p = -grad / level.L
        t, after = slope_search(level, x, p, float(p @ grad))
        if t == 0 and len(B):  # what is remembered may be of another theta
            B.forget()
            continue
        if t == 0:
            break
        B.update(t * p, after - grad)
        steepest = max(steepest, float(np.linalg.norm(after - grad) / np.linalg.norm(t * p)))
        x, grad = x + t * p, after
        size = float(np.linalg.norm(grad))
        best, least, idle = (x, size, 0) if size < least else (best, least, idle + 1)
    return np.asarray(best)


def slope_search(level: Level, x: Array, p: Array, slope: float) -> tuple[float, Array]:
    """Return a step along p that meets the approximate Wolfe conditions, and the gradient there.

    Parameters
    ----------
    level : Level
        What is minimised.
    x, p : ndarray of shape (n,)
        Point and direction.
    slope : float
        Slope at x, negative.

    Returns
    -------
    t : float
        Step; 0 if none was acceptable.
    gradient : ndarray of shape (n,)
        At ``x + t p``.
    """
    t, low, high, at_low = 1.0, 0.0, np.inf, slope
    for _ in range(TRIALS):
        after = level.evaluate(x + t * p)[1]
        now = float(after @ p)
        if now < 0.9 * slope:  # too short
            low, at_low = t, now
            t = 4 * t if np.isinf(high) else (low + high) / 2
        elif not now <= -0.8 * slope:  # too long, or not finite
            high = t
            secant = low - at_low * (t - low) / (now - at_low) if np.isfinite(now) else 0.0
            t = float(np.clip(secant, low + 0.1 * (high - low), high - 0.1 * (high - low)))
        else:
            return t, after
    return 0.0, after


def accelerated(level: Level, target: float) -> Array:
    """Return the end of a run of Nesterov's projected method with backtracking and restarts.

    Parameters
    ----------
    level : Level
        What to minimise; its ``L`` is kept up to date.
    target : float
        Norm of the residual.

    Returns
    -------
    ndarray of shape (n,)
        The point.
    """
    x = v = best = level.x
    t, least, idle = 1.0, np.inf, 0
    for _ in range(LIMIT):
        value, grad = level.evaluate(v)
        while True:
            after = level.project(v - grad / level.L)
            step = after - v
            new, grad_new = level.evaluate(after)
            bound = grad @ step + 0.5 * level.L * (step @ step)
            if new <= value + bound + 10 * EPS * abs(value) or level.L > 1e15:
                break
            level.L *= 2
        size = float(np.linalg.norm(grad_new - grad - level.L * step))
        best, least, idle = (after, size, 0) if size < least else (best, least, idle + 1)
        if least <= 0.5 * target or idle >= IDLE:
            break
        if (v - after) @ (after - x) > 0:  # momentum leads uphill (O'Donoghue and Candes)
            t, v = 1.0, after
        else:
            later = (1 + np.sqrt(1 + 4 * t * t)) / 2
            v, t = after + (t - 1) / later * (after - x), later
        x = after
    return np.asarray(best)
