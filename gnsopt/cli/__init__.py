"""The command line: ``gnsopt demo``, ``fit``, ``compare``, ``ot`` and ``methods``.

Results go to the standard output, progress and errors to the standard error. Exit codes: 0 converged, 1 not
converged, 2 misuse (one line that names the cure), 128 + the signal where one ended it: 130 Ctrl-C, 143 SIGTERM, 129
SIGHUP, a closed terminal.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gnsopt.cli.compare import compare
from gnsopt.cli.demo import demo
from gnsopt.cli.fit import fit
from gnsopt.cli.interrupt import SIGNALS
from gnsopt.cli.methods import methods
from gnsopt.cli.misuse import Misuse
from gnsopt.cli.ot import ot

__all__ = ["app", "main"]


class Program(TyperGroup):
    """The group of commands; each returns its exit code, and every misuse becomes one line and the code 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and exit."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except Misuse as error:
            self._refuse(str(error))
        except Exception as error:
            # Typer's own usage errors; their class has moved between versions, their method has not.
            if not hasattr(error, "format_message"):
                raise
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "gnsopt"
            self._refuse(f"{error.format_message()} (see '{command} --help')")
        sys.exit(code if isinstance(code, int) else 0)

    def _refuse(self, message: str) -> None:
        print(f"gnsopt: error: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


app = typer.Typer(
    name="gnsopt",
    cls=Program,
    help="Second-order optimisation with approximate Hessians.",
    epilog="Exit codes: 0 converged, 1 not converged, 2 misuse, 130 interrupted, 143 terminated.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from gnsopt import __version__

        typer.echo(f"gnsopt {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _command in (demo, fit, compare, ot, methods):
    app.command()(_command)


def main() -> None:
    """Run the program: the entry point of the console script."""
    try:
        app()
    finally:  # all is saved and said: a signal that comes now, as the interpreter ends, has nothing to end
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
