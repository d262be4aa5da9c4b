"""Denoising by smoothed total variation: loss against work, accuracy against outer steps, and an image."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.maid.denoising import draw_denoising, lowest, work_to

QN = "maid-qn"
LOOSE, TIGHT = "fixed $\\varepsilon$ = 0.1", "fixed $\\varepsilon$ = 0.001"
MAID = ("MAID, a posteriori, from 0.1", "MAID, a posteriori, from 0.001")
CERTIFIED = "MAID, certified, from 0.1"


def draw(results: Results) -> Figure:
    """Return the figure; the image is that of the lowest loss."""
    return draw_denoising(results, results[QN], gap=True)[0]


def claim(results: Results) -> None:
    """Fixed accuracies stall, MAID meets from both starts, its certified form is not inexact, maid-qn ends lowest."""
    least = min(lowest(run) for run in results.runs)
    gap = {run.label: lowest(run) / least - 1 for run in results.runs}
    assert gap[LOOSE] > 0.25, f"{gap}"
    assert results[LOOSE].facts["nit"] <= 3
    assert gap[TIGHT] > 1.5 * max(gap[label] for label in MAID), f"{gap}"
    assert abs(gap[MAID[0]] - gap[MAID[1]]) < 0.01, f"{gap}"
    assert results[CERTIFIED]["eps"][-1] < 1e-3 * results[MAID[0]]["eps"][-1]
    assert gap[QN] < 1e-6
    others = [work_to(run, least * 1.02) for run in results.runs if run.label != QN]
    assert work_to(results[QN], least * 1.02) < 1.5 * min(others), f"{others}"
    gain = 6 if results.quick else 10
    for run in results.runs:
        assert run["psnr"] > run["psnr_noisy"] + gain, run.label
