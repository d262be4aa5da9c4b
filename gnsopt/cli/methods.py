"""``gnsopt methods``: what can be named."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from gnsopt.cli.scipy_method import METHODS as SCIPY
from gnsopt.cli.screen import output
from gnsopt.curvature import NAMES, load_curvatures
from gnsopt.curvature.selection import DESCRIPTIONS, METHODS
from gnsopt.solvers.adaptive import RULES
from gnsopt.solvers.named import load_solvers
from gnsopt.solvers.target_surrogate import METRICS

CURVATURES = {
    "auto": "the Hessian of a convex problem, otherwise Gauss-Newton where there is one",
    "exact": "the Hessian",
    "gauss_newton": "the Gauss-Newton matrix (of a linear model: the Hessian)",
    "fisher": "the empirical Fisher matrix, from the samples' gradients",
    "diagonal": "the diagonal of the Hessian, clipped at zero",
    "zero": "none: normalised gradient steps",
    "projected": "the Hessian made positive semidefinite by its eigenvalues",
    "secant": "a quasi-Newton matrix (BFGS) of the steps and gradients of the run",
    "secant:sr1": "the same by SR1",
    "lazy:5": "the Hessian, kept for 5 steps",
    "topk:10": "the 10 largest eigenpairs of the Hessian",
    "subsampled:0.1": "the Hessian on a tenth of the samples",
    "sketch": "Newton sketch: the samples' sum sketched anew at each step, its size grows",
    "sketch:200": "the same to 200 rows",
    "subspace:20": "the Hessian in 20 random directions",
    "mfac": "M-FAC: the empirical Fisher matrix in the space of the samples' gradients",
    "mfac:gauss_newton": "the same of the true Fisher matrix",
    "mfac:64": "the same of the last 64 gradients of the run",
    "kfac": "K-FAC: Kronecker factors of the layers (networks, linear models); kfac:fisher of the empirical matrix",
    "mkor": "moving averages of Kronecker factors of rank 1; mkor:8 of rank 8",
    "tract": "Kronecker factors of the inputs alone; tract:first of the first layer",
    "hutchinson": "a diagonal from 8 products of the Hessian with random signs; hutchinson:20 from 20",
    "row_norm": "the norms of the Hessian's rows",
    "adahessian": "AdaHessian's diagonal",
    "sophia": "Sophia's diagonal: Newton steps of each variable, clipped at 1; sophia:0.1 at 0.1",
    "majorizer": "Boehning's bound of the Hessian, factorised once (logistic, softmax, squared loss)",
}
SETTINGS = {
    "adaptive": ("rule", tuple(RULES)),
    "target-surrogate": ("target_metric", METRICS),
}


def methods() -> int:
    """List the methods, the curvatures and the linear solvers."""
    screen = output()
    solvers = load_solvers()
    takes = [name for name, solver in solvers.items() if "curvature" in solver.settings()]
    screen.print("NAME[:curvature[:linear solver]] or scipy:NAME, such as gns, gns:fisher, gns:exact:cg\n")
    screen.print(_listing("methods", {name: _summary(solver) for name, solver in solvers.items()}))
    named = {method: f"{field}= {', '.join(values)}" for method, (field, values) in SETTINGS.items()}
    screen.print(_listing("rules and metrics of methods, in Python: minimize(..., options={name: value})", named))
    models = {**NAMES, **load_curvatures()}
    curvatures = CURVATURES | {name: _summary(model) for name, model in models.items() if name not in CURVATURES}
    screen.print(_listing(f"curvatures (of {', '.join(takes)})", curvatures))
    screen.print(
        _listing("linear solvers", {name: DESCRIPTIONS.get(name, "chosen by counted work") for name in METHODS})
    )
    screen.print(_listing("SciPy's methods, in gnsopt compare", {"scipy:": ", ".join(SCIPY)}))
    return 0


def _summary(thing: Any) -> str:
    """First line of the docstring, without the name of the method, which the listing has."""
    return str(thing.__doc__ or "").strip().partition("\n")[0].partition(" (method ")[0].rstrip(".")


def _listing(title: str, rows: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=14, no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for row in rows.items():
        table.add_row(*row)
    table.add_row("", "")
    return table
