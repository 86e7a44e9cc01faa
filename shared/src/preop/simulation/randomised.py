"""CTs of label maps for training by domain randomisation: every draw is another patient, protocol and scanner.

After SynthSeg (Billot et al. 2023, doi 10.1016/j.media.2023.102789), but for CT: a HU has a meaning, so the density of a
tissue is drawn from a wide range around what it is in patients, and air, lung, fat, soft tissue and bone keep their order.
Drawn too is what no label tells: contrast agent, gas and food, vessels and fissures of the lungs, consolidation, tumours and
effusion, breasts, arms, clothes, table and devices, field of view, slice thickness, resolution and noise. Labels stay what
they are, voxel for voxel; an effusion is no lung.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image
from preop.simulation.fields import correlated_noise, random_field
from preop.simulation.label_maps import AIRWAY, CAVITY, FAT, GRID_MM, MUSCLE, VEIN, BodyMap
from preop.simulation.scanners import HU_RANGE
from preop.simulation.volumes import paint, sample_aligned

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

AIR = (-1000.0, -985.0)
SOFT = (15.0, 70.0)
"""HU of what is not listed below."""

DENSITIES: Mapping[str, tuple[float, float]] = {
    "lung_": (-910.0, -720.0),
    "trachea": (-1000.0, -930.0),
    "vertebrae": (90.0, 330.0),
    "sacrum": (90.0, 300.0),
    "rib_": (120.0, 480.0),
    "sternum": (60.0, 300.0),
    "clavicula": (150.0, 480.0),
    "scapula": (150.0, 480.0),
    "humerus": (150.0, 480.0),
    "femur": (150.0, 480.0),
    "hip_": (120.0, 420.0),
    "skull": (300.0, 900.0),
    "costal_cartilages": (60.0, 190.0),
    "autochthon": (30.0, 75.0),
    "gluteus": (25.0, 75.0),
    "iliopsoas": (30.0, 75.0),
    "liver": (15.0, 75.0),
    "spleen": (35.0, 60.0),
    "kidney_right": (20.0, 45.0),
    "kidney_left": (20.0, 45.0),
    "kidney_cyst": (-5.0, 25.0),
    "gallbladder": (-5.0, 30.0),
    "urinary_bladder": (-5.0, 25.0),
    "stomach": (-10.0, 60.0),
    "thyroid_gland": (55.0, 140.0),
    "brain": (20.0, 45.0),
}
"""Range of the mean HU of organs without contrast agent, by the beginning of their names."""

SKIN_MM = 4.0
"""What lies at least between the hull of the organs and the air."""

BLOOD = (30.0, 58.0)
ARTERIES = ("aorta", "brachiocephalic_trunk", "subclavian", "common_carotid", "iliac_artery")
VEINS = ("brachiocephalic_vein", "superior_vena", "inferior_vena", "portal_vein", "iliac_vena")
LUNG_VEINS = ("pulmonary_vein", "atrial_appendage")
ENHANCED: Mapping[str, tuple[float, float]] = {
    "liver": (0.0, 75.0),
    "spleen": (10.0, 110.0),
    "kidney_right": (40.0, 230.0),
    "kidney_left": (40.0, 230.0),
    "pancreas": (10.0, 80.0),
    "adrenal": (10.0, 70.0),
    "thyroid_gland": (10.0, 100.0),
    "esophagus": (0.0, 40.0),
    "stomach": (0.0, 20.0),
    "autochthon": (0.0, 15.0),
}
"""What contrast agent adds to organs, in HU."""

GUT = ("stomach", "duodenum", "small_bowel", "colon", "esophagus")
BONES = ("vertebrae", "sacrum", "rib_", "sternum", "clavicula", "scapula", "humerus", "femur", "hip_", "skull")

WITHOUT_CONTRAST = 0.4  # share of the scans; the others below too
CHESTS = 0.65  # that show the lungs, with some of what lies above and below
LEAST_MM, MOST_MM = 120.0, 360.0  # height of the others
CUT_ROUND = 0.15  # by a field of view that is smaller than the patient
THICK = 0.35  # with slices of up to 6 mm


@dataclass(frozen=True, eq=False)
class RandomisedCt:
    """A CT that was drawn, and what it shows.

    Attributes
    ----------
    ct
        In HU (int16), 3 mm.
    labels
        Labels of the organs on the same grid (uint8), with the values of the map it was drawn from.
    body
        Voxels of the body (z, y, x), without what lies around it.
    """

    ct: Image
    labels: Image
    body: NDArray[np.bool_]


def randomised_ct(rng: np.random.Generator, body: BodyMap) -> RandomisedCt:
    """Draw a CT of a body that was drawn from a label map; the same state of ``rng`` gives the same voxels."""
    bent = body.bent(rng, _heights(rng, body))
    scene = _Scene(rng, bent)
    scene.lay_fat()
    scene.paint_tissues()
    scene.paint_cavity()
    scene.paint_lungs()
    scene.add_pathology()
    scene.add_surroundings()
    scene.add_devices()
    hu = _scanned(rng, scene.hu)
    labels = np.where(scene.tissue < FAT, scene.tissue, 0).astype(np.uint8)
    if rng.random() < CUT_ROUND:
        outside = _outside_of_view(rng, scene)
        hu[outside], labels[outside] = HU_RANGE[0], 0
    stored = np.clip(np.rint(hu), *HU_RANGE).astype(np.int16)
    return RandomisedCt(Image(stored, scene.grid), Image(labels, scene.grid), scene.tissue > 0)


def _heights(rng: np.random.Generator, body: BodyMap) -> slice:
    """Draw where a scan begins and ends, in slices of a body."""
    size = body.tissue.shape[0]
    lungs = np.flatnonzero(body.mask("lung_").any(axis=(1, 2)))
    if lungs.size and rng.random() < CHESTS:
        low = lungs[0] - rng.uniform(0, 130) / GRID_MM
        high = lungs[-1] + rng.uniform(0, 80) / GRID_MM
    else:
        height = rng.uniform(LEAST_MM, MOST_MM) / GRID_MM
        low = rng.uniform(0, max(size - height, 1))
        high = low + height
    return slice(max(round(low), 0), min(max(round(high), round(low) + 40), size))


class _Scene:
    """A scan in the making: codes of tissues, and HU that are painted over one another."""

    def __init__(self, rng: np.random.Generator, body: BodyMap) -> None:
        self.rng, self.body = rng, body
        self.grid: Geometry = body.tissue.geometry
        self.tissue = body.tissue.voxels.copy()
        self.hu: Floats = np.empty(self.grid.shape, dtype=np.float32)
        self.contrast = _Contrast.random(rng)
        self.density = _densities(rng, body.values, self.contrast)

    def field(self, correlation_mm: float) -> Floats:
        """Smooth random field over the scan: mean 0, standard deviation 1."""
        knots = random_field(self.rng, self.grid, (correlation_mm,) * 3)
        return np.asarray(sample_aligned(knots.voxels, knots.geometry, self.grid, averaged_axes=()), dtype=np.float32)

    def curves(self, correlation_mm: float, width: float) -> Floats:
        """How far each voxel lies in random thin curves, 0 to 1: where two smooth fields vanish together."""
        distance = np.hypot(self.field(correlation_mm), self.field(correlation_mm))
        return np.clip(1.5 - distance / np.float32(width), 0, 1)

    def organs(self, *prefixes: str) -> Mask:
        """Voxels of all organs whose names begin so."""
        values = [value for name, value in self.body.values.items() if name.startswith(prefixes)]
        return np.isin(self.tissue, values)

    def lay_fat(self) -> None:
        """Lay muscle and fat around the body, here more and there less, and breasts on some chests."""
        muscle_mm = self.rng.uniform(0, 20) * np.exp(np.float32(0.4) * self.field(90.0))
        fat_mm = muscle_mm + self.rng.uniform(2, 40) * np.exp(np.float32(0.35) * self.field(150.0)) + SKIN_MM
        air = self.tissue == 0
        self.tissue[air & (self.body.outward_mm < fat_mm)] = FAT
        self.tissue[air & (self.body.outward_mm < muscle_mm)] = MUSCLE
        lungs = np.argwhere(self.organs("lung_")[::2, ::2, ::2]) * 2
        if len(lungs) and self.rng.random() < 0.4:
            size = self.rng.uniform((35, 25, 35), (70, 60, 75)) / GRID_MM
            height, front = np.quantile(lungs[:, 0], self.rng.uniform(0.3, 0.6)), lungs[:, 1].min() - 4
            for column in (np.quantile(lungs[:, 2], 0.15), np.quantile(lungs[:, 2], 0.85)):
                breast = self._ellipsoid((height, front, column), size)
                self.tissue[breast & (self.tissue == 0)] = FAT

    def paint_tissues(self) -> None:
        """Give every tissue its density, with bone denser at its surface, and uneven tissue."""
        from scipy import ndimage

        self.hu[:] = self.density[self.tissue]
        bones = self.organs(*BONES)
        shell = bones & ~ndimage.binary_erosion(bones)
        self.hu[shell] += self.rng.uniform(0, 450)
        heart = self.organs("heart")
        muscle = heart & (self.field(40.0) > self.rng.uniform(-0.8, 0.8))
        self.hu[muscle] = self.rng.uniform(35, 70) + 0.3 * max(self.contrast.artery, 0)
        gut = self.organs(*GUT)
        gas = gut & (self.field(self.rng.uniform(15, 50)) > self.rng.uniform(0.3, 2.0))
        self.hu[gas] = self.rng.uniform(-1000, -700)
        wall = self.tissue == MUSCLE
        fatty = wall & (self.field(self.rng.uniform(8, 25)) > self.rng.uniform(-0.7, 1.5))
        self.hu[fatty] = self.density[FAT]
        fat = self.tissue == FAT
        glands = fat & (self.field(self.rng.uniform(8, 20)) > self.rng.uniform(1.0, 3.0))
        self.hu[glands] = self.density[MUSCLE]
        skin = fat & ~ndimage.binary_erosion(self.tissue > 0)
        paint(self.hu, skin * np.float32(self.rng.uniform(0, 0.8)), float(self.density[MUSCLE]))
        dense = self.hu > -300
        self.hu += dense * np.float32(self.rng.uniform(3, 14)) * self.field(8.0)
        self.hu += dense * np.float32(self.rng.uniform(0, 12)) * self.field(35.0)

    def paint_cavity(self) -> None:
        """Fill what lies between organs: fat with vessels, nodes and gut, and air in the bronchi of the hila."""
        from scipy import ndimage

        cavity = self.tissue == CAVITY
        soft = cavity & (self.field(self.rng.uniform(12, 30)) > self.rng.uniform(-0.4, 1.2))
        self.hu[soft] = self.rng.uniform(*SOFT)
        # Pulmonary arteries have no label: large vessels beside heart, aorta and bronchi.
        near = ndimage.binary_dilation(self.organs("heart", *LUNG_VEINS), iterations=4)
        vessels = cavity & near & (self.field(self.rng.uniform(20, 35)) > self.rng.uniform(-1.0, 0.2))
        self.hu[vessels] = self.rng.uniform(*BLOOD) + self.contrast.lung
        paint(self.hu, cavity * self.curves(30.0, 0.2), float(self.rng.uniform(*BLOOD) + self.contrast.vein))
        hila = cavity & ndimage.binary_dilation(self.organs("lung_"), iterations=3)
        paint(self.hu, hila * self.curves(30.0, 0.25), float(self.rng.uniform(-1000, -850)))
        self.hu[self.tissue == AIRWAY] = self.rng.uniform(*AIR)

    def paint_lungs(self) -> None:
        """Draw blood at the back, fissures, and vessels that grow thinner away from the hila."""
        lungs = self.organs("lung_")
        if not lungs.any():
            return
        rows = np.arange(self.grid.shape[1], dtype=np.float32)[None, :, None]
        self.hu += lungs * (rows - rows.mean()) * np.float32(self.rng.uniform(-0.3, 2.2))
        self.hu += lungs * np.float32(self.rng.uniform(5, 50)) * self.field(self.rng.uniform(15, 60))
        self.hu[_fissures(self.tissue, lungs)] += self.rng.uniform(0, 260)
        blood = float(self.rng.uniform(*BLOOD) + self.contrast.lung)
        inner = _inner(lungs)
        for correlation, width in ((26.0, 0.28), (14.0, 0.22)):
            tree = self.curves(correlation, width * self.rng.uniform(0.6, 1.3))
            paint(self.hu, lungs * tree * (0.25 + 0.75 * inner), blood)
        bronchi = self.curves(28.0, 0.2) * (inner > 0.6)
        paint(self.hu, lungs * bronchi, -960.0)
        bullae = lungs & (self.field(self.rng.uniform(8, 30)) > self.rng.uniform(1.5, 4.0))
        self.hu[bullae] = self.rng.uniform(-990, -930)

    def add_pathology(self) -> None:
        """Add consolidation, ground glass and tumours, which are lung still; and effusion, which is none."""
        lungs = np.argwhere(self.organs("lung_")[::3, ::3, ::3]) * 3
        if not len(lungs):
            return
        for _ in range(int(self.rng.choice([0, 1, 2, 5], p=[0.45, 0.25, 0.2, 0.1]))):
            size = self.rng.uniform(6, 55) / GRID_MM * self.rng.uniform(0.6, 1.4, 3)
            centre = lungs[self.rng.integers(len(lungs))]
            there = self._ellipsoid(tuple(centre), size, rough=0.6) & self.organs("lung_")
            paint(self.hu, there * np.float32(self.rng.uniform(0.3, 1)), float(self.rng.uniform(-500, 70)))
        if self.rng.random() < 0.2:
            side = "right" if self.rng.random() < 0.5 else "left"
            lung = self.organs(*(f"lung_{part}_lobe_{side}" for part in ("upper", "middle", "lower")))
            if lung.any():
                rows = np.arange(self.grid.shape[1])[None, :, None] + 5 * self.field(60.0)
                level = np.quantile(np.argwhere(lung)[:, 1], self.rng.uniform(0.7, 0.97))
                fluid = lung & (rows > level)
                self.hu[fluid] = self.rng.uniform(-5, 35)
                self.tissue[fluid] = CAVITY

    def add_surroundings(self) -> None:
        """Add what lies around a body: air, clothes, arms, a table."""
        rng = self.rng
        air = self.tissue == 0
        self.hu[air] = rng.uniform(*AIR)
        body = np.argwhere(~air[::2, ::2, ::2]) * 2
        if not len(body):
            return
        front, back = np.quantile(body[:, 1], 0.01), body[:, 1].max()
        left, right, middle = body[:, 2].max(), body[:, 2].min(), body[:, 2].mean()
        columns = np.arange(self.grid.shape[2], dtype=np.float32)[None, None, :]
        rows = np.arange(self.grid.shape[1], dtype=np.float32)[None, :, None]
        if rng.random() < 0.3:
            radius = rng.uniform(30, 55) / GRID_MM
            depth = rng.uniform(front + radius, back)
            for edge, sign in ((left, 1), (right, -1)):
                distance = np.hypot(columns - (edge + sign * (radius + rng.uniform(-3, 5))), rows - depth)
                for share, density in ((1.0, self.density[FAT]), (0.85, self.density[MUSCLE]), (0.3, 500.0)):
                    self.hu[air & (distance < share * radius)] = density
        if rng.random() < 0.7:
            curve = (columns - middle) ** 2 * np.float32(rng.uniform(-1, 2) * 1e-3)
            depth = rows - (back + rng.uniform(-1, 6)) + curve
            thick = rng.uniform(2, 8)
            self.hu[air & (depth > 0) & (depth < thick)] = rng.uniform(-980, -700)
            self.hu[air & (np.abs(depth - rng.choice([0, thick])) < rng.uniform(0.4, 1.2))] = rng.uniform(-700, 300)
        if rng.random() < 0.5:
            skin_mm = self.body.outward_mm - self.body.outward_mm[self.tissue == FAT].max(initial=0.0)
            cloth = air & (np.abs(skin_mm - rng.uniform(4, 12)) < 2.5) & (self.field(60.0) > rng.uniform(-1, 1))
            self.hu[cloth] = rng.uniform(-900, -300)

    def add_devices(self) -> None:
        """Add a tube, wires or a box of metal to some."""
        body = np.argwhere((self.tissue > 0)[::3, ::3, ::3]) * 3
        if not len(body) or self.rng.random() > 0.25:
            return
        there = body[self.rng.integers(len(body), size=2)].astype(np.float32)
        for part in np.linspace(0, 1, 160, dtype=np.float32):
            bend = np.array([0, 1, 1]) * 4 * np.sin(part * 6)
            k, j, i = np.rint(there[0] + part * (there[1] - there[0]) + bend).astype(int)
            if all(0 <= a < b for a, b in zip((k, j, i), self.grid.shape, strict=True)):
                self.hu[k, j, i] = self.rng.uniform(200, 2500)
        if self.rng.random() < 0.3:
            box = self._ellipsoid(tuple(there[0]), self.rng.uniform((12, 4, 12), (25, 8, 25)) / GRID_MM)
            self.hu[box] = self.rng.uniform(1500, 3000)

    def _ellipsoid(self, centre: tuple[float, ...], size: Any, rough: float = 0.0) -> Mask:
        """Voxels of an ellipsoid of semi-axes (z, y, x) in voxels, with a rough surface where asked for."""
        parts = [
            ((np.arange(length, dtype=np.float32) - np.float32(middle)) / np.float32(reach)) ** 2
            for length, middle, reach in zip(self.grid.shape, centre, size, strict=True)
        ]
        level = parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :]
        return np.asarray(level < (1 + rough * self.field(25.0) if rough else 1))


@dataclass(frozen=True)
class _Contrast:
    """What contrast agent adds to the blood of arteries, veins and the lungs' vessels, in HU."""

    given: bool
    artery: float
    vein: float
    lung: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> _Contrast:
        if rng.random() < WITHOUT_CONTRAST:
            return cls(False, 0.0, 0.0, 0.0)
        return cls(True, *(float(rng.uniform(low, high)) for low, high in ((50, 330), (40, 220), (50, 380))))


def _densities(rng: np.random.Generator, values: Mapping[str, int], contrast: _Contrast) -> Floats:
    """Draw the mean HU of every label and code of a patient (256,)."""
    density = np.full(256, rng.uniform(*SOFT), dtype=np.float32)
    density[0] = rng.uniform(*AIR)
    lungs = rng.uniform(*DENSITIES["lung_"])
    bones = rng.uniform(0, 1)
    for name, value in values.items():
        begins = next((each for each in DENSITIES if name.startswith(each)), None)
        low, high = DENSITIES[begins] if begins else SOFT
        density[value] = rng.uniform(low, high)
        if name.startswith(BONES):  # a patient's bones are all weak or all strong
            density[value] = low + (high - low) * np.clip(bones + rng.normal(0, 0.15), 0, 1)
        if name.startswith("lung_"):
            density[value] = lungs + rng.normal(0, 12)
        if contrast.given:
            density[value] += rng.uniform(*next((ENHANCED[e] for e in ENHANCED if name.startswith(e)), (0.0, 0.0)))
    blood = rng.uniform(*BLOOD)
    for names, added in ((ARTERIES, contrast.artery), (VEINS, contrast.vein), (LUNG_VEINS, contrast.lung)):
        for name in (each for each in values if each.startswith(names)):
            density[values[name]] = blood + added * rng.uniform(0.85, 1.15)
    if "heart" in values:
        density[values["heart"]] = blood + rng.uniform(0.6, 1.0) * contrast.artery
    if (
        contrast.given and "superior_vena_cava" in values and rng.random() < 0.25
    ):  # the agent has not mixed with blood yet
        density[values["superior_vena_cava"]] = rng.uniform(300, 1200)
    if "stomach" in values and rng.random() < 0.2:
        density[values["stomach"]] = rng.uniform(100, 400)
    density[FAT] = density[CAVITY] = rng.uniform(-120, -75)
    density[MUSCLE], density[VEIN] = rng.uniform(30, 75), blood + contrast.lung
    density[AIRWAY] = rng.uniform(*AIR)
    return density


def _fissures(tissue: NDArray[np.uint8], lungs: Mask) -> Mask:
    """Voxels of lung behind or below which another lobe begins."""
    found = np.zeros(tissue.shape, dtype=bool)
    for axis in (0, 1):
        here = [slice(None)] * 3
        there = [slice(None)] * 3
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        one, other = tuple(here), tuple(there)
        found[one] |= (tissue[one] != tissue[other]) & lungs[one] & lungs[other]
    return found


def _inner(lungs: Mask) -> Floats:
    """How near to the middle of the chest each voxel lies, 1 there and 0 at its sides, (1, 1, x)."""
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    middle, reach = (columns[0] + columns[-1]) / 2, max((columns[-1] - columns[0]) / 2, 1)
    inner = 1 - np.abs(np.arange(lungs.shape[2]) - middle) / reach
    return np.asarray(np.clip(inner, 0, 1)[None, None, :], dtype=np.float32)


def _scanned(rng: np.random.Generator, hu: Floats) -> Floats:
    """Blur, average over thick slices, and add noise, as a scanner does."""
    from scipy import ndimage

    sharp = rng.uniform(0.25, 0.65)
    thick_mm = rng.uniform(GRID_MM, 6.0) if rng.random() < THICK else GRID_MM
    blurred = ndimage.gaussian_filter(hu, (sharp + 0.3 * (thick_mm / GRID_MM - 1), sharp, sharp))
    correlation = rng.uniform(0.5, 2.5) * GRID_MM
    noise = correlated_noise(rng, hu.shape, (GRID_MM,) * 3, (thick_mm, correlation, correlation))
    scanned = blurred + np.float32(math.exp(rng.uniform(math.log(4), math.log(45)))) * noise
    if thick_mm > GRID_MM:
        slices = max(2, round(len(hu) * GRID_MM / thick_mm))
        few = ndimage.zoom(scanned, (slices / len(hu), 1, 1), order=1, mode="nearest")
        scanned = ndimage.zoom(few, (len(hu) / slices, 1, 1), order=1, mode="nearest")
    return np.asarray(scanned, dtype=np.float32)


def _outside_of_view(rng: np.random.Generator, scene: _Scene) -> Mask:
    """Voxels outside of a round field of view that cuts the sides of the patient."""
    width = np.flatnonzero((scene.tissue > 0).any(axis=(0, 1)))
    depth = np.flatnonzero((scene.tissue > 0).any(axis=(0, 2)))
    radius = rng.uniform(0.42, 0.6) * (width[-1] - width[0])
    middle = (depth[0] + depth[-1]) / 2 + rng.normal(0, 4), (width[0] + width[-1]) / 2 + rng.normal(0, 4)
    rows, columns = (np.arange(size, dtype=np.float32) for size in scene.grid.shape[1:])
    cut = np.hypot(rows[:, None] - middle[0], columns[None, :] - middle[1]) > radius
    return np.broadcast_to(cut, scene.grid.shape)
