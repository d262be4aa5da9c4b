r"""First-order rules that scale the gradient entry by entry or as a whole, as one family driven by the full gradient.

====================  =================================================================================================
`gradient`            d = g
`adam`                m = E_1(g), v = E_2(g^2), d = m^ / (sqrt v^ + eps)                                            [1]
`adabelief`           the same with v = E_2((g - m)^2) + eps: eps enters at every step                              [2]
`diffgrad`            Adam's d times 1/(1 + exp(-|g - g_|))                                                         [3]
`adan`                m = E_1(g), c = E_2(g - g_), v = E_3((g + b_2 (g - g_))^2), d = (m^ + b_2 c^)/(sqrt v^ + eps)  [4]
`nme`                 m = b m + g + b (g - g_), d = m: Adan's estimate without its scaling; Nesterov's method [4]
`scale`               m = E_1(g), d = m over the root mean square of each row                                       [5]
`adagrad-norm`        d = g / sqrt(eps + sum |g|^2)                                                                 [6]
`exponentiated`       x(t) = s sinh(asinh(x/s) - t g), for s = 0 x exp(-t g sign x): signs never change             [7]
`sketched`            d = R'R g, R Gaussian with s rows, E R'R = I; for L-smooth f ``lr = 1/(L (1 + (n + 1)/s))``
====================  =================================================================================================

E_i is the exponential moving average with ``b_i = betas[i - 1]``; a hat divides by ``1 - b_i^k``. In Adan the first
difference is zero, as in its code, in `nme` it is g, with which it is Nesterov's method exactly.

Without a step size (``lr=None``) t is found along ``x - t d`` by halving and doubling with a test of sufficient
decrease, and a direction that does not descend makes the rule forget its past: f then falls on every problem. That is
ours; with a number, a sequence or a function of the iteration as `lr` each rule is that of its paper. Weight decay and
rectification, which some of their codes switch on, are absent.

References
----------
[1] Kingma, Ba, 1412.6980. [2] Zhuang et al., 2010.07468. [3] Dubey et al., 1909.11015 (with the previous gradient,
which the first code overwrote). [4] Xie et al., 2208.06677. [5] Glentis et al., 2506.16659. [6] Ward, Wu, Bottou,
1806.01811. [7] Kivinen, Warmuth, Inf. Comput. 132 (1997); Ghai, Hazan, Singer, 1902.01903.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.exceptions import StepFailure
from gnsopt.globalization.backtracking import backtrack
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.solver import Solver, suggest

Direction = Callable[[int, Array], Array]  # (step since the last restart, from 1; gradient) -> d


@dataclass(frozen=True)
class Adaptive(Solver):
    r"""The family of scaled first-order rules (method ``"adaptive"``).

    Parameters
    ----------
    rule : str, default="adam"
        ``"gradient"``, ``"adam"``, ``"adabelief"``, ``"diffgrad"``, ``"adan"``, ``"nme"``, ``"scale"``,
        ``"adagrad-norm"``, ``"exponentiated"`` or ``"sketched"``.
    lr : float, sequence or callable, optional
        Step size; one for each iteration (the last one is kept), or ``lr(k)`` for k = 0, 1, ...; searched by default.
    betas : sequence of float, optional
        Decay of the averages, in [0, 1); by default those of the rule's code.
    eps : float, optional
        Floor of the scaling; by default 1e-8, for ``"adagrad-norm"`` 1e-2.
    shape : tuple of int, optional
        Rows and columns of the matrix whose rows ``"scale"`` normalises; one row by default.
    sketch : int, optional
        Rows of the sketch; a quarter of the variables by default.
    spread : float, default=1.0
        The s of ``"exponentiated"``: entries well above s are multiplied, those below are added to.
    seed : int, default=0
        Seed of the sketches.
    max_trials : int, default=60
        Trials of a step size at the most.

    Examples
    --------
    >>> import gnsopt
    >>> X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    >>> result = gnsopt.minimize(gnsopt.Logistic(X, y, l2=0.1), method="adaptive", options={"rule": "adan"})
    >>> result.success
    True
    """

    order: ClassVar[int] = 1

    rule: str = "adam"
    lr: Any = None
    betas: Any = None
    eps: Any = None
    shape: Any = None
    sketch: Any = None
    spread: float = 1.0
    seed: int = 0
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r} is unknown; {suggest(str(self.rule), RULES)}")
        many, (betas, eps) = len(RULES[self.rule][1]), self._resolved()
        listed = isinstance(betas, tuple | list | np.ndarray) and np.ndim(betas) == 1 and len(betas) == many
        if not (listed and all(isinstance(beta, Real) and 0 <= as_number(beta, "betas") < 1 for beta in betas)):
            raise ValueError(f"betas={shown(betas)} must be {many} numbers in [0, 1) for rule={self.rule!r}")
        if not (0 < as_number(eps, "eps") < np.inf and 0 <= self.spread < np.inf):
            raise ValueError(f"eps={shown(eps)} must be above 0 and spread={self.spread} at least 0, both finite")
        if self.eps is not None:
            object.__setattr__(self, "eps", float(eps))
        shape = () if self.shape is None else self.shape
        if not (isinstance(shape, tuple | list) and all(isinstance(k, int | np.integer) and k >= 1 for k in shape)):
            raise ValueError(f"shape={shown(self.shape)} must be a tuple of positive integers, or None")
        if self.lr is not None and not callable(self.lr):
            steps = as_array(self.lr, "lr", finite=False)
            if steps.ndim > 1 or steps.size == 0 or not (np.isfinite(steps).all() and np.all(steps >= 0)):
                raise ValueError(f"lr={shown(self.lr)} must be one or more finite step sizes >= 0, a function, or None")
            object.__setattr__(self, "lr", tuple(steps.reshape(-1).tolist()))
        if self.sketch is not None and not (isinstance(self.sketch, int | np.integer) and self.sketch >= 1):
            raise ValueError(f"sketch={shown(self.sketch)} must be an integer of at least 1, or None")

    def _resolved(self) -> tuple[Any, Any]:
        """Return the decays and the floor: those given, else the rule's. The fields stay: `rule` may be replaced."""
        _, betas, eps = RULES[self.rule]
        return betas if self.betas is None else self.betas, eps if self.eps is None else self.eps

    def descends(self, problem: Objective) -> bool:
        """Return whether f never rises: where the step size is searched."""
        return self.lr is None

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points with the step size ``t`` and the ``trials`` that it took."""
        if self.shape is not None and math.prod(self.shape) != x.x.size:
            raise ValueError(f"shape={shown(self.shape)} does not hold the {x.x.size} variables of the problem")
        (betas, eps), rng = self._resolved(), np.random.default_rng(self.seed)
        start = partial(RULES[self.rule][0], replace(self, betas=betas, eps=eps), rng)
        rule, k, iteration, t = start(), 1, 0, 1.0
        while True:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                d = rule(k, x.g)
                slope = self._slope(x.x, d, x.g)
            if self.lr is None:
                if not slope > 0 and k > 1:
                    rule, k = start(), 1
                    continue
                if not slope > 0:
                    raise StepFailure("the rule gives no direction of descent")
                y, t, trials = backtrack(x, partial(self._path, x.x, d), t, slope, self.max_trials)
            else:
                t, trials = self._given(iteration), 1
                y = x.at(self._path(x.x, d, t))
                if not y.finite:
                    raise StepFailure("the method diverges: take a smaller lr")
            x, accepted, t = y, t, 2 * t
            k, iteration = k + 1, iteration + 1
            yield x, {"t": accepted, "trials": trials}

    def _given(self, k: int) -> float:
        return float(self.lr(k)) if callable(self.lr) else float(self.lr[min(k, len(self.lr) - 1)])

    def _path(self, x: Array, d: Array, t: float) -> Array:
        """Return x(t): straight, or multiplicative."""
        if self.rule != "exponentiated":
            return np.asarray(x - t * d)
        with np.errstate(over="ignore"):
            if self.spread == 0:
                return np.asarray(x * np.exp(-t * d * np.sign(x)))
            return np.asarray(self.spread * np.sinh(np.arcsinh(x / self.spread) - t * d))

    def _slope(self, x: Array, d: Array, g: Array) -> float:
        """Return ``-df/dt`` at t = 0."""
        along = np.hypot(x, self.spread) * d if self.rule == "exponentiated" else d
        return float(g @ along)


# --------------------------------------------------------------------------------------------------------- rules


def _gradient(s: Adaptive, rng: np.random.Generator) -> Direction:
    return lambda k, g: g


def _adam(s: Adaptive, rng: np.random.Generator) -> Direction:
    (b1, b2), m, v = s.betas, np.zeros(1), np.zeros(1)

    def direction(k: int, g: Array) -> Array:
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        return np.asarray(m / (1 - b1**k) / (np.sqrt(v / (1 - b2**k)) + s.eps))

    return direction


def _adabelief(s: Adaptive, rng: np.random.Generator) -> Direction:
    (b1, b2), m, v = s.betas, np.zeros(1), np.zeros(1)

    def direction(k: int, g: Array) -> Array:
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (g - m) ** 2 + s.eps
        return np.asarray(m / (1 - b1**k) / (np.sqrt(v / (1 - b2**k)) + s.eps))

    return direction


def _diffgrad(s: Adaptive, rng: np.random.Generator) -> Direction:
    adam, before = _adam(s, rng), np.zeros(1)

    def direction(k: int, g: Array) -> Array:
        nonlocal before
        friction = 1 / (1 + np.exp(-np.abs(g - before)))
        before = g
        return friction * adam(k, g)

    return direction


def _adan(s: Adaptive, rng: np.random.Generator) -> Direction:
    (b1, b2, b3), m, c, v = s.betas, np.zeros(1), np.zeros(1), np.zeros(1)
    before: Array | None = None

    def direction(k: int, g: Array) -> Array:
        nonlocal m, c, v, before
        change = np.zeros(1) if before is None else g - before
        m, c = b1 * m + (1 - b1) * g, b2 * c + (1 - b2) * change
        v = b3 * v + (1 - b3) * (g + b2 * change) ** 2
        before = g
        return np.asarray((m / (1 - b1**k) + b2 * c / (1 - b2**k)) / (np.sqrt(v / (1 - b3**k)) + s.eps))

    return direction


def _nme(s: Adaptive, rng: np.random.Generator) -> Direction:
    (b,), m, before = s.betas, np.zeros(1), np.zeros(1)

    def direction(k: int, g: Array) -> Array:
        nonlocal m, before
        m = b * m + g + b * (g - before)
        before = g
        return m

    return direction


def _scale(s: Adaptive, rng: np.random.Generator) -> Direction:
    (b,), m = s.betas, np.zeros(1)

    def direction(k: int, g: Array) -> Array:
        nonlocal m
        m = b * m + (1 - b) * g
        rows = m.reshape(s.shape or (1, -1))
        return np.asarray(rows / np.maximum(np.sqrt(np.mean(rows**2, axis=1, keepdims=True)), s.eps)).reshape(-1)

    return direction


def _adagrad_norm(s: Adaptive, rng: np.random.Generator) -> Direction:
    total = s.eps

    def direction(k: int, g: Array) -> Array:
        nonlocal total
        total = total + float(g @ g)
        return np.asarray(g / np.sqrt(total))

    return direction


def _sketched(s: Adaptive, rng: np.random.Generator) -> Direction:
    def direction(k: int, g: Array) -> Array:
        rows = s.sketch or max(1, g.size // 4)
        R = rng.standard_normal((rows, g.size))
        return np.asarray(R.T @ (R @ g) / rows)

    return direction


RULES: dict[str, tuple[Callable[[Adaptive, np.random.Generator], Direction], tuple[float, ...], float]] = {
    "gradient": (_gradient, (), 1e-8),
    "adam": (_adam, (0.9, 0.999), 1e-8),
    "adabelief": (_adabelief, (0.9, 0.999), 1e-8),
    "diffgrad": (_diffgrad, (0.9, 0.999), 1e-8),
    "adan": (_adan, (0.98, 0.92, 0.99), 1e-8),
    "nme": (_nme, (0.9,), 1e-8),
    "scale": (_scale, (0.9,), 1e-8),
    "adagrad-norm": (_adagrad_norm, (), 1e-2),
    "exponentiated": (_gradient, (), 1e-8),
    "sketched": (_sketched, (), 1e-8),
}
