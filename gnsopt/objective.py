"""Objectives: pure functions of ``(x, z)`` where ``z = prepare(x)`` is the work that f, gradient and Hessian share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import HessianUpdateStrategy

from gnsopt._typing import Array
from gnsopt.arguments import as_array, shown
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.metric import DiagonalMetric, Metric

FINITE_DIFFERENCES = ("2-point", "3-point", "cs")
EPS = float(np.finfo(float).eps)
STRATEGY: type = HessianUpdateStrategy  # a class, which scipy-stubs declare as a protocol


class Objective:
    """A smooth function on R^n; subclass it and write `fun`, `grad` and what else is known.

    Only what a subclass overrides is offered to the solvers: `hess` (an array, or one of `gnsopt.linalg.forms`),
    or `hessp`; the approximations `gauss_newton` and `fisher`; the exact `difference`; a cheap `line`; `at_infinity`.

    Attributes
    ----------
    n : int
        Number of variables.
    convex : bool
        Whether f is known to be convex.
    f_star : float or None
        Known minimum.
    x_star : ndarray or None
        Known minimiser.
    strategy : scipy.optimize.HessianUpdateStrategy or None
        Quasi-Newton strategy that the user prefers to a Hessian: what ``curvature="auto"`` then stands for.
    """

    n: int
    convex: bool = False
    f_star: float | None = None
    x_star: Array | None = None
    strategy: Any = None

    def start(self) -> Array:
        """Return the default starting point: zero."""
        return np.zeros(self.n)

    def prepare(self, x: Array) -> Any:
        """Return the work shared by all functions at `x`; kept by the point."""
        return None

    def fun(self, x: Array, z: Any) -> float:
        """Return f(x)."""
        raise NotImplementedError

    def grad(self, x: Array, z: Any) -> Array:
        """Return the gradient, shape (n,)."""
        raise NotImplementedError

    def hess(self, x: Array, z: Any) -> Any:
        """Return the Hessian as an array or a form."""
        raise NotImplementedError

    def hessp(self, x: Array, z: Any, v: Array) -> Array:
        """Return the product of the Hessian with `v`."""
        raise NotImplementedError

    def gauss_newton(self, x: Array, z: Any) -> Any:
        """Return the Gauss-Newton approximation, positive semidefinite."""
        raise NotImplementedError

    def fisher(self, x: Array, z: Any) -> Any:
        """Return the Fisher approximation, positive semidefinite."""
        raise NotImplementedError

    def difference(self, x: Array, z: Any, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` without cancellation."""
        raise NotImplementedError

    def line(self, x: Array, z: Any, h: Array) -> Callable[[float], tuple[Any, float, float]]:
        """Return ``t -> (prepare(y), f(y), slope of f along h)`` at ``y = x + t h``, for less than a gradient each."""
        raise NotImplementedError

    def stale(self, z: Any) -> bool:
        """Whether `z`, from a `line`, has gathered more rounding than that of a fresh evaluation matters."""
        return False

    def summed(self, z: Any) -> bool:
        """Whether `z` is a sum along a `line`, and not what `prepare` returns but for its rounding."""
        return False

    def at_infinity(self, x: Array, z: Any, step: Array) -> bool:
        """Whether f is certified to have no minimiser: it falls for ever along `x` or along `step`."""
        return False

    def metric(self) -> Metric:
        """Return the natural metric of the variables, what ``metric="auto"`` stands for: the identity."""
        return DiagonalMetric()

    def extra_counts(self) -> dict[str, int]:
        """Return evaluations beyond those of the points (finite differences), by the names of `Counts`."""
        return {}

    def fresh(self) -> Objective:
        """Return the problem for one run: itself, or a twin with counts of its own."""
        return self

    def offers(self, name: str) -> bool:
        """Whether the function called `name` is there."""
        own = getattr(type(self), name, None)
        return own is not None and own is not getattr(Objective, name, None)

    def require(self, name: str, what: str) -> None:
        """Raise `MissingRequirement` unless `name` is offered."""
        if not self.offers(name):
            offered = [k for k in ("hess", "hessp", "gauss_newton", "fisher") if self.offers(k)]
            cure = f"it offers {', '.join(offered)}" if offered else "pass hess= or hessp=, or curvature='zero'"
            raise MissingRequirement(f"{type(self).__name__} has no {name!r}, needed for {what}: {cure}")


class Callables(Objective):
    """SciPy-style callables as an objective.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``, or ``(float, array)`` with ``jac=True``.
    n : int
        Number of variables.
    args : tuple, default=()
        Extra arguments of every callable.
    jac : callable, bool or {"2-point", "3-point", "cs"}, optional
        Gradient. None and the strings mean finite differences of `fun` (central, except for "2-point" and "cs").
    hess : callable, {"2-point", "3-point", "cs"} or HessianUpdateStrategy, optional
        Hessian; a string assembles it from gradient differences, ``BFGS()`` or ``SR1()`` update it along the run.
    hessp : callable, optional
        ``hessp(x, v, *args)``. With neither `hess` nor `hessp`, products are central differences of the gradient.

    Raises
    ------
    TypeError
        If an argument is neither callable nor one of the names above.

    Notes
    -----
    What finite differences cost is counted in the run's ``nfev`` and ``njev``.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        n: int,
        args: tuple[Any, ...] = (),
        jac: Any = None,
        hess: Any = None,
        hessp: Any = None,
    ) -> None:
        if isinstance(hess, STRATEGY):
            self.strategy, hess = hess, None
        for name, value, names in (
            ("fun", fun, ()),
            ("jac", jac, FINITE_DIFFERENCES),
            ("hess", hess, FINITE_DIFFERENCES),
            ("hessp", hessp, ()),
        ):
            known = callable(value) or (name != "fun" and value is None) or (isinstance(value, str) and value in names)
            if not (known or (name == "jac" and isinstance(value, bool | np.bool_))):
                choices = f", one of {names}" if names else ""
                raise TypeError(f"{name}={shown(value)} is not supported: pass a callable{choices}")
        self.n = n
        self._fun, self._args, self._hess, self._hessp = fun, args, hess, hessp
        self._both = jac is True or (isinstance(jac, np.bool_) and bool(jac))
        self._jac = None if isinstance(jac, bool | np.bool_) else jac
        self._extra = {"nfev": 0, "njev": 0}

    def metric(self) -> Metric:
        """Return the natural metric of the variables, what ``metric="auto"`` stands for: the identity."""
        return DiagonalMetric()

    def fresh(self) -> Callables:
        """Return a twin that counts its differences from zero."""
        twin = copy.copy(self)
        twin._extra = dict.fromkeys(self._extra, 0)
        return twin

    def extra_counts(self) -> dict[str, int]:
        """Return the evaluations made by finite differences."""
        return dict(self._extra)

    def offers(self, name: str) -> bool:
        """Whether the user gave `name`; products of the Hessian are always there, by differences if need be."""
        if name == "hess":
            return self._hess is not None
        return name == "hessp"

    def prepare(self, x: Array) -> Any:
        """Return ``fun(x)`` where it gives value and gradient together."""
        if not self._both:
            return None
        out = self._fun(x.copy(), *self._args)
        if not (isinstance(out, tuple | list) and len(out) == 2):
            raise TypeError(f"fun returned {type(out).__name__}; with jac=True it must return (value, gradient)")
        return out

    def fun(self, x: Array, z: Any) -> float:
        """Return f(x) as a float."""
        return self._scalar(z[0] if self._both else self._fun(x.copy(), *self._args))

    def _scalar(self, value: Any) -> float:
        try:
            a = np.asarray(value)
        except ValueError:
            raise TypeError("fun returned a ragged sequence; it must return one real number") from None
        if a.size != 1 or a.dtype.kind not in "fiub":
            raise TypeError(f"fun returned {type(value).__name__} of shape {a.shape}; it must return one real number")
        return float(a.reshape(()))

    def _vector(self, value: Any, name: str) -> Array:
        """Return a copy of what `name` returned; a TypeError, which no trial swallows, if it is no real vector."""
        try:
            v = as_array(value, name, finite=False)
        except ValueError:
            raise TypeError(f"{name} returned {shown(value)}; it must return {self.n} real numbers") from None
        if v.size != self.n:
            raise TypeError(f"{name} returned shape {v.shape}; it must be ({self.n},)")
        return np.array(v).reshape(-1)

    def grad(self, x: Array, z: Any) -> Array:
        """Return the gradient as a float64 vector."""
        if self._both:
            g = z[1]
        elif callable(self._jac):
            g = self._jac(x.copy(), *self._args)
        else:
            return self._difference_gradient(x)
        return self._vector(g, "jac")

    def _difference_gradient(self, x: Array) -> Array:
        """Differences of f: central with ``h = eps^{1/3} max(1, |x_j|)``, one-sided or complex-step on request."""
        g = np.empty(self.n)
        one_sided = self._jac == "2-point"
        f0 = self._value(x) if one_sided else 0.0
        for j in range(self.n):
            h = (EPS**0.5 if one_sided else EPS ** (1 / 3)) * max(1.0, abs(x[j]))
            if self._jac == "cs":
                y = x.astype(complex)
                y[j] += 1e-30j
                self._extra["nfev"] += 1
                g[j] = np.imag(self._fun(y, *self._args)) / 1e-30
                continue
            y = x.copy()
            y[j] = x[j] + h
            up, width = self._value(y), y[j] - x[j]
            if not one_sided:
                y[j] = x[j] - h
                width += x[j] - y[j]
                f0 = self._value(y)
            g[j] = (up - f0) / width
        return g

    def _value(self, x: Array) -> float:
        self._extra["nfev"] += 1
        return self._scalar(self._fun(x.copy(), *self._args))

    def hess(self, x: Array, z: Any) -> Any:
        """Return the user's Hessian, or one assembled from gradient differences."""
        if callable(self._hess):
            return self._hess(x.copy(), *self._args)
        H = np.stack([self._difference_product(x, e) for e in np.eye(self.n)])
        return (H + H.T) / 2

    def hessp(self, x: Array, z: Any, v: Array) -> Array:
        """Return the user's product, or a central difference of gradients along `v`."""
        if self._hessp is None:
            return self._difference_product(x, v)
        return self._vector(self._hessp(x.copy(), v.copy(), *self._args), "hessp")

    def _difference_product(self, x: Array, v: Array) -> Array:
        """``(g(x + t v) - g(x - t v)) / 2t`` with ``t |v| = eps^{1/3} max(1, |x|)``; two gradients, counted.

        Where a side leaves the domain (an exception, a value that is not finite) t is cut by 1000, twice at the most.
        """
        size = float(np.linalg.norm(v))
        if size == 0.0:
            return np.zeros_like(v)
        noise = EPS if self._both or callable(self._jac) else EPS ** (2 / 3)  # of the gradient itself
        t = noise ** (1 / 3) * max(1.0, float(np.linalg.norm(x))) / size
        for shrink in (1.0, 1e-3, 1e-6):
            up, down, width = x + shrink * t * v, x - shrink * t * v, 2 * shrink * t
            self._extra["njev"] += 2
            try:
                Hv = (self.grad(up, self.prepare(up)) - self.grad(down, self.prepare(down))) / width
            except (ArithmeticError, ValueError):
                continue
            if np.isfinite(Hv).all():
                return Hv
        return np.full_like(v, np.nan)
