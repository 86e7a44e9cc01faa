"""A case named by its files: the options of a command that follow from the sockets of an algorithm, and the case they make.

``preop run sarcoma_lung_metastasis --ct-image ct.nii.gz ... --age-years 61``: an option for each image input, named by its
slug; one for the region of a segmentation that holds several; one for each column of a JSON input. They mean what the
columns of ``cohort.csv`` with these names mean, and the same code reads them.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from preop.cli import repository
from preop.cohort.inputs import input_columns
from preop.grandchallenge.algorithm import DESCRIPTION_FILE, Algorithm

_OPTIONS, _GIVEN = "preop.options", "preop.given"


class CaseCommand(TyperCommand):
    """A command whose first argument is an algorithm, and which takes the options of that algorithm's inputs too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Find the algorithm among the words before its options are needed."""
        named = next((word for word in args if _names_algorithm(word)), None)
        if named is None and args and not args[0].startswith("-") and not ctx.resilient_parsing:
            named = args[0]  # tell that there is none, and not that its options are unknown
        if named is not None:
            ctx.meta[_OPTIONS] = input_options(repository.find_algorithm(named))
        return list(super().parse_args(ctx, args))

    def get_params(self, ctx: Any) -> list[Any]:
        """Give the command's own parameters, then those of the algorithm's inputs."""
        return [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, ())]


def input_options(algorithm: Algorithm) -> list[Any]:
    """Make the options of an algorithm's inputs; what the user gives lies in the context (:func:`given_inputs`)."""

    def command(**_: object) -> None:
        """Carry the parameters."""

    panel = f"The case ({algorithm.name})"
    parameters = []
    for column, words in input_columns(algorithm).items():
        option = typer.Option(
            _option(column),
            metavar="FILE" if _is_file(algorithm, column) else "VALUE",
            help=words,
            callback=_keep,
            expose_value=False,
            rich_help_panel=panel,
            show_default=False,
        )
        kind = Annotated[str | None, option]
        parameters.append(Parameter(_name(column), Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return [each for each in typer.main.get_command(app).params if each.name in command.__annotations__]


def given_inputs(context: typer.Context, algorithm: Algorithm) -> dict[str, str]:
    """Give what the user said of the case, by column of ``cohort.csv``."""
    given = context.meta.get(_GIVEN, {})
    return {column: given[_name(column)] for column in input_columns(algorithm) if _name(column) in given}


def how_to_name_a_case(algorithm: Algorithm) -> str:
    """Say how the files of a case are named, by the smallest combination of inputs that the algorithm accepts."""
    fewest = min(algorithm.outlined_interfaces, key=len)
    options = " ".join(f"--{slug} FILE" for slug in fewest if algorithm.input(slug).kind.is_image)
    return f"{options}; preop run {algorithm.name} --help lists all of them"


def _names_algorithm(word: str) -> bool:
    if word.startswith("-"):
        return False
    return (Path(word) / DESCRIPTION_FILE).is_file() or word in {study.name for study in repository.studies()}


def _keep(context: typer.Context, param: typer.CallbackParam, value: str | None) -> None:
    if value is not None:
        context.meta.setdefault(_GIVEN, {})[param.name] = value


def _is_file(algorithm: Algorithm, column: str) -> bool:
    return any((socket.kind.is_image or socket.features_of) and socket.slug == column for socket in algorithm.inputs)


def _option(column: str) -> str:
    return f"--{column.replace('_', '-')}"


def _name(column: str) -> str:
    return column.replace("-", "_")
