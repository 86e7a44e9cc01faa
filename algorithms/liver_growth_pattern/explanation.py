"""How the prediction of a patient is put into tables, pictures and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.anatomy import not_plausible
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image
from preop.likeness import Likeness
from preop.radiomics import describe
from preop.report.charts import composition_chart, share_chart
from preop.staging import MAJORITY, Pattern, ShareDistribution
from preop.study import DISCLAIMER, Assessability, Assessable, ValidationFigures, model_entry, simulation_warnings

from .combination import Learner, PatientPrediction
from .fitted import COMBINATION, Patient
from .lesions import REGIONS, Lesions, Seen
from .model import Description, Details, Model

CONFIDENCE = 0.9
MAX_FEATURES = 8
"""So many features of a metastasis are named, those that contribute most."""
NOT_JUDGED = 4
FOUND_BY_NETWORK = (
    "The metastases were found and outlined by a network, and nobody has approved that: look whether all are there, and "
    "nothing else."
)
FOUND_ON_ANOTHER_KIND_OF_SCAN = (
    "The metastases were outlined by a network that was never tried on such a scan: give a segmentation of the "
    "metastases."
)
NOTHING_ASSESSED = "Not assessable: the proportion of patterns among training patients"

_REGION_NAMES = {"core": "core", "inner_ring": "inner ring", "outer_ring": "outer ring"}
_BASELINE_NAMES = {
    "radiomics": "radiomics alone",
    "network": "the network alone",
    "mean of the cohort": "the mean of the training patients",
}


def result(
    prediction: PatientPrediction,
    lesions: Lesions,
    problems: Mapping[int, Sequence[str]],
    likeness: Likeness,
    ct: Image,
    model: Model,
    *,
    detected: Mapping[int, str],
    trusted: bool,
) -> dict[str, Any]:
    """Give the table of the patient and of each metastasis, with warnings and provenance.

    Parameters
    ----------
    problems
        Why metastases that were left out are not plausible, by number.
    likeness
        How like the training patients the patient is.
    detected
        Pattern that the detection network sees in each metastasis, where it drew them.
    trusted
        Whether it drew them on such a scan as it has learned from, or somebody else did.
    """
    threshold = model.description.threshold
    assessability = assess(lesions, problems, likeness, ct, model, by_network=bool(detected), trusted=trusted)
    decision = "non-desmoplastic" if prediction.non_desmoplastic >= threshold else "desmoplastic"
    return {
        **assessability.to_json(),
        "likelihood_non_desmoplastic": prediction.non_desmoplastic,
        "probability_all_metastases_purely_desmoplastic": 1 - prediction.non_desmoplastic,
        "decision_threshold": threshold,
        "decision": "none" if assessability.verdict is Assessable.NO else decision,
        "rule": "desmoplastic only if the whole interface of every metastasis is desmoplastic",
        "metastases_judged": len(lesions.seen),
        "metastases_not_plausible": list(problems),
        "metastases": [
            _lesion(predicted, seen) | ({"pattern_by_detection": detected[seen.lesion.number]} if detected else {})
            for predicted, seen in zip(prediction.lesions, lesions.seen, strict=True)
        ],
        "within_patient_correlation": model.within_patient_correlation.correlation,
        "likeness_to_training": likeness.to_json(),
        "notes": list(lesions.notes),
        "warnings": _warnings(lesions, ct, model),
        "model": model_entry(model.info, _figures(model.info.validation, model.details)),
        "disclaimer": DISCLAIMER,
    }


def assess(
    lesions: Lesions,
    problems: Mapping[int, Sequence[str]],
    likeness: Likeness,
    ct: Image,
    model: Model,
    *,
    by_network: bool,
    trusted: bool,
) -> Assessability:
    """Say whether the patient can be assessed by these metastases: the pattern depends on all of them."""
    named = not_plausible("liver metastasis", problems)
    if not trusted:
        return Assessability(prevents=[FOUND_ON_ANOTHER_KIND_OF_SCAN, *likeness.limits, *named])
    if not lesions.seen:
        return Assessability(prevents=["None of what is segmented is plausible as a liver metastasis.", *named])
    limits = [*named, *likeness.limits, *_outside_training(lesions, max(ct.spacing_mm), model.description)]
    if by_network:
        limits.append(FOUND_BY_NETWORK)
    if lesions.outside:
        limits.append(f"Without liver around, and not assessed: number {', '.join(map(str, lesions.outside))}.")
    if cut := [str(each.lesion.number) for each in lesions.seen if each.lesion.cut_by_edge]:
        limits.append(f"Cut off by the edge of the scan: number {', '.join(cut)}.")
    return Assessability(limits=limits)


def _figures(validation: ValidationFigures, details: Details) -> dict[str, Any]:
    """What both learners combined and each alone reached in the validation."""
    return {
        name: {"patient_auc": validation.models[name].model_dump()["auc"], **of_lesions}
        for name, of_lesions in details.models.model_dump().items()
    }


def _lesion(predicted: ShareDistribution, seen: Seen) -> dict[str, Any]:
    return {
        "metastasis": seen.lesion.number,
        "shares": {
            str(pattern): {"expected": float(mean), "low": low, "high": high}
            for pattern, mean in zip(Pattern, predicted.mean, strict=True)
            for low, high in [predicted.interval(pattern, CONFIDENCE)]
        },
        "interval": f"{CONFIDENCE:.0%} of what a pathologist may report, in steps of 5 %",
        "predominant": str(_predominant(predicted)),
        "probability_predominant": {str(pattern): value for pattern, value in predicted.predominant.items()},
        "probability_purely_desmoplastic": predicted.pure_desmoplastic,
        "probability_desmoplastic_half_or_more": predicted.at_least(MAJORITY),
        "long_axis_mm": round(seen.lesion.long_axis_mm, 1),
        "volume_ml": round(seen.lesion.volume_ml, 2),
        "position_mm": [round(coordinate, 1) for coordinate in seen.lesion.centre_mm],
        "liver_hu": round(seen.lesion.liver_hu),
        "liver_around": round(seen.lesion.liver_share, 2),
        "cut_by_edge": seen.lesion.cut_by_edge,
    }


def pattern_chart(prediction: PatientPrediction, lesions: Lesions) -> Output:
    """Draw the expected shares of each metastasis as a divided bar; where there is none, the likelihood alone."""
    if not lesions.seen:
        likelihoods = {
            "desmoplastic": 1 - prediction.non_desmoplastic,
            "non-desmoplastic": prediction.non_desmoplastic,
        }
        return share_chart(likelihoods, axis="probability", title=NOTHING_ASSESSED)
    shares = {
        f"{seen.lesion.number}: {seen.lesion.long_axis_mm:.0f} mm": dict(
            zip(map(str, Pattern), predicted.mean.tolist(), strict=True)
        )
        for predicted, seen in zip(prediction.lesions, lesions.seen, strict=True)
    }
    number = len(lesions.seen)
    return composition_chart(
        shares,
        axis="expected share of the interface",
        title=f"Likelihood of non-desmoplastic {prediction.non_desmoplastic:.0%}",
        subtitle=f"{number} {'metastasis' if number == 1 else 'metastases'} by number and long axis",
    )


def pattern_points(prediction: PatientPrediction, lesions: Lesions) -> Output:
    """Mark each metastasis with its predominant pattern and the probability that it is not purely desmoplastic."""
    return multiple_points(
        (
            Point(
                seen.lesion.centre_mm,
                f"metastasis {seen.lesion.number}: {_predominant(predicted)}",
                1 - predicted.pure_desmoplastic,
            )
            for predicted, seen in zip(prediction.lesions, lesions.seen, strict=True)
        ),
        name="liver metastases",
    )


def pattern_map(prediction: PatientPrediction, lesions: Lesions) -> Image:
    """Label each metastasis by its predominant pattern (1 to 3), or as ``NOT_JUDGED`` (uint8)."""
    values = np.zeros(int(lesions.labels.voxels.max()) + 1, dtype=np.uint8)
    values[[*lesions.outside, *lesions.not_plausible]] = NOT_JUDGED
    for predicted, seen in zip(prediction.lesions, lesions.seen, strict=True):
        values[seen.lesion.number] = 1 + list(Pattern).index(_predominant(predicted))
    return lesions.labels.with_voxels(values[lesions.labels.voxels])


def _predominant(predicted: ShareDistribution) -> Pattern:
    chances = predicted.predominant
    return max(chances, key=chances.__getitem__)


def explanation(
    patient: Patient, outputs: Mapping[Learner, NDArray[np.float64]], lesions: Lesions, model: Model
) -> dict[str, Any]:
    """Give what raises or lowers the log odds that a metastasis is not purely desmoplastic, against a typical one.

    Parameters
    ----------
    outputs
        Of each learner (lesions, 4).
    """
    weights = model.stack.pure_weights
    typical = model.fitted.typical
    rows = []
    for number, seen in enumerate(lesions.seen):
        of_features = -weights["radiomics"] * model.description.regression.contributions(patient.rows[number])
        features = dict(zip(model.description.regression.features, of_features.tolist(), strict=True))
        strongest = sorted(features, key=lambda name: -abs(features[name]))[:MAX_FEATURES]
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
                        "label": _label_of(name),
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


def _label_of(feature: str) -> str:
    """Name a feature in words."""
    region = next((each for each in REGIONS if feature.startswith(f"{each}_")), None)
    if region is None:
        return "volume"
    key = feature.removeprefix(f"{region}_")
    name = describe(key).name
    filtered = " of fine lines" if "__" in key else ""
    return f"{_REGION_NAMES[region]}: {name[0].lower()}{name[1:]}{filtered}"


def _warnings(lesions: Lesions, ct: Image, model: Model) -> list[str]:
    """Say what a reader should know before trusting the numbers."""
    validation = model.info.validation
    return [
        *_outside_training(lesions, max(ct.spacing_mm), model.description),
        *(
            f"In cross-validation the predicted shares were not shown to be closer to the reported ones than those of "
            f"{_BASELINE_NAMES.get(baseline, baseline)}."
            for baseline in validation.not_better_than(COMBINATION, "error_of_shares")
        ),
        *simulation_warnings(model.info),
    ]


def _outside_training(lesions: Lesions, slice_mm: float, known: Description) -> list[str]:
    """Say in what the patient differs from all training patients."""
    if not lesions.seen:
        return []
    liver_hu = float(np.median([each.lesion.liver_hu for each in lesions.seen]))
    warnings = []
    if liver_hu < known.liver_hu.low:
        warnings.append(
            f"The liver measures {liver_hu:.0f} HU, less than around any training metastasis ({known.liver_hu} HU): this may "
            "be an arterial phase, an unenhanced CT or a fatty liver; the model was trained on the portal venous phase."
        )
    elif liver_hu > known.liver_hu.high:
        warnings.append(
            f"The liver measures {liver_hu:.0f} HU, more than around any training metastasis ({known.liver_hu} HU): check "
            "that this CT is in HU and in the portal venous phase."
        )
    if slice_mm > known.slice_mm.high:
        warnings.append(
            f"Slices are {slice_mm:g} mm apart, more than in any training patient ({known.slice_mm} mm): thin capsules are "
            "blurred."
        )
    if len(lesions.seen) not in known.lesions:
        warnings.append(
            f"{len(lesions.seen)} metastases were assessed; training patients had {known.lesions}, and the pattern of the "
            "patient depends on all of them."
        )
    unusual = [str(each.lesion.number) for each in lesions.seen if each.lesion.long_axis_mm not in known.long_axis_mm]
    if unusual:
        warnings.append(
            f"Smaller or larger than any training metastasis ({known.long_axis_mm} mm): {', '.join(unusual)}."
        )
    return warnings
