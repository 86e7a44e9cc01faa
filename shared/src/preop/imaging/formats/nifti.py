"""NIfTI-1 and NIfTI-2, as one file or as a pair, packed or not (nifti.nimh.nih.gov; headers by nibabel).

ITK turns NaN into 0, fills what is missing with 0 and replaces a spacing of 0 by 1, all without a word, and refuses an
sform that is not exactly right-angled. Here the header is read by nibabel and believed as nibabel does: the sform where it
has a code, else the qform.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.formats.content import Content, check_finite, check_size, read_exactly, rescaled, without_single_axes
from preop.imaging.formats.grids import READABLE_VOXELS, grid_of, largest_shift_voxels
from preop.imaging.images import Geometry, Image

HEADER_BYTES = {348: 1, 540: 2}
_FIRST_VOXEL = {1: 352, 2: 544}
# Datatypes of the standard that are no single number a voxel, and what they are called.
_NO_NUMBERS = {
    0: "voxels of an unknown type",
    1: "single bits",
    32: "complex numbers",
    1792: "complex numbers",
    2048: "complex numbers",
    128: "RGB colours",
    2304: "RGBA colours",
}
_TO_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {1: "metres", 3: "micrometres"}
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Label tables that TotalSegmentator and Connectome Workbench write behind the header (CARET extension).
_LABEL = re.compile(rb'<Label Key="(-?\d+)"[^>]*><!\[CDATA\[(.*?)\]\]></Label>', re.DOTALL)


def is_nifti(start: bytes) -> bool:
    """Tell from the first unpacked bytes whether a file is NIfTI, in either byte order (or Analyze, without its magic)."""
    return any(start[:4] == size.to_bytes(4, order) for size in HEADER_BYTES for order in ("little", "big"))


def read_nifti(path: Path) -> Content:
    """Read voxels, place and label names.

    Raises
    ------
    InvalidInputError
        If the file is cut off or damaged, holds no single finite number a voxel, or does not say where its voxels lie.
    """
    with _opened(path) as stream:
        header, after = _header(stream, path)
        size, geometry, notes = _place(header, path)
        dtype = header.get_data_dtype()
        count = int(np.prod(size, dtype=np.int64)) * dtype.itemsize
        if _is_pair(header):
            voxels = _read_partner(path, header, count)
        else:
            first = int(header.get_data_offset()) or _FIRST_VOXEL[HEADER_BYTES[len(header.binaryblock)]]
            between = stream.read(max(first - after, 0))
            voxels = read_exactly(stream, count, name=path.name, stored_bytes=path.stat().st_size)
            names = {int(key): name.decode("utf-8", "replace") for key, name in _LABEL.findall(between)}
    if _is_pair(header):
        names = {}
    stored = voxels.view(dtype).reshape(geometry.shape)
    values = _values(stored, header, path)
    return Content(Image(values, geometry, notes), names)


def read_nifti_geometry(path: Path) -> Geometry:
    """Read where the voxels lie, without reading them."""
    with _opened(path) as stream:
        header, _ = _header(stream, path)
        return _place(header, path)[1]


def partner_of(path: Path) -> Path | None:
    """Give the other file of a pair ``.hdr`` and ``.img``, where there is one."""
    for one, other in ((".hdr", ".img"), (".img", ".hdr")):
        for packed in ("", ".gz"):
            if path.name.lower().endswith(one + packed):
                stem = path.name[: -len(one + packed)]
                found = [stem + ending + more for ending in (other, other.upper()) for more in (packed, "", ".gz")]
                return next((path.with_name(name) for name in found if path.with_name(name).is_file()), None)
    return None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file by what it is, not by its ending: unpacked where it begins as gzip does."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("IO[bytes]", unpacked)


def _header(stream: IO[bytes], path: Path) -> tuple[Any, int]:
    """Read the header, and tell how many bytes it took."""
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError

    start = stream.read(4)
    order = next((order for order in ("little", "big") if int.from_bytes(start, order) in HEADER_BYTES), "little")
    size = int.from_bytes(start, order)  # type: ignore[arg-type]
    block = start + stream.read(size - 4)
    if len(block) < size:
        raise InvalidInputError(f"{path.name} is cut off: it ends inside its header; copy it again.")
    kind = nib.Nifti1Header if HEADER_BYTES[size] == 1 else nib.Nifti2Header
    header = kind(block, endianness="<" if order == "little" else ">", check=False)
    magic = bytes(header["magic"])[:3]
    if magic not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise InvalidInputError(
            f"{path.name} is an Analyze 7.5 image, which does not say which side is the left: convert it to NIfTI with the "
            "program that wrote it."
        )
    code = int(header["datatype"])
    if code in _NO_NUMBERS:
        raise InvalidInputError(f"{path.name} holds {_NO_NUMBERS[code]}; expected one real number a voxel.")
    try:
        header.get_data_dtype()
    except HeaderDataError:
        raise InvalidInputError(f"{path.name} has voxels of the type {code}, which NIfTI does not know.") from None
    if header["pixdim"][0] not in {-1.0, 1.0}:
        # Many programs leave it 0, which the standard takes for 1.
        header["pixdim"][0] = 1.0
    if not np.isfinite(header["vox_offset"]) or header["vox_offset"] < 0:
        raise InvalidInputError(f"{path.name} does not say at which byte its voxels begin; its header is damaged.")
    first = int(header.get_data_offset())
    if not _is_pair(header) and first != 0 and first < _FIRST_VOXEL[HEADER_BYTES[size]]:
        raise InvalidInputError(
            f"{path.name} says that its voxels begin at byte {first}, inside its header; its header is damaged."
        )
    return header, size


def _is_pair(header: Any) -> bool:
    return bytes(header["magic"])[:2] == b"ni"


def _place(header: Any, path: Path) -> tuple[tuple[int, ...], Geometry, tuple[str, ...]]:
    """Give size (x, y, z), grid, and what was corrected on the way."""
    name = path.name
    dimensions = int(header["dim"][0])
    if not 1 <= dimensions <= 7:
        raise InvalidInputError(f"{name} states {dimensions} dimensions; its header is damaged.")
    size = without_single_axes(tuple(int(n) for n in header["dim"][1 : dimensions + 1]))
    check_size(size, name=name)
    spacing = np.asarray(header["pixdim"][1 : len(size) + 1], dtype=np.float64)
    if not np.isfinite(spacing).all() or (spacing == 0).any():
        raise InvalidInputError(
            f"{name} states voxels of {' x '.join(f'{mm:g}' for mm in spacing)} mm (pixdim); expected finite numbers above 0: "
            "correct its header."
        )
    unit = int(header["xyzt_units"]) & 7
    scale = _TO_MM.get(unit, 1.0)
    notes = [f"its header gives sizes in {_UNIT_NAMES[unit]}; they were converted to mm."] if scale != 1 else []
    affine, more = _affine(header, size, name)
    affine = np.diag([scale, scale, scale, 1.0]) @ _LPS @ affine
    shape = tuple(reversed(size))
    if len(size) == 2:
        flat = Geometry.axis_aligned(shape, tuple((np.abs(spacing) * scale)[::-1].tolist()))
        return size, flat, (*notes, *more)
    geometry, sheared = grid_of(shape, affine[:3, :3], affine[:3, 3], name=name)
    return size, _as_written(geometry, np.abs(spacing) * scale), (*notes, *more, *sheared)


def _affine(header: Any, size: tuple[int, ...], name: str) -> tuple[NDArray[np.float64], list[str]]:
    """Map indices to RAS as nibabel does: by the sform where it has a code, else the qform, else by sizes alone."""
    from nibabel.spatialimages import HeaderDataError

    codes = int(header["sform_code"]), int(header["qform_code"])
    if max(codes) <= 0:
        note = "its header says neither where it lies nor which side is the left (sform and qform codes are 0)."
        return np.asarray(header.get_base_affine(), dtype=np.float64), [note]
    try:
        qform = np.asarray(header.get_qform(), dtype=np.float64) if codes[1] > 0 else None
    except (ValueError, HeaderDataError):
        qform = None
        if codes[0] <= 0:
            raise InvalidInputError(f"{name} has a qform that is no rotation; its header is damaged.") from None
    if codes[0] <= 0:
        if qform is None or not np.isfinite(qform).all():
            raise InvalidInputError(f"{name} has a qform that is no rotation; its header is damaged.")
        return qform, []
    sform = np.asarray(header.get_sform(), dtype=np.float64)
    shape = tuple(reversed(size))
    if not np.isfinite(sform).all() or len(size) == 2:
        return sform, []
    if not np.linalg.norm(sform[:3, :3], axis=0).all():
        return sform, []
    notes = []
    if qform is not None and (shift := largest_shift_voxels(shape, sform, qform)) > READABLE_VOXELS:
        notes.append(f"sform and qform place it up to {shift:.3g} voxels apart; the sform was used.")
    elif qform is None:
        stated = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
        spacing = np.linalg.norm(sform[:3, :3], axis=0)
        if (np.abs(stated - spacing) * (np.array(size) - 1) / spacing > READABLE_VOXELS).any():
            written = [" x ".join(f"{mm:.4g}" for mm in sizes) for sizes in (stated, spacing)]
            notes.append(f"its header states voxels of {written[0]} mm, its sform {written[1]} mm; the sform was used.")
    return sform, notes


def _as_written(geometry: Geometry, spacing_xyz: NDArray[np.float64]) -> Geometry:
    """Take sizes from where the header states them outright, unless its axes say something else."""
    stated = tuple(spacing_xyz[::-1].tolist())
    if not np.allclose(stated, geometry.spacing_mm, rtol=1e-5, atol=0):
        return geometry
    return Geometry(geometry.shape, stated, geometry.origin_mm, geometry.direction)


def _read_partner(path: Path, header: Any, count: int) -> NDArray[np.uint8]:
    image = path if path.name.lower().endswith((".img", ".img.gz")) else partner_of(path)
    if image is None:
        raise InvalidInputError(
            f"{path.name} is the header of a pair, and its .img is missing; put it beside the header."
        )
    with _opened(image) as stream:
        stream.read(int(header.get_data_offset()))
        return read_exactly(stream, count, name=image.name, stored_bytes=image.stat().st_size)


def _values(stored: NDArray[Any], header: Any, path: Path) -> NDArray[Any]:
    from nibabel.spatialimages import HeaderDataError

    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "f" and native.dtype.itemsize not in (4, 8):
        native = native.astype(np.float64)
    check_finite(native, name=path.name)
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError:
        raise InvalidInputError(
            f"{path.name} has values to be multiplied by {header['scl_slope']:g} and raised by {header['scl_inter']:g} "
            "(scl_slope, scl_inter); expected finite numbers."
        ) from None
    values = rescaled(native, 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    check_finite(values, name=path.name)
    return values
