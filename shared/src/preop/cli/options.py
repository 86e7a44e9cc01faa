"""Options that several commands take, and how their numbers are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from preop.engines.choosing import EngineChoice
from preop.errors import InvalidInputError
from preop.tables import number, whole_number

SMALLEST_MPP = 0.01


def whole(lowest: int) -> Callable[[str | int], int]:
    """Make what reads an option that is a whole number: ``1_0`` is none, in tables as little as here."""

    def read(written: str | int) -> int:
        try:
            value = whole_number(str(written), "The value")
        except InvalidInputError as error:
            raise typer.BadParameter(str(error)) from None
        if value < lowest:
            raise typer.BadParameter(f"The value is {value}; expected {lowest} or more.")
        return value

    return read


def resolution(written: str | float) -> float:
    """Read micrometres per pixel."""
    try:
        value = number(str(written), "The value")
    except InvalidInputError as error:
        raise typer.BadParameter(str(error)) from None
    if value < SMALLEST_MPP:
        raise typer.BadParameter(f"The value is {value:g}; expected {SMALLEST_MPP:g} or more.")
    return value


AlgorithmName = Annotated[
    str, typer.Argument(metavar="ALGORITHM", help="Its name, or a folder with an algorithm.toml.")
]
AlgorithmNames = Annotated[
    list[str] | None, typer.Argument(metavar="[ALGORITHM]...", help="Names; by default all, and the evaluation.")
]
EngineOption = Annotated[
    EngineChoice,
    typer.Option(help="What runs it. auto: docker or podman with a current image, else an isolated process."),
]
ModelOption = Annotated[Path | None, typer.Option(help="Model folder; by default the one that comes with it.")]
MppOption = Annotated[
    float | None,
    typer.Option(
        parser=resolution, metavar="NUMBER", help="Micrometres per pixel of a slide whose file does not state it."
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-model", help="Let a model run code of its maker (TorchScript). Only for makers you trust."),
]
CohortOption = Annotated[Path, typer.Option(help="cohort.csv: one row a patient.")]
