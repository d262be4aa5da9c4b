r"""Epsilon scaling: solve at larger regularisations first, each to a loose tolerance, from the potentials before.

In cost units the potentials hardly depend on the regularisation: ``psi(reg) = psi_0 + O(reg)``. So the potentials of
two stages predict those of the next by a line,  ``psi(r/4) = psi(r) + (psi(r) - psi(4 r))/4``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gnsopt.exceptions import StepFailure
from gnsopt.ot.semidual import error
from gnsopt.point import Point

FACTOR = 4.0  # between stages (measured: 2 to 8 make little difference)
EASY = 40.0  # the first stage has reg <= range / 40: what is above is solved at once (measured)
STAGE_ERROR = 1e-3  # L1 error at which a stage ends (measured: 1e-2 costs more steps at the end than it saves)
STAGE_STEPS = 100  # steps of one stage at the most
LOOK = 10  # steps of a stage after which the driver may stop the run: it takes an evaluation (chosen)
NEAR = 0.1  # L1 error of a start that needs no stages (chosen)

Steps = Callable[[Point], Iterator[tuple[Point, dict[str, float]]]]


def schedule(reg: float, extent: float) -> list[float]:
    """Return the regularisations of the stages before `reg`, largest first.

    Parameters
    ----------
    reg : float
        The target.
    extent : float
        Range of the cost.

    Returns
    -------
    list of float
        ``reg 4^k`` up to ``extent/40``; empty where `reg` is not below.
    """
    stages: list[float] = []
    while (reg := reg * FACTOR) <= extent / EASY:
        stages.append(reg)
    return stages[::-1]


def annealed(x: Point, steps: Steps) -> Iterator[tuple[Point, dict[str, float]]]:
    """Yield the target's points: after 10 steps of a stage and after each stage, then those of the steps at the target.

    Parameters
    ----------
    x : Point
        Start, a point of a `SemiDual`.
    steps : callable
        ``steps(point)`` yields accepted points at one regularisation.

    Yields
    ------
    x : Point
        A point of the target.
    scalars : dict
        With ``reg``, the regularisation of the stage.
    """
    problem: Any = x.objective
    stages = schedule(problem.reg, problem.geometry.extent) if error(x) > NEAR else []
    psi = guess = problem.reg * x.x
    for k, reg in enumerate(stages):
        stage = Point(problem.at(reg), guess / reg, x.counts, x.metric, trial=True)
        scalars: dict[str, float] = {}
        for count, (stage, scalars) in enumerate(_stage(stage, steps), start=1):  # noqa: B020
            if count % LOOK == 0:
                yield x.at(reg * stage.x / problem.reg), {**scalars, "reg": reg}
        before, psi = psi, reg * problem.centred(stage.x)
        guess = psi + (psi - before) / FACTOR if k > 0 else psi
        x = x.at(guess / problem.reg)
        yield x, {**scalars, "reg": reg}
    for x, scalars in steps(x):  # noqa: B020
        yield x, {**scalars, "reg": problem.reg}


def _stage(x: Point, steps: Steps) -> Iterator[tuple[Point, dict[str, float]]]:
    """Yield the steps until the stage's tolerance."""
    try:
        for k, (x, scalars) in enumerate(steps(x), start=1):  # noqa: B020
            yield x, scalars
            if error(x) <= STAGE_ERROR or k >= STAGE_STEPS:
                break
    except StepFailure:
        pass  # a stage only leads to a start
