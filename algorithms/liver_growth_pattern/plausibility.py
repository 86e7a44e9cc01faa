"""Whether what was segmented can be a colorectal liver metastasis: by size, density, and contrast to the liver around it.

Whether it lies in the liver at all is known already where it is measured (``lesions.MIN_LIVER_SHARE``). What fails a check
takes no part in the likelihood; it is named with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from preop.anatomy import PlausibleRange

from .lesions import Lesion, Seen

VOLUME = PlausibleRange(
    "a volume",
    "ml",
    0.0,
    1000.0,
    "a ball of 12 cm; a whole liver has 1000 to 2500 ml (Johnson 2005, AJR 185:1), and metastases that are resected seldom "
    "exceed 10 cm",
)
DENSITY = PlausibleRange(
    "a median density",
    "HU",
    -20.0,
    300.0,
    "from necrosis to calcification; fat and gas lie below",
)
CONTRAST = PlausibleRange(
    "a density beside the liver's",
    "HU",
    -250.0,
    -8.0,
    "colorectal metastases are hypovascular, and 20 to 60 HU less dense than the liver in the portal venous phase; in normal "
    "liver both medians agree to 5 HU. One that is as dense as its liver (fatty liver, calcification, another phase) "
    "does not show an interface either",
)


def size_of_a_metastasis(lesion: Lesion) -> str | None:
    """Check that it is not the liver itself, or another organ."""
    return VOLUME.problem(lesion.volume_ml)


def density_of_a_metastasis(lesion: Lesion) -> str | None:
    """Check that it is soft tissue."""
    return DENSITY.problem(lesion.median_hu)


def contrast_of_a_metastasis(lesion: Lesion) -> str | None:
    """Check that it stands out from the liver around it."""
    return CONTRAST.problem(lesion.median_hu - lesion.liver_hu)


CHECKS = (size_of_a_metastasis, density_of_a_metastasis, contrast_of_a_metastasis)


def problems_of(seen: Sequence[Seen]) -> dict[int, list[str]]:
    """Say of each metastasis, by its number, which checks it fails; those that fail none are not named."""
    found = {
        each.lesion.number: [text for check in CHECKS if (text := check(each.lesion)) is not None] for each in seen
    }
    return {number: failed for number, failed in found.items() if failed}
