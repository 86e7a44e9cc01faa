"""What a radiologist sees of a case: each metastasis with the rings at its interface, and the shares of the patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image, components, resample_like
from preop.report.case import (
    LIVER,
    SOFT_TISSUE,
    CasePage,
    Headline,
    Instance,
    Instances,
    Layer,
    Place,
    Series,
    SlicePicture,
    Stack,
    numbered,
    percent,
)
from preop.report.sections import Column
from preop.study import Assessable

from .lesions import CT, INNER_RING_MM, OUTER_RING_MM, SEGMENTATION, surroundings

METASTASES, INNER, OUTER = "metastases", "inner ring", "outer ring"
SHOWN = 5
FIELD_MM = 90.0
COLOURS = {"desmoplastic": "#40b0ff", "replacement": "#ff9d1a", "pushing": "#d98cff"}
NOT_JUDGED, INNER_COLOUR, OUTER_COLOUR = "#b9c2cc", "#ffe066", "#8fe0b0"

Row = Mapping[str, Any]


def case_page(case: Case, outputs: CaseOutputs) -> CasePage:
    """Say whether the patient is likely to be non-desmoplastic, and show each metastasis with its interface."""
    said = outputs.value("growth-patterns")
    rows = sorted(said["metastases"], key=lambda row: row["probability_purely_desmoplastic"])
    stack = _stack(case, outputs, rows)
    pictures = [_picture(row) for row in rows[:SHOWN]]
    if pictures:
        pictures.insert(
            1, SlicePicture(_place(rows[0]), "The whole slice of the same metastasis.", layers=[METASTASES])
        )
    else:
        pictures = [SlicePicture(Place("ct", _middle(case.image(CT))), "No metastasis was assessed.")]
    return CasePage(
        headline=_headline(said, rows),
        explanation=said,
        pictures=pictures,
        reasoning=_reasoning(said, rows),
        stacks=[stack],
        instances=[_table(rows, outputs.value("growth-pattern-explanation"))],
        charts=[outputs.value("growth-pattern-chart")],
        legend=[*COLOURS.items(), (INNER, INNER_COLOUR), (OUTER, OUTER_COLOUR)],
    )


def _headline(said: Row, rows: Sequence[Row]) -> Headline:
    likelihood, number = percent(said["likelihood_non_desmoplastic"]), len(rows)
    counted = {1: "the one metastasis", 2: "both metastases"}.get(number, f"all {number} metastases")
    sentence = {
        "non-desmoplastic": f"Non-desmoplastic growth is likely: {likelihood}.",
        "desmoplastic": f"Desmoplastic growth of {counted} is likely; the likelihood of non-desmoplastic growth is {likelihood}.",
    }.get(
        said["decision"], f"No decision on the growth pattern: {likelihood} is the proportion among training patients."
    )
    uncertain = [f"Non-desmoplastic is called from {percent(said['decision_threshold'])}."]
    if rows:
        first = rows[0]
        uncertain.insert(
            0,
            f"Least desmoplastic is metastasis {first['metastasis']}, {percent(first['probability_purely_desmoplastic'])} "
            f"purely desmoplastic, predominantly {first['predominant']} "
            f"({percent(first['probability_predominant'][first['predominant']])}).",
        )
    auc = said["model"]["validation"]["combination"]["patient_auc"]
    uncertain.append(f"AUC in cross-validation {auc['value']:.2f} (95 % CI {auc['lower']:.2f} to {auc['upper']:.2f}).")
    not_assessed = ["Only the metastases that are segmented are assessed; one that was not drawn may grow otherwise."]
    if said["metastases_not_plausible"]:
        numbers = ", ".join(map(str, said["metastases_not_plausible"]))
        not_assessed.append(f"Not assessed, as they are not plausible as liver metastases: {numbers}.")
    return Headline(sentence, " ".join(uncertain), not_assessed)


def _stack(case: Case, outputs: CaseOutputs, rows: Sequence[Row]) -> Stack:
    ct = case.image(CT)
    labels = _labels(case, outputs, rows)
    names = {row["metastasis"]: f"{row['metastasis']}: {row['predominant']}" for row in rows}
    colours = {row["metastasis"]: COLOURS.get(row["predominant"], NOT_JUDGED) for row in rows}
    inner, outer = _rings(ct, labels)
    layers = [
        Layer(METASTASES, labels, names, NOT_JUDGED, colours),
        Layer(INNER, inner, colour=INNER_COLOUR),
        Layer(OUTER, outer, colour=OUTER_COLOUR),
    ]
    return Stack("ct", "CT", [Series("CT", ct, LIVER), Series("CT", ct, SOFT_TISSUE)], layers)


def _labels(case: Case, outputs: CaseOutputs, rows: Sequence[Row]) -> Image:
    """Give the metastases by their numbers: from what was drawn, or else from what the network drew."""
    drawn = case.image(SEGMENTATION) if SEGMENTATION in case else components(outputs.image("growth-pattern-map"))[0]
    return numbered(drawn, {row["metastasis"]: tuple(row["position_mm"]) for row in rows})


def _rings(ct: Image, labels: Image) -> tuple[Image, Image]:
    """Draw the rings in which the interface is read, on the grid of the CT, each with the number of its metastasis."""
    rings: dict[str, NDArray[np.int32]] = {name: np.zeros(ct.shape, np.int32) for name in ("inner_ring", "outer_ring")}
    for number, box in enumerate(ndimage.find_objects(labels.voxels), start=1):
        if box is None:
            continue
        around = surroundings(ct, labels, number, box, None)
        for name, ring in rings.items():
            region = around.density.with_voxels(around.region(name).astype(np.uint8))
            ring[resample_like(region, ct.geometry, interpolation="nearest", outside=0).voxels > 0] = number
    return labels.with_voxels(rings["inner_ring"]), labels.with_voxels(rings["outer_ring"])


def _picture(row: Row) -> SlicePicture:
    shares = ", ".join(f"{pattern} {percent(share['expected'])}" for pattern, share in row["shares"].items())
    caption = (
        f"Metastasis {row['metastasis']}, {row['long_axis_mm']:.0f} mm: {shares}. Rings {INNER_RING_MM:g} mm inside and "
        f"{OUTER_RING_MM:g} mm outside of its surface, where liver lies."
    )
    return SlicePicture(_place(row), caption, field_mm=max(FIELD_MM, 2.2 * row["long_axis_mm"]))


def _table(rows: Sequence[Row], explanation: Row) -> Instances:
    reasons = {each["metastasis"]: each for each in explanation["metastases"]}
    columns = [
        Column("Metastasis", "name"),
        Column("Purely desmoplastic", "number"),
        Column("Predominant"),
        *(Column(f"{name.capitalize()} (90 % interval)", "estimate") for name in COLOURS),
        Column("Long axis (mm)", "number"),
        Column("Strongest feature of the interface"),
    ]
    instances = [
        Instance(
            [
                str(row["metastasis"]),
                percent(row["probability_purely_desmoplastic"]),
                f"{row['predominant']} ({percent(row['probability_predominant'][row['predominant']])})",
                *(_share(row["shares"][name]) for name in COLOURS),
                f"{row['long_axis_mm']:.0f}",
                _strongest(reasons.get(row["metastasis"])),
            ],
            _place(row),
        )
        for row in rows
    ]
    note = "Shares of the interface as a pathologist would report them; the likeliest to be non-desmoplastic first."
    return Instances("Liver metastases", columns, instances, note)


def _share(share: Row) -> str:
    return f"{percent(share['expected'])} {percent(share['low'])} to {percent(share['high'])}"


def _strongest(reasons: Row | None) -> str:
    if not reasons or not reasons["features"]:
        return ""
    first = reasons["features"][0]
    direction = "against" if first["contribution_log_odds"] > 0 else "for"
    return f"{first['label']} ({direction} desmoplastic)"


def _reasoning(said: Row, rows: Sequence[Row]) -> str:
    if said["assessable"] == Assessable.NO:
        return "The growth pattern could not be assessed."
    parts = [
        f"{said['decision'].capitalize()} by the algorithm: likelihood of non-desmoplastic growth "
        f"{percent(said['likelihood_non_desmoplastic'])} (called from {percent(said['decision_threshold'])}), "
        f"{said['metastases_judged']} metastas{'is' if said['metastases_judged'] == 1 else 'es'} assessed."
    ]
    parts += [
        f"Metastasis {row['metastasis']}, {row['long_axis_mm']:.0f} mm: predominantly {row['predominant']}, "
        f"{percent(row['probability_purely_desmoplastic'])} purely desmoplastic."
        for row in rows
    ]
    return " ".join(parts)


def _middle(ct: Image) -> tuple[float, float, float]:
    x, y, z = ct.geometry.world_mm(np.array([[(side - 1) / 2 for side in ct.shape]]))[0].tolist()
    return x, y, z


def _place(row: Row) -> Place:
    x, y, z = row["position_mm"]
    return Place("ct", (x, y, z), METASTASES, row["metastasis"])
