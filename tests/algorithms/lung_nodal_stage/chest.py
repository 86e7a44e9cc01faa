"""A chest of simple shapes with lesions at known places, and a model whose networks say the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lung_nodal_stage.assessment import CT, INFORMATION, PET, Assessment, Information, predict_from_organs
from lung_nodal_stage.lesions import SEGMENTATION, Lesion, Lesions, find_lesions
from lung_nodal_stage.likeness import SCAN
from lung_nodal_stage.malignancy import LABELS
from lung_nodal_stage.model import Description, Details, Model, PetThreshold, digests
from preop.anatomy import STATIONS, TOTAL_CLASSES, StationMap
from preop.anatomy.organs import LUNGS
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.imaging import Geometry, Image
from preop.likeness import read_references
from preop.segmentation import Organs
from preop.staging import Side
from preop.study import read_model_info
from preop.tabular import LogisticModel
from preop.tabular.logistic import Term
from tests.conftest import ROOT

FOLDER = ROOT / "algorithms" / "lung_nodal_stage"
ALGORITHM = read_algorithm(FOLDER)

BLOOD_SUV, LIVER_SUV, TISSUE_SUV = 1.5, 2.2, 0.5
VALUES = {**TOTAL_CLASSES, "liver": 5, "thyroid_gland": 17, "adrenal_gland_right": 8}
IN_RIGHT_LUNG, IN_LEFT_LUNG = (-75.0, 25.0, 45.0), (75.0, 25.0, 45.0)

AIR_HU, FAT_HU = -1000, -120
LUNG_HU = -310
"""Of a lung, and the number of its lobe on top of it; other organs have the number of their label as HU. The chest has no wall
beside the lungs, so that they are not as dark as the air around a body."""


@dataclass
class Chest:
    """Organs with blood pool and liver, to which lesions are added; positions (x, y, z) in mm."""

    organs: Organs
    stations: StationMap
    suv: NDArray[np.float32] = field(init=False)
    lesions: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.suv = np.full(self.organs.labels.shape, TISSUE_SUV, dtype=np.float32)
        self.suv[self.organs.mask("aorta", "heart")] = BLOOD_SUV
        self.suv[self.organs.mask("liver")] = LIVER_SUV
        self.lesions = np.zeros(self.organs.labels.shape, dtype=np.uint8)

    @property
    def geometry(self) -> Geometry:
        return self.organs.labels.geometry

    def deepest(self, station: str) -> tuple[float, float, float]:
        """The place of a station that is furthest from its borders."""
        from scipy import ndimage

        inside = self.stations.on(self.geometry).voxels == 1 + STATIONS.index(station)
        depth = ndimage.distance_transform_edt(inside, sampling=self.geometry.spacing_mm)
        x, y, z = self.geometry.world_mm(np.argwhere(depth == depth.max())[:1])[0].tolist()
        return x, y, z

    def add(self, where: str | tuple[float, float, float], *, radius_mm: float = 5.0, suv: float = 6.0) -> int:
        """Draw a ball in a station, or at a place; gives its label."""
        centre = self.deepest(where) if isinstance(where, str) else where
        label = int(self.lesions.max()) + 1
        offsets = [
            self.geometry.origin_mm[2 - axis] + self.geometry.spacing_mm[axis] * np.arange(size) - centre[2 - axis]
            for axis, size in enumerate(self.geometry.shape)
        ]
        z, y, x = np.meshgrid(*offsets, indexing="ij", sparse=True)
        inside = x**2 + y**2 + z**2 <= radius_mm**2
        self.lesions[inside] = label
        self.suv[inside] = suv
        return label

    def image(self, voxels: NDArray[Any]) -> Image:
        return Image(voxels, self.geometry)

    def found(self, *, as_mask: bool = False) -> Lesions:
        drawn = (self.lesions > 0).astype(np.uint8) if as_mask else self.lesions
        return find_lesions(self.image(self.suv), self.organs, self.stations, self.image(drawn))

    def staged(self, side: Side | None = None, malignancy: Any = None) -> Assessment:
        return predict_from_organs(
            self.image(self.suv), self.organs, self.image(self.lesions), Information(side), malignancy or by_uptake
        )

    def case(self, *, given: bool = True, **information: Any) -> Case:
        """The chest as a case in memory, with a CT on which the labels can be read."""
        labels = self.organs.labels.voxels.astype(np.int16)
        hu = np.where(labels > 0, labels + LUNG_HU * self.organs.mask(*LUNGS), FAT_HU)
        hu[self.organs.mask("trachea")] = AIR_HU
        images = {CT: self.image(hu.astype(np.int16)), PET: self.image(self.suv)}
        if given:
            images[SEGMENTATION] = self.image(self.lesions)
        values = {INFORMATION: information} if information else {}
        return Case(ALGORITHM, "case", {slug: Path(slug) for slug in images}, values, images)


def by_uptake(node: Lesion) -> float:
    """A probability that leaves no doubt."""
    return 0.97 if node.suv_max > 2.5 else 0.03


@dataclass
class TrueOrgans:
    """A network of organs that reads them from the CT of a chest above."""

    checksums: dict[str, str] = field(default_factory=lambda: {"weights": "0"})

    def segment(self, ct: Image) -> Organs:
        labels = np.where(ct.voxels < 2 * FAT_HU, ct.voxels - LUNG_HU, ct.voxels)
        labels[ct.voxels == AIR_HU] = VALUES["trachea"]
        return Organs(ct.with_voxels(np.maximum(labels, 0).astype(np.uint8)), VALUES)


@dataclass
class HotVoxels:
    """A network of lesions that finds what is above an SUV of 3."""

    checksums: dict[str, str] = field(default_factory=lambda: {"weights": "1"})

    def segment(self, images: list[Image], *, mirroring: bool) -> Image:  # noqa: ARG002
        return images[1].with_voxels((images[1].voxels > 3).astype(np.uint8))


def model(**changes: Any) -> Model:
    """A model of these networks, in which uptake over 2.5 is malignant; it comes from where the shipped one does.

    A chest of simple shapes is unlike every patient: the limit is so wide that nothing is said of it.
    """
    quantiles = tuple(np.linspace(-3, 5, 21).tolist())
    terms = tuple(Term(name, 4.0 * (name == "log_suv_max"), 0.0, 0.0, 1.0, quantiles) for name in LABELS)
    logistic = LogisticModel(terms, -4.0 * float(np.log(2.5)), 0.5, 1.0, quantiles)
    info = read_model_info(FOLDER / "model", ALGORITHM, Details)
    organs, lesions = TrueOrgans(), HotVoxels()
    description = Description(
        lesions="network",
        pet=PetThreshold(),
        trained_with=digests(organs, lesions),  # type: ignore[arg-type]
        slice_mm=3.0,
        malignancy=logistic,
    )
    patients = read_references(FOLDER / "model", [SCAN])[SCAN].model_copy(update={"limit": 1e6})
    parts = {
        "info": info,
        "description": description,
        "organs": organs,
        "lesions": lesions,
        "training_patients": patients,
    }
    return Model(**{**parts, **changes})
