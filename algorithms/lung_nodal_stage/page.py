"""What a radiologist sees of a case: the stage in words, PET as a projection, and each node in its station on the CT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image, to_common_frame
from preop.report.case import (
    LUNG,
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
    middle_of,
    percent,
    suv_window,
)
from preop.report.case.content import Picture
from preop.report.sections import Column

CT, PET = "chest-ct", "fdg-pet"
LESIONS, STATIONS = "lesions", "stations"
SHOWN_NODES = 3
FIELD_MM = 170.0
MALIGNANT_FROM = 0.5
MENTIONED = 0.1
"""Probability from which a station without a node of its own is listed: one at its border may belong to it."""
PRIMARY, MALIGNANT, BENIGN, OTHER, STATION = "#ff4d6d", "#ff9d1a", "#40b0ff", "#b9c2cc", "#8fe0b0"

Row = Mapping[str, Any]


def case_page(case: Case, outputs: CaseOutputs) -> CasePage:
    """Say the stage and what it rests on, and show PET and nodes."""
    said, stations = outputs.value("n-stage-explanation"), outputs.value("lymph-node-stations")
    nodes = _nodes(stations)
    others = [*said["lung_nodules"], *said["other_lesions"]]
    lesions, ct = outputs.image("lesions"), case.image(CT)
    pet, _ = to_common_frame(case.image(PET), ct)
    map_of_stations = outputs.image("lymph-node-station-map")
    names = {value: name for name, value in outputs.algorithm.output("lymph-node-station-map").overlay_segments.items()}
    drawn = _lesion_layer(lesions, said["primary"], nodes, others)
    stack = Stack(
        "chest",
        "CT and FDG-PET",
        [Series("CT", ct, SOFT_TISSUE), Series("CT", ct, LUNG), Series("FDG-PET", pet, suv_window())],
        [drawn, Layer(STATIONS, map_of_stations, names, STATION, inside=True)],
    )
    return CasePage(
        headline=_headline(said),
        explanation=said,
        pictures=_pictures(said, nodes, pet, lesions),
        reasoning=said["reasoning"],
        stacks=[stack],
        instances=[_node_table(stations, nodes, map_of_stations, names), *_other_table(said["primary"], others)],
        charts=[outputs.value("n-stage-chart")],
        legend=[
            ("primary", PRIMARY),
            (f"node, {percent(MALIGNANT_FROM)} or more malignant", MALIGNANT),
            ("other node", BENIGN),
            ("other lesion", OTHER),
            ("station", STATION),
        ],
    )


def _nodes(stations: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Each node with its station, the most likely malignant first."""
    pairs = [(station, node) for station in stations for node in station["nodes"]]
    return sorted(pairs, key=lambda pair: (-pair[1]["probability_malignant"], pair[1]["lesion"]))


def _headline(said: Row) -> Headline:
    first, *_ = said["reasoning"].split(". ")
    probabilities = {category: value for category, value in said["probabilities"].items() if value > 0}
    each = ", ".join(f"{category} {percent(value)}" for category, value in probabilities.items())
    uncertain = f"Probability of each stage: {each}."
    if said["at_least"] != said["at_most"]:
        uncertain += f" With what is unknown, at least {said['at_least']} and at most {said['at_most']}."
    accuracy = said["model"]["validation"]["the algorithm"]["accuracy"]
    uncertain += (
        f" In cross-validation the stage was right in {percent(accuracy['value'])} of patients (95 % CI "
        f"{percent(accuracy['lower'])} to {percent(accuracy['upper'])})."
    )
    missing = said["not_assessed"]
    not_assessed = [f"Not assessed: stations {', '.join(missing)}."] if missing else []
    not_assessed.append(f"N by TNM {said['tnm_edition']} only: T and M are not staged.")
    return Headline(f"{first.rstrip('.')}.", uncertain, not_assessed)


def _lesion_layer(
    lesions: Image, primary: Row | None, nodes: Sequence[tuple[Row, Row]], others: Sequence[Row]
) -> Layer:
    names, colours = {}, {}
    for lesion in others:
        names[lesion["lesion"]], colours[lesion["lesion"]] = lesion["kind"], OTHER
    for station, node in nodes:
        names[node["lesion"]] = f"{station['station']}: {percent(node['probability_malignant'])}"
        colours[node["lesion"]] = _colour(node)
    if primary is not None:
        names[primary["lesion"]], colours[primary["lesion"]] = "primary", PRIMARY
    return Layer(LESIONS, lesions, names, OTHER, colours)


def _colour(node: Row) -> str:
    return MALIGNANT if node["probability_malignant"] >= MALIGNANT_FROM else BENIGN


def _on_projection(lesions: Image, primary: Row | None, nodes: Sequence[tuple[Row, Row]]) -> Layer:
    """Name the primary and the stations of likely malignant nodes: in a projection many lie behind each other."""
    layer = _lesion_layer(lesions, primary, nodes, ())
    likely = {node["lesion"]: station["station"] for station, node in nodes if _colour(node) == MALIGNANT}
    names = likely if primary is None else {primary["lesion"]: "primary", **likely}
    return replace(layer, names=names)


def _pictures(said: Row, nodes: Sequence[tuple[Row, Row]], pet: Image, lesions: Image) -> list[Picture]:
    drawn = _on_projection(lesions, said["primary"], nodes)
    pictures: list[Picture] = [
        ProjectionPicture(pet, suv_window(), "FDG-PET, maximum intensity projection from the front.", "front", [drawn]),
        ProjectionPicture(pet, suv_window(), "FDG-PET, maximum intensity projection from the left.", "side", [drawn]),
    ]
    primary = said["primary"]
    if primary is not None:
        caption = f"Primary, {primary['place']}: {_measures(primary)}."
        pictures.append(SlicePicture(_place(primary), caption, series=1, layers=[LESIONS]))
    for station, node in nodes[:SHOWN_NODES]:
        caption = (
            f"Station {station['station']}: {_measures(node)}, {percent(node['probability_malignant'])} malignant."
        )
        pictures.append(SlicePicture(_place(node), caption, field_mm=FIELD_MM))
    return pictures


def _node_table(
    stations: Sequence[Row], nodes: Sequence[tuple[Row, Row]], station_map: Image, names: Mapping[int, str]
) -> Instances:
    columns = [
        Column("Station", "name"),
        Column("Station involved", "number"),
        Column("Node malignant", "number"),
        Column("Short axis (mm)", "number"),
        Column("SUVmax", "number"),
        Column("over blood pool", "number"),
        Column("over liver", "number"),
        Column("Remarks"),
    ]
    rows = [
        Instance(
            [
                station["station"],
                percent(station["marginal_probability"]),
                percent(node["probability_malignant"]),
                f"{node['short_axis_mm']:.0f}",
                f"{node['suv_max']:.1f}",
                _ratio(node["blood_pool_ratio"]),
                _ratio(node["liver_ratio"]),
                _remarks(station, node),
            ],
            _place(node),
            minor=node["probability_malignant"] < MALIGNANT_FROM,
        )
        for station, node in nodes
    ]
    values = {name: value for value, name in names.items()}
    for station in stations:
        value = values.get(station["station"])
        doubtful = not station["nodes"] and station["marginal_probability"] >= MENTIONED
        if not doubtful or value is None or not (station_map.voxels == value).any():
            continue
        place = Place("chest", middle_of(station_map, value), STATIONS, value)
        involved = percent(station["marginal_probability"])
        cells = [station["station"], involved, "", "", "", "", "", "only by a node at its border"]
        rows.append(Instance(cells, place, minor=True))
    return Instances("Lymph nodes", columns, rows, "" if rows else "No lymph node with uptake was found.")


def _remarks(station: Row, node: Row) -> str:
    words = ["the stage rests on it"] if station["in_most_likely_explanation"] else []
    if elsewhere := [
        f"{name} {percent(share)}" for name, share in node["shares"].items() if name != station["station"]
    ]:
        words.append(f"may lie in {', '.join(elsewhere)}")
    if node["nodule_share"] > 0:
        words.append(f"{percent(node['nodule_share'])} a lung nodule")
    if node["touches_primary"]:
        words.append("touches the primary")
    return "; ".join(words)


def _other_table(primary: Row | None, others: Sequence[Row]) -> list[Instances]:
    lesions = [*([] if primary is None else [primary]), *others]
    if not lesions:
        return []
    columns = [
        Column("Lesion", "name"),
        Column("Place"),
        Column("Short axis (mm)", "number"),
        Column("SUVmax", "number"),
        Column("Remarks"),
    ]
    rows = [
        Instance(
            [
                lesion["kind"],
                lesion["place"],
                f"{lesion['short_axis_mm']:.0f}",
                f"{lesion['suv_max']:.1f}",
                f"if malignant: {lesion['if_malignant']}" if lesion.get("if_malignant") else "",
            ],
            _place(lesion),
            minor=lesion["kind"] == "physiological",
        )
        for lesion in lesions
    ]
    return [Instances("Primary and other lesions", columns, rows)]


def _measures(lesion: Row) -> str:
    return f"{lesion['short_axis_mm']:.0f} mm, SUVmax {lesion['suv_max']:.1f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _place(lesion: Row) -> Place:
    x, y, z = lesion["position_mm"]
    return Place("chest", (x, y, z), LESIONS, lesion["lesion"])
