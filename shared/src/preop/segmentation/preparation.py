"""A scan as an nnU-Net network wants it: axes, crop, intensities and voxel spacing by the plans.

The steps and their order are those of ``DefaultPreprocessor.run_case_npy`` of nnunetv2 2.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Image, bounding_box, reorient
from preop.imaging.regions import Box

PREPROCESSOR = "DefaultPreprocessor"

# How the readers of nnU-Net lay a file out in memory: as it is, or turned first.
READERS = {
    "SimpleITKIO": None,
    "NibabelIO": None,
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}


Normalise = Callable[[NDArray[np.float32], NDArray[np.bool_]], None]
"""Changes channels (channels, z, y, x) in place, given where any of them is not zero."""
Resample = Callable[[NDArray[np.float32], Sequence[int], Sequence[float], Sequence[float]], Any]
"""Brings channels to a shape, given their spacing before and after."""


@dataclass(frozen=True)
class PreparedScan:
    """A scan on the grid of the network, and how to come back.

    Attributes
    ----------
    data
        Array, or tensor, (channels, z, y, x), float32, in the network's order of axes.
    box
        The part of the scan that is not zero throughout, in that order of axes.
    whole_shape
        Shape before the crop, in that order.
    spacing, network_spacing
        Voxel spacing in mm before and after resampling, in that order.
    """

    data: Any
    box: Box
    whole_shape: tuple[int, ...]
    spacing: tuple[float, ...]
    network_spacing: tuple[float, ...]


def in_file_order(images: Sequence[Image], reader: str) -> list[Image]:
    """Lay the channels of a scan out as nnU-Net's reader does."""
    code = READERS[reader]
    return [reorient(image, code) if code else image for image in images]


def prepare(
    images: Sequence[Image],
    *,
    order: Sequence[int],
    spacing_mm: Sequence[float],
    normalise: Normalise,
    resample: Resample,
) -> PreparedScan:
    """Crop, normalise and resample the channels of a scan.

    Parameters
    ----------
    images
        One image a channel on one grid, laid out by :func:`in_file_order`.
    order
        Axes of the images in the network's order.
    spacing_mm
        Of the network, in its order; two numbers for a network of slices.
    normalise
        Changes the channels in place.
    resample
        Resamples them.

    Raises
    ------
    InvalidInputError
        If all voxels are zero.
    """
    arrays = [image.voxels.transpose(list(order)) for image in images]
    spacing = tuple(images[0].spacing_mm[axis] for axis in order)
    not_zero = np.logical_or.reduce([array != 0 for array in arrays])
    if not not_zero.any():
        raise InvalidInputError("All voxels of the scan are 0: there is nothing to segment.")
    box = bounding_box(not_zero)
    # A copy of its own, because the intensities are changed in place.
    data = np.stack([array[box] for array in arrays]).astype(np.float32)
    normalise(data, not_zero[box])
    network_spacing = (*spacing[: 3 - len(spacing_mm)], *spacing_mm)
    shape = [round(old / new * size) for old, new, size in zip(spacing, network_spacing, data.shape[1:], strict=True)]
    if min(shape) < 1:
        raise InvalidInputError(
            f"The scan is {' x '.join(map(str, data.shape[:0:-1]))} voxels without its empty border; "
            "expected more than one slice of the network's spacing."
        )
    return PreparedScan(
        data=resample(data, shape, spacing, network_spacing),
        box=box,
        whole_shape=arrays[0].shape,
        spacing=spacing,
        network_spacing=network_spacing,
    )


def normalise_by_plans(data: NDArray[np.float32], not_zero: NDArray[np.bool_], plans: Any, configuration: Any) -> None:
    """Normalise each channel in place.

    Parameters
    ----------
    data
        Channels (channels, z, y, x).
    not_zero
        Where any of them is not zero (z, y, x).
    plans, configuration
        nnU-Net's ``PlansManager`` and ``ConfigurationManager``.
    """
    region = None
    if any(configuration.use_mask_for_norm):
        from scipy import ndimage

        # nnU-Net marks the outside by -1. Holes count as inside; without a mask, the slow search for them is not needed.
        region = np.where(ndimage.binary_fill_holes(not_zero), np.int8(0), np.int8(-1))
    properties = plans.foreground_intensity_properties_per_channel
    for channel, scheme in enumerate(configuration.normalization_schemes):
        normaliser = normaliser_of(scheme)(
            use_mask_for_norm=configuration.use_mask_for_norm[channel], intensityproperties=properties[str(channel)]
        )
        data[channel] = normaliser.run(data[channel], region)


def normaliser_of(scheme: str) -> Any:
    """Find nnU-Net's class of a normalisation scheme.

    Raises
    ------
    InvalidModelError
        If there is none of this name.
    """
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = Path(nnunetv2.__path__[0]) / "preprocessing" / "normalization"
    found = recursive_find_python_class(str(folder), scheme, "nnunetv2.preprocessing.normalization")
    if found is None:
        raise InvalidModelError(f"The plans normalise by {scheme!r}, which the installed nnunetv2 does not know.")
    return found
