"""What is evaluated, as ``task.toml`` of the ground truth declares it: every figure is asked for there, none in code."""

from __future__ import annotations

import difflib
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from preop.errors import InvalidInputError
from preop.evidence.judging import Resampling
from preop.evidence.wording import enumeration
from preop.report.evaluation import CHARTS, GROUPS
from preop.toml import first_validation_error

TASK_FILE = "task.toml"

# metrics.json is read by dotted paths, so no key in it may hold a dot.
CategoryName = Annotated[str, Field(min_length=1, pattern=r"^[^.]+$")]
Probability = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Comparator(_Declared):
    """A reader, a clinical stage or another algorithm on the same cases, beside whom the algorithm is judged in pairs."""

    name: str = Field(min_length=1, description="As a reader knows it, such as clinical stage")
    column: str = Field(
        description="Column of reference.csv that holds what was said of each case; empty where nothing was"
    )
    threshold: float | None = Field(
        None, description="Of likelihoods: positive from there; none where the column holds 0 and 1"
    )


class NumberComparator(_Declared):
    """A reader or another algorithm who gives a number of each case, or its shares."""

    name: str = Field(min_length=1, description="As a reader knows it, such as radiologist")
    column: str = Field(
        description="Column of reference.csv that holds what was said of each case, empty where nothing was; of shares, "
        "one for each part, called by this, an underscore and the part"
    )


class MarksComparator(_Declared):
    """A reader or another algorithm who marks points."""

    name: str = Field(min_length=1, description="As a reader knows it, such as radiologist")
    mark_file: str = Field(
        description="Table with a row a mark: mark, case, x, y, z in mm, and probability, which may be left out; a case "
        "without a row has no mark"
    )


class Task(_Declared, ABC):
    """What all kinds of tasks declare."""

    title: str = Field(description="What is predicted, as a heading")
    study: str = Field(description="Name of the algorithm's folder")
    case_sockets: list[str] = Field(
        min_length=1, description="Input slugs whose image name or value names the case; the first present counts"
    )
    prediction_socket: str = Field(description="Output slug of the prediction")
    prediction_key: str | None = Field(
        None, description="Where that output is an object: key of the prediction, with slashes between nested ones"
    )
    simulated: bool = Field(description="Whether the patients are simulated")
    source: str = Field(description="Where patients and truth come from, in a sentence")
    patient_column: str | None = Field(
        None, description="Column of reference.csv with the patient, where patients have several cases"
    )
    subgroups: dict[str, list[float]] = Field(
        default_factory=dict,
        description="By column of reference.csv: edges between groups of numbers, or an empty list for a group a value",
    )
    assessable_socket: str | None = Field(
        None, description="Output slug of the JSON object that says whether the case could be assessed"
    )
    assessable_key: str = Field("assessable", description="Key in that object that holds yes, limited or no")
    charts: dict[str, Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*\.json$")]] = Field(
        default_factory=dict, description="Chart outputs of the phase: by the name of a chart, the file of its socket"
    )
    comparators: Sequence[Comparator | NumberComparator | MarksComparator] = ()
    resamples: int = Field(2000, ge=200, le=100_000, description="Resamples of the intervals that no formula gives")
    seed: int = Field(0, ge=0, description="Of the resampling: the same submission gives the same figures")

    @field_validator("subgroups")
    @classmethod
    def _edges_rise(cls, subgroups: dict[str, list[float]]) -> dict[str, list[float]]:
        for column, edges in subgroups.items():
            if edges != sorted(set(edges)):
                raise ValueError(f"{column} has the edges {edges}; expected numbers that rise")
        return subgroups

    @field_validator("charts")
    @classmethod
    def _are_charts(cls, charts: dict[str, str]) -> dict[str, str]:
        for name, file in charts.items():
            if name not in CHARTS and not name.startswith(GROUPS):
                near = difflib.get_close_matches(name, CHARTS, n=1)
                hint = (
                    f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(CHARTS)}, or {GROUPS}COLUMN"
                )
                raise ValueError(f"there is no chart '{name}' ({hint})")
            if file == "metrics.json" or list(charts.values()).count(file) > 1:
                raise ValueError(f"{file} is the file of another output")
        return charts

    @property
    @abstractmethod
    def truth_columns(self) -> tuple[str, ...]:
        """Columns of reference.csv that hold the truth."""

    @property
    def compared_columns(self) -> tuple[str, ...]:
        """Columns of reference.csv that hold what these said."""
        return tuple(each.column for each in self.comparators if not isinstance(each, MarksComparator))

    @property
    def resampling(self) -> Resampling:
        """How intervals are found that no formula gives."""
        return Resampling(self.resamples, self.seed)


class _OneColumn(Task):
    reference_column: str = Field(description="Column of reference.csv that holds the truth")

    @property
    def truth_columns(self) -> tuple[str, ...]:
        """The one that is named."""
        return (self.reference_column,)


class BinaryTask(_OneColumn):
    """A likelihood between 0 and 1 against a truth of 0 or 1."""

    kind: Literal["binary"]
    threshold_socket: str = Field(description="Output slug of the JSON object that states the decision threshold")
    threshold_key: str = Field(description="Key of the threshold in that object")
    prevalence: Probability | None = Field(None, description="For which predictive values are stated too")
    partial_auc_sensitivity: BelowOne | None = Field(None, description="From which on the partial AUC is taken")
    net_benefit_thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=list, description="Risks at which net benefit is stated"
    )
    comparators: list[Comparator] = Field(default_factory=list)


class OrdinalTask(_OneColumn):
    """A stage against the true stage."""

    kind: Literal["ordinal"]
    categories: list[CategoryName] = Field(min_length=2, description="The stages in their order")
    comparators: list[Comparator] = Field(default_factory=list)

    @field_validator("categories")
    @classmethod
    def _each_once(cls, categories: list[str]) -> list[str]:
        if len(set(categories)) < len(categories):
            raise ValueError(f"{', '.join(categories)} names a stage twice")
        return categories


class CountTask(_OneColumn):
    """The probability of 0, 1, 2, ..., the last of as many or more, or one number, against the number that was counted."""

    kind: Literal["count"]
    largest: int = Field(ge=1, description="Higher numbers are taken together with it; the worst prediction reaches it")
    comparators: list[NumberComparator] = Field(default_factory=list)


class SharesTask(Task):
    """Shares of a whole against those that were reported."""

    kind: Literal["shares"]
    parts: list[CategoryName] = Field(
        min_length=2, description="Names of the parts: columns of reference.csv, and keys of the prediction"
    )
    comparators: list[NumberComparator] = Field(default_factory=list)

    @property
    def truth_columns(self) -> tuple[str, ...]:
        """One for each part."""
        return tuple(self.parts)

    @property
    def compared_columns(self) -> tuple[str, ...]:
        """One for each part of each comparator."""
        return tuple(column for each in self.comparators for column in self.columns_of(each))

    def columns_of(self, comparator: NumberComparator) -> tuple[str, ...]:
        """Columns of reference.csv that hold the parts, as one of them says."""
        return tuple(f"{comparator.column}_{part}" for part in self.parts)


class SurvivalTask(Task):
    """A risk against the time to an event; a probability of the event by the horizon, where there is one."""

    kind: Literal["survival"]
    time_column: str = Field(description="Column of reference.csv with the time to the event, or until last seen")
    event_column: str = Field(description="Column of reference.csv that says whether it ended in the event: 1, else 0")
    horizon: Positive | None = Field(None, description="In the unit of the time: risks are probabilities by then")
    comparators: list[NumberComparator] = Field(default_factory=list)

    @property
    def truth_columns(self) -> tuple[str, ...]:
        """Time and event."""
        return self.time_column, self.event_column


class DetectionTask(Task):
    """Points (Multiple points, in mm) against those that are there."""

    kind: Literal["detection"]
    lesion_file: str = Field("lesions.csv", description="Table with a row a lesion: lesion, case, x, y, z in mm")
    place_column: str | None = Field(None, description="Column of that table with the place, such as the station")
    hit_distance_mm: Positive = Field(description="A point no further away hits the lesion")
    false_marks: list[Annotated[float, Field(ge=0)]] = Field(
        default=[0.5, 1, 2, 4],
        min_length=1,
        description="Numbers of false points a case at which sensitivity is stated",
    )
    threshold: Probability = Field(0.5, description="Points from there count for the sensitivity of each place")
    comparators: list[MarksComparator] = Field(default_factory=list)

    @property
    def truth_columns(self) -> tuple[str, ...]:
        """None: the lesions have a table of their own."""
        return ()


class InstancesTask(Task):
    """Likelihoods of named parts of a case, such as lymph node stations, against whether each is positive."""

    kind: Literal["instances"]
    instance_file: str = Field(
        "instances.csv", description="Table with a row an instance: instance, case, name, and the truth"
    )
    reference_column: str = Field(description="Column of that table that holds the truth, 0 or 1")
    name_key: str = Field(description="Key of the name in each entry of the prediction, a list, such as station")
    probability_key: str = Field(description="Key of its likelihood; what is not listed has 0")
    threshold: Probability = Field(0.5, description="Positive from there")
    comparators: list[Comparator] = Field(
        default_factory=list, description="Their columns are in the table of instances, too"
    )

    @property
    def truth_columns(self) -> tuple[str, ...]:
        """None: the instances have a table of their own."""
        return ()

    @property
    def compared_columns(self) -> tuple[str, ...]:
        """None: what others said of the instances is in their table."""
        return ()


KINDS: dict[str, type[Task]] = {
    "binary": BinaryTask,
    "ordinal": OrdinalTask,
    "count": CountTask,
    "shares": SharesTask,
    "survival": SurvivalTask,
    "detection": DetectionTask,
    "instances": InstancesTask,
}


def read_task(path: Path) -> Task:
    """Read what is to be evaluated.

    Raises
    ------
    InvalidInputError
        If the file is missing, broken, has a key that its kind of task does not know, or does not describe a task.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"The task in {path} cannot be used: {error}.") from error
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidInputError(
            f"The task in {path} cannot be used: its kind is {kind!r:.60}; expected one of {', '.join(KINDS)}."
        )
    try:
        return KINDS[kind].model_validate(content)
    except ValidationError as error:
        unknown = [
            _unknown(problem["loc"], KINDS[kind]) for problem in error.errors() if problem["type"] == "extra_forbidden"
        ]
        reason = f"it has {enumeration(unknown, 'and')}" if unknown else first_validation_error(error)
        raise InvalidInputError(f"The task in {path} cannot be used: {reason}.") from error


def _unknown(place: tuple[int | str, ...], kind: type[Task]) -> str:
    """Name a key that is not known, and the one that may be meant."""
    name = str(place[-1])
    known = kind.model_fields
    if place[0] == "comparators" and len(place) > 1:
        (one,) = get_args(known["comparators"].annotation)
        known = one.model_fields
    near = difflib.get_close_matches(name, known, n=1)
    return f"the unknown key '{name}'" + (
        f" (did you mean '{near[0]}'?)" if near else f" (known are {', '.join(known)})"
    )


def description(task: Task) -> dict[str, Any]:
    """Say in ``metrics.json`` what was evaluated, so that a reader of that file alone can tell."""
    about = {"title", "study", "kind", "reference_column", "simulated", "source"}
    return task.model_dump(include=about)
