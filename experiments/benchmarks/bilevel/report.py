"""The tables of a benchmark's cells: validation loss at the limits, test loss at the last, and what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.bilevel.methods import METHODS
from experiments.benchmarks.bilevel.tasks import TASKS
from experiments.storage import read_json, write_text

MANY = [name for name, (_, groups) in TASKS.items() if groups != "single"]
SLACK = 1.02  # a loss within two per cent counts as equal: local minima differ


def write(folder: Path, limits: tuple[float, ...]) -> str:
    """Write RESULTS.md and return it."""
    cells = [read_json(path) for path in sorted(folder.glob("*.json"))]
    table = {(c["task"], c["method"]): c for c in cells if c["limits"] == list(limits)}
    text = "\n".join([*_tables(table, limits), "", *_verdicts(table)]) + "\n"
    write_text(folder / "RESULTS.md", text)
    return text


def _tables(table: dict[tuple[str, str], Any], limits: tuple[float, ...]) -> list[str]:
    lines = []
    for task in TASKS:
        rows = [(name, table[task, name]) for name in METHODS if (task, name) in table]
        if not rows:
            continue
        heads = " | ".join(f"{limit:g} s" for limit in limits)
        lines += ["", f"**{task}**", "", f"| method | {heads} | test, {limits[-1]:g} s | ended | work |"]
        lines += ["| --- | " + "--- | " * (len(limits) + 3)]
        for name, cell in rows:
            values = " | ".join(_number(value) for value in cell["validation"])
            work = "" if not np.isfinite(cell["work"]) or not cell["work"] else f"{cell['work']:.0f}"
            lines.append(f"| {name} | {values} | {_number(cell['test'][-1])} | {cell['ended']:.2f} s | {work} |")
    return lines[1:]


def _number(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "–"


def _verdicts(table: dict[tuple[str, str], Any]) -> list[str]:
    lines = []
    for task in MANY:
        mine, hoag = table.get((task, "maid-qn")), table.get((task, "hoag"))
        jacobi = table.get((task, "L-BFGS-B + implicit + Jacobi"))
        if mine and hoag:
            fast = mine["validation"][0] <= SLACK * hoag["validation"][-1]
            lines.append(f"- {task}, seed 0: maid-qn's first limit {'reaches' if fast else 'misses'} HOAG's last value")
        if mine and jacobi:
            pairs = zip(mine["validation"][1:], jacobi["validation"][1:], strict=True)
            never = all(a <= SLACK * b for a, b in pairs)
            lines.append(
                f"- {task}, seed 0: maid-qn {'never loses' if never else 'loses'} to L-BFGS-B + implicit + Jacobi"
            )
    return lines
