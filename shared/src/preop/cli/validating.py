"""``preop validate``: a model on another cohort, with the record of it, or a record checked by running it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from preop.atomic import write_text
from preop.cli import repository
from preop.cli.programs import container_engine, engine_told
from preop.engines.base import Engine
from preop.engines.choosing import EngineChoice
from preop.engines.importing import imported_program, unpack_model
from preop.engines.programs import Program, algorithm_program, evaluation_program
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.options import Options
from preop.wording import counted

if TYPE_CHECKING:
    from preop.cohort import Predicted
    from preop.cohort.cluster import Cluster
    from preop.cohort.record import ValidationRecord, Verification

PLACES_FILE = ".places.json"
"""Where table, model and image of a validation lie on this machine: beside the record, which holds no path."""
VERIFICATION_FOLDER = "verification"
VERIFICATION_FILE = "verification.json"
RESULTS_PAGE = "results.html"

console = Console()


class DifferentFiguresError(InvalidOutputError):
    """A record whose figures were not found again."""


@dataclass(frozen=True)
class Asked:
    """What the user asks to be validated.

    Attributes
    ----------
    cohort
        The table.
    output
        A new folder, or one that the same call began.
    model
        Model folder, or an exported archive; None for the one that comes with the algorithm.
    image
        Exported archive of an image; None for the one that was built here, or the isolated process.
    scheduler
        Of a Dask cluster; None for this machine.
    """

    algorithm: Algorithm
    cohort: Path
    output: Path
    model: Path | None = None
    image: Path | None = None
    engine: EngineChoice = "auto"
    scheduler: str | None = None
    trust_model: bool = False


def validate(asked: Asked, *, expected: ValidationRecord | None = None) -> tuple[Predicted, ValidationRecord]:
    """Run a model over a cohort, score it, and write the record and the pages.

    Parameters
    ----------
    expected
        A record that this is to reproduce: another model, image or cohort is refused before the first patient.
    """
    from preop.cohort import predict_cohort, read_cohort, tell
    from preop.cohort.measuring import INDEX_FILE
    from preop.cohort.record import (
        RECORD_FILE,
        model_record,
        program_record,
        refuse_others,
        validation_record,
        write_record,
    )
    from preop.cohort.running import map_patients
    from preop.engines.submissions import evaluate
    from preop.report.case import cohort_pages, gallery
    from preop.report.evaluation import evaluation_page
    from preop.study import read_model_info

    algorithm, output = asked.algorithm, asked.output
    patients = read_cohort(asked.cohort, algorithm)
    program, running = _program(asked)
    judge = evaluation_program(repository.evaluation_folder())
    judging = engine_told(judge, asked.engine)  # a missing image is told now, not after the last patient
    ran = program_record(program, running.identify(program))
    judged = program_record(judge, judging.identify(judge))
    model = _model_folder(asked)
    info = read_model_info(model, algorithm, None)
    if expected is not None:
        refuse_others(expected, model_record(model, info), ran if asked.image else None)
    options = Options(trust_model=asked.trust_model)
    with _cluster(asked) as cluster:
        mapped = map_patients if cluster is None else cluster.map
        outcome = predict_cohort(
            patients,
            model,
            output,
            task=repository.ground_truth_folder(algorithm) / "task.toml",
            engine=running,
            options=options,
            program=program,
            cluster=cluster,
            archive=asked.image,
            expected_sha256=None if expected is None else expected.cohort.content_sha256,
        )
        tell(outcome.notes)
        cards, without = cohort_pages(
            patients, outcome.folders, output / "cases", model=model, index=output / INDEX_FILE, mapped=mapped
        )
    tell([f"No case page of {name}: {reason}" for name, reason in without.items()])
    metrics = evaluate(judging, judge, output / "predictions", output / "ground_truth", output / "evaluation")
    record = validation_record(
        algorithm=ran,
        evaluation=judged,
        cohort=patients,
        content_sha256=outcome.content_sha256,
        failed=len(outcome.failures),
        overlap=outcome.overlap,
        model=model_record(model, info),
        seed=info.seed,
        options=options,
        metrics=metrics,
    )
    page = output / RESULTS_PAGE
    evaluation_page(
        metrics,
        page,
        cases=gallery(cards.values(), page),
        on_training=outcome.overlap.sentence,
        remarks=[outcome.overlap.remark],
    )
    write_record(record, output / RECORD_FILE)
    places = {"cohort": asked.cohort, "model": asked.model, "image": asked.image}
    told = {name: str(path.absolute()) for name, path in places.items() if path is not None}
    write_text(output / PLACES_FILE, json.dumps({"algorithm": str(algorithm.folder.absolute()), **told}, indent=2))
    if outcome.overlap.sentence or not outcome.overlap.stated:
        console.print(outcome.overlap.sentence or outcome.overlap.remark, soft_wrap=True)
    console.print(f"Record, which holds no patient data: {output / RECORD_FILE}", soft_wrap=True)
    console.print(f"Result page: {page}", soft_wrap=True)
    return outcome, record


def verify(path: Path, asked: dict[str, Any]) -> None:
    """Run the validation of a record again, and say of each figure whether it is the same.

    Parameters
    ----------
    asked
        Entries of :class:`Asked` that the user names; the others are those of the record, as this machine remembers them.

    Raises
    ------
    DifferentFiguresError
        If a figure is not the same.
    InvalidInputError
        If there is no such record, or table, model or image are not those of it.
    """
    from preop.cohort.record import RECORD_FILE, read_record
    from preop.cohort.record import verify as compare
    from preop.grandchallenge.values import to_json

    record = read_record(path)
    places = _places(path)
    named = {name: value for name, value in asked.items() if value is not None}
    for name in ("cohort", "model", "image"):
        if name in places and name not in named:
            named[name] = Path(places[name])
    if "algorithm" not in named:
        named["algorithm"] = repository.find_algorithm(places.get("algorithm", record.algorithm.name))
    if "cohort" not in named:
        raise InvalidInputError(
            f"The record {path} names no path: name the table of its {counted(record.cohort.patients, 'patient')} by --cohort."
        )
    if named["algorithm"].name != record.algorithm.name:
        raise InvalidInputError(f"The record is one of {record.algorithm.name}; this is {named['algorithm'].name}.")
    if "output" not in named:
        named["output"] = path.absolute().parent / VERIFICATION_FOLDER
        if (named["output"] / RECORD_FILE).is_file():  # a finished one: nothing would be computed again
            shutil.rmtree(named["output"])
    output: Path = named["output"]
    if (output / RECORD_FILE).is_file():
        raise InvalidOutputError(
            f"{output} holds a validation that is finished, whose predictions would be taken for those of now: name a new folder."
        )
    _, again = validate(Asked(**named), expected=record)
    done = compare(record, again)
    write_text(output / VERIFICATION_FILE, to_json(done.model_dump()))
    _print(done, record)
    if done.different:
        raise DifferentFiguresError(
            f"{len(done.different)} of {len(done.figures)} figures are not those of the record: "
            f"{', '.join(figure.name for figure in done.different[:5])}{' ...' if len(done.different) > 5 else ''}."
        )
    console.print(f"All {len(done.figures)} figures are those of the record.", soft_wrap=True)


def _print(done: Verification, record: ValidationRecord) -> None:
    table = Table("figure", "record", "now", "verdict", title=f"Record of {record.created}, run again")
    for figure in done.figures:
        colour = "[red]" if figure in done.different else ""
        table.add_row(figure.name, _shown(figure.recorded), _shown(figure.found), colour + figure.verdict)
    console.print(table)
    for sentence in done.differences:
        console.print(sentence, soft_wrap=True)
    same = "are the same to the last digit" if done.same_predictions else "are not all the same to the last digit"
    console.print(f"The predictions of {counted(record.cohort.patients, 'patient')} {same}.", soft_wrap=True)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def _program(asked: Asked) -> tuple[Program, Engine]:
    """Choose what runs: what somebody else has exported, or what was built here, or the isolated process."""
    program = algorithm_program(asked.algorithm)
    if asked.image is None:
        return program, engine_told(program, asked.engine)
    if asked.engine == "process":
        raise InvalidInputError("An image runs in docker or podman: leave --engine out, or --image.")
    engine = container_engine(asked.engine)
    program, described = imported_program(engine, program, asked.image)
    console.print(
        f"{program.title}: image sha256:{described.sha256} of {asked.image}, whose checksum is right, in {engine.isolation}",
        soft_wrap=True,
    )
    return program, engine


def _model_folder(asked: Asked) -> Path:
    if asked.model is None:
        return asked.algorithm.folder / "model"
    if asked.model.is_file():
        from preop.folders import locked

        with locked(asked.output):
            return unpack_model(asked.model, asked.output)
    return asked.model


@contextmanager
def _cluster(asked: Asked) -> Iterator[Cluster | None]:
    if asked.scheduler is None:
        yield None
        return
    from preop.cohort.cluster import cluster_at

    with cluster_at(asked.scheduler) as cluster:
        yield cluster


def _places(record: Path) -> dict[str, str]:
    """Where this machine has table, model and image of a record that it has written itself."""
    path = record.with_name(PLACES_FILE)
    try:
        places = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: each for name, each in places.items() if isinstance(each, str)} if isinstance(places, dict) else {}
