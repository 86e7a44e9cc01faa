"""``preop run``: one case through an algorithm, from the platform's layout or from DICOM series, back to where it came from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from preop.cli.printing import memory
from preop.cli.programs import engine_told
from preop.engines.choosing import EngineChoice
from preop.engines.programs import algorithm_program
from preop.engines.running import run
from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.options import Options

if TYPE_CHECKING:
    from preop.dicom.choosing import Choice
    from preop.report.case import Card

console = Console()


@dataclass(frozen=True)
class Run:
    """How an algorithm is run: where, by which model, and what the user says of it."""

    algorithm: Algorithm
    engine: EngineChoice
    model: Path | None
    options: Options

    def on_case(self, given: Path, output: Path) -> Card | None:
        """Run one case of the platform's layout, and write its page where that can be done.

        Raises
        ------
        InvalidInputError
            If the algorithm refuses the case.
        InvalidOutputError
            If the output folder is not empty.
        """
        from preop.cli.pages import page_told
        from preop.folders import is_empty, locked

        if not is_empty(output):
            raise InvalidOutputError(f"{output} is not empty: name a new folder, so that nothing is overwritten.")
        program = algorithm_program(self.algorithm)
        chosen = engine_told(program, self.engine)
        model = self.model or self.algorithm.folder / "model"
        with locked(output):
            result = run(chosen, program, input=given, output=output, model=model, options=self.options)
        if result.error is not None:
            typer.echo(result.stderr, err=True)
            raise InvalidInputError(result.error)
        console.print(f"{result.seconds:.1f} s, {memory(result.peak_memory_mb)}. The outputs are in {output}")
        page = page_told(self.algorithm, given, output, output, model, self.options.um_per_pixel)
        if page is not None:
            console.print(f"Case page: {page.page}", soft_wrap=True)
        return page

    def on_series(self, source: Path, target: Path, output: Path | None, patient: str | None) -> None:
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
        choices = _choices(source, self.algorithm, patient)
        with tempfile.TemporaryDirectory(prefix="preop-run-") as folder:
            case, outputs = Path(folder) / "input", output or Path(folder) / "output"
            _lay_out(self.algorithm, choices, case)
            page = self.on_case(case, outputs)
            self._write(choices, case, outputs, page, target)
        console.print(f"The results as DICOM are in {target}", soft_wrap=True)

    def _write(self, choices: list[Choice], case: Path, outputs: Path, page: Card | None, target: Path) -> None:
        from preop.atomic import replacing_folder
        from preop.dicom.results import write_results
        from preop.grandchallenge.cases import read_case
        from preop.grandchallenge.results import CaseOutputs
        from preop.report.case import print_page

        pdf = None
        if page is not None:
            try:
                pdf = case.with_name("page.pdf")
                print_page(page.page, pdf)
            except PreopError as error:
                pdf = None
                typer.echo(f"The case page is not among the results: {error}", err=True)
        sources = {
            choice.use: choice.series
            for choice in choices
            if choice.use and self.algorithm.input(choice.use).segmentation_of is None
        }
        with replacing_folder(target) as partial:
            write_results(CaseOutputs(read_case(self.algorithm, case), outputs), sources, partial, pdf=pdf)


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
