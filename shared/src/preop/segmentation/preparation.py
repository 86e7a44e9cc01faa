"""A scan as an nnU-Net network wants it: axes, crop, intensities and voxel spacing by the plans.

The steps and their order are those of ``DefaultPreprocessor.run_case_npy`` of nnunetv2 2.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Image, bounding_box, reorient
from preop.imaging.regions import Box
from preop.segmentation.resampling import resample_scan

PREPROCESSOR = "DefaultPreprocessor"

# How the readers of nnU-Net lay a file out in memory: as it is, or turned first.
READERS = {
    "SimpleITKIO": None,
    "NibabelIO": None,
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}


@dataclass(frozen=True)
class PreparedScan:
    """A scan on the grid of the network, and how to come back.

    Attributes
    ----------
    data
        Tensor (channels, z, y, x), float32, in the network's order of axes.
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


def prepare(images: Sequence[Image], plans: Any, configuration: Any, device: Any) -> PreparedScan:
    """Crop, normalise and resample the channels of a scan.

    Parameters
    ----------
    images
        One image a channel on one grid, laid out by :func:`in_file_order`.
    plans, configuration
        nnU-Net's ``PlansManager`` and ``ConfigurationManager``.
    device
        Where to resample.

    Raises
    ------
    InvalidInputError
        If all voxels are zero.
    """
    import torch
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

    order = list(plans.transpose_forward)
    arrays = [image.voxels.transpose(order) for image in images]
    spacing = tuple(images[0].spacing_mm[axis] for axis in order)
    not_zero = np.logical_or.reduce([array != 0 for array in arrays])
    if not not_zero.any():
        raise InvalidInputError("All voxels of the scan are 0: there is nothing to segment.")
    box = bounding_box(not_zero)
    # A copy of its own, because the intensities are changed in place.
    data = np.stack([array[box] for array in arrays]).astype(np.float32)
    _normalise(data, not_zero[box], plans, configuration)
    wanted = tuple(configuration.spacing)
    network_spacing = (*spacing[: 3 - len(wanted)], *wanted)
    shape = compute_new_shape(data.shape[1:], spacing, network_spacing)
    if min(shape) < 1:
        raise InvalidInputError(
            f"The scan is {' x '.join(map(str, data.shape[:0:-1]))} voxels without its empty border; "
            "expected more than one slice of the network's spacing."
        )
    return PreparedScan(
        data=resample_scan(torch.from_numpy(data).to(device), shape, spacing, network_spacing, configuration),
        box=box,
        whole_shape=arrays[0].shape,
        spacing=spacing,
        network_spacing=network_spacing,
    )


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


def _normalise(data: NDArray[np.float32], not_zero: NDArray[np.bool_], plans: Any, configuration: Any) -> None:
    """Normalise each channel in place."""
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
