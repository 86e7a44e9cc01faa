"""Features of the tiles of slides: made once, stored, and put together for a patient as a flat bag or in regions.

What a stored file was made of is in its name and in its header: the slide, the encoder, the mask and the code, each by
SHA-256. Anything else than the same makes another file, so that nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.atomic import replacing
from preop.errors import InvalidInputError, InvalidOutputError
from preop.folders import sha256
from preop.imaging import Image
from preop.slides.encoders import Encoder, EncoderInfo, PortableEncoder, in_float16
from preop.slides.levels import Pixels
from preop.slides.slide import Slide
from preop.slides.tiling import Tiling
from preop.slides.tissue import assessable, check_assessable, find_tissue
from preop.stored_features import read_arrays

TILES_PER_BATCH = 32
TILES_PER_PART = 1024
"""Tiles after which what was done is kept: at most so many are done again after an interruption."""

MIN_TISSUE = 0.5


@dataclass(frozen=True, eq=False)
class TileFeatures:
    """Features of the tiles of one slide.

    Attributes
    ----------
    values
        (n, f), float16.
    """

    slide: str
    tiling: Tiling
    values: NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Regions:
    """Tiles of one or several slides, grouped in squares (as in HIPT, Chen 2022, doi 10.1109/CVPR52688.2022.01567).

    Attributes
    ----------
    values
        Features of the tiles of each region (r, side * side, f), row by row, 0 where there is no tile.
    present
        Which are tiles (r, side * side).
    slides, rows, columns
        Place of each region: number of the slide, and row and column in units of regions (r,).
    region, place
        Of each tile, in the order of :func:`flat`: number of its region, and its place there (n,).
    """

    values: NDArray[np.float16]
    present: NDArray[np.bool_]
    slides: NDArray[np.int32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    region: NDArray[np.intp]
    place: NDArray[np.intp]


class FeatureStore:
    """A folder of features.

    Parameters
    ----------
    folder
        Made where it is missing. Several processes may share it.
    encoder
        That describes the tiles.
    """

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self.folder = folder
        self.encoder = encoder

    def features(
        self,
        path: Path,
        *,
        um_per_pixel: float | None = None,
        mask: Image | None = None,
        threads: int = 2,
        advance: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> TileFeatures:
        """Give the features of a slide: from the folder, or made now and kept; an interrupted run goes on where it was.

        Parameters
        ----------
        um_per_pixel
            Of a slide that does not state it, as of :class:`preop.slides.Slide`.
        mask
            Flat mask of the tissue to describe; found by :func:`preop.slides.find_tissue` if not given.
        threads
            As in :meth:`preop.slides.Slide.tiles`.
        advance
            Told the number of tiles that are done and their total, as work goes on.

        Raises
        ------
        InvalidInputError
            If the slide cannot be read, or has no tissue.
        InvalidOutputError
            If the folder cannot be written.
        """
        made_of = self._made_of(path, um_per_pixel, mask)
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
        stored = self.folder / f"{path.stem}-{key}.safetensors"
        known = _read(stored, made_of, path.name, self.encoder.info)
        if known is not None:
            return known
        try:
            with Slide(path, um_per_pixel=um_per_pixel) as slide:
                return self._made(slide, mask, stored, made_of, threads, advance)
        except OSError as error:
            raise InvalidOutputError(f"Features cannot be kept in {self.folder}: {error.strerror}.") from error

    def _made_of(self, path: Path, um_per_pixel: float | None, mask: Image | None) -> dict[str, str]:
        content = b"" if mask is None else np.packbits(mask.voxels).tobytes() + repr(mask.geometry).encode()
        return {
            "slide": slide_sha256(path),
            "given_um_per_pixel": "none" if um_per_pixel is None else repr(um_per_pixel),
            "encoder": hashlib.sha256(self.encoder.info.model_dump_json().encode()).hexdigest(),
            "mask": hashlib.sha256(content).hexdigest() if mask is not None else "found",
            "code": code_sha256(),
        }

    def _made(
        self,
        slide: Slide,
        mask: Image | None,
        stored: Path,
        made_of: dict[str, str],
        threads: int,
        advance: Callable[[int, int], None],
    ) -> TileFeatures:
        from safetensors.numpy import save_file

        info = self.encoder.info
        parts = stored.with_name(f".{stored.stem}")
        parts.mkdir(parents=True, exist_ok=True)
        within = self._tissue_of(slide, threads) if mask is None else mask
        tiling = slide.tiling(size_px=info.tile_px, um_per_pixel=info.um_per_pixel, within=within, min_share=MIN_TISSUE)
        values = []
        for first in range(0, len(tiling), TILES_PER_PART):
            part = tiling.part(first, first + TILES_PER_PART)
            values.append(self._part(slide, part, parts / f"{first:08d}.npy", threads))
            advance(first + len(part), len(tiling))
        features = TileFeatures(slide.path.name, tiling, np.concatenate(values))
        arrays: dict[str, NDArray[Any]] = {"values": features.values, "rows": tiling.rows, "columns": tiling.columns}
        with replacing(stored) as partial:
            save_file(arrays, partial, metadata=made_of | {"um_per_pixel": repr(tiling.um_per_pixel)})
        shutil.rmtree(parts)
        return features

    def _tissue_of(self, slide: Slide, threads: int) -> Image:
        tissue = find_tissue(slide, threads=threads)
        check_assessable(tissue, slide.path.name, folder=self.folder)
        return assessable(tissue)

    def _part(self, slide: Slide, tiling: Tiling, kept: Path, threads: int) -> NDArray[np.float16]:
        known = _read_part(kept, (len(tiling), self.encoder.info.features))
        if known is not None:
            return known
        found = encode_tiles(slide, tiling, self.encoder, threads=threads)
        with replacing(kept) as partial:
            np.save(partial, found)
        return found


def encode_tiles(
    slide: Slide, tiling: Tiling, encoder: Encoder | PortableEncoder, *, threads: int = 2
) -> NDArray[np.float16]:
    """Describe the tiles of a slide, (n, f), with no more than a batch of them in memory.

    Parameters
    ----------
    threads
        As in :meth:`preop.slides.Slide.tiles`.

    Raises
    ------
    InvalidModelError
        If a feature is no finite number, or too large for float16.
    """
    values = np.empty((len(tiling), encoder.info.features), np.float16)
    batch: list[Pixels] = []
    for tile in slide.tiles(tiling, threads=threads):
        batch.append(tile.pixels)
        last = tile.number + 1
        if len(batch) == TILES_PER_BATCH or last == len(tiling):
            values[last - len(batch) : last] = in_float16(encoder.encode(np.stack(batch)), encoder.info.name)
            batch = []
    return values


def flat(slides: Sequence[TileFeatures]) -> tuple[NDArray[np.float16], NDArray[np.int32]]:
    """Put the tiles of a patient's slides into one bag: features (n, f), and the number of each tile's slide (n,)."""
    _check_alike(slides)
    numbers = np.repeat(np.arange(len(slides), dtype=np.int32), [len(slide.tiling) for slide in slides])
    values = slides[0].values if len(slides) == 1 else np.concatenate([slide.values for slide in slides])
    return values, numbers


def in_regions(slides: Sequence[TileFeatures], side: int) -> Regions:
    """Group the tiles of a patient's slides in squares of ``side`` x ``side`` tiles; squares without a tile are left out.

    The values and what is ``present`` are what a ``preop.mil.RegionEncoder`` takes.
    """
    values, numbers = flat(slides)
    rows, columns = (np.concatenate([getattr(slide.tiling, name) for slide in slides]) for name in ("rows", "columns"))
    places, found = np.unique(np.stack([numbers, rows // side, columns // side], axis=1), axis=0, return_inverse=True)
    region, place = found.ravel(), (rows % side * side + columns % side).astype(np.intp)
    grouped = np.zeros((len(places), side * side, values.shape[1]), np.float16)
    present = np.zeros(grouped.shape[:2], bool)
    grouped[region, place] = values
    present[region, place] = True
    slide, row, column = np.moveaxis(places.astype(np.int32), 1, 0)
    return Regions(grouped, present, slide, row, column, region, place)


def slide_sha256(path: Path) -> str:
    """SHA-256 of a slide's file; of formats with several files, of the checksums of all of them."""
    beside = path if path.is_dir() else path.with_suffix("")
    if not beside.is_dir():
        return sha256(path)
    files = [path] * path.is_file() + sorted(file for file in beside.rglob("*") if file.is_file())
    return hashlib.sha256("".join(sha256(file) for file in files).encode()).hexdigest()


def code_sha256() -> str:
    """SHA-256 of the modules of this package, on which features depend."""
    content = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        content.update(module.read_bytes())
    return content.hexdigest()


def _read(stored: Path, made_of: dict[str, str], slide: str, info: EncoderInfo) -> TileFeatures | None:
    """Read stored features; None where there are none, or the file is damaged."""
    if not stored.exists():
        return None
    try:
        arrays, header = read_arrays(stored)
        values, rows, columns = (arrays[name] for name in ("values", "rows", "columns"))
        tiling = Tiling(float(header["um_per_pixel"]), info.tile_px, rows, columns)
    except (InvalidInputError, KeyError, ValueError):
        return None
    same = all(header.get(name) == value for name, value in made_of.items())
    whole = rows.shape == columns.shape == (len(rows),) and _is_whole(values, (len(rows), info.features))
    return TileFeatures(slide, tiling, values) if same and whole else None


def _read_part(kept: Path, shape: tuple[int, int]) -> NDArray[np.float16] | None:
    """Read a part that was kept; None where there is none, or the file is damaged."""
    try:
        values: NDArray[np.float16] = np.load(kept, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return values if _is_whole(values, shape) else None


def _is_whole(values: NDArray[Any], shape: tuple[int, int]) -> bool:
    return values.dtype == np.float16 and values.shape == shape and bool(np.isfinite(values).all())


def _check_alike(slides: Sequence[TileFeatures]) -> None:
    if not slides:
        raise InvalidInputError("A patient has no slides; expected at least one.")
    widths = sorted({slide.values.shape[1] for slide in slides})
    if len(widths) > 1:
        raise InvalidInputError(
            f"The slides of a patient have {' and '.join(map(str, widths))} features a tile; expected those of one encoder: "
            "describe all of them with the same."
        )
