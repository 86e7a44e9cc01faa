"""A case named by its files and values: as a row of ``cohort.csv``, whose columns they are, without a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from preop.cohort.table import LABEL_ENDING, MPP_COLUMN, case_of_row
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, Socket
from preop.grandchallenge.cases import IMAGE_SUFFIXES, Case


def input_columns(algorithm: Algorithm) -> dict[str, str]:
    """Name the columns of ``cohort.csv`` that make up a case, each with what it holds."""
    found: dict[str, str] = {}
    for socket in algorithm.inputs:
        if socket.features_of:
            found[socket.slug] = f"{socket.description} A file of safetensors or npz."
        elif socket.kind.is_image:
            found[socket.slug] = socket.description
            if len(socket.overlay_segments) == 1:
                found[socket.slug + LABEL_ENDING] = (
                    f"Which region of {socket.slug}, where it holds several: its number, its name, or a pattern with *."
                )
        else:
            found |= {column: _words_of(column, socket, algorithm) for column in socket.columns}
    return found


def case_of_inputs(algorithm: Algorithm, given: Mapping[str, str], *, mpp: float | None = None) -> Case:
    """Make a case of the files and values that a user named; images are not opened yet.

    Parameters
    ----------
    given
        By column, as :func:`input_columns` names them; paths are relative to the current folder.
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
        raise InvalidInputError(f"{unused[0]} names a region of a file that is not given.")
    return case_of_row(row, Path(), algorithm, _name_of(first))


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


def _name_of(image: str | None) -> str:
    """Call a case by its first image."""
    if image is None:
        return "case"
    name = Path(image).absolute().name
    return next((name[: -len(suffix)] for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), name) or "case"
