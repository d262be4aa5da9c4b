"""What the figures of plans share."""

from __future__ import annotations

import numpy as np

from experiments.results import Results, Run


def places(run: Run) -> int:
    """Return k; without a constraint, the number of rows."""
    return int(run.facts["problem.k"] or run.facts["problem.n"])


def title(run: Run) -> str:
    """Return k as it is written over a panel."""
    return f"$k = {places(run)}$" if run.facts["problem.k"] else "no constraint"


def by_places(results: Results) -> list[Run]:
    """Return the runs with plans, by rising k."""
    return sorted((run for run in results.runs if "plan" in run.trace), key=places)


def check_plans(results: Results) -> None:
    """Every plan is non-negative, has the right sums and at most k nonzeros in a column; bounds and values are true."""
    for run in by_places(results):
        T, C, gamma = run["plan"], run["C"], run.facts["problem.gamma"]
        assert T.min() >= 0, title(run)
        assert (T > 0).sum(axis=0).max() <= places(run), title(run)
        assert np.abs(T.sum(axis=1) - run["a"]).sum() <= 1e-9, title(run)
        assert np.abs(T.sum(axis=0) - run["b"]).sum() <= 1e-9, title(run)
        value = np.sum(C * T) + gamma / 2 * np.sum(T**2)
        assert np.isclose(value, run["value"], rtol=1e-12), title(run)
        assert run["lower_bound"] <= value * (1 + 1e-9), title(run)
    values = [float(run["value"]) for run in by_places(results)]
    assert np.all(np.diff(values) < 0), f"values by rising k: {values}"
