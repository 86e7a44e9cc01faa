"""Names of people become names of folders that any system takes, that can be read, and of which no two are alike."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.folders import folder_names


@pytest.mark.parametrize("name", ["STS_001", "a", "p-12", "1.2.840.113619", "_x"])
def test_a_safe_name_stays(name: str) -> None:
    assert folder_names([name])[name] == name


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("../x", "x-"),
        ("/etc/passwd", "etc_passwd-"),
        ("a\x00b", "a_b-"),
        ("x" * 300, "x" * 60 + "-"),
        ("ü" * 300, "ü" * 60 + "-"),
        ("CON", "CON-"),
        ("nul.txt", "nul_txt-"),
        ("com1", "com1-"),
        ("predictions.json", "predictions_json-"),
        ("made_with.json", "made_with_json-"),
        ("a.", "a-"),
        ("a ", "a-"),
        (".hidden", "hidden-"),
        ("..", "unnamed-"),
        ("-rf", "rf-"),
        ("Müller, Anna", "Müller_Anna-"),
        ("a\nb", "a_b-"),
        ("患者", "患者-"),
        ("a\\b:c*d", "a_b_c_d-"),
    ],
)
def test_another_name_is_made_safe_and_stays_readable(name: str, begins: str) -> None:
    made = folder_names([name])[name]
    assert made.startswith(begins)
    assert len(made) == len(begins) + 8


def test_names_that_differ_only_in_capitals_or_in_how_letters_are_composed_get_folders_of_their_own() -> None:
    names = ["a", "A", "Stra\u00dfe", "STRASSE", "\u00e9", "e\u0301", "../x", "x"]
    made = folder_names(names)
    assert len({folder.casefold() for folder in made.values()}) == len(names)


def test_a_name_that_looks_like_a_made_one_stays_apart() -> None:
    made = folder_names(["../x"])["../x"]
    both = folder_names(["../x", made])
    assert both["../x"] != both[made]


@given(st.lists(st.text(max_size=80), min_size=1, max_size=20))
def test_every_name_is_one_folder_below_and_none_is_shared(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    made = folder_names(names)
    root = tmp_path_factory.mktemp("names")
    for folder in made.values():
        assert (root / folder).parent == root
        assert set(folder) & set(string.whitespace + '/\\:*?<>|"\x00') == set()
        assert len(folder.encode()) <= 140
        (Path(root) / folder).mkdir()
