r"""Error bounds for inexact lower and adjoint solves, and what they rest on.

With ``e = x - x*``, ``|e| <= eps``, an approximate adjoint q with residual ``rho = |H q - grad_x g|`` at x:

    |x - x*| <= |grad h| / mu                                                            `distance`
    |f - V| <= E = rho eps + (L_H |q| + L_g) eps^2 / 2,   V = g(x) - q' grad h(x)        `value_error`
    |z - grad f| <= w = L_gt eps + |J| e_q + L_J eps (|q| + e_q),
                    e_q = (rho + (L_H |q| + L_g) eps) / mu                               `hypergradient_error`

V: ``g(x*) = g - grad g'e +- L_g |e|^2/2``, ``grad g'e = q'He - r'e`` and ``|He - grad h| <= L_H |e|^2/2``.
w: ``z - grad f = [grad_theta g(x) - grad_theta g(x*)] - J'(q - q*) - (J - J*)'q*`` with
``H*(q - q*) = (H* - H) q + r + grad g(x) - grad g(x*)``: curvature enters at x* only, once.

The bounds of the papers are there for comparison and for the faithful method:

    w = c eps + |J|/mu delta + L_J L_g/mu eps^2,
    c = L_g |J|/mu + L_Hinv |grad g| |J| + L_J |grad g|/mu,   L_Hinv = L_H/mu^2          `paper_error` [1, Thm 2.1]
    g - |grad g| eps - L_g eps^2/2 <= f <= g + |grad g| eps + L_g eps^2/2                `sandwich`    [2, Lemma 3.5]

References
----------
[1] Ehrhardt, Roberts, "Analyzing inexact hypergradients for bilevel learning", 2301.04764.
[2] Salehi, Mukherjee, Roberts, Ehrhardt, "An adaptively inexact first-order method for bilevel optimization with
    application to hyperparameter learning", 2308.10098.
"""

from __future__ import annotations

import numpy as np

from gnsopt.bilevel.problem import Constants


def distance(gradient: float, mu: float) -> float:
    """Return the bound ``|grad h| / mu`` of the distance to the lower solution.

    Parameters
    ----------
    gradient : float
        Norm of the lower gradient.
    mu : float
        Strong convexity.

    Returns
    -------
    float
        The bound.
    """
    return gradient / mu


def local_distance(gradient: float, m: float, R: float) -> float:
    r"""Return the bound ``-log(1 - a)/R``, ``a = R |grad h| / m``, for generalised self-concordant h; inf for a >= 1.

    ``|D^3 h[v, v, u]| <= R |u| v'Hv`` gives ``H(x + t u) >= exp(-R t |u|) H(x)`` and so, along the way to x*,
    ``|grad h| >= m (1 - exp(-R |e|))/R``. The logistic loss of a linear model has ``R = max_i |a_i|``.

    Parameters
    ----------
    gradient : float
        Norm of the lower gradient at x.
    m : float
        Lower bound of the eigenvalues of H at x (at this point only).
    R : float
        Constant of self-concordance.

    Returns
    -------
    float
        The bound.
    """
    a = R * gradient / m
    if R == 0:
        return gradient / m
    return float(-np.log1p(-a) / R) if a < 1 else np.inf


def value_error(eps: float, rho: float, q: float, c: Constants) -> float:
    """Return E, the error of the corrected value V.

    Parameters
    ----------
    eps : float
        Bound of ``|x - x*|``.
    rho : float
        Residual of the adjoint.
    q : float
        Norm of the adjoint.
    c : Constants
        Lipschitz constants.

    Returns
    -------
    float
        The bound.
    """
    return rho * eps + 0.5 * (c.L_H * q + c.L_g) * eps**2


def hypergradient_error(eps: float, rho: float, q: float, J: float, mu: float, c: Constants) -> float:
    """Return w, the error of the hypergradient, in terms of the computed adjoint.

    Parameters
    ----------
    eps, rho, q : float
        Distance, residual and norm of the adjoint, as in `value_error`.
    J : float
        Norm of J at x.
    mu : float
        Strong convexity.
    c : Constants
        Lipschitz constants.

    Returns
    -------
    float
        The bound.
    """
    e_q = (rho + (c.L_H * q + c.L_g) * eps) / mu
    return c.L_gt * eps + J * e_q + c.L_J * eps * (q + e_q)


def paper_error(eps: float, delta: float, gradient: float, J: float, mu: float, c: Constants) -> float:
    """Return the bound of the papers in terms of the upper gradient.

    Parameters
    ----------
    eps : float
        Bound of ``|x - x*|``.
    delta : float
        Residual of the adjoint.
    gradient : float
        Norm of ``grad_x g`` at x.
    J : float
        Norm of J at x.
    mu : float
        Strong convexity.
    c : Constants
        Lipschitz constants.

    Returns
    -------
    float
        The bound.
    """
    slope = c.L_g * J / mu + c.L_H / mu**2 * gradient * J + c.L_J * gradient / mu + c.L_gt
    return slope * eps + J / mu * delta + c.L_J * c.L_g / mu * eps**2


def sandwich(g: float, gradient: float, eps: float, L_g: float, convex: bool = False) -> tuple[float, float]:
    """Return the bounds of f from the uncorrected value.

    Parameters
    ----------
    g : float
        Upper value at x.
    gradient : float
        Norm of ``grad_x g`` at x.
    eps : float
        Bound of ``|x - x*|``.
    L_g : float
        Lipschitz constant of ``grad_x g``.
    convex : bool, default=False
        Whether g is convex in x, which sharpens the lower bound.

    Returns
    -------
    low, high : float
        The bounds.
    """
    curve = 0.5 * L_g * eps**2
    return g - gradient * eps - (0.0 if convex else curve), g + gradient * eps + curve
