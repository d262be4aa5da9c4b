"""Globalisation: the decrease of the objective, exact to rounding, the flat point of a line, the acceptance tests."""

from gnsopt.globalization.decrease import decrease
from gnsopt.globalization.line import flat_point
from gnsopt.globalization.search import TESTS, progress_ratio

__all__ = ["TESTS", "decrease", "flat_point", "progress_ratio"]
