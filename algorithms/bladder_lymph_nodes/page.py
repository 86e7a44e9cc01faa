"""What a radiologist sees of a case: the nodes with their probabilities, the likeliest first, and where each one lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image, separate_instances
from preop.report.case import (
    BONE,
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
    auc_in_words,
    numbered,
    percent,
    sentence_of,
)
from preop.report.sections import Column
from preop.study import Assessable

from .lymph_nodes import CT, SEGMENTATION

NODES = "lymph nodes"
SHOWN = 6
"""So many nodes have a picture of their own."""
FIELD_MM = 120.0
SUSPICIOUS, PLAUSIBLE, NOT_PLAUSIBLE = "#ff7a1a", "#40b0ff", "#9aa5b1"

Row = Mapping[str, Any]


def case_page(case: Case, outputs: CaseOutputs) -> CasePage:
    """Say how likely pN+ is, and show the nodes that it rests on."""
    said, rows = outputs.value("positive-lymph-nodes"), outputs.value("lymph-node-table")
    measure = "probability" if all("probability" in row for row in rows) else "contribution"
    stack = _stack(case, outputs, rows, measure)
    return CasePage(
        headline=_headline(said, rows),
        explanation=said,
        pictures=[_picture(row, measure) for row in _on_own_slices(rows)[:SHOWN]],
        reasoning=_reasoning(said, rows, measure),
        stacks=[stack],
        instances=[_table(rows, measure)],
        charts=[outputs.value("positive-lymph-nodes-chart")],
        legend=[
            (f"{measure} of the node; enlarged ({said['size_rule']['rule']})", SUSPICIOUS),
            ("not enlarged", PLAUSIBLE),
            ("not plausible as a node", NOT_PLAUSIBLE),
        ],
    )


def _headline(said: Row, rows: Sequence[Row]) -> Headline:
    likelihood = percent(said["likelihood"])
    sentence = {
        "pN+": f"Lymph node metastasis (pN+) is likely: {likelihood}.",
        "pN0": f"No lymph node metastasis (pN0) is likely; the likelihood of pN+ is {likelihood}.",
    }.get(
        said["decision"],
        f"No decision on the nodal status: {likelihood} is the proportion of pN+ patients in training.",
    )
    uncertain = [f"pN+ is called from {percent(said['decision_threshold'])}."]
    counts, expected = said["probability_of_count"], said["expected_positive_nodes"]
    if counts:
        several = sum(value for number, value in counts.items() if number not in {"0", "1"})
        uncertain.insert(
            0,
            f"Expected positive nodes: {expected:.1f} of {said['nodes']} (none {percent(counts['0'])}, one "
            f"{percent(counts['1'])}, two or more {percent(several)}).",
        )
    uncertain.append(auc_in_words(said["model"]["validation"]))
    left_out = [row["node"] for row in rows if not row["plausible"]]
    not_assessed = [
        "Only the nodes that are segmented are assessed; there is no statement on nodes that were not drawn."
    ]
    if left_out:
        not_assessed.append(f"Not assessed, as they are not plausible as lymph nodes: {', '.join(map(str, left_out))}.")
    return Headline(sentence, " ".join(uncertain), not_assessed)


def _stack(case: Case, outputs: CaseOutputs, rows: Sequence[Row], measure: str) -> Stack:
    ct = case.image(CT)
    names = {row["node"]: _name(row, measure) for row in rows}
    colours = {row["node"]: _colour(row) for row in rows}
    layer = Layer(NODES, _labels(case, outputs, rows), names, PLAUSIBLE, colours)
    return Stack("ct", "CT", [Series("CT", ct, SOFT_TISSUE), Series("CT", ct, BONE)], [layer])


def _labels(case: Case, outputs: CaseOutputs, rows: Sequence[Row]) -> Image:
    """Give the nodes by their numbers: from what was drawn, or else from what the network drew."""
    drawn = case.image(SEGMENTATION) if SEGMENTATION in case else _mask(outputs.image("lymph-node-heat-map"))
    labels, _ = separate_instances(drawn, name=SEGMENTATION, structure="node")
    return numbered(labels, {row["node"]: tuple(row["position_mm"]) for row in rows})


def _mask(heat_map: Image) -> Image:
    return heat_map.with_voxels((heat_map.voxels > 0).astype("uint8"))


def _on_own_slices(rows: Sequence[Row]) -> list[Row]:
    """Leave out nodes that the picture of a likelier one shows."""
    shown: list[Row] = []
    for row in rows:
        if all(_apart(row, other) for other in shown):
            shown.append(row)
    return shown


def _apart(row: Row, other: Row) -> bool:
    (x, y, z), (other_x, other_y, other_z) = row["position_mm"], other["position_mm"]
    return bool(z != other_z or max(abs(x - other_x), abs(y - other_y)) > FIELD_MM / 2)


def _picture(row: Row, measure: str) -> SlicePicture:
    words = [f"Node {row['node']}: {_value(row, measure)}", f"short axis {row['short_axis_mm']:.1f} mm"]
    if row["side"] != "unknown":
        words.append(row["side"])
    if row["suspicious_by_size"]:
        words.append("enlarged by the size rule")
    if row["cut_by_edge"]:
        words.append("cut off by the edge of the scan")
    return SlicePicture(_place(row), f"{', '.join(words)}.", field_mm=FIELD_MM)


def _table(rows: Sequence[Row], measure: str) -> Instances:
    sides = any(row["side"] != "unknown" for row in rows)  # on a part of a pelvis, of no node
    columns = [
        Column("Node", "name"),
        Column("Probability of metastasis" if measure == "probability" else "Contribution", "number"),
        Column("Short axis (mm)", "number"),
        Column("Long axis (mm)", "number"),
        Column("Volume (ml)", "number"),
        Column("Density, 90th percentile (HU)", "number"),
        Column("Node-RADS"),
        *([Column("Side")] if sides else []),
        Column("Remarks"),
    ]
    instances = [
        Instance(
            [
                f"Node {row['node']}",
                _value(row, measure).removeprefix("contribution "),
                f"{row['short_axis_mm']:.1f}",
                f"{row['long_axis_mm']:.1f}",
                f"{row['volume_ml']:.2f}",
                f"{row['p90_hu']:.0f}".replace("-", "\N{MINUS SIGN}"),
                _node_rads(row),
                *(["" if row["side"] == "unknown" else row["side"]] if sides else []),
                _remarks(row),
            ],
            _place(row),
            minor=not row["plausible"],
        )
        for row in rows
    ]
    note = (
        "Node probabilities follow from the number of positive nodes alone: no node was matched with the specimen. Node-RADS is "
        "what can be measured of it, for comparison, and takes no part in them."
    )
    return Instances("Lymph nodes", columns, instances, note)


def _node_rads(row: Row) -> str:
    """Its category: a lower bound where something of it could not be measured."""
    if row["node_rads"] is None:
        return "left to the reader"
    return (
        f"\N{GREATER-THAN OR EQUAL TO} {row['node_rads']}" if row["node_rads_not_assessed"] else str(row["node_rads"])
    )


def _remarks(row: Row) -> str:
    words = ["enlarged"] if row["suspicious_by_size"] else []
    words += ["cut off by the edge of the scan"] if row["cut_by_edge"] else []
    words += [] if row["plausible"] else ["not plausible as a lymph node; not assessed"]
    return ", ".join(words)


def _reasoning(said: Row, rows: Sequence[Row], measure: str) -> str:
    if said["assessable"] == Assessable.NO:
        return "The pelvic lymph nodes could not be assessed."
    nodes = [row for row in rows if row["plausible"]]
    first = nodes[0]
    parts = [
        f"{said['decision']} by the algorithm: likelihood of pN+ {percent(said['likelihood'])} "
        f"(called from {percent(said['decision_threshold'])}), {said['nodes']} lymph nodes assessed."
    ]
    parts.append(
        f"Highest {measure}: node {first['node']}, short axis {first['short_axis_mm']:.1f} mm, {_value(first, measure)}."
    )
    enlarged = said["size_rule"]["nodes"]
    rule = said["size_rule"]["rule"]
    parts.append(
        f"By size alone ({rule}): {said['size_rule']['decision']}"
        + (f", node{'s' if len(enlarged) > 1 else ''} {', '.join(map(str, enlarged))}." if enlarged else ".")
    )
    return sentence_of(parts)


def _name(row: Row, measure: str) -> str:
    return (
        f"{row['node']}: {_value(row, measure).removeprefix('contribution ')}" if row["plausible"] else str(row["node"])
    )


def _value(row: Row, measure: str) -> str:
    value = row.get(measure)
    if value is None:
        return "not assessed"
    return percent(value) if measure == "probability" else f"contribution {value:.2f}"


def _colour(row: Row) -> str:
    if not row["plausible"]:
        return NOT_PLAUSIBLE
    return SUSPICIOUS if row["suspicious_by_size"] else PLAUSIBLE


def _place(row: Row) -> Place:
    x, y, z = row["position_mm"]
    return Place("ct", (x, y, z), NODES, row["node"])
