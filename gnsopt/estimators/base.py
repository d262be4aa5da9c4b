"""What the linear estimators share: validation, classes, the run, predictions."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.sparse import csr_array
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from gnsopt._typing import Array, IntArray
from gnsopt.arguments import as_number, shown
from gnsopt.blocks import RowBlocks
from gnsopt.blocks.sources import is_dask
from gnsopt.estimators.dask_arrays import by_chunks, classifier_problem
from gnsopt.minimize import minimize
from gnsopt.problems import Logistic, Softmax
from gnsopt.problems.validation import check_l2, check_weights, unit_scale, unscaled
from gnsopt.solver import Solver, suggest
from gnsopt.solvers.named import find_solver, solver_names
from gnsopt.stopping import Status

__all__ = ["Linear", "LinearClassifier", "from_C", "validate_data", "with_l2"]

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn < 1.6 has it as a method

    def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
        """Return the validated data."""
        return estimator._validate_data(X, y, **options)


UNPENALISED = 1e-6  # largest tolerance where a feature has no penalty (chosen)


class Linear(BaseEstimator):
    """What all share: the run with its checks and warnings, the warm start, the scores."""

    coef_: Any
    intercept_: Any

    def _run(self, problem: Any, x0: Array | None) -> OptimizeResult:
        """Minimise; warn, with a cure, unless the run converged."""
        solver = self.solver
        if isinstance(solver, str) and find_solver(solver) is None:
            raise ValueError(f"solver={solver!r} is unknown; {suggest(solver, solver_names())}")
        if not isinstance(solver, str | Solver):
            raise ValueError(f"solver={solver!r} must be a name or an instance of gnsopt.Solver")
        if not (isinstance(self.tol, Real) and as_number(self.tol, "tol") >= 0):
            raise ValueError(f"tol={self.tol!r} must be a number >= 0")
        if not (isinstance(self.max_iter, Integral) and int(self.max_iter) >= 0):
            raise ValueError(f"max_iter={self.max_iter!r} must be an integer >= 0")
        if not isinstance(self.verbose, bool | Integral):
            raise ValueError(f"verbose={shown(self.verbose)} must be True, False or an integer")
        # without a penalty only a small gradient tells separable data from others
        gtol = float(self.tol) if problem.penalised else min(float(self.tol), UNPENALISED)
        options = {"gtol": gtol, "maxiter": int(self.max_iter), "disp": bool(self.verbose)}
        result = minimize(problem, x0, method=solver, options=options)
        if result.status == Status.INTERRUPTED:  # the driver returns its best point; a grid search must end
            raise KeyboardInterrupt
        # With a penalty on every feature only an intercept can leave: that of a class (of all counts) without weight.
        # What it predicts has converged, so there is nothing to warn of.
        harmless = result.status == Status.AT_INFINITY and problem.penalised
        if not (result.success or harmless):
            warnings.warn(self._complaint(problem, result), ConvergenceWarning, stacklevel=3)
        return result

    def _complaint(self, problem: Any, result: OptimizeResult) -> str:
        """Return the sentence of a run that did not converge, with its cure."""
        name, size = type(self).__name__, float(np.max(np.abs(result.jac)))
        if result.status == Status.AT_INFINITY:
            return f"{name}: the minimiser is at infinity: {self._escape(problem)}"
        state = f"{name} did not converge: after {result.nit} iterations the gradient is {size:.3g}, tol={self.tol:g}"
        if result.status == Status.MAXITER:
            return f"{state}; raise max_iter (now {self.max_iter}), or scale the features (StandardScaler)"
        if result.status == Status.PRECISION_LIMIT:
            return f"{state}, and float64 allows no further decrease; raise tol, or scale the features (StandardScaler)"
        return f"{state} ({result.message}); scale the features (StandardScaler), or use solver='line-newton'"

    def _escape(self, problem: Any) -> str:
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


class LinearClassifier(ClassifierMixin, Linear):
    """A logistic or softmax regression, fitted: what follows from `coef_`, `intercept_` and `classes_`."""

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, float]:
        """Validate; return the problem without a penalty, and the total weight."""
        if is_dask(X):
            blocks = classifier_problem(self, X, y, sample_weight, self._factors)
            return blocks, blocks.total_weight
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, order="C")
        check_classification_targets(y)
        classes = np.unique(y)
        codes = np.searchsorted(classes, y)
        if classes.size < 2:
            raise ValueError(f"y has only one class, {classes[0]!r}; a classifier needs samples of at least 2 classes")
        weight, total = self._weights(classes, codes, sample_weight)
        family = Logistic if classes.size == 2 else Softmax
        problem = family(X, codes, fit_intercept=self.fit_intercept, sample_weight=weight)
        self.classes_ = classes
        return problem, total

    def _weights(self, classes: Array, codes: IntArray, sample_weight: Any) -> tuple[Array | None, float]:
        """Return sample weights times class weights up to a factor, or None if all are one, and the sum of them."""
        if sample_weight is None and self.class_weight is None:
            return None, float(codes.size)
        check_weights(sample_weight, codes.size)
        weight = np.broadcast_to(np.asarray(1.0 if sample_weight is None else sample_weight, dtype=float), codes.shape)
        weight, exponent = unit_scale(weight)
        if self.class_weight is not None:
            factor, more = unit_scale(self._factors(classes, np.bincount(codes, weights=weight)))
            weight, exponent = weight * factor[codes], exponent + more
        return weight, unscaled(weight.sum(), exponent)

    def _factors(self, classes: Any, mass: Any) -> Any:
        """Return what the weights of each class are multiplied by, from its total weight; None without."""
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":  # of the weighted samples
            return np.divide(mass.sum(), classes.size * mass, out=np.zeros(classes.size), where=mass > 0)
        # a dict, or an error that scikit-learn words
        return compute_class_weight(self.class_weight, classes=classes, y=classes)

    def _unpack(self, problem: Any, x: Array) -> tuple[Array, Array]:
        """Return coefficients (one row, or one for each class) and intercepts.

        Adding one vector to the coefficients of all classes changes no probability. The penalty is least where they
        sum to zero, and there the representative is unique: centred, also without a penalty, and the intercepts too.
        """
        V = x.reshape(-1, problem.k)
        if problem.k > 1:
            V = V - V.mean(axis=1, keepdims=True)
        d = len(V) - int(self.fit_intercept)
        return np.ascontiguousarray(V[:d].T), V[d].copy() if self.fit_intercept else np.zeros(problem.k)

    def _escape(self, problem: Any) -> str:
        return "the classes are separable by features without a penalty; set C finite (or l2 > 0 for every feature)"

    @by_chunks
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

    @by_chunks
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

    @by_chunks
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

    @by_chunks
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


def from_C(C: Any, total: float) -> float:
    """Return the penalty of the mean loss: ``l2 = 1 / (C sum_i w_i)``.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty of scikit-learn's sum, positive; inf is no penalty.
    total : float
        Sum of the weights of the samples.

    Returns
    -------
    float
        The penalty of the mean.

    Raises
    ------
    ValueError
        If C is not positive.
    """
    if not (isinstance(C, Real) and as_number(C, "C") > 0):
        raise ValueError(f"C={C!r} must be a positive number, or inf for no penalty")
    if np.isinf(total) and np.isfinite(float(C)):
        raise ValueError(f"C={C!r} times the sum of sample_weight leaves float64; rescale the weights")
    scaled = float(C) * total
    if not scaled > 1e-300:
        raise ValueError(f"C={C!r} times the sum of sample_weight, {total:.3g}, is zero in float64; rescale them")
    return 1.0 / scaled


def with_l2(problem: Any, l2: Any) -> Any:
    """Return a twin of `problem` with the penalty `l2`; the design, with all that it has computed, is shared.

    Parameters
    ----------
    problem : LinearModel or RowBlocks
        The problem; one in blocks is changed itself, another one is not.
    l2 : float or array_like of shape (n_features,)
        The penalty of the mean loss.

    Returns
    -------
    LinearModel or RowBlocks
        The twin.
    """
    if isinstance(problem, RowBlocks):
        problem.set_l2(l2)
        return problem
    twin = copy.copy(problem)
    penalty = np.zeros(problem.design.n_columns)
    penalty[: problem.design.n_features] = check_l2(l2, problem.design.n_features)
    twin.ridge = np.repeat(penalty, problem.k)
    return twin
