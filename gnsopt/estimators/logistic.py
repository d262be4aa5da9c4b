"""Logistic regression, binary and multinomial."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gnsopt._typing import ArrayLike
from gnsopt.arguments import shown
from gnsopt.estimators.base import LinearClassifier, from_C, with_l2
from gnsopt.solver import Solver


class LogisticRegression(LinearClassifier):
    r"""Logistic regression with an l2 penalty: ``C sum_i w_i l_i + |v|^2 / 2``, intercepts not penalised.

    Two classes are fitted by `gnsopt.Logistic`, more by `gnsopt.Softmax` (multinomial).

    Parameters
    ----------
    penalty : {"l2", None}, default="l2"
        None is ``C=inf``.
    C : float, default=1.0
        Inverse strength of the penalty, positive; ``inf`` is no penalty.
    l2 : float or array_like of shape (n_features,), optional
        The penalty in the convention of a mean loss, one number or one per feature; it takes the place of `C`.
    tol : float, default=1e-5
        Stop when the largest entry of the gradient of ``sum_i w_i l_i / sum_i w_i + l2/2 |v|^2`` is at most this.
        Where a feature has no penalty a larger value counts as 1e-6.
    fit_intercept : bool, default=True
        Add an intercept.
    class_weight : dict or "balanced", optional
        Weights of the classes, multiplied with the sample weights; "balanced" gives all classes the same total.
    random_state : object, optional
        Ignored: nothing is random. There so that calls written for scikit-learn work.
    solver : str or gnsopt.Solver, default="line-newton"
        Name of a method (``gnsopt methods`` lists them), or an instance.
    max_iter : int, default=10000
        Iterations at the most.
    verbose : int, default=0
        Print a line for each iteration if not zero.
    warm_start : bool, default=False
        Start from the last solution.
    n_jobs : object, optional
        Ignored, like `random_state`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients; for more than two classes they sum to zero over the classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts; likewise.
    n_iter_ : ndarray of shape (1,)
        Iterations.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had some.
    result_ : scipy.optimize.OptimizeResult
        The run: objective, trace, counts, message.

    Notes
    -----
    `tol` means what it means to scikit-learn's lbfgs, whose default is 1e-4; a tenth of it costs a Newton method one
    step, and the objective is then at least as low. Without an intercept the gap of the mean loss is at most
    ``|g|^2 / (2 l2)``, with g in `result_`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gnsopt.estimators import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> print(f"{LogisticRegression(C=10.0).fit(X, y).score(X, y):.3f}")
    0.980
    """

    def __init__(
        self,
        penalty: str | None = "l2",
        *,
        C: float = 1.0,
        l2: Any = None,
        tol: float = 1e-5,
        fit_intercept: bool = True,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str | Solver = "line-newton",
        max_iter: int = 10_000,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: Any = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l2 = l2
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> LogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : array_like of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array_like of shape (n_samples,), optional
            Non-negative weights.

        Returns
        -------
        LogisticRegression
            The estimator itself.

        Raises
        ------
        ValueError
            For a parameter out of range or data that cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the run ends before `tol`, or the minimiser is at infinity; it names the cure.
        UserWarning
            If C was given and ``penalty=None``.
        """
        if not (self.penalty is None or (isinstance(self.penalty, str) and self.penalty == "l2")):
            raise ValueError(f"penalty={shown(self.penalty)} must be 'l2' or None")
        if self.penalty is None and self.C not in (1.0, np.inf):
            message = f"Setting penalty=None will ignore the C={self.C!r} that was given; leave one of the two out"
            warnings.warn(message, UserWarning, stacklevel=2)
        problem, total = self._problem(X, y, sample_weight)
        l2 = (0.0 if self.penalty is None else from_C(self.C, total)) if self.l2 is None else self.l2
        problem = with_l2(problem, l2)
        self.result_ = self._run(problem, self._warm_start(problem.k, problem.n // problem.k))
        self.coef_, self.intercept_ = self._unpack(problem, self.result_.x)
        self.n_iter_ = np.array([self.result_.nit], dtype=np.int32)
        return self
