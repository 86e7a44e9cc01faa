"""From a map of lesions to the primary, the nodes and the rest, told by where they lie; each measured.

What a lesion is follows from the labelled organs and the map of stations alone, not from how much it takes up: the
primary is the lesion of the lung that is largest, where being outside of the nodal zones counts for more than size; a node
lies in a station; what lies in lung tissue alone is a nodule (``nodules.py``); what lies in an organ that takes up FDG in
health is physiological; the rest is distant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preop.anatomy import NodeStations, StationMap, stations_of_points
from preop.anatomy.organs import LEFT_LOBES, LUNGS, RIGHT_LOBES
from preop.imaging import Image, axial_diameters, bounding_box, crop, separate_instances
from preop.segmentation import PHYSIOLOGICAL, Organs
from preop.staging import Side, Station

from .nodules import CONTACT, HILAR_STRUCTURES, IN_OTHER_STATIONS, SURELY_A_NODULE, node_share
from .uptake import PEAK_RADIUS_MM, References, reference_uptake, suv_peak

SEGMENTATION = "lesion-segmentation"

Box = tuple[slice, ...]

BONES = (
    *(f"vertebrae_{name}" for name in ("C6", "C7", *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6)))),
    *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)),
    *(f"{bone}_{side}" for bone in ("humerus", "scapula", "clavicula", "hip") for side in ("left", "right")),
    "sternum",
    "sacrum",
)
DISTANT_ORGANS = (*BONES, "adrenal_gland_left", "adrenal_gland_right", "liver")
"""Where a lesion is a metastasis, or not of this disease: no station lies there."""

NEVER_A_NODE = ("esophagus", "thyroid_gland")
"""Organs that lie among the stations: what is mostly inside of them is no node."""

TAKES_UP_IN_HEALTH = (*PHYSIOLOGICAL, *NEVER_A_NODE)

LARYNX_MM = 25.0
"""Vocal cords and the muscles of speech lie this near to the midline, above the trachea."""

SHELL_MM = 5.0
"""So far around a lesion organs are looked at: its own voxels may carry no label."""

IN_LUNG = 0.25
"""Share of a lesion and its shell that is lung, from which it may be the primary: a tumour at the chest wall has half."""

SOFT_TISSUE = "soft tissue"
"""Place of what lies in no station and no labelled organ."""

MOSTLY, NEARLY_ALL = 0.5, 0.8

LIVER_LESION = 1.5
"""SUVpeak as a multiple of the liver, from which uptake inside of the liver is a lesion (PERCIST's factor)."""

TOUCHING_MM = 3.0
"""Two lesions nearer to each other than this touch: the resolution of the scans parts them no further."""

MERGED_ML = 0.5
"""Volume of the primary in a mediastinal or hilar station from which a node may be hidden in it."""

ENOUGH_POINTS = 4000
"""A large lesion's shares in stations are measured by so many of its voxels, evenly spaced."""

ZONES = {"outside": 1.0, "intrapulmonary": 0.1, "hilar": 0.03, "mediastinal": 0.01}
"""What the volume of a lesion of the lung counts for it to be the primary, by where it lies."""


class Kind(StrEnum):
    """What a lesion is."""

    PRIMARY = "primary"
    NODE = "node"
    NODULE = "nodule"
    DISTANT = "distant"
    PHYSIOLOGICAL = "physiological"


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes
    ----------
    number
        Its label in ``Lesions.labels``: the primary is 1 where there is one, then nodes, nodules, distant and physiological
        ones, each by falling uptake.
    drawn_as
        Its label in the segmentation that was given, where structures of a mask are numbered by falling size.
    kind, place
        What it is, and where, in words.
    side
        Side of a lesion of the lung, None for others.
    lobe
        Lobe around a lesion of the lung, None for others.
    free_in_lung
        Whether it lies in lung tissue and touches no hilar structure.
    centre_mm
        World position (x, y, z) of the voxel nearest to its centroid.
    stations
        Shares in stations, and the distance of its centre from the border.
    short_axis_mm, long_axis_mm
        In the axial slice where it is largest (RECIST 1.1).
    suv_max, suv_peak
        By body weight.
    blood_pool_ratio, liver_ratio
        SUVmax over the patient's mediastinal blood pool and liver; None where those are not in view.
    touches_primary
        Whether it lies within 3 mm of the primary, so that a node cannot be told from growth into the mediastinum.
    """

    number: int
    drawn_as: int
    kind: Kind
    place: str
    side: Side | None
    lobe: str | None
    free_in_lung: bool
    centre_mm: tuple[float, float, float]
    stations: NodeStations
    short_axis_mm: float
    long_axis_mm: float
    volume_ml: float
    suv_max: float
    suv_peak: float
    blood_pool_ratio: float | None
    liver_ratio: float | None
    touches_primary: bool = False

    @property
    def shares(self) -> dict[Station, float]:
        """Share of a node in each of its stations; they sum to 1, less the probability that it is a nodule of the lung."""
        return _node_shares(self.stations, free_in_lung=self.free_in_lung)

    @property
    def nodule_share(self) -> float:
        """Probability that a node is a nodule of the lung instead."""
        return max(0.0, 1 - sum(self.shares.values())) if self.free_in_lung else 0.0

    @property
    def station(self) -> Station | None:
        """Station that holds most of a node; None for other lesions."""
        return max(self.shares, key=self.shares.__getitem__) if self.kind is Kind.NODE else None


@dataclass(frozen=True, eq=False)
class Lesions:
    """All lesions of a patient.

    Attributes
    ----------
    labels
        Number of the lesion in each of its voxels (int32), 0 elsewhere.
    all
        In the order of their numbers.
    references
        Uptake of blood pool and liver.
    notes
        What a reader should know of how they were found, in sentences.
    """

    labels: Image
    all: tuple[Lesion, ...]
    references: References
    notes: tuple[str, ...]

    def of(self, kind: Kind) -> tuple[Lesion, ...]:
        """Lesions of one kind, in the order of their numbers."""
        return tuple(lesion for lesion in self.all if lesion.kind is kind)

    @property
    def primary(self) -> Lesion | None:
        """The primary, None where no lesion can be it."""
        return next(iter(self.of(Kind.PRIMARY)), None)


@dataclass(frozen=True)
class _Site:
    """Where a lesion lies, before it is classified.

    Attributes
    ----------
    box
        Smallest box of voxels around it.
    centroid_mm
        World position (x, y, z).
    stations
        Its shares in stations.
    inside, around
        Share of its own voxels, and of the shell around them outside of all lesions, in each organ: a network leaves a
        tumour of the lung out.
    volume_ml
        Its volume.
    """

    box: Box
    centroid_mm: NDArray[np.float64]
    stations: NodeStations
    inside: Mapping[str, float]
    around: Mapping[str, float]
    volume_ml: float

    def lies_in(self, names: Sequence[str]) -> float:
        """Share of its own voxels in some organs."""
        return sum(self.inside.get(name, 0.0) for name in names)

    def lies_near(self, names: Sequence[str]) -> float:
        """Share of the shell around it in some organs."""
        return sum(self.around.get(name, 0.0) for name in names)

    @property
    def free_in_lung(self) -> bool:
        """Whether it lies in lung tissue and touches no hilar structure."""
        central = sum(share for name, share in self.stations.shares.items() if Station.parse(name).number < 12)
        return (
            self.lies_near(LUNGS) >= MOSTLY
            and self.lies_near(HILAR_STRUCTURES) < CONTACT
            and central < IN_OTHER_STATIONS
        )

    @property
    def is_nodule(self) -> bool:
        """Whether it is a nodule of the lung, and hardly a node."""
        if not self.free_in_lung:
            return False
        shares = _node_shares(self.stations, free_in_lung=True)
        return self.stations.station is None or sum(shares.values()) < SURELY_A_NODULE

    @property
    def zone(self) -> str:
        """Part of the map in which it lies: a key of ``ZONES``."""
        station = self.stations.station
        if station is None:
            return "outside"
        number = Station.parse(station).number
        return "mediastinal" if number < 10 else "hilar" if number < 12 else "intrapulmonary"


def _node_shares(stations: NodeStations, *, free_in_lung: bool) -> dict[Station, float]:
    total = sum(stations.shares.values())
    shares = {Station.parse(name): share / total for name, share in stations.shares.items()}
    weighed = {station: share * node_share(station, free_in_lung=free_in_lung) for station, share in shares.items()}
    return {station: share for station, share in weighed.items() if share > 0}


def find_lesions(suv: Image, organs: Organs, stations: StationMap, segmentation: Image) -> Lesions:
    """Tell lesions apart, say what each is, and measure it.

    Parameters
    ----------
    suv
        PET in SUV by body weight on the grid of the CT (z, y, x).
    organs
        Labelled organs on the same grid.
    stations
        Map of the stations, on its own grid.
    segmentation
        On the grid of the CT: one number a lesion, or one number for all; it may be empty.

    Raises
    ------
    InvalidInputError
        If the segmentation holds numbers that are no labels.
    """
    labels, notes = separate_instances(segmentation, name=SEGMENTATION, structure="lesion")
    references = reference_uptake(suv, organs, labels.voxels > 0)
    sites = _sites(labels, organs, stations)
    primary = _primary(sites)
    touching: frozenset[int] = frozenset()
    if primary is not None:
        touching = _touching(primary, sites[primary].box, labels)
        while _is_mask(segmentation) and (parts := _parts_of_primary(touching, sites)):
            labels = labels.with_voxels(np.where(np.isin(labels.voxels, parts), primary, labels.voxels))
            # What became part of the primary was no free tissue before either: the other lesions' shells stay as they are.
            box = bounding_box(labels.voxels == primary)
            sites = {label: site for label, site in sites.items() if label not in parts}
            sites[primary] = _site(primary, box, labels, organs, stations)
            touching = _touching(primary, sites[primary].box, labels)
        notes += _notes_on_primary(primary, sites)
    lesions = []
    for label, site in sites.items():
        kind = Kind.PRIMARY if label == primary else _kind(label, site, labels, suv, references, stations)
        lesion = _measured(label, site, kind, labels, suv, references)
        lesions.append(replace(lesion, touches_primary=label in touching))
    return _numbered(labels, lesions, references, notes)


def _sites(labels: Image, organs: Organs, stations: StationMap) -> dict[int, _Site]:
    """Find where each lesion lies, by its label."""
    boxes = ndimage.find_objects(labels.voxels)
    return {
        label: _site(label, box, labels, organs, stations)
        for label, box in enumerate(boxes, start=1)
        if box is not None
    }


def _site(label: int, box: Box, labels: Image, organs: Organs, stations: StationMap) -> _Site:
    wide = _widened(box, labels, SHELL_MM)
    mask = labels.voxels[wide] == label
    near = ndimage.distance_transform_edt(~mask, sampling=labels.spacing_mm) <= SHELL_MM
    shell = near & (labels.voxels[wide] == 0)
    around = organs.labels.voxels[wide]
    places = np.argwhere(mask)
    sample = places[:: max(1, len(places) // ENOUGH_POINTS)]
    points = crop(labels, wide).geometry.world_mm(sample)
    return _Site(
        box=box,
        centroid_mm=points.mean(axis=0),
        stations=stations_of_points(points, stations),
        inside=_shares(around[mask], organs),
        around=_shares(around[shell], organs),
        volume_ml=len(places) * labels.geometry.voxel_volume_mm3 / 1000,
    )


def _shares(voxels: NDArray[np.integer], organs: Organs) -> dict[str, float]:
    counts = np.bincount(voxels)
    names = {value: name for name, value in organs.values.items()}
    found = np.flatnonzero(counts).tolist()
    return {names[value]: float(counts[value] / voxels.size) for value in found if value in names}


def _primary(sites: Mapping[int, _Site]) -> int | None:
    """Find the label of the primary: of the lesions of a lung, the largest, where its zone weighs its volume."""
    of_lung = {
        label: ZONES[site.zone] * site.volume_ml
        for label, site in sites.items()
        if site.lies_near(LUNGS) >= IN_LUNG and site.lies_in((*TAKES_UP_IN_HEALTH, *DISTANT_ORGANS)) < MOSTLY
    }
    return max(of_lung, key=of_lung.__getitem__) if of_lung else None


def _is_mask(segmentation: Image) -> bool:
    """Tell whether all lesions have the same number, so that parts of one may have been taken for several."""
    return not np.any((segmentation.voxels != 0) & (segmentation.voxels != segmentation.voxels.max()))


def _touching(label: int, box: Box, labels: Image) -> frozenset[int]:
    """Labels of the lesions that touch one."""
    wide = _widened(box, labels, TOUCHING_MM)
    part = labels.voxels[wide]
    near = ndimage.distance_transform_edt(part != label, sampling=labels.spacing_mm) <= TOUCHING_MM
    return frozenset(np.unique(part[near]).tolist()) - {0, label}


def _parts_of_primary(touching: frozenset[int], sites: Mapping[int, _Site]) -> list[int]:
    """Labels of what was split from the primary: parts that touch it, in the lung or the wall of the chest.

    In stations 1 to 11 they are nodes; what lies in an organ that takes up FDG in health stays what it is.
    """
    return [
        label
        for label in sorted(touching)
        if sites[label].lies_in(TAKES_UP_IN_HEALTH) < MOSTLY
        and (
            sites[label].zone == "outside"
            or (sites[label].zone == "intrapulmonary" and sites[label].lies_near(LUNGS) >= IN_LUNG)
        )
    ]


def _notes_on_primary(primary: int, sites: Mapping[int, _Site]) -> list[str]:
    site = sites[primary]
    reaches = {
        name: share * site.volume_ml
        for name, share in site.stations.shares.items()
        if Station.parse(name).number < 12 and share * site.volume_ml >= MERGED_ML
    }
    notes = []
    if reaches:
        where = " and ".join(f"{name} ({volume:.1f} ml)" for name, volume in reaches.items())
        notes.append(
            f"The primary reaches into station {where}: a node that has grown together with it cannot be told apart."
        )
    if site.zone in {"hilar", "mediastinal"}:
        notes.append(
            f"No lesion lies in a lung outside of the nodal zones; the one in station {site.stations.station} was taken for "
            "the primary."
        )
    return notes


def _kind(label: int, site: _Site, labels: Image, suv: Image, references: References, stations: StationMap) -> Kind:
    """Say what a lesion is that is not the primary."""
    if site.lies_in(("liver",)) >= MOSTLY:
        hot = references.liver is not None and _peak(label, site.box, labels, suv) > LIVER_LESION * references.liver
        return Kind.DISTANT if hot else Kind.PHYSIOLOGICAL
    in_station = site.stations.station is not None
    healthy = site.lies_in(TAKES_UP_IN_HEALTH)
    if healthy >= NEARLY_ALL or (healthy >= MOSTLY and not in_station) or site.lies_in(NEVER_A_NODE) >= MOSTLY:
        return Kind.PHYSIOLOGICAL
    if not in_station and _in_larynx(site, stations):
        return Kind.PHYSIOLOGICAL
    if site.lies_in(DISTANT_ORGANS) >= MOSTLY:
        return Kind.DISTANT
    if site.is_nodule:
        return Kind.NODULE
    return Kind.NODE if in_station else Kind.DISTANT


def _in_larynx(site: _Site, stations: StationMap) -> bool:
    x, _, z = site.centroid_mm
    airway, top = stations.landmarks.airway, stations.landmarks.cricoid
    return bool(z > top - TOUCHING_MM and abs(x - airway.midline.at(np.array([top]))[0]) <= LARYNX_MM)


def _peak(label: int, box: Box, labels: Image, suv: Image) -> float:
    wide = _widened(box, labels, PEAK_RADIUS_MM)
    return suv_peak(crop(suv, wide), labels.voxels[wide] == label)


def _measured(label: int, site: _Site, kind: Kind, labels: Image, suv: Image, references: References) -> Lesion:
    mask = crop(labels, site.box)
    mask = mask.with_voxels(mask.voxels == label)
    inside = np.argwhere(mask.voxels)
    nearest = inside[np.linalg.norm((inside - inside.mean(0)) * mask.spacing_mm, axis=1).argmin()]
    x, y, z = mask.geometry.world_mm(nearest[None])[0].tolist()
    diameters = axial_diameters(mask)
    suv_max = float(suv.voxels[site.box][mask.voxels].max())
    return Lesion(
        number=0,
        drawn_as=label,
        kind=kind,
        place=_place(site, kind),
        side=_side(site),
        lobe=_lobe(site),
        free_in_lung=site.free_in_lung,
        centre_mm=(x, y, z),
        stations=site.stations,
        short_axis_mm=diameters.short_axis_mm,
        long_axis_mm=diameters.long_axis_mm,
        volume_ml=site.volume_ml,
        suv_max=suv_max,
        suv_peak=_peak(label, site.box, labels, suv),
        blood_pool_ratio=_ratio(suv_max, references.blood_pool),
        liver_ratio=_ratio(suv_max, references.liver),
    )


def _place(site: _Site, kind: Kind) -> str:
    """Say where a lesion lies: its station, else the organ that holds most of it and its shell."""
    if kind is Kind.NODE:
        return f"station {site.stations.station}"
    if not site.around:
        return SOFT_TISSUE
    organ = max(site.around, key=site.around.__getitem__)
    return _in_words(organ) if site.around[organ] >= IN_LUNG / 2 else SOFT_TISSUE


def _in_words(organ: str) -> str:
    """Write the name of an organ as it is spoken: ``lung_upper_lobe_right`` is the right upper lobe."""
    words = organ.removeprefix("lung_").split("_")
    sides = [word for word in words if word in {"left", "right"}]
    return " ".join([*sides, *(word for word in words if word not in sides)])


def _side(site: _Site) -> Side | None:
    right, left = site.lies_near(RIGHT_LOBES), site.lies_near(LEFT_LOBES)
    if right + left < IN_LUNG:  # labels of a network may mix the sides in places
        return None
    return Side.RIGHT if right >= left else Side.LEFT


def _lobe(site: _Site) -> str | None:
    if _side(site) is None:
        return None
    return max(LUNGS, key=lambda lobe: site.around.get(lobe, 0.0))


def _ratio(suv_max: float, reference: float | None) -> float | None:
    return None if reference is None else suv_max / reference


def _numbered(labels: Image, lesions: Sequence[Lesion], references: References, notes: Sequence[str]) -> Lesions:
    """Number the lesions: the primary, nodes, nodules, distant and physiological ones, each by falling uptake."""
    ordered = sorted(lesions, key=lambda lesion: (list(Kind).index(lesion.kind), -lesion.suv_max, lesion.drawn_as))
    numbered = tuple(replace(lesion, number=number) for number, lesion in enumerate(ordered, start=1))
    numbers = np.zeros(int(labels.voxels.max()) + 1, dtype=np.int32)
    numbers[[lesion.drawn_as for lesion in numbered]] = [lesion.number for lesion in numbered]
    return Lesions(labels.with_voxels(numbers[labels.voxels]), numbered, references, tuple(notes))


def _widened(box: Box, image: Image, margin_mm: float) -> Box:
    margins = [math.ceil(margin_mm / spacing) + 1 for spacing in image.spacing_mm]
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, margin, size in zip(box, margins, image.shape, strict=True)
    )
