"""Simulated livers: patterns in their shares, the same voxels near metastases, cohorts that can be read."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from liver_growth_pattern.lesions import CT, SEGMENTATION
from liver_growth_pattern.simulation import CENTRES, EXTERNAL_CENTRES, PatientFacts, draw_facts, draw_patient, simulate
from liver_growth_pattern.simulation.disease import MISREAD, Metastases, draw_reports
from liver_growth_pattern.simulation.scan import DIRECTIONS, random_surface
from preop.cohort import read_cohort
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import read_image
from preop.statistics import oracle_auc
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

ALGORITHM = read_algorithm(ROOT / "algorithms" / "liver_growth_pattern")
PATIENTS, SEED = 4, 5


@pytest.fixture(scope="module")
def facts() -> list[PatientFacts]:
    return [draw_facts(1, number) for number in range(1500)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("liver") / "cohort"
    simulate(PATIENTS, SEED, folder, small=True)
    return folder


def single(shares: tuple[float, float, float], *, radius_mm: float = 14.0) -> PatientFacts:
    """A patient with one metastasis that shows its pattern clearly."""

    def one(value: float) -> np.ndarray:
        return np.array([value])

    metastases = Metastases(
        shares=np.array([shares]),
        radius_mm=one(radius_mm),
        capsule_mm=one(3.0),
        capsule_hu=one(30.0),
        infiltration_mm=one(6.0),
        roughness_mm=one(1.5),
        displacement_mm=one(7.0),
        edge_mm=one(0.9),
        halo_hu=one(0.0),
        centre_hu=one(-55.0),
        rim_hu=one(-40.0),
        texture_hu=one(4.0),
    )
    quiet = replace(CENTRES[0], ct=replace(CENTRES[0].ct, noise_hu=1.0))
    return PatientFacts(quiet, metastases, draw_reports(np.random.default_rng(0), metastases), True, "reader")


# --- how often, how many


def test_desmoplastic_patients_are_as_frequent_as_published(facts: list[PatientFacts]) -> None:
    assert np.mean([not each.non_desmoplastic for each in facts]) == pytest.approx(0.20, abs=0.03)
    half = [np.mean([report.desmoplastic for report in each.reports]) >= 0.5 for each in facts]
    assert np.mean(half) == pytest.approx(0.44, abs=0.04)


def test_patients_have_one_to_ten_metastases(facts: list[PatientFacts]) -> None:
    counts = [len(each.metastases) for each in facts]
    assert (min(counts), max(counts)) == (1, 10)


def test_metastases_of_a_patient_resemble_each_other(facts: list[PatientFacts]) -> None:
    pairs = [each.metastases.shares[:2, 0] for each in facts if len(each.metastases) > 1]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.6


def test_neither_centre_nor_number_of_metastases_makes_a_pattern(facts: list[PatientFacts]) -> None:
    for centre in CENTRES:
        here = [each.metastases.shares[0, 0] for each in facts if each.centre is centre]
        assert np.mean(here) == pytest.approx(np.mean([each.metastases.shares[0, 0] for each in facts]), abs=0.08)


# --- reports and the oracle


def test_a_pure_metastasis_is_reported_as_pure_but_for_misreading() -> None:
    pure = single((1, 0, 0)).metastases
    rng = np.random.default_rng(1)
    said = [draw_reports(rng, pure)[0].pure_desmoplastic for _ in range(2000)]
    assert np.mean(said) == pytest.approx(1 - MISREAD, abs=0.01)


def test_the_oracle_is_the_chance_of_the_report() -> None:
    nearly = single((0.97, 0.03, 0)).metastases
    rng = np.random.default_rng(2)
    said = [draw_reports(rng, nearly)[0].pure_desmoplastic for _ in range(4000)]
    assert np.mean(said) == pytest.approx(float(nearly.pure_report[0]), abs=0.025)


def test_the_oracle_is_high_but_not_perfect(facts: list[PatientFacts]) -> None:
    assert 0.97 < oracle_auc(np.array([each.metastases.oracle for each in facts])) < 1


# --- how it looks


@pytest.mark.parametrize("shares", [(0.3, 0.5, 0.2), (1.0, 0.0, 0.0), (0.0, 0.35, 0.65)])
def test_patterns_cover_their_shares_of_the_surface(shares: tuple[float, float, float]) -> None:
    surface = random_surface(np.random.default_rng(3), np.zeros(3), 15.0, np.array(shares))
    polar = (np.arange(DIRECTIONS[0]) + 0.5) / DIRECTIONS[0] * np.pi
    area = np.sin(polar)[:, None] * surface.radius_mm**2
    found = [float(area[surface.pattern == kind].sum() / area.sum()) for kind in range(3)]
    assert found == pytest.approx(shares, abs=0.01)


def rim_profile(shares: tuple[float, float, float], seed: int = 11) -> np.ndarray:
    """Median density by distance from the drawn surface, -6 to 10 mm, beside the liver's."""
    patient = draw_patient(seed, 0, only_around=True, facts=single(shares))
    inside = patient.reader.voxels > 0
    spacing = patient.ct.spacing_mm
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing) - ndimage.distance_transform_edt(
        inside, sampling=spacing
    )
    middle = np.abs(np.arange(len(inside)) - np.argmax(inside.sum((1, 2))))[:, None, None] <= 1
    bands = [
        np.median(patient.ct.voxels[middle & (distance >= low) & (distance < low + 1) & (patient.ct.voxels > 0)])
        for low in range(-6, 10)
    ]
    return np.array(bands) - bands[-1]


def test_a_capsule_is_seen_only_where_it_is_desmoplastic() -> None:
    desmoplastic, pushing = rim_profile((1, 0, 0)), rim_profile((0, 0, 1))
    outside = slice(6, 9)
    assert desmoplastic[outside].max() > 10
    assert pushing[outside].max() < 3


def test_a_replacing_border_is_wider_than_a_pushing_one() -> None:
    replacing, pushing = rim_profile((0, 1, 0)), rim_profile((0, 0, 1))
    steepest = [float(np.diff(profile).max()) for profile in (replacing, pushing)]
    assert steepest[0] < 0.8 * steepest[1]


def test_the_surroundings_have_the_voxels_of_the_whole_scan() -> None:
    whole, around = (draw_patient(4, 3, only_around=only) for only in (False, True))
    start = np.rint(whole.ct.geometry.index_zyx(np.array([around.ct.geometry.origin_mm]))[0]).astype(int)
    box = tuple(slice(first, first + size) for first, size in zip(start, around.ct.shape, strict=True))
    scanned = around.ct.voxels > -1024
    assert scanned.mean() > 0.2
    np.testing.assert_array_equal(whole.ct.voxels[box][scanned], around.ct.voxels[scanned])
    np.testing.assert_array_equal(whole.reader.voxels[box], around.reader.voxels)
    np.testing.assert_array_equal(whole.network.voxels[box], around.network.voxels)


def test_in_the_arterial_phase_the_liver_is_darker() -> None:
    portal, arterial = (draw_patient(4, 3, only_around=True, arterial=each) for each in (False, True))
    near = (portal.reader.voxels == 0) & (portal.ct.voxels > 0)
    assert np.median(portal.ct.voxels[near]) - np.median(arterial.ct.voxels[near]) > 25


def test_external_centres_have_other_scanners() -> None:
    assert not {each.ct for each in CENTRES} & {each.ct for each in EXTERNAL_CENTRES}
    assert not {each.ct.spacing_mm for each in CENTRES} & {each.ct.spacing_mm for each in EXTERNAL_CENTRES}


# --- the cohort


def test_the_cohort_is_one_that_the_algorithm_reads(cohort: Path) -> None:
    read = read_cohort(cohort / "cohort.csv", ALGORITHM)
    assert read.source.simulated
    assert [patient.name for patient in read.patients] == [f"simulated_{number}" for number in range(1, PATIENTS + 1)]
    for number, patient in enumerate(read.patients):
        facts = draw_facts(SEED, number)
        labels = np.unique(patient.case.image(SEGMENTATION).voxels)
        assert labels.tolist() == list(range(len(facts.metastases) + 1))
        assert int(patient.row["non_desmoplastic"]) == facts.non_desmoplastic
        assert read_image(cohort / patient.row["second_segmentation"]).shape == patient.case.image(CT).shape


def test_reports_are_listed_but_for_patients_of_whom_only_the_pattern_is_known(cohort: Path) -> None:
    with (cohort / "lesion_shares.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = [
        (f"simulated_{number + 1}", str(label))
        for number in range(PATIENTS)
        for label in range(1, len(draw_facts(SEED, number).metastases) + 1)
        if draw_facts(SEED, number).reported_each
    ]
    assert [(row["patient"], row["label"]) for row in rows] == expected


def test_the_same_seed_gives_the_same_bytes_also_after_an_interruption(cohort: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(cohort, again)
    (again / "cohort.csv").unlink()
    (again / "images" / "simulated_2" / "reader.mha").unlink()
    done: list[tuple[int, int]] = []
    simulate(PATIENTS, SEED, again, lambda number, total: done.append((number, total)), small=True)
    for path in cohort.rglob("*"):
        if path.is_file():
            assert (again / path.relative_to(cohort)).read_bytes() == path.read_bytes()
    assert done == [(number + 1, PATIENTS) for number in range(PATIENTS)]


def test_a_folder_of_another_seed_is_refused(cohort: Path) -> None:
    with pytest.raises(InvalidOutputError, match=f"seed {SEED} instead of {SEED + 1}"):
        simulate(PATIENTS, SEED + 1, cohort, small=True)


@pytest.mark.parametrize(("number", "seed"), [(1, 0), (5, -1)])
def test_impossible_cohorts_are_refused(tmp_path: Path, number: int, seed: int) -> None:
    with pytest.raises(InvalidInputError, match="expected 2 patients or more"):
        simulate(number, seed, tmp_path / "cohort")
