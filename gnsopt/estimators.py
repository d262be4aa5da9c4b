"""Estimators for scikit-learn: logistic regression, its path of penalties, Poisson regression.

Drop-in for scikit-learn's of the same name. scikit-learn minimises ``C sum_i w_i l_i + |v|^2 / 2``; divided by
``C sum_i w_i`` this is our mean loss with

    l2 = 1 / (C sum_i w_i),      w = sample weights times class weights.
"""

from __future__ import annotations

import copy
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.sparse import csr_array
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from gnsopt._typing import Array, ArrayLike, IntArray
from gnsopt.minimize import minimize
from gnsopt.problems import LinearModel, Logistic, PoissonRegression, Softmax
from gnsopt.problems.validation import check_l2, check_weights
from gnsopt.solver import Solver, suggest
from gnsopt.solvers import SOLVERS
from gnsopt.stopping import Status

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn < 1.6 has it as a method

    def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
        """Return the validated data."""
        return estimator._validate_data(X, y, **options)


__all__ = ["LogisticRegression", "LogisticRegressionPath", "PoissonRegressor"]


class _Linear(BaseEstimator):
    """What all share: the run with its checks and warnings, the warm start, the scores."""

    coef_: Any
    intercept_: Any

    def _run(self, problem: LinearModel, x0: Array | None) -> OptimizeResult:
        """Minimise; warn, with a cure, unless the run converged."""
        solver = self.solver
        if isinstance(solver, str) and solver.lower() not in SOLVERS:
            raise ValueError(f"solver={solver!r} is unknown; {suggest(solver, SOLVERS)}")
        if not isinstance(solver, str | Solver):
            raise ValueError(f"solver={solver!r} must be a name or an instance of gnsopt.Solver")
        if not (isinstance(self.tol, Real) and float(self.tol) >= 0):
            raise ValueError(f"tol={self.tol!r} must be a number >= 0")
        if not (isinstance(self.max_iter, Integral) and int(self.max_iter) >= 0):
            raise ValueError(f"max_iter={self.max_iter!r} must be an integer >= 0")
        options = {"gtol": float(self.tol), "maxiter": int(self.max_iter), "disp": bool(self.verbose)}
        result = minimize(problem, x0, method=solver, options=options)
        if result.status == Status.INTERRUPTED:  # the driver returns its best point; a grid search must end
            raise KeyboardInterrupt
        # With a penalty on every feature only an intercept can leave: that of a class (of all counts) without weight.
        # What it predicts has converged, so there is nothing to warn of.
        harmless = result.status == Status.AT_INFINITY and bool(
            np.all(problem.ridge[: problem.design.n_features * problem.k] > 0)
        )
        if not (result.success or harmless):
            warnings.warn(self._complaint(problem, result), ConvergenceWarning, stacklevel=3)
        return result

    def _complaint(self, problem: LinearModel, result: OptimizeResult) -> str:
        """Return the sentence of a run that did not converge, with its cure."""
        name, size = type(self).__name__, float(np.max(np.abs(result.jac)))
        if result.status == Status.AT_INFINITY:
            return f"{name}: the minimiser is at infinity: {self._escape(problem)}"
        state = f"{name} did not converge: after {result.nit} iterations the gradient is {size:.3g}, tol={self.tol:g}"
        if result.status == Status.MAXITER:
            return f"{state}; raise max_iter (now {self.max_iter}), or scale the features (StandardScaler)"
        if result.status == Status.PRECISION_LIMIT:
            return f"{state}, and float64 allows no further decrease; raise tol, or scale the features (StandardScaler)"
        return f"{state} ({result.message}); scale the features (StandardScaler), or use solver='gns'"

    def _escape(self, problem: LinearModel) -> str:
        """Return why the minimiser is at infinity, with the cure."""
        raise NotImplementedError

    def _warm_start(self, rows: int, columns: int) -> Array | None:
        """Return the last solution as variables, if it is asked for, there, and of the right shape."""
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        W = np.atleast_2d(self.coef_.toarray() if isinstance(self.coef_, csr_array) else self.coef_).T
        if self.fit_intercept:
            W = np.vstack([W, np.broadcast_to(self.intercept_, W.shape[1])])
        return np.ascontiguousarray(W).reshape(-1) if W.shape == (columns, rows) else None

    def _scores(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return np.asarray(safe_sparse_dot(X, self.coef_.T, dense_output=True)) + self.intercept_

    def __sklearn_tags__(self) -> Any:
        """Return the tags: sparse input is fine."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _LinearClassifier(ClassifierMixin, _Linear):
    """A logistic or softmax regression, fitted: what follows from `coef_`, `intercept_` and `classes_`."""

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> tuple[LinearModel, float]:
        """Validate; return the problem without a penalty, and the total weight."""
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, order="C")
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if classes.size < 2:
            raise ValueError(f"y has only one class, {classes[0]!r}; a classifier needs samples of at least 2 classes")
        weight = self._weights(classes, codes, sample_weight)
        family = Logistic if classes.size == 2 else Softmax
        problem = family(X, codes, fit_intercept=self.fit_intercept, sample_weight=weight)
        self.classes_ = classes
        return problem, float(codes.size if weight is None else weight.sum())

    def _weights(self, classes: Array, codes: IntArray, sample_weight: Any) -> Array | None:
        """Return sample weights times class weights, or None if all are one."""
        if sample_weight is None and self.class_weight is None:
            return None
        check_weights(sample_weight, codes.size)
        weight = np.broadcast_to(np.asarray(1.0 if sample_weight is None else sample_weight, dtype=float), codes.shape)
        if self.class_weight is None:
            return weight
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":  # of the weighted samples
            mass = np.bincount(codes, weights=weight)
            factor = np.divide(weight.sum(), classes.size * mass, out=np.zeros(classes.size), where=mass > 0)
        else:  # a dict, or an error that scikit-learn words
            factor = compute_class_weight(self.class_weight, classes=classes, y=classes[codes])
        return np.asarray(weight * factor[codes])

    def _unpack(self, problem: LinearModel, x: Array) -> tuple[Array, Array]:
        """Return coefficients (one row, or one for each class) and intercepts.

        Adding one vector to the coefficients of all classes changes no probability. The penalty is least where they
        sum to zero, and there the representative is unique: centred, also without a penalty, and the intercepts too.
        """
        V = x.reshape(problem.design.n_columns, problem.k)
        if problem.k > 1:
            V = V - V.mean(axis=1, keepdims=True)
        d = problem.design.n_features
        return np.ascontiguousarray(V[:d].T), V[d].copy() if self.fit_intercept else np.zeros(problem.k)

    def _escape(self, problem: LinearModel) -> str:
        return "the classes are separable by features without a penalty; set C finite (or l2 > 0 for every feature)"

    def decision_function(self, X: Any) -> Array:
        """Return the scores ``X coef_' + intercept_``.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            One score for two classes (positive: the larger label), otherwise one for each class.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        scores = self.decision_function(X)
        index = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[index])

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return np.asarray(softmax(scores, axis=1))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of the probability of each class, finite where the probability underflows.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([log_expit(-scores), log_expit(scores)])
        return np.asarray(log_softmax(scores, axis=1))

    def sparsify(self) -> Any:
        """Store `coef_` as a sparse array.

        Returns
        -------
        object
            The estimator itself.
        """
        check_is_fitted(self)
        self.coef_ = csr_array(self.coef_)
        return self

    def densify(self) -> Any:
        """Store `coef_` as a dense array, undoing `sparsify`.

        Returns
        -------
        object
            The estimator itself.
        """
        check_is_fitted(self)
        if isinstance(self.coef_, csr_array):
            self.coef_ = self.coef_.toarray()
        return self


class LogisticRegression(_LinearClassifier):
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
    tol : float, default=1e-6
        Stop when the largest entry of the gradient of ``sum_i w_i l_i / sum_i w_i + l2/2 |v|^2`` is at most this.
    fit_intercept : bool, default=True
        Add an intercept.
    class_weight : dict or "balanced", optional
        Weights of the classes, multiplied with the sample weights; "balanced" gives all classes the same total.
    random_state : object, optional
        Ignored: nothing is random. There so that calls written for scikit-learn work.
    solver : str or gnsopt.Solver, default="gns"
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
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had some.
    result_ : scipy.optimize.OptimizeResult
        The run: objective, trace, counts, message.

    Notes
    -----
    Without an intercept the gap of the mean loss is at most ``|g|^2 / (2 l2)``: quadratic in the gradient. Where
    scikit-learn's default stops its gradient of the same mean loss at 1e-4, ours stops at 1e-6: the bound is 1e4 times
    smaller, for a Newton step or two more.

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
        tol: float = 1e-6,
        fit_intercept: bool = True,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str | Solver = "gns",
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
        """
        if self.penalty not in ("l2", None):
            raise ValueError(f"penalty={self.penalty!r} must be 'l2' or None")
        problem, total = self._problem(X, y, sample_weight)
        l2 = (0.0 if self.penalty is None else _from_C(self.C, total)) if self.l2 is None else self.l2
        problem = _with_l2(problem, l2)
        self.result_ = self._run(problem, self._warm_start(problem.k, problem.design.n_columns))
        self.coef_, self.intercept_ = self._unpack(problem, self.result_.x)
        self.n_iter_ = np.array([self.result_.nit], dtype=np.int32)
        return self


class LogisticRegressionPath(_LinearClassifier):
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
    fit_intercept : bool, default=True
        Add an intercept.
    class_weight : dict or "balanced", optional
        As in `LogisticRegression`.
    solver : str or gnsopt.Solver, default="gns"
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
    feature_names_in_ : ndarray of shape (n_features_in_,)
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
        solver: str | Solver = "gns",
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
        with np.errstate(divide="ignore"):
            self.Cs_ = 1.0 / (self.l2s_ * total)
        self.results_: list[OptimizeResult] = []
        x0 = None
        for l2 in self.l2s_:
            self.results_.append(self._run(_with_l2(problem, l2), x0))
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
            l2s = np.array([_from_C(C, total) for C in Cs])
        if l2s.size == 0:
            raise ValueError("the grid of penalties is empty; give at least one")
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


class PoissonRegressor(RegressorMixin, _Linear):
    """Poisson regression with the log link: half of the mean deviance plus ``alpha/2 |v|^2``.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty, non-negative; the loss is the weighted mean, so this is `l2`.
    fit_intercept : bool, default=True
        Add an intercept, which is not penalised.
    solver : str or gnsopt.Solver, default="gns"
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
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had some.
    result_ : scipy.optimize.OptimizeResult
        The run: objective, trace, counts, message.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        solver: str | Solver = "gns",
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
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, order="C", y_numeric=True)
        if not (isinstance(self.alpha, Real) and 0 <= float(self.alpha) < np.inf):
            raise ValueError(f"alpha={self.alpha!r} must be a finite number >= 0")
        problem = PoissonRegression(X, y, self.alpha, self.fit_intercept, sample_weight)
        x0 = self._warm_start(1, problem.design.n_columns)
        mean = float(problem.weight @ problem.y)
        if x0 is None and self.fit_intercept and mean > 0:  # counts may be large: start at the best constant
            x0 = np.append(np.zeros(problem.design.n_features), np.log(mean))
        self.result_ = self._run(problem, x0)
        x, d = self.result_.x, problem.design.n_features
        self.coef_, self.intercept_ = x[:d].copy(), float(x[d]) if self.fit_intercept else 0.0
        self.n_iter_ = int(self.result_.nit)
        return self

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

    def _escape(self, problem: LinearModel) -> str:
        return "features without a penalty separate counts of zero; set alpha > 0"

    def __sklearn_tags__(self) -> Any:
        """Return the tags: counts are positive."""
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


def _from_C(C: Any, total: float) -> float:
    """Return the penalty of the mean loss: ``l2 = 1 / (C sum_i w_i)``."""
    if not (isinstance(C, Real) and float(C) > 0):
        raise ValueError(f"C={C!r} must be a positive number, or inf for no penalty")
    return 1.0 / (float(C) * total)


def _with_l2(problem: LinearModel, l2: Any) -> LinearModel:
    """Return a twin of `problem` with the penalty `l2`; the design, with all that it has computed, is shared."""
    twin = copy.copy(problem)
    penalty = np.zeros(problem.design.n_columns)
    penalty[: problem.design.n_features] = check_l2(l2, problem.design.n_features)
    twin.ridge = np.repeat(penalty, problem.k)
    return twin
