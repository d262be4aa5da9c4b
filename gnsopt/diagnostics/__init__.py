r"""What the theory of gradient-normalised smoothness speaks of, measured: gamma(x), and how inexact a Hessian is.

===============  =====================================================================================================
`gamma`          gamma(x) by its definition: an upper estimate with the step that proves it
`inexactness`    ``C1, C2, beta`` with ``|hess f - H|_* <= C1 + C2 |g|_*^{1 - beta}`` along a run
`step_error`     ``|(hess f - H) h|_* / |g|_*`` for the steps of a run
===============  =====================================================================================================

All of it costs far more than a run and leaves the counts of the run alone. ``[gns]`` is [1].

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from gnsopt.diagnostics.smoothness import GammaEstimate, Inexactness, envelope, gamma, inexactness, step_error

__all__ = ["GammaEstimate", "Inexactness", "envelope", "gamma", "inexactness", "step_error"]
