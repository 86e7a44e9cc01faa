"""The bladder algorithm as the platform runs it: what it says can be traced to the nodes, bad cases end in one sentence."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pytest
from numpy.typing import NDArray

from bladder_lymph_nodes.explanation import FOUND_BY_NETWORK, FOUND_ON_ANOTHER_KIND_OF_SCAN, MAX_COUNTED
from bladder_lymph_nodes.inference import load_model, predict
from bladder_lymph_nodes.lymph_nodes import CT, SEGMENTATION
from bladder_lymph_nodes.model import SEGMENTATION_NETWORK
from preop.errors import InvalidModelError
from preop.folders import sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case, item_of, read_case
from preop.grandchallenge.outputs import check_outputs
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.values import to_json
from preop.imaging import Geometry, Image, read_image, write_image
from tests.conftest import ROOT
from tests.segmentation.networks import dataset_of, make_network, plans_of

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "bladder_lymph_nodes"
ALGORITHM = read_algorithm(FOLDER)
MODEL = load_model(FOLDER / "model", ALGORITHM)
NAME = "positive"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A case and the shipped model, free to be spoilt."""
    shutil.copytree(FOLDER / "test" / NAME / "input", tmp_path / "input")
    shutil.copytree(FOLDER / "model", tmp_path / "model")
    (tmp_path / "output").mkdir()
    return Roots(tmp_path / "input", tmp_path / "output", tmp_path / "model")


def outputs_of(case: str = NAME) -> dict[str, Any]:
    return predict(read_case(ALGORITHM, FOLDER / "test" / case / "input"), MODEL)


def in_memory(ct: Image, nodes: Image) -> Case:
    return Case(ALGORITHM, "case", {CT: Path("ct"), SEGMENTATION: Path("nodes")}, {}, {CT: ct, SEGMENTATION: nodes})


def bundled() -> tuple[Image, Image]:
    case = read_case(ALGORITHM, FOLDER / "test" / NAME / "input")
    return case.image(CT), case.image(SEGMENTATION)


def test_every_output_can_be_traced_back_to_the_nodes() -> None:
    outputs = outputs_of()
    table, explanation = outputs["lymph-node-table"], outputs["positive-lymph-nodes"]
    found, leak = MODEL.description.network.found, MODEL.description.network.leak
    expected = found * sum(row["probability"] for row in table) + leak
    assert explanation["expected_positive_nodes"] == pytest.approx(expected, rel=1e-4)
    counts = explanation["probability_of_count"]
    assert sum(counts.values()) == pytest.approx(1, abs=1e-5)
    assert outputs["lymph-node-metastasis-likelihood"] == pytest.approx(1 - counts["0"], abs=1e-5)
    assert list(counts)[-1] == f"{MAX_COUNTED} or more"
    points = outputs["lymph-nodes"]["points"]
    assert [point["probability"] for point in points] == [row["probability"] for row in table]
    assert [point["name"] for point in points] == [f"node {row['node']}" for row in table]


def test_the_table_is_sorted_and_the_heat_map_holds_its_probabilities() -> None:
    outputs = outputs_of()
    table, heat = outputs["lymph-node-table"], outputs["lymph-node-heat-map"]
    probabilities = [row["probability"] for row in table]
    assert probabilities == sorted(probabilities, reverse=True)
    _, nodes = bundled()
    for row in table:
        assert heat.voxels[nodes.voxels == row["node"]] == pytest.approx(row["probability"])
    assert (heat.voxels[nodes.voxels == 0] == 0).all()


def test_each_point_lies_inside_its_node() -> None:
    outputs = outputs_of()
    _, nodes = bundled()
    for row, point in zip(outputs["lymph-node-table"], outputs["lymph-nodes"]["points"], strict=True):
        place = nodes.geometry.index_zyx(np.array([point["point"]]))[0].round().astype(int)
        assert nodes.voxels[tuple(place)] == row["node"]


def test_the_size_rule_is_given_with_the_prediction() -> None:
    outputs = outputs_of()
    rule = outputs["positive-lymph-nodes"]["size_rule"]
    table = outputs["lymph-node-table"]
    large = {row["node"] for row in table if row["short_axis_mm"] > 8.05}  # given to a tenth of a millimetre
    assert large <= set(rule["nodes"]) <= large | {row["node"] for row in table if row["short_axis_mm"] == 8.0}
    assert rule["decision"] == ("pN+" if rule["nodes"] else "pN0")
    assert rule["rule"] == "short axis over 8 mm"


def test_a_mask_gives_the_nodes_that_its_labels_would() -> None:
    ct, nodes = bundled()
    binary = nodes.with_voxels((nodes.voxels > 0).astype(np.uint8))
    by_label, by_mask = (predict(in_memory(ct, drawn), MODEL)["lymph-node-table"] for drawn in (nodes, binary))
    alone = {tuple(row["position_mm"]): row["probability"] for row in by_label}
    same = [row for row in by_mask if tuple(row["position_mm"]) in alone]
    assert len(same) > len(by_label) / 2
    for row in same:
        assert row["probability"] == pytest.approx(alone[tuple(row["position_mm"])], abs=0.05)


def test_the_shipped_model_says_that_it_was_trained_on_simulated_patients() -> None:
    assert MODEL.info.training_data.simulated
    explanation = outputs_of()["positive-lymph-nodes"]
    assert explanation["model"]["simulated_patients"]
    assert explanation["warnings"][-1] == (
        "The model was trained on simulated patients: its figures say nothing about real ones."
    )
    assert "not a medical device" in explanation["disclaimer"]


def test_a_model_that_failed_its_validation_says_so_in_every_output() -> None:
    warnings = outputs_of()["positive-lymph-nodes"]["warnings"]
    share = MODEL.info.training_data.events / MODEL.info.training_data.patients
    poor = MODEL.details.brier_score > share * (1 - share)
    assert any("it can rank patients, but is not a probability" in warning for warning in warnings) == poor
    not_better = not MODEL.info.validation.comparisons[0].significantly_better
    assert (
        any("was not shown to perform better than the size rule alone" in warning for warning in warnings) == not_better
    )


def test_the_chart_is_valid_vega_lite() -> None:
    chart = outputs_of()["positive-lymph-nodes-chart"]
    alt.Chart.from_dict(chart, validate=True)
    assert "Likelihood of pN+" in json.dumps(chart)


@pytest.fixture
def with_network(roots: Roots) -> Path:
    """The shipped model with a small segmentation network of random weights."""
    folder = make_network(
        roots.model / SEGMENTATION_NETWORK, plans_of(spacing=(5.0, 1.5, 1.5)), dataset_of(["lymph_node"])
    )
    info = json.loads((roots.model / "model.json").read_text())
    info["files"] |= {str(path.relative_to(roots.model)): sha256(path) for path in folder.rglob("*") if path.is_file()}
    (roots.model / "model.json").write_text(json.dumps(info))
    return roots.model


def test_ct_alone_is_segmented_by_the_network_of_the_model() -> None:
    ct, drawn = bundled()
    network = SimpleNamespace(segment=lambda _: drawn)
    alone = predict(Case(ALGORITHM, "case", {CT: Path("ct")}, {}, {CT: ct}), replace(MODEL, segmentation=network))
    given = predict(in_memory(ct, drawn), MODEL)
    assert alone["lymph-node-table"] == given["lymph-node-table"]
    assert alone["positive-lymph-nodes"]["assessable"] == "limited"
    assert FOUND_BY_NETWORK in alone["positive-lymph-nodes"]["assessable_reasons"]
    assert FOUND_BY_NETWORK not in given["positive-lymph-nodes"]["assessable_reasons"]


def test_what_a_network_outlines_on_a_scan_unlike_the_training_is_not_assessed(with_network: Path) -> None:
    ct, _ = bundled()
    model = load_model(with_network, ALGORITHM)  # of random weights: what it draws is unlike any lymph nodes
    case = Case(ALGORITHM, "case", {CT: Path("ct")}, {}, {CT: ct})
    outputs = predict(case, model)
    check_outputs(outputs, ALGORITHM, case)
    result, rows = outputs["positive-lymph-nodes"], outputs["lymph-node-table"]
    assert (result["assessable"], result["decision"], result["nodes"]) == ("no", "none", 0)
    assert result["assessable_reasons"][0] == FOUND_ON_ANOTHER_KIND_OF_SCAN
    assert rows
    assert {row["probability"] for row in rows} == {None}
    data = model.info.training_data
    assert outputs["lymph-node-metastasis-likelihood"] == data.events / data.patients


def test_a_changed_file_of_the_segmentation_network_is_refused(with_network: Path) -> None:
    path = with_network / SEGMENTATION_NETWORK / "plans.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(InvalidModelError, match=r"node_segmentation/plans\.json is not the file that was written"):
        load_model(with_network, ALGORITHM)


class Drawn(NamedTuple):
    """A block of fat with balls of soft tissue."""

    ct: Image
    nodes: Image


def balls(count: int, *, hu: float = 95.0, radius_mm: float = 3.0) -> Drawn:
    side = int(np.ceil(count ** (1 / 3)))
    step = 12
    shape = (side * step,) * 3
    labels: NDArray[np.int32] = np.zeros(shape, dtype=np.int32)
    grid = np.indices((step,) * 3) - (step - 1) / 2
    ball = (grid**2).sum(0) <= radius_mm**2
    for number in range(count):
        place = np.unravel_index(number, (side,) * 3)
        box = tuple(slice(int(part) * step, (int(part) + 1) * step) for part in place)
        labels[box][ball] = number + 1
    noise = np.random.default_rng(0).normal(0, 10, shape)
    geometry = Geometry.axis_aligned(shape, (1.0, 1.0, 1.0))
    return Drawn(Image((np.where(labels > 0, hu, -95) + noise).astype(np.int16), geometry), Image(labels, geometry))


@pytest.mark.parametrize(("count", "of_nodes"), [(1, "1 lymph node is"), (500, "500 lymph nodes are")])
def test_one_node_and_five_hundred_are_read_and_warned_of(count: int, of_nodes: str) -> None:
    case = in_memory(*balls(count))
    outputs = predict(case, MODEL)
    check_outputs(outputs, ALGORITHM, case)
    assert len(outputs["lymph-node-table"]) == count
    warnings = outputs["positive-lymph-nodes"]["warnings"]
    assert any(f"{of_nodes} segmented; training patients had" in warning for warning in warnings)


def test_a_scan_without_contrast_is_warned_of() -> None:
    ct, nodes = bundled()
    plain = ct.with_voxels(np.where(nodes.voxels > 0, np.minimum(ct.voxels, 10), ct.voxels).astype(np.int16))
    warnings = predict(in_memory(plain, nodes), MODEL)["positive-lymph-nodes"]["warnings"]
    assert any("the CT may be unenhanced or of an early phase" in warning for warning in warnings)


def test_a_node_cut_by_the_edge_is_told_and_still_read() -> None:
    ct, nodes = bundled()
    row = outputs_of()["lymph-node-table"][0]
    inside = np.argwhere(nodes.voxels == row["node"])
    middle = int(np.median(inside[:, 0]))
    above = [Image(image.voxels[middle:], _from(image.geometry, middle)) for image in (ct, nodes)]
    outputs = predict(in_memory(*above), MODEL)
    assert next(each for each in outputs["lymph-node-table"] if each["node"] == row["node"])["cut_by_edge"]
    assert (
        "cut off by the edge of the scan and may be larger than measured."
        in outputs["positive-lymph-nodes"]["notes"][-1]
    )


def _from(geometry: Geometry, first: int) -> Geometry:
    x, y, z = geometry.world_mm(np.array([[first, 0, 0]]))[0].tolist()
    return Geometry(
        (geometry.shape[0] - first, *geometry.shape[1:]), geometry.spacing_mm, (x, y, z), geometry.direction
    )


def image_of(roots: Roots, slug: str) -> Path:
    return next((roots.input / ALGORITHM.input(slug).relative_path).iterdir())


def edited(slug: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Roots], object]:
    def edit(roots: Roots) -> None:
        path = image_of(roots, slug)
        image = read_image(path)
        write_image(image.with_voxels(change(image.voxels)), path)

    return edit


def moved(roots: Roots) -> None:
    path = image_of(roots, SEGMENTATION)
    image = read_image(path)
    geometry = image.geometry
    x, y, z = geometry.origin_mm
    write_image(
        Image(image.voxels, Geometry(geometry.shape, geometry.spacing_mm, (x + 5, y, z), geometry.direction)), path
    )


def ct_alone(roots: Roots) -> None:
    items = [item_of(ALGORITHM, CT, image_name="case.mha")]
    (roots.input / "inputs.json").write_text(to_json(items))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def described_as(roots: Roots) -> None:
    """A model whose checksums are right and whose description is not."""
    import hashlib

    path = roots.model / "lymph-nodes.json"
    path.write_text(path.read_text().replace('"threshold"', '"treshold"'))
    info = json.loads((roots.model / "model.json").read_text())
    info["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (roots.model / "model.json").write_text(json.dumps(info))


BAD_INPUTS: dict[str, tuple[Callable[[Roots], object], str]] = {
    "no nodes": (
        edited(SEGMENTATION, lambda voxels: voxels * 0),
        "no lymph node is segmented, and without nodes there is no prediction",
    ),
    "half labels": (
        edited(SEGMENTATION, lambda voxels: voxels.astype(np.float32) / 2),
        "voxels with fractions (0.5 to ",
    ),
    "another grid": (moved, "positive.mha does not lie on the grid of ct-image (origin ("),
    "a cut scan": (lambda roots: cut(image_of(roots, CT)), "positive.mha is cut off: its header promises"),
    "CT alone without a network": (
        ct_alone,
        "No lymph-node-segmentation was given, and the model folder holds no network that could make one",
    ),
    "no model": (lambda roots: (roots.model / "model.json").unlink(), "There is no model in "),
    "cut weights": (
        lambda roots: cut(roots.model / "bags.safetensors"),
        "bags.safetensors is not the file that was written",
    ),
    "a wrong description": (described_as, "is damaged: lymph-nodes.json"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_case_ends_with_one_sentence_and_nothing_half_written(
    roots: Roots, name: str, refused: Callable[..., str]
) -> None:
    spoil, sentence = BAD_INPUTS[name]
    spoil(roots)
    assert sentence in refused(FOLDER, roots, load_model, predict)
