"""The `anyclip` command: finds sub-commands through the registry and turns errors into messages and exit codes.

Exit codes: 0 fine, 1 a check found something, 2 a mistake of the user, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from anyclip import __version__
from anyclip.errors import ConfigError, UserError, did_you_mean
from anyclip.registry import get_registry

USER_MISTAKE, STOPPED = 2, 130


class LazyGroup(click.Group):
    """Sub-commands from CommandSpecs; a command's module is imported only when it runs or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return get_registry().names("command")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name.rpartition(":")[2] not in get_registry().names("command"):
            return None
        return get_registry().load("command", cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None:
            hint = did_you_mean(args[0], self.list_commands(ctx), noun="Commands")
            raise UserError(f"unknown command {args[0]!r}.", hint=hint, next="anyclip --help")
        return command.name or args[0], command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        for part in get_registry().parts("command"):
            if part.distribution == "anyclip":
                own.append((part.spec.name, part.spec.summary))
            else:
                others.append((part.spec.name, f"{part.spec.summary} [{part.distribution}]"))
        for title, rows in (("Commands", own), ("Commands of plugins", others)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="anyclip")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Train joint embedding spaces for any set of modalities."""
    ctx.ensure_object(dict)["debug"] = debug


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if argv is None else list(argv)))


def run(argv: Sequence[str]) -> int:
    """Run a command line; returns the exit code. Errors for users are printed to stderr without a traceback."""
    color = False if "NO_COLOR" in os.environ else None  # None: click asks whether the stream is a terminal
    try:
        result: Any = cli.main(list(argv), prog_name="anyclip", standalone_mode=False, color=color)
        sys.stdout.flush()
        return result if isinstance(result, int) and not isinstance(result, bool) else 0
    except click.ClickException as error:
        error.show()
        return USER_MISTAKE
    except UserError as error:
        if _wants_traceback(argv):
            raise
        show_error(error)
        return USER_MISTAKE
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return STOPPED
    except BrokenPipeError:  # `anyclip plugins | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def show_error(error: UserError) -> None:
    """Print a UserError; each mistake of a config on its own line."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(str(problem).replace(problem.where, click.style(problem.where, fg="red"), 1), err=True)
        if error.next:
            click.echo(f"  next: {error.next}", err=True)
    else:
        click.echo(f"{click.style('error:', fg='red')} {error}", err=True)


def _wants_traceback(argv: Sequence[str]) -> bool:
    """`--debug` stands before the sub-command."""
    for argument in argv:
        if argument == "--debug":
            return True
        if not argument.startswith("-"):
            return False
    return False


if __name__ == "__main__":
    main()
