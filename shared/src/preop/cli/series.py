"""``preop run --dicom-in --dicom-out``: from the series of a patient to results that a PACS takes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from preop.cli.app import console
from preop.cli.chosen import Chosen
from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case, read_case

if TYPE_CHECKING:
    from preop.dicom.choosing import Choice
    from preop.report.case import Card


def run_series(chosen: Chosen, source: Path, target: Path, output: Path | None, patient: str | None) -> None:
    """Run the one patient of a folder of DICOM files, and write what was found as DICOM.

    Parameters
    ----------
    target
        A new or empty folder for the objects.
    output
        Folder for the outputs as files; without it they are not kept.
    patient
        Number of the patient, where the folder holds several.
    """
    from preop.dicom.writing import require_writer
    from preop.folders import is_empty

    require_writer()
    if not is_empty(target):
        raise InvalidOutputError(f"{target} is not empty: name a new folder, so that nothing is overwritten.")
    choices = _choices(source, chosen.algorithm, patient)
    with tempfile.TemporaryDirectory(prefix="preop-run-") as folder:
        place, outputs = Path(folder) / "input", output or Path(folder) / "output"
        _lay_out(chosen.algorithm, choices, place)
        case = read_case(chosen.algorithm, place)
        page = chosen.run(case, place, outputs, kept=output is not None)
        _write(choices, case, outputs, page, Path(folder) / "page.pdf", target)
    console.print(f"The results as DICOM are in {target}", soft_wrap=True)


def _write(choices: list[Choice], case: Case, outputs: Path, page: Card | None, pdf: Path, target: Path) -> None:
    from preop.atomic import replacing_folder
    from preop.dicom.results import write_results
    from preop.grandchallenge.results import CaseOutputs
    from preop.report.case import print_page

    printed = None
    if page is not None:
        try:
            print_page(page.page, pdf)
            printed = pdf
        except PreopError as error:
            typer.echo(f"The case page is not among the results: {error}", err=True)
    sources = {
        choice.use: choice.series
        for choice in choices
        if choice.use and case.algorithm.input(choice.use).segmentation_of is None
    }
    with replacing_folder(target) as partial:
        write_results(CaseOutputs(case, outputs), sources, partial, pdf=printed)


def _choices(source: Path, algorithm: Algorithm, patient: str | None) -> list[Choice]:
    """Share the series of the one patient out among the inputs of an algorithm.

    Raises
    ------
    InvalidInputError
        If the folder holds several patients and none is named, or no combination of inputs that the algorithm accepts.
    """
    from preop.cohort import tell
    from preop.dicom.choosing import choose
    from preop.dicom.index import read_index
    from preop.dicom.series import series_of

    index = read_index(source)
    series = series_of(index)
    tell(index.notes)
    numbers = sorted({each.text("PatientID") for each in series})
    if patient is not None:
        series = [each for each in series if each.text("PatientID") == patient]
    elif len(numbers) > 1:
        raise InvalidInputError(
            f"{source} holds {len(numbers)} patients ({', '.join(numbers[:5])}); name one by --patient, or make a cohort of all "
            "by preop import."
        )
    if not series:
        raise InvalidInputError(f"{source} holds no DICOM series{f' of the patient {patient}' if patient else ''}.")
    choices = choose(algorithm, series)
    for choice in choices:
        name = choice.series.text("SeriesDescription") or choice.series.name
        typer.echo(f"{name}: {choice.use or 'not used'} ({choice.reason})", err=True)
    return choices


def _lay_out(algorithm: Algorithm, choices: list[Choice], case: Path) -> None:
    from preop.cohort import tell
    from preop.dicom.inputs import inputs_of, write_inputs
    from preop.study import lay_out_case

    with tempfile.TemporaryDirectory(prefix="preop-images-") as folder:
        accepted = inputs_of({choice.use: Path() for choice in choices if choice.use}, algorithm)
        if accepted is None:
            raise InvalidInputError(
                f"These series are no combination of inputs that {algorithm.name} accepts; why each was passed over stands above."
            )
        paths, notes = write_inputs(algorithm, [each for each in choices if each.use in accepted], Path(folder))
        tell([f"{slug}: {note}" for slug, of in notes.items() for note in of])
        lay_out_case(algorithm, case, paths)
