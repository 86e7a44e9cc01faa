import numpy as np
import pytest
from scipy import ndimage

from preop.imaging import Geometry, Image
from preop.radiomics import Perturbation, Settings, compute_features, random_perturbations
from preop.radiomics.perturbations import noise_level
from preop.radiomics.preparation import prepare

SETTINGS = Settings(round_intensities=False)


@pytest.fixture
def case():
    """A smooth image and an ellipsoid of 2 : 1 that lies along x."""
    shape = (24, 60, 60)
    geometry = Geometry.axis_aligned(shape, (2.0, 1.0, 1.0), (5.0, -7.0, 11.0))
    z, y, x = np.indices(shape)
    voxels = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 200, shape), 3)
    inside = ((z - 12) * 2 / 8) ** 2 + ((y - 30) / 8) ** 2 + ((x - 30) / 16) ** 2 <= 1
    return Image(voxels, geometry), Image(inside, geometry)


def centre_mm(region):
    return region.geometry.world_mm(np.argwhere(region.morphological).mean(axis=0)[None])[0]


def test_the_default_changes_nothing(case):
    assert compute_features(*case, SETTINGS, perturbation=Perturbation()) == compute_features(*case, SETTINGS)


def test_rotation_turns_the_grid_and_leaves_the_tumour_where_it_is(case):
    straight, turned = (
        prepare(*case, SETTINGS, perturbation=Perturbation(rotation_degrees=degrees)) for degrees in (0, 90)
    )
    np.testing.assert_allclose(centre_mm(turned), centre_mm(straight), atol=0.3)
    boxes = [np.ptp(np.argwhere(region.morphological), axis=0) for region in (straight, turned)]
    assert abs(boxes[1][1] - boxes[0][2]) <= 1
    assert turned.values.mean() == pytest.approx(straight.values.mean(), abs=0.5)


@pytest.mark.parametrize(
    "perturbation", [Perturbation(rotation_degrees=30), Perturbation(shift_voxels=(0.3, 0.2, 0.7))]
)
def test_moving_the_grid_hardly_changes_the_shape(case, perturbation):
    before = compute_features(*case, SETTINGS)
    after = compute_features(*case, SETTINGS, perturbation=perturbation)
    for tag in ("morph_volume", "morph_sphericity", "morph_pca_maj_axis", "stat_mean", "stat_var"):
        assert after[tag] == pytest.approx(before[tag], rel=0.04)


@pytest.mark.parametrize("growth", [-3.0, -1.0, 1.0, 3.0])
def test_growth_moves_the_surface_by_so_many_mm(growth):
    z, y, x = np.mgrid[-16:17, -16:17, -16:17]
    ball = z**2 + y**2 + x**2 <= 10**2
    grown = Perturbation(growth_mm=growth).redrawn(ball, (1.0, 1.0, 1.0))
    assert (grown.sum() / ball.sum()) ** (1 / 3) * 10 == pytest.approx(10 + growth, abs=0.35)


def test_a_redrawn_contour_stays_near_the_drawn_one_and_another_seed_draws_another(case):
    drawn = prepare(*case, SETTINGS, margin_mm=12)
    redrawn = [
        prepare(*case, SETTINGS, margin_mm=12, perturbation=Perturbation(contour_sd_mm=1, seed=seed))
        for seed in (1, 1, 2)
    ]
    voxels = [int(region.morphological.sum()) for region in redrawn]
    assert voxels[0] == voxels[1]
    assert not np.array_equal(redrawn[0].morphological, redrawn[2].morphological)
    assert voxels[0] == pytest.approx(drawn.morphological.sum(), rel=0.3)


def test_a_contour_that_is_redrawn_outwards_is_not_cut_off(case):
    for seed in range(3):
        redrawn = Perturbation(contour_sd_mm=3.0, contour_length_mm=8.0, seed=seed)
        inside = prepare(*case, SETTINGS, perturbation=redrawn).morphological
        assert not any(inside.take(end, axis).any() for axis in range(3) for end in (0, -1))


def test_the_noise_of_an_image_is_found_again():
    geometry = Geometry.axis_aligned((20, 64, 64), (1.0, 1.0, 1.0))
    anatomy = np.add.outer(np.arange(20.0), np.add.outer(np.arange(64.0), 3 * np.arange(64.0)))
    noise = np.random.default_rng(3).normal(0, 12, geometry.shape)
    assert noise_level(Image(anatomy + noise, geometry)) == pytest.approx(12, rel=0.05)


def test_noise_spreads_intensities_and_not_the_shape(case):
    before = compute_features(*case, SETTINGS)
    after = compute_features(*case, SETTINGS, perturbation=Perturbation(noise=20))
    assert after["stat_var"] > before["stat_var"]
    assert after["morph_volume"] == before["morph_volume"]


def test_the_same_seed_draws_the_same_perturbations():
    assert random_perturbations(5, seed=1) == random_perturbations(5, seed=1)
    assert random_perturbations(5, seed=1) != random_perturbations(5, seed=2)
    assert all(abs(each.rotation_degrees) <= 10 for each in random_perturbations(50, seed=0))
