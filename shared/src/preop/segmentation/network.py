"""nnU-Net v2 networks in this process: what they take and give, whichever form of them runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image, reorient_like
from preop.segmentation.model_folder import ModelFolder
from preop.segmentation.preparation import PreparedScan, in_file_order

Device = Literal["auto", "cpu", "cuda"]
Progress = Callable[[int, int], None]
"""Called with the number of tiles done and the number of all."""


@dataclass(frozen=True, eq=False)
class Network(ABC):
    """A trained segmentation network, ready for scans; made by :func:`preop.segmentation.load_network`.

    Attributes
    ----------
    folder
        What was read and checked: data set, folds and the checksum of each file.
    threads
        Number of CPU threads; all that there are if None.
    """

    folder: ModelFolder
    threads: int | None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the scans it takes, in order."""
        dataset = self.folder.dataset
        names = dataset["modality"] if "modality" in dataset else dataset["channel_names"]
        return tuple(names[key] for key in sorted(names, key=int))

    @property
    def labels(self) -> dict[str, int | tuple[int, ...]]:
        """Value of each label by its name; several values of a region that holds them all."""
        labels = self.folder.dataset["labels"].items()
        return {name: tuple(value) if isinstance(value, list) else value for name, value in labels}

    @property
    def checksums(self) -> Mapping[str, str]:
        """SHA-256 of each file it was read from, for the record of where a result comes from."""
        return self.folder.checksums

    def segment(
        self,
        images: Image | Sequence[Image],
        *,
        mirroring: bool = True,
        step: float = 0.5,
        progress: Progress | None = None,
    ) -> Image:
        """Segment a scan.

        Parameters
        ----------
        images
            One image a channel, all on one grid, in the order of :attr:`channels`.
        mirroring
            Average over the mirrorings that the network has learned, as nnU-Net does unless told otherwise: up to eight
            times the work.
        step
            Distance of the tiles as a fraction of their size; nnU-Net's is 0.5.
        progress
            Called after each tile.

        Returns
        -------
        Label map (uint8, or uint16 from 255 labels) on the grid of the scan.

        Raises
        ------
        InvalidInputError
            If the number of images is not that of the channels, their grids differ, or all voxels are 0.
        """
        return self._segment(images, (), mirroring=mirroring, step=step, progress=progress)[0]

    def segment_with_probabilities(
        self,
        images: Image | Sequence[Image],
        names: Sequence[str],
        *,
        mirroring: bool = True,
        step: float = 0.5,
        progress: Progress | None = None,
    ) -> tuple[Image, dict[str, Image]]:
        """Segment a scan, and give the probability (float32) of some labels in each voxel too.

        Parameters and errors are those of :meth:`segment`; ``names`` are of :attr:`labels`.
        """
        unknown = [name for name in names if name not in self.labels]
        if unknown:
            raise InvalidInputError(
                f"The network has no label {unknown[0]!r}; expected one of {', '.join(map(repr, self.labels))}."
            )
        return self._segment(images, tuple(names), mirroring=mirroring, step=step, progress=progress)

    def _segment(
        self,
        images: Image | Sequence[Image],
        names: tuple[str, ...],
        *,
        mirroring: bool,
        step: float,
        progress: Progress | None,
    ) -> tuple[Image, dict[str, Image]]:
        given = [images] if isinstance(images, Image) else list(images)
        self._check(given)
        turned = in_file_order(given, self.reader)
        scan, maps = self._maps(turned, names, mirroring=mirroring, step=step, progress=progress)
        on_grid = [
            reorient_like(turned[0].with_voxels(_uncropped(each, scan, self._back, outside)), given[0].geometry)
            for each, outside in zip(maps, (0, *(float(self.labels[name] == 0) for name in names)), strict=True)
        ]
        # The very grid of the scan, without rounding of its numbers by turning there and back.
        labels, *probabilities = (given[0].with_voxels(image.voxels) for image in on_grid)
        return labels, dict(zip(names, probabilities, strict=True))

    @property
    @abstractmethod
    def reader(self) -> str:
        """nnU-Net's class that reads its scans, which decides how they lie in memory."""

    @property
    @abstractmethod
    def _back(self) -> Sequence[int]:
        """The network's axes in the order of the images."""

    @abstractmethod
    def _maps(
        self,
        images: Sequence[Image],
        names: tuple[str, ...],
        *,
        mirroring: bool,
        step: float,
        progress: Progress | None,
    ) -> tuple[PreparedScan, list[NDArray[Any]]]:
        """Labels, and the probabilities of some of them, on the cropped grid of the scan in the network's order of axes."""

    def _check(self, images: Sequence[Image]) -> None:
        if len(images) != len(self.channels):
            raise InvalidInputError(
                f"The segmentation network takes {len(self.channels)} scans ({', '.join(self.channels)}); "
                f"found {len(images)}."
            )
        if len(images[0].shape) != 3:
            raise InvalidInputError("The segmentation network takes scans of three dimensions; found a flat image.")
        for name, image in zip(self.channels[1:], images[1:], strict=True):
            difference = images[0].geometry.difference(image.geometry)
            if difference:
                raise InvalidInputError(
                    f"{name} lies on another grid than {self.channels[0]} ({difference}): resample one to the other."
                )


def _uncropped(voxels: NDArray[Any], scan: PreparedScan, back: Sequence[int], outside: float) -> NDArray[Any]:
    """Put a map back into the whole scan and its order of axes."""
    whole = np.full(scan.whole_shape, outside, dtype=voxels.dtype)
    whole[scan.box] = voxels
    return whole.transpose(list(back))
