"""Denoising by a field of experts: loss against work, accuracy against outer steps, an image and the filters."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results
from paper_figures.maid.denoising import draw_denoising, lowest, work_to

QN, MAID, PENALTY = "maid-qn", "MAID, a posteriori", "penalty"


def draw(results: Results) -> Figure:
    """Return the figure; image and filters are those of the lowest loss."""
    figure, (panel,) = draw_denoising(results, results[QN], more=1)
    filters = results[QN]["filters"]
    number, size = filters.shape[:2]
    columns = -(-number // 2)
    sheet = np.full((2 * (size + 1) + 1, columns * (size + 1) + 1), np.nan)
    for k, c in enumerate(filters):
        row, column = divmod(k, columns)
        place = np.s_[
            row * (size + 1) + 1 : (row + 1) * (size + 1), column * (size + 1) + 1 : (column + 1) * (size + 1)
        ]
        sheet[place] = c / np.abs(c).max()
    panel.imshow(sheet, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    panel.set_title("learned filters", fontsize=8)
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    return figure


def claim(results: Results) -> None:
    """MAID is below HOAG with the same work, and less accurate; the quasi-Newton methods are ahead of both."""
    hoag = [run for run in results.runs if run.label.startswith("HOAG")]
    maid, qn, penalty = results[MAID], results[QN], results[PENALTY]
    best = min(lowest(run) for run in hoag)
    assert lowest(maid) < 0.9 * best, f"{lowest(maid)} and {best}"
    assert lowest(qn) < 0.7 * lowest(maid), f"{lowest(qn)} and {lowest(maid)}"
    assert lowest(penalty) < 0.9 * lowest(maid), "without a Hessian, but with quasi-Newton steps"
    assert work_to(qn, best) < 0.3 * min(work_to(run, best) for run in hoag)
    assert maid["eps"][-1] > 100 * max(run["eps"][-1] for run in hoag)
    for run in (maid, qn, penalty):
        assert run["psnr"] > run["psnr_noisy"] + (4 if results.quick else 6), run.label
    if not results.quick:
        assert qn["psnr"] > max(run["psnr"] for run in hoag) + 3
