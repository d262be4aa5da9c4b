r"""A nonlinear least-squares problem as a layer: its solution, and the derivative of the solution.

    w*(p) = argmin_w  |F(w, p)|^2/2 + ridge/2 |w|^2,      J = dF/dw at the solution
    A a = dL/dw,   A = J'J [+ sum_i F_i hess_w F_i] + ridge,      dL/dp = -(d_p (J'F))' a

The term in brackets is dropped where it is not given: exact when F vanishes at the solution (or is linear in w), else
the Gauss-Newton approximation of the derivative. With ``a`` fixed, ``(d_p (J'F))' a`` is the gradient in p of the
number ``<J a, F>``, taken by the complex step: F and J must be analytic in p, or `cross` be given. Each pull-back
compares it along one direction with central differences, four values of F and J more.

References
----------
[1] Chalapathi, Du, Krishnapriyan, "Scaling physics-informed hard constraints with mixture-of-experts", 2402.13412.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.linalg import norm
from scipy.linalg import lstsq
from scipy.optimize import OptimizeResult

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.problems.composite import Composite, Squared, check_count
from gnsopt.solver import Solver
from gnsopt.solvers.levenberg_marquardt import LevenbergMarquardt

STEP = 1e-30
CUBE_ROOT = float(np.cbrt(np.finfo(float).eps))  # relative step of central differences
TRUSTED = 0.01  # differences of two steps that are further apart, relatively, tell nothing (chosen)


class LeastSquaresLayer:
    """The map from parameters p to the solution of a nonlinear least-squares problem.

    Parameters
    ----------
    residual : callable
        ``F(w, p)``, shape (m,).
    jac : callable
        ``J(w, p)``, the derivatives of F in w, shape (m, n).
    n : int
        Number of unknowns w.
    ridge : float, default=0.0
        Penalty ``ridge/2 |w|^2``.
    hess : callable, optional
        ``hess(w, p, F)``, the matrix ``sum_i F_i hess_w F_i``; without it the adjoint is that of Gauss-Newton.
    cross : callable, optional
        ``cross(w, p, a)``, the gradient in p of ``<J(w, p) a, F(w, p)>``, w and a fixed; by the complex step otherwise.
    solver : Solver, optional
        What solves the problem; Levenberg-Marquardt by default.

    Raises
    ------
    ValueError
        If ``n < 1`` or ``ridge < 0``.

    Examples
    --------
    ``w = p^2``, and its derivative:

    >>> import numpy as np
    >>> from gnsopt.solvers import LeastSquaresLayer
    >>> layer = LeastSquaresLayer(lambda w, p: w - p**2, lambda w, p: np.eye(2), n=2)
    >>> w = layer.solve([1.0, 2.0]).x
    >>> layer.pull_back(w, [1.0, 2.0], dw=[1.0, 1.0])
    array([2., 4.])
    """

    def __init__(
        self,
        residual: Callable[[Array, Array], Array],
        jac: Callable[[Array, Array], Array],
        n: int,
        *,
        ridge: float = 0.0,
        hess: Callable[[Array, Array, Array], Array] | None = None,
        cross: Callable[[Array, Array, Array], Array] | None = None,
        solver: Solver | None = None,
    ) -> None:
        self.n = check_count(n, "n", 1)
        self.ridge = as_number(ridge, "ridge")
        if not 0 <= self.ridge < np.inf:
            raise ValueError(f"ridge={shown(ridge)} must be a finite number of at least 0")
        functions = {"residual": residual, "jac": jac, "hess": hess, "cross": cross}
        for name, function in functions.items():
            if not (callable(function) or (function is None and name in ("hess", "cross"))):
                raise TypeError(f"{name}={shown(function)} is not callable")
        if not (solver is None or isinstance(solver, Solver)):
            raise TypeError(f"solver={shown(solver)} must be a gnsopt.Solver, or None")
        self.residual, self.jac, self.hess, self.cross = residual, jac, hess, cross
        self.solver = LevenbergMarquardt() if solver is None else solver

    def problem(self, p: ArrayLike) -> Composite:
        """Return the least-squares problem for the parameters `p`.

        Parameters
        ----------
        p : array_like of shape (k,)
            Parameters.

        Returns
        -------
        Composite
            The problem in w, with the ridge as n further residuals.
        """
        p, root = as_array(p, "p"), np.sqrt(self.ridge)
        more = root * np.eye(self.n)[: self.n if self.ridge else 0]
        return Composite(
            Squared(),
            lambda w: np.append(self.residual(w, p), more @ w),
            lambda w: np.vstack([self._rows(w, p), more]),
            self.n,
        )

    def _rows(self, w: Array, p: Array) -> Array:
        J = np.asarray(self.jac(w, p))
        if J.ndim != 2 or J.shape[1] != self.n:
            raise ValueError(f"jac returned shape {J.shape}; it must be (m, {self.n})")
        return J

    def solve(self, p: ArrayLike, w0: ArrayLike | None = None, **options: Any) -> OptimizeResult:
        """Solve the problem; the result's `x` is w*.

        Parameters
        ----------
        p : array_like of shape (k,)
            Parameters.
        w0 : array_like of shape (n,), optional
            Start; zero by default.
        **options : dict
            Those of `Solver.minimize`; ``gtol`` is the accuracy of ``J'F``.

        Returns
        -------
        OptimizeResult
            The result.
        """
        return self.solver.minimize(self.problem(p), w0, **options)

    def pull_back(self, w: ArrayLike, p: ArrayLike, dw: ArrayLike) -> Array:
        """Return ``dL/dp`` from ``dL/dw`` at the solution w = w*(p).

        Parameters
        ----------
        w : array_like of shape (n,)
            The solution.
        p : array_like of shape (k,)
            Parameters.
        dw : array_like of shape (n,)
            Derivative of a loss L in w.

        Returns
        -------
        ndarray of shape (k,)
            Its derivative in p through w*.

        Raises
        ------
        ValueError
            If F or J is not analytic in p and there is no `cross`.
        """
        w, p, dw = (np.asarray(value, dtype=float) for value in (w, p, dw))
        J = np.asarray(self.jac(w, p))
        A = J.T @ J + self.ridge * np.eye(self.n)
        if self.hess is not None:
            A = A + self.hess(w, p, np.asarray(self.residual(w, p)))
        a = lstsq(A, dw, lapack_driver="gelsd")[0]  # the least norm where the solution is not unique
        if self.cross is not None:
            return -np.asarray(self.cross(w, p, a), dtype=float)
        turned = p.astype(complex) + 1j * STEP * np.eye(p.size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            try:
                slope = np.array([np.imag((self.jac(w, q) @ a) @ self.residual(w, q)) / STEP for q in turned])
            except TypeError as error:
                raise ValueError(f"residual or jac takes no complex p: pass cross= ({error})") from error
        with np.errstate(all="ignore"):  # what is not finite is not compared
            self._check_analytic(w, p, a, slope)
        return -slope

    def _check_analytic(self, w: Array, p: Array, a: Array, slope: Array) -> None:
        """Refuse what is not analytic in p: there the complex step is not a derivative (of abs it is zero)."""
        v = np.maximum(1.0, np.abs(p)) * (1 + 0.5 * np.sin(np.arange(1.0, p.size + 1) ** 2))
        found, size = np.zeros(2), 0.0
        for i, h in enumerate((CUBE_ROOT, CUBE_ROOT / 4)):
            (F, g), (F_, g_) = ((np.asarray(self.residual(w, q)), self.jac(w, q) @ a) for q in (p + h * v, p - h * v))
            found[i] = (g @ F - g_ @ F_) / (2 * h)
            size = float(norm(g) * norm(F - F_) + norm(g - g_) * norm(F)) / (2 * h)
        away, doubt = np.abs(slope @ v - found[0]), np.abs(found[0] - found[1])
        allowed = 1e-3 * np.abs(found[0]) + 1e-5 * size
        if doubt <= TRUSTED * np.abs(found[0]) and away > allowed + 10 * doubt:
            raise ValueError("residual or jac is not analytic in p (abs, real, conj, float): pass cross=")
