"""The commands. Each one is a few lines: find what is named, call one function, say where the result is."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from preop.cli import evaluating, hospital, platform, predicting, proposing, repository, reviewing, running
from preop.cli.app import app, arrange, console
from preop.cli.failures import refuse_failures
from preop.cli.options import (
    AlgorithmName,
    AlgorithmNames,
    CohortOption,
    EngineOption,
    MppOption,
    TrustOption,
    whole,
)
from preop.cli.printing import memory, validation_table
from preop.cli.programs import container_engine, programs
from preop.engines.building import build_image, check_api_method
from preop.engines.choosing import find_engine
from preop.engines.containers import ContainerEngine, image_problem
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.grandchallenge.options import Options
from preop.grandchallenge.runtime import ApiMethod
from preop.progress import progress_bars
from preop.radiomics.settings import Modality
from preop.study import remove_killed_study, simulation_of, training_of

__all__ = ["app"]
# The import of these has put their commands on the app.
_ELSEWHERE = (running, predicting, evaluating, hospital, proposing, reviewing, platform)
NEW_STUDY_PATIENTS = 80
RUN_NAME, RUN_PATTERN = "%Y-%m-%d_%H%M%S", "[0-9]" * 4 + "-[0-9][0-9]-[0-9][0-9]_" + "[0-9]" * 6
"""Folder of a run of the examples."""


@app.command()
def show(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder with the outputs of a case.")],
    input: Annotated[  # noqa: A002
        Path | None, typer.Option(help="Its input folder; by default the folder called input beside OUTPUT.")
    ] = None,
    algorithm: Annotated[str | None, typer.Option(help="Which one made it; by default told by the outputs.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model that made it: its checksum is put on the page.")] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print it as PDF too, by Chromium.")] = False,  # noqa: FBT002
    mpp: MppOption = None,
) -> None:
    """Make the page of a case from its input and outputs, and say where it is.

    Example: `preop show case/output --input case/input --pdf`
    """
    from preop.grandchallenge.cases import read_case
    from preop.report.case import PAGE_FILE, case_page_file, print_page

    described = repository.find_algorithm(algorithm) if algorithm else repository.algorithm_of_outputs(output)
    case = replace(read_case(described, input or output.absolute().parent / "input"), um_per_pixel=mpp)
    page = case_page_file(case, output, output / PAGE_FILE, model=model).page
    if pdf:
        print_page(page, page.with_suffix(".pdf"))
        console.print(f"PDF: {page.with_suffix('.pdf')}", soft_wrap=True)
    console.print(f"Case page: {page}", soft_wrap=True)


@app.command()
def examples(
    output: Annotated[Path | None, typer.Option(help="A new folder; by default one below runs/.")] = None,
    engine: EngineOption = "auto",
) -> None:
    """Run every algorithm on its bundled examples, then the evaluation; the last line is the page that leads to all results."""
    from preop.cli.examples import run_examples
    from preop.folders import is_empty, locked, was_killed

    runs = repository.work_folder() / "runs"
    folder = output or runs / datetime.now(UTC).strftime(RUN_NAME)
    for killed in [each for each in (output or folder, *runs.glob(RUN_PATTERN)) if was_killed(each)]:
        shutil.rmtree(killed)
    if not is_empty(folder):
        raise InvalidOutputError(f"{folder} is not empty: name a new folder, so that nothing is overwritten.")
    with locked(folder):
        run_examples(folder, engine)


@app.command(name="test")
def run_test_cases(algorithms: AlgorithmNames = None, engine: EngineOption = "auto") -> None:
    """Run algorithms and the evaluation on their test cases and compare with the expected outputs.

    With docker or podman the images are built first. Exit code 1 on any difference.
    """
    from preop.engines.submissions import find_test_cases, run_test_case

    chosen = find_engine(engine)
    console.print(f"Test cases run in {chosen.isolation}")
    failed = 0
    table = Table("program", "case", "seconds", "peak memory", "result")
    for program, model in programs(algorithms):
        if isinstance(chosen, ContainerEngine):
            build_image(chosen, program)
        for case in find_test_cases(program.folder):
            with tempfile.TemporaryDirectory() as output:
                result, differences = run_test_case(chosen, program, case, Path(output), model=model)
            failed += bool(differences)
            verdict = "as expected" if not differences else "[red]" + "\n".join(differences)
            table.add_row(program.name, case.name, f"{result.seconds:.1f}", memory(result.peak_memory_mb), verdict)
    console.print(table)
    if failed:
        raise InvalidOutputError(f"{failed} of {table.row_count} test cases are not as expected.")


@app.command()
def build(
    algorithms: AlgorithmNames = None,
    api_method: Annotated[
        ApiMethod, typer.Option(help="exec: a start per case; invoke: a server that keeps the model.")
    ] = "exec",
    if_needed: Annotated[bool, typer.Option("--if-needed", help="Leave out images that are current.")] = False,  # noqa: FBT002
) -> None:
    """Build the images with docker or podman.

    PREOP_BUILD_OPTIONS adds options to the engine's build, PREOP_BASE_IMAGE replaces the base image: docs/containers.md.
    """
    wanted = [program for program, _ in programs(algorithms)]
    for program in wanted:  # told before the first is built
        check_api_method(program, api_method)
    chosen = container_engine()
    for program in wanted:
        if if_needed and image_problem(chosen, program) is None:
            continue
        build_image(chosen, program, api_method=api_method)
        console.print(f"Built {program.image}")


@app.command()
def export(
    algorithms: AlgorithmNames = None,
    output: Annotated[Path, typer.Option(help="Folder of the exports.")] = Path("exports"),
    force: Annotated[bool, typer.Option("--force", help="Replace archives that hold something else.")] = False,  # noqa: FBT002
) -> None:
    """Write what is uploaded to the platform: image archive, model.tar.gz, SHA256SUMS; checked by the platform's rules."""
    from preop.engines.archive import export as export_program

    chosen = container_engine()
    for program, model in programs(algorithms):
        done = export_program(chosen, program, output, model=model, force=force)
        sizes = ", ".join(
            f"{path.name} {path.stat().st_size / 1e6:.0f} MB" for path in done.files if path.suffix == ".gz"
        )
        console.print(f"{sizes}: accepted by the platform's rules, in {done.folder}", soft_wrap=True)


@app.command()
def simulate(
    algorithm: AlgorithmName,
    patients: Annotated[int, typer.Option(parser=whole(2), metavar="NUMBER", help="How many.")],
    output: Annotated[Path, typer.Option(help="A new folder, or one that the same call began.")],
    seed: Annotated[
        int, typer.Option(parser=whole(0), metavar="NUMBER", help="The same seed gives the same patients.")
    ] = 0,
    small: Annotated[bool, typer.Option("--small", help="Small coarse images, to try things out.")] = False,  # noqa: FBT002
) -> None:
    """Make a cohort of simulated patients: cohort.csv, images and the known truth.

    Example: `preop simulate sarcoma_lung_metastasis --patients 100 --seed 1 --output simulated`
    """
    simulation = simulation_of(repository.find_algorithm(algorithm))
    with progress_bars() as progress:
        task = progress.add_task("Simulating", total=patients)

        def advance(done: int, _: int) -> None:
            progress.update(task, completed=done)

        simulation.simulate(patients, seed, output, advance, small=small)
    console.print(f"The cohort is {output / 'cohort.csv'}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and underscores.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder that gets algorithms/NAME and evaluation/ground_truth/NAME; of a pack: itself."),
    ] = None,
    phase: Annotated[
        str | None, typer.Option(metavar="ALGORITHM", help="Make a challenge pack for it instead.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Of a challenge pack: its patients, with their reference.")
    ] = None,
    debug: Annotated[
        int, typer.Option(parser=whole(1), metavar="NUMBER", help="Of a challenge pack: patients of its first phase.")
    ] = 5,
) -> None:
    """Make a new study that works: a small one to change into your own, trained on simulated patients, with its cases.

    Example: `preop new liver_fibrosis`. docs/studies.md goes on from there.
    A challenge: `preop new my-challenge --phase lung_nodal_stage --cohort hospital/cohort.csv`, docs/grand-challenge.md.
    """
    if phase is not None:
        platform.write_phase(name, phase, cohort, output, debug)
        return
    import runpy

    from preop.folders import locked
    from preop.study import remove_study, write_study

    like = next(iter(repository.studies()), None)
    if like is None:
        raise InvalidInputError("A new study needs a checkout of the preop repository, and here is none.")
    remove_killed_study(name, output or repository.work_folder())
    study = write_study(name, output or repository.work_folder(), like)
    folder, runs = str(study.folder), (output or repository.work_folder()) / "runs" / name
    try:
        with locked(study.folder):
            simulate(folder, patients=NEW_STUDY_PATIENTS, output=runs / "simulated", seed=1)
            train(
                folder, cohort=runs / "simulated" / "cohort.csv", model=study.folder / "model", report=runs / "report"
            )
            runpy.run_path(str(study.folder / "test" / "make_cases.py"), run_name="__main__")
    except BaseException:
        remove_study(study)
        raise
    console.print(f"The study is in {folder}. Run it by ./run.sh, test it by ./test.sh {name}", soft_wrap=True)
    console.print("Now change measurement.py, training.py and simulation/ into your own: docs/studies.md")


@app.command()
def register(
    algorithm: AlgorithmName,
    model: Annotated[Path, typer.Option(help="Model folder that networks were put into.")],
    portable: Annotated[  # noqa: FBT002
        bool, typer.Option("--portable", help="Write every network in the form that runs without torch, too.")
    ] = False,
) -> None:
    """List segmentation networks that you have put into a model folder in its model.json, without which it does not load.

    Example: `preop register liver_growth_pattern --model my-model`
    """
    from preop.study import inference_of, portable_of, write_portable_forms
    from preop.study import register as list_networks

    described = repository.find_algorithm(algorithm)
    if not described.networks and not (portable and portable_of(described)):
        raise InvalidInputError(f"A model of {described.name} takes no networks beside those that it was trained with.")
    told = write_portable_forms(model, described) if portable else list_networks(model, described)
    for change in told or ["Nothing has changed."]:
        console.print(change, soft_wrap=True, highlight=False)
    inference_of(described).load_model(model, described)


@app.command()
def train(
    algorithm: AlgorithmName,
    cohort: CohortOption,
    model: Annotated[Path, typer.Option(help="A new folder for the model.")],
    report: Annotated[
        Path | None, typer.Option(help="Folder for report and evidence; by default MODEL-report.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="TOML file with settings of the training.")] = None,
    trust_model: TrustOption = False,  # noqa: FBT002
) -> None:
    """Train an algorithm on a cohort, with validation in which everything that learns is inside the folds.

    Example: `preop train sarcoma_lung_metastasis --cohort simulated/cohort.csv --model my-model`
    """
    from preop.cohort import read_cohort, refuse_copies, tell
    from preop.folders import Contents, is_empty, locked
    from preop.toml import read_toml

    os.environ.update(Options(trust_model=trust_model).environment())  # for the processes of the patients too
    described = repository.find_algorithm(algorithm)
    training = training_of(described)
    if not is_empty(model):
        raise InvalidOutputError(f"{model} is not empty: name a new folder, so that no model is overwritten.")
    chosen = read_toml(settings, training.Settings) if settings else training.Settings()
    where = report or model.with_name(f"{model.name}-report")
    patients = read_cohort(cohort, described)
    tell(patients.notes)
    with locked(where):
        refuse_copies(patients, Contents(where / ".checksums.json"))
        validation = training.fit(patients, model, where, chosen)
    console.print(validation_table(validation))
    for sentence in validation.verdict:
        console.print(sentence)
    console.print(f"The model is in {model}, the report is {where / 'report.html'}", soft_wrap=True)


@app.command()
def validate(
    algorithm: Annotated[
        str | None,
        typer.Argument(metavar="[ALGORITHM]", help="Its name, or its folder; with --verify that of the record."),
    ] = None,
    cohort: Annotated[Path | None, typer.Option(help="cohort.csv: one row a patient.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="A new folder, or one that the same call began; with --verify by default one beside the record."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model folder or exported model.tar.gz; by default the one that comes with it.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Exported archive of an image, to validate what somebody else has built.")
    ] = None,
    engine: EngineOption = "auto",
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run the patients on a Dask cluster: its address or --scheduler-file."),
    ] = None,
    verify: Annotated[
        Path | None, typer.Option(metavar="RECORD", help="Run the validation of this record.json again and compare.")
    ] = None,
    trust_model: TrustOption = False,  # noqa: FBT002
) -> None:
    """Run a model over another cohort and score it against its reference standard; leave a record that others can verify.

    Examples: `preop validate sarcoma_lung_metastasis --cohort hospital/cohort.csv --output validation`;
    `preop validate sarcoma_lung_metastasis --cohort hospital/cohort.csv --output validation --image sarcoma.tar.gz
    --model model.tar.gz` runs what somebody else has exported; `preop validate --verify validation/record.json` runs it
    again and compares every figure. docs/validation.md
    """
    from preop.cli import validating

    described = repository.find_algorithm(algorithm) if algorithm else None
    if verify is not None:
        named = {"cohort": cohort, "output": output, "model": model, "image": image, "scheduler": scheduler}
        validating.verify(verify, {**named, "algorithm": described, "engine": engine, "trust_model": trust_model})
        return
    if described is None or cohort is None or output is None:
        raise typer.BadParameter("Name ALGORITHM, --cohort and --output; or --verify RECORD.")
    outcome, _ = validating.validate(
        validating.Asked(described, cohort, output, model, image, engine, scheduler, trust_model)
    )
    refuse_failures(outcome, output)


@app.command()
def radiomics(
    image: Annotated[Path, typer.Argument(help="Scan: a file or a folder of DICOM slices. Or a table: cohort.csv.")],
    mask: Annotated[Path | None, typer.Argument(help="Mask on the grid of the scan.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="features.csv, or features.json with settings, versions and checksums.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="TOML file: spacing_mm, discretisation, ...; docs/radiomics.md.")
    ] = None,
    image_column: Annotated[str, typer.Option(help="Column of the table with the scan.")] = "image",
    mask_column: Annotated[str, typer.Option(help="Column of the table with the mask.")] = "mask",
    modality: Annotated[
        Modality | None,
        typer.Option(
            help="What scanned it: CT in HU, PET in SUV, or MR; also a column of the table. Sets the defaults."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Region of a mask that holds several: its number, its name, or a pattern with *.")
    ] = None,
) -> None:
    """Compute radiomics by the IBSI standard, of one scan or of all patients of a table.

    Examples: `preop radiomics ct.nii.gz mask.nii.gz --output features.json`;
    `preop radiomics cohort.csv --image-column ct-image --mask-column ct-tumour-segmentation --output features.csv`
    """
    from preop.cohort import extract_cohort, tell, write_extraction
    from preop.radiomics import Settings, extract
    from preop.tables import is_table
    from preop.toml import read_toml

    chosen = read_toml(settings, Settings) if settings else Settings()
    target = output or Path("features.csv")
    if is_table(image):
        outcome = extract_cohort(
            image,
            target,
            image_column=image_column,
            mask_column=mask_column,
            settings=chosen,
            modality=modality,
            label=label,
        )
        tell(outcome.notes)
        console.print(f"The features are in {target}", soft_wrap=True)
        refuse_failures(outcome, target.with_name(f"{target.name}.parts"))
    elif mask is None:
        raise InvalidInputError("A scan needs its mask: preop radiomics SCAN MASK; or name a table, cohort.csv.")
    else:
        extraction = extract(image, mask, chosen, modality=modality, label=label)
        write_extraction(extraction, target)
        tell((*extraction.notes, *extraction.warnings))
        console.print(f"The features are in {target}", soft_wrap=True)


@app.command()
def doctor() -> None:
    """Tell what you can do on this machine, what that rests on, and what to type for the rest; exit code 1 if nothing works."""
    from preop.cli.doctor import abilities, examine

    console.print("[bold]Here you can[/]")
    found = abilities()
    for ability in found:
        mark = "[green]yes[/]" if ability.works else "[yellow]no [/]"
        console.print(f"{mark} [bold]{ability.what}[/]: {ability.how}", soft_wrap=True, highlight=False)
    console.print("[bold]What it rests on[/]")
    for finding in examine():
        mark = "[green]yes[/]" if finding.works else "[yellow]no [/]"
        console.print(f"{mark} [bold]{finding.what}[/]: {finding.found}", soft_wrap=True)
        if finding.remedy:
            console.print(f"      type: {finding.remedy}", soft_wrap=True, highlight=False)
    if not any(ability.works for ability in found):
        raise MissingToolError("Nothing works here yet: type requirements/install.sh imaging.")


arrange()
