"""What is said of a bag, and the files of an ensemble that say how: neither needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from preop.errors import InvalidModelError
from preop.toml import first_validation_error

DESCRIPTION_FILE = "bags.json"
WEIGHTS_FILE = "bags.safetensors"
PORTABLE_FILE = "bags.onnx"

COUNTING = frozenset({"count", "noisy_or", "squared_error", "instance_labels"})
"""Names of the heads that give a number of positives."""
HEAD_NAMES = COUNTING | {
    *("mean", "max", "attention", "gated_attention", "additive_attention"),
    *("clam_sb", "dsmil", "transmil"),
}
"""Of all heads: what can be asked without importing them."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an ensemble says of a bag.

    Attributes
    ----------
    name
        Of the bag.
    probability
        That at least one instance is positive (of count heads: that at least one is reported).
    contributions
        Of each instance (n,), mean over members; what they mean stands with the head.
    counts
        Of count heads: probability of 0, 1, 2, ... reported positives, the last of as many or more.
    expected
        Of count heads: mean number of reported positives.
    """

    name: str
    probability: float
    contributions: NDArray[np.floating[Any]]
    counts: NDArray[np.floating[Any]] | None = None
    expected: float | None = None


def mean_of(predictions: Sequence[Prediction]) -> Prediction:
    """Give the mean of what several members say of one bag."""
    members = len(predictions)
    counts = [prediction.counts for prediction in predictions if prediction.counts is not None]
    expected = [prediction.expected for prediction in predictions if prediction.expected is not None]
    return Prediction(
        predictions[0].name,
        sum(prediction.probability for prediction in predictions) / members,
        np.stack([prediction.contributions for prediction in predictions]).mean(axis=0),
        np.stack(counts).mean(axis=0) if counts else None,
        sum(expected) / members if expected else None,
    )


class EnsembleDescription(BaseModel):
    """Content of ``bags.json``.

    Attributes
    ----------
    head, features, options
        What every member's head is made from.
    members
        Number of members.
    temperature
        By which log odds are divided; in a clustered head, what all instances together say of how many are positive.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1, 2] = 2
    head: str
    features: int = Field(ge=1)
    options: Mapping[str, bool | int | float]
    members: int = Field(ge=1)
    temperature: FiniteFloat = Field(gt=0)

    @model_validator(mode="after")
    def _says_what_it_divides(self) -> Self:
        if self.format == 1 and self.clustered:
            raise ValueError("format 1 divides the log odds of instances by the temperature: train the model anew")
        return self

    @property
    def clustered(self) -> bool:
        """Whether positives come together."""
        return bool(self.options.get("clustered", False))


def read_ensemble_description(path: Path) -> EnsembleDescription:
    """Read ``bags.json``.

    Raises
    ------
    InvalidModelError
        If it is missing or damaged.
    """
    try:
        return EnsembleDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidModelError(f"The description {path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise InvalidModelError(f"The description {path} is not right: {first_validation_error(error)}.") from None
