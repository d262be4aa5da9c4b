"""Two images, squared L2 and L1 costs: error of the marginals against iterations and seconds."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.drawing import legend
from paper_figures.gns.common import labels, table
from paper_figures.sns.common import (
    MEASURES,
    NEWTON,
    SINKHORN,
    SNS,
    by_instance,
    check_results,
    draw_errors,
    instance,
    newton_steps,
)


def draw(results: Results) -> Figure:
    """Return a column for each cost, a row for each measure of work."""
    columns = by_instance(results)
    figure, rows = table(len(MEASURES), len(columns), sharey=True)
    figure.set_size_inches(8.4, 6.4)
    for row, measure in zip(rows, MEASURES, strict=True):
        for panel, runs in zip(row, columns, strict=True):
            draw_errors(panel, runs, measure, labels(results))
            if row is rows[0]:
                panel.set_title(instance(runs[0]))
        row[0].set_ylabel("error of both marginals, L1")
    legend(figure, rows[0][0], columns=4)
    return figure


def claim(results: Results) -> None:
    """Tens of sparse Newton steps after the Sinkhorn stage; it and Sinkhorn take far more iterations than Newton."""
    check_results(results)
    assert all(run.facts["success"] for run in results.runs)
    for runs, stage in zip(by_instance(results), (20, 700), strict=True):
        found = {run.label: run for run in runs}
        sns = found[SNS]
        assert found[NEWTON].facts["njev"] < min(sns.facts["njev"], found[SINKHORN].facts["njev"])
        if not results.quick:
            assert sns.facts["nit"] - newton_steps(sns) == stage
            assert newton_steps(sns) <= 60
            assert found[SINKHORN].facts["njev"] > 5 * sns.facts["nit"]
