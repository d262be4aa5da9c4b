r"""What the theory of gradient-normalised smoothness speaks of, measured: gamma(x), and how inexact a Hessian is.

===============  =====================================================================================================
`gamma`          gamma(x) by its definition: an upper estimate with the step that proves it
`inexactness`    ``C1, C2, beta`` with ``|hess f - H|_* <= C1 + C2 |g|_*^{1 - beta}`` along a run
`step_error`     ``|(hess f - H) h|_* / |g|_*`` for the steps of a run
`spectrum`       eigenvalues of a Hessian: density, extremes, trace, log-determinant, inertia; `plot_spectrum`
`split`          the same for the Gauss-Newton part and for the rest
`noise_scale`    how far the noise of a batch moves them: `predicted_outliers`
`report`         sharpness, norm, sparsity and rank of a solution
===============  =====================================================================================================

All of it costs far more than a run and leaves the counts of the run alone. ``[gns]`` is [1].

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from gnsopt.diagnostics.noise import noise_scale, predicted_outliers
from gnsopt.diagnostics.plots import plot_spectrum
from gnsopt.diagnostics.report import Report, report
from gnsopt.diagnostics.smoothness import GammaEstimate, Inexactness, envelope, gamma, inexactness, step_error
from gnsopt.diagnostics.spectrum import Spectrum, Split, spectrum, split

__all__ = [
    "GammaEstimate",
    "Inexactness",
    "Report",
    "Spectrum",
    "Split",
    "envelope",
    "gamma",
    "inexactness",
    "noise_scale",
    "plot_spectrum",
    "predicted_outliers",
    "report",
    "spectrum",
    "split",
    "step_error",
]
