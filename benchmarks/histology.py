"""The tissue network and the cell network held against real H&E, of which nothing was ever learned.

``python benchmarks/histology.py DATA`` reads the colorectal glands of GlaS and the nuclei of CRCHistoPhenotypes below
``DATA/real/histology`` and the slide region below ``DATA/slides``, and prints how well the networks do beside what others
published. ``--note`` writes the figures down beside the networks: an item of the score card that rests on what is not found well
enough is then not assessed on slides that look like none of those on which it was validated.

Both sets are for research, and nothing may be trained or chosen on them: there is no option that does.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from preop.slides import Slide, find_tissue, write_slide
from preop.slides.levels import WHITE
from primary_growth_pattern.definitions import UM2_PER_MM2, CellKind, TissueLabel
from primary_growth_pattern.findings import INPUT_UM, MAP_UM, RealTissueFigure
from primary_growth_pattern.limits import LYMPHOCYTES, MIN_REAL, TUMOUR
from primary_growth_pattern.networks import Networks
from primary_growth_pattern.stain import density
from primary_growth_pattern.tissue import load_torch_networks, measure, note_figures, readable

NETWORKS = Path(__file__).parents[1] / "algorithms" / "primary_growth_pattern" / "model" / "networks"
REGION = Path("slides") / "cmu_1_small_region.svs"
GLAND_UM, NUCLEI_UM = 0.62, 0.55
"""Of a pixel of GlaS (Sirinukunwattana 2017) and of CRCHistoPhenotypes (Sirinukunwattana 2016)."""

MATCH_UM = 6.0
"""A lymphocyte's nucleus is about 7 micrometres wide: further apart, two points are two cells."""

UNCLASSED = "any"
_SQUARE = round(MAP_UM / INPUT_UM)
_MULTIPLE_PX = 32


@dataclass(frozen=True, eq=False)
class GlandField:
    """A field with glands.

    Attributes
    ----------
    malignant
        Of the grade that pathologists gave.
    glands
        Squares of 8 micrometres that are mostly gland, lumen included.
    labels, tumour
        Tissue that was found in each square, and the probability of tumour.
    """

    malignant: bool
    glands: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    tumour: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NucleiField:
    """A field with nuclei.

    Attributes
    ----------
    points_um, classes
        Of every nucleus: y and x (n, 2), and its class, ``any`` where it has none.
    found_um
        Lymphocytes that were found, y and x (m, 2).
    labels
        Tissue that was found at each nucleus (n,).
    """

    points_um: NDArray[np.float64]
    classes: NDArray[np.str_]
    found_um: NDArray[np.float32]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """Cells found and missed. What lies on a nucleus without a class counts for neither."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of those found that are right."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        """Share of those there that were found."""
        return self.right / max(self.right + self.missed, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(2 * self.right + self.wrong + self.missed, 1)


def gland_fields(folder: Path, networks: Networks) -> Iterator[GlandField]:
    """Read the fields of GlaS (``Grade.csv``, ``*.jpg``, ``*_anno.png``)."""
    with (folder / "Grade.csv").open(newline="", encoding="utf-8") as file:
        grades = {row[0]: row[2].strip() for row in csv.reader(file)}
    for path in sorted(folder.glob("*.jpg")):
        pixels = read_at_one_um(path, GLAND_UM)
        labels, tumour = tissue_of(pixels, networks)
        mask = np.asarray(PillowImage.open(path.with_name(f"{path.stem}_anno.png"))) > 0
        glands = _resized(mask.astype(np.float32), labels.shape, pixels.shape[:2]) >= 0.5
        inside = _inside(labels.shape, mask.shape, GLAND_UM)
        yield GlandField(grades[path.stem] == "malignant", glands[inside], labels[inside], tumour[inside])


def nuclei_fields(folder: Path, networks: Networks) -> Iterator[NucleiField]:
    """Read the fields of CRCHistoPhenotypes (``nuclei.csv`` with image, x, y and class; ``*.jpg``)."""
    rows: dict[str, dict[tuple[float, float], str]] = {}
    with (folder / "nuclei.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            nuclei = rows.setdefault(row["image"], {})
            place = (float(row["y"]), float(row["x"]))
            # Each nucleus has a row without a class, and another one with its class if it has one.
            if row["class"] != UNCLASSED or place not in nuclei:
                nuclei[place] = row["class"]
    for image, nuclei in sorted(rows.items()):
        pixels = read_at_one_um(folder / f"{image}.jpg", NUCLEI_UM)
        labels, cells = networks.read(pixels)
        points_um = np.array(list(nuclei)) * NUCLEI_UM
        at = np.minimum((points_um / MAP_UM).astype(np.intp), np.array(labels.shape) - 1)
        yield NucleiField(
            points_um, np.array(list(nuclei.values())), cells.of(CellKind.LYMPHOCYTE), labels[tuple(at.T)]
        )


def read_at_one_um(path: Path, um_per_pixel: float) -> NDArray[np.uint8]:
    """Read a picture as the networks read a slide, with glass around it up to a multiple of what they take."""
    pixels = np.asarray(PillowImage.open(path).convert("RGB"))
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "field.tif"
        write_slide([pixels], pixels.shape[:2], um_per_pixel, stored)
        with Slide(stored) as slide:
            seen = slide.overview(INPUT_UM)
    filled = [(0, -side % _MULTIPLE_PX) for side in seen.shape[:2]]
    return np.pad(seen, [*filled, (0, 0)], constant_values=WHITE)


def tissue_of(pixels: NDArray[np.uint8], networks: Networks) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Label of each square, and its probability of tumour."""
    picture = torch.from_numpy(density(pixels)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        shares = networks.tissue(picture)[0].softmax(dim=0).numpy()
    return shares.argmax(axis=0).astype(np.uint8), shares[TissueLabel.TUMOUR]


def dice(fields: Sequence[GlandField]) -> float:
    """Overlap of tumour and gland over all squares of all fields."""
    glands, found = (
        np.concatenate([getattr(field, name).ravel() for field in fields]) for name in ("glands", "labels")
    )
    tumour = found == TissueLabel.TUMOUR
    return float(2 * (glands & tumour).sum() / max(glands.sum() + tumour.sum(), 1))


def area_under_curve(fields: Sequence[GlandField]) -> float:
    """AUC of the probability of tumour, of squares in a gland against the others."""
    from sklearn.metrics import roc_auc_score

    glands, tumour = (
        np.concatenate([getattr(field, name).ravel() for field in fields]) for name in ("glands", "tumour")
    )
    return float(roc_auc_score(glands, tumour))


def share_called_tumour(fields: Sequence[GlandField]) -> float:
    """Share of the area of fields."""
    found = np.concatenate([field.labels.ravel() for field in fields])
    return float((found == TissueLabel.TUMOUR).mean())


def detect(fields: Sequence[NucleiField]) -> tuple[Detection, Counter[str]]:
    """Match the lymphocytes that were found with inflammatory nuclei, and count the classes of what they lie on."""
    right = missed = 0
    lying_on: Counter[str] = Counter()
    for field in fields:
        nucleus = matched(field.found_um, field.points_um, MATCH_UM)
        hit = field.classes[nucleus[nucleus >= 0]].tolist()
        lying_on.update(hit)
        lying_on["no nucleus"] += int((nucleus < 0).sum())
        right += hit.count("inflammatory")
        missed += int((field.classes == "inflammatory").sum()) - hit.count("inflammatory")
    wrong = lying_on.total() - right - lying_on[UNCLASSED]
    return Detection(right, wrong, missed), lying_on


def matched(found_um: NDArray[np.floating], points_um: NDArray[np.floating], within_um: float) -> NDArray[np.intp]:
    """Match each found point with a point of its own, the nearest pairs first; -1 where none is near enough."""
    distances = np.linalg.norm(found_um[:, None].astype(np.float64) - points_um[None], axis=2)
    pairs = np.argwhere(distances <= within_um)
    partner = np.full(len(found_um), -1, np.intp)
    taken: set[int] = set()
    for found, point in pairs[np.argsort(distances[tuple(pairs.T)], kind="stable")].tolist():
        if partner[found] < 0 and point not in taken:
            partner[found] = point
            taken.add(point)
    return partner


def _resized(values: NDArray[np.float32], shape: tuple[int, ...], padded: tuple[int, ...]) -> NDArray[np.float32]:
    """Mean of a picture in squares of 8 micrometres; 0 in the glass around it."""
    height, width = (round(side * GLAND_UM) for side in values.shape)
    fine = np.zeros(padded, np.float32)
    part = np.asarray(PillowImage.fromarray(values).resize((width, height), PillowImage.Resampling.BOX))
    fine[:height, :width] = part[: padded[0], : padded[1]]
    return np.asarray(fine.reshape(shape[0], _SQUARE, shape[1], _SQUARE).mean(axis=(1, 3)))


def _inside(shape: tuple[int, ...], picture: tuple[int, ...], um_per_pixel: float) -> tuple[slice, ...]:
    """Squares that lie wholly in the picture."""
    return tuple(slice(min(side, int(px * um_per_pixel // MAP_UM))) for side, px in zip(shape, picture, strict=True))


def look_at(path: Path, networks: Networks) -> str:
    """Say in a line what the networks find on a slide: shares of the tissue, and cells."""
    with Slide(path) as slide:
        tissue, cells = measure(slide, readable(find_tissue(slide)), networks)
    counts = Counter(tissue.labels[tissue.labels > 0].tolist())
    shares = ", ".join(
        f"{TissueLabel(label).name.lower().replace('_', ' ')} {count / counts.total():.0%}"
        for label, count in counts.most_common()
    )
    area_mm2 = counts.total() * tissue.um_per_pixel**2 / UM2_PER_MM2
    number = {kind: len(cells.of(kind)) for kind in CellKind}
    return f"{area_mm2:.2f} mm2: {shares}; {number[CellKind.LYMPHOCYTE]} lymphocytes and {number[CellKind.BUD]} tumour buds"


def compare(data: Path, networks: Networks) -> dict[str, RealTissueFigure]:
    """Print how well the networks do on all real images, and give the figures that items of the score card rest on."""
    histology = data / "real" / "histology"
    glands = list(gland_fields(histology / "glas", networks))
    malignant, benign = ([field for field in glands if field.malignant is grade] for grade in (True, False))
    tumour = dice(malignant)
    print(f"GlaS, {len(malignant)} malignant fields: tumour against glands, by squares of 8 micrometres")
    print(f"  Dice {tumour:.3f}, AUC {area_under_curve(malignant):.3f}")
    print(
        "  published, by training on GlaS: object Dice .897 (part A) and .781 (part B) of the best method of the contest"
    )
    print("  (CUMedVision2; Sirinukunwattana 2017, arXiv 1603.00275)")
    print(f"GlaS, {len(benign)} benign fields: {share_called_tumour(benign):.1%} of the area called tumour\n")

    nuclei = list(nuclei_fields(histology / "crc_nuclei", networks))
    found, lying_on = detect(nuclei)
    classed = lying_on.total() - lying_on[UNCLASSED] - lying_on["no nucleus"]
    print(
        f"CRCHistoPhenotypes, {len(nuclei)} fields: lymphocytes against inflammatory nuclei, within {MATCH_UM:g} micrometres"
    )
    print(f"  F1 {found.f1:.3f} (precision {found.precision:.3f}, recall {found.recall:.3f})")
    print(
        f"  of {classed} found on a nucleus with a class {found.right / max(classed, 1):.1%} are inflammatory: {dict(lying_on)}"
    )
    print(
        "  published, by training on them: accuracy .806 and weighted F1 .789 of the four classes of given nuclei (RCCNet;"
    )
    print(
        "  Basha 2018, arXiv 1810.02797); detection there is of nuclei of all classes, which these networks do not look for\n"
    )
    print("Tissue that was found at nuclei of a class:")
    for name in ("epithelial", "fibroblast", "inflammatory"):
        at = Counter(np.concatenate([field.labels[field.classes == name] for field in nuclei]).tolist())
        most = ", ".join(
            f"{TissueLabel(label).name.lower()} {count / at.total():.0%}" for label, count in at.most_common(4)
        )
        print(f"  {name}: {most}")
    print(f"\n{REGION.name}, {look_at(data / REGION, networks)}")
    return {
        TUMOUR: _figure("Dice by area", tumour, TUMOUR, f"{len(malignant)} malignant fields of GlaS"),
        LYMPHOCYTES: _figure(
            f"F1 at {MATCH_UM:g} micrometres", found.f1, LYMPHOCYTES, f"{len(nuclei)} fields of CRCHistoPhenotypes"
        ),
    }


def _figure(measured: str, value: float, part: str, images: str) -> RealTissueFigure:
    return RealTissueFigure(
        measure=measured,
        value=round(value, 4),
        expected=MIN_REAL[part],
        measured_on=f"{images} (benchmarks/histology.py)",
    )


def main() -> None:
    """Measure and print; note what was measured, if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the public data (docs/data.md)")
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--note", action="store_true", help="write the figures down beside the networks")
    arguments = parser.parse_args()
    figures = compare(arguments.data, load_torch_networks(arguments.networks))
    if arguments.note:
        note_figures(arguments.networks, real_tissue=figures)


if __name__ == "__main__":
    main()
