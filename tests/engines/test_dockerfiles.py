"""Images of the same packages share their layers: Dockerfiles say what they have in common in the same words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(
    [*ROOT.glob("algorithms/*/Dockerfile"), ROOT / "evaluation" / "Dockerfile", ROOT / "review" / "Dockerfile"]
)
PARTS = "# --- Here the images part ---"


def shared_part(dockerfile: Path) -> str:
    text = dockerfile.read_text(encoding="utf-8")
    assert text.count(PARTS) == 1, dockerfile
    return text.split("\n", 1)[1].split(PARTS)[0]  # without the first line, which names the program to build


def lock_of(part: str) -> str:
    (lock,) = re.findall(r"^ARG LOCK=(\w+)$", part, re.MULTILINE)
    return lock


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfiles_of_one_lock_are_the_same_until_the_images_part(dockerfile: Path) -> None:
    part = shared_part(dockerfile)
    of_the_lock = [shared_part(other) for other in DOCKERFILES if lock_of(shared_part(other)) == lock_of(part)]
    assert {part} == set(of_the_lock)


def test_dockerfiles_of_different_locks_differ_by_the_lock_and_by_what_is_compiled_ahead() -> None:
    def without_lock(part: str) -> str:
        lines = part.replace(f"ARG LOCK={lock_of(part)}", "ARG LOCK=").splitlines()
        return "\n".join(line for line in lines if "warm_up" not in line and "Loops over voxels" not in line)

    assert len({without_lock(shared_part(dockerfile)) for dockerfile in DOCKERFILES}) == 1
