"""A case named by its files: the options of a command that follow from the sockets of an algorithm, and the case they make.

``preop run sarcoma_lung_metastasis --ct-image ct.nii.gz ... --age-years 61``: an option for each image input, named by its
slug; one for the region of a segmentation that holds several; one for each column of a JSON input. They mean what the
columns of ``cohort.csv`` with these names mean, and the same code reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from preop.cli import repository
from preop.cohort.table import LABEL_ENDING, MPP_COLUMN, case_of_row
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import DESCRIPTION_FILE, Algorithm, Socket
from preop.grandchallenge.cases import IMAGE_SUFFIXES, Case

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
            metavar="FILE" if _is_image(algorithm, column) else "VALUE",
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


def input_columns(algorithm: Algorithm) -> dict[str, str]:
    """Name the columns of ``cohort.csv`` that make up a case, each with what it holds."""
    found: dict[str, str] = {}
    for socket in algorithm.inputs:
        if socket.kind.is_image:
            found[socket.slug] = socket.description
            if len(socket.overlay_segments) == 1:
                found[socket.slug + LABEL_ENDING] = (
                    f"Which region of {socket.slug}, where it holds several: its number, its name, or a pattern with *."
                )
        else:
            found |= {column: _words_of(column, socket, algorithm) for column in socket.columns}
    return found


def given_inputs(context: typer.Context, algorithm: Algorithm) -> dict[str, str]:
    """Give what the user said of the case, by column of ``cohort.csv``."""
    given = context.meta.get(_GIVEN, {})
    return {column: given[_name(column)] for column in input_columns(algorithm) if _name(column) in given}


def case_of_files(algorithm: Algorithm, given: Mapping[str, str], *, mpp: float | None = None) -> Case:
    """Make a case of the files and values that a user named.

    Parameters
    ----------
    given
        By column, as :func:`given_inputs` gives it; paths are relative to the current folder.
    mpp
        Micrometres per pixel of a slide whose file does not state it.

    Raises
    ------
    InvalidInputError
        If a file is missing, a value is none that its input allows, or the inputs are not a combination that the algorithm
        accepts.
    """
    row = dict(given) if mpp is None else {**given, MPP_COLUMN: repr(mpp)}
    first = next((row[socket.slug] for socket in algorithm.inputs if row.get(socket.slug)), None)
    if unused := [column for column in given if column.endswith(LABEL_ENDING) and not _has_image(column, given)]:
        raise InvalidInputError(f"{_option(unused[0])} names a region of a file that is not given.")
    return case_of_row(row, Path(), algorithm, _name_of(first))


def how_to_name_a_case(algorithm: Algorithm) -> str:
    """Say how the files of a case are named, by the smallest combination of inputs that the algorithm accepts."""
    fewest = min(algorithm.interfaces, key=len)
    options = " ".join(f"--{slug} FILE" for slug in fewest if algorithm.input(slug).kind.is_image)
    return f"{options}; preop run {algorithm.name} --help lists all of them"


def _names_algorithm(word: str) -> bool:
    if word.startswith("-"):
        return False
    return (Path(word) / DESCRIPTION_FILE).is_file() or word in {study.name for study in repository.studies()}


def _keep(context: typer.Context, param: typer.CallbackParam, value: str | None) -> None:
    if value is not None:
        context.meta.setdefault(_GIVEN, {})[param.name] = value


def _is_image(algorithm: Algorithm, column: str) -> bool:
    return any(socket.kind.is_image and socket.slug == column for socket in algorithm.inputs)


def _words_of(column: str, socket: Socket, algorithm: Algorithm) -> str:
    """Say what a value is, as its schema does."""
    schema = algorithm.json_schemas.get(socket.slug, {}).get("properties", {}).get(column, {})
    words = schema.get("description") or column.replace("_", " ").capitalize()
    if allowed := schema.get("enum"):
        return f"{words}: {_either(allowed)}."
    if "minimum" in schema and "maximum" in schema:
        return f"{words}: {schema['minimum']:g} to {schema['maximum']:g}."
    return f"{words}."


def _either(allowed: Sequence[object]) -> str:
    *most, last = map(str, allowed)
    return f"{', '.join(most)} or {last}" if most else last


def _has_image(column: str, given: Mapping[str, str]) -> bool:
    return bool(given.get(column.removesuffix(LABEL_ENDING)))


def _option(column: str) -> str:
    return f"--{column.replace('_', '-')}"


def _name(column: str) -> str:
    return column.replace("-", "_")


def _name_of(image: str | None) -> str:
    """Call a case by its first image."""
    if image is None:
        return "case"
    name = Path(image).absolute().name
    return next((name[: -len(suffix)] for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), name) or "case"
