"""Curvature models that take an approximation from the problem (exact, ..., zero; lazy), and the table of all names."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import BFGS, SR1

from gnsopt import plugins
from gnsopt.arguments import settle, shown
from gnsopt.curvature.base import Build, Curvature, start
from gnsopt.curvature.diagonals import AdaHessian, Hutchinson, RowNorm, Sophia
from gnsopt.curvature.kronecker import MKOR, Kronecker
from gnsopt.curvature.majorizer import Majorizer
from gnsopt.curvature.rank_one_sum import RankOneSum
from gnsopt.curvature.secant import STRATEGY, Secant
from gnsopt.curvature.selection import AUTO, DIRECT, METHODS, Engine
from gnsopt.curvature.sketched import RandomSubspace, Sketched
from gnsopt.curvature.spectral import Projected, TopK
from gnsopt.curvature.subsampled import Subsampled
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.forms import Form
from gnsopt.linalg.structured import Diagonal, Zero
from gnsopt.point import Point


@dataclass(frozen=True)
class FromProblem:
    r"""The approximation that the problem calls `kind`.

    Parameters
    ----------
    kind : str
        ``"hess"``, ``"gauss_newton"``, ``"fisher"``, ``"diagonal"`` (that of the Hessian, or else of the Gauss-Newton
        matrix, clipped at zero), ``"zero"`` or ``"auto"``: `Secant` where SciPy's strategy was given as ``hess``, else
        the Hessian of a convex problem, else the Gauss-Newton matrix where there is one, else the Hessian.
    solver : {"auto", "cholesky", "tridiagonal", "spectral", "row-space", "cg", "nystrom"}, default="auto"
        How shifted systems are solved.
    theta : float, default=0.5
        Inexact solves stop at ``|r|_* <= theta lam |h|``; 0.1 to 0.5 give the same number of outer steps, and 0.5 takes
        the fewest products.
    floor : float, default=1e-8
        Or at ``|r|_* <= floor |g|_*``: a step that gains eight digits needs no better one (chosen). In a run that stops
        on the largest entry of the gradient, also where no entry of r exceeds a quarter of `gtol`.
    max_products : int, default=20000
        Products per solve at the most.
    preconditioner : optional
        A model of preconditioners for conjugate gradients, which are then taken: `NystromPreconditioner` and the others
        of `gnsopt.linalg`.
    """

    kind: str
    solver: str = "auto"
    theta: float = 0.5
    floor: float = 1e-8
    max_products: int = 20_000
    preconditioner: Any = None
    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse unknown solvers and accuracies outside (0, 1)."""
        settle(self)
        if self.solver not in METHODS:
            raise ValueError(f"solver={self.solver!r} is unknown; choose one of {METHODS}")
        if not (0 < self.theta < 1 and 0 <= self.floor < 1):
            raise ValueError(f"theta={self.theta} and floor={self.floor} must lie in (0, 1) and [0, 1)")
        if self.preconditioner is not None and not hasattr(self.preconditioner, "start"):
            raise TypeError(
                f"preconditioner={self.preconditioner!r} has no start(); pass NystromPreconditioner() or the like"
            )
        if self.preconditioner is not None and self.solver not in ("auto", "cg"):
            raise ValueError(
                f"preconditioner= is for conjugate gradients, not for solver={self.solver!r}; leave one out"
            )

    def using(self, solver: str, **settings: Any) -> FromProblem:
        """Return the same model with another linear solver: ``exact.using("cg", theta=0.1)``."""
        return replace(self, solver=solver, **settings)

    def start(self, x: Point) -> Build:
        """Resolve ``"auto"``, check that the problem offers the approximation, and begin a run."""
        objective, kind = x.objective, self.kind
        if kind == "auto" and objective.strategy is not None:
            return start(Secant(objective.strategy), x)
        if kind == "auto":
            kind = "gauss_newton" if not objective.convex and objective.offers("gauss_newton") else "hess"
        if kind == "diagonal" and not any(objective.offers(k) for k in ("hess", "hessp", "gauss_newton")):
            objective.require("hess", "its diagonal")
        if kind not in ("zero", "diagonal") and not (kind == "hess" and objective.offers("hessp")):
            objective.require(kind, f"curvature {kind!r}")
        direct = AUTO if self.kind == "auto" else DIRECT
        engine = Engine(self.solver, self.theta, self.floor, self.max_products, direct, self.preconditioner)

        def build(x: Point) -> Curvature:
            form = _form(x, kind)
            return Curvature(form, engine.attach(form, x, LABELS.get(kind, kind)), x.counts)

        return build


LABELS = {"hess": "exact Hessian", "gauss_newton": "Gauss-Newton", "fisher": "Fisher", "zero": "zero matrix"}


def _form(x: Point, kind: str) -> Form:
    if kind == "zero":
        return Zero(x.x.size)
    if kind != "diagonal":
        return x.hess(kind)
    objective = x.objective
    exact_known = objective.offers("hess") or objective.offers("hessp")
    d = x.hess("hess" if exact_known else "gauss_newton").diagonal()
    x.counts.nhessp += 1  # a pass over the data
    if d is None:
        raise MissingRequirement(
            f"{type(x.objective).__name__}: its Hessian has no diagonal; return an array from hess"
        )
    return Diagonal(np.maximum(d, 0.0))


@dataclass(frozen=True)
class Lazy:
    """Keep a curvature for `m` uses: ``H(x_{last refresh})``, factorised once for all of them.

    A use is an accepted step in every solver but `AcceleratedNewton`, which asks anew at each trial.

    Parameters
    ----------
    m : int
        Uses between refreshes, at least 1 (Doikov, Chayti and Jaggi, 2212.00781; 3 to 10 in practice).
    model : str or CurvatureModel, default="auto"
        What is kept; the shifted solves of a dense one cost O(n^2) each from the fourth one on.
    """

    m: int
    model: Any = "auto"

    def __post_init__(self) -> None:
        """Refuse m < 1."""
        if not (isinstance(self.m, int | np.integer) and self.m >= 1):
            raise ValueError(f"lazy(m={self.m!r}): m must be an integer of at least 1")

    def start(self, x: Point) -> Build:
        """Begin a run: a new curvature at every m-th call."""
        model = start(resolve(self.model), x)
        calls, kept = 0, None

        def build(x: Point) -> Curvature:
            nonlocal calls, kept
            if kept is None or calls % self.m == 0:
                kept = model(x)
                x.counts.choices["curvature"] = (
                    f"{x.counts.choices.get('curvature', 'curvature')}, kept for {self.m} uses"
                )
            calls += 1
            return kept

        return build


auto = FromProblem("auto")
exact = FromProblem("hess")
gauss_newton = FromProblem("gauss_newton")
fisher = FromProblem("fisher")
diagonal = FromProblem("diagonal")
zero = FromProblem("zero")
lazy = Lazy
projected = Projected()
secant = Secant()
sketch = Sketched()

NAMES: dict[str, Any] = {
    "auto": auto,
    "exact": exact,
    "gauss_newton": gauss_newton,
    "fisher": fisher,
    "diagonal": diagonal,
    "zero": zero,
    "projected": projected,
    "secant": secant,
    "sketch": sketch,
    "mfac": RankOneSum(),
    "kfac": Kronecker(),
    "mkor": MKOR(),
    "tract": Kronecker("identity"),
    "hutchinson": Hutchinson(),
    "row_norm": RowNorm(),
    "adahessian": AdaHessian(),
    "sophia": Sophia(),
    "majorizer": Majorizer(),
}

# Names that take something else than a linear solver behind the colon.


def _whole(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _lazy(m: str, model: str = "auto") -> Lazy:
    resolve(model)  # a misspelt name is refused here
    return Lazy(_whole(m), model)


def _topk(k: str, kind: str = "hess") -> TopK:
    name = "hess" if kind == "exact" else kind.replace("-", "_")
    return TopK(_whole(k), kind=name, max_products=max(500, 2 * _whole(k)))


def _sketch(m: str, sketch: str = "sparse-sign") -> Sketched:
    return Sketched(_whole(m), adaptive=False, sketch=sketch)


def _mfac(rows: str) -> RankOneSum:
    return RankOneSum("window", m=int(rows)) if rows.isdigit() else RankOneSum(rows.replace("-", "_"))


PARSED: dict[str, Callable[[str], Any]] = {
    "lazy": lambda setting: _lazy(*setting.split(":", 1)),
    "topk": lambda setting: _topk(*setting.split(":", 1)),
    "subsampled": lambda rows: Subsampled(int(rows) if rows.isdigit() else float(rows)),
    "projected": Projected,
    "sketch": lambda setting: _sketch(*setting.split(":", 1)),
    "subspace": lambda k: RandomSubspace(_whole(k)),
    "secant": lambda name: Secant({"bfgs": BFGS, "sr1": SR1}[name.lower()]()),
    "mfac": _mfac,
    "kfac": lambda outputs: Kronecker(outputs.replace("-", "_")),
    "mkor": lambda rank: MKOR(_whole(rank)),
    "tract": lambda layers: Kronecker("identity", layers),
    "hutchinson": lambda probes: Hutchinson(_whole(probes)),
    "row_norm": lambda kind: RowNorm(kind.replace("-", "_")),
    "adahessian": lambda beta2: AdaHessian(float(beta2)),
    "sophia": lambda rho: Sophia(rho=float(rho)),
}
ALIASES = {  # what others call it
    **{"kronecker": "kfac", "hessian": "exact", "newton": "exact", "gn": "gauss_newton", "identity": "zero"},
    **{"none": "zero", "bfgs": "secant", "quasi_newton": "secant", "sr1": "secant:sr1"},
}
FORMS = (
    "'lazy:m' or 'lazy:m:model', 'topk:k', 'subsampled:fraction', 'sketch:m' or 'sketch:m:kind', 'subspace:k', "
    "'projected:absolute', 'secant:sr1', 'mfac:m', 'mfac:gauss_newton', 'kfac:fisher', 'mkor:rank', 'tract:first', "
    "'hutchinson:probes'"
)


def resolve(curvature: Any) -> Any:
    """Turn a name, with a linear solver or another setting behind a colon (``"exact:cg"``), into a curvature model.

    Parameters
    ----------
    curvature : str, CurvatureModel, HessianUpdateStrategy or callable
        A name from `NAMES`; ``"exact:cg"`` and the like name the linear solver; ``"lazy:m"``, ``"topk:k"``,
        ``"subsampled:fraction"`` (or a number of rows), ``"sketch:m"`` (of a fixed size), ``"subspace:k"``,
        ``"projected:absolute"``, ``"secant:sr1"``, ``"mfac:m"`` (a window of m gradients), ``"mfac:gauss_newton"``,
        ``"kfac:fisher"``, ``"mkor:rank"``, ``"tract:first"``, ``"hutchinson:probes"``. A strategy of SciPy becomes a
        `Secant`; a model is returned as it is.

    Returns
    -------
    CurvatureModel or callable
        The model.

    Raises
    ------
    ValueError
        If the name is unknown or what follows the colon makes no sense.
    """
    if isinstance(curvature, STRATEGY):
        return Secant(curvature)
    if not isinstance(curvature, str):
        if isinstance(curvature, type) or not (callable(curvature) or hasattr(curvature, "start")):
            choices = f"pass one of {sorted(NAMES)}, a curvature model or a callable"
            raise TypeError(f"curvature={shown(curvature)}: {choices}")
        return curvature
    name, _, setting = curvature.partition(":")
    name = name.replace("-", "_")
    try:
        if setting and name in PARSED:
            return PARSED[name](setting)
        model = NAMES[name] if name in NAMES else load_curvatures(name.lower())[name.lower()]
        if setting and not hasattr(model, "using"):
            raise ValueError(f"{name} takes nothing behind the colon")
        return model.using(setting.replace("_", "-")) if setting else model
    except KeyError:
        hint = f"{_meant(name)}choose one of {sorted(NAMES)}, or {FORMS}"
        raise ValueError(f"curvature={curvature!r} is unknown; {hint}") from None
    except ValueError as error:
        raise ValueError(f"curvature={shown(curvature)}: {error}; write {FORMS}") from None


def load_curvatures(only: str | None = None) -> dict[str, Any]:
    """Return the curvature models that other packages declare as entry points, by name with "_" for "-".

    Parameters
    ----------
    only : str, optional
        Look for this name alone.

    Returns
    -------
    dict
        Name to model. With a setting behind a colon a name means the model's ``using(setting)``.

    Warns
    -----
    RuntimeWarning
        For an entry point that fails to load, is no curvature model, or takes a name that is there: it is left out.
    """
    taken = {name: FromProblem for name in (*PARSED, *ALIASES)} | NAMES
    return plugins.load(plugins.CURVATURES, taken, _misfit, only, fold=lambda name: name.lower().replace("-", "_"))


def _misfit(thing: Any) -> str:
    fits = not isinstance(thing, type) and (callable(getattr(thing, "start", None)) or callable(thing))
    return "" if fits else "it is no curvature model: an object with start, or a callable"


def _meant(name: str) -> str:
    """Return a guess at what a name that is unknown should be, as the beginning of a sentence."""
    name = name.lower()
    close = difflib.get_close_matches(name, [*NAMES, *PARSED, *ALIASES], n=1)
    guess = ALIASES.get(name) or (ALIASES.get(close[0], close[0]) if close else "")
    return f"did you mean {guess!r}? Otherwise " if guess and guess != name else ""
