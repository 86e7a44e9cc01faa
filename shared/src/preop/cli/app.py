"""The command line itself, on which the modules of this package put their commands."""

from __future__ import annotations

import typer
from rich.console import Console

app = typer.Typer(
    help="Pre-operative staging algorithms for grand-challenge.org: run, train, validate, evaluate. Not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    add_completion=False,
)
console = Console()
