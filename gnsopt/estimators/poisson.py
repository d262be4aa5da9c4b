"""Poisson regression."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_number
from gnsopt.blocks import RowBlocks
from gnsopt.blocks.sources import is_dask
from gnsopt.estimators.base import Linear, validate_data
from gnsopt.estimators.dask_arrays import by_chunks, survey
from gnsopt.problems import PoissonRegression
from gnsopt.solver import Solver


class PoissonRegressor(RegressorMixin, Linear):
    """Poisson regression with the log link: half of the mean deviance plus ``alpha/2 |v|^2``.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty, non-negative; the loss is the weighted mean, so this is `l2`.
    fit_intercept : bool, default=True
        Add an intercept, which is not penalised.
    solver : str or gnsopt.Solver, default="line-newton"
        Name of a method (``gnsopt methods`` lists them), or an instance.
    max_iter : int, default=10000
        Iterations at the most.
    tol : float, default=1e-6
        Stop when the largest entry of the gradient is at most this.
    warm_start : bool, default=False
        Start from the last solution.
    verbose : int, default=0
        Print a line for each iteration if not zero.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Iterations.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had some.
    result_ : scipy.optimize.OptimizeResult
        The run: objective, trace, counts, message.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        solver: str | Solver = "line-newton",
        max_iter: int = 10_000,
        tol: float = 1e-6,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> PoissonRegressor:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Counts, or counts per exposure with the exposure as `sample_weight`; not negative.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights.

        Returns
        -------
        PoissonRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            For a parameter out of range or data that cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the run ends before `tol`, or the minimiser is at infinity; it names the cure.
        """
        if not is_dask(X):
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, order="C", y_numeric=True)
        if not (isinstance(self.alpha, Real) and 0 <= as_number(self.alpha, "alpha") < np.inf):
            raise ValueError(f"alpha={self.alpha!r} must be a finite number >= 0")
        problem, mean = self._problem(X, y, sample_weight)
        x0 = self._warm_start(1, problem.n)
        if x0 is None and self.fit_intercept and mean > 0:  # counts may be large: start at the best constant
            x0 = np.append(np.zeros(problem.n - 1), np.log(mean))
        self.result_ = self._run(problem, x0)
        x, d = self.result_.x, problem.n - int(self.fit_intercept)
        self.coef_, self.intercept_ = x[:d].copy(), x[d] if self.fit_intercept else np.float64(0.0)
        self.n_iter_ = int(self.result_.nit)
        return self

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, float]:
        """Return the problem and the weighted mean of the counts."""
        if is_dask(X):
            found = survey(self, X, y, sample_weight, False)
            blocks = RowBlocks("poisson", found, self.alpha, self.fit_intercept)
            return blocks, blocks.target_mean
        problem = PoissonRegression(X, y, self.alpha, self.fit_intercept, sample_weight)
        return problem, float(problem.weight @ problem.y)

    @by_chunks
    def predict(self, X: Any) -> Array:
        """Return the mean count of each sample.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Means.
        """
        return np.exp(self._scores(X))

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return D^2, the share of the Poisson deviance that is explained.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Counts.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights.

        Returns
        -------
        float
            1 for a perfect fit, 0 for the constant prediction.
        """
        from sklearn.metrics import d2_tweedie_score

        return float(d2_tweedie_score(y, self.predict(X), sample_weight=sample_weight, power=1))

    def _escape(self, problem: Any) -> str:
        return "features without a penalty separate counts of zero; set alpha > 0"

    def __sklearn_tags__(self) -> Any:
        """Return the tags: counts are positive."""
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """Return the same for scikit-learn < 1.6."""
        return {"requires_positive_y": True}
