"""Commands between a hospital and a study: ``preop case``, ``preop import`` and ``preop store``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from preop.cli import repository
from preop.cli.app import app, console
from preop.cli.case_files import CaseCommand, given_inputs
from preop.cli.options import AlgorithmName, MppOption
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.wording import counted


@app.command("case", cls=CaseCommand)
def case(
    context: typer.Context,
    algorithm: AlgorithmName,
    output: Annotated[Path, typer.Option(help="A new or empty folder for the case.")],
    mpp: MppOption = None,
) -> None:
    """Make a case in the platform's layout, with its inputs.json, from files of any format.

    Each algorithm takes its own files, by options of their own: `preop case ALGORITHM --help` lists them.

    Example: `preop case lung_nodal_stage --chest-ct ct_folder --fdg-pet pet.nii.gz --output case`
    """
    from preop.cohort import tell
    from preop.cohort.inputs import case_of_inputs
    from preop.study import lay_out_case

    described = repository.find_algorithm(algorithm)
    made = case_of_inputs(described, given_inputs(context, described), mpp=mpp)
    tell(
        lay_out_case(
            described, output, made.image_paths, made.values, labels=made.labels, um_per_pixel=made.um_per_pixel
        )
    )
    console.print(
        f"The case is in {output}. Run it by: preop run {described.name} --input {output} --output RESULTS",
        soft_wrap=True,
    )


@app.command("import", no_args_is_help=True)
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


@app.command("store")
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
    console.print(f"{counted(len(files), 'object')} stored on {dicomweb}", soft_wrap=True)


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
