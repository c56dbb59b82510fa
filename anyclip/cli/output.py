"""Tables for the terminal; plain and wide when the output is read by a program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

STATUS_COLORS = {"ok": "green", "passed": "green", "partial": "yellow", "noted": "yellow", "failed": "red"}


def console() -> Console:
    """A rich console on stdout: colours only on a terminal and without NO_COLOR, never wrapped in a pipe."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 400
    return Console(no_color=not terminal or "NO_COLOR" in os.environ, width=width, highlight=False, markup=False)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """A table without lines. Cells are plain text; `right` are the columns of numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for i, header in enumerate(headers):
        table.add_column(header, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STATUS_COLORS.get(cell, "")) for cell in row))
    with_table = console()
    with with_table.capture() as captured:
        with_table.print(table)
    for line in captured.get().rstrip("\n").split("\n"):
        click.echo(line.rstrip())
