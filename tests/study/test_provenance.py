"""A model is loaded only when it is whole and made for the algorithm."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.study import put_into_model, read_model_info


def test_a_model_comes_back_as_it_was_written(toy: Algorithm, toy_model: Path) -> None:
    info = read_model_info(toy_model, toy)
    assert info.algorithm == "toy"
    assert list(info.files) == ["weights.json"]
    assert sorted(path.name for path in toy_model.iterdir()) == ["model.json", "weights.json"]


def changed(key: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.json").unlink(), "There is no model in"),
        (
            lambda folder: (folder / "model.json").write_text('{"algorithm": "to'),
            "is damaged: model.json is not valid JSON",
        ),
        (lambda folder: (folder / "model.json").write_text("[]"), "is damaged: model.json"),
        (changed("algorithm", "other"), "was trained for other; this is toy"),
        (changed("colour", "blue"), "colour: Extra inputs are not permitted"),
        (changed("files", {"../../etc/passwd": "0"}), "which is not in its folder"),
        (lambda folder: (folder / "weights.json").unlink(), "is incomplete: weights.json is missing"),
        (changed("files", {}), "holds weights.json, which model.json does not list"),
        (lambda folder: (folder / "weights.json").write_text("{"), "weights.json is not the file that was written"),
    ],
)
def test_a_missing_damaged_or_foreign_model_is_refused(
    toy: Algorithm, toy_model: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(toy_model)
    with pytest.raises(InvalidModelError) as caught:
        read_model_info(toy_model, toy)
    assert sentence in str(caught.value)


def test_a_file_that_is_put_into_a_model_belongs_to_it_and_the_rest_stays(toy: Algorithm, toy_model: Path) -> None:
    before = read_model_info(toy_model, toy)
    for content in (b"{}", b"[1]"):  # put there first, and then replaced
        put_into_model(toy_model, toy, {"more.json": content})
        assert (toy_model / "more.json").read_bytes() == content
        after = read_model_info(toy_model, toy)
        assert after.files.keys() == {"weights.json", "more.json"}
        assert after.model_copy(update={"files": before.files}) == before


def test_nothing_is_put_into_what_is_no_model(toy: Algorithm, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(InvalidModelError, match="There is no model in"):
        put_into_model(folder, toy, {"more.json": b"{}"})
    assert list(folder.iterdir()) == []
