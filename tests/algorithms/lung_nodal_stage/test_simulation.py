import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lung_nodal_stage.simulation import (
    CENTRES,
    THIN,
    Facts,
    SimulatedLesion,
    SimulatedPatient,
    draw_anatomy,
    draw_facts,
    draw_patient,
    draw_small_patient,
    simulate,
)
from lung_nodal_stage.simulation.disease import CATEGORIES, LOBES, MALIGNANT, expected_metastases, oracle
from preop.anatomy import Organs, map_stations, stations_of_node
from preop.errors import InvalidInputError
from preop.imaging import check_suv, overlap, read_image
from preop.staging import Edition, N, Side, Station, nodal_stage

pytestmark = pytest.mark.slow

SEED = 4


@pytest.fixture(scope="module")
def facts() -> list[Facts]:
    """Two thousand patients without images."""
    return [draw_facts(3, number) for number in range(2000)]


@pytest.fixture(scope="module")
def nodes(facts: list[Facts]) -> list[SimulatedLesion]:
    return [lesion for each in facts for lesion in each.lesions if lesion.kind == "node"]


@pytest.fixture(scope="module")
def patient() -> SimulatedPatient:
    """A patient whose primary, involved mediastinum and benign nodes are all there."""
    number = next(number for number in range(100) if draw_facts(SEED, number).n_tnm9 is N.N2B)
    return draw_patient(SEED, number)


@pytest.fixture(scope="module")
def real(data: Path) -> Organs:
    path = data / "anatomy" / "thorax_totalsegmentator_labels.nii.gz"
    if not path.is_file():
        pytest.skip(f"the labels of a real thorax are not at {path}; see docs/data.md")
    return Organs(read_image(path))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _nodes_of(patient: SimulatedPatient) -> list[SimulatedLesion]:
    return [lesion for lesion in patient.facts.lesions if lesion.kind == "node"]


# --- the disease


def test_every_category_is_frequent_enough_to_be_judged(facts: list[Facts]) -> None:
    shares = {category: np.mean([each.n_tnm9 is category for each in facts]) for category in CATEGORIES}
    assert 0.42 < shares[N.N0] < 0.54
    assert min(shares.values()) > 0.1


def test_the_stage_is_that_of_the_malignant_nodes_by_either_edition(facts: list[Facts]) -> None:
    for each in facts:
        involved = [Station.parse(lesion.station) for lesion in each.lesions if lesion.malignant and lesion.station]
        assert each.n_tnm9 is nodal_stage(involved, each.primary_side).category
        assert each.n_tnm8 is nodal_stage(involved, each.primary_side, Edition.EIGHTH).category


def test_the_primary_lies_in_a_lobe_of_its_side_and_is_the_first_lesion(facts: list[Facts]) -> None:
    assert {each.lobe for each in facts} == set(LOBES)
    for each in facts:
        assert each.lesions[0].kind == "primary"
        assert each.lesions[0].site == each.lobe
        assert each.lobe.endswith(str(each.primary_side))
        assert [lesion.label for lesion in each.lesions] == list(range(1, len(each.lesions) + 1))


def test_some_mediastinal_metastases_skip_the_hilum(facts: list[Facts]) -> None:
    mediastinal = [each for each in facts if each.n_tnm9 in (N.N2A, N.N2B)]
    skipped = np.mean([all(Station.parse(name).number < 10 for name in each.involved) for each in mediastinal])
    assert 0.2 < skipped < 0.4


def test_upper_lobes_drain_to_the_upper_mediastinum_and_lower_lobes_below_the_carina(facts: list[Facts]) -> None:
    def share(lobe: str, stations: set[str]) -> float:
        positive = [each for each in facts if each.lobe == lobe and each.n_tnm9 in (N.N2A, N.N2B)]
        return float(np.mean([bool(stations & set(each.involved)) for each in positive]))

    assert share("lung_upper_lobe_right", {"4R", "2R"}) > 0.7
    assert share("lung_upper_lobe_left", {"5", "6"}) > 0.6
    assert share("lung_lower_lobe_right", {"7", "8R", "9R"}) > 0.6
    assert share("lung_lower_lobe_left", {"7", "8L", "9L"}) > 0.6


def test_all_involved_stations_are_among_those_that_pathology_sampled(facts: list[Facts]) -> None:
    assert all(set(each.involved) <= set(each.sampled) for each in facts)
    assert np.mean([len(each.sampled) for each in facts]) > 4


def test_a_reader_is_right_in_most_patients_but_not_in_all(facts: list[Facts]) -> None:
    right = np.mean([each.clinical_n is each.n_tnm9 for each in facts])
    assert 0.75 < right < 0.92


def test_sizes_and_uptake_overlap(nodes: list[SimulatedLesion]) -> None:
    benign, malignant = (
        np.array([(node.short_axis_mm, node.suv_max_true) for node in nodes if node.malignant is kind]).T
        for kind in (False, True)
    )
    assert benign[0].min() >= 4
    assert malignant[0].max() <= 25
    assert (malignant[0] < 10).mean() > 0.15  # small metastases
    assert (benign[0] > 10).mean() > 0.02
    assert np.quantile(benign[1], 0.99) > np.quantile(malignant[1], 0.02)


def test_oracle_probabilities_are_calibrated(nodes: list[SimulatedLesion]) -> None:
    chance, truth = np.array([(node.malignancy_oracle, node.malignant) for node in nodes]).T
    assert chance.mean() == pytest.approx(truth.mean(), abs=0.01)
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        inside = (low <= chance) & (chance < high)
        excess = (truth - chance)[inside]
        assert abs(excess.sum()) < 4 * math.sqrt((chance * (1 - chance))[inside].sum() + 1)


def test_an_observer_at_the_oracle_gets_the_stage_right_in_19_of_20_patients(facts: list[Facts]) -> None:
    def staged(each: Facts) -> N:
        likely = [Station.parse(each.station) for each in each.lesions if each.station and each.malignancy_oracle > 0.5]
        return nodal_stage(likely, each.primary_side).category

    assert 0.95 < np.mean([staged(each) is each.n_tnm9 for each in facts]) < 1


def test_a_large_avid_node_in_a_station_that_the_lobe_drains_to_is_more_likely_malignant() -> None:
    lobe = "lung_upper_lobe_right"
    plain = oracle(8, 3.0, "4R", lobe)
    assert oracle(12, 3.0, "4R", lobe) > plain
    assert oracle(8, 5.0, "4R", lobe) > plain
    assert oracle(8, 3.0, "6", lobe) < plain


def test_expected_metastases_are_what_is_drawn(facts: list[Facts]) -> None:
    lobe = "lung_upper_lobe_right"
    chosen = [each for each in facts if each.lobe == lobe]
    for station, expected in expected_metastases(lobe).items():
        drawn = [sum(node.malignant and node.station == station for node in each.lesions) for each in chosen]
        assert np.mean(drawn) == pytest.approx(expected, abs=4 * np.std(drawn) / math.sqrt(len(drawn)) + 0.01)
    assert MALIGNANT.likelihood(3.0, 5.0, "4R") == 0


# --- the anatomy


def test_all_stations_are_placed_without_a_fallback(patient: SimulatedPatient) -> None:
    assert patient.stations.notes == ()
    assert map_stations(draw_anatomy(SEED, 77)).notes == ()


def test_patients_differ_by_a_few_percent() -> None:
    volumes = np.array([(draw_anatomy(SEED, number).mask(*LOBES)).sum() for number in range(6)])
    assert 0.03 < volumes.std() / volumes.mean() < 0.3


def test_lungs_have_the_volume_of_adults(patient: SimulatedPatient) -> None:
    litres = {
        side: patient.organs.mask(*(lobe for lobe in LOBES if lobe.endswith(side))).sum() * 8e-6
        for side in ("right", "left")
    }
    assert all(1.5 < each < 4.5 for each in litres.values())


def test_nodes_lie_in_the_stations_they_were_placed_in(patient: SimulatedPatient) -> None:
    nodes = _nodes_of(patient)
    assert len(nodes) > 2
    for node in nodes:
        drawn = patient.lesions.with_voxels(patient.lesions.voxels == node.label)
        assert stations_of_node(drawn, patient.stations).station == node.station
        assert node.border_mm > 0


def test_the_primary_lies_in_its_lobe(patient: SimulatedPatient) -> None:
    primary = patient.facts.lesions[0]
    index = np.rint(patient.organs.labels.geometry.index_zyx(np.array([primary.centre_mm]))[0]).astype(int)
    assert patient.organs.mask(primary.site)[tuple(index)]


def test_lesions_are_drawn_once_around_their_centres(patient: SimulatedPatient) -> None:
    labels, lesions = patient.lesions, patient.facts.lesions
    assert set(np.unique(labels.voxels)) == set(range(len(lesions) + 1))
    assert labels.geometry.difference(patient.ct.geometry) is None
    middles = ndimage.center_of_mass(labels.voxels > 0, labels.voxels, [lesion.label for lesion in lesions])
    off_mm = np.linalg.norm(
        labels.geometry.world_mm(np.array(middles)) - [lesion.centre_mm for lesion in lesions], axis=1
    )
    assert (off_mm < 4).all()


def test_a_stage_follows_the_nodes_that_could_be_placed(real: Organs) -> None:
    number = next(number for number in range(100) if draw_facts(SEED, number).n_tnm9 is N.N2A)
    patient = draw_small_patient(SEED, number, real)
    assert patient.stations.notes == ()
    involved = [Station.parse(name) for name in patient.facts.involved]
    assert patient.facts.n_tnm9 is nodal_stage(involved, patient.facts.primary_side).category
    for node in _nodes_of(patient):
        index = np.rint(patient.stations.labels.geometry.index_zyx(np.array([node.centre_mm]))[0]).astype(int)
        assert patient.stations.mask(node.station)[tuple(index)]
    check_suv(patient.pet)
    lungs = _ct_within(patient, *LOBES)
    assert -900 < np.median(lungs) < -780


# --- the scans


def _ct_within(patient: SimulatedPatient, *names: str) -> np.ndarray:
    """Density well within organs."""
    inside = ndimage.binary_erosion(patient.organs.mask(*names), iterations=2)
    points = patient.organs.labels.geometry.world_mm(np.argwhere(inside))
    index = np.rint(patient.ct.geometry.index_zyx(points)).astype(int)
    return patient.ct.voxels[tuple(index[((index >= 0) & (index < patient.ct.shape)).all(axis=1)].T)]


def test_ct_shows_organs_at_their_density(patient: SimulatedPatient) -> None:
    assert patient.ct.voxels.dtype == np.int16
    assert patient.ct.voxels.min() >= -1024
    assert -900 < np.median(_ct_within(patient, *LOBES)) < -780
    assert np.median(_ct_within(patient, "trachea")) < -900
    assert 90 < np.median(_ct_within(patient, "liver")) < 120
    assert 120 < np.median(_ct_within(patient, "aorta")) < 300
    assert 20 < np.median(_ct_within(patient, "esophagus")) < 70


def test_pet_is_in_suv_and_shows_liver_above_blood_above_lung(patient: SimulatedPatient) -> None:
    check_suv(patient.pet)
    assert min(patient.pet.spacing_mm) > min(patient.ct.spacing_mm)
    assert overlap(patient.pet.geometry, patient.ct.geometry) > 0.8

    def uptake(name: str) -> float:
        inside = ndimage.binary_erosion(patient.organs.mask(name), iterations=3)
        points = patient.organs.labels.geometry.world_mm(np.argwhere(inside))
        index = np.rint(patient.pet.geometry.index_zyx(points)).astype(int)
        index = index[((index >= 0) & (index < patient.pet.shape)).all(axis=1)]
        return float(np.median(patient.pet.voxels[tuple(index.T)]))

    assert uptake("liver") > uptake("aorta") > uptake("lung_upper_lobe_right")
    assert 1.2 < uptake("aorta") < 2.3


def test_avid_nodes_show_on_the_pet_and_small_ones_less_than_they_take_up(patient: SimulatedPatient) -> None:
    scale = patient.facts.centre.suv_scale
    for node in _nodes_of(patient):
        index = np.rint(patient.pet.geometry.index_zyx(np.array([node.centre_mm]))[0]).astype(int)
        seen = patient.pet.voxels[tuple(slice(i - 2, i + 3) for i in index)].max() / scale
        if node.malignant:
            assert seen > 2.2
            assert seen < 1.4 * node.suv_max_true


def test_the_same_seed_gives_the_same_voxels_and_another_patient_others() -> None:
    first, again, other = draw_small_patient(9, 0), draw_small_patient(9, 0), draw_small_patient(9, 1)
    for name in ("ct", "pet", "lesions"):
        assert np.array_equal(getattr(first, name).voxels, getattr(again, name).voxels)
    assert first.ct.shape != other.ct.shape or not np.array_equal(first.ct.voxels, other.ct.voxels)


def test_centres_differ_and_the_thin_one_has_256_by_256_by_300_voxels() -> None:
    assert sum(centre.share for centre in CENTRES) == pytest.approx(1)
    assert len({(centre.ct.spacing_mm, centre.pet.resolution_mm) for centre in CENTRES}) == len(CENTRES)
    assert all(5 <= centre.pet.resolution_mm <= 7 for centre in CENTRES)
    assert THIN.matrix == (300, 256, 256)
    assert THIN not in CENTRES
    assert draw_facts(1, 0, centre=THIN) == replace(draw_facts(1, 0), centre=THIN)


# --- the cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate(2, SEED, folder, small=True)
    return folder


def test_a_cohort_names_its_images_and_its_reference(cohort: Path) -> None:
    rows = _rows(cohort / "cohort.csv")
    assert [row["patient"] for row in rows] == ["simulated_1", "simulated_2"]
    for number, row in enumerate(rows):
        facts = draw_facts(SEED, number)
        assert row["n_stage"] == facts.n_tnm9
        assert row["clinical_n"] == facts.clinical_n
        assert Side.parse(row["primary_side"]) is facts.primary_side
        assert row["involved_stations"].split() == list(facts.involved)
        for slug in ("chest-ct", "fdg-pet", "lesion-segmentation"):
            assert (cohort / row[slug]).is_file()


def test_the_truth_of_a_cohort_has_a_row_for_each_lesion(cohort: Path) -> None:
    truth = _rows(cohort / "lesion_truth.csv")
    for name in ("simulated_1", "simulated_2"):
        labels = read_image(cohort / "images" / name / "lesion-segmentation.mha")
        rows = [row for row in truth if row["patient"] == name]
        assert [int(row["label"]) for row in rows] == np.unique(labels.voxels)[1:].tolist()


def test_a_cohort_can_be_repeated_and_comes_out_the_same(cohort: Path) -> None:
    before = {path: path.read_bytes() for path in cohort.rglob("*") if path.is_file()}
    removed = cohort / "images" / "simulated_2" / "lesions.csv"
    removed.unlink()
    simulate(2, SEED, cohort, small=True)
    assert {path: path.read_bytes() for path in cohort.rglob("*") if path.is_file()} == before


def test_one_patient_is_no_cohort(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="expected 2 patients or more"):
        simulate(1, 0, tmp_path / "cohort")
