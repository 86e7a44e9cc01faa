"""Stations lie where the table of the IASLC map puts them."""

import numpy as np
import pytest

from preop.anatomy import STATIONS, TOTAL_CLASSES, Organs, StationMap, map_stations, stations_of_points
from preop.anatomy.organs import LUNGS, VERTEBRAE
from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, crop, resample, resample_like
from preop.staging import Station
from tests.anatomy import conftest as known
from tests.anatomy.conftest import station_at

# Points of the simple thorax, (x, y, z) in mm, whose station follows from the table by hand.
POINTS = {
    "above the right apex, under the cricoid": ((-20, -10, 108), "1R"),
    "above the left apex, under the cricoid": ((20, -10, 108), "1L"),
    "in the sternal notch": ((-4, -72, 95), "1R"),
    "right of the trachea, over the vein": ((-14, 0, 70), "2R"),
    "before the trachea, left of its midline, over the vein": ((4, -14, 70), "2R"),
    "left of the trachea, over the arch": ((16, 0, 60), "2L"),
    "behind the sternum, before the caval vein": ((-15, -55, 45), "3aR"),
    "behind the sternum, before the carotid": ((15, -60, 50), "3aL"),
    "behind the oesophagus, right": ((-4, 28, 50), "3pR"),
    "behind the oesophagus, left": ((4, 28, 50), "3pL"),
    "right of the trachea, under the vein": ((-14, 0, 30), "4R"),
    "before the trachea, left of its midline, under the vein": ((4, -14, 30), "4R"),
    "between trachea and window": ((12, -5, 12), "4L"),
    "in the window, lateral": ((28, -12, 12), "5"),
    "lateral to the arch": ((27, -30, 30), "6"),
    "before the arch": ((10, -50, 30), "6"),
    "under the carina": ((0, 4, -15), "7"),
    "before the oesophagus, over the inferior vein": ((-8, 8, -35), "7"),
    "right of the oesophagus": ((-12, 20, -80), "8R"),
    "left of the oesophagus": ((10, 20, -80), "8L"),
    "left of the oesophagus, under the left lower lobe bronchus": ((3, 10, -40), "8L"),
    "between oesophagus and right lower lobe": ((-27, 18, -80), "9R"),
    "between oesophagus and left lower lobe": ((27, 4, -80), "9L"),
    "before the right main bronchus": ((-22, -14, -15), "10R"),
    "right of the carina, under the azygos": ((-14, 0, 5), "10R"),
    "behind the left main bronchus": ((12, 10, -3), "10L"),
    "between the right upper and lower lobes": ((-40, 5, -10), "11R"),
    "between the left lobes": ((50, 5, -30), "11L"),
    "at the right lobar bronchi": ((-40, -10, -30), "12R"),
    "further out on the right": ((-55, -10, -30), "13R"),
    "still further out on the right": ((-70, -10, -30), "14R"),
    "at the left lobar bronchi": ((52, -12, -15), "12L"),
    "further out on the left": ((70, -12, -15), "13L"),
    "still further out on the left": ((85, -12, -15), "14L"),
}
OUTSIDE = {
    "in the periphery of the lung": (-92, -60, 80),
    "beside the vertebral bodies": (22, 50, 0),
    "under the diaphragm": (0, 10, -108),
    "before the heart": (0, -66, -60),
}


def moved(labels: Image, axes: tuple[int, int, int], flips: tuple[int, ...]) -> Image:
    """The same labels in the world, with array axes permuted and flipped."""
    voxels = np.flip(np.transpose(labels.voxels, axes), flips)
    columns = np.reshape(labels.geometry.direction, (3, 3)).T[::-1]  # world direction of array axes z, y, x
    directions = columns[list(axes)]
    spacing = np.asarray(labels.spacing_mm)[list(axes)]
    origin = np.asarray(labels.geometry.origin_mm, dtype=float)
    for axis in flips:
        origin = origin + directions[axis] * spacing[axis] * (voxels.shape[axis] - 1)
        directions[axis] = -directions[axis]
    direction = tuple(directions[::-1].T.ravel().tolist())
    return Image(
        np.ascontiguousarray(voxels),
        Geometry(voxels.shape, tuple(spacing.tolist()), tuple(origin.tolist()), direction),
    )


def cropped(labels: Image, axis: int, part: slice) -> Image:
    """The labels of a scan that shows a part of the chest only."""
    box = [slice(0, size) for size in labels.shape]
    box[axis] = slice(*part.indices(labels.shape[axis])[:2])
    return crop(labels, tuple(box))


@pytest.mark.parametrize("place", POINTS)
def test_a_place_has_the_station_of_the_table(simple_map: StationMap, place: str) -> None:
    point, station = POINTS[place]
    assert station_at(point, simple_map) == station


@pytest.mark.parametrize("place", OUTSIDE)
def test_other_places_have_none(simple_map: StationMap, place: str) -> None:
    assert station_at(OUTSIDE[place], simple_map) == ""


def test_every_station_is_placed(simple_map: StationMap) -> None:
    assert simple_map.notes == ()
    assert set(np.unique(simple_map.labels.voxels)) == set(range(len(STATIONS) + 1))


def test_every_name_is_a_station_of_tnm() -> None:
    assert [Station(name) for name in STATIONS] == [s for s in Station if s.value not in ("3a", "3p")]


@pytest.mark.parametrize(
    ("upper", "lower", "height"),
    [
        ("2R", "4R", known.VEIN_CROSSING),
        ("2L", "4L", known.ARCH_TOP),
        ("4R", "10R", 10.0),
        ("4L", "10L", known.LEFT_ARTERY_TOP),
        ("6", "5", known.ARCH_BOTTOM),
    ],
)
def test_stations_one_above_the_other_meet_at_their_level(
    simple_map: StationMap, upper: str, lower: str, height: float
) -> None:
    z = simple_map.thorax.z
    lowest = z[simple_map.mask(upper).any(axis=(1, 2))][0]
    highest = z[simple_map.mask(lower).any(axis=(1, 2))][-1]
    assert lowest == pytest.approx(highest + known.SPACING)
    assert lowest == pytest.approx(height, abs=known.SPACING)


@pytest.mark.parametrize("which", ["simple_map", "real_map"])
def test_no_station_lies_in_an_organ_other_than_a_lung(which: str, request: pytest.FixtureRequest) -> None:
    stations: StationMap = request.getfixturevalue(which)
    allowed = [0, *(TOTAL_CLASSES[name] for name in LUNGS)]
    assert np.isin(stations.thorax.labels.voxels[stations.labels.voxels > 0], allowed).all()


@pytest.mark.parametrize("which", ["simple_map", "real_map"])
def test_only_hilar_and_intrapulmonary_stations_lie_in_the_lungs(which: str, request: pytest.FixtureRequest) -> None:
    stations: StationMap = request.getfixturevalue(which)
    in_lung = {STATIONS[label - 1] for label in np.unique(stations.labels.voxels[stations.thorax.lungs]) if label}
    assert in_lung <= {f"{number}{side}" for number in (11, 12, 13, 14) for side in "RL"}


@pytest.mark.parametrize(
    ("axes", "flips"), [((0, 1, 2), (2,)), ((0, 1, 2), (0, 1)), ((2, 0, 1), ()), ((1, 2, 0), (0, 2))]
)
def test_a_flipped_or_permuted_scan_has_the_same_stations(
    simple: Image, simple_map: StationMap, axes: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    other = map_stations(Organs(moved(simple, axes, flips)))
    assert np.array_equal(other.labels.voxels, simple_map.labels.voxels)


def test_the_map_comes_back_on_the_grid_of_the_scan(simple: Image, simple_map: StationMap) -> None:
    scan = moved(simple, (0, 1, 2), (2,))
    there = simple_map.on(scan.geometry)
    assert there.shape == scan.shape
    back = simple_map.on(simple.geometry)
    assert np.array_equal(there.voxels, back.voxels[:, :, ::-1])


@pytest.mark.parametrize("degrees", [-8, 8])
def test_a_tilted_scan_has_the_same_stations_away_from_borders(simple: Image, degrees: float) -> None:
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    tilted = Geometry(simple.shape, simple.spacing_mm, (0.0, 0.0, 0.0), (c, -s, 0, s, c, 0, 0, 0, 1))
    middle = np.array([(size - 1) / 2 for size in simple.shape])
    shift = simple.geometry.world_mm(middle)[0] - tilted.world_mm(middle)[0]
    grid = Geometry(simple.shape, simple.spacing_mm, tuple(shift.tolist()), tilted.direction)
    found = map_stations(Organs(resample_like(simple, grid, interpolation="nearest", outside=0)))
    places = {place: stations_of_points(np.array([point]), found).station for place, (point, _) in POINTS.items()}
    assert places == {place: station for place, (_, station) in POINTS.items()}


@pytest.mark.parametrize(
    ("axis", "part", "absent", "present"),
    [
        (0, slice(None, 75), {"2R", "4R", "3aL", "6"}, {"7", "8R", "8L", "9R", "9L", "10L"}),  # just below the carina
        (0, slice(None, 60), {"2R", "4R", "7", "6"}, {"8R", "8L", "9R", "9L"}),  # below the bronchi
        (0, slice(95, None), {"7", "8R", "9L", "10R"}, {"1R", "2R", "2L", "3aR", "3pL", "4R", "6"}),  # above it
        (2, slice(None, 64), {"5", "2L", "14L"}, {"2R", "4R", "10R", "14R"}),  # right half
        (2, slice(64, None), {"9R", "13R", "14R"}, {"2L", "6", "12L"}),  # left half
        (1, slice(None, 60), {"3pR", "8R"}, {"3aR", "3aL", "6"}),  # front half
    ],
)
def test_half_a_thorax_has_the_stations_it_shows_and_says_which_it_lacks(
    simple: Image, axis: int, part: slice, absent: set[str], present: set[str]
) -> None:
    found = map_stations(Organs(cropped(simple, axis, part)))
    placed = {STATIONS[label - 1] for label in np.unique(found.labels.voxels) if label}
    assert present <= placed
    assert not absent & placed
    missing = next(note for note in found.notes if note.startswith("Not placed"))
    assert {name.strip(" .") for name in missing.removeprefix("Not placed:").split(",")} == set(STATIONS) - placed


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TOTAL_CLASSES) - {*VERTEBRAE} | {"vertebrae_T5"}))
def test_without_any_one_organ_there_still_is_a_map(simple: Image, name: str) -> None:
    coarse = Image(
        simple.voxels[::2, ::2, ::2],
        Geometry.axis_aligned(simple.voxels[::2, ::2, ::2].shape, (3.0, 3.0, 3.0), simple.geometry.origin_mm),
    )
    found = map_stations(Organs(coarse, {key: label for key, label in TOTAL_CLASSES.items() if key != name}))
    assert (found.labels.voxels > 0).any()


def test_a_scan_without_lungs_is_refused(simple: Image) -> None:
    labels = simple.with_voxels(np.where(np.isin(simple.voxels, [10, 11, 12, 13, 14]), 0, simple.voxels))
    with pytest.raises(InvalidInputError, match="hold no lung"):
        map_stations(Organs(labels))


def test_labels_that_are_not_whole_numbers_are_refused(simple: Image) -> None:
    with pytest.raises(InvalidInputError, match="whole numbers"):
        Organs(simple.with_voxels(simple.voxels.astype(np.float32)))


# A real person. Bounds are wide: they say that a station is a place for lymph nodes, not half of the chest.
LARGEST_ML = {"1": 60, "2": 25, "3a": 40, "3p": 15, "4": 20, "5": 10, "6": 25, "7": 25, "8": 30, "9": 20, "10": 50}


@pytest.mark.parametrize("name", [name for name in STATIONS if name.rstrip("RL") in LARGEST_ML])
def test_a_station_of_a_real_person_has_a_plausible_volume(real_map: StationMap, name: str) -> None:
    volume_ml = real_map.mask(name).sum() * real_map.labels.geometry.voxel_volume_mm3 / 1000
    assert 2 < volume_ml < LARGEST_ML[name.rstrip("RL")]


@pytest.mark.parametrize(
    ("first", "second"),
    [("2R", "4R"), ("2L", "4L"), ("4R", "10R"), ("4L", "10L"), ("4L", "5"), ("4R", "4L"), ("2R", "2L"), ("5", "10L")],
)
def test_neighbours_on_the_map_touch_in_a_real_person(real_map: StationMap, first: str, second: str) -> None:
    from scipy import ndimage

    around = ndimage.binary_dilation(real_map.mask(first), iterations=2)
    assert (around & real_map.mask(second)).any()


def test_station_7_of_a_real_person_hangs_under_the_carina(real_map: StationMap) -> None:
    z, y, x = np.nonzero(real_map.mask("7"))
    thorax, carina = real_map.thorax, real_map.landmarks.carina
    assert thorax.z[z].max() == carina[2]
    assert abs(thorax.x[x[z == z.max()]].mean() - carina[0]) < 5
    assert abs(thorax.y[y].mean() - carina[1]) < 15


def test_station_4r_of_a_real_person_reaches_the_left_border_of_the_trachea(real_map: StationMap) -> None:
    thorax, landmarks = real_map.thorax, real_map.landmarks
    z, _, x = np.nonzero(real_map.mask("4R"))
    for height in np.unique(z):
        border = landmarks.airway.left.at(thorax.z[height])
        assert thorax.x[x[z == height]].max() < border
    assert thorax.x[x].max() > landmarks.airway.left.at(landmarks.vein_crossing) - 5


def test_sides_of_a_real_person_are_on_their_sides(real_map: StationMap) -> None:
    thorax, spine = real_map.thorax, real_map.landmarks.spine_midline
    for name in STATIONS:
        if name[-1] in "RL":
            z, _, x = np.nonzero(real_map.mask(name))
            left_of_spine = (thorax.x[x] - spine.at(thorax.z[z])).mean()
            assert (left_of_spine > 0) == (name[-1] == "L"), name


def test_a_real_person_lacks_no_station(real_map: StationMap) -> None:
    assert real_map.notes == ()


def test_a_flipped_real_scan_has_the_same_stations(real: Image, real_map: StationMap) -> None:
    other = map_stations(Organs(moved(real, (0, 1, 2), (1, 2))))
    assert np.array_equal(other.labels.voxels, real_map.labels.voxels)


def test_labels_at_3_mm_give_a_real_person_the_same_stations(real: Image, real_map: StationMap) -> None:
    coarse = map_stations(Organs(resample(real, (3.0, 3.0, 3.0), interpolation="nearest")))
    there, here = coarse.on(real_map.labels.geometry).voxels, real_map.labels.voxels
    both = (there > 0) & (here > 0)
    assert (there == here)[both].mean() > 0.95
    assert both.sum() / (here > 0).sum() > 0.9
