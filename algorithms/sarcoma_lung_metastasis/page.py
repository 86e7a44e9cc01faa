"""What a radiologist sees of a case: the tumour on each scan, and what the likelihood rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image, axial_diameters
from preop.report.case import (
    BONE,
    SOFT_TISSUE,
    CasePage,
    Headline,
    Instance,
    Instances,
    Layer,
    Place,
    ProjectionPicture,
    Series,
    SlicePicture,
    Stack,
    Window,
    auc_in_words,
    middle_of,
    mr_window,
    percent,
    suv_window,
)
from preop.report.case.content import Picture
from preop.report.sections import Column

from .features import SCANS, Scan, scan_of

TUMOUR, COLOUR = "tumour", "#ff9d1a"
REASONS = 3
"""So many features are named in the text for the report."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Seen:
    """A scan of the case with its tumour, which a person has drawn or approved, or a network has outlined."""

    scan: Scan
    image: Image
    tumour: Image
    approved: bool

    @property
    def title(self) -> str:
        return self.scan.label if self.approved else f"{self.scan.label} (outlined by a network)"

    @property
    def place(self) -> Place:
        return Place(self.scan.name, middle_of(self.tumour), TUMOUR, 1)

    @property
    def volume_ml(self) -> float:
        return float((self.tumour.voxels > 0).sum() * self.tumour.geometry.voxel_volume_mm3 / 1000)

    @property
    def long_axis_mm(self) -> float:
        return axial_diameters(self.tumour.with_voxels(self.tumour.voxels > 0)).long_axis_mm


def case_page(case: Case, outputs: CaseOutputs) -> CasePage:
    """Say how likely lung metastasis is, and show the tumour on each scan."""
    said = outputs.value("lung-metastasis-explanation")
    seen = [
        _Seen(scan, case.image(scan.image), _tumour(scan, case, outputs), approved=scan.segmentation in case)
        for scan in SCANS
        if scan.image in case
    ]
    return CasePage(
        headline=_headline(said),
        explanation=said,
        pictures=[picture for each in seen for picture in _pictures(each)],
        reasoning=_reasoning(said, seen),
        stacks=[_stack(each) for each in seen],
        instances=[_features(said, seen), _tumours(seen)],
        charts=[outputs.value("lung-metastasis-contributions")],
        legend=[(f"tumour as {_how(seen)}", COLOUR)],
    )


def _tumour(scan: Scan, case: Case, outputs: CaseOutputs) -> Image:
    """Read the tumour as it was given, or as a network outlined it."""
    if scan.segmentation not in case:
        return outputs.image(scan.proposal)
    mask = case.mask(scan.segmentation)
    return mask.with_voxels(mask.voxels.astype("uint8"))


def _how(seen: Sequence[_Seen]) -> str:
    return "drawn" if all(each.approved for each in seen) else "outlined"


def _headline(said: Row) -> Headline:
    sentence = (
        f"Likelihood of lung metastasis {percent(said['likelihood'])}: {said['decision']} "
        f"(high risk begins at {percent(said['decision_threshold'])})."
    )
    given, unused = said["inputs"].split(" + "), said.get("inputs_not_used", [])
    taken = [part for part in given if part not in unused]
    uncertain = (
        f"The likelihood is higher than in {said['likelihood_percentile_in_training_cohort']:.0f} % of the training patients. "
        f"{auc_in_words({' + '.join(taken): said['model']['validation']}, 'interval over the splits')}"
    )
    used = said["inputs_with_effect"].split(" + ")
    without = [part for part in taken if part not in used]
    rests = f"Rests on {_listed(used)}" + (f"; {_listed(without)} had no effect." if without else ".")
    left_out = [f"Not used: {_listed(unused)}."] if unused else []
    return Headline(sentence, uncertain, [f"{rests} The lungs themselves were not assessed.", *left_out])


def _listed(inputs: Sequence[str]) -> str:
    return " and ".join("clinical information" if each == "clinical" else each for each in inputs)


def _windows(seen: _Seen) -> Sequence[Window]:
    if seen.scan.name == "ct":
        return (SOFT_TISSUE, BONE)
    return (suv_window(),) if seen.scan.name == "pet" else (mr_window(seen.image),)


def _stack(seen: _Seen) -> Stack:
    series = [Series(seen.scan.label, seen.image, window) for window in _windows(seen)]
    return Stack(seen.scan.name, seen.scan.label, series, [_layer(seen)])


def _layer(seen: _Seen) -> Layer:
    return Layer(TUMOUR, seen.tumour, {}, COLOUR)


def _pictures(seen: _Seen) -> list[Picture]:
    size = f"{seen.long_axis_mm / 10:.1f} cm, {seen.volume_ml:.0f} ml"
    pictures: list[Picture] = [SlicePicture(seen.place, f"{seen.title}, largest section of the tumour ({size}).")]
    if seen.scan.name == "pet":
        words = "PET, maximum intensity projection from the front."
        pictures.append(ProjectionPicture(seen.image, suv_window(), words, "front", [_layer(seen)]))
    return pictures


def _features(said: Row, seen: Sequence[_Seen]) -> Instances:
    places = {each.scan.name: each.place for each in seen}
    columns = [
        Column("What the likelihood rests on", "text"),
        Column("Value", "number"),
        Column("Log odds", "number"),
        Column("Percentile in training", "number"),
    ]
    rows = [
        Instance(
            [
                feature["label"],
                feature["value_in_words"],
                f"{feature['contribution_log_odds']:+.2f}".replace("-", "\N{MINUS SIGN}"),
                f"{feature['percentile_in_training_cohort']:.0f}",
            ],
            places.get(scan.name) if (scan := scan_of(feature["feature"])) else None,
        )
        for feature in sorted(said["features"], key=lambda each: -abs(each["contribution_log_odds"]))
    ]
    note = "Log odds above 0 raise the likelihood. The features are measured inside the outline of the tumour."
    return Instances("Reasons", columns, rows, note)


def _tumours(seen: Sequence[_Seen]) -> Instances:
    columns = [Column("Scan", "name"), Column("Long axis (mm)", "number"), Column("Volume (ml)", "number")]
    rows = [Instance([each.title, f"{each.long_axis_mm:.0f}", f"{each.volume_ml:.0f}"], each.place) for each in seen]
    return Instances(f"Tumour as {_how(seen)}", columns, rows)


def _reasoning(said: Row, seen: Sequence[_Seen]) -> str:
    sizes = "; ".join(f"{each.title} {each.long_axis_mm:.0f} mm, {each.volume_ml:.0f} ml" for each in seen)
    first = sorted(said["features"], key=lambda each: -abs(each["contribution_log_odds"]))[:REASONS]
    reasons = [
        f"{each['label']} {each['value_in_words']} ({'raises' if each['contribution_log_odds'] > 0 else 'lowers'})"
        for each in first
    ]
    return (
        f"{said['decision'].capitalize()} of lung metastasis by the algorithm: {percent(said['likelihood'])}, high risk from "
        f"{percent(said['decision_threshold'])}. Tumour as {_how(seen)}: {sizes}. Strongest reasons: {'; '.join(reasons)}."
    )
