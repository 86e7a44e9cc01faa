"""The description of a model is read complete, or refused with a sentence."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from preop.errors import InvalidModelError
from preop.study import Range, read_description


class Network(BaseModel):
    """Has a default, as settings of a training do."""

    channels: tuple[int, ...] = (4, 8)
    depth: int


class Description(BaseModel):
    network: Network
    sizes: dict[str, Range]


WHOLE = '{"network": {"channels": [2], "depth": 1}, "sizes": {"a": {"low": 1, "high": 2.5}}}'


def test_a_description_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(WHOLE)
    read = read_description(tmp_path, "d.json", Description)
    assert read.network.channels == (2,)
    assert 2.5 in read.sizes["a"]
    assert str(read.sizes["a"]) == "1 to 2.5"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"channels": [2], ', "", r"d\.json, network\.channels: Field required\."),
        ('"depth": 1', '"depth": "1"', r"network\.depth: Input should be a valid integer"),
        ('"low": 1', '"low": "1"', r"sizes\.a\.low: Input should be a valid number"),
        ('"low": 1, ', "", r"sizes\.a\.low: Field required"),
        (WHOLE, "{", "is damaged: d.json"),
    ],
)
def test_what_is_missing_or_of_another_type_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    (tmp_path / "d.json").write_text(WHOLE.replace(old, new))
    with pytest.raises(InvalidModelError, match=sentence):
        read_description(tmp_path, "d.json", Description)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"is incomplete: d\.json is missing"):
        read_description(tmp_path, "d.json", Description)
