"""The command line itself, on which the modules of this package put their commands."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

import preop

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    add_completion=True,
)
console = Console()


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - of typer
    if wanted:
        typer.echo(f"preop {preop.__version__}")
        raise typer.Exit


@app.callback()
def of_all_commands(
    version: Annotated[  # noqa: FBT002
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say the version, and end.")
    ] = False,
) -> None:
    """Pre-operative staging algorithms for grand-challenge.org: run, train, validate, evaluate. Not a medical device.

    What works on this machine: `preop doctor`. The first hour: docs/first-hour.md.
    """


PANELS = {
    "One patient": ("run", "show", "case", "examples"),
    "Many patients": ("cohort", "predict", "validate", "review", "radiomics"),
    "From a PACS and back": ("import", "store"),
    "Training": ("simulate", "train", "new", "register"),
    "Grand-challenge.org": ("evaluate", "test", "build", "export", "sockets", "upload"),
    "This machine": ("doctor",),
}
"""Commands by what they are for, in the order in which the help shows them."""


def arrange() -> None:
    """Put all commands into their panels, once every module has added its own."""
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    order = [*panel_of]
    for command in app.registered_commands:
        command.name = command.name or command.callback.__name__  # type: ignore[union-attr]
        command.rich_help_panel = panel_of[command.name]
    app.registered_commands.sort(key=lambda command: order.index(str(command.name)))
