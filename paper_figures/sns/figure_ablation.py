"""Newton steps of Sinkhorn-Newton-Sparse against the entries that are kept, for several N1 before them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import curve, panels
from paper_figures.sns.common import by_instance, instance, newton_steps


def curves(runs: list[Run]) -> dict[int, list[Run]]:
    """Return the runs of each length N1, by rising number of kept entries."""
    lengths = sorted({run.facts["solver.N1"] for run in runs})
    same = {N1: [run for run in runs if run.facts["solver.N1"] == N1] for N1 in lengths}
    return {N1: sorted(found, key=lambda run: run.facts["solver.kept"]) for N1, found in same.items()}


def draw(results: Results) -> Figure:
    """Return a panel for each problem."""
    figure, axes = panels(2)
    for panel, runs in zip(axes, by_instance(results), strict=True):
        for number, (N1, found) in enumerate(curves(runs).items()):
            kept = np.array([run.facts["solver.kept"] for run in found])
            steps = np.array([newton_steps(run) for run in found])
            done = np.array([run.facts["success"] for run in found])
            curve(panel, kept, steps, number, f"$N_1 = {N1}$", markevery=1)
            panel.plot(kept[~done], steps[~done], "x", color="black", markersize=9)
        ticks = sorted({run.facts["solver.kept"] for run in runs})
        panel.set(xscale="log", yscale="log", xlabel="entries kept, of a row", title=instance(runs[0]))
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        most = max(newton_steps(run) for run in runs)
        counts = [count for count in (5, 10, 20, 50, 100, 200, 500) if count <= most]
        panel.set_yticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.legend(title="Sinkhorn iterations before")
    axes[0].set_ylabel("Newton steps to an error of 1e-10")
    return figure


def claim(results: Results) -> None:
    """Few entries cost many steps; from enough on, more do not help, and a longer Sinkhorn stage hardly does."""
    assignment, images = (curves(runs) for runs in by_instance(results))
    for lengths in (assignment, images):
        for found in lengths.values():
            steps = [newton_steps(run) for run in found]
            assert steps[0] > 2 * steps[-1], f"{steps}"
            assert steps[-1] <= steps[-2] + 1, f"{steps}"
            assert found[-1].facts["success"]
    if not results.quick:
        assert all(run.facts["success"] for run in results.runs)
        at = {run.facts["solver.kept"]: newton_steps(run) for run in assignment[20]}
        assert at[6] == at[50] <= 9 < at[4] <= 12 < at[3] <= 28 < at[2], f"{at}"
        products = [run.facts["nhessp"] for run in images[20]]
        assert products[0] > 50 * products[-1], f"{products}"
