"""Logistic regression for a path of penalties."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from gnsopt._typing import Array, ArrayLike
from gnsopt.estimators.base import LinearClassifier, from_C, with_l2
from gnsopt.problems.validation import check_l2
from gnsopt.solver import Solver


class LogisticRegressionPath(LinearClassifier):
    """Logistic regressions for a grid of penalties, from the largest to the smallest, each started from the last.

    The data are checked once and shared; for wide data so is the Gram matrix of the rows. The estimator then predicts
    with the penalty of the best accuracy on validation data, or with the smallest if there are none.

    Parameters
    ----------
    Cs : int or array_like of shape (n_penalties,), default=10
        Inverse strengths as in `LogisticRegression`; a number means that many from 1e-4 to 1e4.
    l2s : array_like of shape (n_penalties,), optional
        Penalties in the convention of a mean loss; they take the place of `Cs`.
    tol : float, default=1e-6
        As in `LogisticRegression`, for each penalty.
        Where a feature has no penalty a larger value counts as 1e-6.
    fit_intercept : bool, default=True
        Add an intercept.
    class_weight : dict or "balanced", optional
        As in `LogisticRegression`.
    solver : str or gnsopt.Solver, default="line-newton"
        As in `LogisticRegression`.
    max_iter : int, default=10000
        Iterations at the most, for each penalty.
    verbose : int, default=0
        Print a line for each iteration if not zero.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    l2s_ : ndarray of shape (n_penalties,)
        Penalties of the mean loss, in falling order: the order of what follows.
    Cs_ : ndarray of shape (n_penalties,)
        The same as inverse strengths.
    coefs_ : ndarray of shape (n_penalties, 1 or n_classes, n_features)
        Coefficients.
    intercepts_ : ndarray of shape (n_penalties, 1 or n_classes)
        Intercepts.
    scores_ : ndarray of shape (n_penalties,)
        Accuracies on the validation data; only if there are some.
    best_index_ : int
        The penalty in use.
    coef_ : ndarray of shape (1 or n_classes, n_features)
        Its coefficients.
    intercept_ : ndarray of shape (1 or n_classes,)
        Its intercepts.
    n_iter_ : ndarray of shape (n_penalties,)
        Iterations.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had some.
    results_ : list of scipy.optimize.OptimizeResult
        The runs.
    """

    warm_start = False  # of the whole path: there is nothing to start from

    def __init__(
        self,
        Cs: Any = 10,
        *,
        l2s: Any = None,
        tol: float = 1e-6,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str | Solver = "line-newton",
        max_iter: int = 10_000,
        verbose: int = 0,
    ) -> None:
        self.Cs = Cs
        self.l2s = l2s
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation: tuple[Any, ArrayLike] | None = None,
    ) -> LogisticRegressionPath:
        """Fit the models.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights.
        validation : tuple (X, y), optional
            Data whose accuracy chooses the penalty; of equal ones the largest.

        Returns
        -------
        LogisticRegressionPath
            The estimator itself.

        Raises
        ------
        ValueError
            For a parameter out of range or data that cannot be used.

        Warns
        -----
        ConvergenceWarning
            For each run that ends before `tol`, or whose minimiser is at infinity; it names the cure.
        """
        problem, total = self._problem(X, y, sample_weight)
        self.l2s_ = self._grid(total)
        with np.errstate(divide="ignore", invalid="ignore"):  # the total may be above float64
            self.Cs_ = np.where(self.l2s_ > 0, 1.0 / (self.l2s_ * total), np.inf)
        self.results_: list[OptimizeResult] = []
        x0 = None
        for l2 in self.l2s_:
            self.results_.append(self._run(with_l2(problem, l2), x0))
            x0 = self.results_[-1].x
        coefs, intercepts = zip(*(self._unpack(problem, result.x) for result in self.results_), strict=True)
        self.coefs_, self.intercepts_ = np.array(coefs), np.array(intercepts)
        self.n_iter_ = np.array([result.nit for result in self.results_], dtype=np.int32)
        self._choose(validation)
        return self

    def _grid(self, total: float) -> Array:
        """Return the penalties of the mean loss in falling order."""
        if self.l2s is not None:
            l2s = np.array([check_l2(l2, 1)[0] for l2 in np.ravel(self.l2s)])
        else:
            number = isinstance(self.Cs, Integral) and not isinstance(self.Cs, bool)
            Cs = np.logspace(-4, 4, int(self.Cs)) if number and self.Cs >= 1 else np.atleast_1d(self.Cs)
            l2s = np.array([from_C(C, total) for C in Cs])
        if l2s.size == 0:
            raise ValueError("Cs or l2s: the grid of penalties is empty; give at least one")
        return np.sort(l2s)[::-1]

    def _choose(self, validation: tuple[Any, ArrayLike] | None) -> None:
        """Set `coef_` and `intercept_` to those of the best, or of the smallest penalty."""
        self.__dict__.pop("scores_", None)  # of an earlier fit
        self._use(len(self.coefs_) - 1)
        if validation is not None:
            self.scores_ = np.array([self._use(index).score(*validation) for index in range(len(self.coefs_))])
            self._use(int(np.argmax(self.scores_)))

    def _use(self, index: int) -> LogisticRegressionPath:
        """Predict with the penalty number `index`."""
        self.best_index_, self.coef_, self.intercept_ = index, self.coefs_[index], self.intercepts_[index]
        return self
