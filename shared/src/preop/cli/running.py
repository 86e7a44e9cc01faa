"""Commands on one case: ``preop run``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from preop.cli import repository
from preop.cli.app import app
from preop.cli.case_files import CaseCommand, given_inputs, how_to_name_a_case
from preop.cli.chosen import Chosen
from preop.cli.options import AlgorithmName, EngineOption, ModelOption, MppOption, TrustOption
from preop.cohort.inputs import case_of_inputs
from preop.engines.workspace import existing_folders
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.options import Options


@app.command(name="run", cls=CaseCommand)
def run_case(
    context: typer.Context,
    algorithm: AlgorithmName,
    output: Annotated[Path | None, typer.Option(help="A new or empty folder for the outputs.")] = None,
    input: Annotated[  # noqa: A002
        Path | None,
        typer.Option(help="Folder as the platform's /input, instead of files: inputs.json and what it names."),
    ] = None,
    dicom_in: Annotated[
        Path | None, typer.Option(help="Folder with the DICOM series of a patient, instead of files.")
    ] = None,
    dicom_out: Annotated[
        Path | None, typer.Option(help="A new folder for the results as DICOM: SEG, SR and the case page.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Number of the patient, where --dicom-in holds several.")] = None,
    model: ModelOption = None,
    engine: EngineOption = "auto",
    mpp: MppOption = None,
    trust_model: TrustOption = False,  # noqa: FBT002
) -> None:
    """Run an algorithm on one case: its files as they are, a folder as the platform lays it out, or the series of a PACS.

    Each algorithm takes its own files, by options of their own: `preop run ALGORITHM --help` lists them. A file is NIfTI, MHA,
    MHD, NRRD, a folder of DICOM slices, DICOM contours or segmentations, or a slide.

    Examples: `preop run sarcoma_lung_metastasis --ct-image ct.nii.gz --ct-tumour-segmentation tumour.nii.gz --age-years 61 --output result`;
    `preop run lung_nodal_stage --dicom-in series --dicom-out results` goes from DICOM to DICOM
    """
    described = repository.find_algorithm(algorithm)
    chosen = Chosen(described, engine, model, Options(mpp, trust_model))
    given = given_inputs(context, described)
    if dicom_in is not None or dicom_out is not None:
        from preop.cli.series import run_series

        if dicom_in is None or dicom_out is None or input is not None or given:
            raise InvalidInputError(
                "--dicom-in and --dicom-out go together, and take the place of --input and of files."
            )
        run_series(chosen, dicom_in, dicom_out, output, patient)
        return
    case = _named_case(described, input, given, mpp)
    if output is None:
        raise InvalidInputError("Name a new folder for the outputs: --output FOLDER.")
    chosen.run(case, input, output)


def _named_case(algorithm: Algorithm, folder: Path | None, given: Mapping[str, str], mpp: float | None) -> Case:
    """Read the case that the user named: by a folder, or by its files."""
    if folder is not None and given:
        raise InvalidInputError("A case is named by --input, or by its files: give one of both.")
    if given:
        return case_of_inputs(algorithm, given, mpp=mpp)
    if folder is None:
        raise InvalidInputError(f"No case is named. Name its files: {how_to_name_a_case(algorithm)}.")
    return replace(read_case(algorithm, existing_folders({"input": folder})["input"]), um_per_pixel=mpp)
