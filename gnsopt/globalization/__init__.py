"""Globalisation: the decrease of the objective, exact to rounding, the flat point of a line, and the arithmetic of the searches."""

from gnsopt.globalization.decrease import decrease
from gnsopt.globalization.line import flat_point
from gnsopt.globalization.search import TESTS, progress_ratio

__all__ = ["TESTS", "decrease", "flat_point", "progress_ratio"]
