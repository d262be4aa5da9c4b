"""Checks of the fields of methods."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_positive(**numbers: Any) -> None:
    """Raise ValueError unless each number is positive and finite, or None.

    Parameters
    ----------
    **numbers : float or None
        By name.

    Raises
    ------
    ValueError
        With name and value.
    """
    for name, value in numbers.items():
        if value is not None and not (isinstance(value, float | int | np.number) and 0 < float(value) < np.inf):
            raise ValueError(f"{name}={value!r} must be a positive number")


def check_count(**numbers: Any) -> None:
    """Raise ValueError unless each number is an integer of at least 1.

    Parameters
    ----------
    **numbers : int
        By name.

    Raises
    ------
    ValueError
        With name and value.
    """
    for name, value in numbers.items():
        if not (isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1):
            raise ValueError(f"{name}={value!r} must be an integer of at least 1")


def check_inner(inner: Any) -> None:
    """Raise ValueError unless `inner` names an inner method.

    Parameters
    ----------
    inner : object
        What the user gave.

    Raises
    ------
    ValueError
        With the names.
    """
    if inner not in ("l-bfgs", "gradient"):
        raise ValueError(f"inner={inner!r} is unknown; choose one of gradient, l-bfgs")
