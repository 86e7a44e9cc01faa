"""The reference values and phantoms of the Image Biomarker Standardisation Initiative.

``python -m tests.radiomics.ibsi`` counts how many of them the engine meets.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np

from preop.imaging import Image, read_image
from preop.radiomics import IBSI_CONFIGURATIONS, Family, Settings, compute_features
from preop.radiomics.filters import (
    Filter,
    Gabor,
    LaplacianOfGaussian,
    Laws,
    Mean,
    SeparableWavelet,
    Simoncelli,
)
from preop.radiomics.settings import DIGITAL_PHANTOM

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PREOP_DATA", ROOT.parent / "shared" / "data")) / "ibsi"
MISSING = f"the IBSI phantoms are not in {DATA} (set PREOP_DATA)"

TABLES: dict[str, tuple[str, Settings]] = {
    "dig_phantom": ("digital_phantom", DIGITAL_PHANTOM),
    "chest_config_a": ("ct_phantom", IBSI_CONFIGURATIONS["A"]),
    "chest_config_b": ("ct_phantom", IBSI_CONFIGURATIONS["B"]),
    "chest_config_c": ("ct_phantom", IBSI_CONFIGURATIONS["C"]),
}
"""Tables of IBSI-1, with their phantom and settings."""

RESPONSE_MAPS: dict[str, tuple[str, Filter]] = {
    "1_a_1": ("checkerboard", Mean(support_voxels=15, boundary="zero")),
    "1_a_2": ("checkerboard", Mean(support_voxels=15, boundary="nearest")),
    "2_a": ("impulse", LaplacianOfGaussian(sigma_mm=3, boundary="zero")),
    "2_b": ("checkerboard", LaplacianOfGaussian(sigma_mm=5)),
    "2_c": ("checkerboard", LaplacianOfGaussian(sigma_mm=5, by_slice=True)),
    "5_a_1": ("impulse", SeparableWavelet(wavelet="db2", passes="LHL", boundary="zero")),
    "5_a_2": ("impulse", SeparableWavelet(wavelet="db2", passes="LHL", boundary="zero", rotation_invariant=True)),
    "6_a_1": ("sphere", SeparableWavelet(wavelet="coif1", passes="HHL", boundary="periodic")),
    "6_a_2": ("sphere", SeparableWavelet(wavelet="coif1", passes="HHL", boundary="periodic", rotation_invariant=True)),
    "7_a_1": ("checkerboard", SeparableWavelet(wavelet="haar", passes="LLL", level=2, rotation_invariant=True)),
    "7_a_2": ("checkerboard", SeparableWavelet(wavelet="haar", passes="HHH", level=2, rotation_invariant=True)),
}
"""Response maps of IBSI-2 (phase 1), with their phantom and filter."""


def _db3(passes: str, *, level: int, by_slice: bool) -> SeparableWavelet:
    return SeparableWavelet(wavelet="db3", passes=passes, level=level, by_slice=by_slice, rotation_invariant=True)


FILTERS: dict[str, Filter | None] = {
    "1.A": None,
    "1.B": None,
    "2.A": Mean(support_voxels=5, by_slice=True),
    "2.B": Mean(support_voxels=5),
    "3.A": LaplacianOfGaussian(sigma_mm=1.5, by_slice=True),
    "3.B": LaplacianOfGaussian(sigma_mm=1.5),
    "4.A": Laws(kernels="L5E5", energy_distance_voxels=7, by_slice=True),
    "4.B": Laws(kernels="L5E5E5", energy_distance_voxels=7),
    "5.A": Gabor(sigma_mm=5, wavelength_mm=2, gamma=1.5, by_slice=True),
    "5.B": Gabor(sigma_mm=5, wavelength_mm=2, gamma=1.5),
    "6.A": _db3("LH", level=1, by_slice=True),
    "6.B": _db3("LLH", level=1, by_slice=False),
    "7.A": _db3("HH", level=2, by_slice=True),
    "7.B": _db3("HHH", level=2, by_slice=False),
    "8.A": Simoncelli(level=1, by_slice=True),
    "8.B": Simoncelli(level=1),
    "9.A": Simoncelli(level=2, by_slice=True),
    "9.B": Simoncelli(level=2),
}
"""Filters of IBSI-2 (phase 2) on the CT phantom: A by slice on the image as it is, B in three dimensions at 1 mm."""


@dataclass(frozen=True)
class Reference:
    """A consensus value of the standard, published to three significant figures (counts of voxels to more)."""

    table: str
    tag: str
    published: str
    tolerance: float

    @property
    def value(self) -> float:
        """The consensus value."""
        return float(self.published)

    def accepts(self, found: float) -> bool:
        """Whether a value is within the tolerance when it is rounded as the standard rounds."""
        if not math.isfinite(found):
            return False
        figures = max(3, len(Decimal(self.published).normalize().as_tuple().digits))
        # 1e-9: the distance of two rounded decimals is not exact in binary.
        return abs(float(f"{found:.{figures}g}") - self.value) <= self.tolerance + 1e-9 * max(1, abs(self.value))


def references_1() -> list[Reference]:
    """Consensus values of IBSI-1; tags for which the standard has none are left out."""
    return [
        Reference(table, row["tag"], row["reference value"], float(row["tolerance"] or 0))
        for table in TABLES
        for row in _rows(DATA / "ibsi_1_reference" / f"{table}.csv")
        if row["reference value"]
    ]


def references_2() -> list[Reference]:
    """Consensus values of IBSI-2, phase 2."""
    return [
        Reference(row["filter_id"], row["feature_tag"], row["consensus_value"], float(row["tolerance"]))
        for row in _rows(DATA / "ibsi_2" / "reference_values.csv")
        if row["consensus_value"]
    ]


@cache
def features_1(table: str) -> dict[str, float]:
    """Everything that the engine computes for a table of IBSI-1."""
    name, settings = TABLES[table]
    return compute_features(*_phantom(name), settings, set(Family))


@cache
def features_2(filter_id: str) -> dict[str, float]:
    """Statistics of the response map of a filter of IBSI-2, phase 2."""
    each = FILTERS[filter_id]
    settings = Settings(
        spacing_mm=(1.0, 1.0, 1.0) if filter_id.endswith("B") else None,
        interpolation="cubic",
        lower=-1000,
        upper=400,
        filters=() if each is None else (each,),
    )
    prefix = "" if each is None else f"{each.name}__"
    found = compute_features(*_phantom("ct_phantom"), settings, {Family.STATISTICS})
    return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}


def response_map_error(map_id: str) -> float:
    """Largest difference from a reference response map, as a share of its range."""
    phantom, each = RESPONSE_MAPS[map_id]
    reference = read_image(DATA / "ibsi_2" / "response_maps" / f"{map_id}.nii.gz").voxels
    response = each.apply(read_image(DATA / "ibsi_2" / "phantoms" / f"{phantom}.nii.gz")).voxels
    return float(np.abs(response - reference).max() / np.ptp(reference))


@cache
def _phantom(name: str) -> tuple[Image, Image]:
    return read_image(DATA / name / "image.nii.gz"), read_image(DATA / name / "mask.nii.gz")


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines, delimiter=";"))


def main() -> None:
    """Print how many values were checked and how many are within the tolerance."""
    checked, met = Counter[str](), Counter[str]()
    for reference in references_1():
        checked[reference.table] += 1
        met[reference.table] += reference.accepts(features_1(reference.table)[reference.tag])
    for reference in references_2():
        checked["IBSI-2 values"] += 1
        met["IBSI-2 values"] += reference.accepts(features_2(reference.table)[reference.tag])
    for map_id in RESPONSE_MAPS:
        checked["IBSI-2 maps"] += 1
        met["IBSI-2 maps"] += response_map_error(map_id) < 0.01
    print("| reference | checked | within tolerance |\n|---|---|---|")
    for name, count in checked.items():
        print(f"| {name} | {count} | {met[name]} |")
    print(f"| all | {checked.total()} | {met.total()} |")


if __name__ == "__main__":
    main()
