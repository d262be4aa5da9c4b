"""Bilevel problems that are ready for use."""

from gnsopt.bilevel.problems.cross_validation import CrossValidation
from gnsopt.bilevel.problems.denoising import FieldsOfExperts, TotalVariation
from gnsopt.bilevel.problems.elastic_net import ElasticNet
from gnsopt.bilevel.problems.linear_penalties import LinearPenalties, LogisticPenalties, RidgePenalties
from gnsopt.bilevel.problems.reweighting import Reweighting

__all__ = [
    "CrossValidation",
    "ElasticNet",
    "FieldsOfExperts",
    "LinearPenalties",
    "LogisticPenalties",
    "Reweighting",
    "RidgePenalties",
    "TotalVariation",
]
