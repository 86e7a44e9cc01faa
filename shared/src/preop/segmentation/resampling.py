"""Resampling by whole axes: what nnU-Net does point by point with skimage, as one product of matrices along each axis.

Interpolation on a regular grid is linear and separable, so that a cubic spline with its prefilter is one matrix an axis.
The matrices are taken from ``scipy.ndimage.zoom`` itself, which skimage calls: the numbers are the same, up to rounding
in the last place, in a small part of the time, and on a GPU too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The function of nnU-Net that is replaced here; others (on torch, or none) are called as they are.
SKIMAGE = "resample_data_or_seg_to_shape"

ANISOTROPY = 3
"""Ratio of spacings from which nnU-Net takes the slices of a scan to be thick (``nnunetv2.configuration``)."""

# Doubles of a slab of slices that are turned at once: 64 MiB.
_SLAB_VOXELS = 2**23


def resample_scan(
    scan: Any, shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float], configuration: Any
) -> Any:
    """Resample a prepared scan as the plans say.

    Parameters
    ----------
    scan
        Tensor (channels, z, y, x), float32.
    shape
        Wanted number of voxels (z, y, x).
    spacing, new_spacing
        Voxel spacing before and after, in the order of the axes.
    configuration
        nnU-Net's ``ConfigurationManager``.

    Returns
    -------
    Tensor (channels, z, y, x) of ``shape``, float32, on the device of ``scan``.
    """
    if tuple(scan.shape[1:]) == tuple(shape):
        return scan
    settings = configuration.configuration
    if settings["resampling_fn_data"] != SKIMAGE:
        return configuration.resampling_fn_data(scan, shape, spacing, new_spacing)
    import torch

    orders, thick = orders_of(settings["resampling_fn_data_kwargs"], spacing, new_spacing)
    return torch.stack([_resampled(channel, shape, orders, thick) for channel in scan])


def resample_scores(
    scores: Any, shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float], configuration: Any
) -> Any:
    """Resample the scores of one class as the plans say.

    Parameters are those of :func:`resample_scan`; ``scores`` is (z, y, x), float16.

    Returns
    -------
    Tensor of ``shape``, float32. Where nnU-Net rounds scores to float16, they are rounded, so that ties are the same.
    """
    import torch

    if tuple(scores.shape) == tuple(shape):
        return scores.float()
    settings = configuration.configuration
    if settings["resampling_fn_probabilities"] != SKIMAGE:
        return configuration.resampling_fn_probabilities(scores[None], shape, spacing, new_spacing)[0]
    orders, thick = orders_of(settings["resampling_fn_probabilities_kwargs"], spacing, new_spacing)
    if orders == (1, 1, 1):
        resampled = torch.nn.functional.interpolate(scores[None, None].float(), tuple(shape), mode="trilinear")[0, 0]
    else:
        resampled = _resampled(scores.float(), shape, orders, thick)
    return resampled.to(scores.dtype).float()


def orders_of(
    settings: Mapping[str, Any], spacing: Sequence[float], new_spacing: Sequence[float]
) -> tuple[tuple[int, int, int], int | None]:
    """Order of the spline along each axis, and the axis of thick slices, if they are kept apart.

    Parameters
    ----------
    settings
        Of nnU-Net's function: ``order``, ``order_z``, ``force_separate_z``, ``separate_z_anisotropy_threshold``.
    """
    order = settings.get("order", 3)
    axis = _thick_axis(settings, spacing, new_spacing)
    if axis is None:
        return (order, order, order), None
    between = settings.get("order_z", 0)
    first, second, third = (between if each == axis else order for each in range(3))
    return (first, second, third), axis


def _thick_axis(settings: Mapping[str, Any], spacing: Sequence[float], new_spacing: Sequence[float]) -> int | None:
    """Axis of thick slices: of the widest spacing, where one is, and it is asked for or found by the ratio of spacings."""
    apart = settings.get("force_separate_z", False)
    threshold = settings.get("separate_z_anisotropy_threshold", ANISOTROPY)
    if apart is None:
        thick = [each for each in (spacing, new_spacing) if max(each) / min(each) > threshold]
    else:
        thick = [spacing] if apart else []
    if not thick:
        return None
    widest = [axis for axis, size in enumerate(thick[0]) if size == max(thick[0])]
    return widest[0] if len(widest) == 1 else None


def _resampled(volume: Any, shape: Sequence[int], orders: tuple[int, int, int], thick: int | None) -> Any:
    """Resample (z, y, x), first inside slices, then between them; a spline does not leave the range of its input."""
    import torch

    axis = thick or 0
    slices = volume.movedim(axis, 0)
    inside = [each for each in range(3) if each != axis]
    rows, columns = (_matrix(volume.shape[each], shape[each], orders[each], volume.device) for each in inside)
    between = _matrix(volume.shape[axis], shape[axis], orders[axis], volume.device)
    turned = torch.empty((len(slices), len(rows), len(columns)), dtype=torch.float32, device=volume.device)
    slab = max(1, _SLAB_VOXELS // max(slices[0].numel(), turned[0].numel()))
    for start in range(0, len(slices), slab):
        part = slices[start : start + slab].double()
        result = rows @ part @ columns.T
        if thick is not None:
            limits = part.amin((1, 2), keepdim=True), part.amax((1, 2), keepdim=True)
            result = torch.minimum(torch.maximum(result, limits[0]), limits[1])
        turned[start : start + slab] = result
    if volume.shape[axis] != shape[axis]:
        turned = _along_first(between, turned)
    if thick is None:
        turned = turned.clamp_(volume.min(), volume.max())
    return turned.movedim(0, axis)


def _along_first(matrix: Any, volume: Any) -> Any:
    """Multiply along the first axis, a bounded part of the others at a time."""
    import torch

    flat = volume.flatten(1)
    result = torch.empty((len(matrix), flat.shape[1]), dtype=torch.float32, device=volume.device)
    width = max(1, _SLAB_VOXELS // max(len(matrix), len(flat)))
    for start in range(0, flat.shape[1], width):
        result[:, start : start + width] = matrix @ flat[:, start : start + width].double()
    return result.view(len(matrix), *volume.shape[1:])


def _matrix(old: int, new: int, order: int, device: Any) -> Any:
    import torch

    return torch.from_numpy(interpolation_matrix(old, new, order)).to(device)


@lru_cache(maxsize=16)
def interpolation_matrix(old: int, new: int, order: int) -> NDArray[np.float64]:
    """Matrix (new, old) of the spline of an order between two grids that cover the same length."""
    from scipy import ndimage

    if old == new:
        return np.eye(old)
    units = np.eye(old)
    columns = [ndimage.zoom(unit, new / old, order=order, mode="nearest", grid_mode=True) for unit in units]
    return np.stack(columns, axis=1)
