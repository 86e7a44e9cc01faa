"""Whether a PET is in standardised uptake values by body weight, told by its voxels.

SUV = activity concentration [Bq/ml] x body weight [g] / injected dose [Bq], corrected for decay. Tracer that stays in the
body spreads to a mean of about 1 over the body by this definition, so that soft tissue is near 1 in every patient, while
the concentration behind it is thousands of Bq/ml. A mistake of unit moves everything by a power of ten and shows.
"""

from __future__ import annotations

import numpy as np

from preop.errors import InvalidInputError
from preop.imaging.images import Image

TISSUE_SUV = (0.05, 12.0)
"""Between what the median over tissue lies in SUV: 0.4 to 1 in a limb or a trunk, up to 10 in a crop of the brain."""

_SAMPLED_VOXELS = 2**20


def check_suv(pet: Image, *, name: str = "The PET") -> None:
    """Refuse a PET that cannot be in SUV by body weight; crops are fine.

    Parameters
    ----------
    pet
        The PET.
    name
        What it is called in the message.

    Raises
    ------
    InvalidInputError
        If the voxels look like Bq/ml, like a body weight or dose in the wrong unit, or like another kind of scan.
    """
    highest, lowest = float(pet.voxels.max()), float(pet.voxels.min())
    if highest <= 0:
        raise InvalidInputError(f"{name} holds no uptake (its highest value is {highest:g}); expected SUV above 0.")
    if lowest < -1 and -lowest > 0.1 * highest:
        raise InvalidInputError(
            f"{name} has values down to {lowest:g}, which no uptake has: it looks like a CT or another scan; "
            "expected SUV by body weight."
        )
    # The lower fraction is for crops that one hot organ fills, such as the bladder: there tissue is a hundredth of it.
    reasons = {tissue: _reason(tissue) for tissue in (_tissue_median(pet, 0.02), _tissue_median(pet, 0.002))}
    if all(reasons.values()):
        tissue, reason = next(iter(reasons.items()))
        raise InvalidInputError(
            f"{name} is not in SUV by body weight: tissue has a median of {tissue:.3g} and the highest value is "
            f"{highest:.4g}, expected about 1 and at most a few hundred; {reason}."
        )


def _tissue_median(pet: Image, fraction: float) -> float:
    """Median over tissue: voxels above a fraction of the uptake that only one in a thousand exceeds."""
    step = max(1, pet.voxels.size // _SAMPLED_VOXELS)
    sample = pet.voxels.ravel()[::step]
    sample = sample[sample > fraction * np.quantile(sample, 0.999)]
    return float(np.median(sample)) if sample.size else float(pet.voxels.max())


def _reason(tissue: float) -> str | None:
    """Say in words what makes uptake this high or low; concentrations are 1 to 10 kBq/ml where the SUV is 1."""
    lowest, highest = TISSUE_SUV
    if tissue < 1e-4:
        return "it looks like the injected dose taken 1,000,000 times too large (Bq for MBq): convert it again"
    if tissue < lowest:
        return "it looks like a body weight 1,000 times too small (kg taken for g): convert it again"
    if tissue <= highest:
        return None
    if tissue < 100:
        return "it looks like an activity concentration in kBq/ml: convert it to SUV"
    if tissue < 1e5:
        return (
            "it looks like an activity concentration in Bq/ml, or a body weight 1,000 times too large (g taken for kg): "
            "convert it to SUV"
        )
    return "it looks like an injected dose 1,000,000 times too small (MBq taken for Bq): convert it again"
