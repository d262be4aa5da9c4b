"""The assignment problem: error of the marginals against iterations and seconds."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import legend, panels
from paper_figures.gns.common import labels
from paper_figures.sns.common import (
    AUTO,
    MEASURES,
    NEWTON,
    SINKHORN,
    SNS,
    check_results,
    draw_errors,
    error,
    newton_steps,
)


def draw(results: Results) -> Figure:
    """Return two panels."""
    figure, axes = panels(2, sharey=True)
    for panel, measure in zip(axes, MEASURES, strict=True):
        draw_errors(panel, list(results.runs), measure, labels(results))
    axes[0].set_ylabel("error of both marginals, L1")
    legend(figure, axes[0], columns=4)
    return figure


def claim(results: Results) -> None:
    """Twenty and nine iterations, where Sinkhorn takes a thousand times as many; the semi-dual takes fewer yet."""
    check_results(results)
    assert all(run.facts["success"] for run in results.runs)
    sns, sinkhorn = results[SNS], results[SINKHORN]
    assert sns.facts["nit"] - newton_steps(sns) == 20
    assert newton_steps(sns) <= (15 if results.quick else 9)
    assert error(sns)[-1] <= 1e-12
    for label in (NEWTON, AUTO):
        assert results[label].facts["njev"] <= sns.facts["njev"]
        assert results[label].facts["nhessp"] < sns.facts["nhessp"]
    if not results.quick:
        assert sinkhorn.facts["njev"] > 1000 * sns.facts["nit"]
        falls = error(sns)[-3:] / error(sns)[-4:-1]
        assert falls[2] < falls[1] < falls[0] < 0.1, f"superlinear: {falls}"
