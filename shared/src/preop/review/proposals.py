"""Masks that are proposed, for a reviewer to correct: from a click or a box here, or by a promptable network.

What ships are two classical methods of well-kept libraries, which know nothing of anatomy: region growing (SimpleITK's
``ConfidenceConnected``) and the random walker (Grady, IEEE TPAMI 2006;28:1768-83, by scikit-image). A network that takes
clicks and boxes, such as nnInteractive or MedSAM, joins them as an installed package with an entry point of the group
``preop.promptable``, which names a class or function that gives a :class:`Promptable`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image, crop_geometry, to_sitk

ENTRY_POINTS = "preop.promptable"

Index = tuple[int, int, int]
"""Of a voxel, (z, y, x) in the order of the scan's array."""


@dataclass(frozen=True)
class Prompt:
    """What a reviewer has pointed at.

    Attributes
    ----------
    inside, outside
        Voxels that belong to the structure, and voxels that do not.
    box
        First and last voxel of a box around the structure, both included; None without.
    radius_mm
        How far from what was pointed at the structure may reach, where there is no box.
    """

    inside: Sequence[Index] = ()
    outside: Sequence[Index] = ()
    box: tuple[Index, Index] | None = None
    radius_mm: float = 40.0


class Promptable(Protocol):
    """What turns a prompt into a mask.

    Attributes
    ----------
    title
        A few words for the button: "Region growing".
    needs
        What it cannot do without: "click" or "box".
    """

    title: str
    needs: str

    def propose(self, scan: Image, prompt: Prompt, current: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Propose the structure that was pointed at.

        Parameters
        ----------
        scan
            The scan, (z, y, x), in its unit (HU, SUV).
        current
            What is marked already, on the same grid; all False at the first prompt.

        Returns
        -------
        Booleans on the grid of the scan: the whole proposal, not what is to be added.

        Raises
        ------
        InvalidInputError
            If nothing can be proposed for this prompt, in one sentence for the reviewer.
        """


class RegionGrowing:
    """Voxels joined to a click whose value is like that of its surroundings."""

    title = "Region growing"
    needs = "click"

    MULTIPLIER = 2.2
    ITERATIONS = 3

    def propose(self, scan: Image, prompt: Prompt, current: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See :meth:`Promptable.propose`."""
        import SimpleITK as sitk
        from scipy import ndimage

        if not prompt.inside:
            raise InvalidInputError("Click into the structure first.")
        part = part_around(scan, prompt)
        small = Image(scan.voxels[part].astype(np.float32), crop_geometry(scan.geometry, part))
        smooth = sitk.CurvatureFlow(to_sitk(small), timeStep=0.05, numberOfIterations=5)
        seeds = [_within(point, part) for point in prompt.inside]
        grown = sitk.ConfidenceConnected(
            smooth,
            seedList=[tuple(int(each) for each in reversed(seed)) for seed in seeds],
            numberOfIterations=self.ITERATIONS,
            multiplier=self.MULTIPLIER,
            initialNeighborhoodRadius=2,
            replaceValue=1,
        )
        found = ndimage.binary_fill_holes(sitk.GetArrayFromImage(grown) > 0)
        for point in prompt.outside:
            if all(p.start <= i < p.stop for i, p in zip(point, part, strict=True)):
                found[_within(point, part)] = False
        return _whole(scan, part, _joined_to(found, seeds))


class RandomWalker:
    """What a random walk from each voxel reaches first: the middle of a box (or a click), or its border."""

    title = "Random walker"
    needs = "box"

    BETA = 130.0
    MAX_VOXELS = 250_000
    """Of the part that is solved at once; a larger one is thinned out, and the result is as coarse as that."""

    def propose(self, scan: Image, prompt: Prompt, current: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See :meth:`Promptable.propose`."""
        from scipy import ndimage
        from skimage.segmentation import random_walker

        part = part_around(scan, prompt)
        step = _step(part, scan.spacing_mm, self.MAX_VOXELS)
        thin = tuple(slice(p.start, p.stop, s) for p, s in zip(part, step, strict=True))
        values = scan.voxels[thin].astype(np.float64)
        low, high = np.quantile(values, (0.01, 0.99))
        values = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
        seeds = self._seeds(values.shape, prompt, part, step, scan.spacing_mm)
        if not (seeds == 1).any():
            raise InvalidInputError("The box is too thin: draw a larger one, or click into the structure.")
        spacing = np.asarray(scan.spacing_mm) * step
        with warnings.catch_warnings():
            # Probabilities a little outside of [0, 1] are the solver's tolerance: only the larger one counts here.
            warnings.simplefilter("ignore", UserWarning)
            walked = random_walker(
                values, seeds, beta=self.BETA, mode="cg_j", tol=1e-3, spacing=spacing / spacing.min()
            )
        found = ndimage.binary_fill_holes(walked == 1)
        for axis, times in enumerate(step):
            found = np.repeat(found, times, axis=axis)
        shape = tuple(p.stop - p.start for p in part)
        return _whole(scan, part, found[tuple(slice(0, size) for size in shape)])

    @staticmethod
    def _seeds(
        shape: tuple[int, ...],
        prompt: Prompt,
        part: tuple[slice, ...],
        step: tuple[int, ...],
        spacing: tuple[float, ...],
    ) -> NDArray[np.int32]:
        """1 where the structure is, 2 where it is not, 0 where the walk decides."""
        seeds = np.zeros(shape, dtype=np.int32)
        for axis, size in enumerate(shape):
            if size > 2:  # a box in one slice has no border above and below
                border = np.moveaxis(seeds, axis, 0)
                border[0] = border[-1] = 2
        if prompt.box and not prompt.inside:
            middle = tuple(slice(int(size * 0.4), max(int(np.ceil(size * 0.6)), int(size * 0.4) + 1)) for size in shape)
            seeds[middle] = np.where(seeds[middle] == 2, 2, 1)
        for points, value in ((prompt.inside, 1), (prompt.outside, 2)):
            for point in points:
                reach = [max(int(1.5 / mm / s), 0) for mm, s in zip(spacing, step, strict=True)]
                centre = [(i - p.start) // s for i, p, s in zip(point, part, step, strict=True)]
                ball = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(centre, reach, strict=True))
                seeds[ball] = value
        return seeds


def promptables() -> Mapping[str, Promptable]:
    """Give every method that takes a click or a box, by name: those that ship, then those of installed packages.

    Raises
    ------
    InvalidInputError
        If an installed package cannot be loaded, with its name.
    """
    found: dict[str, Promptable] = {"region-growing": RegionGrowing(), "random-walker": RandomWalker()}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found[entry.name] = entry.load()()
        except Exception as error:
            raise InvalidInputError(
                f"The promptable network {entry.name} ({entry.value}) cannot be loaded: {error}. Update or uninstall it."
            ) from error
    return found


def part_around(scan: Image, prompt: Prompt) -> tuple[slice, ...]:
    """Give the part of a scan that a prompt is about.

    Raises
    ------
    InvalidInputError
        If the prompt points at nothing, or beyond the scan.
    """
    shape = np.asarray(scan.shape)
    points = np.asarray([*prompt.inside, *prompt.outside, *(prompt.box or ())])
    if not len(points):
        raise InvalidInputError("Click into the structure, or draw a box around it.")
    if (points < 0).any() or (points >= shape).any():
        raise InvalidInputError("The click or the box lies outside of the scan.")
    if prompt.box:
        low, high = points.min(axis=0), points.max(axis=0) + 1
    else:
        reach = np.ceil(prompt.radius_mm / np.asarray(scan.spacing_mm)).astype(int)
        low, high = np.maximum(points.min(axis=0) - reach, 0), np.minimum(points.max(axis=0) + reach + 1, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _within(point: Index, part: tuple[slice, ...]) -> Index:
    z, y, x = (index - piece.start for index, piece in zip(point, part, strict=True))
    return z, y, x


def _whole(scan: Image, part: tuple[slice, ...], found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    result = np.zeros(scan.shape, dtype=np.bool_)
    result[part] = found
    return result


def _joined_to(mask: NDArray[np.bool_], seeds: Sequence[Index]) -> NDArray[np.bool_]:
    """Keep the parts of a mask that hold a seed."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    wanted = {int(labels[seed]) for seed in seeds} - {0}
    return np.isin(labels, list(wanted))


def _step(part: tuple[slice, ...], spacing: tuple[float, ...], most: int) -> tuple[int, ...]:
    """Every how many voxels along each axis a part is looked at, so that no more than ``most`` are: the finest axes first."""
    sizes = np.array([piece.stop - piece.start for piece in part])
    step = np.ones(3, dtype=int)
    while np.prod(np.ceil(sizes / step)) > most:
        step[int(np.argmin(np.asarray(spacing) * step))] += 1
    return tuple(int(each) for each in step)
