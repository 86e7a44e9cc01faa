"""A scan under two names is found in any format, and allowed only where a group says that it is one person."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preop.cohort import read_cohort, refuse_copies
from preop.cohort.copies import image_digests, read_elsewhere, voxel_digest
from preop.errors import InvalidInputError
from preop.folders import Contents
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image, reorient, write_image

pytestmark = pytest.mark.usefixtures("in_this_process")

GRID = Geometry.axis_aligned((3, 4, 5), (3.0, 1.0, 1.0))


def noise(seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(-1000, 1000, GRID.shape).astype(np.int16), GRID)


def copied(image: Image, path: Path) -> None:
    write_image(image, path)


def as_float_in_nifti(image: Image, path: Path) -> None:
    write_image(image.with_voxels(image.voxels.astype(np.float32)), path.with_suffix(".nii.gz"))


def turned(image: Image, path: Path) -> None:
    write_image(reorient(image, "SPR"), path)


def moved(image: Image, path: Path) -> None:
    other = Geometry.axis_aligned(GRID.shape, (2.0, 0.5, 0.5))
    write_image(Image(image.voxels, other), path.with_suffix(".nrrd"))


COPIES = [copied, as_float_in_nifti, turned, moved]


def table(folder: Path, copy: Callable[[Image, Path], None], groups: dict[int, str] | None = None) -> Path:
    """Thirty patients of pure noise, and copies of three of them under other names."""
    rows = ["patient,scan,group"]
    for number in range(33):
        path = folder / f"{number}.mha"
        (copy if number >= 30 else copied)(noise(number % 30), path)
        found = next(folder.glob(f"{number}.*"))
        rows.append(f"p{number},{found.name},{(groups or {}).get(number, '')}")
    (folder / "cohort.csv").write_text("\n".join(rows))
    return folder / "cohort.csv"


@pytest.mark.parametrize("copy", COPIES)
def test_copies_among_thirty_patients_of_noise_are_refused(
    toy: Algorithm, tmp_path: Path, copy: Callable[[Image, Path], None]
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        refuse_copies(read_cohort(table(tmp_path, copy), toy), Contents(tmp_path / "index.json"))
    assert "p0 and p30 (scan); p1 and p31 (scan); p2 and p32 (scan). Leave the copies out" in str(caught.value)


def test_copies_of_one_person_are_allowed(toy: Algorithm, tmp_path: Path) -> None:
    groups = {0: "a", 30: "a", 1: "b", 31: "b"}
    cohort = read_cohort(table(tmp_path, turned, groups | {32: "p2"}), toy)  # p2 itself states no group
    refuse_copies(cohort, Contents())
    with pytest.raises(InvalidInputError, match=r"p2 and p32 \(scan\)\. Leave"):
        refuse_copies(read_cohort(table(tmp_path, turned, groups), toy), Contents())


def test_empty_masks_and_scans_that_are_damaged_are_no_copies(toy: Algorithm, tmp_path: Path) -> None:
    empty = Image(np.zeros(GRID.shape, bool), GRID)
    for name in "ab":
        write_image(noise(ord(name)), tmp_path / f"{name}.mha")
        write_image(empty, tmp_path / f"{name}_mask.mha")
    (tmp_path / "c.mha").write_bytes(b"nothing")
    rows = ["patient,scan,mask,age,sex", *(f"{n},{n}.mha,{n}_mask.mha,50,male" for n in "ab"), "c,c.mha,,,"]
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    refuse_copies(read_cohort(tmp_path / "cohort.csv", toy), Contents())


def test_on_a_cluster_a_patient_is_read_once_in_one_task_and_nothing_is_read_here(
    toy: Algorithm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preop.folders.contents.SETTLED_S", 0.0)
    rows = ["patient,scan"]
    for number in range(4):
        copied(noise(number), tmp_path / f"{number}.mha")
        rows.append(f"p{number},{number}.mha")
    (tmp_path / "0.mha").write_bytes(b"no image")
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    cohort, contents = read_cohort(tmp_path / "cohort.csv", toy), Contents()
    tasks = []

    def elsewhere(function, items, *, description):
        for item in items:
            tasks.append(item)
            yield item, function(item)

    def nowhere(function, items, *, description):
        assert not [item for item in items if item.name != "0.mha"]
        yield from ()

    read_elsewhere(cohort, contents, elsewhere, voxels=True)
    assert len(tasks) == 4
    refuse_copies(cohort, contents, mapped=nowhere)
    digests = image_digests(cohort, contents, mapped=nowhere)
    assert digests == {"p0": [], **{f"p{number}": [voxel_digest(tmp_path / f"{number}.mha")] for number in (1, 2, 3)}}
    read_elsewhere(cohort, contents, elsewhere, voxels=True)
    assert len(tasks) == 4
    copied(noise(9), tmp_path / "3.mha")
    read_elsewhere(cohort, contents, elsewhere, voxels=True)
    assert len(tasks) == 5
