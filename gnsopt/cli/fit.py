"""``gnsopt fit``: one data set, one method."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from scipy.optimize import OptimizeResult

from gnsopt.blocks import RowBlocks
from gnsopt.checkpoint import Checkpoint, CheckpointWarning
from gnsopt.cli.interrupt import INTERRUPTED, interruptible, unhurried
from gnsopt.cli.misuse import Misuse, said_in_one_line
from gnsopt.cli.options import (
    L2,
    DaskAddress,
    Intercept,
    Loss,
    LossOption,
    MaxIter,
    MaxTime,
    Quiet,
    Shards,
    Task,
    Tol,
    ZeroBased,
    check_distinct,
    check_limits,
    check_writable,
    read_method,
    read_task,
)
from gnsopt.cli.saving import save, save_weights
from gnsopt.cli.scipy_method import SciPyMethod
from gnsopt.cli.screen import Meter, describe, notices, output
from gnsopt.cli.shards import cluster, in_blocks, read_shards
from gnsopt.solver import Solver
from gnsopt.state import read
from gnsopt.stopping import Status


def fit(
    data: Shards,
    loss: LossOption = Loss.auto,
    l2: L2 = "1/n",
    method: Annotated[
        str, typer.Option(metavar="NAME", help="One of those that 'gnsopt methods' lists.")
    ] = "line-newton",
    curvature: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The approximate Hessian; --method gns:fisher says it too.", show_default=False
        ),
    ] = None,
    intercept: Intercept = False,
    tol: Tol = 1e-8,
    maxiter: MaxIter = 10_000,
    maxtime: MaxTime = None,
    zero_based: ZeroBased = False,
    save_weights_to: Annotated[
        Path | None,
        typer.Option(
            "--save-weights", metavar="FILE.npz", help="Save weights, classes, l2, loss and status.", show_default=False
        ),
    ] = None,
    save_trace_to: Annotated[
        Path | None,
        typer.Option("--save-trace", metavar="FILE.csv", help="Save a row for each iteration.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Keep the run here, so that it can go on.", show_default=False),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds between two writes of the checkpoint.")
    ] = 30.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint; start where there is none.")
    ] = False,
    dask: DaskAddress = None,
    quiet: Quiet = False,
) -> int:
    """Fit a linear classifier to DATA.

    The objective is the mean loss plus l2/2 |w|^2. Ctrl-C or SIGTERM end the fit with the best point so far, which is
    printed and saved like any other. The same command with --resume goes on from its checkpoint; --maxiter and
    --maxtime are limits of the whole run. Shards are read block by block, so that they need not fit into memory; with
    --dask the workers of a cluster load and keep them.
    """
    solver = read_method(method, curvature)
    if isinstance(solver, SciPyMethod):
        raise Misuse(f"method {method!r} can be compared, not fitted: use 'gnsopt compare {data} --methods {method}'")
    check_writable(save_weights_to, (".npz",))
    check_writable(save_trace_to, (".csv",))
    check_writable(checkpoint, (".npz",))
    written = {"--save-weights": save_weights_to, "--save-trace": save_trace_to, "--checkpoint": checkpoint}
    check_distinct([data], written)
    check_limits(tol, maxiter, maxtime)
    file = read_checkpoint(checkpoint, resume, checkpoint_every)
    screen = output()
    screen.quiet = quiet
    signals, result = interruptible(), None
    facts: dict[str, str] = {}

    def keep() -> None:
        """Save what was asked for, once; a signal waits until all of it is there."""
        with unhurried():
            if result is not None and not facts:
                facts.update(facts_of_result(result, tol))
                if save_weights_to:
                    save_weights(save_weights_to, problem, result, task)
                    facts["weights"] = str(save_weights_to)
                if save_trace_to:
                    save(save_trace_to, result.trace.to_csv)
                    facts["trace"] = str(save_trace_to)

    try:
        with signals, cluster(dask) as client:
            if in_blocks(data) or client is not None:
                task: Task = read_shards(data, loss, l2, intercept, zero_based, client)
            else:
                task = read_task(data, loss, l2, intercept, zero_based)
            problem = task.problem()
            describe(screen, facts_of(task))
            done = announce(screen, file, solver) if file and file.resume else 0
            limits: dict[str, Any] = {"gtol": tol, "maxiter": maxiter, "maxtime": maxtime}
            try:
                with Meter(tol, quiet, done=done) as meter, said_in_one_line(), warnings_as_notices():
                    result = solver.minimize(problem, **limits, callback=meter.follow(method), checkpoint=file)
                keep()  # before it is printed: the terminal may have gone
                facts["accuracy"] = f"{accuracy(problem, result.x, task):.2%} of these samples"
            except KeyboardInterrupt:  # it came when the run had ended
                keep()
                raise
            finally:
                if facts:
                    describe(screen, facts)
            return exit_code(result.status, signals.code)
    except KeyboardInterrupt:
        there = checkpoint is not None and checkpoint.exists()
        kept = f"{checkpoint} is there, for --resume" if there else "nothing saved"
        notices().print("interrupted after the fit" if result else f"interrupted outside the fit: {kept}")
        return signals.code


def exit_code(status: int, interrupted: int = INTERRUPTED) -> int:
    """Return the exit code for a status."""
    if status == Status.INTERRUPTED:
        return interrupted
    return 0 if Status(status).success else 1


def read_checkpoint(path: Path | None, resume: bool, seconds: float) -> Checkpoint | None:
    """Return the checkpoint that the user asked for."""
    if not seconds >= 0:
        raise Misuse(f"--checkpoint-every {seconds:g} is no time: write seconds >= 0; 0 writes after each iteration")
    if path is None:
        if resume:
            raise Misuse("--resume goes on from a checkpoint: name it, --checkpoint FILE.npz")
        return None
    return Checkpoint(path, resume, seconds)


def announce(screen: Console, file: Checkpoint, solver: Solver) -> int:
    """Say what a run goes on from, and how; return the iterations that were done."""
    path = Path(file.path)
    if not path.exists():
        describe(screen, {"resumed": f"nothing: {path} is not there yet"})
        return 0
    with said_in_one_line():
        facts, past = read(path)
    told = f"{path}, {past.nit} iterations in {past.seconds:.3g} s"
    if facts.get("method") == type(solver).__name__ and past.nit:  # else it is refused
        with suppress(KeyError):
            if solver.resumed(past.rows[-1]) is None:
                told += "; the method starts anew from the best point, without what it remembered"
            elif past.memory:
                told += "; what its curvature remembered is not there: the steps may be others"
    describe(screen, {"resumed": told})
    return past.nit


@contextmanager
def warnings_as_notices() -> Iterator[None]:
    """Print the warnings of a block as notices at once, each once and without a place in the code."""
    told: set[str] = set()

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            with suppress(OSError):  # the terminal may have gone
                notices().print(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("default", CheckpointWarning)
        warnings.showwarning = tell
        yield


def facts_of(task: Task) -> dict[str, str]:
    """Describe data and model."""
    problem = task.problem()
    design: Any = problem.outline if isinstance(problem, RowBlocks) else problem.design
    share = f" ({design.nnz / design.n_samples / design.n_features:.2g} nonzero)" if design.sparse else ""
    penalty = f"l2 = {task.l2:.6g}" if task.l2_text.count("/") == 0 else f"l2 = {task.l2_text} = {task.l2:.6g}"
    return {
        "data": f"{task.name}: {design.n_samples} samples, {design.n_features} features{share}, "
        f"{problem.classes.size} classes",
        "model": f"{task.loss} regression, {penalty}, {'an' if task.intercept else 'no'} intercept: "
        f"{problem.n} variables",
    }


def facts_of_result(result: OptimizeResult, tol: float) -> dict[str, str]:
    """Describe how a run ended."""
    facts = {
        "curvature": result.curvature,
        "status": result.message,
        "objective": f"{result.fun:.15g}",
        "gradient": f"{np.max(np.abs(result.jac)):.3g} in the infinity norm (tolerance {tol:g})",
        "iterations": f"{result.nit} in {result.trace['time'][-1]:.3g} s",
        "work": f"{result.nfev} values, {result.njev} gradients, {result.nhev} Hessians, "
        f"{result.nhessp} Hessian products, {result.nsolve} solves",
    }
    return {label: fact for label, fact in facts.items() if fact}


def accuracy(problem: Any, x: Any, task: Task) -> float:
    """Return the share of the samples whose most probable class is their own."""
    if isinstance(problem, RowBlocks):
        return problem.accuracy(x)
    chances = problem.predict(x, task.X)
    best = (chances > 0.5).astype(int) if chances.ndim == 1 else np.argmax(chances, axis=1)
    return float(np.mean(problem.classes[best] == task.y))
