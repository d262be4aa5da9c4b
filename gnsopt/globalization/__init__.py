"""Globalisation: the decrease of the objective, exact to rounding, and the arithmetic of the searches."""

from gnsopt.globalization.decrease import decrease
from gnsopt.globalization.search import TESTS, progress_ratio

__all__ = ["TESTS", "decrease", "progress_ratio"]
