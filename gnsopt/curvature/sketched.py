r"""Newton sketch for linear models, and curvature in a random subspace.

With a root of the Hessian, ``hess f = X'X + ridge`` (for losses of one output ``X = diag(sqrt(l_i'')) A``), the sketch
replaces the sum over rows alone:

    H_S = X' S'S X + ridge,        S of shape (m, number of rows), E[S'S] = I, drawn anew at each point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, svdvals

from gnsopt._typing import Array
from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import MEMORY, METHODS, Engine
from gnsopt.curvature.spectral import Spectral, attached
from gnsopt.exceptions import MissingRequirement, StepFailure
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import EPS, Form, Gram
from gnsopt.linalg.mfac import RankOneForm
from gnsopt.linalg.sketches import KINDS, draw, keyed
from gnsopt.point import Point

MATRICES = ("hess", "gauss_newton", "fisher")
INDEPENDENT = ("gaussian", "countsketch", "sparse-sign")  # sketches of independent columns: what debiasing is for
LARGEST = 8  # rows of an adaptive sketch at the most, per variable
JUMP = 32.0  # factor by which it grows at the most (chosen, with `slow`, on the logistic regressions of the figures)
LEAST = 0.05  # share of the plain step that a debiased one keeps at the least


@dataclass(frozen=True)
class Sketched:
    r"""Newton sketch: ``X'S'SX + ridge``, with a sketch size that grows where the gradient does not fall.

    Parameters
    ----------
    m : int, default=25
        Rows of the sketch, at least 1; of the first one where it is adaptive.
    adaptive : bool, default=True
        After a step with ``q = |g_+|_* / |g|_* > slow`` the size becomes ``(q/slow)^2 m``, at least 2 m, at most 32 m,
        and no more than 8 n, n the number of variables. With as many rows as the data have, the matrix is the exact
        one.
    sketch : str, default="sparse-sign"
        One of `gnsopt.linalg.sketches.KINDS`.
    kind : {"hess", "gauss_newton", "fisher"}, default="hess"
        Which matrix.
    debias : bool, default=False
        Multiply ``X'S'SX`` by ``1/t``, ``t = 1 - d(t)/m`` with ``d(t) = tr X'S'SX (X'S'SX + t ridge)^{-1}``, so that
        the mean of the inverse is that of the Hessian (see Notes); for sketches of independent columns.
    slow : float, default=0.15
        In (0, 1]: the ratio of gradients above which the size grows.
    seed : int, default=0
        Seed of the sketches; step k draws from a generator of its own.
    solver : {"auto", "cholesky", "tridiagonal", "spectral", "row-space", "cg"}, default="auto"
        How shifted systems are solved; by default in the space of the sketched rows (Woodbury) where they are fewer
        than the variables and the metric is diagonal, else by Cholesky.

    Notes
    -----
    The classical size is 4 n [1]; the one that is needed follows the effective dimension ``tr H (H + ridge)^{-1}``,
    which the growth rule finds without knowing it. The thresholds of the theory of adaptive sketches [2] are too
    small to be of use. The rule above takes the linear rate for ``sqrt(d_e/m)``, so that the size it asks for would
    have given the rate `slow`; begun with 25 rows the default sketch came within two steps of the best fixed size on
    all logistic regressions that were tried, where doubling takes up to four. A rule that waits for unit steps would
    never grow: with too small a sketch steps are too long, and are cut.

    ``E[(X'S'SX)^{-1}]`` exceeds ``(X'X)^{-1}`` by a factor of about ``1 / (1 - n/m)``; with a ridge the equivalent is
    ``E[(X'S'SX / t + ridge)^{-1}] ~ (X'X + ridge)^{-1}`` [3]. A step with the Hessian's ridge, shortened by t (as in
    public codes), is not unbiased but has the same length where the sketch dominates.

    With many outputs the rows of one sample are sketched by as many independent sketches.

    References
    ----------
    [1] Pilanci, Wainwright, "Newton sketch", SIAM J. Optim. 27 (2017), 1505.02250.
    [2] Lacotte, Wang, Pilanci, "Adaptive Newton sketch", ICML 2021, 2105.07291.
    [3] Derezinski, Bartan, Pilanci, Mahoney, "Debiasing distributed second order optimization with surrogate
       sketching and scaled regularization", NeurIPS 2020, 2007.01327.
    """

    m: int = 25
    adaptive: bool = True
    sketch: str = "sparse-sign"
    kind: str = "hess"
    debias: bool = False
    slow: float = 0.15
    seed: int = 0
    solver: str = "auto"

    def __post_init__(self) -> None:
        """Refuse sizes, kinds and solvers that make no sense."""
        settle(self)
        if not (isinstance(self.m, int | np.integer) and self.m >= 1):
            raise ValueError(f"m={self.m!r} must be an integer of at least 1")
        if self.sketch not in KINDS:
            raise ValueError(f"sketch={self.sketch!r} is unknown; choose one of {KINDS}")
        if self.kind not in MATRICES:
            raise ValueError(f"kind={self.kind!r} is unknown; choose one of {MATRICES}")
        if self.solver not in METHODS:
            raise ValueError(f"solver={self.solver!r} is unknown; choose one of {METHODS}")
        if not 0 < self.slow <= 1:
            raise ValueError(f"slow={self.slow} must lie in (0, 1]")
        if self.debias and self.sketch not in INDEPENDENT:
            raise ValueError(f"debias=True is for sketches of independent columns, {INDEPENDENT}, not {self.sketch!r}")

    def start(self, x: Point) -> Build:
        """Begin a run; refuse problems that are not linear models."""
        objective = x.objective
        if not isinstance(getattr(objective, "design", None), Design):
            raise MissingRequirement(
                f"{type(objective).__name__} has no rows to sketch: curvature 'sketch' needs a linear model "
                "(Logistic, Softmax, ...); use curvature='lazy:5' or 'topk:20'"
            )
        objective.require(self.kind, "curvature 'sketch'")
        m, step, last = int(self.m), 0, np.inf

        def build(x: Point) -> Curvature:
            nonlocal m, step, last
            form = x.hess(self.kind)
            if not isinstance(form, Gram):
                raise MissingRequirement(
                    f"curvature 'sketch' needs a matrix that is a sum over rows; the {self.kind} of "
                    f"{type(objective).__name__} is a {type(form).__name__}: use kind='gauss_newton' or 'topk:20'"
                )
            if self.adaptive and last > 0:
                m = max(m, min(self._grown(m, x.dual_norm / last), LARGEST * form.n))
            last = x.dual_norm
            sketched = self._sketched(form, m, step)
            step += 1
            whole = sketched is form
            label = f"{self.kind} of {form.design.n_samples} rows" + ("" if whole else f" sketched to {m}")
            engine = Engine(self._method(sketched, x), 0.25, 1e-3, 20_000)
            x.counts.nhev += not whole  # what a structured solve does not count
            return Curvature(sketched, engine.attach(sketched, x, label), x.counts)

        return build

    def _grown(self, m: int, ratio: float) -> int:
        """The size after a step that multiplied the gradient by `ratio`."""
        if not ratio > self.slow:
            return m
        return math.ceil(m * min(max(min(ratio / self.slow, JUMP) ** 2, 2.0), JUMP))

    def _sketched(self, form: Gram, m: int, step: int) -> Form:
        """The sketched matrix; the matrix itself where the sketch would not be smaller."""
        if m >= form.design.n_samples * form.k:
            return form
        Y = sketched_root(form, self.sketch, m, keyed(self.seed, "newton sketch", step))
        if not np.isfinite(Y).all():
            raise StepFailure("the curvature is not finite")
        if self.debias:
            Y /= np.sqrt(unbiased_share(Y, form.ridge))
        return RankOneForm(Y, form.ridge if form.ridge.any() else None)

    def _method(self, form: Form, x: Point) -> str:
        """How to solve: directly wherever memory allows."""
        if self.solver != "auto" or form.structured(x.metric) is not None:
            return self.solver
        return "cholesky" if 16.0 * form.n**2 <= MEMORY else "auto"


def sketched_root(form: Gram, kind: str, m: int, rng: np.random.Generator) -> Array:
    """Sketch a root of a linear model's Hessian: ``S X`` with ``X'X + ridge`` the matrix.

    Parameters
    ----------
    form : Gram
        The matrix, of k outputs.
    kind : str
        Kind of the sketch.
    m : int
        Its rows.
    rng : numpy.random.Generator
        What draws it.

    Returns
    -------
    ndarray of shape (m, n)
        ``S X``.

    Notes
    -----
    ``D_i = L_i L_i'`` gives the rows ``L_i' (a_i' (x) I)`` of X. Its a-th rows of all samples are sketched by one of k
    sketches with signs of their own, so that ``E[S'S] = I`` for the whole of them, whatever the kind.
    """
    design, k = form.design, form.k
    n = design.n_samples
    columns = np.empty((k, n, k))  # columns[c, i] = L_i' e_c
    for c in range(k):
        unit = np.zeros((n, k))
        unit[:, c] = 1.0
        columns[c] = form.rows.half_t(unit[:, 0] if k == 1 else unit).reshape(n, k)
    Y = np.zeros((m, design.n_columns, k))
    for a in range(k):
        signs = 2.0 * rng.integers(0, 2, n) - 1.0 if k > 1 else 1.0
        size = np.sqrt((columns[:, :, a] ** 2).sum(axis=0))
        S = draw(kind, m, n, rng, design.X, size)
        for c in range(k):
            scale = signs * columns[c, :, a]
            if np.any(scale):
                Y[:, : design.n_features, c] += S.apply(design.X, scale)
                if design.intercept:
                    Y[:, -1, c] += S.apply(scale)
    return Y.reshape(m, -1)


def unbiased_share(Y: Array, ridge: Array) -> float:
    """Solve ``t = 1 - d(t)/m``, ``d(t) = tr Y'Y (Y'Y + t ridge)^{-1}``: then ``(Y'Y / t + ridge)^{-1}`` is unbiased.

    Parameters
    ----------
    Y : ndarray of shape (m, n)
        Sketched rows.
    ridge : ndarray of shape (n,)
        Diagonal term; what is zero counts as a tiny one.

    Returns
    -------
    float
        The share, in [0.05, 1].
    """
    m = Y.shape[0]
    tiny = EPS * float(np.mean(Y * Y)) * m
    squares = svdvals(Y / np.sqrt(np.maximum(ridge, tiny) if tiny > 0 else 1.0)) ** 2

    def excess(t: float) -> float:
        return t - 1.0 + float((squares / (squares + t)).sum()) / m

    lo, hi = LEAST, 1.0  # the excess is convex, not positive at 0 and not negative at 1
    if excess(lo) >= 0:
        return lo
    while hi - lo > 1e-6 * hi:
        t = 0.5 * (lo + hi)
        lo, hi = (t, hi) if excess(t) < 0 else (lo, t)
    return hi


@dataclass(frozen=True)
class RandomSubspace:
    r"""The Hessian in a random subspace, and one eigenvalue for the rest of the space.

    With an orthonormal basis Q of k random directions (in the metric) it is ``Q (Q'HQ)_+ Q' + rest (I - QQ')``: a
    Newton step in the subspace, and a gradient step in its complement. As `rest` grows this becomes randomised subspace
    Newton [1], whose steps ``Q (Q'HQ + lam)^{-1} Q'g`` stay in the subspace.

    Parameters
    ----------
    k : int
        Dimension of the subspace, at least 1; n products at the most are made.
    rest : float, optional
        Eigenvalue of the complement; by default the largest one of the subspace.
    kind : str, default="hess"
        ``"hess"``, ``"gauss_newton"`` or ``"fisher"``.
    seed : int, default=0
        Seed of the subspaces; step j draws from a generator of its own.

    References
    ----------
    [1] Gower, Kovalev, Lieder, Richtarik, "RSN: randomized subspace Newton", NeurIPS 2019, 1905.10874.
    """

    k: int
    rest: float | None = None
    kind: str = "hess"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse k < 1 and a rest that is no positive number."""
        settle(self)
        if not (isinstance(self.k, int | np.integer) and self.k >= 1):
            raise ValueError(f"k={self.k!r} must be an integer of at least 1")
        if self.rest is not None and not 0 < self.rest < np.inf:
            raise ValueError(f"rest={self.rest} must be positive and finite")

    def start(self, x: Point) -> Build:
        """Check that the problem offers the matrix and begin a run."""
        if not (self.kind == "hess" and x.objective.offers("hessp")):
            x.objective.require(self.kind, f"curvature 'subspace:{self.k}'")
        step = 0

        def build(x: Point) -> Curvature:
            nonlocal step
            rng = keyed(self.seed, "random subspace", step)
            step += 1
            n, form, metric = x.x.size, x.hess(self.kind), x.metric
            k = min(self.k, n)
            Q = np.linalg.qr(rng.standard_normal((n, k)))[0]
            HQ = np.stack([metric.to_white(form.matvec(metric.from_white(q))) for q in Q.T], axis=1)
            x.counts.nhessp += k
            if not np.isfinite(HQ).all():
                raise StepFailure("the Hessian is not finite")
            s, U = eigh((M := Q.T @ HQ) + M.T, check_finite=False)
            s = np.maximum(s / 2, 0.0)
            rest = float(s[-1]) if self.rest is None else self.rest
            noise = 10 * EPS * float(s.sum() + (0.0 if self.rest else rest) * (n - k)) / n
            return attached(Spectral(Q @ U, s, metric, rest, noise), x, f"random subspace of dimension {k}")

        return build
