"""The description of an algorithm obeys the platform's rules for sockets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from tests.conftest import ROOT, TOY_TOML


def test_every_algorithm_of_the_house_is_described() -> None:
    described = [read_algorithm(path.parent) for path in (ROOT / "algorithms").glob("*/algorithm.toml")]
    assert described
    for algorithm in described:
        assert (ROOT / "requirements" / f"{algorithm.requirements}.txt").is_file()
        for slug, schema in algorithm.json_schemas.items():
            declared = algorithm.input(slug).columns
            assert not declared or set(declared) == set(schema["properties"])


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda toml: toml.replace("images/heat", "heat"), "folder below images/"),
        (lambda toml: toml.replace("images/heat", "images/heat.mha"), "folder below images/"),
        (lambda toml: toml.replace("score.json", "images/score.json"), "outside of images/"),
        (lambda toml: toml.replace("score.json", "score.txt"), "is a .json file"),
        (lambda toml: toml.replace('"Float"', '"Thumbnail jpg"'), "of a Thumbnail jpg is a .jpeg file"),
        (
            lambda toml: toml.replace('"Anything"', '"Thumbnail jpg"').replace("facts.json", "facts.jpeg"),
            "facts is a thumbnail, which can only be an output",
        ),
        (lambda toml: toml.replace("score.json", "../score.json"), "without '..'"),
        (lambda toml: toml.replace("three = 3", "three = 4"), "consecutive numbers with the background 0"),
        (lambda toml: toml.replace("overlay_segments = { inside = 1 }", ""), "names its labels in overlay_segments"),
        (
            lambda toml: toml.replace('description = "A scan."', 'description = "A scan."\ninstances = 9'),
            "instances are for an Image that is a segmentation_of a scan",
        ),
        (lambda toml: toml.replace("images/heat", "images/regions"), "a relative_path stands twice"),
        (lambda toml: toml.replace('["scan"],', '["skan"],'), "an interface names the unknown input skan"),
        (lambda toml: toml.replace('"Heat Map"', '"Heatmap"'), "outputs.2.kind"),
        (lambda toml: toml.replace('slug = "heat"', 'slug = "score"'), "a slug stands twice"),
        (lambda toml: toml.replace('slug = "heat"', 'slug = "Heat"'), "outputs.2.slug"),
        (lambda toml: toml.replace('name = "toy"', 'name = "other"'), "the folder is called toy, not other"),
        (
            lambda toml: toml.replace('description = "Labels."', 'description = "Labels."\nstands_for = "facts"'),
            "regions stands for facts, which is no segmentation of the same scan",
        ),
        (
            lambda toml: toml.replace('description = "Its mask."', 'description = "Its mask."\nstands_for = "mask"'),
            "mask is an input; only an output stands for a segmentation that is not given",
        ),
        (lambda toml: toml + "colour = 1", "colour: Extra inputs are not permitted"),
        (lambda toml: toml.replace("[[inputs]]", "[[inputs]"), "is not valid TOML"),
    ],
)
def test_a_description_that_breaks_a_rule_is_refused(toy: Algorithm, edit: Callable[[str], str], sentence: str) -> None:
    changed = edit(TOY_TOML)
    assert changed != TOY_TOML
    (toy.folder / "algorithm.toml").write_text(changed)
    with pytest.raises(InvalidInputError) as caught:
        read_algorithm(toy.folder)
    assert sentence in str(caught.value)


def test_interfaces_can_be_told_by_what_they_are_combined_of(toy: Algorithm) -> None:
    listed = 'interfaces = [["scan"], ["scan", "mask"], ["scan", "mask", "facts"]]'
    table = 'interfaces = {{ any_of = [["scan"], ["mask"]], optional = [{}] }}'
    path = toy.folder / "algorithm.toml"
    path.write_text(TOY_TOML.replace(listed, table.format('"facts"')))
    assert read_algorithm(toy.folder).interfaces == (
        ("scan",),
        ("scan", "facts"),
        ("mask",),
        ("mask", "facts"),
        ("scan", "mask"),
        ("scan", "mask", "facts"),
    )
    path.write_text(TOY_TOML.replace(listed, table.format('"mask"').replace('["scan"], ["mask"]', '["scan", "mask"]')))
    assert read_algorithm(toy.folder).interfaces == (("scan",), ("scan", "mask"))
    path.write_text(TOY_TOML.replace(listed, table.format('"fact"')))
    with pytest.raises(InvalidInputError, match="an interface names the unknown input fact"):
        read_algorithm(toy.folder)
    path.write_text(TOY_TOML.replace(listed, "interfaces = { optional = [] }"))
    with pytest.raises(InvalidInputError, match=r"interfaces\.any_of: Field required"):
        read_algorithm(toy.folder)


def test_a_mask_has_as_many_segments_as_the_platform_takes(toy: Algorithm) -> None:
    for most in (255, 256):
        segments = ", ".join(f"s{value} = {value}" for value in range(1, most + 1))
        text = TOY_TOML.replace("{ inside = 1 }", f"{{ {segments} }}")
        (toy.folder / "algorithm.toml").write_text(text)
        if most == 255:
            assert len(read_algorithm(toy.folder).input("mask").overlay_segments) == 255
        else:
            with pytest.raises(InvalidInputError, match="at most 256"):
                read_algorithm(toy.folder)


def test_a_folder_without_a_description_is_no_algorithm(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"holds no algorithm\.toml"):
        read_algorithm(tmp_path)
