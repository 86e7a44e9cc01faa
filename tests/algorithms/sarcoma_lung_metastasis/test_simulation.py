import csv
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft7Validator
from scipy import ndimage

from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging import Geometry, read_image
from preop.simulation import random_generator
from preop.statistics import oracle_auc
from sarcoma_lung_metastasis.features import _muscle
from sarcoma_lung_metastasis.simulation import SimulatedPatient, disease, simulate, simulate_patient
from sarcoma_lung_metastasis.simulation import cohort as cohorts
from sarcoma_lung_metastasis.simulation import scan as scans
from sarcoma_lung_metastasis.simulation.cohort import PURPOSES, SCAN_COLUMNS, PatientFacts
from sarcoma_lung_metastasis.simulation.draws import choose
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PATIENTS, SEED = 12, 20
SCHEMA = ROOT / "algorithms" / "sarcoma_lung_metastasis" / "clinical-information.schema.json"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate(PATIENTS, SEED, folder, small=True)
    return folder


@pytest.fixture(scope="module")
def rows(cohort: Path) -> list[dict[str, str]]:
    with (cohort / "cohort.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def patients() -> list[SimulatedPatient]:
    return [simulate_patient(SEED, number, small=True) for number in range(PATIENTS)]


@pytest.fixture(scope="module")
def realistic() -> SimulatedPatient:
    return next(
        patient
        for patient in (simulate_patient(7, number) for number in range(20))
        if patient.ct and patient.t1 and patient.limb.makeup.fat_fraction == 0
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the cohort


def test_the_same_seed_gives_the_same_bytes_also_after_an_interruption(cohort: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(cohort, again)
    (again / "cohort.csv").unlink()
    for path in sorted(again.glob("images/*/*.mha"))[::3]:
        path.unlink()
    simulate(PATIENTS, SEED, again, small=True)
    assert _files(again) == _files(cohort)


def test_images_that_are_there_are_not_made_again(cohort: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(cohort, again)
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*.mha")}
    done: list[tuple[int, int]] = []
    simulate(PATIENTS, SEED, again, lambda number, total: done.append((number, total)), small=True)
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*.mha")} == before
    assert done == [(number + 1, PATIENTS) for number in range(PATIENTS)]


def test_a_folder_of_another_seed_is_refused(cohort: Path) -> None:
    before = _files(cohort)
    with pytest.raises(InvalidOutputError, match=f"seed {SEED} instead of {SEED + 1}"):
        simulate(PATIENTS, SEED + 1, cohort, small=True)
    assert _files(cohort) == before


@pytest.mark.parametrize(("patients", "seed"), [(1, 0), (-3, 0), (5, -1)])
def test_impossible_cohorts_are_refused(tmp_path: Path, patients: int, seed: int) -> None:
    with pytest.raises(InvalidInputError, match="expected 2 patients or more"):
        simulate(patients, seed, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()


def test_the_readme_says_that_nothing_in_it_is_real(cohort: Path) -> None:
    assert "do not exist" in (cohort / "README.md").read_text()


def test_every_scan_has_its_segmentation_on_the_same_grid(cohort: Path, rows: list[dict[str, str]]) -> None:
    assert len(rows) == PATIENTS
    for row in rows:
        for scan, tumour in SCAN_COLUMNS.values():
            assert bool(row[scan]) == bool(row[tumour])
            if row[scan]:
                image, mask = read_image(cohort / row[scan]), read_image(cohort / row[tumour])
                assert image.geometry.difference(mask.geometry) is None
                assert set(np.unique(mask.voxels)) == {0, 1}
        assert row["ct-image"] or row["t1-mri"] or row["pet-image"]


def test_some_patients_lack_a_scan_or_a_clinical_value(rows: list[dict[str, str]]) -> None:
    assert {(bool(row["ct-image"]), bool(row["t1-mri"])) for row in rows} == {
        (True, True),
        (True, False),
        (False, True),
    }
    assert 0 < sum(row["margin"] == "" for row in rows) < PATIENTS


def test_every_combination_of_scans_occurs_and_most_patients_have_pet() -> None:
    rng = np.random.default_rng(0)
    drawn = [frozenset(cohorts._with_pet(choose(rng, cohorts.SCANS), SEED, number)) for number in range(500)]
    modalities = ("ct", "mr", "pet")
    assert set(drawn) == {frozenset(c) for size in (1, 2, 3) for c in combinations(modalities, size)}
    assert 0.6 < np.mean(["pet" in scans for scans in drawn]) < 0.8


def test_clinical_information_fits_the_schema_of_the_algorithm(patients: list[SimulatedPatient]) -> None:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert all(validator.is_valid(patient.clinical) for patient in patients)


def test_small_images_may_go_with_the_program(cohort: Path) -> None:
    assert max(path.stat().st_size for path in cohort.rglob("*.mha")) < 200_000


# --- the patient


def test_a_patient_does_not_depend_on_the_rest_of_the_cohort(cohort: Path, rows: list[dict[str, str]]) -> None:
    alone = simulate_patient(SEED, 5, small=True)
    assert float(rows[5]["true_probability"]) == pytest.approx(alone.true_probability, abs=1e-6)
    for scan, name in (
        (alone.ct, "ct-image"),
        (alone.t1, "t1-mri"),
        (alone.pet, "pet-image"),
        (alone.t2_fs, "t2-fs-mri"),
        (alone.contrast_t1, "contrast-t1-mri"),
    ):
        assert (scan is None) == (rows[5][name] == "")
        if scan is not None:
            np.testing.assert_array_equal(read_image(cohort / rows[5][name]).voxels, scan.image.voxels)


def test_drawn_tumours_have_the_volume_that_decided_the_outcome(patients: list[SimulatedPatient]) -> None:
    ratios = []
    for patient in patients:
        assert patient.limb.blob.volume_mm3 == pytest.approx(1000 * patient.latent.volume_cm3)
        for scan in (patient.ct, patient.t1, patient.t2_fs, patient.contrast_t1, patient.pet):
            if scan is not None:
                drawn_cm3 = scan.tumour.voxels.sum() * scan.tumour.geometry.voxel_volume_mm3 / 1000
                ratios.append(drawn_cm3 / patient.latent.volume_cm3)
    # Readers are half a millimetre off, 6 % of the volume of a ball of 50 cm3.
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)
    assert max(abs(np.array(ratios) - 1)) < 0.3


def test_the_tumour_lies_inside_the_limb_and_off_the_bone(patients: list[SimulatedPatient]) -> None:
    for patient in patients:
        limb = patient.limb
        low, high = limb.blob.surface_mm.min(axis=0) - 5, limb.blob.surface_mm.max(axis=0) + 5
        shape = tuple(np.ceil((high - low)[::-1] / 2).astype(int).tolist())
        grid = Geometry.axis_aligned(shape, (2.0, 2.0, 2.0), tuple(low.tolist()))
        tumour = limb.tumour_distance_mm(grid).voxels < 0
        covered = {
            layer.tissue: layer.inside for layer in limb.layers(grid) if layer.tissue in {"skin", "cortical_bone"}
        }
        assert covered["skin"][tumour].min() == 1
        assert covered["cortical_bone"][tumour].max() == 0


def test_two_readers_of_one_tumour_draw_it_differently(realistic: SimulatedPatient) -> None:
    assert realistic.ct is not None
    assert realistic.t1 is not None
    volumes = [s.tumour.voxels.sum() * s.tumour.geometry.voxel_volume_mm3 for s in (realistic.ct, realistic.t1)]
    assert volumes[0] != volumes[1]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


# --- the scans


def test_ct_shows_air_fat_muscle_tumour_and_bone_at_their_hu(realistic: SimulatedPatient) -> None:
    assert realistic.ct is not None
    hu, tumour = realistic.ct.image.voxels, realistic.ct.tumour.voxels
    around = hu[~tumour]
    assert hu.dtype == np.int16
    assert (around < -900).mean() > 0.02
    assert -110 < np.median(around[(around > -180) & (around < -50)]) < -80
    assert 40 < np.median(around[(around > 10) & (around < 110)]) < 60
    assert 15 < hu[ndimage.binary_erosion(tumour, iterations=3)].mean() < 50
    assert 1000 < np.percentile(around[around > 300], 95) < 1700


def test_t1_shows_fat_bright_muscle_dark_and_the_tumour_near_muscle(realistic: SimulatedPatient) -> None:
    assert realistic.t1 is not None
    signal, tumour = realistic.t1.image.voxels.astype(float), realistic.t1.tumour.voxels
    signal /= np.percentile(signal, 97)
    inside = np.median(signal[ndimage.binary_erosion(tumour, iterations=3)])
    around = signal[~tumour]
    muscle = np.median(around[(around > 0.2) & (around < 0.45)])
    assert 0.24 < muscle < 0.35
    assert 0.7 < inside / muscle < 1.4


def _signal(facts: PatientFacts, scan: scans.Scan, kind: str, number: int, tissue: str) -> float:
    """Median signal where a tissue nearly fills the voxels; NaN where there is too little of it."""
    rng = random_generator(7, number, kind, PURPOSES)
    spacing = scans.SMALL.mr_spacing_mm or facts.centre.mr.spacing_mm
    grid = scans.scanned_grid(rng, facts.limb, spacing, scans.SMALL.margin_mm)
    inside = _share(facts, grid, tissue) > 0.9
    return float(np.median(scan.image.voxels[inside])) if inside.sum() > 15 else float("nan")


def test_t2_shows_fluid_bright_and_fat_dark_and_contrast_marks_the_living_rim() -> None:
    number = next(
        number
        for number in range(60)
        if {"t2_fs", "contrast_t1"} <= {*cohorts.draw_facts(7, number, scans.SMALL).scans}
        and cohorts.draw_facts(7, number, scans.SMALL).latent.necrotic_fraction > 0.2
    )
    facts = cohorts.draw_facts(7, number, scans.SMALL)
    t2, contrast = (cohorts._scan(kind, facts, 7, number, scans.SMALL) for kind in ("t2_fs", "contrast_t1"))
    bright = {tissue: _signal(facts, t2, "t2_fs", number, tissue) for tissue in ("fat", "muscle", "tumour", "necrosis")}
    assert bright["fat"] < 0.6 * bright["muscle"] < bright["muscle"] < bright["tumour"] < bright["necrosis"]
    enhanced = {
        tissue: _signal(facts, contrast, "contrast_t1", number, tissue) for tissue in ("muscle", "tumour", "necrosis")
    }
    assert enhanced["necrosis"] < enhanced["muscle"] < enhanced["tumour"]


def test_what_signal_on_t2_is_compared_with_is_that_of_muscle() -> None:
    drawn = [(number, cohorts.draw_facts(7, number, scans.SMALL)) for number in range(20)]
    shares = []
    for number, facts in [(number, facts) for number, facts in drawn if "t2_fs" in facts.scans][:6]:
        scan = cohorts._scan("t2_fs", facts, 7, number, scans.SMALL)
        mask = scan.tumour.with_voxels(scan.tumour.voxels > 0)
        shares.append(_muscle(scan.image, mask) / _signal(facts, scan, "t2_fs", number, "muscle"))
    assert 0.95 < min(shares) <= max(shares) < 1.25
    assert np.std(shares) < 0.1


def test_contrast_is_taken_up_most_at_the_surface_of_the_tumour(realistic: SimulatedPatient) -> None:
    rim = realistic.limb.rim_pattern()
    depth = -realistic.limb.tumour_distance_mm(rim.geometry).voxels
    at_the_surface, deep = (float(rim.voxels[inside].mean()) for inside in ((depth > 0) & (depth < 3), depth > 15))
    assert at_the_surface > 1.25 * deep > 1.25


def test_other_sequences_change_nothing_else_of_a_patient(
    patients: list[SimulatedPatient], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = next(i for i, patient in enumerate(patients) if patient.t2_fs and patient.contrast_t1 and patient.pet)
    monkeypatch.setattr(cohorts, "SEQUENCES", {(): 1.0})
    without = simulate_patient(SEED, number, small=True)
    assert without.t2_fs is without.contrast_t1 is None
    for name in ("t1", "pet"):
        one, other = getattr(patients[number], name), getattr(without, name)
        assert one.image.voxels.tobytes() == other.image.voxels.tobytes()
    assert patients[number].lung_metastasis == without.lung_metastasis


def test_other_sequences_come_with_an_examination_by_mr_alone() -> None:
    for number in range(60):
        drawn = {*cohorts.draw_facts(SEED, number, scans.SMALL).scans}
        assert "mr" in drawn or not drawn & {"t2_fs", "contrast_t1"}


def test_realistic_scans_have_the_spacing_of_their_centre_and_space_around_the_tumour(
    realistic: SimulatedPatient,
) -> None:
    centre = next(centre for centre in scans.CENTRES if centre.name == realistic.centre)
    for scan, scanner in ((realistic.ct, centre.ct), (realistic.t1, centre.mr)):
        assert scan is not None
        assert scan.image.spacing_mm == scanner.spacing_mm
        inside = np.argwhere(scan.tumour.voxels)
        for edge in (inside.min(axis=0), np.array(scan.image.shape) - 1 - inside.max(axis=0)):
            assert (edge * np.array(scan.image.spacing_mm) > 20).all()


# --- FDG-PET

# Medians of patients between whose 10th and 90th percentile the public cohort lies, in SUV: muscle and fat 15 mm and
# more from the tumour and 6 mm and more from their edge on CT; in air nine in ten lie below 0.05.
SUV_OF_NORMAL_TISSUE = {"air": (0, 0.05), "fat": (0.24, 0.43), "muscle": (0.54, 0.90)}
# 10th percentile, median and 90th percentile of the cohort's 39 tumours.
SUV_MAX, SUV_MEAN = (5.4, 10.2, 26.2), (1.4, 3.1, 7.5)


@pytest.fixture(scope="module")
def pets() -> list[tuple[PatientFacts, scans.Scan]]:
    """The PET of twelve patients, realistic in size."""
    drawn = [cohorts.draw_facts(7, number, scans.REALISTIC) for number in range(12)]
    return [(facts, cohorts._scan("pet", facts, 7, number, scans.REALISTIC)) for number, facts in enumerate(drawn)]


@pytest.fixture(scope="module")
def tissue_suv(pets: list[tuple[PatientFacts, scans.Scan]]) -> dict[str, list[float]]:
    """Median SUV of each tissue, of each patient who has some of it away from other tissues."""
    medians: dict[str, list[float]] = {}
    for number, (facts, scan) in enumerate(pets):
        rng = random_generator(7, number, "pet", PURPOSES)
        grid = scans.scanned_grid(rng, facts.limb, scan.image.spacing_mm, scans.REALISTIC.margin_mm)
        for tissue in ("air", "fat", "muscle", "necrosis", "tumour"):
            around = ndimage.gaussian_filter(_share(facts, grid, tissue), [5 / mm for mm in grid.spacing_mm])
            if (around > 0.9).sum() > 15:
                medians.setdefault(tissue, []).append(float(np.median(scan.image.voxels[around > 0.9])))
    return medians


def _share(facts: PatientFacts, grid: Geometry, tissue: str) -> np.ndarray:
    """Share of each voxel that a tissue fills."""
    only = {name: scans.Appearance(float(name == tissue), 0) for name in scans.PET_APPEARANCE}
    return scans._painted(facts.limb, grid, only, np.zeros(grid.shape, dtype=np.float32)).voxels


def test_pet_shows_air_fat_and_muscle_at_their_suv(tissue_suv: Mapping[str, list[float]]) -> None:
    for tissue, (low, high) in SUV_OF_NORMAL_TISSUE.items():
        assert len(tissue_suv[tissue]) > 3
        assert low < np.median(tissue_suv[tissue]) < high


def test_necrosis_is_cold_and_living_tumour_is_not(tissue_suv: Mapping[str, list[float]]) -> None:
    assert len(tissue_suv["necrosis"]) > 3
    assert max(tissue_suv["necrosis"]) < 0.6
    assert min(tissue_suv["tumour"]) > 0.6
    assert np.median(tissue_suv["tumour"]) > 5 * np.median(tissue_suv["necrosis"])


def test_tumours_take_up_as_much_as_the_public_cohort_s(pets: list[tuple[PatientFacts, scans.Scan]]) -> None:
    inside = [scan.image.voxels[scan.tumour.voxels] for _, scan in pets]
    assert SUV_MAX[0] < np.median([suv.max() for suv in inside]) < SUV_MAX[2]
    assert SUV_MEAN[0] < np.median([suv.mean() for suv in inside]) < SUV_MEAN[2]


def test_pet_is_float32_suv_of_0_or_more_on_the_grid_of_its_centre(
    pets: list[tuple[PatientFacts, scans.Scan]],
) -> None:
    for facts, scan in pets:
        assert scan.image.voxels.dtype == np.float32
        assert scan.image.voxels.min() >= 0
        assert scan.image.spacing_mm == facts.centre.pet.spacing_mm


def test_the_public_cohort_has_the_pet_that_is_simulated(
    pets: list[tuple[PatientFacts, scans.Scan]], data: Path
) -> None:
    folders = sorted((data / "sarcoma").glob("STS_*"))
    if not folders:
        pytest.skip("the public cohort of sarcomas is not there; see docs/data.md")
    images = [read_image(folder / "PET_image.nii.gz") for folder in folders]
    inside = [
        image.voxels[read_image(folder / "PET_mask.nii.gz").voxels > 0]
        for image, folder in zip(images, folders, strict=True)
    ]
    assert np.percentile([suv.max() for suv in inside], (10, 50, 90)) == pytest.approx(SUV_MAX, rel=0.05)
    assert np.percentile([suv.mean() for suv in inside], (10, 50, 90)) == pytest.approx(SUV_MEAN, rel=0.05)
    spacings = {tuple(np.round(image.spacing_mm, 2).tolist()) for image in images}
    assert {centre.pet.spacing_mm for centre in scans.CENTRES} == spacings


def _mean_uptake(histology: str, grade: str) -> float:
    facts = cohorts.draw_facts(7, 0, scans.SMALL)
    facts = replace(facts, histology=histology, latent=replace(facts.latent, grade=grade))
    rng = np.random.default_rng(0)
    return float(
        np.mean([scans._uptake(rng, facts.limb, facts.latent, facts.histology)["tumour"].mean for _ in range(60)])
    )


def test_uptake_rises_with_grade_and_is_low_in_liposarcoma() -> None:
    low, intermediate, high = (_mean_uptake("leiomyosarcoma", grade) for grade in scans.TUMOUR_SUV)
    assert low < intermediate < high
    assert _mean_uptake("liposarcoma", "high") < 0.8 * high


def test_uptake_differs_more_from_place_to_place_in_a_heterogeneous_tumour(realistic: SimulatedPatient) -> None:
    even, uneven = (realistic.limb.uptake_pattern(np.random.default_rng(0), spread).voxels for spread in (0.2, 0.4))
    assert even.mean() == pytest.approx(1, abs=0.15)
    assert uneven.std() > 1.5 * even.std()
    assert uneven.min() > 0


def test_pet_changes_nothing_else_of_a_patient(
    patients: list[SimulatedPatient], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = next(i for i, patient in enumerate(patients) if patient.ct and patient.t1 and patient.pet)
    with_pet = patients[number]
    monkeypatch.setattr(cohorts, "PET_USE", {"none": 1.0})
    without = simulate_patient(SEED, number, small=True)
    assert without.pet is None
    for one, other in ((with_pet.ct, without.ct), (with_pet.t1, without.t1)):
        assert one is not None
        assert other is not None
        assert one.image.voxels.tobytes() == other.image.voxels.tobytes()
        assert one.tumour.voxels.tobytes() == other.tumour.voxels.tobytes()
    assert (with_pet.clinical, with_pet.latent, with_pet.lung_metastasis) == (
        without.clinical,
        without.latent,
        without.lung_metastasis,
    )


def test_uptake_decides_nothing_about_the_outcome(
    patients: list[SimulatedPatient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "TUMOUR_SUV", dict.fromkeys(scans.TUMOUR_SUV, 3.0))
    for number, patient in enumerate(patients[:3]):
        other = simulate_patient(SEED, number, small=True)
        assert (other.true_probability, other.lung_metastasis) == (patient.true_probability, patient.lung_metastasis)


# --- the truth


def test_the_event_rate_is_near_the_public_cohort_s_and_the_oracle_leaves_room() -> None:
    rng = np.random.default_rng(0)
    probabilities = np.array([disease.draw_latent(rng).true_probability for _ in range(5000)])
    assert 0.30 < probabilities.mean() < 0.38
    assert 0.72 < oracle_auc(probabilities) < 0.82


def test_outcomes_are_drawn_with_their_true_probability() -> None:
    draws = [cohorts.draw_facts(3, number, scans.SMALL) for number in range(150)]
    probabilities = np.array([draw.latent.true_probability for draw in draws])
    events = sum(draw.lung_metastasis for draw in draws)
    spread = np.sqrt((probabilities * (1 - probabilities)).sum())
    assert abs(events - probabilities.sum()) < 3 * spread


def test_risk_rises_with_grade_size_necrosis_and_heterogeneity() -> None:
    base = disease.Latent("intermediate", 200.0, 0.2, 1.0).true_probability
    assert disease.Latent("low", 200.0, 0.2, 1.0).true_probability < base
    for riskier in (
        disease.Latent("high", 200.0, 0.2, 1.0),
        disease.Latent("intermediate", 400.0, 0.2, 1.0),
        disease.Latent("intermediate", 200.0, 0.4, 1.0),
        disease.Latent("intermediate", 200.0, 0.2, 1.5),
    ):
        assert riskier.true_probability > base


def test_necrosis_fills_its_fraction_of_the_tumour(realistic: SimulatedPatient) -> None:
    limb = realistic.limb
    low, high = limb.blob.surface_mm.min(axis=0) - 3, limb.blob.surface_mm.max(axis=0) + 3
    shape = tuple(np.ceil((high - low)[::-1] / 2).astype(int).tolist())
    grid = Geometry.axis_aligned(shape, (2.0, 2.0, 2.0), tuple(low.tolist()))
    filled = {layer.tissue: layer.inside.sum() for layer in limb.layers(grid)}
    assert filled["necrosis"] / filled["tumour"] == pytest.approx(realistic.latent.necrotic_fraction, abs=0.03)


def test_metastases_come_sooner_to_patients_at_higher_risk_and_within_five_years() -> None:
    rng = np.random.default_rng(1)
    days = {
        risk: np.array([disease.draw_follow_up_days(rng, risk, metastasis=True) for _ in range(4000)])
        for risk in (0.05, 0.9)
    }
    for risk, drawn in days.items():
        assert 1 <= drawn.min() <= drawn.max() <= disease.HORIZON_DAYS
        # At a constant rate, so many of those who have one by five years have it by half of that.
        early = (1 - (1 - risk) ** 0.5) / risk
        assert np.mean(drawn <= disease.HORIZON_DAYS / 2) == pytest.approx(early, abs=0.03)
    without = [disease.draw_follow_up_days(rng, 0.5, metastasis=False) for _ in range(500)]
    assert disease.SHORTEST_FOLLOW_UP_DAYS <= min(without) <= max(without) <= disease.HORIZON_DAYS


def test_a_simulated_cohort_has_a_time_for_every_patient(rows: list[dict[str, str]]) -> None:
    assert all(int(row["follow_up_days"]) > 0 for row in rows)
