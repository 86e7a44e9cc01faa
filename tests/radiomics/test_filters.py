"""Properties of filters; the standard's response maps are in test_ibsi_2."""

import itertools
import math

import numpy as np
import pytest
from pydantic import ValidationError

from preop.imaging import Geometry, Image
from preop.radiomics.filters import Gabor, LaplacianOfGaussian, Laws, Mean, SeparableWavelet, Simoncelli
from preop.radiomics.filters.separable import rotations
from preop.radiomics.preparation import RegionOfInterest

EVERY_KIND = [
    Mean(),
    LaplacianOfGaussian(),
    Laws(),
    Gabor(sigma_mm=2.0, wavelength_mm=3.0, theta_step_degrees=45.0),
    SeparableWavelet(),
    Simoncelli(),
    Simoncelli(riesz="100"),
    Simoncelli(riesz="012"),
]
BY_SLICE = [
    Mean(by_slice=True),
    LaplacianOfGaussian(by_slice=True),
    Laws(kernels="E3L3", by_slice=True),
    Gabor(sigma_mm=2.0, wavelength_mm=3.0, by_slice=True),
    SeparableWavelet(passes="LH", by_slice=True),
    Simoncelli(by_slice=True),
    Simoncelli(by_slice=True, riesz="11"),
]


def image_of(voxels, spacing_mm=(1.0, 1.0, 1.0)):
    return Image(np.asarray(voxels, dtype=np.float64), Geometry.axis_aligned(np.shape(voxels), spacing_mm))


@pytest.fixture
def noise():
    return image_of(np.random.default_rng(0).normal(size=(24, 25, 26)))


@pytest.mark.parametrize("each", [f for f in EVERY_KIND if not isinstance(f, Mean)], ids=lambda f: f.name)
def test_what_looks_for_change_finds_none_in_a_flat_image(each):
    flat = image_of(np.full((30, 30, 30), 100.0))
    assert np.abs(each.apply(flat).voxels).max() < 0.5


def test_the_mean_of_a_flat_image_is_its_value():
    np.testing.assert_allclose(Mean().apply(image_of(np.full((6, 6, 6), 7.0))).voxels, 7)


@pytest.mark.parametrize("boundary", ["zero", "nearest", "periodic", "mirror"])
@pytest.mark.parametrize(
    "kind",
    [
        LaplacianOfGaussian(sigma_mm=1.5),
        LaplacianOfGaussian(sigma_mm=1.5, by_slice=True),
        SeparableWavelet(wavelet="db3", passes="LHL", level=2),
        SeparableWavelet(wavelet="haar", passes="HLL", rotation_invariant=True),
        SeparableWavelet(passes="HL", by_slice=True),
    ],
    ids=lambda f: f.name,
)
def test_where_a_region_lies_the_response_is_that_of_the_whole_image(kind, boundary):
    image = image_of(np.random.default_rng(1).normal(size=(14, 40, 150)))
    each = kind.model_copy(update={"boundary": boundary})
    whole = each.apply(image).voxels
    # At the image's edge and away from it, with a slice and rows without a voxel, and longer than a block of the loop.
    for box in ((slice(0, 9), slice(3, 40), slice(0, 5)), (slice(4, 9), slice(20, 26), slice(10, 150))):
        inside = np.zeros([part.stop - part.start for part in box], dtype=bool)
        inside[:2, 1:4, 1:3] = inside[4, 2, 2:] = True
        region = RegionOfInterest(np.empty(0), inside, inside, image.geometry)
        found = each.within(image, box, region.rows)
        assert (found[inside] == whole[box][inside]).all()


def test_wavelets_computed_together_are_those_computed_alone(noise):
    box = (slice(3, 20), slice(2, 25), slice(0, 26))
    passes = [SeparableWavelet(passes="".join(each) + "L") for each in itertools.product("LH", repeat=2)]
    assert len({each.beginning for each in passes}) == 1
    found = dict(SeparableWavelet.together(passes, noise, box))
    assert all((found[each] == each.within(noise, box)).all() for each in passes)


@pytest.mark.parametrize("each", BY_SLICE, ids=lambda f: f.name)
def test_by_slice_no_slice_sees_another(each, noise):
    other = noise.voxels.copy()
    other[5:] = 0
    alone, together = each.apply(noise.with_voxels(other)).voxels[4], each.apply(noise).voxels[4]
    np.testing.assert_allclose(alone, together, atol=1e-12)


@pytest.mark.parametrize(
    "each",
    [
        Laws(kernels="L3E5S5", boundary="periodic"),
        SeparableWavelet(wavelet="db2", passes="LHH", rotation_invariant=True, boundary="periodic"),
        Gabor(sigma_mm=2.0, wavelength_mm=3.0, theta_step_degrees=90.0, boundary="periodic"),
    ],
    ids=lambda f: f.name,
)
def test_a_rotation_invariant_response_turns_with_the_image(each):
    voxels = np.random.default_rng(1).normal(size=(25, 25, 25))
    for axes in itertools.combinations(range(3), 2):
        turned = each.apply(image_of(np.rot90(voxels, axes=axes))).voxels
        np.testing.assert_allclose(turned, np.rot90(each.apply(image_of(voxels)).voxels, axes=axes), atol=1e-9)


@pytest.mark.parametrize("each", [*EVERY_KIND[:5], *BY_SLICE[:5]], ids=lambda f: f.name)
def test_nothing_beyond_its_reach_changes_a_response(each):
    spacing = (1.0, 1.2, 0.8)
    n = 2 * math.ceil(each.reach_mm(spacing) / min(spacing)) + 5
    voxels = np.random.default_rng(2).normal(size=(n, n, n))
    middle = n // 2
    near = [math.ceil(each.reach_mm(spacing) / s) for s in spacing]
    box = tuple(slice(middle - k, middle + k + 1) for k in near)
    cropped = each.apply(image_of(voxels[box], spacing)).voxels[tuple(near)]
    assert cropped == pytest.approx(each.apply(image_of(voxels, spacing)).voxels[middle, middle, middle], abs=1e-4)


def test_a_bright_ball_is_a_minimum_of_the_laplacian_of_its_size():
    z, y, x = np.mgrid[-12:13, -12:13, -12:13]
    ball = image_of((z**2 + y**2 + x**2 <= 5**2) * 100.0)
    at_centre = {
        sigma: sigma**2 * LaplacianOfGaussian(sigma_mm=sigma).apply(ball).voxels[12, 12, 12] for sigma in (1, 3, 6)
    }
    assert min(at_centre, key=at_centre.__getitem__) == 3  # 5 / sqrt(3)


def test_a_laplacian_has_its_width_in_mm_and_its_response_per_squared_voxel():
    fine, coarse = (np.mgrid[-20 : 20 + s : s, -20 : 20 + s : s, -20 : 20 + s : s] for s in (0.5, 1))
    responses = [
        LaplacianOfGaussian(sigma_mm=2).apply(image_of(np.exp(-(grid**2).sum(axis=0) / 50), (s, s, s))).voxels
        for grid, s in ((fine, 0.5), (coarse, 1.0))
    ]
    assert 4 * responses[0][40, 40, 40] == pytest.approx(responses[1][20, 20, 20], rel=1e-3)


def test_a_laplacian_ends_at_the_voxel_nearest_to_where_it_is_cut_off():
    impulse = np.zeros((17, 17, 17))
    impulse[8, 8, 8] = 1
    response = LaplacianOfGaussian(sigma_mm=1.2, truncate=3.0).apply(image_of(impulse)).voxels[8, 8]
    assert np.flatnonzero(response).tolist() == list(range(8 - 4, 8 + 5))  # 3.6 voxels


def test_a_wavelet_doubles_its_width_with_each_level():
    impulse = np.zeros((24, 24, 24))
    impulse[12, 12, 12] = 1
    response = SeparableWavelet(wavelet="haar", passes="LLL", level=3).apply(image_of(impulse)).voxels
    assert (np.ptp(np.argwhere(np.abs(response) > 1e-12), axis=0) == 7).all()
    assert response[np.abs(response) > 1e-12] == pytest.approx(np.full(8**3, 2 ** (-3 * 3 / 2)))


@pytest.mark.parametrize("name", ["E3", "E5", "S3", "S5", "W5", "R5"])
def test_only_the_level_of_laws_kernels_answers_a_flat_image(name):
    flat = image_of(np.full((12, 12, 12), 100.0))
    each = Laws(kernels=name * 3, rotation_invariant=False, energy_distance_voxels=None)
    assert np.abs(each.apply(flat).voxels[5:7, 5:7, 5:7]).max() < 1e-9


def test_a_gabor_filter_answers_waves_of_its_length_and_direction():
    x = np.arange(64.0)
    wave = image_of(np.broadcast_to(np.cos(2 * np.pi * x / 8), (1, 64, 64)))
    found = {
        theta: Gabor(
            sigma_mm=6, wavelength_mm=8, gamma=1, theta_degrees=theta, theta_step_degrees=None, by_slice=True
        ).apply(wave)
        for theta in (0, 90)
    }
    assert found[0].voxels[0, 32, 32] > 100 * found[90].voxels[0, 32, 32]


def test_a_kernel_has_24_rotations_in_space_4_in_a_plane_and_one_where_it_is_the_same_everywhere():
    x, y, z = ((1.0, 2.0, 3.0),), ((1.0, 2.0, 4.0),), ((1.0, 2.0, 5.0),)
    assert len(rotations((z, y, x))) == 24
    assert len(rotations((y, x))) == 4
    assert len(rotations((((1.0, 2.0, 1.0),),) * 3)) == 1


def test_the_two_passes_of_a_wavelet_hold_all_the_energy(noise):
    kinds = ["".join(passes) for passes in itertools.product("LH", repeat=3)]
    responses = [SeparableWavelet(wavelet="db3", passes=p, boundary="periodic").apply(noise).voxels for p in kinds]
    energy = sum((response**2).sum() for response in responses)
    assert energy == pytest.approx(2**3 * (noise.voxels**2).sum())


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (Mean, {"support_voxels": 4}, "must be odd"),
        (Laws, {"kernels": "L5E5"}, "must name 3 kernels"),
        (SeparableWavelet, {"passes": "LH"}, "must name 3 passes"),
        (SeparableWavelet, {"wavelet": "morl"}, "must be a discrete wavelet"),
        (Simoncelli, {"boundary": "mirror"}, "periodic"),
        (Simoncelli, {"riesz": "10"}, "3 orders"),
        (Simoncelli, {"riesz": "000"}, "not all of them 0"),
    ],
)
def test_impossible_parameters_are_refused_by_name(kind, wrong, message):
    with pytest.raises(ValidationError, match=message):
        kind(**wrong)


def test_a_wave_becomes_the_sine_of_its_cosine_where_the_riesz_transform_has_its_direction():
    """Along the wave, the transform of order 1 turns the phase by a quarter, that of order 2 by a half; across, nothing is left."""
    x = np.arange(33)
    phase = 2 * np.pi * 8 * x / 33
    wave = image_of(np.broadcast_to(np.cos(phase), (33, 33, 33)))
    plain = Simoncelli().apply(wave).voxels
    amplitude = np.abs(plain).max()
    assert amplitude == pytest.approx(1, rel=0.05)
    turned = np.broadcast_to(amplitude * np.sin(phase), plain.shape)
    np.testing.assert_allclose(Simoncelli(riesz="100").apply(wave).voxels, turned, atol=1e-9)
    np.testing.assert_allclose(Simoncelli(riesz="200").apply(wave).voxels, -plain, atol=1e-9)
    assert np.abs(Simoncelli(riesz="010").apply(wave).voxels).max() < 1e-9
    assert np.abs(Simoncelli(riesz="011").apply(wave).voxels).max() < 1e-9


@pytest.mark.parametrize("order", [1, 2, 3])
def test_all_riesz_transforms_of_an_order_together_hold_the_energy_of_the_wavelet(order):
    noisy = image_of(np.random.default_rng(2).normal(size=(21, 23, 25)))
    all_orders = [
        "".join(map(str, each)) for each in itertools.product(range(order + 1), repeat=3) if sum(each) == order
    ]
    energy = sum((Simoncelli(riesz=each).apply(noisy).voxels ** 2).sum() for each in all_orders)
    assert energy == pytest.approx((Simoncelli().apply(noisy).voxels ** 2).sum())


def test_a_turned_image_has_the_turned_riesz_transform():
    noisy = np.random.default_rng(3).normal(size=(21, 21, 21))
    found = Simoncelli(riesz="120").apply(image_of(noisy)).voxels
    swapped = Simoncelli(riesz="210").apply(image_of(noisy.transpose(0, 2, 1))).voxels
    np.testing.assert_allclose(found, swapped.transpose(0, 2, 1), atol=1e-12)
