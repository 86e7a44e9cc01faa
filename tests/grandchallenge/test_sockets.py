"""What is asked of the platform is what its form takes; sockets that exist there can stand for ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import ValidationError
from typer.testing import CliRunner

from preop.cli.commands import app
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm, with_stand_ins
from preop.grandchallenge.cases import read_case
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.results import are_outputs_of
from preop.grandchallenge.sockets import compare, describe, interface_requests, request_of, requests, title_of
from preop.imaging import Image
from tests.conftest import ROOT, scan_of
from tests.grandchallenge.platform_rules import refusals

STUDIES = sorted(path.parent.name for path in (ROOT / "algorithms").glob("*/algorithm.toml"))
STAND_INS = """
[scan]
slug = "thorax-ct"
relative_path = "images/thorax"

[score]
slug = "risk"
relative_path = "risk.json"
"""


def study(name: str) -> Algorithm:
    return read_algorithm(ROOT / "algorithms" / name)


@pytest.mark.parametrize("name", STUDIES)
def test_every_socket_is_asked_for_as_the_form_takes_it(name: str) -> None:
    algorithm = study(name)
    for role, made in requests(algorithm, every=True).items():
        assert len(made) == len(algorithm.inputs if role == "inputs" else algorithm.outputs)
        for request in made:
            assert list(refusals(request)) == [], request["slug"]


def test_titles_and_paths_are_unique_over_all_studies_that_do_not_share_a_socket() -> None:
    made = [
        request for name in STUDIES for requested in requests(study(name), every=True).values() for request in requested
    ]
    by_slug: dict[str, dict[str, Any]] = {}
    for request in made:
        same = by_slug.setdefault(request["slug"], request)
        assert {**same, "description": ""} == {**request, "description": ""}, request["slug"]
    assert len({request["relative_path"] for request in by_slug.values()}) == len(by_slug)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"overlay_segments": {"tumour": 1}}, "overlay_segments"),
        ({"overlay_segments": []}, "overlay_segments"),
        ({"overlay_segments": [{"name": "a", "voxel_value": 2, "visible": True}]}, "not contiguous"),
        ({"relative_path": "tumour.mha"}, "images/ is for images"),
        ({"relative_path": "images/tumour.mha"}, "is a folder"),
        ({"title": "Tumour"}, "does not give the slug"),
        ({"store_in_database": True}, "store_in_database"),
        ({"schema": {"type": "nothing"}}, "schema"),
    ],
)
def test_the_rules_refuse_what_the_platform_does(change: dict[str, Any], refusal: str) -> None:
    algorithm = study("sarcoma_lung_metastasis")
    request = request_of(algorithm, algorithm.input("ct-tumour-segmentation"))
    assert [found for found in refusals({**request, **change}) if refusal in found]


def test_limits_become_a_schema_that_refuses_what_the_algorithm_does() -> None:
    likelihood = request_of(algorithm := study("bladder_lymph_nodes"), algorithm.outputs[0])["schema"]
    assert Draft7Validator(likelihood).is_valid(0.3)
    assert not Draft7Validator(likelihood).is_valid(7)
    stage = request_of(algorithm := study("lung_nodal_stage"), algorithm.output("n-stage"))["schema"]
    assert Draft7Validator(stage).is_valid("N2a")
    assert not Draft7Validator(stage).is_valid("N9")


def test_large_lists_are_kept_as_files() -> None:
    algorithm = study("lung_nodal_stage")
    stored = {request["slug"]: request["store_in_database"] for request in requests(algorithm)["outputs"]}
    assert (stored["lymph-nodes"], stored["n-stage"], stored["n-stage-chart"], stored["lesions"]) == (
        False,
        True,
        True,
        False,
    )


def test_what_is_only_counted_is_asked_for_as_a_segmentation() -> None:
    algorithm = study("bladder_lymph_nodes")
    request = request_of(algorithm, algorithm.input("lymph-node-segmentation"))
    assert request["kind"] == "Segmentation"
    assert [segment["voxel_value"] for segment in request["overlay_segments"]] == list(range(1, 256))
    for kind in ("Segmentation", "Image"):
        there = {
            **request,
            "kind": kind,
            "overlay_segments": request["overlay_segments"] if kind == "Segmentation" else [],
        }
        assert "lymph-node-segmentation: exists and can be used." in compare(algorithm, [there])


def test_titles_keep_the_capitals_of_the_field() -> None:
    assert [title_of(slug) for slug in ("ct-image", "t1-mri", "n-stage")] == ["CT image", "T1 MRI", "N stage"]


def test_few_interfaces_are_asked_for_first() -> None:
    sarcoma = study("sarcoma_lung_metastasis")
    assert len(interface_requests(sarcoma)) == 3
    assert len(interface_requests(sarcoma, every=True)) == len(sarcoma.interfaces) == 484
    assert len(sarcoma.outlined_interfaces) == 62
    for name in STUDIES:
        assert len(interface_requests(study(name))) <= 4


def test_a_core_that_is_no_interface_is_refused(toy: Algorithm) -> None:
    path = toy.folder / "algorithm.toml"
    path.write_text('core = [["mask"]]\n' + path.read_text())
    with pytest.raises(InvalidInputError, match="core names mask, which is none of the interfaces"):
        read_algorithm(toy.folder)


@pytest.fixture
def mapped(toy: Algorithm) -> Algorithm:
    """The toy with sockets of the platform in place of two of its own."""
    (toy.folder / "sockets.toml").write_text(STAND_INS)
    return read_algorithm(toy.folder)


def test_a_socket_of_the_platform_stands_for_ours(
    mapped: Algorithm, lay_out: Callable[..., Path], tmp_path: Path
) -> None:
    root = lay_out(mapped, scan=scan_of())
    inputs = root / "inputs.json"
    content = json.loads(inputs.read_text())
    for item in content:
        item["socket"] = {**item["socket"], "slug": mapped.platform_slug(item["socket"]["slug"])}
    inputs.write_text(json.dumps(content))
    assert [item["socket"]["slug"] for item in content] == ["thorax-ct"]
    case = read_case(mapped, root)
    assert case.interface == ("scan",)
    scan: Image = case.image("scan")
    outputs = {
        "score": 0.5,
        "regions": scan.with_voxels(scan.voxels.astype("uint8") * 0),
        "heat": scan.with_voxels(scan.voxels.astype("float32")),
    }
    target = tmp_path / "out"
    target.mkdir()
    write_outputs(outputs, case, target)
    assert json.loads((target / "risk.json").read_text()) == 0.5
    assert not (target / "score.json").exists()
    assert are_outputs_of(mapped, target)


def test_what_stands_in_is_not_asked_for(mapped: Algorithm) -> None:
    made = requests(mapped)
    assert [request["slug"] for request in made["inputs"]] == ["mask", "facts"]
    assert [request["slug"] for request in made["outputs"]] == ["regions", "heat"]
    assert interface_requests(mapped)[0] == {"inputs": ["thorax-ct"], "outputs": ["risk", "regions", "heat"]}


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('[skan]\nslug = "x"', "toy has no socket skan"),
        ('[scan]\nslug = "mask"', "two sockets of toy would be called mask"),
        ('[score]\nslug = "x"\nrelative_path = "images/x"', "is a .json file outside of images/"),
        ('[score]\nslug = "x"\nrelative_path = "../x.json"', "without '..'"),
        ('[scan]\nslug = "Thorax CT"', "scan.slug"),
        ('[scan]\nname = "x"', "scan.slug: Field required"),
        ("[scan", "is not valid TOML"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(toy: Algorithm, tmp_path: Path, toml: str, sentence: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(toml)
    with pytest.raises(InvalidInputError) as caught:
        with_stand_ins(toy, path)
    assert sentence in str(caught.value)
    assert "map.toml" in str(caught.value)


def test_the_platforms_list_says_what_is_there_and_what_is_in_the_way(mapped: Algorithm) -> None:
    existing = [
        {"slug": "thorax-ct", "kind": "Image", "relative_path": "images/thorax", "overlay_segments": []},
        {"slug": "mask", "kind": "Image", "relative_path": "images/mask"},
        {"slug": "other", "kind": "Anything", "relative_path": "facts.json"},
        {
            "slug": "regions",
            "kind": "Segmentation",
            "relative_path": "images/regions",
            "overlay_segments": [{"name": "one", "voxel_value": 1, "visible": True}],
        },
    ]
    said = dict(sentence.split(": ", 1) for sentence in compare(mapped, existing))
    assert said["thorax-ct"] == "exists and can be used."
    assert said["mask"].startswith("exists with the kind Image, not Segmentation")
    assert said["facts"] == "its path facts.json is taken by other; let that stand for it."
    assert said["regions"].startswith("exists with the segments {'one': 1}")
    assert said["risk"] == "does not exist, though it is to stand for score."
    assert said["heat"] == "has to be made."
    with pytest.raises(InvalidInputError, match="is not the platform's"):
        compare(mapped, [{"name": "x"}])


def test_the_command_prints_writes_and_keeps(toy: Algorithm, tmp_path: Path) -> None:
    folder = shutil.copytree(toy.folder, tmp_path / "copy" / "toy")
    mapping, written = tmp_path / "map.toml", tmp_path / "requests.json"
    mapping.write_text(STAND_INS)
    words = ["sockets", str(folder), "--sockets", str(mapping), "--output", str(written), "--keep"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "title: Mask" in done.output
    assert "thorax-ct (in place of scan)" in done.output
    assert json.loads(written.read_text())["interfaces"][0]["inputs"] == ["thorax-ct"]
    assert read_algorithm(folder).own_slug("risk") == "score"
    mapping.write_text(STAND_INS.replace("risk", "danger"))
    refused = CliRunner().invoke(app, [*words[:4], "--keep"])
    assert isinstance(refused.exception, InvalidOutputError)
    assert "exists already with other content" in str(refused.exception)


def test_features_are_asked_for_with_all_interfaces_and_kept_as_a_file() -> None:
    bladder = study("bladder_lymph_nodes")
    slug = "lymph-node-features"
    assert slug not in {request["slug"] for request in requests(bladder)["inputs"]}
    (made,) = (request for request in requests(bladder, every=True)["inputs"] if request["slug"] == slug)
    assert (made["kind"], made["store_in_database"]) == ("Anything", False)
    assert bladder.input(slug).super_kind == "File"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"features_of": "none"}, "holds features of the unknown input none"),
        ({"kind": "String"}, "features_of is for an Anything that is made of no columns"),
        ({"columns": ["age"]}, "features_of is for an Anything that is made of no columns"),
    ],
)
def test_features_belong_to_an_input_and_are_no_columns(change: dict[str, object], sentence: str) -> None:
    bladder = study("bladder_lymph_nodes")
    known = {name: getattr(bladder, name) for name in Algorithm.model_fields}
    inputs = [{**dict(socket), **(change if socket.features_of else {})} for socket in bladder.inputs]
    with pytest.raises(ValidationError, match=sentence):
        Algorithm.model_validate({**known, "inputs": inputs})


def test_what_a_network_draws_is_an_output_only_where_it_was_not_given() -> None:
    sarcoma = study("sarcoma_lung_metastasis")
    asked = {tuple(each["inputs"]): each["outputs"] for each in interface_requests(sarcoma, every=True)}
    always = [socket.slug for socket in sarcoma.outputs if not socket.stands_for]
    assert asked["ct-image", "ct-tumour-segmentation"] == always
    assert asked["ct-image",] == [*always, "ct-tumour-proposal"]
    assert asked["ct-image", "pet-image", "pet-tumour-segmentation"] == [*always, "ct-tumour-proposal"]
    core = [request["slug"] for request in requests(sarcoma)["outputs"]]
    assert core == always
    assert "2. inputs: ct-image, ct-tumour-segmentation\n" in describe(sarcoma, every=True)
    assert "1. inputs: ct-image; also as outputs: ct-tumour-proposal\n" in describe(sarcoma, every=True)
