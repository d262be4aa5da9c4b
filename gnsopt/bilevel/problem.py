r"""Bilevel problems by declared oracles.

    min_theta  f(theta) = g(x*(theta), theta),      x*(theta) = argmin_x h(x, theta),      theta in a box,

with ``h(., theta)`` mu(theta)-strongly convex. ``H`` is the Hessian of h in x and ``J``, of shape (n, d), the
derivative of ``grad_x h`` in theta. The gradient of f is then ``grad_theta g - J' H^{-1} grad_x g``.

=================  ===========================================================  ======================================
oracle             returns                                                      needed by
=================  ===========================================================  ======================================
``lower``          ``h, grad_x h`` (or `objective`: an `Objective` for theta)    everything
``upper``          ``g, grad_x g, grad_theta g`` (the last may be None: zero)    everything
``cross_t``        ``J' q``                                                     implicit gradients
``hvp``            ``H``: a callable ``v -> H v``, an array or a form           second-order methods; else differences
``hdiag``          ``diag(H)``                                                  Jacobi preconditioner
``lower_theta``    ``grad_theta h``                                             penalty (value-function) methods
``mu``             strong convexity                                             certificates
``constants``      `Constants`; ``J_norm`` the norm of J                        certificates of the hypergradient
=================  ===========================================================  ======================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.forms import Form, Operator, as_form
from gnsopt.objective import EPS, Objective


@dataclass(frozen=True)
class Constants:
    """Lipschitz constants at one theta, valid for all x; what certificates of the hypergradient need.

    Parameters
    ----------
    L : float
        Of ``grad_x h`` in x: the largest eigenvalue of H.
    L_g : float
        Of ``grad_x g`` in x.
    L_H : float
        Of H in x; zero for a quadratic h.
    L_J : float
        Of J in x.
    L_gt : float, default=0.0
        Of ``grad_theta g`` in x; zero where g does not depend on theta.
    """

    L: float
    L_g: float
    L_H: float
    L_J: float
    L_gt: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative numbers and NaN."""
        for name in ("L", "L_g", "L_H", "L_J", "L_gt"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= as_number(value, f"constants: {name}") < np.inf):
                raise ValueError(f"constants: {name}={shown(value)} must be a finite number >= 0")


class BilevelProblem:
    """A bilevel problem: pass the oracles as callables, or subclass and write them as methods.

    A subclass calls ``super().__init__(n, d)`` and overrides `upper`, `mu`, `cross_t` and either `lower` (with `hvp`)
    or `objective`, which gives the lower level at one theta as an `Objective` of the library with all its structure.

    Parameters
    ----------
    n : int
        Number of lower variables x.
    d : int
        Number of upper variables theta.
    lower : callable, optional
        ``lower(x, theta) -> (h, grad_x h)``, or ``lower(theta) -> Objective``.
    upper : callable, optional
        ``upper(x, theta) -> (g, grad_x g, grad_theta g)``; the last may be None.
    cross_t : callable, optional
        ``cross_t(x, theta, q) -> J' q`` of shape (d,).
    mu : float or callable, optional
        Strong convexity of ``h(., theta)``: a positive number, or ``mu(theta)``.
    hvp : callable, optional
        ``hvp(x, theta)`` returns H: a callable ``v -> H v``, an array, a sparse array, a LinearOperator or a form.
        Without it products are central differences of the gradient.
    hdiag : callable, optional
        ``hdiag(x, theta) -> diag(H)``.
    lower_theta : callable, optional
        ``lower_theta(x, theta) -> grad_theta h`` of shape (d,).
    constants : Constants or callable, optional
        Lipschitz constants, or ``constants(theta)``.
    J_norm : callable, optional
        ``J_norm(x, theta)``, an upper bound of the spectral norm of J.
    bounds : pair of array_like, optional
        Box of theta: lower and upper bounds, each a number or of shape (d,).
    x0 : array_like of shape (n,), optional
        First lower iterate; zero by default.

    Attributes
    ----------
    n, d : int
        Numbers of variables.
    bounds : tuple of ndarray
        The box, infinite where there is none.
    names : tuple of str
        Oracles that were given as callables.

    Raises
    ------
    TypeError
        If an oracle is not callable.
    ValueError
        If a size or a bound makes no sense.
    """

    def __init__(
        self,
        n: int,
        d: int,
        *,
        lower: Callable[..., Any] | None = None,
        upper: Callable[..., Any] | None = None,
        cross_t: Callable[..., Any] | None = None,
        mu: float | Callable[[Array], float] | None = None,
        hvp: Callable[..., Any] | None = None,
        hdiag: Callable[..., Any] | None = None,
        lower_theta: Callable[..., Any] | None = None,
        constants: Constants | Callable[[Array], Constants] | None = None,
        J_norm: Callable[..., float] | None = None,
        bounds: Any = None,
        x0: ArrayLike | None = None,
    ) -> None:
        for name, size in (("n", n), ("d", d)):
            if not (isinstance(size, int | np.integer) and 1 <= size < 2**48):
                raise ValueError(f"{name}={shown(size)} must be an integer of at least 1")
        self.n, self.d = int(n), int(d)
        given = {
            "lower": lower,
            "upper": upper,
            "cross_t": cross_t,
            "hvp": hvp,
            "hdiag": hdiag,
            "lower_theta": lower_theta,
            "J_norm": J_norm,
        }
        for name, value in given.items():
            if not (value is None or callable(value)):
                raise TypeError(f"{name}={shown(value)} must be callable")
        self._mu: Any = mu
        if mu is not None and not callable(mu):
            self._mu = lambda theta: mu
        self._constants: Any = constants
        if isinstance(constants, Constants):
            self._constants = lambda theta: constants
        elif not (constants is None or callable(constants)):
            raise TypeError(f"constants={constants!r} must be Constants or a callable constants(theta)")
        self._oracles = {name: value for name, value in given.items() if value is not None}
        self._makes_objectives = lower is not None and _takes_one(lower)
        self.bounds = as_bounds(bounds, self.d)
        self._x0 = np.zeros(self.n) if x0 is None else as_vector(x0, self.n, "x0")

    # ------------------------------------------------------------------------------------------------- oracles

    def offers(self, name: str) -> bool:
        """Whether the oracle called `name` is there: given as a callable, or overridden.

        Parameters
        ----------
        name : str
            ``"lower"``, ``"cross_t"``, ``"lower_theta"``, ``"constants"``, ...

        Returns
        -------
        bool
            Whether it may be called.
        """
        given = self.__dict__.get("_oracles", {})
        kept = {"mu": "_mu", "constants": "_constants"}
        if name in given or (name in kept and self.__dict__.get(kept[name]) is not None):
            return True
        return getattr(type(self), name) is not getattr(BilevelProblem, name)

    def require(self, name: str, what: str) -> None:
        """Raise MissingRequirement unless the oracle `name` is there.

        Parameters
        ----------
        name : str
            Oracle.
        what : str
            What needs it.

        Raises
        ------
        MissingRequirement
            Naming the oracle and the cure.
        """
        if not self.offers(name):
            raise MissingRequirement(
                f"{type(self).__name__} has no {name!r}, needed for {what}: pass {name}= or override the method"
            )

    def _call(self, name: str, *arguments: Any) -> Any:
        self.require(name, "this method")
        return self._oracles[name](*arguments)

    def objective(self, theta: Array) -> Objective:
        """Return the lower level at `theta` as an objective in x.

        Parameters
        ----------
        theta : ndarray of shape (d,)
            Upper variables.

        Returns
        -------
        Objective
            ``h(., theta)`` with its gradient and its Hessian as a form.
        """
        if self.__dict__.get("_makes_objectives", False):
            made = self._oracles["lower"](theta)
            if not isinstance(made, Objective):
                raise TypeError(f"lower(theta) returned {type(made).__name__}; it must return a gnsopt Objective")
            if made.n != self.n:
                raise ValueError(f"lower(theta) returned an objective of {made.n} variables; n={self.n}")
            return made
        return LowerLevel(self, theta)

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return ``h(x, theta)`` and its gradient in x, shape (n,)."""
        given = self.__dict__.get("_oracles", {}).get("lower")
        if given is not None and not self._makes_objectives:
            return value_and_gradient(given(x, theta), self.n, "lower")
        if given is None and type(self).objective is BilevelProblem.objective:
            self.require("lower", "the lower level")
        h = self.objective(theta)
        z = h.prepare(x)
        return float(h.fun(x, z)), h.grad(x, z)

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, Array | None]:
        """Return ``g(x, theta)``, its gradient in x, shape (n,), and in theta, shape (d,) or None for zero."""
        out: tuple[float, Array, Array | None] = self._call("upper", x, theta)
        return out

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return ``J' q`` of shape (d,), J the derivative of ``grad_x h`` in theta."""
        return _returned(self._call("cross_t", x, theta, q), self.d, "cross_t(x, theta, q)")

    def hvp(self, x: Array, theta: Array) -> Any:
        """Return H at ``(x, theta)``: a callable ``v -> H v``, an array or a form."""
        return self._call("hvp", x, theta)

    def hdiag(self, x: Array, theta: Array) -> Array:
        """Return the diagonal of H, shape (n,)."""
        return _returned(self._call("hdiag", x, theta), self.n, "hdiag(x, theta)")

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return ``grad_theta h(x, theta)``, shape (d,)."""
        return _returned(self._call("lower_theta", x, theta), self.d, "lower_theta(x, theta)")

    def mu(self, theta: Array) -> float:
        """Return the strong convexity of ``h(., theta)``, positive."""
        if self._mu is None:
            self.require("mu", "certificates")
        return _number(self._mu(theta), "mu(theta)")

    def constants(self, theta: Array) -> Constants:
        """Return the Lipschitz constants at `theta`."""
        if self._constants is None:
            self.require("constants", "certificates")
        made = self._constants(theta)
        if not isinstance(made, Constants):
            raise TypeError(f"constants(theta) returned {type(made).__name__}; it must return bilevel.Constants")
        return made

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return an upper bound of the spectral norm of J at ``(x, theta)``."""
        value = _number(self._call("J_norm", x, theta), "J_norm(x, theta)")
        if not 0 <= value < np.inf:
            raise ValueError(f"J_norm returned {value}; it must be finite and not negative")
        return value

    # --------------------------------------------------------------------------------------------- conveniences

    def start(self) -> Array:
        """Return the first lower iterate, a fresh array of shape (n,)."""
        return np.array(self.__dict__.get("_x0", np.zeros(self.n)))

    @property
    def blocks(self) -> Sequence[BilevelProblem]:
        """The lower-level problems that share theta; f is the mean of theirs. One, unless overridden."""
        return (self,)

    @property
    def certifiable(self) -> bool:
        """Whether all constants that the certificates need are there."""
        return all(block.offers(name) for block in self.blocks for name in ("mu", "constants", "J_norm"))

    def split(self, x: Array) -> list[Array]:
        """Return the parts of the lower variables `x` that belong to each of `blocks`, as views."""
        ends = np.cumsum([block.n for block in self.blocks])
        return np.split(x, ends[:-1])


class LowerLevel(Objective):
    """The lower level at one theta, made from `lower`, `hvp` and `hdiag`.

    Parameters
    ----------
    problem : BilevelProblem
        Whose oracles.
    theta : ndarray of shape (d,)
        Upper variables.
    """

    convex = True

    def __init__(self, problem: BilevelProblem, theta: Array) -> None:
        self.problem, self.theta, self.n = problem, theta, problem.n

    def start(self) -> Array:
        """Return the problem's first lower iterate."""
        return self.problem.start()

    def prepare(self, x: Array) -> tuple[float, Array]:
        """Return value and gradient together."""
        with np.errstate(over="ignore", invalid="ignore"):  # not finite is an answer here: the trial is rejected
            return value_and_gradient(self.problem.lower(x.copy(), self.theta), self.n, "lower")

    def fun(self, x: Array, z: tuple[float, Array]) -> float:
        """Return ``h(x, theta)``."""
        return z[0]

    def grad(self, x: Array, z: tuple[float, Array]) -> Array:
        """Return ``grad_x h``."""
        return z[1]

    def hess(self, x: Array, z: tuple[float, Array]) -> Form:
        """Return H as a form: what `hvp` returns, or products by central differences of the gradient."""
        diagonal = None
        if self.problem.offers("hdiag"):
            diagonal = as_vector(self.problem.hdiag(x, self.theta), self.n, "hdiag(x, theta)")
        if not self.problem.offers("hvp"):
            return Operator(self.n, lambda v: self._difference(x, v), diagonal)
        H = self.problem.hvp(x, self.theta)
        if isinstance(H, Form) or not callable(H) or hasattr(H, "matvec") or hasattr(H, "shape"):
            form = as_form(H, self.n, "hvp")
            if not isinstance(form, Operator) or diagonal is None:
                return form
            return Operator(self.n, form.matvec, diagonal, form.product_price)
        return Operator(self.n, lambda v: as_vector(H(v), self.n, "hvp(x, theta)(v)"), diagonal)

    def _difference(self, x: Array, v: Array) -> Array:
        size = float(np.linalg.norm(v))
        if size == 0.0:
            return np.zeros_like(v)
        t = EPS ** (1 / 3) * max(1.0, float(np.linalg.norm(x))) / size
        up, down = self.prepare(x + t * v)[1], self.prepare(x - t * v)[1]
        return (up - down) / (2 * t)


# -------------------------------------------------------------------------------------------------------- checks


def _takes_one(oracle: Callable[..., Any]) -> bool:
    """Whether `oracle` takes theta alone, and so returns an Objective."""
    try:
        given = inspect.signature(oracle).parameters.values()
    except (TypeError, ValueError):  # some builtins show none
        return False
    places = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(places) == 1 and not any(p.kind is p.VAR_POSITIONAL for p in given)


def _number(value: Any, name: str) -> float:
    """Return what an oracle gave as a float; an array of one number will do."""
    raw = as_array(value, name, finite=False) if isinstance(value, list | tuple) else np.asarray(value)
    if raw.size != 1 or raw.dtype.kind not in "fiub":
        raise TypeError(f"{name} returned {type(value).__name__} of shape {raw.shape}; it must return a number")
    return float(raw.reshape(()))


def _returned(value: Any, size: int, name: str) -> Array:
    """Return what an oracle gave as an array; its shape is checked where it is used."""
    if value is None:
        raise TypeError(f"{name} returned None; it must return an array of shape ({size},)")
    try:
        return as_array(value, name, finite=False)
    except ValueError:
        raise TypeError(f"{name} returned {shown(value)}; it must return an array of shape ({size},)") from None


def as_vector(a: Any, size: int, name: str) -> Array:
    """Return what an oracle gave as a float64 vector.

    Parameters
    ----------
    a : array_like
        What it returned.
    size : int
        Expected length.
    name : str
        Of the oracle, for the error.

    Returns
    -------
    ndarray of shape (size,)
        The vector.

    Raises
    ------
    ValueError
        If the shape does not fit or it is not real.
    """
    try:
        raw = np.asarray("" if np.ma.is_masked(a) else a)
    except ValueError:
        raise ValueError(f"{name}: it is ragged; it must be a real vector of shape ({size},)") from None
    if raw.shape != (size,) and raw.size != 1 or raw.size != size or raw.dtype.kind not in "fiub":
        raise ValueError(
            f"{name}: shape {raw.shape} and dtype {raw.dtype}; it must be a real vector of shape ({size},)"
        )
    return np.array(raw, dtype=float).reshape(size)


def as_start(theta: Any, low: Array, high: Array, name: str) -> Array:
    """Return theta as a vector inside its box.

    Parameters
    ----------
    theta : array_like of shape (d,) or float
        What the user gave; a number stands for a vector of it.
    low, high : ndarray of shape (d,)
        The box.
    name : str
        Of the argument, for the error.

    Returns
    -------
    ndarray of shape (d,)
        The vector.

    Raises
    ------
    ValueError
        If it is not finite, not of this shape or outside the box.
    """
    number = not isinstance(theta, list | tuple) and np.ndim(theta) == 0
    where = as_vector(np.full(low.size, theta) if number else theta, low.size, name)
    if not np.isfinite(where).all():
        raise ValueError(f"{name} contains NaN or infinity")
    outside = np.flatnonzero((where < low) | (where > high))
    if outside.size:
        j = int(outside[0])
        raise ValueError(
            f"{name}[{j}]={where[j]:g} is outside the box [{low[j]:g}, {high[j]:g}]; clip it or widen bounds"
        )
    return where


def value_and_gradient(out: Any, n: int, name: str) -> tuple[float, Array]:
    """Return a checked pair of value and gradient.

    Parameters
    ----------
    out : object
        What the oracle returned.
    n : int
        Length of the gradient.
    name : str
        Of the oracle, for the error.

    Returns
    -------
    value : float
        The value.
    gradient : ndarray of shape (n,)
        The gradient.
    """
    if not (isinstance(out, tuple | list) and len(out) >= 2 and np.size(out[0]) == 1):
        raise TypeError(f"{name} returned {type(out).__name__}; it must return (value, gradient)")
    return _number(out[0], name), as_vector(out[1], n, f"{name}: gradient in x")


def as_bounds(bounds: Any, d: int) -> tuple[Array, Array]:
    """Return lower and upper bounds of shape (d,).

    Parameters
    ----------
    bounds : None, pair of array_like, scipy.optimize.Bounds, or sequence of d pairs
        The box; None is none. For d = 2 a pair of pairs is read as (lower, upper).
    d : int
        Number of upper variables.

    Returns
    -------
    lower, upper : ndarray of shape (d,)
        The box.

    Raises
    ------
    ValueError
        If the shape does not fit or a lower bound is not below its upper bound.
    """
    if bounds is None:
        return np.full(d, -np.inf), np.full(d, np.inf)
    if hasattr(bounds, "lb"):
        bounds = (bounds.lb, bounds.ub)
    try:
        if len(bounds) == d and d != 2 and all(np.size(b) == 2 for b in bounds):
            bounds = tuple(
                [(missing if b[i] is None else b[i]) for b in bounds] for i, missing in ((0, -np.inf), (1, np.inf))
            )
        low, high = (np.array(np.broadcast_to(np.asarray(b, dtype=float), d)) for b in bounds)
    except (TypeError, ValueError):
        shape = f"a pair (lower, upper), each a number or of shape ({d},)"
        raise ValueError(f"bounds={shown(bounds)} must be {shape}") from None
    wrong = np.flatnonzero(~(low < high))  # NaN is neither
    if wrong.size:
        j = int(wrong[0])
        raise ValueError(f"bounds: [{low[j]:g}, {high[j]:g}] of theta[{j}] must be a lower bound below an upper one")
    return low, high
