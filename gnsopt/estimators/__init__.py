"""Estimators for scikit-learn: logistic regression, its path of penalties, Poisson regression.

Drop-in for scikit-learn's of the same name. scikit-learn minimises ``C sum_i w_i l_i + |v|^2 / 2``; divided by
``C sum_i w_i`` this is our mean loss with

    l2 = 1 / (C sum_i w_i),      w = sample weights times class weights.
"""

from gnsopt.estimators.logistic import LogisticRegression
from gnsopt.estimators.path import LogisticRegressionPath
from gnsopt.estimators.poisson import PoissonRegressor
from gnsopt.estimators.regularization_search import RegularizationSearch

__all__ = ["LogisticRegression", "LogisticRegressionPath", "PoissonRegressor", "RegularizationSearch"]
