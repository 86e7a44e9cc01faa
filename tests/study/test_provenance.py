"""A model is loaded only when it is whole and made for the algorithm."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies, put_into_model, read_model_info, register, write_model

ROOT = Path(__file__).parents[2]


def test_a_model_comes_back_as_it_was_written(toy: Algorithm, toy_model: Path) -> None:
    info = read_model_info(toy_model, toy)
    assert info.algorithm == "toy"
    assert list(info.files) == ["weights.json"]
    assert sorted(path.name for path in toy_model.iterdir()) == ["model.json", "weights.json"]


def with_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x")


def sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


def linked(path: Path) -> None:
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


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
        (changed("files", {}), "files: Dictionary should have at least 1 item"),
        (lambda folder: (folder / "more.json").write_text("{}"), "holds more.json, which model.json does not list"),
        (lambda folder: (folder / ".more").write_text("{}"), "holds .more, which model.json does not list"),
        (lambda folder: with_file(folder / "fold_1" / "x.pth"), "holds fold_1/x.pth, which model.json does not list"),
        (lambda folder: (folder / "more").symlink_to("/etc"), "more is a link; expected plain files"),
        (lambda folder: linked(folder / "weights.json"), "weights.json is a link; expected plain files"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe is neither a file nor a folder"),
        (
            lambda folder: os.truncate(folder / "weights.json", 300_000_000),
            "300 MB in weights.json; expected at most 256",
        ),
        (lambda folder: sparse(folder / "x", 11 * 10**9), "holds more than 10 GB or 10,000 files"),
        (changed("seed", 1e999), "is not valid JSON"),
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


def test_what_file_managers_leave_behind_does_no_harm(toy: Algorithm, toy_model: Path) -> None:
    (toy_model / ".DS_Store").write_bytes(b"x")
    assert read_model_info(toy_model, toy)


@pytest.mark.parametrize("study", find_studies(ROOT / "algorithms"), ids=lambda study: study.name)
def test_every_file_of_every_model_is_listed(study: Algorithm, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(study.folder / "model", model)
    listed = read_model_info(model, study, None).files
    for name in listed:
        content = (model / name).read_bytes()
        (model / name).write_bytes(content[:-1])
        with pytest.raises(InvalidModelError, match="is not the file that was written"):
            read_model_info(model, study, None)
        (model / name).write_bytes(content)


def test_networks_put_into_a_model_load_once_they_are_registered(toy: Algorithm, toy_model: Path) -> None:
    with_networks = toy.model_copy(update={"networks": {"organs": "draws organs"}})
    with_file(toy_model / "organs" / "plans.json")
    with pytest.raises(
        InvalidModelError, match=r"organs/plans\.json, which model\.json does not list: .*preop register"
    ):
        read_model_info(toy_model, with_networks)
    assert register(toy_model, with_networks) == ["organs/ (draws organs): 1 file listed, 0 before."]
    assert list(read_model_info(toy_model, with_networks).files) == ["weights.json", "organs/plans.json"]
    assert register(toy_model, with_networks) == []


def test_nothing_but_networks_is_registered(toy: Algorithm, toy_model: Path) -> None:
    with_file(toy_model / "organ" / "plans.json")
    with pytest.raises(InvalidModelError, match=r"organ/plans\.json, which model\.json does not list"):
        register(toy_model, toy.model_copy(update={"networks": {"organs": "draws organs"}}))


def test_a_model_whose_writing_fails_is_not_there(toy: Algorithm, toy_model: Path, tmp_path: Path) -> None:
    info = read_model_info(toy_model, toy).model_dump(exclude={"files"})
    with pytest.raises(FileNotFoundError):
        write_model(tmp_path / "new", info, {"a.json": b"{}", "b.json": tmp_path / "missing"})
    assert list((tmp_path / "new").iterdir()) == []
