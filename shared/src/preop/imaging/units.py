"""Whether a scan is in the unit it should be in, told by its voxels: a CT in HU, a PET in SUV by body weight; both in mm.

HU: air is -1000 and water 0 by definition, so that fat lies near -100 and other soft tissue from 0 to 150, with contrast up
to 350, in every patient. A rescale that was forgotten or done twice moves all of that, by 1000 or 1024 as a rule.

SUV = activity concentration [Bq/ml] x body weight [g] / injected dose [Bq], corrected for decay. Tracer that stays in the
body spreads to a mean of about 1 over the body by this definition, so that soft tissue is near 1 in every patient, while
the concentration behind it is thousands of Bq/ml. A mistake of unit moves everything by a power of ten and shows; kBq/ml
are only 2.5 to 5 times the SUV, which shows outside the brain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.images import Geometry, Image

SOFT_TISSUE_HU = (-250.0, 350.0)
AIR_HU = -400.0
"""Air and lung are below."""
FAT_OR_AIR_HU = -60.0
PADDING_HU = -1500.0
"""Below is what scanners write outside their field of view (-2000, -3024): not measured, and left out here."""
MIN_TISSUE = 0.5
MIN_FAT_OR_AIR = 0.002
MIN_IN_VIEW = 0.03
MIN_SOFT = 0.06
DENSE_HU = 500.0
MAX_DENSE = 0.05
SHIFTED_TISSUE_HU = (850.0, 1250.0)
"""Where fat and soft tissue lie that are 1000 or 1024 too high. Bone spreads beyond: at most 0.4 of what is dense lies here."""
MAX_IN_ONE_PEAK = 0.6
MIN_SPREAD_HU = 50.0

TISSUE_SUV = (0.05, 12.0)
"""Between what the median over tissue lies in SUV: 0.4 to 1 in a limb or a trunk, up to 10 in a crop of the brain."""
MAX_QUIET_SUV = 1.3
"""Highest median over tissue outside of tumours and of the brain: 0.36 to 1.00 around 39 sarcomas, up to 1.22 around simulated
ones. In kBq/ml, which are 3 to 5 times as large, it is 1.09 to 5 in the same scans."""

VOXEL_MM = (0.05, 30.0)
"""Sides of voxels of patients: 0.1 mm in a CT of the temporal bone, 10 mm in slices of old scanners, 20 mm with gaps."""
LONGEST_MM = 3000.0
"""Longest side of a scan: that of a whole body."""
FARTHEST_MM = 1e5
"""Of a scan from the origin of its coordinates, which lies in the scanner or in the patient."""

_SAMPLED_VOXELS = 2**20


def check_mm(scan: Geometry, *, name: str) -> None:
    """Refuse a scan that cannot be one of a patient, by its sizes in mm.

    Parameters
    ----------
    scan
        Where its voxels lie.
    name
        What it is called in the message.

    Raises
    ------
    InvalidInputError
        If its voxels are as small as a cell or as large as an organ, or it is larger than any patient or far away.
    """
    low, high = VOXEL_MM
    sides = [size * spacing for size, spacing in zip(scan.shape, scan.spacing_mm, strict=True)]
    if not all(low <= spacing <= high for spacing in scan.spacing_mm):
        found, wanted = f"voxels of {_in_mm(scan.spacing_mm)}", f"{low:g} to {high:g} mm"
    elif max(sides) > LONGEST_MM:
        found, wanted = f"a size of {_in_mm(sides)}", f"at most {LONGEST_MM:g} mm"
    elif max(map(abs, scan.origin_mm)) > FARTHEST_MM:
        found, wanted = f"its origin {max(map(abs, scan.origin_mm)):g} mm away", f"at most {FARTHEST_MM:g} mm"
    else:
        return
    raise InvalidInputError(
        f"{name} has {found}; expected {wanted} in a scan of a patient: its header is wrong, or not in millimetres."
    )


def check_hu(ct: Image, *, name: str = "The CT") -> None:
    """Refuse a CT that cannot be in HU; crops are fine as long as they hold soft tissue with some fat or air.

    Parameters
    ----------
    ct
        The CT.
    name
        What it is called in the message.

    Raises
    ------
    InvalidInputError
        If most of its tissue is not where tissue lies in HU, with what it probably is instead.
    """
    sample = _sample(ct)
    low, high = float(sample.min()), float(sample.max())
    seen = f"its values run from {low:g} to {high:g}"
    measured = sample[sample > PADDING_HU]
    if float((sample > 32000).mean()) > 0.01:
        raise _not_hu(name, seen, "negative values were stored without their sign: read it as signed 16-bit numbers")
    if measured.size < MIN_IN_VIEW * sample.size:
        share = 1 - measured.size / sample.size
        raise _not_hu(name, f"{share:.0%} of it is padding below {PADDING_HU:g}", "there is no patient in view")
    first, last = np.quantile(measured, (0.001, 0.999))
    if last - first < MIN_SPREAD_HU:
        raise _not_hu(name, seen, "it looks normalised, or like another scan: give the CT as reconstructed")
    tissue = measured[measured > AIR_HU]
    dense = tissue[tissue > DENSE_HU]
    peak = dense[(dense > SHIFTED_TISSUE_HU[0]) & (dense < SHIFTED_TISSUE_HU[1])]
    if dense.size > MAX_DENSE * tissue.size and peak.size > MAX_IN_ONE_PEAK * dense.size:
        raise _not_hu(
            name,
            f"most of the body lies near {np.median(peak):.0f}",
            "it looks like HU + 1024, or stored values without their rescale intercept: subtract 1024, or convert it again",
        )
    if float((measured < FAT_OR_AIR_HU).mean()) < MIN_FAT_OR_AIR:
        reason = "it looks like a windowed picture, an MR or another scan without negative values: give the CT as reconstructed"
        raise _not_hu(name, f"{seen}, and neither fat (near -100) nor air (near -1000) is in it", reason)
    soft = float(((tissue >= SOFT_TISSUE_HU[0]) & (tissue <= SOFT_TISSUE_HU[1])).sum())
    if soft < MIN_SOFT * measured.size:
        twice = low < PADDING_HU and float((measured < -850).mean()) > 0.3
        reason = "the rescale intercept may have been subtracted twice" if twice else "no soft tissue is in view"
        raise _not_hu(name, f"{soft / measured.size:.1%} of it is soft tissue (-250 to 350)", reason)
    if soft < MIN_TISSUE * tissue.size:
        raise _not_hu(
            name,
            f"{soft / tissue.size:.0%} of what is denser than lung lies between -250 and 350, where soft tissue is",
            "its scale is another one: convert it again from the DICOM series",
        )


def check_suv(pet: Image, *, name: str = "The PET", brain: bool = True, lesion: Image | None = None) -> None:
    """Refuse a PET that cannot be in SUV by body weight; crops are fine.

    Parameters
    ----------
    pet
        The PET.
    name
        What it is called in the message.
    brain
        Whether it may show little but the brain, whose uptake is as high as that of other tissue in kBq/ml.
    lesion
        Mask of a tumour, which may fill a crop and says nothing of quiet tissue.

    Raises
    ------
    InvalidInputError
        If the voxels look like Bq/ml or kBq/ml, like a body weight or dose in the wrong unit, or like another kind of scan.
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
    sample = _sample(pet)
    medians = [_tissue_median(sample, fraction) for fraction in (0.02, 0.002)]
    reasons = {tissue: _reason(tissue) for tissue in medians}
    if all(reasons.values()):
        tissue, reason = next(iter(reasons.items()))
        raise InvalidInputError(
            f"{name} is not in SUV by body weight: tissue has a median of {tissue:.3g} and the highest value is "
            f"{highest:.4g}, expected about 1 and at most a few hundred; {reason}."
        )
    around = _tissue_median(sample if lesion is None else _sample(pet, lesion.voxels == 0), 0.02)
    if not brain and around > MAX_QUIET_SUV:
        raise InvalidInputError(
            f"{name} is not in SUV by body weight: tissue outside of tumours has a median of {around:.3g}, and fat and resting "
            f"muscle keep it below {MAX_QUIET_SUV:g}; it looks like an activity concentration in kBq/ml: convert it to SUV."
        )
    if len(np.unique(sample)) > 1 and highest < 100 and (sample == np.rint(sample)).all():
        raise InvalidInputError(
            f"{name} holds whole numbers alone, from {lowest:g} to {highest:g}: SUV were rounded when it was written; convert it "
            "again with decimals."
        )


def _in_mm(sides: Sequence[float]) -> str:
    return " x ".join(f"{side:g}" for side in reversed(sides)) + " mm"


def _not_hu(name: str, seen: str, reason: str) -> InvalidInputError:
    return InvalidInputError(f"{name} is not in HU: {seen}; {reason}.")


def _sample(image: Image, where: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    voxels = image.voxels.ravel() if where is None else image.voxels[where]
    return np.asarray(voxels[:: max(1, voxels.size // _SAMPLED_VOXELS)])


def _tissue_median(sample: NDArray[Any], fraction: float) -> float:
    """Median over tissue: voxels above a fraction of the uptake that only one in a thousand exceeds."""
    tissue = sample[sample > fraction * np.quantile(sample, 0.999)]
    return float(np.median(tissue)) if tissue.size else float(sample.max())


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
            "it looks like an activity concentration in Bq/ml, SUV times 1,000, or a body weight 1,000 times too large (g taken "
            "for kg): convert it to SUV"
        )
    return "it looks like an injected dose 1,000,000 times too small (MBq taken for Bq): convert it again"
