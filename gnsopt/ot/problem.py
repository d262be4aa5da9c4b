r"""Entropic optimal transport: data, checks, and the reduced problem that solvers see.

    minimise  <C, P> + reg sum_ij P_ij log P_ij      over  P >= 0,  P 1 = a,  P'1 = b

Solvers get marginals of mass one without zeros, with the smaller side as columns. `Problem` maps their dimensionless
potentials (x, y) back:  ``phi = reg (x + log mass) + p`` and ``psi = reg y + q`` with the offsets p, q of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse
from scipy.special import xlogy

from gnsopt._typing import Array, ArrayLike, IntArray
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.ot.constrained import ConstrainedSemiDual, Constraint
from gnsopt.ot.dual import Dual
from gnsopt.ot.geometry import Geometry, as_geometry, as_numbers
from gnsopt.ot.semidual import SemiDual, column_logs
from gnsopt.ot.unbalanced import UnbalancedSemiDual

ROUNDING = 1e-12  # by which a bound may lie outside what plans attain, over the largest coefficient
LEAST, MOST = 1e-300, 1e300  # what is to be computed with
SAME_MASS = 1e-8  # relative difference of the sums that is taken for rounding; for short floats 16 times their own


class Infeasible(NamedTuple):
    """Certificate that the allowed pairs cannot carry the masses (Hall's condition).

    Parameters
    ----------
    columns : ndarray of int
        Targets ...
    rows : ndarray of int
        ... that can be reached from these sources only.
    excess : float
        ``sum(b[columns]) - sum(a[rows]) > 0``.
    """

    columns: IntArray
    rows: IntArray
    excess: float


class Problem:
    """An entropic transport problem.

    Parameters
    ----------
    a : array_like of shape (n,) or None
        Source masses, non-negative; None is uniform of mass one.
    b : array_like of shape (m,) or None
        Target masses, of the same sum.
    C : Geometry, array_like or sparse array of shape (n, m)
        Cost; +inf, and in a sparse array what is not stored, forbids a pair.
    reg : float, optional
        Regularisation in units of the cost, positive.
    reg_rel : float, optional
        The same as a fraction of the scale of the cost; give one of the two.
    scale : {"max", "std"}, default="max"
        What `reg_rel` refers to: the largest finite cost, or their standard deviation.
    normalize : bool, default=False
        Divide `a` and `b` by their sums. Without it sums that differ are refused.
    rho : float or tuple of float, optional
        Unbalanced transport: price of a marginal that is not met, ``rho KL(P 1 | a) + rho KL(P'1 | b)``, in units of
        the cost; a pair for the two sides, where inf means an exact marginal.
    constraints : sequence of Constraint, default=()
        Linear constraints on the plan.

    Attributes
    ----------
    a, b : ndarray of shape (n,), (m,)
        The masses.
    geometry : Geometry
        The cost.
    reg : float
        Regularisation in units of the cost.
    mass : float
        Sum of `a`, and of `b`; unbalanced: the geometric mean of both.
    rho : tuple of float or None
        Prices of the marginals, where transport is unbalanced.
    destroyed : float
        Price of the mass of places that have no allowed pair, where transport is unbalanced.

    Raises
    ------
    TypeError, ValueError
        For misuse, in one line.
    """

    def __init__(
        self,
        a: ArrayLike | None,
        b: ArrayLike | None,
        C: Geometry | ArrayLike | Any,
        reg: float | None = None,
        *,
        reg_rel: float | None = None,
        scale: str = "max",
        normalize: bool = False,
        rho: float | tuple[float, float] | None = None,
        constraints: Sequence[Constraint] = (),
    ) -> None:
        self.rho = _prices(rho)
        if isinstance(constraints, Constraint):
            raise TypeError("constraints is a single Constraint; pass a sequence, [constraint]")
        if not isinstance(constraints, tuple | list):
            raise TypeError(f"constraints={shown(constraints)} must be a sequence of Constraint")
        if not isinstance(normalize, bool | np.bool_):
            raise ValueError(f"normalize={shown(normalize)} must be True or False")
        self.constraints = tuple(constraints)
        self.geometry = as_geometry(C)
        n, m = self.geometry.shape
        self.a, self.b = _masses(a, n, "a", (n, m)), _masses(b, m, "b", (n, m))
        slack = max(SAME_MASS, *(16 * _eps(v) for v in (a, b)))
        self.mass = _match(self.a, self.b, normalize, slack if self.rho is None else np.inf)
        self.reg = _regularisation(self.geometry, reg, reg_rel, scale)
        self.destroyed = 0.0
        self._keep(np.flatnonzero(self.a > 0), np.flatnonzero(self.b > 0))
        self._leave_isolated()
        self._refuse_constraints()

    def _refuse_constraints(self) -> None:
        for constraint in self.constraints:
            if not isinstance(constraint, Constraint):
                raise TypeError(f"constraints: {type(constraint).__name__} is not a Constraint(D, bound, kind)")
            constraint.checked(self.geometry.shape)
        if not self.constraints:
            return
        if self.rho is not None:
            raise ValueError("constraints are for balanced transport; leave rho out")
        a, b = self.marginals
        forbidden = ~np.isfinite(self.reduced.dense())
        for constraint, D, size in zip(self.constraints, *self.coefficients, strict=True):
            high = _most(np.where(forbidden, -np.inf, D), a, b)
            low = -_most(np.where(forbidden, -np.inf, -D), a, b)
            if high < -ROUNDING or (constraint.kind == "==" and low > ROUNDING):
                low, high = (self.mass * size * v + constraint.bound for v in (low, high))
                raise ValueError(
                    f"constraints: bound={constraint.bound!r} is infeasible: <D, P> lies in [{low:.6g}, {high:.6g}]"
                )

    @cached_property
    def coefficients(self) -> tuple[Array, Array]:
        """Coefficients of the constraints on the reduced plan, with bound zero and largest entry one; their sizes."""
        parts, sizes = [], []
        for constraint in self.constraints:
            D = constraint.checked(self.geometry.shape)[np.ix_(self._rows, self._columns)]
            D = D - constraint.bound / self.mass
            sizes.append(float(np.abs(D).max()) or 1.0)
            parts.append((D.T if self._swapped else D) / sizes[-1])
        return np.array(parts).reshape(len(parts), *self.reduced.shape), np.array(sizes)

    @cached_property
    def reduced(self) -> Geometry:
        """The cost between places with mass, with the smaller side as columns."""
        part = self.geometry if self._whole else self.geometry.take(self._rows, self._columns)
        return part.transposed() if self._swapped else part

    @cached_property
    def marginals(self) -> tuple[Array, Array]:
        """Marginals of the reduced problem, over the mass."""
        a, b = self.a[self._rows] / self.mass, self.b[self._columns] / self.mass
        if self.rho is None:
            a, b = a / a.sum(), b / b.sum()
        return (b, a) if self._swapped else (a, b)

    @property
    def forbids(self) -> bool:
        """Whether a pair with mass on both sides is forbidden."""
        return self._forbids and self.rho is None

    def _keep(self, rows: IntArray, columns: IntArray) -> None:
        """Reduce the problem to these places."""
        self._rows, self._columns = rows, columns
        self._whole = (rows.size, columns.size) == self.geometry.shape
        self._swapped = columns.size > rows.size

    @property
    def places(self) -> tuple[IntArray, IntArray]:
        """Rows and columns of the reduced problem, in their own order."""
        return self._rows, self._columns

    def _leave_isolated(self) -> None:
        """Leave out places without an allowed pair: where that has a price their mass is destroyed, else refuse."""
        self._forbids = not self.reduced.finite
        if not self._forbids:
            return
        row_open, column_open = (np.zeros(size, dtype=bool) for size in self.reduced.shape)
        for rows, C in self.reduced.blocks():
            allowed = np.isfinite(C)
            row_open[rows] = allowed.any(axis=1)
            column_open |= allowed.any(axis=0)
        sources, targets = self.oriented(row_open, column_open)
        if sources.all() and targets.all():
            return
        sides = (("a", "row", self.a, sources, self._rows), ("b", "column", self.b, targets, self._columns))
        for (name, line, mass, free, index), price in zip(sides, self.rho or (np.inf, np.inf), strict=True):
            lost = index[~free]
            if lost.size and price == np.inf:
                raise ValueError(
                    f"{name}[{lost[0]}] > 0, but every cost in its {line} is +inf: its mass can go nowhere"
                )
            self.destroyed += price * float(mass[lost].sum()) if lost.size else 0.0
        if not sources.any():
            raise ValueError("every cost between places with mass is +inf: nothing can be transported")
        self._keep(self._rows[sources], self._columns[targets])
        del self.reduced

    def semidual(self, keep: bool = True) -> SemiDual:
        """Return the objective that solvers minimise.

        Parameters
        ----------
        keep : bool, default=True
            Keep a kernel for several points; False is the log domain.

        Returns
        -------
        SemiDual
            The objective.
        """
        if self.constraints:
            inequality = np.array([constraint.kind == ">=" for constraint in self.constraints])
            return ConstrainedSemiDual(self.reduced, *self.marginals, self.reg, self.coefficients[0], inequality)
        if self.rho is None:
            return SemiDual(self.reduced, *self.marginals, self.reg, keep=keep)
        rho = self.rho[::-1] if self._swapped else self.rho
        return UnbalancedSemiDual(self.reduced, *self.marginals, self.reg, rho, self.mass, keep=keep)

    def dual(self) -> Dual:
        """Return the dual in both potentials, which keeps the plan in memory.

        Returns
        -------
        Dual
            The objective.
        """
        if self.rho is not None or self.constraints:
            raise ValueError("rho, constraints: this method is for plain transport; use method='auto'")
        return Dual(self.reduced, *self.marginals, self.reg)

    def potentials(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return ``(phi, psi)`` in units of the cost from the reduced potentials.

        Places without mass get the potential ``-reg log sum exp((psi - C)/reg)`` that their row or column would have.
        The free constant of balanced transport is chosen so that ``<a, phi> = <b, psi>``.

        Parameters
        ----------
        x, y : ndarray
            Row and column potentials of the reduced problem, over reg.

        Returns
        -------
        phi : ndarray of shape (n,)
            Row potentials.
        psi : ndarray of shape (m,)
            Column potentials.
        """
        p, q = self.reduced.offsets
        one, other = self.reg * (x + np.log(self.mass)) + p, self.reg * y + q
        if self._swapped:
            one, other = other, one
        if self.rho is None:  # otherwise the constant is not free
            a, b = self.a[self._rows], self.b[self._columns]
            shift = 0.5 * (float(a @ one) - float(b @ other)) / self.mass
            one, other = one - shift, other + shift
        if self._whole:
            return one, other
        phi, psi = np.empty(self.a.size), np.empty(self.b.size)
        phi[self._rows], psi[self._columns] = one, other
        _fill(phi, self._rows, psi, self._columns, self.geometry, self.reg)
        _fill(psi, self._columns, phi, np.arange(phi.size), self.geometry.transposed(), self.reg)
        return phi, psi

    def expand(self, P: Any) -> Any:
        """Return the plan of the whole problem from that of the reduced one, dense or sparse.

        Parameters
        ----------
        P : ndarray or csr_array
            Plan between places with mass.

        Returns
        -------
        ndarray or csr_array of shape (n, m)
            With zero rows and columns where there is no mass.
        """
        P = P.T if self._swapped else P
        if issparse(P):
            S: Any = P.tocoo()  # type: ignore[attr-defined]
            places = self._rows[S.row], self._columns[S.col]
            return csr_array((S.data, places), shape=self.geometry.shape)
        if self._whole:
            return np.ascontiguousarray(P)
        out = np.zeros(self.geometry.shape)
        out[np.ix_(self._rows, self._columns)] = P
        return out

    def expand_places(self, r: Array, c: Array) -> tuple[Array, Array]:
        """Return what belongs to all places from what belongs to those of the reduced problem; zero for the others.

        Parameters
        ----------
        r, c : ndarray
            One row for each row, and for each column, of the reduced problem.

        Returns
        -------
        tuple of ndarray
            With n and m rows.
        """
        r, c = (c, r) if self._swapped else (r, c)
        rows, columns = np.zeros((self.a.size, *r.shape[1:])), np.zeros((self.b.size, *c.shape[1:]))
        rows[self._rows], columns[self._columns] = r, c
        return rows, columns

    def restrict(self, rows: Array, columns: Array) -> tuple[Array, Array]:
        """Return vectors on the places of the reduced problem from vectors on all places.

        Parameters
        ----------
        rows, columns : ndarray of shape (n,), (m,)
            One value for each source and each target.

        Returns
        -------
        tuple of ndarray
            Values of the rows and the columns of the reduced problem.
        """
        return self.oriented(rows[self._rows], columns[self._columns])

    def oriented(self, one: Any, other: Any) -> tuple[Any, Any]:
        """Return a pair (sources, targets) as (rows, columns) of the reduced problem, or the other way round.

        Parameters
        ----------
        one, other : object
            The pair.

        Returns
        -------
        tuple
            The pair, swapped where the reduced problem is transposed.
        """
        return (other, one) if self._swapped else (one, other)

    def expand_certificate(self, found: Infeasible | None) -> Infeasible | None:
        """Return a certificate of the reduced problem in indices and masses of the whole one.

        Parameters
        ----------
        found : Infeasible or None
            Columns of the reduced problem and the rows that reach them.

        Returns
        -------
        Infeasible or None
            Targets and sources.
        """
        if found is None:
            return None
        columns = found.columns
        if self._swapped:  # sources J reach targets N only: the other targets are reached by the other sources only
            columns = np.setdiff1d(np.arange(self._columns.size), found.rows)
        columns = self._columns[columns]
        reach = np.zeros(self.a.size, dtype=bool)
        for rows, C in self.geometry.blocks():
            reach[rows] = np.isfinite(C[:, columns]).any(axis=1)
        sources = np.flatnonzero(reach & (self.a > 0))
        return Infeasible(columns, sources, float(self.b[columns].sum() - self.a[sources].sum()))

    @property
    def kl_shift(self) -> float:
        """What turns the entropic value into that of ``reg KL(P | a b'/mass)``."""
        entropies = float(xlogy(self.a, self.a).sum() + xlogy(self.b, self.b).sum())
        return self.reg * (self.mass * np.log(self.mass) - entropies)

    def start(self, warm: Any) -> tuple[Array, Array]:
        """Return reduced potentials from potentials in units of the cost.

        Parameters
        ----------
        warm : tuple of ndarray
            ``(phi, psi)``.

        Returns
        -------
        x, y : ndarray
            Row and column potentials of the reduced problem, over reg.

        Raises
        ------
        ValueError
            If a potential has another shape or is not finite.
        """
        phi, psi = (as_array(v, "warm_start", finite=False) for v in warm)
        if phi.shape != self.a.shape or psi.shape != self.b.shape:
            raise ValueError(
                f"warm_start has potentials of shapes {phi.shape} and {psi.shape}; "
                f"they must be {self.a.shape} and {self.b.shape}"
            )
        x, y = phi[self._rows], psi[self._columns]
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("warm_start has potentials that are not finite")
        x, y = (y, x) if self._swapped else (x, y)
        p, q = self.reduced.offsets
        with np.errstate(over="ignore"):
            x, y = (x - p) / self.reg - np.log(self.mass), (y - q) / self.reg
        if not max(np.abs(x).max(), np.abs(y).max()) <= MOST:
            raise ValueError(f"warm_start has potentials above {MOST:g} reg; start without it")
        return x, y


def _fill(phi: Array, known: IntArray, psi: Array, others: IntArray, geometry: Geometry, reg: float) -> None:
    """Set what is not known of `phi` to ``-reg log sum_j exp((psi_j - C_ij)/reg)`` over the others."""
    rest = np.setdiff1d(np.arange(phi.size), known)
    if rest.size:
        part = geometry.take(rest, others).transposed()
        p, q = part.offsets
        logs = column_logs(part, reg, (psi[others] - p) / reg)
        phi[rest] = np.where(np.isfinite(logs), q - reg * logs, 0.0)


def _most(D: Array, a: Array, b: Array) -> float:
    """Return a bound of ``<D, P>`` from above: each row, and each column, sends its mass where D is largest."""
    return min(float(a @ D.max(axis=1)), float(b @ D.max(axis=0)))


def _masses(a: ArrayLike | None, n: int, name: str, shape: tuple[int, int]) -> Array:
    if a is None:
        return np.full(n, 1.0 / n)
    raw = as_numbers(a, name)
    if raw.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {raw.dtype}; it must hold numbers")
    mass = np.array(raw, dtype=float)
    if mass.ndim != 1 or mass.size != n:
        swapped = " (C transposed?)" if mass.ndim == 1 and mass.size == shape[0] + shape[1] - n else ""
        raise ValueError(f"{name} has shape {mass.shape}; C of shape {shape} needs ({n},){swapped}")
    if not np.isfinite(mass).all():
        raise ValueError(f"{name} is not finite at {int(np.flatnonzero(~np.isfinite(mass))[0])}")
    if mass.min() < 0:
        i = int(np.argmin(mass))
        raise ValueError(f"{name}[{i}] = {mass[i]:.6g} is negative; masses must be at least 0")
    if not mass.sum() > 0:
        raise ValueError(f"{name} has no mass: its sum is 0")
    return mass


def _eps(a: Any) -> float:
    dtype = getattr(a, "dtype", np.dtype(float))
    return float(np.finfo(dtype).eps) if np.issubdtype(dtype, np.floating) else 0.0


def _match(a: Array, b: Array, normalize: bool, slack: float) -> float:
    """Make the sums equal, in place, unless they may differ; return the mass."""
    if normalize:
        a /= a.sum()
        b /= b.sum()
    one, other = float(a.sum()), float(b.sum())
    if slack < np.inf and abs(one - other) > slack * max(one, other):
        raise ValueError(
            f"sum(a) = {one:.10g} and sum(b) = {other:.10g} differ; pass normalize=True, or rho= for unbalanced plans"
        )
    if slack < np.inf:
        b *= one / other
    return float(np.sqrt(one) * np.sqrt(other)) if slack == np.inf else one


def _prices(rho: Any) -> tuple[float, float] | None:
    if rho is None:
        return None
    pair = rho if isinstance(rho, tuple | list) else (rho, rho)
    real = len(pair) == 2 and all(isinstance(r, Real) for r in pair)
    if not (real and all(as_number(r, "rho") > 0 for r in pair)):
        raise ValueError(f"rho={shown(rho)} must be a positive number or a pair of them; None is balanced transport")
    one, other = (float(r) for r in pair)
    return None if one == other == np.inf else (one, other)


def _regularisation(geometry: Geometry, reg: float | None, reg_rel: float | None, scale: str) -> float:
    if (reg is None) == (reg_rel is None):
        raise ValueError("give reg (in units of the cost) or reg_rel (a fraction of its scale), one of the two")
    name, value = ("reg", reg) if reg is not None else ("reg_rel", reg_rel)
    number = np.nan if isinstance(value, bool) or not isinstance(value, Real) else as_number(value, name)
    if not 0 < number < np.inf:
        raise ValueError(f"{name}={shown(value)} must be a positive finite number")
    if not (isinstance(scale, str) and scale in ("max", "std")):
        raise ValueError(f"scale={shown(scale)} is unknown; choose 'max' or 'std'")
    if reg is not None:
        return in_range(number, f"reg={shown(value)}")
    size = geometry.limits[1] if scale == "max" else geometry.deviation
    if size < 0:
        raise ValueError(f"reg_rel: the largest cost is {size:.6g}; give reg, or scale='std'")
    found = number * (size or 1.0)  # a zero cost: any reg has the same plan
    return in_range(found, f"reg_rel={value!r} times {size:.6g}")


def in_range(reg: float, name: str) -> float:
    """Return a weight, or raise ValueError where it is too small or too large to be computed with.

    Parameters
    ----------
    reg : float
        The weight.
    name : str
        What the user gave, for the message.

    Returns
    -------
    float
        The weight.

    Raises
    ------
    ValueError
        If it lies outside ``[1e-300, 1e300]``.
    """
    if not LEAST <= reg <= MOST:
        raise ValueError(f"{name} lies outside [{LEAST:g}, {MOST:g}]; give the cost in another unit")
    return reg
