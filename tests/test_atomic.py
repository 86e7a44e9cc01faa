"""What is written is complete or not there; what is moved is moved whole or not at all."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from preop.atomic import move_all, remove_leftovers, replacing, replacing_folder, write_text


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert tree(tmp_path) == {"a.txt": "new"}


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def interrupted() -> None:
        with replacing(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tree(tmp_path) == {"a.txt": "old"}


def test_a_folder_takes_the_place_of_another_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_text(tmp_path / "a" / "old", "old")
    with replacing_folder(tmp_path / "a") as partial:
        write_text(partial / "new", "new")
    assert tree(tmp_path) == {"a/new": "new"}


def laid_out(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Three new outputs: one replaces a file, one a folder, one is new two folders down."""
    new, out = tmp_path / "new", tmp_path / "out"
    for path, text in {
        new / "1": "1",
        new / "2" / "x": "2",
        new / "3": "3",
        out / "1": "old 1",
        out / "2" / "y": "old 2",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [(new / "1", out / "1"), (new / "2", out / "2"), (new / "3", out / "deep" / "er" / "3")]


def test_all_are_moved(tmp_path: Path) -> None:
    move_all(laid_out(tmp_path))
    assert tree(tmp_path) == {"out/1": "1", "out/2/x": "2", "out/deep/er/3": "3"}
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", range(5))
def test_whichever_move_fails_everything_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
) -> None:
    moves = laid_out(tmp_path)
    before = tree(tmp_path)
    replace, calls = Path.replace, iter(range(100))

    def failing_once(self: Path, target: Any) -> Path:
        if next(calls) == failing:
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing_once)
    with pytest.raises(type(error)):
        move_all(moves)
    assert tree(tmp_path) == before
    assert not (tmp_path / "out" / "deep").exists()
    assert not list(tmp_path.rglob(".*"))


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".partial-abc").mkdir()
    write_text(tmp_path / ".partial-abc" / "x", "half")
    write_text(tmp_path / ".hidden", "mine")
    shutil.copy(tmp_path / ".hidden", tmp_path / ".partial-file")
    remove_leftovers(tmp_path)
    assert tree(tmp_path) == {".hidden": "mine"}
