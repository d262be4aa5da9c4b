r"""Phase diagram: gamma falls with the gradient norm as ``|g|^max(alpha, beta)``, smoothness or inexactness.

The theory bounds ``1/gamma(x) <= M |g|^{-alpha} + C2 |g|^{-beta}``: the larger exponent wins as |g| -> 0, and with it
the rate ``eps^{-max(alpha, beta)}`` of convex problems. Measured on ``|Ax - b|^p / p``, for which ``alpha = 1/(p-1)``
is sharp, and on a mean of exponentials, for which alpha = 0 is, with the exact Hessian plus an error of exactly
``|g|^{1 - beta}``.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.results import Results, Run
from paper_figures.drawing import legend, panels

# where pairs of problem and approximation lie, by the theory: alpha, beta
PAIRS = (
    (0.0, 0.0, "log-sum-exp, weighted Gauss-Newton; logistic, Fisher with $f^* = 0$"),
    (0.5, 0.0, "Lipschitz Hessian, nonlinear equations, Gauss-Newton plus Fisher"),
    (1 / 3, 1 / 3, "$|Ax - b|^4$, Fisher term alone"),
    (0.5, 0.5, "$|Ax - b|^3$, Fisher term alone"),
    (1.0, 1.0, "Lipschitz gradient, $H = 0$"),
)


def place(run: Run) -> tuple[float, float]:
    """Return alpha and beta; exponentials are quasi-self-concordant."""
    p = run.facts.get("problem.p")
    return 0.0 if p is None else 1 / (p - 1), run.facts["solver.beta"]


def exponent(run: Run) -> float:
    """Fit the slope of log gamma against log |g| over the smaller half, on a log scale, of the gradient norms."""
    norms, gamma = np.log(run["gnorm"][:-1]), np.log(run["gamma"][1:])
    top, low = 0.5 * (norms[0] + norms[-1]), norms[-1]
    grid = np.linspace(low, top, 200)  # equal weight for equal ratios: slow runs have most of their steps at the end
    return float(np.polyfit(grid, np.interp(grid, norms[::-1], gamma[::-1]), 1)[0])


def draw(results: Results) -> Figure:
    """Return the diagram, and the measured exponents against those of the theory."""
    figure, (left, right) = panels(2)
    figure.set_figheight(4.4)
    t = np.linspace(0, 1, 201)
    phases = left.contourf(t, t, np.maximum(t, t[:, None]), levels=np.linspace(0, 1, 11), cmap="Greys", alpha=0.55)
    left.plot([0, 1], [0, 1], color="black", linewidth=1.2)
    left.text(
        0.66, 0.22, "smoothness dominates:\nas fast as exact,\n$\\varepsilon^{-\\alpha}$", ha="center", fontsize=8
    )
    left.text(0.30, 0.72, "inexactness\ndominates: $\\varepsilon^{-\\beta}$", ha="center", fontsize=8)
    for letter, (alpha, beta, text) in zip("ABCDE", PAIRS, strict=True):
        left.plot(alpha, beta, "o", color="white", markeredgecolor="#D55E00", markersize=12, clip_on=False, zorder=4)
        left.scatter(alpha, beta, 40, "#D55E00", marker=f"${letter}$", label=text, clip_on=False, zorder=5)
    figure.colorbar(phases, ax=left, label=r"exponent $\max(\alpha, \beta)$")
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel=r"smoothness $\alpha$", ylabel=r"inexactness $\beta$", aspect="equal")
    left.grid(visible=False)
    places = np.array([place(run) for run in results.runs])
    measured = np.array([exponent(run) for run in results.runs])
    below = places[:, 1] <= places[:, 0]
    right.plot([0, 1.05], [0, 1.05], color="0.5", linewidth=1)
    looks = ((below, "o", "#0072B2", "smoothness"), (~below, "s", "#D55E00", "inexactness"))
    for mask, marker, colour, name in looks:
        right.plot(
            places[mask].max(axis=1), measured[mask], marker, color=colour, fillstyle="none", label=f"{name} dominates"
        )
    right.set(xlabel=r"theory: $\max(\alpha, \beta)$", ylabel=r"measured exponent of $\gamma_k$ in $\|g_k\|_*$")
    right.legend(loc="upper left")
    legend(figure, left)
    return figure


def claim(results: Results) -> None:
    """The measured exponent is max(alpha, beta) for every pair; quick runs see fewer powers of ten."""
    for run in results.runs:
        expected, found = max(place(run)), exponent(run)
        assert abs(found - expected) < (0.2 if results.quick else 0.05), f"{place(run)}: |g|^{found:.3f}"
