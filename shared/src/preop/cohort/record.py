"""The record of a validation: what ran on what, and every figure, so that somebody else can run it again and compare.

It is made to be handed on, and holds no patient data: checksums, versions, counts and figures, but neither names, dates,
predictions nor images of patients, nor paths of a machine.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, ValidationError

from preop.atomic import write_text
from preop.cohort.overlap import Overlap
from preop.cohort.table import Cohort
from preop.engines.base import Identity
from preop.engines.programs import Program
from preop.errors import InvalidInputError
from preop.evidence import Stored
from preop.folders import digest_of, sha256
from preop.grandchallenge.options import Options
from preop.grandchallenge.values import JSON, read_json, to_json
from preop.study import MODEL_FILE, ModelInfo
from preop.toml import first_validation_error

RECORD_FILE = "record.json"
ROUNDING = 1e-6
"""Largest relative difference of a figure that another processor makes, which sums in another order."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
FigureValue = bool | int | FiniteFloat | str | None
Verdict = Literal["the same", "the same but for rounding", "differs", "is missing", "is new"]


class ProgramRecord(Stored):
    """What ran: the algorithm, or the evaluation."""

    name: str
    version: str
    engine: str = Field(description="docker, podman or process")
    image_sha256: Digest | None = Field(description="digest of the image; null where it ran without")
    sources_sha256: Digest | None = Field(description="of the files that the image is made of")
    commit: str | None = Field(description="of the checkout; -dirty where files differ from it")
    versions: dict[str, str] = Field(description="of Python and of the packages that numbers come from")


class ModelRecord(Stored):
    """Which model."""

    files: dict[str, Digest] = Field(description="SHA-256 of every file of the model folder, model.json among them")
    created: str
    training_cohort_sha256: str
    simulated: bool = Field(description="whether the patients it was trained on are simulated")


class CohortRecord(Stored):
    """Which patients, without anything of them."""

    patients: int
    failed: int = Field(description="patients on whom the algorithm failed; they are scored as the worst prediction")
    training_patients: int | None = Field(
        description="those the model was trained on, by what their images hold; null where the model does not say"
    )
    simulated: bool
    table_sha256: Digest = Field(description="of cohort.csv")
    content_sha256: Digest = Field(description="of all images and values, wherever they lie")


class ValidationRecord(Stored):
    """Content of ``record.json``."""

    format: Literal[1]
    created: str = Field(description="date, ISO 8601")
    algorithm: ProgramRecord
    evaluation: ProgramRecord
    model: ModelRecord
    cohort: CohortRecord
    settings: dict[str, bool | FiniteFloat | None] = Field(description="what the user said beyond the contract")
    seeds: dict[str, int]
    predictions_sha256: Digest = Field(description="of the predictions of all patients, to the last digit")
    figures: dict[str, FigureValue] = Field(
        min_length=1, description="every figure of metrics.json, by its place there"
    )


def program_record(program: Program, identity: Identity) -> ProgramRecord:
    """Put down what a program is made of."""
    return ProgramRecord(
        name=program.name,
        version=program.version,
        engine=identity.engine,
        image_sha256=identity.image_sha256,
        sources_sha256=identity.sources_sha256,
        commit=None if program.imported else _commit(program.repository),
        versions=dict(identity.versions),
    )


def model_record(folder: Path, info: ModelInfo) -> ModelRecord:
    """Put down which model it is; the checksums in its ``model.json`` have been checked."""
    return ModelRecord(
        files={**info.files, MODEL_FILE: sha256(folder / MODEL_FILE)},
        created=info.created,
        training_cohort_sha256=info.training_data.cohort_sha256,
        simulated=info.training_data.simulated,
    )


def refuse_others(record: ValidationRecord, model: ModelRecord, image_sha256: str | None) -> None:
    """Refuse another model or image than those of a record, before they are run for hours.

    Parameters
    ----------
    image_sha256
        Digest of an image that somebody else has exported; None where what runs was built here.

    Raises
    ------
    InvalidInputError
        If one is another.
    """
    if model.files != record.model.files:
        raise InvalidInputError(
            f"The model is not that of the record: {_files_told(record.model.files, model.files)}. Name its folder or archive "
            "by --model."
        )
    wanted = record.algorithm.image_sha256
    if image_sha256 is not None and wanted is not None and image_sha256 != wanted:
        raise InvalidInputError(
            f"The image is not that of the record: its digest is {image_sha256[:12]} and not {wanted[:12]}."
        )


def validation_record(
    *,
    algorithm: ProgramRecord,
    evaluation: ProgramRecord,
    cohort: Cohort,
    content_sha256: str,
    failed: int,
    overlap: Overlap,
    model: ModelRecord,
    seed: int,
    options: Options,
    metrics: Mapping[str, Any],
) -> ValidationRecord:
    """Put the record of a validation together.

    Parameters
    ----------
    content_sha256
        Checksum of all that the patients' rows and images hold.
    failed
        Patients on whom the algorithm failed.
    overlap
        Which patients the model has learned from.
    model, seed
        What the model is, and the seed of its training.
    metrics
        Content of the evaluation's ``metrics.json``.
    """
    results = [{key: value for key, value in each.items() if key not in _OF_A_PATIENT} for each in metrics["results"]]
    return ValidationRecord(
        format=1,
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        algorithm=algorithm,
        evaluation=evaluation,
        model=model,
        cohort=CohortRecord(
            patients=len(cohort.patients),
            failed=failed,
            training_patients=len(overlap.patients) if overlap.stated else None,
            simulated=cohort.source.simulated,
            table_sha256=cohort.sha256,
            content_sha256=content_sha256,
        ),
        settings={"trust_model": options.trust_model, "um_per_pixel": options.um_per_pixel},
        seeds={"training": seed},
        predictions_sha256=digest_of(results),
        figures=figures_of(metrics["aggregates"]),
    )


_OF_A_PATIENT = {"case", "attributes", "reason"}
"""Parts of a result that name a patient, or quote what was read of one."""


def figures_of(aggregates: JSON) -> dict[str, FigureValue]:
    """Give every figure of a nested mapping by its dotted place, in the order of these."""

    def walk(value: JSON, place: str) -> dict[str, FigureValue]:
        if isinstance(value, Mapping):
            return {key: each for name, part in value.items() for key, each in walk(part, f"{place}.{name}").items()}
        if isinstance(value, list):
            return {key: each for n, part in enumerate(value) for key, each in walk(part, f"{place}.{n}").items()}
        return {place.removeprefix("."): value}

    return dict(sorted(walk(aggregates, "").items()))


def write_record(record: ValidationRecord, path: Path) -> None:
    """Write a record as canonical JSON: keys in their order, so that the same record gives the same bytes."""
    write_text(path, to_json(_sorted(record.model_dump())))


def read_record(path: Path) -> ValidationRecord:
    """Read a record that anyone may have made.

    Raises
    ------
    InvalidInputError
        If it is missing, or no record of a validation; the sentence says what is wrong.
    """
    if not path.is_file():
        raise InvalidInputError(
            f"There is no record {path}; preop validate writes one as {RECORD_FILE} into its output."
        )
    content = read_json(path)
    try:
        return ValidationRecord.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise InvalidInputError(
            f"{path} is no record of a validation: {first_validation_error(error)}; expected the {RECORD_FILE} that preop "
            "validate writes."
        ) from None


class FigureCompared(Stored):
    """One figure in a record and in the run that checks it."""

    name: str
    recorded: FigureValue
    found: FigureValue
    verdict: Verdict


class Verification(Stored):
    """What became of running a validation again.

    Attributes
    ----------
    figures
        One for each that either run has.
    same_predictions
        Whether all predictions of all patients are the same to the last digit.
    differences
        What else differs, in sentences: where figures differ, the reason is likely among them.
    """

    figures: list[FigureCompared]
    same_predictions: bool
    differences: list[str]

    @property
    def different(self) -> list[FigureCompared]:
        """Figures that are not the same, rounding aside."""
        return [figure for figure in self.figures if figure.verdict in {"differs", "is missing", "is new"}]


def verify(record: ValidationRecord, again: ValidationRecord) -> Verification:
    """Compare a record with that of running it again, figure by figure."""
    names = sorted({*record.figures, *again.figures})
    return Verification(
        figures=[
            FigureCompared(
                name=name,
                recorded=record.figures.get(name),
                found=again.figures.get(name),
                verdict=_verdict(name, record.figures, again.figures),
            )
            for name in names
        ],
        same_predictions=record.predictions_sha256 == again.predictions_sha256,
        differences=differences(record, again),
    )


def differences(record: ValidationRecord, again: ValidationRecord) -> list[str]:
    """Say what differs between two validations beside their figures, one sentence each."""
    found = [*_of_program("algorithm", record.algorithm, again.algorithm)]
    found += _of_program("evaluation", record.evaluation, again.evaluation)
    if record.model != again.model:
        found.append(f"The model is another one: {_files_told(record.model.files, again.model.files)}.")
    if record.cohort.content_sha256 != again.cohort.content_sha256:
        found.append(
            f"The patients are others, or their images or values have changed: {record.cohort.patients} in the record, "
            f"{again.cohort.patients} now."
        )
    elif record.cohort.failed != again.cohort.failed:
        found.append(f"{record.cohort.failed} patients failed in the record, {again.cohort.failed} now.")
    if told := _parts_told(record.settings, again.settings):
        found.append(f"The settings differ: {told}.")
    return found


def _of_program(what: str, one: ProgramRecord, other: ProgramRecord) -> list[str]:
    found = []
    if (one.name, one.version) != (other.name, other.version):
        found.append(f"The {what} is {other.name} {other.version}; in the record it is {one.name} {one.version}.")
    if one.engine != other.engine:
        found.append(f"The {what} ran in {other.engine}; in the record it ran in {one.engine}.")
    if one.image_sha256 is not None and other.image_sha256 is not None and one.image_sha256 != other.image_sha256:
        found.append(
            f"The image of the {what} is {other.image_sha256[:12]}; in the record it is {one.image_sha256[:12]}."
        )
    if one.sources_sha256 != other.sources_sha256:
        commits = {one.commit, other.commit} - {None}
        at = f" (the record was made at commit {one.commit})" if one.commit and len(commits) > 1 else ""
        found.append(f"The sources of the {what} are not those of the record{at}.")
    if one.versions != other.versions:
        found.append(f"Versions below the {what} differ: {_parts_told(one.versions, other.versions)}.")
    return found


def _verdict(name: str, recorded: Mapping[str, FigureValue], found: Mapping[str, FigureValue]) -> Verdict:
    if name not in found:
        return "is missing"
    if name not in recorded:
        return "is new"
    one, other = recorded[name], found[name]
    if one == other and isinstance(one, bool) is isinstance(other, bool):
        return "the same"
    if (
        isinstance(one, float)
        and isinstance(other, int | float)
        and math.isclose(one, other, rel_tol=ROUNDING, abs_tol=1e-12)
    ):
        return "the same but for rounding"
    return "differs"


def _files_told(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return f"{', '.join(names)} differ" if len(names) > 1 else f"{''.join(names) or 'its description'} differs"


def _parts_told(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return ", ".join(f"{name} {other.get(name)} instead of {one.get(name)}" for name in names)


def _commit(repository: Path) -> str | None:
    """Commit of the checkout, where it is one and git is there."""
    command = ["git", "-C", str(repository), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _sorted(value: JSON) -> JSON:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
