import csv
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from bladder_lymph_nodes.lymph_nodes import CT, SEGMENTATION, find_lymph_nodes
from bladder_lymph_nodes.simulation import (
    CENTRES,
    THIN,
    PatientFacts,
    SimulatedPatient,
    draw_facts,
    draw_patient,
    draw_small_patient,
    simulate,
)
from bladder_lymph_nodes.simulation.anatomy import random_pelvis
from bladder_lymph_nodes.simulation.cohort import RANGE_WIDTH, _reported
from bladder_lymph_nodes.simulation.disease import (
    BENIGN_ELSEWHERE,
    FOUND_AT_PATHOLOGY,
    POSITIVE_ELSEWHERE,
    REMOVED,
    TEMPLATES,
    Dissection,
    Nodes,
    draw_nodes,
    log_likelihood_ratio,
    oracle,
)
from bladder_lymph_nodes.simulation.scan import scan, scanned_grid
from preop.cohort import read_cohort
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import read_image
from preop.statistics import auc, oracle_auc
from preop.study import DataSource
from preop.toml import read_toml
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PATIENTS, SEED = 4, 11
EXTENDED = Dissection("extended", ("left", "right"))


@pytest.fixture(scope="module")
def facts() -> list[PatientFacts]:
    """Two thousand patients without images."""
    return [draw_facts(3, number) for number in range(2000)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate(PATIENTS, SEED, folder, small=True)
    return folder


@pytest.fixture(scope="module")
def patients() -> list[SimulatedPatient]:
    return [draw_small_patient(SEED, number) for number in range(PATIENTS)]


@pytest.fixture(scope="module")
def realistic() -> SimulatedPatient:
    """A man of the first centre, whole pelvis."""
    number = next(number for number in range(20) if draw_facts(5, number).sex == "male")
    return draw_patient(5, number, centre=CENTRES[0])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- how many nodes, and how many are positive


def test_patients_have_about_44_nodes_of_which_6_percent_are_positive(facts: list[PatientFacts]) -> None:
    assert np.mean([len(each.nodes) for each in facts]) == pytest.approx(44, abs=1)
    positive = np.concatenate([each.nodes.positive for each in facts])
    assert positive.mean() == pytest.approx(0.063, abs=0.007)


def test_nearly_half_of_the_patients_are_node_positive_with_a_handful_in_most(facts: list[PatientFacts]) -> None:
    counts = np.array([each.positive_nodes for each in facts])
    assert 0.42 < (counts > 0).mean() < 0.50
    of_positive = counts[counts > 0]
    assert 3 <= np.median(of_positive) <= 5
    assert of_positive.var() > 1.8 * of_positive.mean()  # a Poisson count has a variance of its mean
    assert all(each.removed_nodes >= each.positive_nodes for each in facts)


def test_most_positive_nodes_lie_on_the_side_of_the_tumour(facts: list[PatientFacts]) -> None:
    same = np.concatenate([(each.nodes.side == each.tumour_side)[each.nodes.positive] for each in facts])
    assert 0.68 < same.mean() < 0.85


def test_positive_and_benign_nodes_are_removed_alike_by_where_they_lie(facts: list[PatientFacts]) -> None:
    inside = np.concatenate([each.dissection.holds(each.nodes) for each in facts])
    positive = np.concatenate([each.nodes.positive for each in facts])
    on_ct = (inside & positive).sum(), (inside & ~positive).sum()
    counted = (
        sum(each.positive_nodes for each in facts),
        sum(each.removed_nodes - each.positive_nodes for each in facts),
    )
    missed = REMOVED * (1 - FOUND_AT_PATHOLOGY) * on_ct[0]
    assert counted[0] == pytest.approx(REMOVED * on_ct[0] - missed + POSITIVE_ELSEWHERE * len(facts), rel=0.04)
    assert counted[1] == pytest.approx(REMOVED * on_ct[1] + missed + BENIGN_ELSEWHERE * len(facts), rel=0.01)


def test_nothing_is_counted_outside_the_template(facts: list[PatientFacts]) -> None:
    for each in facts[:300]:
        stations = TEMPLATES[each.dissection.template][1]
        assert [(field.side, field.station) for field in each.fields] == list(each.dissection.fields)
        assert {field.station for field in each.fields} == set(stations)
        holds = each.dissection.holds(each.nodes)
        assert (holds <= np.isin(each.nodes.station, stations)).all()
        assert (holds <= np.isin(each.nodes.side, each.dissection.sides)).all()
        assert sum(field.removed for field in each.fields) == each.removed_nodes


def test_a_node_that_stays_in_the_patient_makes_no_pn_positive() -> None:
    node = _one_node(short_axis_mm=15.0, necrotic_part=0.4, stranding=0.6)
    removed, left = (oracle(node, "left", Dissection("limited", (side,))).patient for side in ("left", "right"))
    assert removed > 0.5
    assert left == pytest.approx(1 - math.exp(-POSITIVE_ELSEWHERE))


# --- what tells positive nodes from benign ones


def test_short_axes_are_those_of_the_clinic_and_overlap(facts: list[PatientFacts]) -> None:
    benign = np.concatenate([each.nodes.short_axis_mm[~each.nodes.positive] for each in facts])
    positive = np.concatenate([each.nodes.short_axis_mm[each.nodes.positive] for each in facts])
    assert 4 < np.median(benign) < 5
    assert np.percentile(benign, [0.5, 99.5]) == pytest.approx([2.3, 9.3], abs=0.6)
    assert np.median(benign) + 0.7 < np.median(positive) < np.median(benign) + 2
    assert (positive < np.percentile(benign, 75)).mean() > 0.25


def test_the_size_rule_is_no_better_than_in_the_clinic(facts: list[PatientFacts]) -> None:
    # Sensitivity .40 and specificity .92 over 35 studies whose limits are mostly 8 to 10 mm.
    largest = np.array([each.nodes.short_axis_mm.max() for each in facts])
    node_positive = np.array([each.positive_nodes > 0 for each in facts])
    sensitivities = [(largest[node_positive] > limit_mm).mean() for limit_mm in (8, 10)]
    specificities = [(largest[~node_positive] <= limit_mm).mean() for limit_mm in (8, 10)]
    assert sensitivities[1] < 0.40 < sensitivities[0]
    assert specificities[0] < specificities[1] < 0.92


def test_node_negative_patients_have_large_bright_benign_nodes(facts: list[PatientFacts]) -> None:
    benign = [each.nodes for each in facts if not each.nodes.positive.any()]
    positive = [each.nodes for each in facts if each.nodes.positive.any()]
    metastases_mm = np.concatenate([nodes.short_axis_mm[nodes.positive] for nodes in positive])
    larger = np.mean([nodes.short_axis_mm.max() > np.median(metastases_mm) for nodes in benign])
    assert larger > 0.8


def test_benign_nodes_are_the_same_in_node_negative_and_node_positive_patients(facts: list[PatientFacts]) -> None:
    groups = [[each.nodes for each in facts if each.nodes.positive.any() == any_positive] for any_positive in (0, 1)]
    for name in ("short_axis_mm", "elongation", "enhancement_hu", "heterogeneity_hu", "hilar_part", "stranding"):
        of_negative, of_positive = (
            np.concatenate([getattr(nodes, name)[~nodes.positive] for nodes in group]) for group in groups
        )
        assert of_negative.mean() == pytest.approx(of_positive.mean(), rel=0.08)


def test_an_observer_who_knows_the_variables_reaches_the_stated_oracle(facts: list[PatientFacts]) -> None:
    patient = np.array([each.oracle.patient for each in facts])
    by_count = np.array([each.oracle.patient_by_count for each in facts])
    labels = np.array([each.positive_nodes > 0 for each in facts])
    assert 0.90 < auc(labels, by_count) < 0.95
    assert auc(labels, by_count) < auc(labels, patient) < 0.96
    assert oracle_auc(patient) == pytest.approx(auc(labels, patient), abs=0.03)
    within = [auc(each.nodes.positive, each.oracle.node) for each in facts if each.nodes.positive.any()]
    assert 0.95 < np.mean(within) < 0.99


def test_oracle_probabilities_are_calibrated(facts: list[PatientFacts]) -> None:
    of_patients = [(np.array([each.oracle.patient]), np.array([each.positive_nodes > 0])) for each in facts]
    of_nodes = [(each.oracle.node, each.nodes.positive) for each in facts]
    for rows in (of_patients, of_nodes):
        for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 1.01)):
            # Nodes of one patient come together: the spread is that of the patients' sums.
            excess = np.array([((truth - p) * ((low <= p) & (p < high))).sum() for p, truth in rows])
            assert abs(excess.sum()) < 3.5 * np.sqrt((excess**2).sum())


def _one_node(**changes: float) -> Nodes:
    typical = {
        "short_axis_mm": 5.0,
        "elongation": 1.5,
        "enhancement_hu": 55.0,
        "heterogeneity_hu": 5.5,
        "hilar_part": 0.2,
        "necrotic_part": 0.0,
        "stranding": 0.0,
    }
    variables = {name: np.array([value]) for name, value in (typical | changes).items()}
    return Nodes(np.array(["obturator"]), np.array(["left"]), np.array([False]), **variables, reactive_part=0.1)


@pytest.mark.parametrize(
    "suspicious",
    [
        {"short_axis_mm": 9.0},
        {"elongation": 1.1},
        {"enhancement_hu": 75.0},
        {"heterogeneity_hu": 9.0},
        {"hilar_part": 0.0},
        {"necrotic_part": 0.3},
        {"stranding": 0.5},
    ],
)
def test_each_suspicious_sign_raises_the_probability(suspicious: dict[str, float]) -> None:
    plain, suspect = _one_node(), _one_node(**suspicious)
    assert log_likelihood_ratio(suspect) > log_likelihood_ratio(plain)
    assert oracle(suspect, "left", EXTENDED).node > oracle(plain, "left", EXTENDED).node


def test_a_node_beside_positive_ones_is_more_likely_positive() -> None:
    rng = np.random.default_rng(0)
    nodes = draw_nodes(rng, "left")
    count = len(nodes)
    calm = replace(
        nodes,
        necrotic_part=np.zeros(count),
        short_axis_mm=np.full(count, 5.0),
        enhancement_hu=np.full(count, 62.0),
    )
    alarming = replace(calm, necrotic_part=np.r_[0.0, np.full(5, 0.3), np.zeros(count - 6)])
    assert oracle(alarming, "left", EXTENDED).node[0] > 1.05 * oracle(calm, "left", EXTENDED).node[0]


def test_a_patient_without_nodes_in_doubt_can_still_have_a_metastasis_elsewhere() -> None:
    clear = oracle(_one_node(short_axis_mm=2.5, elongation=2.5, enhancement_hu=20.0), "right", EXTENDED)
    assert clear.patient == pytest.approx(1 - math.exp(-POSITIVE_ELSEWHERE), abs=0.002)


# --- the anatomy


def test_every_node_is_drawn_once_near_its_place(patients: list[SimulatedPatient]) -> None:
    for patient in patients:
        labels = patient.lymph_nodes
        assert set(np.unique(labels.voxels)) == set(range(len(patient.nodes) + 1))
        middles = ndimage.center_of_mass(labels.voxels > 0, labels.voxels, [node.label for node in patient.nodes])
        truth = np.array([(node.x_mm, node.y_mm, node.z_mm) for node in patient.nodes])
        off_mm = np.linalg.norm(labels.geometry.world_mm(np.array(middles)) - truth, axis=1)
        assert np.median(off_mm) < 1.5  # slices of 5 mm
        assert (off_mm < 6).all()


def test_nodes_lie_on_their_side_and_on_fat_not_in_bone(realistic: SimulatedPatient) -> None:
    middle_mm = np.mean([node.x_mm for node in realistic.nodes])
    right_side = [(node.x_mm > middle_mm) == (node.side == "left") for node in realistic.nodes]
    assert np.mean(right_side) > 0.9  # a node of the common iliac vessels may lie across the midline
    drawn = realistic.lymph_nodes.voxels > 0
    around = ndimage.binary_dilation(drawn, iterations=2) & ~drawn
    assert np.median(realistic.ct.voxels[around]) < 0
    assert (realistic.ct.voxels[drawn] > 300).mean() < 0.005


def test_some_nodes_touch_another_and_none_is_pressed_into_anything() -> None:
    gaps_mm, room_mm = [], []
    for number in range(8):
        facts = draw_facts(SEED, number)
        pelvis = random_pelvis(np.random.default_rng(number), facts.sex, facts.tumour_side, facts.nodes)
        shapes = [shape for structure in (*pelvis.organs, *pelvis.vessels) for shape in structure.shapes]
        centres = np.array([node.centre_mm for node in pelvis.nodes])
        radii = np.array([node.semi_axes_mm[0] for node in pelvis.nodes])
        apart = np.linalg.norm(centres[:, None] - centres, axis=-1) - radii[:, None] - radii
        gaps_mm += apart[np.triu_indices(len(radii), 1)].tolist()
        room_mm += (np.min([shape.distance_mm(*centres.T) for shape in shapes], axis=0) - radii).tolist()
    assert 0 < np.sum(np.array(gaps_mm) < 1) < 40
    assert min(gaps_mm) > -1
    assert min(room_mm) > -1
    assert np.mean(np.array(room_mm) < 0.5) > 0.1


def test_drawn_nodes_have_nearly_their_true_volume(realistic: SimulatedPatient) -> None:
    voxel_mm3 = realistic.ct.geometry.voxel_volume_mm3
    drawn = np.bincount(realistic.lymph_nodes.voxels.ravel())[1:] * voxel_mm3
    short, long = np.array([(node.short_axis_mm, node.long_axis_mm) for node in realistic.nodes]).T
    middle = short * (1 + 0.3 * (long / short - 1))
    large = short > 5
    assert np.median(drawn[large] / (math.pi / 6 * short * middle * long)[large]) == pytest.approx(1, abs=0.25)


def test_ct_shows_air_fat_muscle_bone_urine_and_enhanced_vessels_at_their_hu(realistic: SimulatedPatient) -> None:
    hu = realistic.ct.voxels
    assert hu.dtype == np.int16
    assert (hu < -900).mean() > 0.02
    assert -112 < np.median(hu[(hu > -160) & (hu < -50)]) < -95
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), (0.5, 2, 2))
    assert 55 < np.median(smooth[(smooth > 40) & (smooth < 90)]) < 75
    assert (hu > 400).mean() > 0.005
    assert ((smooth > 0) & (smooth < 15)).mean() > 0.005
    assert ((smooth > 125) & (smooth < 180)).mean() > 0.001


def test_without_contrast_vessels_and_nodes_look_like_muscle() -> None:
    with_contrast, without = (
        draw_patient(2, 0, centre=CENTRES[1], contrast=contrast, around_nodes_mm=20) for contrast in (True, False)
    )
    assert with_contrast.nodes == without.nodes
    inside = ndimage.binary_erosion(without.lymph_nodes.voxels > 0, np.ones((3, 3, 3)))
    means = [np.median(patient.ct.voxels[inside]) for patient in (with_contrast, without)]
    assert means[0] - means[1] > 30
    assert 20 < means[1] < 50


def _darkest_hu(nodes: Nodes) -> float:
    """Darkest value within a node, smoothed over 2 mm, in the median of nodes that lie in the same places."""
    pelvis = random_pelvis(np.random.default_rng(0), "male", "left", nodes)
    rng = np.random.default_rng(1)
    grid = scanned_grid(rng, pelvis, CENTRES[0], 12)
    ct, labels = scan(rng, pelvis, nodes, CENTRES[0], grid, contrast=True)
    inside = np.where(ndimage.binary_erosion(labels.voxels > 0, np.ones((1, 5, 5))), labels.voxels, 0)
    smooth = ndimage.gaussian_filter(ct.voxels.astype(np.float32), (0, 1, 1))
    return float(np.median(ndimage.minimum(smooth, inside, np.unique(inside)[1:])))


def test_necrosis_and_a_fatty_hilum_are_darker_than_the_node() -> None:
    nodes = draw_facts(4, 0).nodes
    none = np.zeros(len(nodes))
    plain = replace(nodes, short_axis_mm=none + 10, elongation=none + 1.2, hilar_part=none, necrotic_part=none)
    solid_hu = _darkest_hu(plain)
    assert _darkest_hu(replace(plain, necrotic_part=none + 0.4)) < solid_hu - 15
    assert _darkest_hu(replace(plain, hilar_part=none + 0.25)) < solid_hu - 30


def test_infiltrated_fat_around_a_node_is_denser_and_measured() -> None:
    nodes = draw_facts(4, 0).nodes
    none = np.zeros(len(nodes))
    pelvis = random_pelvis(np.random.default_rng(0), "male", "left", nodes)
    fat_hu = []
    for stranding in (none, none + 0.6):
        grid = scanned_grid(np.random.default_rng(1), pelvis, CENTRES[0], 12)
        ct, labels = scan(
            np.random.default_rng(2), pelvis, replace(nodes, stranding=stranding), CENTRES[0], grid, contrast=True
        )
        fat_hu.append(np.median([node.fat_around_hu for node in find_lymph_nodes(ct, labels).nodes]))
    assert fat_hu[1] > fat_hu[0] + 8


# --- the centres


def test_centres_differ_in_voxels_noise_and_phase() -> None:
    assert len(CENTRES) >= 4
    assert sum(centre.share for centre in CENTRES) == pytest.approx(1)
    assert len({centre.ct.spacing_mm for centre in CENTRES}) == len(CENTRES)
    assert min(centre.ct.spacing_mm[1] for centre in CENTRES) >= 0.70
    assert max(centre.ct.spacing_mm[1] for centre in CENTRES) <= 0.95
    assert {1 <= centre.ct.spacing_mm[0] <= 5 for centre in (*CENTRES, THIN)} == {True}
    assert len({centre.ct.noise_hu for centre in CENTRES}) == len(CENTRES)
    assert len({centre.artery_hu - centre.vein_hu for centre in CENTRES}) == len(CENTRES)


def test_the_thin_centre_scans_512_by_512_by_200() -> None:
    assert THIN.matrix == (200, 512, 512)
    assert THIN not in CENTRES


def test_another_centre_scans_the_same_patient() -> None:
    here, there = (draw_patient(6, 1, centre=centre, around_nodes_mm=15) for centre in (CENTRES[2], CENTRES[3]))
    assert here.nodes == there.nodes
    assert here.ct.spacing_mm == CENTRES[2].ct.spacing_mm
    assert there.ct.spacing_mm == CENTRES[3].ct.spacing_mm


def test_neither_centre_nor_the_number_of_nodes_says_who_is_node_positive(facts: list[PatientFacts]) -> None:
    node_positive = np.array([each.positive_nodes > 0 for each in facts])
    counts = [len(each.nodes) for each in facts]
    assert auc(node_positive, counts) == pytest.approx(
        0.5, abs=0.06
    )  # more nodes, a little more chance of a metastasis
    for centre in CENTRES:
        here = np.array([each.centre is centre for each in facts])
        spread = math.sqrt(0.4 * 0.6 / here.sum())
        assert abs(node_positive[here].mean() - node_positive.mean()) < 3.5 * spread


# --- the cohort


def test_the_same_seed_gives_the_same_bytes_also_after_an_interruption(cohort: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(cohort, again)
    (again / "cohort.csv").unlink()
    (again / "node_truth.csv").unlink()
    for path in sorted(again.glob("images/*/*.mha"))[::3]:
        path.unlink()
    done: list[tuple[int, int]] = []
    simulate(PATIENTS, SEED, again, lambda number, total: done.append((number, total)), small=True)
    assert _files(again) == _files(cohort)
    assert done == [(number + 1, PATIENTS) for number in range(PATIENTS)]


def test_a_folder_of_another_seed_is_refused(cohort: Path) -> None:
    before = _files(cohort)
    with pytest.raises(InvalidOutputError, match=f"seed {SEED} instead of {SEED + 1}"):
        simulate(PATIENTS, SEED + 1, cohort, small=True)
    assert _files(cohort) == before


@pytest.mark.parametrize(("number", "seed"), [(1, 0), (-3, 0), (5, -1)])
def test_impossible_cohorts_are_refused(tmp_path: Path, number: int, seed: int) -> None:
    with pytest.raises(InvalidInputError, match="expected 2 patients or more"):
        simulate(number, seed, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()


def test_a_patient_does_not_depend_on_the_rest_of_the_cohort(cohort: Path, patients: list[SimulatedPatient]) -> None:
    for row, patient in zip(_rows(cohort / "cohort.csv"), patients, strict=True):
        assert row["centre"] == patient.facts.centre.name
        for column, image in ((CT, patient.ct), (SEGMENTATION, patient.lymph_nodes)):
            written = read_image(cohort / row[column])
            assert written.geometry.difference(image.geometry) is None
            np.testing.assert_array_equal(written.voxels, image.voxels)


def test_node_truth_has_every_node_in_the_order_of_its_labels(cohort: Path, patients: list[SimulatedPatient]) -> None:
    truth = _rows(cohort / "node_truth.csv")
    assert [row["label"] for row in truth] == [str(node.label) for patient in patients for node in patient.nodes]
    positive = [node.positive for patient in patients for node in patient.nodes]
    assert [row["positive"] for row in truth] == ["1" if each else "0" for each in positive]


def test_the_cohort_is_one_that_the_algorithm_reads(cohort: Path) -> None:
    algorithm = read_algorithm(ROOT / "algorithms" / "bladder_lymph_nodes")
    patients = read_cohort(cohort / "cohort.csv", algorithm).patients
    assert [patient.name for patient in patients] == [row["patient"] for row in _rows(cohort / "patient_truth.csv")]
    assert len(np.unique(patients[0].case.image(SEGMENTATION).voxels)) > 10


def test_the_cohort_says_that_it_is_simulated(cohort: Path) -> None:
    assert read_toml(cohort / "cohort.toml", DataSource).simulated
    assert "do not exist" in (cohort / "README.md").read_text()


def test_counts_are_exact_a_range_around_the_truth_or_at_least_one() -> None:
    def reported(positive_nodes: int, given_as_range: float, given_as_stage: float) -> set[tuple[int, int | None]]:
        rng = np.random.default_rng(0)
        return {_reported(rng, positive_nodes, given_as_range, given_as_stage) for _ in range(200)}

    assert reported(3, 0, 0) == {(3, 3)}
    assert reported(3, 0, 1) == {(1, None)}
    assert reported(0, 0.5, 0.5) == {(0, 0)}
    ranges = reported(2, 1, 0)
    assert len(ranges) > 3
    assert all(1 <= low <= 2 <= high <= low + RANGE_WIDTH for low, high in ranges if high is not None)
    assert None not in {high for _, high in ranges}
    assert {(3, 3), (1, None)} < reported(3, 0.2, 0.2)
