from pathlib import Path

import pytest

from preop.errors import InvalidOutputError
from preop.folders import open_resumable_run


def test_the_same_settings_may_come_back_to_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cohort"
    open_resumable_run(folder, {"seed": 1, "small": True})
    (folder / "images").mkdir()
    open_resumable_run(folder, {"seed": 1, "small": True})


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    open_resumable_run(tmp_path, {"seed": 1, "patients": 10})
    with pytest.raises(InvalidOutputError, match="seed 1 instead of 2: name another folder"):
        open_resumable_run(tmp_path, {"seed": 2, "patients": 10})


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": 1, "patients": 10, "more": 0}'])
def test_a_damaged_note_of_the_settings_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "made_with.json").write_text(text)
    with pytest.raises(InvalidOutputError, match="other settings"):
        open_resumable_run(tmp_path, {"seed": 1, "patients": 10})


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(InvalidOutputError, match="expected an empty or new folder"):
        open_resumable_run(tmp_path, {"seed": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_path_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOutputError, match="cannot be written"):
        open_resumable_run(tmp_path / "file", {"seed": 1})
