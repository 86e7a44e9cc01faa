"""Small functions that spoil one thing of a laid-out case."""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray

from tests.contract.studies import Laid

Spoil = Callable[[Laid], object]
Find = Callable[[Laid], Path]
Voxels = NDArray[Any]

UM_PER_PIXEL = 0.5


def scan(case: Laid) -> Path:
    return case.scan


def mask(case: Laid) -> Path:
    return case.mask


def pet(case: Laid) -> Path:
    return case.image(case.study.pet)


def mr(case: Laid) -> Path:
    return case.image(case.study.mr)


def inputs(case: Laid) -> Path:
    return case.inputs


def value(case: Laid) -> Path:
    return case.path(case.study.value)


# Files


def content(which: Find, data: bytes | str) -> Spoil:
    return lambda case: which(case).write_bytes(data if isinstance(data, bytes) else data.encode())


def cut_to(which: Find, share: float) -> Spoil:
    def spoil(case: Laid) -> None:
        path = which(case)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return spoil


def removed(which: Find) -> Spoil:
    return lambda case: which(case).unlink()


def as_folder(which: Find) -> Spoil:
    def spoil(case: Laid) -> None:
        path = which(case)
        path.unlink()
        path.mkdir()

    return spoil


def as_pipe(which: Find) -> Spoil:
    def spoil(case: Laid) -> None:
        path = which(case)
        path.unlink()
        os.mkfifo(path)

    return spoil


def as_link(which: Find, target: str) -> Spoil:
    def spoil(case: Laid) -> None:
        path = which(case)
        path.unlink()
        path.symlink_to(target)

    return spoil


def linked_out(which: Find) -> Spoil:
    """Put the file beside the input folder, and a link in its place."""

    def spoil(case: Laid) -> None:
        path = which(case)
        elsewhere = case.root.parent / f"elsewhere{path.suffix}"
        shutil.move(path, elsewhere)
        path.symlink_to(elsewhere)

    return spoil


def sparse(which: Find, size: int) -> Spoil:
    return lambda case: os.truncate(which(case), size)


def renamed(which: Find, name: str) -> Spoil:
    def spoil(case: Laid) -> None:
        path = which(case)
        path.rename(path.with_name(name))

    return spoil


def copied_beside(which: Find) -> Spoil:
    def spoil(case: Laid) -> None:
        path = which(case)
        shutil.copy(path, path.with_name(f"second{path.suffix}"))

    return spoil


def without_folder(case: Laid) -> None:
    shutil.rmtree(case.path(case.study.scan))


# JSON


def items(edit: Callable[[list[Any]], Any]) -> Spoil:
    """Edit the items of ``inputs.json``; what ``edit`` gives takes their place, if it gives anything."""

    def spoil(case: Laid) -> None:
        found = json.loads(case.inputs.read_text())
        given = edit(found)
        case.inputs.write_text(json.dumps(found if given is None else given))

    return spoil


def socket(**fields: Any) -> Spoil:
    """Change what the first item says of its socket, under both names."""

    def edit(found: list[Any]) -> None:
        for name in ("socket", "interface"):
            found[0][name].update(fields)

    return items(edit)


def known(**fields: Any) -> Spoil:
    """Give these values alone."""
    return lambda case: value(case).write_text(json.dumps(fields))


# MetaImage


def header(which: Find, **fields: str) -> Spoil:
    """Change or add lines of a header; the voxels stay as they are stored."""

    def spoil(case: Laid) -> None:
        path = which(case)
        start, end, stored = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
        lines = [line for line in start.decode().splitlines() if line.partition(" =")[0] not in fields]
        more = [f"{name} = {text}" for name, text in fields.items() if name != "ElementDataFile"]
        last = f"ElementDataFile = {fields['ElementDataFile']}\n".encode() if "ElementDataFile" in fields else end
        path.write_bytes("\n".join([lines[0], *more, *lines[1:], ""]).encode() + last + stored)

    return spoil


def stored_as(which: Find, data: bytes) -> Spoil:
    """Keep the header, with other bytes for the voxels."""

    def spoil(case: Laid) -> None:
        path = which(case)
        start, end, _ = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
        path.write_bytes(start + end + data)

    return spoil


def voxels(which: Find, edit: Callable[[Voxels], Voxels]) -> Spoil:
    """Write other voxels in the same place."""

    def spoil(case: Laid) -> None:
        path = which(case)
        image = sitk.ReadImage(str(path))
        edited = sitk.GetImageFromArray(edit(sitk.GetArrayFromImage(image)))
        edited.CopyInformation(image)
        sitk.WriteImage(edited, str(path), useCompression=True)

    return spoil


def image(which: Find, edit: Callable[[sitk.Image], sitk.Image]) -> Spoil:
    """Write another image."""
    return lambda case: sitk.WriteImage(edit(sitk.ReadImage(str(which(case)))), str(which(case)))


def exchanged(one: Find, other: Find) -> Spoil:
    def spoil(case: Laid) -> None:
        first, second = one(case), other(case)
        kept = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(kept)

    return spoil


def mask_is_the_scan(case: Laid) -> None:
    case.mask.write_bytes(case.scan.read_bytes())


def both_turned(axis: int) -> Spoil:
    """Reverse the voxels of the scan, and of what was drawn on it, along an axis of the array (z, y, x)."""

    def spoil(case: Laid) -> None:
        for which in (scan, mask, *((pet,) if case.study.name == "lung_nodal_stage" else ())):
            voxels(which, lambda array: np.ascontiguousarray(np.flip(array, axis)))(case)

    return spoil


def at(place: int, number: float) -> Callable[[Voxels], Voxels]:
    """Put a number into one voxel of a float image."""

    def edit(array: Voxels) -> Voxels:
        edited = array.astype(np.float32)
        edited.ravel()[place] = number
        return edited

    return edit


def only_middle_of(array: Voxels) -> Voxels:
    """Keep one voxel of a mask, the one in the middle of its voxels."""
    places = np.argwhere(array)
    one = np.zeros_like(array)
    one[tuple(places[np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()])] = 1
    return one


def only_first_of_1(array: Voxels) -> Voxels:
    """Keep one voxel of the label 1, the lowest: at the edge of what it marks."""
    one = np.zeros_like(array)
    one[tuple(np.argwhere(array == 1)[0])] = 1
    return one


def noise(share: float, labels: int) -> Callable[[Voxels], Voxels]:
    def edit(array: Voxels) -> Voxels:
        random = np.random.default_rng(1)
        drawn = random.integers(1, labels + 1, array.shape) * (random.random(array.shape) < share)
        return drawn.astype(np.uint8 if labels < 256 else np.uint16)

    return edit


# TIFF


def tag(which: Find, name: str, number: int, *, page: int = 0) -> Spoil:
    """Overwrite a number in the directory of a page, where it stands."""

    def spoil(case: Laid) -> None:
        with tifffile.TiffFile(which(case), mode="r+") as tiff:
            found = tiff.pages[page].tags[name]
            first = found.value[0] if isinstance(found.value, tuple) else found.value
            found.overwrite(number if not isinstance(found.value, tuple) else (number, *found.value[1:]))
            assert first != number

    return spoil


def without_resolution(case: Laid) -> None:
    with tifffile.TiffFile(case.scan, mode="r+") as tiff:
        for page in tiff.pages:
            page.tags["ResolutionUnit"].overwrite(1)


def slide_of(pixels: Voxels, *, um_per_pixel: float = UM_PER_PIXEL, tile: int | None = 256, **options: Any) -> Spoil:
    """Write another slide, without the mask that would not fit it."""

    def spoil(case: Laid) -> None:
        path = case.scan
        shutil.rmtree(case.path(case.study.mask))
        items(lambda found: [item for item in found if item["socket"]["slug"] != case.study.mask])(case)
        given = {
            "photometric": "rgb",
            "tile": (tile, tile) if tile else None,
            "resolution": (1e4 / um_per_pixel,) * 2,
            "resolutionunit": "CENTIMETER",
            "compression": "adobe_deflate",
        }
        tifffile.imwrite(path, pixels, **{**given, **options})

    return spoil


def header_alone(case: Laid) -> None:
    """State 65,000 x 65,000 pixels in one strip of no bytes."""
    slide_of(np.zeros((64, 64, 3), np.uint8), tile=64)(case)
    for name in ("ImageWidth", "ImageLength"):
        tag(scan, name, 65_000)(case)


def directory_again(case: Laid) -> None:
    """Let the last directory of a BigTIFF lead back to the first."""
    data = bytearray(case.scan.read_bytes())
    first = at_ = int.from_bytes(data[8:16], "little")
    while True:
        count = int.from_bytes(data[at_ : at_ + 8], "little")
        link = at_ + 8 + 20 * count
        following = int.from_bytes(data[link : link + 8], "little")
        if not following:
            break
        at_ = following
    data[link : link + 8] = first.to_bytes(8, "little")
    case.scan.write_bytes(data)


def tiles_of_garbage(case: Laid) -> None:
    """Overwrite the content of every tile of the finest level."""
    random = np.random.default_rng(0)
    with tifffile.TiffFile(case.scan) as tiff:
        page = tiff.pages[0]
        pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    data = bytearray(case.scan.read_bytes())
    for offset, count in pieces:
        data[offset : offset + count] = random.bytes(count)
    case.scan.write_bytes(data)


def tiff_mask(edit: Callable[[Voxels], Voxels], *, um_per_pixel: float = 4.0, **options: Any) -> Spoil:
    """Write another mask of the slide, in one level."""

    def spoil(case: Laid) -> None:
        drawn = edit(tifffile.imread(case.mask, level=0))
        given = {
            "photometric": "minisblack",
            "resolution": (1e4 / um_per_pixel,) * 2,
            "resolutionunit": "CENTIMETER",
            "tile": (256, 256),
        }
        tifffile.imwrite(case.mask, drawn, **{**given, **options})

    return spoil


def bomb(which: Find) -> Spoil:
    """Replace the voxels by 1 GB of zeros that deflate to 1 MB, under the size that fits."""

    def spoil(case: Laid) -> None:
        path = which(case)
        start, end, _ = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
        start = re.sub(rb"DimSize = [^\n]*", b"DimSize = 1024 1024 512", start)
        start = re.sub(rb"CompressedDataSize = [^\n]*\n", b"", start)
        pack = zlib.compressobj(9)
        packed = b"".join(pack.compress(bytes(2**20)) for _ in range(64)) + pack.flush()
        path.write_bytes(start + end + packed)

    return spoil
