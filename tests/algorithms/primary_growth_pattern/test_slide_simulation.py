import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import read_tiff
from preop.slides import Slide, Tissue, find_tissue, write_slide
from preop.slides.tissue import densities, dyes
from primary_growth_pattern.definitions import STROMA, TissueLabel, hot_spot
from primary_growth_pattern.findings import TissueMap
from primary_growth_pattern.simulation import CENTRES, OUTCOME, draw_patient, simulate, unfavourable
from primary_growth_pattern.simulation.anatomy import (
    MAP_UM,
    USUAL,
    Architecture,
    Build,
    Cell,
    draw_architecture,
    random_build,
)
from primary_growth_pattern.simulation.annotated_slides import _centres_um
from primary_growth_pattern.simulation.card_truth import measure
from primary_growth_pattern.simulation.disease import Biology
from primary_growth_pattern.simulation.looks import PIXEL_UM, random_look, usual_look
from primary_growth_pattern.simulation.scan import MAP_PX, Stain, _Painter, strips
from primary_growth_pattern.tumour_bed import find_bed

pytestmark = pytest.mark.slow

MAP_SIDE = 1024  # 4.1 mm
PLAIN = Biology(
    stroma_share=0.5,
    maturity="mature",
    margin="pushing",
    buds=8,
    til_per_mm2=40,
    aggregates=4,
    largest_aggregate_mm=0.5,
    mucus_share=0.0,
    necrosis_share=0.0,
)


def drawn(seed: int = 0, *, artefacts: bool = False, **changed: object) -> tuple[Architecture, Biology]:
    biology = Biology(**({**PLAIN.__dict__} | changed))
    return draw_architecture(np.random.default_rng(seed), biology, (MAP_SIDE, MAP_SIDE), artefacts=artefacts), biology


def area_mm2(where: np.ndarray) -> float:
    return float(where.sum() * MAP_UM**2 / 1e6)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.75])
def test_tumour_and_stroma_have_the_ratio_that_was_asked_for(share: float) -> None:
    architecture, biology = drawn(stroma_share=share)
    stroma = area_mm2(np.isin(architecture.labels, list(STROMA.values())))
    tumour = area_mm2(architecture.labels == TissueLabel.TUMOUR)
    truth = measure(architecture, biology)
    assert truth.tumour_stroma_ratio == pytest.approx(stroma / (stroma + tumour))
    assert truth.tumour_stroma_ratio == pytest.approx(share, abs=0.02)


def test_mucus_and_necrosis_take_up_their_share() -> None:
    truth = measure(*drawn(mucus_share=0.4, necrosis_share=0.05))
    assert truth.mucinous_share == pytest.approx(0.4, abs=0.06)
    assert truth.necrosis_share == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("maturity", ["mature", "intermediate", "immature"])
def test_stroma_is_no_less_mature_than_stated(maturity: str) -> None:
    truth = measure(*drawn(maturity=maturity))
    assert (truth.immature_share > 0.2) == (maturity == "immature")
    assert maturity != "mature" or truth.intermediate_share == 0
    assert maturity != "intermediate" or truth.intermediate_share > 0.2


def test_buds_lie_in_the_stroma_apart_from_the_tumour_and_have_at_most_four_cells() -> None:
    architecture, biology = drawn(buds=14, margin="infiltrating", stroma_share=0.6)
    rows, columns = (architecture.buds_um / MAP_UM).astype(int).T
    assert np.isin(architecture.labels[rows, columns], list(STROMA.values())).all()
    assert set(architecture.bud_sizes.tolist()) <= {1, 2, 3, 4}
    tumour = np.argwhere(architecture.labels == TissueLabel.TUMOUR) * MAP_UM
    for bud in architecture.buds_um:
        assert np.linalg.norm(tumour - bud, axis=1).min() > 20
    assert 12 <= measure(architecture, biology).buds <= 17


def test_the_hot_spot_is_the_disc_with_most_buds() -> None:
    ring = [
        (1000 + 480 * math.sin(angle), 1000 + 480 * math.cos(angle)) for angle in np.linspace(0, 2 * math.pi, 9)[:-1]
    ]
    buds, (y, x) = hot_spot(np.array([*ring, (3000, 3000), (3000, 3100)]))
    assert buds == 8
    assert (y, x) == pytest.approx((1000, 1000), abs=30)
    none, centre = hot_spot(np.zeros((0, 2)))
    assert none == 0
    assert np.isnan(centre).all()


def test_lymphocytes_are_as_dense_as_asked_for_and_aggregates_do_not_count() -> None:
    few, many = (measure(*drawn(til_per_mm2=density)) for density in (5.0, 80.0))
    assert few.til_per_mm2 == pytest.approx(5, abs=3)
    assert many.til_per_mm2 == pytest.approx(80, abs=12)
    assert many.intraepithelial_til_per_mm2 < many.til_per_mm2


def test_a_reaction_lies_on_either_side_of_the_front_and_nowhere_else() -> None:
    architecture, _ = drawn(til_per_mm2=2, front_til_per_mm2=100, aggregates=0)
    usual, _ = drawn(til_per_mm2=2, aggregates=0)
    points = architecture.cells_um[architecture.kinds == Cell.LYMPHOCYTE]
    bed = find_bed(TissueMap(architecture.labels, MAP_UM))
    assert bed is not None
    near = bed.front_distance_um(points) < 600
    assert np.array_equal(architecture.labels, usual.labels)
    assert near.sum() > 250
    assert (~near).sum() < 0.3 * near.sum()


def test_solid_parts_have_no_lumens() -> None:
    usual, half, solid = (drawn(solid_share=share)[0].lumens.mean() for share in (0.0, 0.5, 1.0))
    assert solid == 0
    assert half == pytest.approx(usual / 2, rel=0.4)


def test_usual_patients_have_no_further_findings_and_others_are_the_same_but_for_them() -> None:
    shape_px = (2048, 2048)
    usual, other = (draw_patient(5, 1, shape_px=shape_px, further=further) for further in (False, True))
    none = {"front_til_per_mm2": 0.0, "solid_share": 0.0}
    assert {name: getattr(usual.facts.biology, name) for name in none} == none
    assert replace(other.facts.biology, **none) == usual.facts.biology
    assert other.facts.stain == usual.facts.stain


def test_aggregates_lie_beyond_the_tumour() -> None:
    architecture, biology = drawn(aggregates=4, largest_aggregate_mm=1.1)
    truth = measure(architecture, biology)
    assert truth.aggregates == len(architecture.aggregates_um) >= 3
    assert truth.large_aggregates == 1
    for y, x, _ in architecture.aggregates_um:
        assert architecture.labels[int(y / MAP_UM), int(x / MAP_UM)] == TissueLabel.LYMPHOID


def test_cells_lie_on_the_slide() -> None:
    architecture, _ = drawn()
    assert architecture.cells_um.min() >= 0
    assert architecture.cells_um.max() < MAP_SIDE * MAP_UM
    assert set(np.unique(architecture.kinds).tolist()) == {int(kind) for kind in Cell}


def test_the_same_seed_gives_the_same_pixels() -> None:
    architecture, _ = drawn()
    first, again = (next(strips(architecture, Stain(), seed=3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, next(strips(architecture, Stain(), seed=4)))


def test_a_strip_does_not_depend_on_where_it_begins() -> None:
    architecture, _ = drawn(artefacts=True)
    painter = _Painter(architecture, Stain(), 0, usual_look())
    whole = painter.paint(3584, 4096).astype(int)
    part = painter.paint(3712, 3968).astype(int)
    assert np.abs(whole[128:384] - part).max() <= 1


def test_lymphocytes_are_painted_where_they_are() -> None:
    architecture, _ = drawn(til_per_mm2=30)
    strip = _Painter(architecture, Stain(unevenness=0), 0, usual_look()).paint(5 * 512, 6 * 512)
    haematoxylin = dyes(densities(strip, 244.0))[..., 0]
    points = architecture.cells_um[architecture.kinds == Cell.LYMPHOCYTE] / PIXEL_UM - (5 * 512, 0)
    inside = points[(points[:, 0] > 4) & (points[:, 0] < 508)].round().astype(int)
    assert len(inside) > 10
    assert np.median(haematoxylin[inside[:, 0], inside[:, 1]]) > 2 * np.median(haematoxylin)


def test_a_darker_stain_is_darker() -> None:
    architecture, _ = drawn()
    pale, dark = (
        _Painter(architecture, stain, 0, usual_look()).paint(2048, 2176).mean()
        for stain in (Stain(haematoxylin=0.8, eosin=0.8), Stain(haematoxylin=1.2, eosin=1.2))
    )
    assert dark < pale - 10


def test_artefacts_and_tissue_are_found_where_they_were_painted(tmp_path: Path) -> None:
    architecture, _ = drawn(seed=2, artefacts=True)
    path = tmp_path / "slide.tif"
    side = MAP_SIDE * MAP_PX
    write_slide(strips(architecture, CENTRES["B"], 2), (side, side), PIXEL_UM, path)
    with Slide(path) as slide:
        assert slide.um_per_pixel == 0.5
        found = find_tissue(slide).voxels
    truth = {
        Tissue.PEN: architecture.pen,
        Tissue.FOLD: architecture.folds & np.isin(architecture.labels, [TissueLabel.MUSCLE, *STROMA.values()]),
        Tissue.BLUR: architecture.blur & (architecture.labels == TissueLabel.MUSCLE) & ~architecture.folds,
        Tissue.TISSUE: (architecture.labels == TissueLabel.TUMOUR)
        & ~architecture.lumens
        & ~(architecture.blur | architecture.folds | architecture.pen),
    }
    for label, where in truth.items():
        cells = where.reshape(256, 4, 256, 4).all(axis=(1, 3))
        assert cells.any()
        assert (found[:256, :256][cells] == label).mean() > 0.7, label.name


def test_patients_have_known_odds() -> None:
    patient = draw_patient(5, 1, shape_px=(4096, 4096))
    again = draw_patient(5, 1, shape_px=(4096, 4096))
    assert patient.truth == again.truth
    assert patient.facts == again.facts
    bad = dict.fromkeys(unfavourable(patient.truth), 1.0)
    assert draw_patient(5, 1, shape_px=(4096, 4096), centre="D").facts.centre == "D"
    assert OUTCOME.probability(bad) < 0.05
    assert OUTCOME.probability(dict.fromkeys(bad, 0.0)) > 0.85
    assert patient.probability == OUTCOME.probability(unfavourable(patient.truth))


def test_a_cohort_is_written_with_its_truth(tmp_path: Path) -> None:
    simulate(2, 7, tmp_path / "cohort", small=True)
    with (tmp_path / "cohort" / "cohort.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == ["simulated_1", "simulated_2"]
    patient = draw_patient(7, 0, shape_px=(4096, 4096))
    assert rows[0]["desmoplastic"] == str(int(patient.desmoplastic))
    path = tmp_path / "cohort" / rows[0]["primary-tumour-slide"]
    with Slide(path) as slide:
        assert slide.levels[0].shape == (4096, 4096)
    labels = read_tiff(path.with_name("tissue-map.tif"))
    assert np.array_equal(labels.voxels, patient.architecture.labels)
    assert labels.spacing_mm == pytest.approx((0.004, 0.004))
    with path.with_name("points.csv").open() as file:
        points = list(csv.DictReader(file))
    lymphocytes = sum(row["kind"] == "lymphocyte" for row in points)
    assert lymphocytes == (patient.architecture.kinds == Cell.LYMPHOCYTE).sum()
    known = json.loads(path.with_name("truth.json").read_text())
    assert known["buds"] == patient.truth.buds
    before = path.stat().st_mtime_ns
    simulate(2, 7, tmp_path / "cohort", small=True)
    assert path.stat().st_mtime_ns == before


def test_too_few_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="expected 2 patients or more"):
        simulate(1, 0, tmp_path)


def test_another_look_keeps_what_a_tissue_is_and_changes_how_it_looks() -> None:
    usual, other = usual_look(), random_look(np.random.default_rng(3))
    again = random_look(np.random.default_rng(3))
    assert all(np.array_equal(one, two) for one, two in zip(other.patches, again.patches, strict=True))
    assert [patch.shape for patch in other.patches] == [patch.shape for patch in usual.patches]
    assert {kind: len(stamps) for kind, stamps in other.stamps.items()} == dict.fromkeys(usual.stamps, 64)
    changed = [not np.array_equal(one, two) for one, two in zip(usual.patches, other.patches, strict=True)]
    assert all(changed[TissueLabel.TUMOUR :])
    # Muscle stays pinker than mucus.
    muscle, mucus = (other.patches[label].mean(axis=(1, 2)) for label in (TissueLabel.MUSCLE, TissueLabel.MUCUS))
    assert muscle[1] / muscle[0] > mucus[1] / mucus[0]


def test_glands_can_be_hollow_and_shrunken() -> None:
    rng = np.random.default_rng(0)
    build = Build(lumen_share=0.4, apical_um=8.0, retraction_um=8.0)
    plain, hollow = (
        draw_architecture(np.random.default_rng(0), PLAIN, (MAP_SIDE, MAP_SIDE), artefacts=False, build=each)
        for each in (USUAL, build)
    )
    assert np.array_equal(plain.labels, hollow.labels)
    tumour = hollow.labels == TissueLabel.TUMOUR
    assert (hollow.lumens & tumour).sum() / tumour.sum() == pytest.approx(0.4, abs=0.02)
    assert (hollow.lumens & ~tumour).any()
    rows, columns = (hollow.cells_um[hollow.kinds == Cell.TUMOUR] / MAP_UM).astype(int).T
    assert not hollow.lumens[rows, columns].any()
    assert Build() == USUAL
    assert random_build(rng) != random_build(rng)


def test_regions_to_learn_from_lie_in_every_tissue_and_on_glass() -> None:
    architecture, _ = drawn(buds=0, aggregates=0)
    rng = np.random.default_rng(0)
    places = np.array([_centres_um(architecture, rng) for _ in range(30)]).reshape(-1, 2)
    rows, columns = (places / MAP_UM).astype(int).T
    seen = np.bincount(architecture.labels[rows, columns], minlength=len(TissueLabel))
    present = np.unique(architecture.labels)
    assert {TissueLabel.BACKGROUND, TissueLabel.MUCOSA} <= set(present.tolist())
    assert (seen[present] >= 5).all()
