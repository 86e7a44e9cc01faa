"""Where a model comes from: the typed content of ``model.json``, without which no model is loaded."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.atomic import write_bytes
from preop.errors import InvalidInputError, InvalidModelError
from preop.evidence import Stored, ValidationFigures
from preop.folders import sha256
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.roots import below
from preop.grandchallenge.values import read_json, to_json
from preop.study.description import left_to_default
from preop.toml import first_validation_error

MODEL_FILE = "model.json"


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataSource(_Checked):
    """Where patients come from."""

    description: str = Field("not stated", description="the patients in one line")
    source: str = Field("not stated", description="where others can get the same data")
    citation: str = Field("not stated", description="paper to cite")
    licence: str = Field("not stated", description="under which the data may be used")
    simulated: bool = Field(
        False, description="whether they are simulated: then no figure says anything about patients"
    )


class TrainingData(DataSource):
    """The patients a model has learned from."""

    patients: int = Field(gt=0)
    events: int | None = Field(None, description="patients with the outcome")
    cohort_sha256: str = Field(description="of cohort.csv")


class ModelInfo(_Checked):
    """Provenance of a model: what was trained on what, when, by which versions, and how well it did."""

    algorithm: str
    algorithm_version: str
    created: str = Field(description="date, ISO 8601")
    seed: int
    training_data: TrainingData
    software: dict[str, str] = Field(min_length=1, description="version of each package that took part")
    validation: ValidationFigures = Field(description="figures obtained by cross-validation on the training cohort")
    files: dict[str, str] = Field(description="SHA-256 of every other file of the model, by its path in the folder")


class NoDetails(Stored):
    """Of a study whose validation holds nothing but what every study has."""


def model_info(
    algorithm: Algorithm,
    *,
    training_data: TrainingData,
    seed: int,
    packages: Sequence[str],
    validation: ValidationFigures,
) -> dict[str, Any]:
    """Put the provenance of a model that has just been trained together, for ``write_model``.

    Parameters
    ----------
    packages
        Those that took part in the training, by their names in the Python package index.
    """
    return {
        "algorithm": algorithm.name,
        "algorithm_version": algorithm.version,
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
        "seed": seed,
        "training_data": training_data,
        "software": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "validation": validation,
    }


def read_model_info(
    folder: Path, algorithm: Algorithm, details: type[BaseModel] | None = NoDetails, *, check_files: bool = True
) -> ModelInfo:
    """Read and check the provenance of a model, and that its files are the ones it was written with.

    Parameters
    ----------
    details
        Type of what only this study's validation holds; None where the caller does not look at it.
    check_files
        Whether the files are compared with their checksums, too.

    Raises
    ------
    InvalidModelError
        If there is no model, it belongs to another algorithm, an entry is missing or of another type, or a file is
        missing, changed or not listed.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise InvalidModelError(
            f"There is no model in {folder}: it holds no {MODEL_FILE}; upload model.tar.gz, or name a model folder."
        )
    try:
        content = read_json(path)
        owner = content.get("algorithm") if isinstance(content, dict) else None
        if isinstance(owner, str) and owner != algorithm.name:
            raise InvalidModelError(f"The model in {folder} was trained for {owner}; this is {algorithm.name}.")
        info = ModelInfo.model_validate(content)
    except InvalidInputError as error:
        raise InvalidModelError(f"The model in {folder} is damaged: {error}") from error
    except ValidationError as error:
        raise _damaged(folder, first_validation_error(error)) from None
    if (missing := left_to_default(info)) is not None:
        raise _damaged(folder, f"{missing}: Field required")
    if details is not None:
        try:
            info.validation.details_as(details)
        except ValidationError as error:
            raise _damaged(folder, f"validation.details.{first_validation_error(error)}") from None
    if check_files:
        _check_files(folder, info)
    return info


def _check_files(folder: Path, info: ModelInfo) -> None:
    """Check that the files are the ones that were written; where one of a folder is listed, all of them are."""
    for name, expected in info.files.items():
        try:
            file = below(folder, name)
        except InvalidInputError:
            raise InvalidModelError(
                f"The model in {folder} names the file {name!r}, which is not in its folder."
            ) from None
        if not file.is_file():
            raise InvalidModelError(f"The model in {folder} is incomplete: {name} is missing.")
        if sha256(file) != expected:
            raise InvalidModelError(
                f"The model in {folder} is damaged: {name} is not the file that was written (its SHA-256 differs)."
            )
    listed = {MODEL_FILE, *info.files}
    folders = {PurePosixPath(name).parts[0] for name in info.files if "/" in name}
    for file in sorted([*folder.iterdir(), *(path for name in folders for path in (folder / name).rglob("*"))]):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and not file.name.startswith(".") and name not in listed:
            raise InvalidModelError(
                f"The model in {folder} holds {name}, which {MODEL_FILE} does not list: take it away, or take the complete "
                f"{MODEL_FILE}."
            )


def write_model(
    folder: Path, info: Mapping[str, Any], files: Mapping[str, bytes], details: type[BaseModel] = NoDetails
) -> None:
    """Write a model folder: its files first, then ``model.json`` with their hashes, each complete or not at all.

    Parameters
    ----------
    folder
        Made where it is missing.
    info
        The fields of ``ModelInfo`` without ``files``: :func:`model_info`.
    files
        Content of each file, by its path in the folder.
    details
        Type of what only this study's validation holds.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    checked = ModelInfo(**info, files=hashes)
    checked.validation.details_as(details)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, MODEL_FILE: to_json(checked.model_dump()).encode()}.items():
        path = below(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)


def put_into_model(folder: Path, algorithm: Algorithm, files: Mapping[str, bytes]) -> None:
    """Put files into a model folder that is there, or replace them; what ``model.json`` says of the training stays.

    For what can be computed anew without training, such as measures of the training patients.

    Raises
    ------
    InvalidModelError
        If there is no model, or it is damaged.
    """
    info = read_model_info(folder, algorithm, None, check_files=False)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    updated = info.model_copy(update={"files": {**info.files, **hashes}})
    for name, content in {**files, MODEL_FILE: to_json(updated.model_dump()).encode()}.items():
        write_bytes(below(folder, name), content)
    read_model_info(folder, algorithm, None)


def _damaged(folder: Path, problem: str) -> InvalidModelError:
    return InvalidModelError(f"The model in {folder} is damaged: {MODEL_FILE}, {problem}.")
