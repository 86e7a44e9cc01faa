"""Outputs out: every declared result, checked against the contract, or none at all."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preop.atomic import PARTIAL, move_all
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import MAXIMUM_SEGMENTS_OF_TIFF, Algorithm, Kind, Socket
from preop.grandchallenge.cases import Case
from preop.grandchallenge.values import JSON, check_value, to_json
from preop.imaging import Image, write_image, write_tiff

JPEG_QUALITY = 90


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A small picture for people, written as JPEG.

    Attributes
    ----------
    pixels
        RGB (height, width, 3), uint8.
    """

    pixels: NDArray[np.uint8]


Output = JSON | Image | Thumbnail


def write_outputs(outputs: Mapping[str, Output], case: Case, root: Path) -> None:
    """Write all outputs of a case below ``root``: first to a hidden folder, then moved to their places, all or none.

    Parameters
    ----------
    outputs
        Result by slug: an ``Image`` for image sockets, a ``Thumbnail`` for thumbnails, else a JSON value. 3D images become
        ``.mha``, flat ones ``.tif``.
    case
        Whose scans lend segmentations their exact geometry.

    Raises
    ------
    InvalidOutputError
        If an output is missing, not declared, or one that the platform would refuse; or the folder is read-only or full.
    """
    checked = check_outputs(outputs, case.algorithm, case)
    try:
        staging = Path(tempfile.mkdtemp(dir=root, prefix=PARTIAL))
    except OSError as error:
        raise InvalidOutputError(f"The output folder {root} cannot be written: {_reason(error)}.") from error
    try:
        for socket, output in checked:
            _write(output, socket, staging)
        move_all([(staging / socket.relative_path, root / socket.relative_path) for socket, _ in checked])
    except OSError as error:
        raise InvalidOutputError(f"The output folder {root} cannot be written: {_reason(error)}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_outputs(outputs: Mapping[str, Output], algorithm: Algorithm, case: Case) -> list[tuple[Socket, Output]]:
    """Pair each declared output with its result, refusing whatever the platform would refuse."""
    sockets = algorithm.outputs_of(case.interface)
    declared = {socket.slug for socket in sockets}
    if missing := sorted(declared - outputs.keys()):
        raise InvalidOutputError(f"{algorithm.name} did not produce its output {missing[0]}.")
    if unknown := sorted(outputs.keys() - declared):
        raise InvalidOutputError(f"{algorithm.name} produced {unknown[0]}, which its algorithm.toml does not declare.")
    checked: list[tuple[Socket, Output]] = []
    for socket in sockets:
        output = outputs[socket.slug]
        if socket.kind.is_image:
            output = _checked_image(output, socket, case)
        elif socket.kind is Kind.THUMBNAIL:
            _check_thumbnail(output, socket)
        else:
            try:
                check_value(output, socket, algorithm.json_schemas.get(socket.slug))
            except InvalidInputError as error:
                raise InvalidOutputError(f"The platform would refuse an output: {error}") from error
        checked.append((socket, output))
    return checked


def _checked_image(output: Output, socket: Socket, case: Case) -> Image:
    if not isinstance(output, Image):
        raise InvalidOutputError(f"{socket.slug} is a {type(output).__name__}; expected an image.")
    if output.voxels.dtype == bool:
        output = output.with_voxels(output.voxels.astype(np.uint8))
    if output.voxels.dtype.kind == "f" and not np.isfinite(output.voxels).all():
        raise InvalidOutputError(f"{socket.slug} holds voxels that are not finite numbers.")
    if socket.kind is Kind.SEGMENTATION:
        _check_labels(output, socket)
    if socket.segmentation_of is not None:
        scan = case.geometry(socket.segmentation_of)
        difference = scan.difference(output.geometry)
        if difference:
            raise InvalidOutputError(
                f"{socket.slug} does not lie on the grid of {socket.segmentation_of} ({difference})."
            )
        output = Image(output.voxels, scan)
    return output


def _check_thumbnail(output: Output, socket: Socket) -> None:
    if not isinstance(output, Thumbnail):
        raise InvalidOutputError(f"{socket.slug} is a {type(output).__name__}; expected a thumbnail.")
    pixels = output.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InvalidOutputError(
            f"{socket.slug} is an array of {pixels.dtype} of the shape {pixels.shape}; expected 8-bit RGB (height, width, 3)."
        )


def _check_labels(segmentation: Image, socket: Socket) -> None:
    """Refuse what the platform does not take for a segmentation (panimg 0.18 ``models.py``, the socket's labels)."""
    if segmentation.voxels.dtype not in (np.uint8, np.int8):
        raise InvalidOutputError(f"{socket.slug} holds {segmentation.voxels.dtype} voxels; expected 8-bit integers.")
    voxels = segmentation.voxels
    if voxels.ndim == 2 and voxels.size and int(voxels.max()) - int(voxels.min()) >= MAXIMUM_SEGMENTS_OF_TIFF:
        raise InvalidOutputError(
            f"{socket.slug} holds the labels {voxels.min()} to {voxels.max()}; expected a span below {MAXIMUM_SEGMENTS_OF_TIFF} "
            "in a flat segmentation."
        )
    if unknown := sorted(set(np.unique(segmentation.voxels).tolist()) - {0, *socket.overlay_segments.values()}):
        raise InvalidOutputError(f"{socket.slug} holds the label {unknown[0]}, which its overlay_segments do not name.")


def _write(output: Output, socket: Socket, staging: Path) -> None:
    if isinstance(output, Image):
        folder = staging / socket.relative_path
        if output.voxels.ndim == 2:
            write_tiff(output, folder / "output.tif")
        else:
            write_image(output, folder / "output.mha")
        return
    path = staging / socket.relative_path
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(output, Thumbnail):
        from PIL import Image as PillowImage

        PillowImage.fromarray(output.pixels).save(path, "JPEG", quality=JPEG_QUALITY)
    else:
        path.write_text(to_json(output), encoding="utf-8")


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the quota is used up",
        errno.EFBIG: "a file became larger than the system allows",
        errno.EROFS: "it is read-only",
        errno.EACCES: "this user may not write there",
        errno.EPERM: "this user may not write there",
        errno.ENOENT: "it does not exist",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))
