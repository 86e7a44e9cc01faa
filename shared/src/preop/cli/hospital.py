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
    from preop.cohort import tell
    from preop.study import lay_out_case

    described = repository.find_algorithm(algorithm)
    given = _options(context.args)
    images, values = _sorted(described, given)
    tell(lay_out_case(described, output, images, values, labels=_labels(described, label or ()), um_per_pixel=mpp))
    console.print(
        f"The case is in {output}. Run it by: preop run {described.name} --input {output} --output RESULTS",
        soft_wrap=True,
    )


def import_export(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Export of a PACS, in any layout; also zip archives.")
    ] = None,
    study: Annotated[str, typer.Option(help="Algorithm whose inputs are wanted.")] = "",
    output: Annotated[
        Path | None, typer.Option(help="A new folder for the cohort, or one that the same call began.")
    ] = None,
    clinical: Annotated[
        Path | None,
        typer.Option(help="Table (CSV, Excel) with a column patient: the hospital's number, or the pseudonym."),
    ] = None,
    dicomweb: Annotated[
        str | None, typer.Option(metavar="URL", help="Fetch from a PACS by DICOMweb in place of FOLDER.")
    ] = None,
    patient: Annotated[
        list[str] | None,
        typer.Option(
            help="With --dicomweb: number of a patient; * for all. May be repeated; by default those of --clinical."
        ),
    ] = None,
    dates: Annotated[
        str | None, typer.Option(metavar="FROM-TO", help="With --dicomweb: days of examinations, 20240101-20240630.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Key of the pseudonyms, outside the cohort; by default COHORT.private/pseudonyms.key."),
    ] = None,
) -> None:
    """Make a cohort from an export of a PACS: series chosen by the study's rules, under pseudonyms.

    What was chosen and why is in COHORT.private/choices.csv: correct the columns use and region, and run the command again.

    Examples: `preop import export/ --study sarcoma_lung_metastasis --output cohort`;
    `preop import --dicomweb https://pacs/dicom-web --clinical patients.csv --study lung_nodal_stage --output cohort`
    """
    from preop.cohort import tell
    from preop.cohort.importing import import_cohort

    if not study or output is None or (folder is None) == (dicomweb is None):
        raise InvalidInputError("An import needs --study, --output, and either a folder or --dicomweb.")
    described = repository.find_algorithm(study)
    source = folder or _fetched(described, str(dicomweb), output, patient or _numbers(clinical), dates)
    found = import_cohort(source, described, output, key=key, clinical=clinical)
    tell(found.notes)
    console.print(f"What was chosen and why: {found.choices}", soft_wrap=True)
    found.refuse_failures()
    if found.table is None and found.unfinished is None:
        raise InvalidInputError(
            f"No patient has all inputs that {described.name} needs; what each has stands in {found.choices}."
        )
    console.print(f"The cohort is {found.table or found.unfinished}", soft_wrap=True)


def store(
    folder: Annotated[Path, typer.Argument(help="Folder with DICOM objects, such as that of --dicom-out.")],
    dicomweb: Annotated[str, typer.Option(metavar="URL", help="DICOMweb service of the PACS.")],
) -> None:
    """Store results on a PACS by DICOMweb (STOW).

    Example: `preop store results --dicomweb https://pacs/dicom-web`
    """
    from preop.dicom.web import store as store_files

    files = sorted(folder.glob("*.dcm")) if folder.is_dir() else []
    if not files:
        raise InvalidInputError(f"{folder} holds no DICOM objects (*.dcm); give the folder of preop run --dicom-out.")
    store_files(dicomweb, files)
    console.print(f"{len(files)} objects are stored on {dicomweb}", soft_wrap=True)


def _fetched(algorithm: Algorithm, url: str, output: Path, patients: Sequence[str], dates: str | None) -> Path:
    """Fetch what an algorithm may need into the private folder of a cohort."""
    from preop.cohort.importing import private_folder
    from preop.dicom.web import download

    if not patients:
        raise InvalidInputError(
            "Whose series are wanted? Name patients by --patient or a table by --clinical; --patient '*' is all."
        )
    modalities = {modality for socket in algorithm.inputs if socket.series for modality in socket.series.modality}
    folder = private_folder(output) / "dicom"
    fetched = download(url, folder, patients=patients, modalities=modalities, dates=dates)
    console.print(f"{fetched} series were fetched from {url}", soft_wrap=True)
    return folder


def _numbers(clinical: Path | None) -> list[str]:
    from preop.tables import read_table

    return (
        []
        if clinical is None
        else [row["patient"] for row in read_table(clinical, key="patient", what="clinical table").rows]
    )


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
