"""The papers' objectives, one file each."""

from gnsopt.problems.linear import LinearModel
from gnsopt.problems.logistic import Logistic
from gnsopt.problems.logsumexp import LogSumExp
from gnsopt.problems.softmax import Softmax

__all__ = ["LinearModel", "LogSumExp", "Logistic", "Softmax"]
