"""The growth pattern of colorectal liver metastases on portal venous CT, pure and mixed.

The pattern shows where metastasis and liver meet. So each metastasis is looked at there in two ways: by radiomics of its
core and of rings below and above its surface, and by a network on patches of the unrolled interface. Stacked, they give
one distribution over what a pathologist may report of it in steps of 5 %, from which all answers follow: shares with
intervals, the predominant pattern, and whether it is purely desmoplastic. A patient is desmoplastic only if every
metastasis is, all along its interface; the probability of that takes into account that metastases resemble each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load as read_safetensors
from safetensors.torch import save as to_safetensors

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.models import ModelInfo, read_model_info
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image, check_hu, components
from preop.mil import BagNetwork
from preop.radiomics import describe
from preop.report.charts import composition_chart
from preop.segmentation import Network, OrganNetworks, load_network, load_organ_networks
from preop.staging import MAJORITY, Pattern, Resemblance, ShareDistribution
from preop.toml import first_validation_error

from .combination import Learner, PatientPrediction, Stack, predict_patient
from .learning import COMBINATION, MODELS, Fitted, Patient
from .lesions import CT, REGIONS, SEGMENTATION, Lesions, Seen, find_lesions
from .network import NetworkSettings, make_network
from .regression import Regression

DESCRIPTION_FILE, WEIGHTS_FILE = "growth-patterns.json", "network.safetensors"
DETECTION_NETWORK, ORGAN_NETWORKS = "lesion_detection", "organs"
CONFIDENCE = 0.9
MOST_FEATURES = 8
"""Of the features of a metastasis so many are named, those that weigh most."""
NOT_JUDGED = 4
DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."

_REGION_NAMES = {"core": "core", "inner_ring": "inner ring", "outer_ring": "outer ring"}


class Range(BaseModel):
    """Smallest and largest value among the training patients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float


class Description(BaseModel):
    """What a trained model needs beside the weights of its networks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings
    networks: int = Field(ge=1, description="number of networks, whose outputs are averaged")
    regression: Regression
    stacks: Mapping[str, Stack] = Field(description="of both learners together, and of each alone")
    resemblances: Mapping[str, Resemblance] = Field(description="of metastases of a patient, by the same models")
    mean_shares: tuple[float, float, float] = Field(description="of the reported metastases in training")
    typical: Mapping[Learner, tuple[float, float, float, float]] = Field(description="mean outputs of each learner")
    threshold: float = Field(ge=0, le=1, description="likelihood from which a patient is called non-desmoplastic")
    lesions: Range = Field(description="number of metastases of a patient")
    long_axis_mm: Range = Field(description="of metastases")
    liver_hu: Range = Field(description="density of the liver around metastases")
    slice_mm: Range = Field(description="distance of slices")

    @field_validator("stacks", "resemblances")
    @classmethod
    def _each_model_is_there(cls, known: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(known) != set(MODELS):
            raise ValueError(f"names {', '.join(known)}; expected {', '.join(MODELS)}")
        return known


@dataclass(frozen=True)
class Model:
    """A trained model, where it comes from, and networks that find metastases and liver where it has them."""

    info: ModelInfo
    description: Description
    fitted: Fitted
    detection: Network | None
    organs: OrganNetworks | None

    @property
    def stack(self) -> Stack:
        """How both learners are added."""
        return self.description.stacks[COMBINATION]

    @property
    def resemblance(self) -> Resemblance:
        """How far metastases of a patient resemble each other."""
        return self.description.resemblances[COMBINATION]


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder."""
    info = read_model_info(folder, algorithm)
    try:
        description = Description.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
        weights = (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        missing = Path(error.filename).name
        raise InvalidModelError(f"The model in {folder} is incomplete: {missing} is missing.") from None
    except ValidationError as error:
        raise InvalidModelError(
            f"The model in {folder} is damaged: {DESCRIPTION_FILE}, {first_validation_error(error)}."
        ) from None
    fitted = Fitted(
        regression=description.regression,
        networks=_read_networks(weights, description, folder),
        stacks=description.stacks,
        resemblances=description.resemblances,
        typical={name: np.array(values) for name, values in description.typical.items()},
    )
    detection, organs = folder / DETECTION_NETWORK, folder / ORGAN_NETWORKS
    return Model(
        info,
        description,
        fitted,
        _read_detection(detection) if detection.is_dir() else None,
        load_organ_networks(organs, ["liver"]) if organs.is_dir() else None,
    )


def to_weights(networks: Sequence[BagNetwork]) -> bytes:
    """Content of the file with the weights of all networks; :func:`load_model` reads it, and nothing in it is code."""
    return to_safetensors(
        {
            f"{number}.{name}": tensor.detach().cpu().contiguous()
            for number, network in enumerate(networks)
            for name, tensor in network.state_dict().items()
        }
    )


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the shares of each metastasis, and the likelihood that the patient is non-desmoplastic."""
    ct = case.image(CT)
    check_hu(ct, name=CT)
    found_by_network: dict[int, str] = {}
    if SEGMENTATION in case:
        segmentation = case.image(SEGMENTATION)
    else:
        segmentation, found_by_network = _detect(ct, model)
    liver = _liver(ct, segmentation, model)
    lesions = find_lesions(ct, segmentation, liver)
    patient = _patient(case.name, lesions)
    (outputs,) = model.fitted.outputs([patient])
    prediction = predict_patient(model.stack.combine(outputs), model.resemblance)
    return {
        "non-desmoplastic-likelihood": prediction.non_desmoplastic,
        "growth-patterns": _result(prediction, lesions, ct, model, found_by_network),
        "growth-pattern-chart": _chart(prediction, lesions),
        "liver-metastases": _points(prediction, lesions),
        "growth-pattern-map": _map(prediction, lesions),
        "growth-pattern-explanation": _explanation(patient, outputs, lesions, model),
    }


def _patient(name: str, lesions: Lesions) -> Patient:
    patches = torch.from_numpy(np.stack([each.patches for each in lesions.seen]))
    return Patient(name, "", [each.features for each in lesions.seen], patches, [-1] * len(lesions.seen))


def _detect(ct: Image, model: Model) -> tuple[Image, dict[int, str]]:
    """Find metastases with the network of the model folder: numbers, and the pattern that it sees in each."""
    if model.detection is None:
        raise InvalidModelError(
            f"No {SEGMENTATION} is given, and the model folder holds no network that could draw it "
            f"({DETECTION_NETWORK}/): give the metastases, or a model with such a network."
        )
    classes = model.detection.segment(ct)
    labels, count = components(classes.with_voxels(classes.voxels > 0))
    if not count:
        raise InvalidInputError(
            "The detection network found no metastasis on the CT, and without one nothing can be said: draw them."
        )
    values = np.array([model.detection.labels[pattern] for pattern in Pattern])
    votes = np.stack([np.bincount(labels.voxels[classes.voxels == value], minlength=count + 1) for value in values])
    patterns = {number: str(list(Pattern)[int(votes[:, number].argmax())]) for number in range(1, count + 1)}
    return labels, patterns


def _liver(ct: Image, segmentation: Image, model: Model) -> Image | None:
    """Mask of the liver with its metastases by the organ network, where the model has one."""
    if model.organs is None:
        return None
    liver = model.organs.segment(ct).mask("liver")
    return ct.with_voxels(liver | (segmentation.voxels > 0))


def _result(
    prediction: PatientPrediction, lesions: Lesions, ct: Image, model: Model, found_by_network: Mapping[int, str]
) -> dict[str, Any]:
    threshold = model.description.threshold
    return {
        "likelihood_non_desmoplastic": prediction.non_desmoplastic,
        "probability_all_metastases_purely_desmoplastic": 1 - prediction.non_desmoplastic,
        "decision_threshold": threshold,
        "decision": "non-desmoplastic" if prediction.non_desmoplastic >= threshold else "desmoplastic",
        "rule": "desmoplastic only if the whole interface of every metastasis is desmoplastic",
        "metastases_judged": len(lesions.seen),
        "metastases": [
            _lesion(said, seen)
            | ({"pattern_by_detection": found_by_network[seen.lesion.number]} if found_by_network else {})
            for said, seen in zip(prediction.lesions, lesions.seen, strict=True)
        ],
        "resemblance_of_metastases": model.resemblance.correlation,
        "notes": list(lesions.notes),
        "warnings": _warnings(lesions, ct, model),
        "model": {
            "trained_on": model.info.training_data.description,
            "simulated_patients": model.info.training_data.simulated,
            "created": model.info.created,
            "validation": model.info.validation["models"],
        },
        "disclaimer": DISCLAIMER,
    }


def _lesion(said: ShareDistribution, seen: Seen) -> dict[str, Any]:
    predominant = said.predominant
    return {
        "metastasis": seen.lesion.number,
        "shares": {
            str(pattern): {"expected": float(mean), "low": low, "high": high}
            for pattern, mean in zip(Pattern, said.mean, strict=True)
            for low, high in [said.interval(pattern, CONFIDENCE)]
        },
        "interval": f"{CONFIDENCE:.0%} of what a pathologist may report, in steps of 5 %",
        "predominant": str(max(predominant, key=predominant.__getitem__)),
        "probability_predominant": {str(pattern): value for pattern, value in predominant.items()},
        "probability_purely_desmoplastic": said.pure_desmoplastic,
        "probability_desmoplastic_half_or_more": said.at_least(MAJORITY),
        "long_axis_mm": round(seen.lesion.long_axis_mm, 1),
        "volume_ml": round(seen.lesion.volume_ml, 2),
        "position_mm": [round(coordinate, 1) for coordinate in seen.lesion.centre_mm],
        "liver_hu": round(seen.lesion.liver_hu),
        "liver_around": round(seen.lesion.liver_share, 2),
        "cut_by_edge": seen.lesion.cut_by_edge,
    }


def _chart(prediction: PatientPrediction, lesions: Lesions) -> Output:
    shares = {
        f"{seen.lesion.number}: {seen.lesion.long_axis_mm:.0f} mm": dict(
            zip(map(str, Pattern), said.mean.tolist(), strict=True)
        )
        for said, seen in zip(prediction.lesions, lesions.seen, strict=True)
    }
    number = len(lesions.seen)
    return composition_chart(
        shares,
        axis="expected share of the interface",
        title=f"Likelihood of non-desmoplastic {prediction.non_desmoplastic:.0%}",
        subtitle=f"{number} {'metastasis' if number == 1 else 'metastases'} by number and long axis",
    )


def _points(prediction: PatientPrediction, lesions: Lesions) -> Output:
    return multiple_points(
        (
            Point(
                seen.lesion.centre_mm,
                f"metastasis {seen.lesion.number}: {_predominant(said)}",
                1 - said.pure_desmoplastic,
            )
            for said, seen in zip(prediction.lesions, lesions.seen, strict=True)
        ),
        name="liver metastases",
    )


def _map(prediction: PatientPrediction, lesions: Lesions) -> Image:
    values = np.zeros(int(lesions.labels.voxels.max()) + 1, dtype=np.uint8)
    values[list(lesions.outside)] = NOT_JUDGED
    for said, seen in zip(prediction.lesions, lesions.seen, strict=True):
        values[seen.lesion.number] = 1 + list(Pattern).index(_predominant(said))
    return lesions.labels.with_voxels(values[lesions.labels.voxels])


def _predominant(said: ShareDistribution) -> Pattern:
    predominant = said.predominant
    return max(predominant, key=predominant.__getitem__)


def _explanation(
    patient: Patient, outputs: Mapping[Learner, NDArray[np.float64]], lesions: Lesions, model: Model
) -> dict[str, Any]:
    """What raises or lowers the log odds that a metastasis is not purely desmoplastic, beside a typical one."""
    weights = model.stack.pure_weights
    typical = model.fitted.typical
    rows = []
    for number, seen in enumerate(lesions.seen):
        of_features = -weights["radiomics"] * model.description.regression.contributions(patient.rows[number])
        features = dict(zip(model.description.regression.features, of_features.tolist(), strict=True))
        strongest = sorted(features, key=lambda name: -abs(features[name]))[:MOST_FEATURES]
        rows.append(
            {
                "metastasis": seen.lesion.number,
                "network": -weights["network"] * float(outputs["network"][number, 0] - typical["network"][0]),
                "radiomics": -weights["radiomics"] * float(outputs["radiomics"][number, 0] - typical["radiomics"][0]),
                "by_region": {
                    name: sum(value for feature, value in features.items() if feature.startswith(f"{region}_"))
                    for region, name in _REGION_NAMES.items()
                },
                "features": [
                    {
                        "feature": name,
                        "label": label_of(name),
                        "value": patient.rows[number].get(name),
                        "contribution_log_odds": features[name],
                    }
                    for name in strongest
                ],
            }
        )
    return {
        "unit": "log odds that the metastasis, seen alone, is not purely desmoplastic, beside the mean of the training patients "
        "(network, radiomics) and beside the median of each feature (regions, features)",
        "weight_of": dict(weights),
        "metastases": rows,
    }


def label_of(feature: str) -> str:
    """Name a feature in words."""
    region = next((each for each in REGIONS if feature.startswith(f"{each}_")), None)
    if region is None:
        return "volume"
    key = feature.removeprefix(f"{region}_")
    name = describe(key).name
    filtered = " of fine lines" if "__" in key else ""
    return f"{_REGION_NAMES[region]}: {name[0].lower()}{name[1:]}{filtered}"


def _warnings(lesions: Lesions, ct: Image, model: Model) -> list[str]:
    """Tell in words what a reader should know before trusting the numbers."""
    learned = model.description
    liver_hu = float(np.median([each.lesion.liver_hu for each in lesions.seen]))
    slices_mm = max(ct.spacing_mm)
    warnings = []
    if liver_hu < learned.liver_hu.low:
        warnings.append(
            f"The liver has a density of {liver_hu:.0f} HU, less than around any training metastasis "
            f"({_written(learned.liver_hu)} HU): this looks like an arterial phase, a CT without contrast or a fatty liver; "
            "the model was trained on the portal venous phase."
        )
    elif liver_hu > learned.liver_hu.high:
        warnings.append(
            f"The liver has a density of {liver_hu:.0f} HU, more than around any training metastasis "
            f"({_written(learned.liver_hu)} HU): is this CT in HU, and of the portal venous phase?"
        )
    if slices_mm > learned.slice_mm.high:
        warnings.append(
            f"Slices are {slices_mm:g} mm apart, more than in any training patient ({_written(learned.slice_mm)} mm): thin "
            "capsules are blurred."
        )
    if not learned.lesions.low <= len(lesions.seen) <= learned.lesions.high:
        warnings.append(
            f"{len(lesions.seen)} metastases are judged; training patients had {_written(learned.lesions)}, and the pattern "
            "of the patient depends on all of them."
        )
    strange = [
        str(each.lesion.number)
        for each in lesions.seen
        if not learned.long_axis_mm.low <= each.lesion.long_axis_mm <= learned.long_axis_mm.high
    ]
    if strange:
        warnings.append(
            f"Smaller or larger than any training metastasis ({_written(learned.long_axis_mm)} mm): {', '.join(strange)}."
        )
    warnings += _shown_in_validation(model.info)
    if model.info.training_data.simulated:
        warnings.append("The model was trained on simulated patients: its figures say nothing about real ones.")
    return warnings


def _shown_in_validation(info: ModelInfo) -> list[str]:
    """Say where the model was not shown to do better than what needs no model, or than a part of it."""
    return [
        f"In cross-validation the shares were not shown to be nearer to the reported ones than by {each['baseline']} alone."
        for each in info.validation["comparisons"]
        if not each["adds"]
    ]


def _written(known: Range) -> str:
    return f"{known.low:g} to {known.high:g}"


def _read_networks(content: bytes, description: Description, folder: Path) -> list[BagNetwork]:
    try:
        weights = read_safetensors(content)
    except SafetensorError as error:
        raise InvalidModelError(f"The weights {folder / WEIGHTS_FILE} cannot be read: {error}.") from None
    networks = []
    for number in range(description.networks):
        # Weights are about to be replaced; the caller's random numbers stay as they were.
        with torch.random.fork_rng():
            network = make_network(description.network)
        prefix = f"{number}."
        own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        try:
            network.load_state_dict(own)
        except RuntimeError:
            raise InvalidModelError(
                f"The weights {folder / WEIGHTS_FILE} do not fit the network that {DESCRIPTION_FILE} describes: take the "
                "model folder that belongs to this version."
            ) from None
        networks.append(network.eval())
    return networks


def _read_detection(folder: Path) -> Network:
    network = load_network(folder)
    missing = [str(pattern) for pattern in Pattern if not isinstance(network.labels.get(pattern), int)]
    if missing:
        raise InvalidModelError(
            f"The detection network in {folder} has no class {missing[0]}; expected one for each predominant pattern, and "
            f"found {', '.join(network.labels)}."
        )
    return network


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
