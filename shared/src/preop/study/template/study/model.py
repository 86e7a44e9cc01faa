"""What a model folder of this study holds, and how it is read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.study import MODEL_FILE, ModelInfo, NoDetails, Stored, read_description, read_model_info
from preop.tabular import LogisticModel

DESCRIPTION_FILE = "logistic.json"
MODEL = "volume and density"
"""Name of the model among the validation figures."""


class Description(Stored):
    """The fitted model; all its numbers are in this file."""

    logistic: LogisticModel


@dataclass(frozen=True)
class Model:
    """A trained model, and where it comes from."""

    info: ModelInfo
    logistic: LogisticModel


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder.

    Raises
    ------
    InvalidModelError
        If a file or an entry is missing or of another type.
    """
    # A study whose validation holds more than every study's gives its own type in place of NoDetails.
    info = read_model_info(folder, algorithm, NoDetails)
    if not info.validation.comparisons:
        raise InvalidModelError(f"The model in {folder} is damaged: {MODEL_FILE}, validation.comparisons is empty.")
    return Model(info, read_description(folder, DESCRIPTION_FILE, Description).logistic)
