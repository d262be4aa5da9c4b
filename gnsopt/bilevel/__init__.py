"""Bilevel optimisation: ``min_theta g(x*(theta), theta)`` with ``x*(theta) = argmin_x h(x, theta)``, theta in a box."""

from gnsopt.bilevel.blocks import MultiBlock
from gnsopt.bilevel.certify import Certificate, certify
from gnsopt.bilevel.constrained import ConstrainedProblem
from gnsopt.bilevel.minimize import METHODS, minimize
from gnsopt.bilevel.problem import BilevelProblem, Constants
from gnsopt.bilevel.problems import (
    CrossValidation,
    ElasticNet,
    FieldsOfExperts,
    LinearPenalties,
    LogisticPenalties,
    Reweighting,
    RidgePenalties,
    TotalVariation,
)
from gnsopt.bilevel.result import STATUSES, BilevelResult

__all__ = [
    "Certificate",
    "MultiBlock",
    "certify",
    "METHODS",
    "STATUSES",
    "BilevelProblem",
    "BilevelResult",
    "Constants",
    "CrossValidation",
    "ConstrainedProblem",
    "ElasticNet",
    "FieldsOfExperts",
    "LinearPenalties",
    "LogisticPenalties",
    "Reweighting",
    "RidgePenalties",
    "TotalVariation",
    "minimize",
]
