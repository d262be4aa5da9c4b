r"""AdaSketch-Newton: Newton's method for equality constraints with an exact penalty and inexact, randomised solves.

Two modes of one method. ``accuracy="paper"`` is the published algorithm, see `gnsopt.constrained.paper`;
``accuracy="forcing"`` (the default) keeps its merit function and its descent test and replaces what measurements speak
against: the accuracy rule, the Frobenius shift, the end at dependent constraints, and trust in the merit alone, see
`gnsopt.constrained.forcing`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import OptimizeResult, OptimizeWarning

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import shown
from gnsopt.constrained import kkt, paper
from gnsopt.constrained.boundary import from_scipy
from gnsopt.constrained.forcing import Forcing
from gnsopt.constrained.merit import AugmentedLagrangian, Fletcher
from gnsopt.constrained.point import KKTPoint, Primal, Work
from gnsopt.constrained.problem import ConstrainedProblem, vector
from gnsopt.constrained.rows import RowSpace
from gnsopt.constrained.run import NORMS, drive
from gnsopt.objective import Callables, Objective
from gnsopt.solver import Solver, check_x0, stop_rule, suggest

RUN_OPTIONS = ("y0", "gtol", "norm", "maxiter", "maxtime", "keep_x", "disp")
ACCURACIES = ("forcing", "paper")
SKETCHES = ("exact", "gaussian", "kaczmarz", "rows", "countsketch")


@dataclass(frozen=True)
class AdaSketchNewton(Solver):
    r"""Newton's method for ``min f(x)`` subject to ``c(x) = 0`` (method ``"adasketch-newton"``).

    Parameters
    ----------
    accuracy : {"forcing", "paper"}, default="forcing"
        How accurate a step must be, and all that goes with it.
    kkt : {"auto", "dense", "lu", "qdldl", "cg", "minres", "sketch"}, default="auto"
        How forcing mode solves Newton's system, see `gnsopt.constrained.kkt`.
    merit : {"augmented-lagrangian", "fletcher"}, default="augmented-lagrangian"
        The exact penalty; Fletcher's is for forcing mode only.
    sketch : {"exact", "gaussian", "kaczmarz", "rows", "countsketch"}, default="kaczmarz"
        The inner solver of paper mode; ``"exact"`` is a direct solve.
    block : int, default=0
        Rows of a sketch; 0 is one for Gaussian and Kaczmarz, half the order of the system for the others.
    theta : {"const", "superlinear"}, default="const"
        Linear or superlinear accuracy schedule: ``theta_k = 1`` or ``1/(k+1)`` in paper mode, a forcing term constant
        or with ``|F|^{1/2}`` in forcing mode, whose default is the latter.
    eta1, eta2 : float, default=1.0, 0.1
        First penalties.
    delta : float, default=0.1
        First accuracy of paper mode.
    kappa : float, default=0.1
        First factor of the forcing term.
    xi_B : float, default=0.1
        Curvature that is left after paper mode's shift.
    beta : float, optional
        Armijo's constant, in (0, 1/2): 0.1 in paper mode, 1e-4 in forcing mode.
    nu : float, default=1.5
        Update factor of the penalties.
    definite : float, default=1e-6
        Least eigenvalue of the reduced Hessian that needs no shift (paper mode).
    licq : float, default=1e-2
        Least eigenvalue of GG' below which paper mode ends as "singular".
    inner_cap : int, default=100000
        Inner steps per outer step at the most (paper mode).
    seed : int, default=0
        Key of all sketches, together with the number of the step.
    """

    supports_constraints: ClassVar[bool] = True
    monotone: ClassVar[bool] = False

    accuracy: str = "forcing"
    kkt: str = "auto"
    merit: str = "augmented-lagrangian"
    sketch: str = "kaczmarz"
    block: int = 0
    theta: str | None = None
    eta1: float = 1.0
    eta2: float = 0.1
    delta: float = 0.1
    kappa: float = 0.1
    xi_B: float = 0.1
    beta: float | None = None
    nu: float = 1.5
    definite: float = 1e-6
    licq: float = 1e-2
    inner_cap: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        for name, choices in (
            ("accuracy", ACCURACIES),
            ("kkt", ("auto", *kkt.SOLVERS)),
            ("merit", ("augmented-lagrangian", "fletcher")),
            ("sketch", SKETCHES),
            ("theta", (None, "const", "superlinear")),
        ):
            value = getattr(self, name)
            if not (value is None or isinstance(value, str)) or value not in choices:
                raise ValueError(f"{name}={shown(value)} is unknown; choose one of {choices}")
        paper_mode = self.accuracy == "paper"
        if paper_mode and self.merit == "fletcher":
            raise ValueError("merit='fletcher' goes with accuracy='forcing'; the paper's is the augmented Lagrangian")
        object.__setattr__(self, "beta", (0.1 if paper_mode else 1e-4) if self.beta is None else self.beta)
        object.__setattr__(self, "theta", self.theta or ("const" if paper_mode else "superlinear"))
        for name in ("eta1", "eta2", "delta", "kappa", "xi_B", "definite"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name}={getattr(self, name)!r} must be positive and finite")
        if not (0 < self.armijo < 0.5 and 1 < self.nu < np.inf and self.licq >= 0):
            raise ValueError(
                f"beta={self.beta} must lie in (0, 1/2), nu={self.nu} above 1, licq={self.licq} at least 0"
            )
        for name, least in (("block", 0), ("inner_cap", 1), ("seed", 0)):
            if not (isinstance(getattr(self, name), int | np.integer) and getattr(self, name) >= least):
                raise ValueError(f"{name}={getattr(self, name)!r} must be an integer of at least {least}")

    @property
    def armijo(self) -> float:
        """Armijo's constant."""
        return 0.0 if self.beta is None else float(self.beta)

    def steps(self, p: KKTPoint, enough: float) -> Iterator[tuple[KKTPoint, dict[str, float]]]:
        """Yield ``(point, scalars)`` after each accepted step from `p`; `enough` is the residual to stop at."""
        if self.accuracy == "paper":
            return paper.iterates(self, p)
        merit = Fletcher() if self.merit == "fletcher" else AugmentedLagrangian(self.eta1, self.eta2, self.nu)
        solver = kkt.choose(p) if self.kkt == "auto" else self.kkt
        superlinear = self.theta == "superlinear"
        return Forcing(merit, solver, self.armijo, self.kappa, superlinear, enough, self.seed).iterates(p)

    def minimize(  # type: ignore[override]
        self,
        problem: ConstrainedProblem | Objective,
        x0: ArrayLike | None = None,
        *,
        y0: ArrayLike | None = None,
        gtol: float | None = None,
        norm: str | None = None,
        maxiter: int | None = None,
        maxtime: float | None = None,
        callback: Callable[..., Any] | None = None,
        keep_x: bool = False,
        disp: bool = False,
        bounds: Any = None,
        constraints: Any = (),
    ) -> OptimizeResult:
        """Minimise `problem` from `x0`.

        Parameters
        ----------
        problem : ConstrainedProblem or Objective
            What to minimise; an objective comes with `constraints`.
        x0 : array_like of shape (n,), optional
            Start; the problem's own by default. Never written.
        y0 : array_like of shape (m,), optional
            First multipliers; by default those of the problem, else the least-squares ones (paper mode: zero).
        gtol : float, optional
            Tolerance of the KKT residual, 1e-8 by default, 1e-4 in paper mode.
        norm : {"scaled", "inf", "2"}, optional
            ``"scaled"``, the default: ``max(|g_L|_inf / max(1, |g|_inf, |y|_inf), |c|_inf)``; ``"inf"`` without the
            scaling; ``"2"``, the default of paper mode: ``|(g_L, c)|_2``.
        maxiter : int, optional
            Iterations at the most, 1000 by default, 10000 in paper mode.
        maxtime : float, optional
            Seconds at the most; no limit by default.
        callback : callable, optional
            ``callback(xk)`` or ``callback(intermediate_result=res)``; raising StopIteration stops with status 99.
        keep_x : bool, default=False
            Keep all iterates in ``result.trace.x``.
        disp : bool, default=False
            Print a line for each iteration.
        bounds, constraints : object
            As SciPy knows them, with an objective; see `gnsopt.constrained.boundary` for what is refused.

        Returns
        -------
        OptimizeResult
            ``x fun jac nit status success message trace``, the counts ``nfev njev nhev nhessp nsolve`` of the objective
            and ``ncev ncjev nchev`` of the constraints, ``nmatvec`` of iterative KKT solvers; ``multipliers`` y with
            ``L = f + y'c`` and ``multipliers_ls``, ``constr`` c, ``constr_violation``, ``optimality`` (scaled),
            ``lagrangian_grad``, ``kkt`` (the residual in all three norms) and ``reason``, the status in a word:
            ``"converged"``, ``"infeasible-stationary"``, ``"singular"``, ``"line-search"``, ``"precision-limit"``,
            ``"maxiter"``, ``"maxtime"``, ``"not-finite"``, ``"unbounded"``, ``"callback"``.

        Raises
        ------
        TypeError, ValueError
            For misuse, before any work.
        """
        in_paper = self.accuracy == "paper"
        gtol = (1e-4 if in_paper else 1e-8) if gtol is None else gtol
        norm = ("2" if in_paper else "scaled") if norm is None else norm
        maxiter = (10_000 if in_paper else 1000) if maxiter is None else maxiter
        if not isinstance(norm, str) or norm not in NORMS:
            raise ValueError(f"norm={shown(norm)} is unknown; choose one of {NORMS}")
        stop_rule(gtol, "inf", None, maxiter, maxtime)  # checks the ranges
        if isinstance(problem, Objective):
            start = problem.start() if x0 is None else check_x0(x0, problem.n)
            problem = from_scipy(problem.fresh(), start, constraints, bounds)
        elif not isinstance(problem, ConstrainedProblem):
            raise TypeError(f"problem={type(problem).__name__} is neither a ConstrainedProblem nor an Objective")
        elif bounds is not None or not _empty(constraints):
            raise ValueError("constraints: a ConstrainedProblem brings its own; leave bounds and constraints out")
        x = problem.x0.copy() if x0 is None else check_x0(x0, problem.n)
        given = problem.y0 if y0 is None else vector(y0, problem.m, "y0")
        p = KKTPoint(Primal(problem, x, Work()), np.zeros(problem.m) if given is None else given)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as in the run: what is not finite is told
            if given is None and not in_paper and p.finite:
                p = RowSpace.of(p).least_squares_point(p)

        return drive(
            lambda start: self.steps(start, gtol),
            p,
            gtol=gtol,
            norm=norm,
            maxiter=maxiter,
            maxtime=maxtime,
            callback=callback,
            keep_x=keep_x,
            disp=disp,
        )

    def __call__(
        self,
        fun: Callable[..., Any],
        x0: Array,
        args: tuple[Any, ...] = (),
        jac: Any = None,
        hess: Any = None,
        hessp: Any = None,
        bounds: Any = None,
        constraints: Any = (),
        callback: Any = None,
        tol: float | None = None,
        **options: Any,
    ) -> OptimizeResult:
        """Answer ``scipy.optimize.minimize(..., constraints=..., method=self)``.

        Parameters
        ----------
        fun, x0, args, jac, hess, hessp, bounds, constraints, callback
            As in SciPy; what is missing of the derivatives is taken by differences.
        tol : float, optional
            Sets `gtol`.
        **options : dict
            Run options of `minimize` and fields of the solver; an unknown one warns `OptimizeWarning`.

        Returns
        -------
        OptimizeResult
            As `minimize`.
        """
        known = {name for name in options if name in RUN_OPTIONS or name in self.settings()}
        unknown = sorted(set(options) - known)
        if unknown:
            warnings.warn(f"Unknown solver options: {', '.join(unknown)}", OptimizeWarning, stacklevel=3)
        x = check_x0(x0, None)
        problem = Callables(fun, x.size, args, jac, hess, hessp)
        return self.run_constrained(
            problem, x, constraints, bounds, callback, tol, {name: options[name] for name in known}
        )

    def run_constrained(
        self,
        problem: ConstrainedProblem | Objective,
        x0: Any,
        constraints: Any,
        bounds: Any,
        callback: Any,
        tol: float | None,
        options: dict[str, Any],
    ) -> OptimizeResult:
        """Split `options` into fields of the solver and run options, and minimise.

        Parameters
        ----------
        problem : ConstrainedProblem or Objective
            As in `minimize`.
        x0 : array_like or None
            Start.
        constraints, bounds : object
            As SciPy knows them.
        callback : callable or None
            As in `minimize`.
        tol : float or None
            Sets ``gtol`` unless the options do.
        options : dict
            Known names only.

        Returns
        -------
        OptimizeResult
            The result.

        Raises
        ------
        ValueError
            For an unknown option.
        """
        known = (*RUN_OPTIONS, *self.settings())
        for name in options:
            if name not in known:
                raise ValueError(f"options: {name!r} is unknown to AdaSketchNewton; {suggest(name, known)}")
        own = {name: value for name, value in options.items() if name in self.settings()}
        rest = {name: value for name, value in options.items() if name not in own}
        if tol is not None:
            rest.setdefault("gtol", tol)
        solver = replace(self, **own) if own else self
        return solver.minimize(problem, x0, callback=callback, constraints=constraints, bounds=bounds, **rest)


def _empty(constraints: Any) -> bool:
    return constraints is None or (isinstance(constraints, list | tuple) and len(constraints) == 0)
