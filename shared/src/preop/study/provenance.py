"""Where a model comes from: the typed content of ``model.json``, without which no model is loaded."""

from __future__ import annotations

import datetime as dt
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.atomic import move_all, staging, write_bytes
from preop.errors import InvalidInputError, InvalidModelError
from preop.evidence import Stored, ValidationFigures
from preop.folders import locked, sha256
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.roots import below
from preop.grandchallenge.values import non_finite_place, read_json, to_json
from preop.study.description import left_to_default
from preop.study.model_files import MODEL_FILE, check_files, files_in
from preop.toml import first_validation_error
from preop.wording import counted


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
    files: dict[str, str] = Field(
        min_length=1, description="SHA-256 of every other file of the model, by its path in the folder"
    )


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


def read_model_info(folder: Path, algorithm: Algorithm, details: type[BaseModel] | None = NoDetails) -> ModelInfo:
    """Read and check the provenance of a model, and that its files are the ones it was written with.

    Parameters
    ----------
    details
        Type of what only this study's validation holds; None where the caller does not look at it.

    Raises
    ------
    InvalidModelError
        If there is no model, it belongs to another algorithm, an entry is missing, not finite or of another type, or a file
        is missing, changed, not listed, or no regular file.
    """
    info = _read_info(folder, algorithm)
    if details is not None:
        try:
            info.validation.details_as(details)
        except ValidationError as error:
            raise _damaged(folder, f"validation.details.{first_validation_error(error)}") from None
    check_files(folder, info.files)
    return info


def _read_info(folder: Path, algorithm: Algorithm) -> ModelInfo:
    """Read ``model.json`` alone."""
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
    if (place := non_finite_place(content)) is not None:
        raise _damaged(folder, f"{place.removeprefix('.')} is not a finite number")
    if (missing := left_to_default(info)) is not None:
        raise _damaged(folder, f"{missing}: Field required")
    return info


def model_provenance(folder: Path) -> list[tuple[str, str]]:
    """Say of a model where its figures come from: names and values for the foot of a page.

    Raises
    ------
    InvalidInputError
        If it has no ``model.json``, or a broken one.
    """
    info = read_json(folder / MODEL_FILE)
    trained = info["training_data"]
    patients = f"{trained['patients']} {'simulated ' if trained.get('simulated') else ''}patients"
    software = ", ".join(f"{name} {number}" for name, number in info["software"].items())
    return [
        ("Model", f"{info['algorithm']} {info['algorithm_version']}, trained {info['created']}, seed {info['seed']}"),
        ("Training data", f"{patients}; SHA-256 of their table: {trained['cohort_sha256']}"),
        ("Versions", software),
        ("SHA-256 of model.json", sha256(folder / MODEL_FILE)),
    ]


def write_model(
    folder: Path, info: Mapping[str, Any], files: Mapping[str, bytes | Path], details: type[BaseModel] = NoDetails
) -> None:
    """Write a model folder with ``model.json``, which lists the checksums of its files: all of it, or nothing.

    Parameters
    ----------
    folder
        Made where it is missing.
    info
        The fields of ``ModelInfo`` without ``files``: :func:`model_info`.
    files
        Content of each file, or the file that is copied, by its path in the folder.
    details
        Type of what only this study's validation holds.
    """
    with locked(folder), staging(folder) as staged:
        hashes = {}
        for name, content in files.items():
            path = below(staged, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)
            hashes[name] = sha256(path)
        checked = ModelInfo(**info, files=hashes)
        checked.validation.details_as(details)
        _write_info(staged, checked)
        last = sorted(staged.iterdir(), key=lambda path: path.name == MODEL_FILE)
        move_all([(path, folder / path.name) for path in last])


def register(folder: Path, algorithm: Algorithm) -> list[str]:
    """List the networks that the user has put into a model folder, so that it loads: the user's word that they are right.

    Returns
    -------
    What changed in ``model.json``, a sentence for each network; empty where nothing did.

    Raises
    ------
    InvalidModelError
        If there is no model, or anything but the algorithm's folders of networks is not as ``model.json`` lists it.
    """
    info = _read_info(folder, algorithm)
    own = {name: digest for name, digest in info.files.items() if name.split("/")[0] not in algorithm.networks}
    places = [folder / network for network in algorithm.networks if (folder / network).is_dir()]
    added = {name: sha256(path) for place in places for name, path in files_in(folder, within=place).items()}
    check_files(folder, {**own, **added})
    with locked(folder):
        _write_info(folder, info.model_copy(update={"files": {**own, **added}}))
    told = []
    for network, what in algorithm.networks.items():
        before, now = (
            {name: each for name, each in files.items() if name.startswith(f"{network}/")}
            for files in (info.files, added)
        )
        if before != now:
            files = counted(len(now), "file")
            told.append(f"{network}/ ({what}): {files} listed, {len(before)} before.")
    return told


def _write_info(folder: Path, info: ModelInfo) -> None:
    write_bytes(folder / MODEL_FILE, to_json(info.model_dump()).encode())


def put_into_model(folder: Path, algorithm: Algorithm, files: Mapping[str, bytes]) -> None:
    """Put files into a model folder that is there, or replace them; what ``model.json`` says of the training stays.

    For what can be computed anew without training, such as measures of the training patients.

    Raises
    ------
    InvalidModelError
        If there is no model, or it is damaged.
    """
    info = _read_info(folder, algorithm)
    with locked(folder):
        for name, content in files.items():
            write_bytes(below(folder, name), content)
        hashes = {name: sha256(folder / name) for name in files}
        _write_info(folder, info.model_copy(update={"files": {**info.files, **hashes}}))
    read_model_info(folder, algorithm, None)


def _damaged(folder: Path, problem: str) -> InvalidModelError:
    return InvalidModelError(f"The model in {folder} is damaged: {MODEL_FILE}, {problem}.")
