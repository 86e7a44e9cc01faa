from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from totalsegmentator.map_to_binary import class_map

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, read_image, reorient
from preop.simulation import BodyMap, Ellipsoid, RandomisedCt, Shape, Tube, coordinates, randomised_ct
from preop.simulation.label_maps import CAVITY, FAT, GRID_MM, MUSCLE

pytestmark = pytest.mark.slow

VALUES = {
    "lung_upper_lobe_right": 12,
    "lung_upper_lobe_left": 10,
    "heart": 51,
    "aorta": 52,
    "liver": 5,
    "vertebrae_T6": 38,
    "rib_right_6": 109,
    "rib_left_6": 97,
}
GRID = Geometry.axis_aligned((50, 60, 80), (4.0, 4.0, 4.0), (-160.0, -120.0, -100.0))
SHAPES: dict[str, Shape | Tube] = {  # x to the left, y to the back, z to the head
    "liver": Ellipsoid((-45, -10, -80), (60, 60, 30)),
    "lung_upper_lobe_right": Ellipsoid((-62, 0, 15), (42, 62, 68)),
    "lung_upper_lobe_left": Ellipsoid((62, 0, 15), (42, 62, 68)),
    "heart": Ellipsoid((12, -25, -15), (40, 30, 40)),
    "aorta": Tube((14, 42), (0, 0), 13),
    "vertebrae_T6": Tube((0, 75), (0, 0), 18),
    "rib_right_6": Tube((-114, 0), (0, 0), 8),
    "rib_left_6": Tube((114, 0), (0, 0), 8),
}
LUNGS = [value for name, value in VALUES.items() if name.startswith("lung_")]
DRAWS = 10


@pytest.fixture(scope="module")
def labels() -> Image:
    """A chest of a few shapes: the liver is on the right, the heart towards the left."""
    voxels = np.zeros(GRID.shape, dtype=np.uint8)
    for name, shape in SHAPES.items():
        inside = np.broadcast_to(shape.distance_mm(*coordinates(GRID)) < 0, GRID.shape)
        voxels[inside & (voxels == 0)] = VALUES[name]
    return Image(voxels, GRID)


@pytest.fixture(scope="module")
def body(labels: Image) -> BodyMap:
    return BodyMap.around(labels, VALUES)


@pytest.fixture(scope="module")
def draws(body: BodyMap) -> list[RandomisedCt]:
    return [randomised_ct(np.random.default_rng(seed), body) for seed in range(DRAWS)]


def across(mask: np.ndarray) -> float:
    """Centre of a mask along x, to the left, in voxels."""
    return float(np.argwhere(mask)[:, 2].mean())


def test_a_body_lies_around_the_organs_and_air_around_the_body(body: BodyMap, labels: Image) -> None:
    tissue = body.tissue.voxels
    assert body.tissue.spacing_mm == (GRID_MM,) * 3
    for value in VALUES.values():
        of_map, of_body = (labels.voxels == value).sum() * 4.0**3, (tissue == value).sum() * GRID_MM**3
        assert of_body == pytest.approx(of_map, rel=0.2)
    middle = tissue[tissue.shape[0] // 2]
    assert not np.concatenate([middle[:5], middle[-5:]]).any()
    assert not np.concatenate([middle[:, :5], middle[:, -5:]]).any()
    assert {CAVITY, MUSCLE} < set(np.unique(middle).tolist())
    assert FAT not in middle  # it is laid on by each draw
    between = (tissue == CAVITY).any(axis=(0, 1))
    assert np.flatnonzero(between).mean() == pytest.approx(tissue.shape[2] / 2, abs=4)
    assert (body.outward_mm[tissue > 0] == 0).all()
    assert body.outward_mm.max() > 60


def test_a_body_is_the_same_however_its_labels_are_turned(body: BodyMap, labels: Image) -> None:
    turned = BodyMap.around(reorient(labels, "RAS"), VALUES)
    assert (turned.tissue.voxels != body.tissue.voxels).mean() < 0.02
    assert across(turned.tissue.voxels == VALUES["liver"]) == pytest.approx(
        across(body.tissue.voxels == VALUES["liver"]), abs=1
    )


def test_labels_without_a_name_or_without_an_organ_are_refused(labels: Image) -> None:
    with pytest.raises(InvalidInputError, match="holds the value 5, which has no name"):
        BodyMap.around(labels, {name: value for name, value in VALUES.items() if name != "liver"})
    with pytest.raises(InvalidInputError, match="The label map is empty"):
        BodyMap.around(labels.with_voxels(np.zeros_like(labels.voxels)), VALUES)


def test_the_same_seed_draws_the_same_ct_and_another_seed_another(body: BodyMap, draws: list[RandomisedCt]) -> None:
    again = randomised_ct(np.random.default_rng(0), body)
    np.testing.assert_array_equal(again.ct.voxels, draws[0].ct.voxels)
    np.testing.assert_array_equal(again.labels.voxels, draws[0].labels.voxels)
    assert draws[1].ct.shape != draws[0].ct.shape or (draws[1].ct.voxels != draws[0].ct.voxels).any()


def test_a_ct_is_in_hu_on_the_grid_of_its_labels(draws: list[RandomisedCt]) -> None:
    for drawn in draws:
        assert drawn.ct.voxels.dtype == np.int16
        assert -1024 <= drawn.ct.voxels.min() < -900
        assert 100 < drawn.ct.voxels.max() <= 3071
        assert drawn.ct.geometry.difference(drawn.labels.geometry) is None
        assert set(np.unique(drawn.labels.voxels).tolist()) <= {0, *VALUES.values()}


def test_air_lung_soft_tissue_and_bone_keep_their_order_under_their_labels(draws: list[RandomisedCt]) -> None:
    for drawn in draws:
        hu, labels = drawn.ct.voxels, drawn.labels.voxels
        air, lung = np.median(hu[~drawn.body]), np.median(hu[np.isin(labels, LUNGS)])
        assert air < lung < -400
        soft = hu[labels == VALUES["liver"]]
        if soft.size > 500:  # in view
            assert 0 < np.median(soft) < 200
        bone = hu[np.isin(labels, [VALUES["rib_left_6"], VALUES["vertebrae_T6"]])]
        assert bone.mean() > 100


def test_no_organ_lies_in_the_air_around_the_body(draws: list[RandomisedCt]) -> None:
    for drawn in draws:
        assert not drawn.labels.voxels[~drawn.body].any()


def test_left_stays_left_in_every_draw(draws: list[RandomisedCt]) -> None:
    for drawn in draws:
        labels = drawn.labels.voxels
        right, left = (across(labels == VALUES[f"lung_upper_lobe_{side}"]) for side in ("right", "left"))
        assert right + 20 < left
        if (labels == VALUES["liver"]).sum() > 500:
            assert across(labels == VALUES["liver"]) < (right + left) / 2


def test_draws_differ_in_contrast_agent_size_and_field_of_view(draws: list[RandomisedCt]) -> None:
    blood = [np.median(each.ct.voxels[each.labels.voxels == VALUES["aorta"]]) for each in draws]
    assert min(blood) < 80
    assert max(blood) > 120
    assert len({each.ct.shape[0] for each in draws}) > DRAWS // 2
    heart = [(each.labels.voxels == VALUES["heart"]).sum() for each in draws]
    assert max(heart) > 1.2 * min(heart)


@pytest.mark.slow
def test_a_ct_of_a_real_person_has_lungs_of_air_in_a_closed_chest(data: Path) -> None:
    path = data / "anatomy" / "thorax_totalsegmentator_labels.nii.gz"
    if not path.is_file():
        pytest.skip(f"the label map of a real person is not at {path}")
    values = {name: value for value, name in class_map["total"].items()}
    drawn = randomised_ct(np.random.default_rng(3), BodyMap.around(read_image(path), values))
    labels = drawn.labels.voxels
    lungs = np.isin(labels, [value for name, value in values.items() if name.startswith("lung_")])
    assert np.median(drawn.ct.voxels[lungs]) < -600
    beside = ndimage.binary_dilation(lungs) & ~lungs
    assert (~drawn.body)[beside].mean() < 0.02
    assert across(labels == values["liver"]) < across(labels == values["heart"]) < across(labels == values["spleen"])
