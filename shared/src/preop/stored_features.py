"""Features that an encoder made of structures or tiles, as files hold them: safetensors or npz, which cannot run code.

A file of the features of a patient's structures holds two arrays, ``features`` (n, f) and ``labels`` (n,): one row a
structure, and its number in the segmentation. What the encoder is called stands in ``encoder``: in the metadata of
safetensors, as a text beside the arrays of npz.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError

FEATURES, LABELS, ENCODER = "features", "labels", "encoder"
LARGEST_NPZ_BYTES = 2**30
"""Unpacked: a small file of npz can claim any size."""
MOST_FEATURES = 16384
"""Of one structure: encoders give 2,048 or fewer."""
SUFFIXES = (".safetensors", ".npz")


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Features of a patient's structures.

    Attributes
    ----------
    encoder
        What made them, as the file says; "" where it does not.
    labels
        Number of each structure in the segmentation, as in the file.
    values
        One row a structure (n, f), float32.
    """

    encoder: str
    labels: tuple[int, ...]
    values: NDArray[np.float32]

    @classmethod
    def checked(cls, encoder: str, labels: Any, values: Any) -> Self:
        """Check what a file or a value holds.

        Raises
        ------
        InvalidInputError
            If the arrays are not one row of finite numbers for each of different labels.
        """
        labels, values = np.asarray(labels), np.asarray(values)
        if values.ndim != 2 or values.dtype.kind != "f" or not 0 < values.shape[1] <= MOST_FEATURES or not len(values):
            raise InvalidInputError(
                f"{FEATURES} is {_told(values)}; expected fractions of the shape (structures, features), and at most "
                f"{MOST_FEATURES} features."
            )
        if labels.shape != values.shape[:1] or labels.dtype.kind not in "iu":
            raise InvalidInputError(
                f"{LABELS} is {_told(labels)}; expected a whole number for each of the {len(values)} rows of {FEATURES}."
            )
        numbers = labels.tolist()
        if min(numbers) < 1 or len(set(numbers)) < len(numbers):
            raise InvalidInputError(
                f"{LABELS} holds a number below 1, or one twice; expected those of the segmentation."
            )
        with np.errstate(over="ignore"):
            converted = values.astype(np.float32)
        if not np.isfinite(converted).all():
            raise InvalidInputError(
                f"{FEATURES} holds {int((~np.isfinite(converted)).sum())} numbers that are not finite in 32 bits."
            )
        return cls(encoder, tuple(numbers), converted)

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """Read them from the value of a socket, whose schema was checked.

        Raises
        ------
        InvalidInputError
            As :meth:`checked`, and if rows differ in length.
        """
        rows = value[FEATURES]
        if len({len(row) for row in rows}) > 1:
            raise InvalidInputError(f"{FEATURES} has rows of different length; expected as many numbers in each.")
        return cls.checked(value.get(ENCODER, ""), value[LABELS], np.array(rows, dtype=np.float64))

    def to_json(self) -> dict[str, Any]:
        """Give them as the value of a socket."""
        return {ENCODER: self.encoder, LABELS: list(self.labels), FEATURES: self.values.tolist()}

    def check_labels(
        self, structures: Collection[int], drawn: Collection[int], *, segmentation: str, structure: str
    ) -> None:
        """Refuse features of other structures than those of the segmentation.

        Parameters
        ----------
        structures
            Labels that have to have features.
        drawn
            All labels of the segmentation, those of specks too small for a structure among them.
        segmentation, structure
            What both are called in messages, "lymph-node-segmentation" and "lymph node" for example.

        Raises
        ------
        InvalidInputError
            If a structure has no features, or features have no structure.
        """
        missing, surplus = sorted({*structures} - {*self.labels}), sorted({*self.labels} - {*drawn})
        if missing or surplus:
            odd = f"without features is {missing[0]}" if missing else f"that is not in the segmentation is {surplus[0]}"
            raise InvalidInputError(
                f"There are features of {len(self.labels)} {structure}s, and {len(structures)} in the {segmentation}; the first "
                f"{odd}: make the features from this segmentation, a row for each label."
            )

    def rows(self, labels: Sequence[int]) -> NDArray[np.float32]:
        """Features of some of the structures, in that order (k, f)."""
        place = {label: row for row, label in enumerate(self.labels)}
        return self.values[[place[label] for label in labels]]


def read_features(path: Path) -> StoredFeatures:
    """Read the features of a patient's structures.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, lacks an array, or :meth:`StoredFeatures.checked` refuses one.
    """
    arrays, header = read_arrays(path)
    for name in (FEATURES, LABELS):
        if name not in arrays:
            raise InvalidInputError(
                f"{path.name} holds {', '.join(arrays) or 'nothing'}; expected the arrays {FEATURES} and {LABELS}."
            )
    encoder = str(arrays[ENCODER]) if ENCODER in arrays else header.get(ENCODER, "")
    try:
        return StoredFeatures.checked(encoder, arrays[LABELS], arrays[FEATURES])
    except InvalidInputError as error:
        raise InvalidInputError(f"{path.name}: {error}") from None


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read all arrays of a file of safetensors or npz, and the metadata of safetensors; nothing in it is run.

    Raises
    ------
    InvalidInputError
        If it is neither, is missing, damaged, too large, or holds objects of Python.
    """
    reader = {".safetensors": _read_safetensors, ".npz": _read_npz}.get(path.suffix.lower())
    if reader is None:
        raise InvalidInputError(
            f"{path.name} is no file of features; expected one that ends in {' or '.join(SUFFIXES)}."
        )
    try:
        return reader(path)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}.") from None


def _read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping
    except (SafetensorError, TypeError, KeyError, AttributeError) as error:  # of types that numpy does not have
        raise InvalidInputError(f"{path.name} is damaged, or of a type that numpy does not have: {error}.") from None


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    try:
        with zipfile.ZipFile(path) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > LARGEST_NPZ_BYTES:
            raise InvalidInputError(
                f"{path.name} unpacks to {size / 2**30:.1f} GiB; expected at most {LARGEST_NPZ_BYTES / 2**30:g}."
            )
        with np.load(path, allow_pickle=False) as file:
            return dict(file), {}
    except (ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInputError(f"{path.name} is damaged, or holds what is no array of numbers: {error}.") from None


def _told(array: NDArray[Any]) -> str:
    return f"{array.dtype} of the shape {array.shape}"
