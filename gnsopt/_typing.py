"""Array aliases shared by the whole library; shapes live in the docstrings."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
ArrayLike: TypeAlias = npt.ArrayLike
Matrix: TypeAlias = Any  # a dense float64 array or a SciPy CSR array of shape (n_samples, n_features)
