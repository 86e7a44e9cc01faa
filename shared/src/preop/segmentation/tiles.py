"""Scores of a prepared scan by overlapping tiles, weighted by a Gaussian (nnU-Net's sliding window, in process)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidModelError

Tile = tuple[slice | int, ...]

# Sums are formed by so many values: fewer fit the cache better, but threads wait for each other after every step, which
# takes long where other work is on the cores.
_VALUES_AT_ONCE = 2**22


def predict_scores(
    network: Any,
    scan: Any,
    patch: Sequence[int],
    heads: int,
    *,
    device: Any,
    mirrored_axes: Sequence[int],
    step: float,
    done: Callable[[], None],
) -> Any:
    """Run a network over a scan.

    The sums are kept in float16 and formed in nnU-Net's order, so that the scores are its own to the last bit on a CPU.

    Parameters
    ----------
    network
        Module on ``device``: (1, channels, z, y, x) to (1, heads, z, y, x) of a tile.
    scan
        Tensor (channels, z, y, x), float32.
    patch
        Tile size in voxels; two numbers for a network of slices.
    mirrored_axes
        Spatial axes whose mirrorings are averaged, all combinations of them; none to run each tile once.
    step
        Distance of tiles at most, as a fraction of ``patch``.
    done
        Called after each tile.

    Raises
    ------
    InvalidModelError
        If a score is infinite.

    Returns
    -------
    Tensor (heads, z, y, x), float16, on ``device`` where it has the memory, else on the CPU.
    """
    import torch
    from acvl_utils.cropping_and_padding.padding import pad_nd_image

    padded, inside = pad_nd_image(scan, list(patch), "constant", {"value": 0}, True, None)
    tiles = list(tiles_of(tuple(padded.shape[1:]), patch, step))
    flips = mirrorings(mirrored_axes)
    try:
        scores = _accumulate(network, padded.to(device), patch, heads, tiles, flips, device, done)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        scores = _accumulate(network, padded.cpu(), patch, heads, tiles, flips, device, done)
    return scores[(slice(None), *inside[1:])]


def count_tiles(shape: Sequence[int], patch: Sequence[int], step: float) -> int:
    """Count the tiles of a scan of ``shape`` (z, y, x)."""
    return sum(1 for _ in tiles_of(lifted(shape, patch), patch, step))


def lifted(shape: Sequence[int], patch: Sequence[int]) -> list[int]:
    """Shape of a scan (z, y, x) that is at least as large as a tile; a network of slices takes one slice."""
    least = [1] * (len(shape) - len(patch)) + list(patch)
    return [max(size, of_tile) for size, of_tile in zip(shape, least, strict=True)]


def tiles_of(shape: Sequence[int], patch: Sequence[int], step: float) -> Iterator[Tile]:
    """Give the tiles of a padded scan of ``shape`` (z, y, x), all channels of each."""
    flat = len(patch) < len(shape)
    starts = [_starts(size, of_tile, step) for size, of_tile in zip(shape[-len(patch) :], patch, strict=True)]
    places: list[Any] = [range(shape[0]), *starts] if flat else starts
    for corner in itertools.product(*places):
        tile = tuple(slice(at, at + size) for at, size in zip(corner[flat:], patch, strict=True))
        yield (slice(None), corner[0], *tile) if flat else (slice(None), *tile)


def _starts(size: int, of_tile: int, step: float) -> list[int]:
    """Where tiles begin along an axis: evenly, at most ``step`` apart, from the first voxel to the last."""
    count = math.ceil((size - of_tile) / (of_tile * step)) + 1
    distance = (size - of_tile) / max(count - 1, 1)
    return [int(np.round(distance * number)) for number in range(count)]


def mirrorings(axes: Sequence[int]) -> list[list[int]]:
    """Axes of a tile (1, channels, z, y, x) that are turned in each mirroring but the first, which turns none."""
    return [
        [axis + 2 for axis in some] for count in range(1, len(axes) + 1) for some in itertools.combinations(axes, count)
    ]


@lru_cache(maxsize=2)
def weight_of_voxels(patch: tuple[int, ...]) -> NDArray[np.float16]:
    """Weight of each voxel of a tile: a Gaussian around its centre, of an eighth of its size, 10 at most and never 0."""
    from scipy import ndimage

    centre = np.zeros(patch)
    centre[tuple(size // 2 for size in patch)] = 1
    gaussian = ndimage.gaussian_filter(centre, [size / 8 for size in patch], 0, mode="constant", cval=0)
    gaussian /= gaussian.max() / 10
    weight: NDArray[np.float16] = gaussian.astype(np.float16)
    weight[weight == 0] = weight[weight != 0].min()
    return weight


def _accumulate(
    network: Any,
    scan: Any,
    patch: Sequence[int],
    heads: int,
    tiles: Sequence[Tile],
    flips: Sequence[list[int]],
    device: Any,
    done: Callable[[], None],
) -> Any:
    import torch

    place = scan.device
    weight = torch.from_numpy(weight_of_voxels(tuple(patch))).to(place)
    scores = torch.zeros((heads, *scan.shape[1:]), dtype=torch.half, device=place)
    weights = torch.zeros(scan.shape[1:], dtype=torch.half, device=place)
    # The same numbers in float32: a CPU multiplies them several times faster.
    factor = weight.float() if place.type == "cpu" else weight
    at_once = max(1, _VALUES_AT_ONCE // weight.numel())
    with torch.inference_mode(), torch.autocast(device.type, enabled=device.type == "cuda"):
        for tile in tiles:
            patch_scores = _mirrored(network, scan[tile][None].to(device), flips)[0].to(place)
            for start in range(0, heads, at_once):
                some = slice(start, start + at_once)
                _add(scores[some][tile], patch_scores[some].mul_(factor))
            _add(weights[tile[1:]], factor)
            done()
        scores /= weights
    if not all(torch.isfinite(head.float().sum()) for head in scores):
        raise InvalidModelError(
            "The segmentation network gives scores beyond the range of float16: its weights are damaged, or the scan "
            "is far outside of what it has learned from."
        )
    return scores


def _add(sums: Any, values: Any) -> None:
    """Add to float16 sums in place: rounded once, as ``sums += values`` rounds, in half of its time on a CPU."""
    if sums.device.type == "cpu":
        sums.copy_(sums.float().add_(values))
    else:
        sums += values


def _mirrored(network: Any, patch: Any, flips: Sequence[list[int]]) -> Any:
    import torch

    scores = network(patch)
    for axes in flips:
        scores += torch.flip(network(torch.flip(patch, axes)), axes)
    return scores / (len(flips) + 1) if flips else scores
