"""Tables of the cells: seconds and iterations, how much slower each method is than ours, and failures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmarks.ot.methods import METHODS

Cells = Mapping[tuple[str, str, float], dict[str, Any]]  # by instance, method and target
OURS = "gnsopt auto"
SAME = (
    1e-8  # relative difference of transport costs that two plans may have, and 10 errors times the range of the costs
)


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def entry(cell: dict[str, Any] | None) -> str:
    """Return seconds and iterations, or the error that was reached."""
    if cell is None:
        return ""
    if cell["reached"]:
        iterations = f" ({cell['iterations']})" if cell["iterations"] else ""
        return f"{cell['seconds']:.3g}{iterations}"
    return "raised" if "raised" in cell else "out of time" if "killed" in cell else f"x {cell['error']:.0e}"


def seconds(cell: dict[str, Any] | None) -> float:
    """Return the seconds, infinity where the target was not reached."""
    return float(cell["seconds"]) if cell is not None and cell["reached"] else math.inf


def table(cells: Cells, instances: Sequence[str], methods: Sequence[str], target: float) -> str:
    """Return the table of one target: a row for each method."""
    asked = [name for name in methods if any((i, name, target) in cells for i in instances)]
    rows = [[name, *(entry(cells.get((i, name, target))) for i in instances)] for name in asked]
    return markdown(["method", *instances], rows)


def compared(methods: Sequence[str]) -> list[str]:
    """Return the methods that solve the entropic problem."""
    return [name for name in methods if not METHODS[name].exact]


def means(cells: Cells, instances: Sequence[str], methods: Sequence[str], target: float, limit: float) -> str:
    """Return how many times as long as ours each method takes, in the geometric mean; failures count as the limit.

    A target that is not tried, because the method has failed at a larger one, is a failure too.
    """
    rows, run = [], {(instance, name) for instance, name, _ in cells}
    for name in compared(methods):
        asked = [i for i in instances if (i, name) in run and (i, OURS, target) in cells]
        if name == OURS or not asked:
            continue
        ratios = {i: seconds(cells.get((i, name, target))) / seconds(cells[i, OURS, target]) for i in asked}
        done = [r for r in ratios.values() if r < math.inf]
        whole = [r if r < math.inf else limit / seconds(cells[i, OURS, target]) for i, r in ratios.items()]
        rows.append(
            [
                name,
                f"{len(done)} of {len(asked)}",
                f"{geometric(done):.2g}" if done else "",
                f"{geometric(whole):.2g}",
                f"{min(done):.2g}" if done else "",
            ]
        )
    heading = ["method", "reached", "times our seconds", "with failures as the limit", "at its best instance"]
    return markdown(heading, rows)


def geometric(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def versus_best(cells: Cells, instances: Sequence[str], methods: Sequence[str], target: float) -> str:
    """Return for each instance ours against the fastest peer."""
    rows = []
    for instance in instances:
        ours = seconds(cells.get((instance, OURS, target)))
        peers = {n: seconds(cells.get((instance, n, target))) for n in compared(methods) if not METHODS[n].ours}
        best = min(peers, key=lambda name: peers[name], default="")
        if not best or peers[best] == math.inf:
            rows.append([instance, f"{ours:.3g}", "none", "", ""])
        else:
            rows.append([instance, f"{ours:.3g}", best, f"{peers[best]:.3g}", f"{ours / peers[best]:.2f}"])
    return markdown(["instance", "gnsopt auto", "best peer", "its seconds", "ours / best peer"], rows)


def disagreements(cells: Cells, ranges: Mapping[str, float]) -> list[str]:
    """Return a sentence for each plan whose cost is not that of our plan, though both errors are small.

    Plans of errors e and e' have costs that differ by no more than a few ``(e + e') range(C)``.
    """
    found = []
    for (instance, name, target), cell in cells.items():
        ours = cells.get((instance, OURS, target))
        if ours is None or not (ours["reached"] and cell["reached"]) or METHODS[name].exact:
            continue
        allowed = SAME * abs(ours["cost"]) + 10 * (cell["error"] + ours["error"]) * ranges[instance]
        if abs(cell["cost"] - ours["cost"]) > allowed:
            found.append(f"{instance}: the plans of {name} and {OURS} cost {cell['cost']!r} and {ours['cost']!r}")
    return found
