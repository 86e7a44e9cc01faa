"""The reference values and phantoms of the Image Biomarker Standardisation Initiative, as test data."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from preop.imaging import Image, read_image
from preop.radiomics import IBSI_CONFIGURATIONS, Family, Settings, compute_features
from preop.radiomics.settings import DIGITAL_PHANTOM

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PREOP_TEST_DATA", ROOT.parent / "shared" / "data")) / "ibsi"
MISSING = f"the IBSI phantoms are not in {DATA} (set PREOP_TEST_DATA)"

TABLES: dict[str, tuple[str, Settings]] = {
    "dig_phantom": ("digital_phantom", DIGITAL_PHANTOM),
    "chest_config_a": ("ct_phantom", IBSI_CONFIGURATIONS["A"]),
    "chest_config_b": ("ct_phantom", IBSI_CONFIGURATIONS["B"]),
    "chest_config_c": ("ct_phantom", IBSI_CONFIGURATIONS["C"]),
}


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


def references() -> list[Reference]:
    """All consensus values; tags for which the standard has none are left out."""
    return [reference for table in TABLES for reference in _table(table)] if DATA.is_dir() else []


@cache
def phantom(name: str) -> tuple[Image, Image]:
    """Image and mask of a phantom."""
    return read_image(DATA / name / "image.nii.gz"), read_image(DATA / name / "mask.nii.gz")


@cache
def features(table: str) -> dict[str, float]:
    """Everything that the engine computes for a table."""
    name, settings = TABLES[table]
    return compute_features(*phantom(name), settings, set(Family))


def _table(table: str) -> list[Reference]:
    with (DATA / "ibsi_1_reference" / f"{table}.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    return [
        Reference(table, row["tag"], row["reference value"], float(row["tolerance"] or 0))
        for row in rows
        if row["reference value"]
    ]
