"""Commands between a hospital and a study: ``preop case``, ``preop import`` and ``preop store``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from preop.cli import repository
from preop.cli.options import AlgorithmName, MppOption
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm

console = Console()

LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="SLUG=NAME", help="Which region of a mask is meant: number, name, or a pattern with *."
    ),
]


def case(
    context: typer.Context,
    algorithm: AlgorithmName,
    output: Annotated[Path, typer.Option(help="A new or empty folder for the case.")],
    label: LabelOption = None,
    mpp: MppOption = None,
) -> None:
    """Make a case in the platform's layout, with its inputs.json, from images of any format.

    Each input of the algorithm is an option, --SLUG FILE; clinical columns are --COLUMN VALUE.

    Example: `preop case lung_nodal_stage --chest-ct ct_folder --fdg-pet pet.nii.gz --output case`
    """
    from preop.study import lay_out_case

    described = repository.find_algorithm(algorithm)
    given = _options(context.args)
    images, values = _sorted(described, given)
    lay_out_case(described, output, images, values, labels=_labels(described, label or ()), um_per_pixel=mpp)
    console.print(
        f"The case is in {output}. Run it by: preop run {described.name} --input {output} --output RESULTS",
        soft_wrap=True,
    )


def import_export(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Export of a PACS, in any layout; also zip archives.")
    ] = None,
    study: Annotated[str, typer.Option(help="Algorithm whose inputs are wanted.")] = "",
    output: Annotated[
        Path | None, typer.Option(help="A new folder for the cohort, or one that the same call began.")
    ] = None,
    clinical: Annotated[
        Path | None,
        typer.Option(help="Table (CSV, Excel) with a column patient: the hospital's number, or the pseudonym."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Key of the pseudonyms, outside the cohort; by default COHORT.private/pseudonyms.key."),
    ] = None,
) -> None:
    """Make a cohort from an export of a PACS: series chosen by the study's rules, under pseudonyms.

    What was chosen and why is in COHORT.private/choices.csv: correct the columns use and region, and run the command again.

    Example: `preop import export/ --study sarcoma_lung_metastasis --output cohort`
    """
    from preop.cohort import tell
    from preop.cohort.importing import import_cohort

    if folder is None or not study or output is None:
        raise InvalidInputError("An import needs a folder, --study and --output.")
    described = repository.find_algorithm(study)
    found = import_cohort(folder, described, output, key=key, clinical=clinical)
    tell(found.notes)
    console.print(f"What was chosen and why: {found.choices}", soft_wrap=True)
    found.refuse_failures()
    if found.table is not None:
        console.print(f"The cohort is {found.table}", soft_wrap=True)


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """Read ``--name value`` and ``--name=value``."""
    found: dict[str, str] = {}
    waiting = list(arguments)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if not name.startswith("--"):
            raise InvalidInputError(f"{name} stands alone; expected --INPUT before it.")
        if not equals and (not waiting or waiting[0].startswith("--")):
            raise InvalidInputError(f"{name} has no value; expected a file or a value after it.")
        if name[2:] in found:
            raise InvalidInputError(f"{name} is given twice.")
        found[name[2:]] = value if equals else waiting.pop(0)
    return found


def _sorted(algorithm: Algorithm, given: Mapping[str, str]) -> tuple[dict[str, Path], dict[str, Any]]:
    """Tell images from values."""
    images: dict[str, Path] = {}
    values: dict[str, Any] = {}
    known = {socket.slug: socket for socket in algorithm.inputs}
    columns = {name.replace("_", "-"): (socket, name) for socket in algorithm.inputs for name in socket.columns}
    for name, value in given.items():
        if name in known and known[name].kind.is_image:
            images[name] = Path(value)
        elif name in known:
            values[name] = _json(Path(value))
        elif name.replace("_", "-") in columns:
            socket, column = columns[name.replace("_", "-")]
            values.setdefault(socket.slug, {})[column] = _typed(algorithm, socket.slug, column, value)
        else:
            expected = ", ".join(f"--{each}" for each in (*known, *columns))
            raise InvalidInputError(f"{algorithm.name} has no input --{name}; it takes {expected}.")
    return images, values


def _typed(algorithm: Algorithm, slug: str, column: str, value: str) -> Any:
    from preop.tables import number

    schema: Any = algorithm.json_schemas.get(slug, {})
    kind = schema.get("properties", {}).get(column, {}).get("type")
    return number(value, f"--{column.replace('_', '-')}") if kind in {"number", "integer"} else value


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be read as JSON ({error}).") from error


def _labels(algorithm: Algorithm, given: Sequence[str]) -> dict[str, str]:
    slugs = {socket.slug for socket in algorithm.inputs if socket.kind.is_image}
    found: dict[str, str] = {}
    for each in given:
        slug, equals, name = each.partition("=")
        if not equals or slug not in slugs or not name:
            raise InvalidInputError(
                f"--label {each} names no region; expected SLUG=NAME with one of {', '.join(sorted(slugs))}."
            )
        found[slug] = name
    return found
