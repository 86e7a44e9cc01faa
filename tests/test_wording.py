"""One thing is singular, and no other number is."""

from __future__ import annotations

import pytest

from preop.wording import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 metastases"), (1, "1 metastasis"), (2, "2 metastases"), (21, "21 metastases")]
)
def test_a_number_stands_with_its_noun(number: int, words: str) -> None:
    assert counted(number, "metastasis", "metastases") == words


def test_most_nouns_take_an_s() -> None:
    assert [counted(number, "detached part") for number in (1, 3)] == ["1 detached part", "3 detached parts"]
