"""Checksums of what images hold: nothing that changed is missed, and what stayed is not read again."""

import hashlib
import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.folders import Contents, contents, files_of


def age(path: Path, seconds: float = 10) -> None:
    """Make a file look as if it had been left alone for a while; its time of change cannot be set, so that is waited for."""
    old = time.time() - seconds
    os.utime(path, (old, old))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust files at once."""
    monkeypatch.setattr(contents, "SETTLED_S", 0.0)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []

    def sha256(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(contents, "sha256", sha256)
    return read


@pytest.mark.usefixtures("settled")
def test_a_file_that_stayed_is_read_once_also_by_a_later_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = counted(monkeypatch)
    image, index = tmp_path / "a.mha", tmp_path / "index.json"
    image.write_bytes(b"voxels")
    known = Contents(index)
    first = known.of(image)
    known.save()
    assert first == hashlib.sha256(b"voxels").hexdigest() == Contents(index).of(image) == known.of(image)
    assert read == [image]


def test_a_file_that_was_just_written_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = counted(monkeypatch)
    image = tmp_path / "a.mha"
    image.write_bytes(b"voxels")
    known = Contents(tmp_path / "index.json")
    known.of(image)
    image.write_bytes(b"VOXELS")  # same size, perhaps the same tick of the clock
    assert known.of(image) == hashlib.sha256(b"VOXELS").hexdigest()
    assert len(read) == 2


@pytest.mark.usefixtures("settled")
def test_a_file_that_was_rewritten_with_its_old_size_and_time_is_noticed(tmp_path: Path) -> None:
    image = tmp_path / "a.mha"
    image.write_bytes(b"voxels")
    age(image)
    before = image.stat()
    known = Contents(tmp_path / "index.json")
    known.of(image)
    time.sleep(0.02)
    image.write_bytes(b"VOXELS")
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known.of(image) == hashlib.sha256(b"VOXELS").hexdigest()


def test_the_slices_of_a_folder_count_with_their_names(tmp_path: Path) -> None:
    series = tmp_path / "series"
    (series / "below").mkdir(parents=True)
    for name in ("1.dcm", "below/2.dcm"):
        (series / name).write_bytes(name.encode())
    first = Contents().of(series)
    (series / "below" / "2.dcm").write_bytes(b"other")
    changed = Contents().of(series)
    (series / "below" / "2.dcm").rename(series / "below" / "3.dcm")
    assert len({first, changed, Contents().of(series)}) == 3


META = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"


def test_either_file_of_a_nifti_pair_brings_the_other(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "a.hdr")
    pair = [tmp_path / "a.hdr", tmp_path / "a.img"]
    assert files_of(pair[0]) == files_of(pair[1]) == pair


@pytest.mark.parametrize(
    ("name", "header", "beside"),
    [
        ("a.mhd", META + "ElementDataFile = a.raw\n", ["a.raw"]),
        ("a.MHD", META + "ElementDataFile=voxels/a.zraw\n", ["voxels/a.zraw"]),
        ("a.mhd", META + "ElementDataFile = LIST\n1.raw\n2.raw\n", ["1.raw", "2.raw"]),
        ("a.mhd", META + "ElementDataFile = s%03d.raw 1 2 1\n", ["s001.raw", "s002.raw"]),
        ("a.nhdr", "NRRD0004\ndata file: a.raw.gz\n", ["a.raw.gz"]),
        ("a.mrxs", "", ["a/Data0001.dat", "a/Slidedat.ini"]),
        ("a.mha", META + "ElementDataFile = LOCAL\n", []),
    ],
)
def test_an_image_is_all_its_files(tmp_path: Path, name: str, header: str, beside: list[str]) -> None:
    for each in beside:
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).write_bytes(b"0")
    image = tmp_path / name
    image.write_text(header)
    assert files_of(image) == sorted([image, *(tmp_path / each for each in beside)])
    before = Contents().of(image)
    for each in beside:
        (tmp_path / each).write_bytes(b"1")
        after = Contents().of(image)
        assert after != before
        before = after


def test_a_damaged_index_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{")
    (tmp_path / "a").write_bytes(b"1")
    assert Contents(tmp_path / "index.json").of(tmp_path / "a") == hashlib.sha256(b"1").hexdigest()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist, or holds no file"):
        Contents().of(tmp_path / "none")
    with pytest.raises(InvalidInputError, match="does not exist, or holds no file"):
        Contents().of(tmp_path)


@pytest.mark.usefixtures("settled")
def test_what_was_computed_of_an_image_is_remembered_under_its_content(tmp_path: Path) -> None:
    image, index = tmp_path / "a", tmp_path / "index.json"
    image.write_bytes(b"1")
    known = Contents(index)
    assert known.derived(image, "length", lambda path: str(path.stat().st_size)) == "1"
    known.save()
    assert Contents(index).known(image, "length") == "1"
    image.write_bytes(b"22")
    assert Contents(index).known(image, "length") is None


def test_a_header_of_any_ending_brings_its_voxels(tmp_path: Path) -> None:
    (tmp_path / "scan.mha").write_text(META + "ElementDataFile = voxels.raw\n")
    (tmp_path / "voxels.raw").write_bytes(bytes(8))
    before = Contents().of(tmp_path / "scan.mha")
    (tmp_path / "voxels.raw").write_bytes(bytes([1] * 8))
    assert Contents().of(tmp_path / "scan.mha") != before
