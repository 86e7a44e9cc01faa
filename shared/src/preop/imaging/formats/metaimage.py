"""MetaImage: ``.mha``, or ``.mhd`` with its data beside it (itk.org/Wiki/MetaIO/Documentation).

ITK ends the whole program at some wrong headers and fills what a compressed file lacks with 0, without a word; so the few
fields are read here.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.formats.content import (
    LONGEST_SIDE,
    MAX_COMPRESSED,
    Content,
    beside,
    check_finite,
    check_size,
    cut_off,
    read_exactly,
    rescaled,
)
from preop.imaging.formats.grids import grid_of
from preop.imaging.images import Geometry, Image

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# Names that MetaIO has given to one field over the years, the present one first.
_PLACE = ("Offset", "Position", "Origin")
_AXES = ("TransformMatrix", "Rotation", "Orientation")
_LONGEST_HEADER = 2**16
_MAX_DIMENSIONS = 10


class _Header:
    """The fields of a header by name, as text."""

    def __init__(self, fields: Mapping[str, str], end: int, name: str) -> None:
        self.fields = fields
        self.end = end
        self.name = name

    def first(self, *names: str, missing: str) -> str:
        return next((self.fields[name] for name in names if name in self.fields), missing)

    def says(self, *names: str) -> bool:
        return self.first(*names, missing="False").strip().lower() in {"true", "t", "1", "yes"}

    def numbers(self, *names: str, count: int) -> NDArray[np.float64] | None:
        """Read as many numbers as the header should have, or None where it has no such field."""
        name = next((name for name in names if name in self.fields), None)
        if name is None:
            return None
        try:
            found = [float(part) for part in self.fields[name].split()]
        except ValueError:
            found = []
        if len(found) != count or not np.isfinite(found).all():
            raise InvalidInputError(
                f"{self.name} states {name} = {self.fields[name][:80]}; expected {count} finite "
                f"{'number' if count == 1 else 'numbers'}: correct its header."
            )
        return np.array(found)


def is_metaimage(start: bytes) -> bool:
    """Tell from the first bytes whether a file is a MetaImage header: lines of names and values."""
    first = start.lstrip().split(b"\n")[0]
    name, equals, _ = first.partition(b"=")
    return bool(equals) and name.strip() in {b"ObjectType", b"NDims", b"Comment", b"ObjectSubType", b"DimSize"}


def read_metaimage(path: Path) -> Content:
    """Read voxels and place.

    Raises
    ------
    InvalidInputError
        If the header is not that of one scan, or there are fewer voxels than it promises.
    """
    header = _header(path)
    size, geometry, notes = _place(header)
    dtype = np.dtype(_TYPES[header.fields["ElementType"]])
    if header.says("BinaryDataByteOrderMSB", "ElementByteOrderMSB"):
        dtype = dtype.newbyteorder(">")
    count = int(np.prod(size, dtype=np.int64)) * dtype.itemsize
    raw = _data(header, path, count, dtype)
    stored = raw.view(dtype).reshape(geometry.shape)
    stored = stored.astype(dtype.newbyteorder("="), copy=False)
    check_finite(stored, name=path.name)
    slope = header.numbers("ElementToIntensityFunctionSlope", count=1)
    intercept = header.numbers("ElementToIntensityFunctionOffset", count=1)
    values = rescaled(
        stored, 1.0 if slope is None else float(slope[0]), 0.0 if intercept is None else float(intercept[0])
    )
    return Content(Image(values, geometry, notes))


def read_metaimage_geometry(path: Path) -> Geometry:
    """Read where the voxels lie, without reading them."""
    return _place(_header(path))[1]


def metaimage_data_files(path: Path) -> list[Path]:
    """List the files beside a header that hold its voxels."""
    header = _header(path)
    where = header.fields["ElementDataFile"]
    return [] if where.upper() == "LOCAL" else _listed(header, path, where)


def _header(path: Path) -> _Header:
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    at = 0
    for line in io.BytesIO(start):
        at += len(line)
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals and line.strip():
            break
        if equals:
            fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            return _checked(_Header(fields, at, path.name))
    raise InvalidInputError(
        f"{path.name} is a MetaImage header that does not say where its voxels are (ElementDataFile)."
    )


def _checked(header: _Header) -> _Header:
    name, element = header.name, header.first("ElementType", missing="nothing")
    if element not in _TYPES:
        raise InvalidInputError(f"{name} states ElementType = {element[:40]}; expected one of {', '.join(_TYPES)}.")
    channels = header.first("ElementNumberOfChannels", missing="1")
    if channels != "1":
        raise InvalidInputError(f"{name} has {channels} channels; expected one value a voxel.")
    if header.says("HeaderSize") or header.first("HeaderSize", missing="0") not in {"0", "-1"}:
        raise InvalidInputError(
            f"{name} skips bytes before its voxels (HeaderSize), which is not read; write it as one .mha."
        )
    unit = header.first("DistanceUnits", missing="mm")
    if unit.lower() not in {"mm", "millimeter", "millimetre", "?"}:
        raise InvalidInputError(f"{name} gives its sizes in {unit}; expected mm: convert its header.")
    if header.says("BinaryData") is False and "BinaryData" in header.fields and header.says("CompressedData"):
        raise InvalidInputError(f"{name} is both text and compressed; its header is damaged.")
    return header


def _place(header: _Header) -> tuple[tuple[int, ...], Geometry, tuple[str, ...]]:
    name = header.name
    dimensions = header.first("NDims", missing="nothing")
    if not dimensions.isdigit() or not 1 <= int(dimensions) <= _MAX_DIMENSIONS:
        raise InvalidInputError(f"{name} states NDims = {dimensions[:40]}; expected 3: its header is damaged.")
    n = int(dimensions)
    sizes = header.numbers("DimSize", count=n)
    if sizes is None or (sizes != np.round(sizes)).any():
        raise InvalidInputError(f"{name} does not state its size in whole voxels (DimSize); its header is damaged.")
    full = tuple(int(size) for size in sizes)
    size = full
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    check_size(size, name=name)
    spacing = header.numbers("ElementSpacing", "ElementSize", count=n)
    if spacing is None:
        raise InvalidInputError(f"{name} does not state the size of its voxels (ElementSpacing); add it to its header.")
    origin = header.numbers(*_PLACE, count=n)
    rows = header.numbers(*_AXES, count=n * n)
    kept = len(size)
    origin = np.zeros(kept) if origin is None else origin[:kept]
    # A row of TransformMatrix is the direction of one axis.
    axes = (np.eye(n) if rows is None else rows.reshape(n, n)).T[:kept, :kept]
    spacing = spacing[:kept]
    shape = tuple(reversed(size))
    if (spacing <= 0).any():
        raise InvalidInputError(
            f"{name} states voxels of {' x '.join(f'{mm:g}' for mm in spacing)} mm; expected sizes above 0: correct its header."
        )
    # Taken over as written, digit by digit, where it is a grid with right angles.
    exact = Geometry(shape, tuple(spacing[::-1].tolist()), tuple(origin.tolist()), tuple(axes.ravel().tolist()))
    if kept == 2:
        return size, exact, ()
    geometry, notes = grid_of(shape, axes * spacing, origin, name=name)
    return size, geometry if notes or exact.difference(geometry) else exact, notes


def _data(header: _Header, path: Path, count: int, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    where = header.fields["ElementDataFile"]
    compressed = header.says("CompressedData")
    if where.upper() == "LOCAL":
        return _read(path, header.end, count, compressed=compressed, text=_is_text(header), dtype=dtype)
    files = _listed(header, path, where)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InvalidInputError(
            f"{path.name} has its voxels in {missing[0]}, which is missing; put it beside the header."
        )
    if len(files) == 1:
        return _read(files[0], 0, count, compressed=compressed, text=_is_text(header), dtype=dtype)
    share = count // len(files)
    parts = [_read(file, 0, share, compressed=compressed, text=_is_text(header), dtype=dtype) for file in files]
    return np.concatenate(parts)


def _is_text(header: _Header) -> bool:
    return "BinaryData" in header.fields and not header.says("BinaryData")


def _listed(header: _Header, path: Path, where: str) -> list[Path]:
    """Data files in the order of slices: one, a list that follows the header, or a numbered pattern."""
    if where.upper().startswith("LIST"):
        lines = path.read_bytes()[header.end :].decode("latin-1").split("\n")
        names = [line.strip() for line in lines if line.strip()]
    elif "%" in where:
        pattern, *numbers = where.split()
        try:
            first, last, step = (int(number) for number in (*numbers, "1")[:3])
            numbered = range(first, last + 1, step)
            # Slices are told here, and not by as many names as a header likes.
            if len(numbered) > LONGEST_SIDE:
                raise InvalidInputError(
                    f"{path.name} has its voxels in {len(numbered):,} files; expected one for each slice: correct its header."
                )
            names = [pattern % number for number in numbered]
        except (ValueError, TypeError, OverflowError):
            raise InvalidInputError(
                f"{path.name} has its voxels in {where}; expected a file, LIST, or a pattern with its first and last number."
            ) from None
    else:
        names = [where]
    if not names:
        raise InvalidInputError(f"{path.name} lists no file with its voxels.")
    return [beside(path, name) for name in names]


def _read(
    path: Path, start: int, count: int, *, compressed: bool, text: bool, dtype: np.dtype[Any]
) -> NDArray[np.uint8]:
    stored = path.stat().st_size - start
    with path.open("rb") as file:
        file.seek(start)
        if text:
            return _from_text(file, path.name, count, dtype)
        if not compressed:
            # Checked before memory is asked for.
            if stored < count:
                raise cut_off(path.name, count, stored)
            return read_exactly(file, count, name=path.name, stored_bytes=stored)
        if count > stored * MAX_COMPRESSED:
            raise cut_off(path.name, count, stored)
        with _unpacked(file) as stream:
            return read_exactly(stream, count, name=path.name, stored_bytes=stored)


def _from_text(file: IO[bytes], name: str, count: int, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    try:
        numbers = np.array(file.read().split(), dtype=np.float64)
    except ValueError:
        raise InvalidInputError(
            f"{name} holds words among its voxels, which are written as text; it is damaged."
        ) from None
    if numbers.nbytes // 8 * dtype.itemsize < count:
        raise cut_off(name, count, numbers.size * dtype.itemsize)
    return np.asarray(numbers.astype(dtype)[: count // dtype.itemsize]).view(np.uint8)


class _Inflated(io.RawIOBase):
    """Unpacks a zlib stream piece by piece; EOFError where it ends before its end, like gzip."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, by its first bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._packed.read(2**20)
            if not packed:
                raise EOFError
            if found := self._inflate.decompress(packed, len(buffer)):
                buffer[: len(found)] = found
                return len(found)
        return 0


@contextmanager
def _unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    yield io.BufferedReader(_Inflated(file), 2**20)
