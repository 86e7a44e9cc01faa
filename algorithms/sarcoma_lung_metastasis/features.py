"""What is measured of a patient: the tumour on each scan, by the IBSI standard, and clinical information.

Image Biomarker Standardisation Initiative: Zwanenburg 2020, doi 10.1148/radiol.2020191145.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from preop.errors import InvalidInputError
from preop.grandchallenge.cases import Case
from preop.imaging import Image, bounding_box, check_drawn, check_hu, check_suv, crop
from preop.radiomics import FixedBinNumber, FixedBinSize, Perturbation, Settings, compute_features

# The public cohort holds each scan within 30 mm of the tumour: the surroundings that T1 signal is compared with.
MARGIN_MM = 30.0
# Signal of MR has no unit, so that of a tissue around the tumour stands for one. On T1, with contrast or without, fat is
# the brightest tissue of a limb, and covers more than a twentieth of that box.
FAT_QUANTILE = 0.95
# Where fat is suppressed, it is dark, as air is, and what is bright is the tumour itself, fluid and oedema, which differ
# between patients; muscle lies between. So the reference is the upper quartile of what surrounds the tumour: muscle,
# wherever fat and air take less than three quarters of it, and oedema and vessels less than one quarter.
MUSCLE_QUANTILE = 0.75
# HU that soft tissue, fat included, can have; air and dense bone lie beyond.
SOFT_TISSUE_HU = (-200.0, 300.0)
MIN_SOFT_TISSUE = 0.5
"""Share of a tumour's voxels: 0.9 or more in the public cohort."""
MIN_TUMOUR_ML = 0.5
"""A ball of 1 cm: of less, neither shape nor texture can be told on these scans. The smallest of the public cohort has
several ml."""
MAX_SIGNAL = 1e6
"""MR is stored in 12 or 16 bits; some programs scale it, by a thousand at most."""
MAX_NEGATIVE = 0.05
"""Share of an MR's voxels that may be below 0, as after filters or interpolation: a magnitude is not."""
GRADES = {"low": 0.0, "intermediate": 1.0, "high": 2.0}
CLINICAL = "clinical-information"


@dataclass(frozen=True)
class Scan:
    """A kind of scan: its sockets, and how the tumour is measured on it.

    Attributes
    ----------
    name, label
        Beginning of its features' names, and what a reader calls it.
    image, segmentation
        Sockets.
    unit
        Of its intensities.
    settings
        Voxels between the pixel size and the slice distance of the public cohort's scans (1 and 3.3 mm on CT, 4 to 5.5
        and 3.3 mm on PET); what is not soft tissue is left out.
    """

    name: str
    label: str
    image: str
    segmentation: str
    unit: str
    settings: Settings

    @property
    def proposal(self) -> str:
        """Socket of the tumour as a network outlined it, where nobody has drawn it."""
        return self.segmentation.replace("-segmentation", "-proposal")


MR_SETTINGS = Settings(
    spacing_mm=(2.0, 2.0, 2.0), round_intensities=False, outlier_sigma=3.0, discretisation=FixedBinNumber(count=32)
)
CT = Scan(
    "ct",
    "CT",
    "ct-image",
    "ct-tumour-segmentation",
    "HU",
    Settings(
        spacing_mm=(2.0, 2.0, 2.0),
        lower=SOFT_TISSUE_HU[0],
        upper=SOFT_TISSUE_HU[1],
        discretisation=FixedBinSize(width=25.0),
    ),
)
T1 = Scan(
    "t1",
    "T1 MR",
    "t1-mri",
    "t1-mri-tumour-segmentation",
    "% of fat",
    MR_SETTINGS,
)
T2_FS = Scan(
    "t2fs",
    "T2 FS MR",
    "t2-fs-mri",
    "t2-fs-mri-tumour-segmentation",
    "% of muscle",
    MR_SETTINGS,
)
CONTRAST_T1 = Scan(
    "t1c",
    "CE-T1 MR",
    "contrast-t1-mri",
    "contrast-t1-mri-tumour-segmentation",
    "% of fat",
    MR_SETTINGS,
)
PET = Scan(
    "pet",
    "PET",
    "pet-image",
    "pet-tumour-segmentation",
    "SUV",
    Settings(spacing_mm=(4.0, 4.0, 4.0), round_intensities=False, lower=0.0, discretisation=FixedBinSize(width=0.5)),
)
SCANS = (CT, T1, T2_FS, CONTRAST_T1, PET)
UNCHANGED = Perturbation()


def measure(case: Case, perturbation: Perturbation = UNCHANGED, *, scans: Collection[Scan] = SCANS) -> dict[str, float]:
    """Measure all features of a case; a feature that cannot be known is NaN.

    Parameters
    ----------
    perturbation
        A change of scans and segmentations, to see whether a feature survives it.
    scans
        Those that are measured, where the case has them.

    Raises
    ------
    InvalidInputError
        If a scan or its segmentation cannot be what it should be.
    """
    row: dict[str, float] = {}
    for scan in scans:
        if scan.image in case:
            row |= _imaging_features(scan, case, perturbation)
    if CLINICAL in case:
        row |= _clinical_features(case)
    return row


def scan_of(feature: str) -> Scan | None:
    """Scan that a feature was measured on; None for clinical information."""
    return next((scan for scan in SCANS if feature.startswith(f"{scan.name}_")), None)


def _imaging_features(scan: Scan, case: Case, perturbation: Perturbation) -> dict[str, float]:
    image = case.image(scan.image)
    mask = case.mask(scan.segmentation)
    check_drawn(mask.with_voxels(mask.voxels.astype(np.uint8)), name=scan.segmentation, structure="tumour")
    _check_volume(scan, mask)
    check_unit(scan, image, mask)
    box = bounding_box(mask.voxels, margin_voxels=tuple(math.ceil(MARGIN_MM / mm) for mm in mask.spacing_mm))
    mask, image = crop(mask, box), crop(image, box)
    if scan is CT:
        _check_tissue(image, mask)
    elif scan is PET:
        _check_uptake(image, mask)
    else:
        image = _relative_to_a_tissue(scan, image, mask)
    measured = compute_features(image, mask, scan.settings, perturbation=perturbation, threads=1)
    # Volumes of the public cohort span two orders of magnitude.
    measured["log_volume_ml"] = math.log(measured.pop("morph_volume") / 1000)
    return {f"{scan.name}_{name}": value for name, value in measured.items()}


def _clinical_features(case: Case) -> dict[str, float]:
    known = case.value(CLINICAL)

    def share(item: str, value: str) -> float:
        return float(known[item] == value) if item in known else math.nan

    return {
        "age_years": float(known.get("age_years", math.nan)),
        "male": share("sex", "male"),
        "grade": GRADES.get(known.get("grade"), math.nan),
        "liposarcoma": share("histology", "liposarcoma"),
        "extremity": share("site", "extremity"),
        "deep": share("depth", "deep"),
        "log_size_mm": math.log(known["size_mm"]) if "size_mm" in known else math.nan,
        "neoadjuvant": 1 - share("neoadjuvant_therapy", "none"),
        "margin_positive": share("margin", "positive") if known.get("margin") != "unknown" else math.nan,
    }


def check_unit(scan: Scan, image: Image, mask: Image | None = None) -> None:
    """Refuse a CT that is not in HU, a PET that is not in SUV, and an MR that is none.

    Parameters
    ----------
    mask
        The tumour, where it is known.
    """
    if scan is CT:
        check_hu(image, name=scan.image)
    elif scan is PET:
        check_suv(image, name=scan.image, brain=False, lesion=mask)
    else:
        _check_signal(scan, image)


def _check_volume(scan: Scan, mask: Image) -> None:
    """Refuse a segmentation that is too small for a tumour."""
    count = int(mask.voxels.sum())
    volume_ml = count * mask.geometry.voxel_volume_mm3 / 1000
    if volume_ml < MIN_TUMOUR_ML:
        raise InvalidInputError(
            f"{scan.segmentation} marks {'one voxel' if count == 1 else f'{count} voxels'}, {volume_ml:.2g} ml; expected a "
            f"tumour of {MIN_TUMOUR_ML:g} ml or more, whose shape and texture can be measured: check the segmentation."
        )


def _check_signal(scan: Scan, image: Image) -> None:
    """Refuse an MR that is none: beyond what is stored, the same everywhere, or with the negative values of a CT."""
    low, high = float(image.voxels.min()), float(image.voxels.max())
    negative = float((image.voxels < 0).mean())
    if high > MAX_SIGNAL:
        problem = f"values up to {high:g}, beyond {MAX_SIGNAL:g}: it was scaled, or is damaged"
    elif negative > MAX_NEGATIVE:
        problem = (
            f"negative values in {negative:.0%} of its voxels, down to {low:g}: it looks like a CT or another scan"
        )
    elif low == high != 0:
        problem = f"the same value, {low:g}, everywhere"
    else:
        return
    raise InvalidInputError(f"{scan.image} holds {problem}; expected {_SEQUENCE[scan]} as the scanner stores it.")


def _check_tissue(image: Image, mask: Image) -> None:
    """Refuse a segmentation of which most lies in air, bone or padding."""
    inside = image.voxels[mask.voxels]
    low, high = SOFT_TISSUE_HU
    share = float(((inside >= low) & (inside <= high)).mean())
    if share < MIN_SOFT_TISSUE:
        raise InvalidInputError(
            f"{CT.segmentation} is no tumour: {share:.0%} of its voxels lie between {low:g} and {high:g} HU, where soft tissue "
            f"is (all lie between {inside.min():g} and {inside.max():g} HU), expected half or more; check the segmentation."
        )


def _check_uptake(image: Image, mask: Image) -> None:
    """Refuse a segmentation where nothing takes up the tracer."""
    if float(image.voxels[mask.voxels].max()) <= 0:
        raise InvalidInputError(
            f"{PET.segmentation} covers no tumour: there is no uptake inside it; check the segmentation and the scan."
        )


def _relative_to_a_tissue(scan: Scan, image: Image, mask: Image) -> Image:
    """Express the signal of MR in % of that of a tissue around the tumour."""
    signal = _REFERENCE[scan](image, mask)
    if signal <= 0 or not (image.voxels[mask.voxels] > 0).any():
        raise InvalidInputError(
            f"{scan.segmentation} covers no tumour: there is no signal inside it; check the segmentation and the scan."
        )
    # As floats: a hundred times a voxel of 16 bits would not fit into 16 bits.
    return image.with_voxels(image.voxels.astype(np.float32) * np.float32(100 / signal))


def _fat(image: Image, mask: Image) -> float:  # noqa: ARG001 - as that of muscle
    return float(np.quantile(image.voxels, FAT_QUANTILE))


def _muscle(image: Image, mask: Image) -> float:
    return float(np.quantile(image.voxels[~mask.voxels], MUSCLE_QUANTILE))


_REFERENCE: dict[Scan, Callable[[Image, Image], float]] = {T1: _fat, T2_FS: _muscle, CONTRAST_T1: _fat}
_SEQUENCE = {T1: "T1-weighted MR", T2_FS: "fat-suppressed T2-weighted MR", CONTRAST_T1: "T1-weighted MR after contrast"}
