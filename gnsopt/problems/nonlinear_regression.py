r"""Nonlinear regression, ``f(b) = sum_i (y_i - m(b; x_i))^2 / 2``, and the 27 reference problems of NIST [1].

The Jacobian is that of the complex step, ``Im m(b + i t e_j)/t`` with t = 1e-30: exact to rounding wherever the model
is written in analytic functions. The natural metric is ``diag(1/b0^2)``: steps are measured by relative changes of the
start, so that the units of the parameters do not matter. (Marquardt's ``diag(J'J)`` lets those parameters run away to
which the start is not sensitive: with it 3 of NIST's 54 runs end where their model is flat.)

References
----------
[1] NIST Statistical Reference Datasets, nonlinear regression, https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml
"""

from __future__ import annotations

import re
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.linalg import norm

from gnsopt import datasets
from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, check_name, shown
from gnsopt.linalg.metric import DiagonalMetric, Metric
from gnsopt.problems.composite import Composite, Squared

STEP = 1e-30
EPS = float(np.finfo(float).eps)
CUBE_ROOT = float(np.cbrt(EPS))  # relative step of central differences
FINER = (1.0, 0.25)  # their difference tells how far they can be trusted:
TRUSTED = 0.01  # not where they differ by more than this, as of oscillations within a step (chosen)
ARCHIVE = "nist_strd_nls.tar"


class NonlinearRegression(Composite):
    """Least squares of a model with real parameters; a sum over the observations.

    Parameters
    ----------
    model : callable
        ``model(b, x)``, shape (m,), analytic in b; without `jac` it must accept complex b, and at `b0` its complex step
        is compared with central differences.
    x : array_like
        Predictors, handed to the model as an array; or a tuple of arrays.
    y : array_like of shape (m,)
        Responses.
    b0 : array_like of shape (n,)
        Start.
    jac : callable, optional
        ``jac(b, x)``, shape (m, n); the complex step by default.

    Raises
    ------
    ValueError
        If the responses or the start are not finite vectors, or the model is not analytic.

    Examples
    --------
    >>> import numpy as np
    >>> import gnsopt
    >>> from gnsopt.problems import NonlinearRegression
    >>> x = np.linspace(0, 3, 20)
    >>> y = 2 * np.exp(-0.5 * x)
    >>> problem = NonlinearRegression(lambda b, x: b[0] * np.exp(-b[1] * x), x, y, b0=[1.0, 1.0])
    >>> print(gnsopt.minimize(problem, method="levenberg-marquardt").x.round(6))
    [2.  0.5]
    """

    def __init__(
        self,
        model: Callable[[Array, Any], Array],
        x: Any,
        y: ArrayLike,
        b0: ArrayLike,
        jac: Callable[[Array, Any], Array] | None = None,
    ) -> None:
        self.y, self.b0 = as_array(y, "y", finite=False).copy(), as_array(b0, "b0", finite=False).copy()
        for name, value in (("y", self.y), ("b0", self.b0)):
            if value.ndim != 1 or value.size == 0 or not np.isfinite(value).all():
                raise ValueError(f"{name} has shape {value.shape}; it must be a vector of finite numbers")
        for name, function, optional in (("model", model, False), ("jac", jac, True)):
            if not (callable(function) or (optional and function is None)):
                raise TypeError(f"{name}={shown(function)} must be callable")
        self.x = tuple(np.asarray(part) for part in x) if isinstance(x, tuple) else np.asarray(x)
        self.model, self._model_jac = model, jac
        super().__init__(Squared(), self.residual, self.jacobian, self.b0.size)
        if jac is None:
            with np.errstate(all="ignore"):
                self._check_analytic()

    def start(self) -> Array:
        """Return the start that was given."""
        return self.b0.copy()

    def residual(self, b: Array) -> Array:
        """Return ``m(b; x) - y``; not a number where the model is not defined."""
        with np.errstate(all="ignore"):
            return self._values(b) - self.y

    def _values(self, b: Array) -> Array:
        """Return ``m(b; x)``, one value for each target."""
        values = np.asarray(self.model(b, self.x))
        if values.shape != self.y.shape:
            raise ValueError(f"model returned shape {values.shape}; y has shape {self.y.shape}, and they must agree")
        return values

    def jacobian(self, b: Array) -> Array:
        """Return the derivatives of the model, shape (m, n)."""
        with np.errstate(all="ignore"):
            if self._model_jac is not None:
                return np.asarray(self._model_jac(b, self.x), dtype=float)
            turned = b.astype(complex) + 1j * STEP * np.eye(b.size)
            return np.stack([np.imag(self.model(c, self.x)) / STEP for c in turned], axis=1)

    def _check_analytic(self) -> None:
        """Refuse a model whose complex step is not its derivative at the start: abs has a derivative of zero there."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            try:
                J = self.jacobian(self.b0)
            except TypeError as error:
                raise ValueError(f"the model takes no complex b: pass jac= ({error})") from error
        here = self._values(self.b0)
        for j, h in enumerate(CUBE_ROOT * np.where(self.b0 == 0, 1.0, np.abs(self.b0))):
            e = h * np.eye(self.b0.size)[j]
            slope, finer = (
                (self._values(self.b0 + t * e) - self._values(self.b0 - t * e)) / (2 * t * h) for t in FINER
            )
            known = np.isfinite(J[:, j]) & np.isfinite(slope) & np.isfinite(finer) & np.isfinite(here)
            away, size, doubt, level = (norm(v[known]) for v in (J[:, j] - slope, slope, slope - finer, here))
            if doubt <= TRUSTED * size and away > 1e-3 * size + 10 * doubt + 100 * EPS * level / h:
                raise ValueError(f"the model is not analytic in b[{j}] (abs, real, conj, float): pass jac=")

    def metric(self) -> Metric:
        """Return ``B = diag(1/b0^2)``; a parameter that starts at zero is measured by 1."""
        size = np.clip(np.where(self.b0 == 0, 1.0, np.abs(self.b0)), 1e-150, 1e150)  # their squares are floats
        return DiagonalMetric(1 / size**2)


# ---------------------------------------------------------------------------------------------------------- NIST


@dataclass(frozen=True)
class Nist:
    """One of NIST's reference problems.

    Parameters
    ----------
    name : str
        Its name.
    x, y : ndarray
        Predictors (a tuple of two for Nelson) and responses.
    starts : tuple of ndarray
        The far start and the near one.
    certified : ndarray of shape (n,)
        Parameters, certified to 11 digits.
    deviations : ndarray of shape (n,)
        Their standard deviations.
    rss : float
        Certified residual sum of squares, ``2 f``.
    """

    name: str
    x: Any
    y: Array
    starts: tuple[Array, Array]
    certified: Array
    deviations: Array
    rss: float

    def problem(self, start: int = 1) -> NonlinearRegression:
        """Return the problem from its first (far) or second (near) start.

        Parameters
        ----------
        start : {1, 2}, default=1
            Which start.

        Returns
        -------
        NonlinearRegression
            The problem; its `f_star` is half of the certified sum of squares.
        """
        y = np.log(self.y) if self.name == "Nelson" else self.y
        problem = NonlinearRegression(MODELS[self.name], self.x, y, self.starts[start - 1])
        problem.f_star, problem.x_star = self.rss / 2, self.certified
        return problem

    def digits(self, b: ArrayLike) -> Array:
        """Return the correct digits of each parameter, ``-log10`` of its relative error, between 0 and 11.

        Parameters
        ----------
        b : array_like of shape (n,)
            Parameters.

        Returns
        -------
        ndarray of shape (n,)
            The digits.
        """
        with np.errstate(all="ignore"):
            error = np.abs(np.asarray(b) - self.certified) / np.abs(self.certified)
            found = -np.log10(error)
        return np.clip(np.nan_to_num(found, nan=0.0, posinf=11.0), 0.0, 11.0)


def load_nist(name: str) -> Nist:
    """Read one of the 27 problems from the archive of their files, ``nist_strd_nls.tar``, found as all data sets are.

    Parameters
    ----------
    name : str
        Such as ``"MGH17"``; see `NIST`.

    Returns
    -------
    Nist
        The problem.

    Raises
    ------
    ValueError
        For an unknown name.
    FileNotFoundError
        Where the archive is in none of the places of `gnsopt.datasets`.
    """
    check_name(name, "name", MODELS)
    return parse_nist(name, _files(str(datasets.find(ARCHIVE)))[name])


@cache
def _files(path: str) -> dict[str, str]:
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".dat")]
        texts = {member.name: archive.extractfile(member) for member in members}
        return {
            path.rpartition("/")[2].removesuffix(".dat"): file.read().decode("ascii")
            for path, file in texts.items()
            if file is not None
        }


def parse_nist(name: str, text: str) -> Nist:
    """Read a file of NIST's: starts and certified values from the lines ``b1 = ...``, the table behind ``Data:``.

    Parameters
    ----------
    name : str
        Name of the problem.
    text : str
        Contents of the file.

    Returns
    -------
    Nist
        The problem.
    """
    number = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
    rows = re.findall(r"^\s*b\d\s*=\s*" + r"\s+".join([number] * 4) + r"\s*$", text, re.MULTILINE)
    values = np.array(rows, dtype=float)
    rss = re.search(r"Residual Sum of Squares:\s*" + number, text)
    table = text[text.rindex("Data:") :].split("\n")[1:]
    data = np.array([line.split() for line in table if line.strip()], dtype=float)
    if rss is None or values.ndim != 2 or data.ndim != 2:
        raise ValueError(f"{name} is not a file of NIST's nonlinear regressions")
    x = data[:, 1] if data.shape[1] == 2 else tuple(data[:, 1:].T)
    return Nist(name, x, data[:, 0], (values[:, 0], values[:, 1]), values[:, 2], values[:, 3], float(rss[1]))


def _gauss(b: Array, x: Array) -> Any:
    peaks = b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2) + b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * np.exp(-b[1] * x) + peaks


def _lanczos(b: Array, x: Array) -> Any:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def _cubics(b: Array, x: Array) -> Any:
    return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6])))


def _saturation(b: Array, x: Array) -> Any:
    return b[0] * (1 - np.exp(-b[1] * x))


def _chwirut(b: Array, x: Array) -> Any:
    return np.exp(-b[0] * x) / (b[1] + b[2] * x)


def _enso(b: Array, x: Array) -> Any:
    out = b[0]
    for cosine, sine, period in ((b[1], b[2], 12.0), (b[4], b[5], b[3]), (b[7], b[8], b[6])):
        angle = 2 * np.pi * x / period
        out = out + cosine * np.cos(angle) + sine * np.sin(angle)
    return out


MODELS: dict[str, Callable[[Array, Any], Any]] = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": _saturation,
    "Chwirut1": _chwirut,
    "Chwirut2": _chwirut,
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": _enso,
    "Eckerle4": lambda b, x: b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _cubics,
    "Kirby2": lambda b, x: (b[0] + x * (b[1] + x * b[2])) / (1 + x * (b[3] + x * b[4])),
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Lanczos3": _lanczos,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * np.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]),
    "Misra1a": _saturation,
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda b, x: b[0] - b[1] * x[0] * np.exp(-b[2] * x[1]),
    "Rat42": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi,
    "Thurber": _cubics,
}
NIST = tuple(MODELS)
