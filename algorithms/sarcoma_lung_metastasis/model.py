"""What a model folder of this study holds, and how it is loaded: complete and consistent, or refused with one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import RootModel, model_validator

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.likeness import REFERENCE_FILE, Reference, read_references
from preop.segmentation import Network, load_network
from preop.study import MODEL_FILE, ModelInfo, read_description, read_model_info
from preop.tabular import LogisticModel

from .features import CLINICAL, SCANS, Scan
from .likeness import scans_key

WEIGHTS_FILE = "weights.json"
SEGMENTATION_NETWORKS = "tumour_segmentation"
CLINICAL_KEY = "clinical"
"""Clinical information in the name of a combination of inputs."""
QUANTILES = 21
"""Of the training cohort, at 0, 5, ..., 100 %."""


class Weights(RootModel[dict[str, LogisticModel]]):
    """The trained models, one for each combination of inputs that there were patients for, by ``interface_key``."""

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        for key, logistic in self.root.items():
            if problem := _problem(logistic):
                raise ValueError(f"{key}: {problem}")
        return self


@dataclass(frozen=True)
class Model:
    """The trained models, one for each combination of inputs, and where they come from.

    Attributes
    ----------
    training_patients
        By scans, as ``scans_key`` names them.
    outliners
        Networks that outline the tumour, by the socket of the scan.
    """

    info: ModelInfo
    by_interface: Mapping[str, LogisticModel]
    training_patients: Mapping[str, Reference]
    outliners: Mapping[str, Network]

    def best_for(self, key: str) -> str:
        """Name the trained model that makes most of a combination of inputs: that on the most scans.

        Of two on as many, one that takes the clinical information, then one that did better in the validation.

        Parameters
        ----------
        key
            The inputs that there are, as ``interface_key`` names them.

        Raises
        ------
        InvalidModelError
            If no model can do with these inputs.
        """
        given = set(key.split(" + "))
        fitting = [each for each in self.by_interface if given.issuperset(each.split(" + "))]
        if not fitting:
            trained = [scan.label for scan in SCANS if any(scan in scans_of(each) for each in self.by_interface)]
            raise InvalidModelError(
                f"The model was trained without {scans_key(given).replace(' + ', ' and ')}, and can judge nothing by that: add "
                f"{' or '.join(trained)} with the tumour, or train a model on patients who have these inputs."
            )
        validated = self.info.validation.models

        def use(each: str) -> tuple[int, bool, float]:
            auc = validated[each].auc
            return len(scans_of(each)), CLINICAL_KEY in each.split(" + "), (auc.value if auc else None) or 0.0

        return max(fitting, key=use)


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder.

    Raises
    ------
    InvalidModelError
        If anything is missing, of another type, or contradicts the rest.
    """
    info = read_model_info(folder, algorithm)
    for file in (WEIGHTS_FILE, REFERENCE_FILE):
        if file not in info.files:
            raise InvalidModelError(f"The model in {folder} is damaged: {MODEL_FILE}, files.{file}: Field required.")
    weights = read_description(folder, WEIGHTS_FILE, Weights).root
    if problem := _contradiction(info, weights, algorithm):
        raise InvalidModelError(f"The model in {folder} is damaged: {problem}.")
    scans = {scans_key(key.split(" + ")) for key in weights}
    return Model(info, weights, read_references(folder, sorted(scans)), _outliners(folder))


def interface_key(slugs: Iterable[str]) -> str:
    """Name a combination of inputs as a reader does: ``CT + PET + clinical``."""
    given = set(slugs)
    scans = [scan.label for scan in SCANS if scan.image in given]
    return " + ".join([*scans, *([CLINICAL_KEY] if CLINICAL in given else [])])


def scans_of(key: str) -> list[Scan]:
    """Give the scans of a combination of inputs, by its name."""
    return [scan for scan in SCANS if scan.label in key.split(" + ")]


def _outliners(folder: Path) -> dict[str, Network]:
    """Load the networks that outline the tumour, each from the folder that is named after the socket of its scan."""
    known = {scan.image for scan in SCANS}
    networks = {}
    for place in sorted((folder / SEGMENTATION_NETWORKS).glob("*")):
        if place.name not in known:
            raise InvalidModelError(
                f"{SEGMENTATION_NETWORKS}/{place.name} is named after no scan; expected a folder for each network, called "
                f"{', '.join(sorted(known))}."
            )
        network = networks[place.name] = load_network(place)
        if len(network.channels) != 1:
            raise InvalidModelError(
                f"The network {SEGMENTATION_NETWORKS}/{place.name} takes {len(network.channels)} scans "
                f"({', '.join(network.channels)}); expected one that takes this scan alone."
            )
    return networks


def _contradiction(info: ModelInfo, weights: Mapping[str, LogisticModel], algorithm: Algorithm) -> str | None:
    """Say where weights and validation do not belong together."""
    models = info.validation.models
    validated = {name for name, figures in models.items() if not figures.baseline}
    if strange := sorted(weights.keys() - {interface_key(interface) for interface in algorithm.interfaces}):
        return f"{WEIGHTS_FILE} holds a model on {strange[0]}, a combination of inputs that is not accepted"
    if unknown := sorted(weights.keys() - validated):
        return f"{MODEL_FILE}, validation.models lacks the model on {unknown[0]}, which {WEIGHTS_FILE} holds"
    if lost := sorted(validated - weights.keys()):
        return f"{WEIGHTS_FILE} lacks the model on {lost[0]}, which {MODEL_FILE} validates"
    if not info.validation.comparisons:
        return f"{MODEL_FILE}, validation.comparisons: the models are compared with no baseline"
    return None


def _problem(logistic: LogisticModel) -> str | None:
    """Say what no trained model can have."""
    for term in logistic.terms:
        if not all(map(math.isfinite, (term.coefficient, term.median, term.mean))):
            return f"{term.name} has a number that is not finite"
        if not 0 < term.standard_deviation < math.inf:
            return f"{term.name} has a standard deviation of {term.standard_deviation:g}; expected more than 0"
    if not math.isfinite(logistic.intercept):
        return "the intercept is not finite"
    if not 0 <= logistic.threshold <= 1:
        return f"the threshold is {logistic.threshold:g}; expected 0 to 1"
    for quantiles in (logistic.out_of_fold_quantiles, *(term.quantiles for term in logistic.terms)):
        if len(quantiles) != QUANTILES or not all(low <= high for low, high in pairwise(quantiles)):
            return f"expected {QUANTILES} rising quantiles of each feature and of the prediction"
    return None
