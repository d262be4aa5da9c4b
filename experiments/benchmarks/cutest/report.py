"""Tables: how many problems each solver brings to a residual, and what it took, problem by problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

TARGETS = (1e-4, 1e-6, 1e-8)
Cells = dict[tuple[str, str], dict[str, Any]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def solved(cells: Cells, problems: Sequence[str], solver: str, target: float) -> int:
    """Return the number of problems at whose returned point the residual is at most `target`."""
    return sum(cells[p, solver]["residual"] <= target for p in problems)


def summary(cells: Cells, problems: Sequence[str], solvers: Sequence[str]) -> str:
    """Return the counts of solved problems, and geometric means over those that all solvers solve to 1e-6."""
    both = [p for p in problems if all(cells[p, s]["residual"] <= 1e-6 for s in solvers)]
    head = ["solver", *(f"{t:g}" for t in TARGETS), f"iterations (mean of {len(both)})", "values of f", "Hessians"]
    rows = []
    for solver in solvers:
        means = [geometric_mean([cells[p, solver][name] for p in both]) for name in ("nit", "f", "H")]
        counts = [f"{solved(cells, problems, solver, t)}" for t in TARGETS]
        rows.append([solver, *counts, *(f"{mean:.1f}" for mean in means)])
    return table(head, rows)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of counts, where nothing counts as one."""
    return float(np.exp(np.mean(np.log(np.maximum(values, 1.0))))) if len(values) else float("nan")


def details(cells: Cells, problems: Sequence[str], solvers: Sequence[str]) -> str:
    """Return iterations / values of f / Hessians for each problem; in brackets the residual where it exceeds 1e-6."""
    rows = []
    for p in problems:
        first = cells[p, solvers[0]]
        rows.append([p, str(first["n"]), str(first["m"]), *(_cell(cells[p, s]) for s in solvers)])
    return table(["problem", "n", "m", *solvers], rows)


def _cell(row: dict[str, Any]) -> str:
    iterations = "-" if row["nit"] < 0 else str(row["nit"])
    text = f"{iterations}/{row['f']}/{row['H']}"
    return text if row["residual"] <= 1e-6 else f"{text} ({row['residual']:.0e})"
