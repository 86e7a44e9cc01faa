"""What was predicted of each case, from the jobs of a submission; or the reason why nothing was."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from evaluation.reference import REFERENCE_FILE, ReferenceCase
from evaluation.tasks import (
    BinaryTask,
    CountTask,
    DetectionTask,
    InstancesTask,
    OrdinalTask,
    SharesTask,
    SurvivalTask,
    Task,
)
from preop.errors import InvalidInputError

if TYPE_CHECKING:
    from preop.grandchallenge.predictions import Job

Read = Callable[[str], Any]
"""Gives the JSON output of a job by its slug."""
Status = Literal["valid", "invalid", "failed", "missing"]
Assessable = Literal["yes", "limited", "no", "not stated"]
NOT_STATED: Assessable = "not stated"
# Probabilities of float32, or rounded to four places, do not add up to exactly 1.
_ROUNDING = 0.01
# What the platform calls a slide that it converts, whatever its file was called.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Prediction:
    """What one case got: ``value`` and ``threshold`` where valid, else the reason why not.

    Attributes
    ----------
    assessable
        What the algorithm says of the case: yes, limited, no, or nothing.
    """

    status: Status
    reason: str = ""
    value: Any = None
    threshold: float | None = None
    assessable: Assessable = NOT_STATED


def match_jobs(jobs: Sequence[Job], reference: Sequence[ReferenceCase], task: Task) -> dict[str, Job]:
    """Find the job of each case by the name that its inputs carry.

    Raises
    ------
    InvalidInputError
        If a job has no case, one that the reference does not know, or that of another job.
    """
    known = {case.name for case in reference}
    job_of_case: dict[str, Job] = {}
    for job in jobs:
        name = next((name for name in map(job.case_name, task.case_sockets) if name is not None), None)
        if name is None:
            raise InvalidInputError(
                f"Job {job.pk} has none of the inputs that name its case ({', '.join(task.case_sockets)})."
            )
        if name not in known:
            renamed = (
                " The platform gives such a name to a slide that it converts: let another input name the case "
                "(case_sockets of task.toml)."
                if _UUID.fullmatch(name)
                else ""
            )
            raise InvalidInputError(
                f"Job {job.pk} is about the case '{name}', which {REFERENCE_FILE} does not hold; "
                f"expected a submission on the cases of this ground truth.{renamed}"
            )
        if name in job_of_case:
            raise InvalidInputError(
                f"The jobs {job_of_case[name].pk} and {job.pk} are about the same case '{name}'; expected one job each."
            )
        job_of_case[name] = job
    return job_of_case


def predict(job: Job | None, task: Task) -> Prediction:
    """Take the prediction of a case from its job, or say why there is none."""
    if job is None:
        return Prediction("missing", "There is no job for this case.")
    if not job.succeeded:
        return Prediction("failed", job.error_message or "The algorithm failed on this case.")
    read = cache(job.value)  # several things may stand in one file
    assessable = _assessable(read, task)
    try:
        value = _value(read, task)
        threshold = _threshold(read, task) if isinstance(task, BinaryTask) else None
        return Prediction("valid", value=value, threshold=threshold, assessable=assessable)
    except InvalidInputError as error:
        # The same submission gives the same bytes wherever its files lie.
        reason = str(error).replace(str(job.folder), f"{job.pk}/output")
        return Prediction("invalid", reason, assessable=assessable)


def _assessable(read: Read, task: Task) -> Assessable:
    """What the algorithm says of the case; an object that cannot be read says nothing."""
    if task.assessable_socket is None:
        return NOT_STATED
    try:
        stated = read(task.assessable_socket)
    except InvalidInputError:
        return NOT_STATED
    said = stated.get(task.assessable_key) if isinstance(stated, dict) else None
    return said if said in ("yes", "limited", "no") else NOT_STATED


def _value(read: Read, task: Task) -> Any:
    """Take the value of a job, checked and in the form that its kind of task is scored in."""
    value, what = read(task.prediction_socket), task.prediction_socket
    for key in task.prediction_key.split("/") if task.prediction_key else ():
        if not isinstance(value, dict) or key not in value:
            raise InvalidInputError(f"{what} does not state '{key}'.")
        value, what = value[key], f"{key} of {task.prediction_socket}"
    return _CHECKS[type(task)](value, what, task)


def _likelihood(value: object, what: str, _task: Task) -> float:
    return _between_0_and_1(value, what)


def _stage(value: object, what: str, task: OrdinalTask) -> object:
    if value not in task.categories:
        raise InvalidInputError(f"{what} is {value!r:.60}; expected one of {', '.join(task.categories)}.")
    return value


def _risk(value: object, what: str, task: SurvivalTask) -> float:
    return _between_0_and_1(value, what) if task.horizon else _finite(value, what)


def _threshold(read: Read, task: BinaryTask) -> float:
    stated = read(task.threshold_socket)
    if not isinstance(stated, dict) or task.threshold_key not in stated:
        raise InvalidInputError(f"{task.threshold_socket} does not state '{task.threshold_key}'.")
    return _between_0_and_1(stated[task.threshold_key], f"{task.threshold_key} of {task.threshold_socket}")


def distribution(value: object, what: str, task: CountTask) -> tuple[float, ...]:
    """Probability of 0, 1, ..., ``largest`` or more, from a list, an object by number, or one number for certain."""
    largest = task.largest
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not (value >= 0 and math.isfinite(value)):
            raise InvalidInputError(f"{what} is {value!r:.60}; expected a number from 0.")
        low = min(int(value), largest)
        row = [0.0] * (largest + 1)
        # A number between two whole ones is the mean of both, weighed by how near they are.
        above = min(value, largest) - low
        row[low] = 1 - above
        if above:
            row[low + 1] = above
        return tuple(row)
    listed = list(enumerate(value)) if isinstance(value, list) else None
    if isinstance(value, dict):
        listed = [(_first_number(name, what), chance) for name, chance in value.items()]
    if not listed:
        raise InvalidInputError(f"{what} is {value!r:.60}; expected a number, or the probability of each number.")
    row = [0.0] * (largest + 1)
    for place, chance in listed:
        row[min(place, largest)] += _between_0_and_1(chance, f"the probability of {place} in {what}")
    return _normalised(row, what)


def _first_number(name: str, what: str) -> int:
    """Read ``3``, and ``20 or more``."""
    found = re.match(r"(\d+)( or more)?$", name)
    if found is None:
        raise InvalidInputError(f"{what} has a probability of {name!r:.60}; expected a number, or 'N or more'.")
    return int(found[1])


def _shares(value: object, what: str, task: SharesTask) -> tuple[float, ...]:
    if not isinstance(value, dict) or any(part not in value for part in task.parts):
        raise InvalidInputError(f"{what} is {value!r:.60}; expected the share of each of {', '.join(task.parts)}.")
    return _normalised([_between_0_and_1(value[part], f"{part} of {what}") for part in task.parts], what)


def _normalised(row: list[float], what: str) -> tuple[float, ...]:
    total = sum(row)
    if abs(total - 1) > _ROUNDING:
        raise InvalidInputError(f"The parts of {what} add up to {total:g}; expected 1.")
    return tuple(part / total for part in row)


def _points(value: object, what: str, _task: Task) -> tuple[tuple[tuple[float, ...], float], ...]:
    """Points with their probabilities, 1 where none is stated."""
    points = value.get("points") if isinstance(value, dict) else None
    if not isinstance(points, list):
        raise InvalidInputError(f"{what} is {value!r:.60}; expected Multiple points, an object with a list of points.")
    found = []
    for item in points:
        place = item.get("point") if isinstance(item, dict) else None
        if not isinstance(place, list) or len(place) != 3:
            raise InvalidInputError(f"{what} holds the point {item!r:.60}; expected three numbers in mm.")
        probability = _between_0_and_1(item.get("probability", 1.0), f"the probability of a point in {what}")
        found.append((tuple(_finite(axis, f"a point in {what}") for axis in place), probability))
    return tuple(found)


def _instances(value: object, what: str, task: InstancesTask) -> dict[str, float]:
    if not isinstance(value, list):
        raise InvalidInputError(f"{what} is {value!r:.60}; expected a list with an object for each {task.name_key}.")
    found: dict[str, float] = {}
    for item in value:
        if not isinstance(item, dict) or task.name_key not in item or task.probability_key not in item:
            raise InvalidInputError(
                f"{what} holds {item!r:.60}; expected '{task.name_key}' and '{task.probability_key}'."
            )
        name = str(item[task.name_key])
        if name in found:
            raise InvalidInputError(f"{what} names '{name}' twice.")
        found[name] = _between_0_and_1(item[task.probability_key], f"{task.probability_key} of {name} in {what}")
    return found


def _between_0_and_1(value: object, what: str) -> float:
    # To Python, true is a number too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInputError(f"{what} is {value!r:.60}; expected a number between 0 and 1.")
    return float(value)


def _finite(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInputError(f"{what} is {value!r:.60}; expected a finite number.")
    return float(value)


_CHECKS: dict[type[Task], Callable[..., Any]] = {
    BinaryTask: _likelihood,
    OrdinalTask: _stage,
    CountTask: distribution,
    SharesTask: _shares,
    SurvivalTask: _risk,
    DetectionTask: _points,
    InstancesTask: _instances,
}
