"""What the organ network learns from: CTs drawn from label maps of simulated people, and of real ones where they are given.

The bundled weights have seen three label maps of the TotalSegmentator data set (Wasserthal et al. 2023,
doi 10.1148/ryai.230024): subjects s0011, s0327 and s0328. Each draw bends a body into another, and makes another CT of it
(``preop.simulation.randomised``), which is then cut to the body as every CT is before the network sees it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preop.anatomy import TOTAL_CLASSES
from preop.imaging import Image, bounding_box, crop, read_image, reorient
from preop.segmentation.body import Body
from preop.simulation import BodyMap, randomised_ct

from .simulation.anatomy import INDICES, random_body

DRAWN = 200
"""CTs that are drawn."""

FROM_REAL = 0.6  # share of them, where label maps of real people are given
CUT_TO_BODY = 0.9  # share of them: the body of the others is not found
SIMULATED_BODIES = 16  # which are bent again for every draw, as the real ones are
LOOSE = 3  # voxels, at most, that the cut leaves around the body
_STREAM = 8  # beside the streams of simulated patients of the same seed

SPINE = "vertebrae_T6"
"""The class that stands for every vertebra: the stations need the spine, not its parts."""

ORGANS = (
    *(name for name in TOTAL_CLASSES if not name.startswith("vertebrae") and name != "spinal_cord"),
    SPINE,
    "liver",
    "spleen",
    "kidney_right",
    "kidney_left",
    "stomach",
    "thyroid_gland",
)

DATA_SET = {
    "source": "TotalSegmentator data set, https://doi.org/10.5281/zenodo.6802613",
    "citation": "https://doi.org/10.1148/ryai.230024",
    "licence": "CC BY 4.0",
}
"""Where label maps of real people come from."""


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of real people, as TotalSegmentator's task ``total`` labels them.

    Attributes
    ----------
    files
        Where they are.
    """

    files: tuple[Path, ...] = ()

    @functools.cached_property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each by its name."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files}

    @functools.cached_property
    def bodies(self) -> tuple[BodyMap, ...]:
        """Body around each, which takes some seconds.

        Raises
        ------
        InvalidInputError
            If a file is no label map of the task.
        """
        return tuple(BodyMap.around(read_image(path), total_values()) for path in self.files)

    @functools.cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often each is drawn: by the number of organs that it shows."""
        seen = np.array([sum(bool(body.mask(name).any()) for name in ORGANS) for body in self.bodies], dtype=float)
        return np.asarray(seen / seen.sum())

    @property
    def provenance(self) -> dict[str, Any]:
        """What the record of the training says of them."""
        maps = {"label_maps": {**DATA_SET, "sha256": self.checksums}} if self.files else {}
        return {"drawn_from_label_maps": DRAWN, **maps}


def draw_case(seed: int, number: int, maps: LabelMaps) -> tuple[list[Image], Image]:
    """Draw a CT and its labels on the network's grid, turned as nnU-Net's reader turns them."""
    rng = np.random.default_rng([seed, number, _STREAM])
    if maps.files and rng.random() < FROM_REAL:
        body = maps.bodies[int(rng.choice(len(maps.files), p=maps.weights))]
    else:
        body = _simulated_body(seed, int(rng.integers(SIMULATED_BODIES)))
    drawn = randomised_ct(rng, body)
    ct, labels = drawn.ct, drawn.labels
    if rng.random() < CUT_TO_BODY:
        mask = ndimage.binary_dilation(drawn.body, iterations=int(rng.integers(LOOSE)) + 1)
        found = Body(mask, bounding_box(mask))
        ct, labels = found.only(ct), crop(labels, found.box)
    return [reorient(ct, "RAS")], reorient(network_labels(labels, body.values), "RAS")


@functools.lru_cache(maxsize=SIMULATED_BODIES)
def _simulated_body(seed: int, number: int) -> BodyMap:
    return BodyMap.of_tissue(random_body(np.random.default_rng([seed, number, _STREAM + 1])).tissue, INDICES)


def network_labels(labels: Image, values: Mapping[str, int]) -> Image:
    """Take the network's labels from those of ``values``; the others are background."""
    lookup = np.zeros(256, dtype=np.uint8)
    for label, name in enumerate(ORGANS, 1):
        names = [each for each in values if each.startswith("vertebrae")] if name == SPINE else [name]
        lookup[[values[each] for each in names if each in values]] = label
    return labels.with_voxels(lookup[labels.voxels])


def total_values() -> dict[str, int]:
    """Value of each class of TotalSegmentator's task ``total`` by its name."""
    from totalsegmentator.map_to_binary import class_map

    return {name: value for value, name in class_map["total"].items()}
