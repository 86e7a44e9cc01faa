"""Nodal stage of lung cancer on FDG-PET/CT.

Organs are labelled on the CT, and from them the lymph node stations are mapped by the borders of the IASLC. A network on
CT and PET, or the reader, draws the lesions; where each lies says whether it is the primary, a node of a station, or
neither. A small logistic regression on size and uptake gives the probability that a node is malignant. From these and
the shares of each node in its stations follows the probability of every N, exactly; the most likely one is given with the
stations that explain it best.
"""

from __future__ import annotations

from pathlib import Path

from preop.errors import InvalidInputError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.imaging import Image, axial_axis, check_drawn, check_hu, check_suv, to_common_frame
from preop.likeness import Likeness
from preop.segmentation import FractionOfMaximum, Network, Organs, remove_small_components, segment_pet

from .assessment import CT, PET, Assessment, Information, predict_from_stations, stations_of
from .cautions import notes_on, warnings_on
from .explanation import drawn_lesions, explain, node_points, probability_chart, station_table
from .lesions import SEGMENTATION, TAKES_UP_IN_HEALTH
from .likeness import scan_measures
from .model import Model, PetThreshold, load_model
from .view import limited_by, view_of

__all__ = ["draw_by_network", "draw_by_uptake", "draw_lesions", "load_model", "outputs_of", "predict"]


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the N stage, and trace it back to the nodes."""
    ct, pet = case.image(CT), case.image(PET)
    check_hu(ct, name=CT)
    check_suv(pet, name=PET, brain=False)
    suv, _ = to_common_frame(pet, ct)
    given = given_lesions(case)
    organs = remove_small_components(model.organs.segment(ct))
    segmentation = draw_lesions(ct, suv, organs, model) if given is None else given
    stations = stations_of(organs)
    likeness = model.training_patients.compare(scan_measures(ct, pet))
    assessment = predict_from_stations(
        suv,
        organs,
        stations,
        segmentation,
        Information.of(case),
        model.probability,
        limited_by(likeness.limits, view_of(stations, organs, ct, pet)),
        model.unseen(given=given is not None),
    )
    return outputs_of(assessment, case, model, likeness)


def given_lesions(case: Case) -> Image | None:
    """Take the lesions that a reader has drawn; None where they are not given.

    Raises
    ------
    InvalidInputError
        If nobody can have drawn them so. It is said before the organs are labelled, which takes long.
    """
    if SEGMENTATION not in case:
        return None
    drawn = case.image(SEGMENTATION)
    check_drawn(drawn, name=SEGMENTATION, structure="lesion")
    if not drawn.voxels.any():
        raise InvalidInputError(
            f"The {SEGMENTATION} is empty: not even the primary is drawn; draw the lesions, or leave the segmentation out, and "
            "the model draws them."
        )
    return drawn


def draw_lesions(ct: Image, suv: Image, organs: Organs, model: Model) -> Image:
    """Draw the lesions by the network of the model, or by their uptake where the model says so."""
    if model.lesions is not None:
        return draw_by_network(ct, suv, model.lesions)
    return draw_by_uptake(suv, organs, model.description.pet)


def draw_by_network(ct: Image, suv: Image, network: Network) -> Image:
    """Draw lesions on CT and PET, 1 in all of them."""
    return network.segment([ct, suv], mirroring=False)


def draw_by_uptake(suv: Image, organs: Organs, rule: PetThreshold) -> Image:
    """Draw lesions by thresholds of uptake, one number each."""
    threshold = FractionOfMaximum(rule.fraction, rule.seed_suv, rule.floor_suv)
    return segment_pet(suv, threshold, organs=organs, physiological=TAKES_UP_IN_HEALTH)


def outputs_of(assessment: Assessment, case: Case, model: Model, likeness: Likeness) -> dict[str, Output]:
    """Give the stage and what it rests on in the forms that the platform shows."""
    ct = case.image(CT)
    notes = notes_on(assessment)
    warnings = warnings_on(assessment, model, ct.spacing_mm[axial_axis(ct.geometry)])
    return {
        "n-stage": str(assessment.stage.category),
        "n-stage-explanation": explain(assessment, model, likeness, notes, warnings),
        "n-stage-chart": probability_chart(assessment),
        "lymph-node-stations": station_table(assessment),
        "lymph-nodes": node_points(assessment),
        "lesions": drawn_lesions(assessment),
        "lymph-node-station-map": assessment.stations.on(ct.geometry),
    }


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
