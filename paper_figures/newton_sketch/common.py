"""What the figures share: problems told apart by their settings, and medians over seeds."""

from __future__ import annotations

import numpy as np

from experiments.results import Results, Run

SETTINGS = ("problem.power", "problem.decay", "problem.coherent", "problem.d")
Problem = tuple[object, ...]


def by_problem(results: Results) -> dict[Problem, list[Run]]:
    """Return the runs of each problem, all seeds together, in the order of the toml."""
    found: dict[Problem, list[Run]] = {}
    for run in results.runs:
        found.setdefault(tuple(run.facts.get(name) for name in SETTINGS), []).append(run)
    return found


def of(runs: list[Run], label: str) -> list[Run]:
    """Return the runs of a label, one for each seed."""
    found = [run for run in runs if run.label == label]
    assert found, f"no run is called {label!r}"
    return sorted(found, key=lambda run: run.facts["problem.seed"])


def median(runs: list[Run], label: str, measure: str) -> float:
    """Return the median of a fact over the seeds."""
    return float(np.median([run.facts[measure] for run in of(runs, label)]))
