"""Files of features: read as numbers, or refused in one sentence."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from preop.errors import InvalidInputError
from preop.stored_features import StoredFeatures, read_arrays, read_features

VALUES = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -3.0]], dtype=np.float16)
LABELS = np.array([4, 2])


def test_safetensors_and_npz_hold_the_same(tmp_path: Path) -> None:
    save_file({"features": VALUES, "labels": LABELS}, tmp_path / "a.safetensors", metadata={"encoder": "E 1"})
    np.savez(tmp_path / "a.npz", features=VALUES, labels=LABELS, encoder="E 1")
    for name in ("a.safetensors", "a.npz"):
        found = read_features(tmp_path / name)
        assert (found.encoder, found.labels, found.values.dtype) == ("E 1", (4, 2), np.float32)
        np.testing.assert_array_equal(found.values, VALUES)


def test_rows_are_found_by_label_whatever_their_order() -> None:
    found = StoredFeatures.checked("", LABELS, VALUES)
    np.testing.assert_array_equal(found.rows([2, 4]), VALUES[::-1])


def test_a_value_gives_the_same_features_again() -> None:
    found = StoredFeatures.checked("E", LABELS, VALUES)
    again = StoredFeatures.of_json(found.to_json())
    assert (again.encoder, again.labels) == ("E", (4, 2))
    np.testing.assert_array_equal(again.values, found.values)


@pytest.mark.parametrize(
    ("labels", "values", "sentence"),
    [
        (LABELS, VALUES[0], "expected fractions of the shape"),
        (LABELS, VALUES.astype(int), "features is int64 of the shape"),
        (LABELS, VALUES[:, :0], "expected fractions of the shape"),
        (LABELS[:0], VALUES[:0], "expected fractions of the shape"),
        (LABELS[:1], VALUES, "expected a whole number for each of the 2 rows"),
        (LABELS.astype(float), VALUES, "expected a whole number for each of the 2 rows"),
        ([2, 2], VALUES, "or one twice"),
        ([0, 1], VALUES, "a number below 1"),
        (LABELS, np.where(VALUES == 2, np.nan, VALUES), "holds 1 numbers that are not finite"),
        (LABELS, VALUES.astype(float) * 1e300, "holds 6 numbers that are not finite in 32 bits"),
    ],
)
def test_arrays_that_are_no_features_are_refused(labels: Any, values: Any, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        StoredFeatures.checked("", labels, values)


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="rows of different length"):
        StoredFeatures.of_json({"labels": [1, 2], "features": [[1.0], [1.0, 2.0]]})


@pytest.mark.parametrize(
    ("structures", "drawn", "sentence"),
    [
        ([2, 4, 5], [2, 4, 5], "2 lymph nodes, and 3 in the nodes; the first without features is 5"),
        ([2], [2], "the first that is not in the segmentation is 4"),
    ],
)
def test_missing_and_surplus_structures_are_named(structures: list[int], drawn: list[int], sentence: str) -> None:
    found = StoredFeatures.checked("", LABELS, VALUES)
    with pytest.raises(InvalidInputError, match=sentence):
        found.check_labels(structures, drawn, segmentation="nodes", structure="lymph node")


def test_a_speck_that_is_no_structure_may_have_features() -> None:
    StoredFeatures.checked("", LABELS, VALUES).check_labels([2], [2, 4], segmentation="nodes", structure="lymph node")


class _Runs:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_npz_with_objects_of_python_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("bad.npz", features=np.array([_Runs()], dtype=object), labels=LABELS)
    with pytest.raises(InvalidInputError, match=r"bad\.npz is damaged, or holds what is no array of numbers"):
        read_features(Path("bad.npz"))
    assert not Path("ran").exists()


def _npz_that_claims(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("features.npy", header.getvalue())
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.safetensors", b"", "is damaged"),
        ("a.safetensors", b"\xff" * 64, "is damaged"),
        ("a.npz", b"", "is damaged"),
        ("a.npz", pickle.dumps([1]), "is damaged"),
        ("a.npz", _npz_that_claims((10**12, 8)), "is damaged"),
        ("a.npz", _npz_that_claims((3, 8)), "is damaged"),
        ("a.pt", b"", r"expected one that ends in \.safetensors or \.npz"),
    ],
    # A zip says when it was made: bytes as names would differ between the processes that run the tests.
    ids=["empty", "not_safetensors", "empty_npz", "pickle", "claims_terabytes", "claims_more_than_there_is", "pt"],
)
def test_files_that_are_damaged_or_of_another_kind_are_refused(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=sentence):
        read_arrays(tmp_path / name)


def test_a_small_npz_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preop.stored_features.LARGEST_NPZ_BYTES", 10_000)
    np.savez_compressed(tmp_path / "a.npz", features=np.zeros((100, 100), np.float32), labels=np.arange(1, 101))
    with pytest.raises(InvalidInputError, match="unpacks to"):
        read_features(tmp_path / "a.npz")


def test_a_missing_file_and_a_missing_array_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_features(tmp_path / "none.safetensors")
    np.savez(tmp_path / "a.npz", features=VALUES)
    with pytest.raises(InvalidInputError, match=r"a\.npz holds features; expected the arrays features and labels"):
        read_features(tmp_path / "a.npz")
