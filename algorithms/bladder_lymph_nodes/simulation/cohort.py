"""Simulated patients of this study: contrast CT of a pelvis with bladder cancer, its lymph nodes, what pathology found.

``disease`` draws which nodes are positive and how they differ, and computes how likely each is to be positive for the
best possible observer; ``anatomy`` places them among bones, muscles, gut and vessels; ``scan`` shows them as scanners
and readers see them; this module puts patients together and writes cohorts. Nothing but the nodes themselves depends on
whether they are positive. Nothing learned from these patients says anything about real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bladder_lymph_nodes.lymph_nodes import CT, SEGMENTATION
from bladder_lymph_nodes.pathology import FIELD_COLUMNS, FIELDS_FILE, PLACE_COLUMNS, PLACES_FILE
from preop.imaging import Geometry, Image, write_image
from preop.simulation import Place, Table, random_generator, simulate_patients, write_cohort, write_table
from preop.statistics import oracle_auc
from preop.study import DataSource, Progress

from .anatomy import Pelvis, Sex, random_pelvis
from .disease import Dissection, Field, Nodes, Oracle, Side, draw_dissection, draw_nodes, draw_pathology, oracle
from .placement import Floats
from .scan import CENTRES, Centre, scan, scanned_grid

SOURCE = DataSource(
    description="Simulated pelves with bladder cancer, and lymph nodes of which some are stated to be positive",
    source="preop simulate bladder_lymph_nodes",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)
COLUMNS = (
    "patient",
    CT,
    SEGMENTATION,
    "centre",
    "lymph_node_metastasis",
    "positive_nodes_low",
    "positive_nodes_high",
    "removed_nodes",
)
PATIENT_TRUTH_COLUMNS = ("patient", "tumour_side", "template", "positive_nodes_on_ct", "oracle_probability")
NODE_TRUTH_COLUMNS = (
    "patient",
    "label",
    "station",
    "side",
    "x_mm",
    "y_mm",
    "z_mm",
    "short_axis_mm",
    "long_axis_mm",
    "enhancement_hu",
    "heterogeneity_hu",
    "hilar_part",
    "necrotic_part",
    "stranding",
    "positive",
    "oracle_probability",
)

# Each draws from a stream of its own.
PURPOSES = ("patient", "anatomy", "scan", "report", "pathology")
MALE = 0.75
# Most reports give the count; some as a range of this width at most, some say only that there are positive nodes.
RANGE_WIDTH = 4
GIVEN_AS_RANGE, GIVEN_AS_STAGE = 0.05, 0.05

SMALL_SPACING_MM = (5.0, 1.5, 1.5)
SMALL_AROUND_NODES_MM = 20.0


@dataclass(frozen=True)
class NodeTruth:
    """What is known of one node.

    Attributes
    ----------
    label
        Its value in the label map, from 1.
    x_mm, y_mm, z_mm
        Its centre in the scan's world.
    short_axis_mm, long_axis_mm
        True diameters.
    oracle_probability
        Probability that it is positive, for an observer who knows all its variables.

    The others as in ``disease.Nodes``.
    """

    label: int
    station: str
    side: str
    x_mm: float
    y_mm: float
    z_mm: float
    short_axis_mm: float
    long_axis_mm: float
    enhancement_hu: float
    heterogeneity_hu: float
    hilar_part: float
    necrotic_part: float
    stranding: float
    positive: bool
    oracle_probability: float


@dataclass(frozen=True, eq=False)
class PatientFacts:
    """A patient before anything is drawn.

    Attributes
    ----------
    centre
        Where the scan is made.
    sex
        Decides the anatomy only.
    tumour_side
        The side of the bladder on which the tumour is, where more nodes are positive.
    nodes
        All that is drawn of the nodes.
    dissection
        What was removed.
    fields
        What the pathologist counted in each of its fields; not only nodes of the CT.
    oracle
        What the best observer knows.
    """

    centre: Centre
    sex: Sex
    tumour_side: Side
    nodes: Nodes
    dissection: Dissection
    fields: tuple[Field, ...]
    oracle: Oracle

    @property
    def positive_nodes(self) -> int:
        """Number of nodes in which the pathologist found a metastasis."""
        return sum(field.positive for field in self.fields)

    @property
    def removed_nodes(self) -> int:
        """Number of nodes that the pathologist found."""
        return sum(field.removed for field in self.fields)


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A simulated patient with the scan.

    Attributes
    ----------
    facts
        The patient.
    ct
        CT in HU (int16).
    lymph_nodes
        The nodes as a reader drew them, one label a node from 1 (uint8), on the same grid.
    nodes
        The truth of each node, in the order of the labels.
    """

    facts: PatientFacts
    ct: Image
    lymph_nodes: Image
    nodes: tuple[NodeTruth, ...]


def draw_facts(seed: int, number: int = 0, *, centre: Centre | None = None) -> PatientFacts:
    """Draw a patient without any image, in well under a millisecond a node.

    Parameters
    ----------
    seed
        Seed of the cohort, 0 or more.
    number
        Which patient of the cohort, from 0; independent of the others.
    centre
        Where the scan is made; drawn by the centres' shares where not given. It changes nothing else.
    """
    rng = random_generator(seed, number, "patient", PURPOSES)
    chosen = CENTRES[rng.choice(len(CENTRES), p=[each.share for each in CENTRES])]
    tumour_side: Side = "left" if rng.random() < 0.5 else "right"
    nodes = draw_nodes(rng, tumour_side)
    at_surgery = random_generator(seed, number, "pathology", PURPOSES)
    dissection = draw_dissection(at_surgery, tumour_side)
    return PatientFacts(
        centre=centre or chosen,
        sex="male" if rng.random() < MALE else "female",
        tumour_side=tumour_side,
        nodes=nodes,
        dissection=dissection,
        fields=draw_pathology(at_surgery, nodes, dissection),
        oracle=oracle(nodes, tumour_side, dissection),
    )


def draw_patient(
    seed: int,
    number: int = 0,
    *,
    centre: Centre | None = None,
    contrast: bool = True,
    around_nodes_mm: float | None = None,
) -> SimulatedPatient:
    """Simulate one patient in memory; the same arguments give the same voxels, whoever is simulated beside them.

    Parameters
    ----------
    seed, number, centre
        As for ``draw_facts``.
    contrast
        Whether contrast was given; without it vessels, muscles and nodes look alike.
    around_nodes_mm
        Scan only so far around the centres of the nodes instead of the whole pelvis, which takes less than half the
        time; 27 mm is enough for cubes of 48 mm.
    """
    facts = draw_facts(seed, number, centre=centre)
    pelvis, shift = _placed(seed, number, facts)
    rng = random_generator(seed, number, "scan", PURPOSES)
    grid = scanned_grid(rng, pelvis, facts.centre, around_nodes_mm)
    ct, labels = scan(rng, pelvis, facts.nodes, facts.centre, grid, contrast=contrast)
    x, y, z = (np.array(grid.origin_mm) + shift).tolist()
    frame = Geometry(grid.shape, grid.spacing_mm, (x, y, z), grid.direction)
    return SimulatedPatient(facts, Image(ct.voxels, frame), Image(labels.voxels, frame), _truth(facts, pelvis, shift))


def draw_small_patient(seed: int, number: int = 0) -> SimulatedPatient:
    """Simulate one patient in a small coarse image around the nodes, for tests and examples."""
    centre = draw_facts(seed, number).centre
    coarse = replace(centre, ct=replace(centre.ct, spacing_mm=SMALL_SPACING_MM))
    return draw_patient(seed, number, centre=coarse, around_nodes_mm=SMALL_AROUND_NODES_MM)


def simulate(
    patients: int,
    seed: int,
    output: Path,
    progress: Progress | None = None,
    *,
    given_as_range: float = GIVEN_AS_RANGE,
    given_as_stage: float = GIVEN_AS_STAGE,
    small: bool = False,
) -> None:
    """Write a simulated cohort: ``cohort.csv``, ``fields.csv``, the images, the truth of patients and nodes, and a README.

    An interrupted run can be repeated: images that are complete are not made again.

    Parameters
    ----------
    patients
        How many, 2 or more.
    seed
        The same seed gives the same files.
    output
        A new or empty folder, or one that the same call began.
    progress
        Called with the number of patients done and their total.
    given_as_range, given_as_stage
        Shares of the pN+ patients whose count is given as a range, and not at all.
    small
        Small coarse images for tests and examples.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 patients, or the seed is negative.
    InvalidOutputError
        If the folder holds anything else, or cannot be written.
    """
    places = simulate_patients(
        "bladder_lymph_nodes",
        patients=patients,
        seed=seed,
        output=output,
        write_patient=partial(_write_images, seed=seed, small=small),
        progress=progress,
        given_as_range=given_as_range,
        given_as_stage=given_as_stage,
        small=small,
    )
    rows, fields, patient_truth, node_truth = [], [], [], []
    for place in places:
        facts = draw_facts(seed, place.number)
        rng = random_generator(seed, place.number, "report", PURPOSES)
        low, high = _reported(rng, facts.positive_nodes, given_as_range, given_as_stage)
        rows.append(_row(place, facts, (low, high)))
        if low == high:  # a report that gives no number gives none of a field either
            fields += [_field_row(place.name, field) for field in facts.fields]
        patient_truth.append(_truth_row(place.name, facts))
        node_truth += [_node_row(place.name, node) for node in _truth(facts, *_placed(seed, place.number, facts))]
    write_table(output / FIELDS_FILE, Table(FIELD_COLUMNS, fields))
    write_table(output / PLACES_FILE, Table(PLACE_COLUMNS, [_place_row(node) for node in node_truth]))
    write_cohort(
        output,
        Table(COLUMNS, rows),
        truth={
            "node_truth.csv": Table(NODE_TRUTH_COLUMNS, node_truth),
            "patient_truth.csv": Table(PATIENT_TRUTH_COLUMNS, patient_truth),
        },
        readme=_readme(seed, np.array([row["oracle_probability"] for row in patient_truth])),
        source=SOURCE,
    )


# --- the patient ------------------------------------------------------------------------------------------------------


def _placed(seed: int, number: int, facts: PatientFacts) -> tuple[Pelvis, Floats]:
    """Draw a patient's anatomy, and where its origin lies in the scanner's world (3,) in x, y, z."""
    rng = random_generator(seed, number, "anatomy", PURPOSES)
    pelvis = random_pelvis(rng, facts.sex, facts.tumour_side, facts.nodes)
    return pelvis, np.round(rng.uniform([-20, -150, -900], [20, -50, -300]), 1)


def _truth(facts: PatientFacts, pelvis: Pelvis, shift: Floats) -> tuple[NodeTruth, ...]:
    nodes = facts.nodes
    rows = []
    for i, place in enumerate(pelvis.nodes):
        x, y, z = np.round(place.centre_mm + shift, 2).tolist()
        rows.append(
            NodeTruth(
                label=i + 1,
                station=str(nodes.station[i]),
                side=str(nodes.side[i]),
                x_mm=x,
                y_mm=y,
                z_mm=z,
                short_axis_mm=round(float(nodes.short_axis_mm[i]), 3),
                long_axis_mm=round(float(nodes.short_axis_mm[i] * nodes.elongation[i]), 3),
                enhancement_hu=round(float(nodes.enhancement_hu[i]), 2),
                heterogeneity_hu=round(float(nodes.heterogeneity_hu[i]), 2),
                hilar_part=round(float(nodes.hilar_part[i]), 4),
                necrotic_part=round(float(nodes.necrotic_part[i]), 4),
                stranding=round(float(nodes.stranding[i]), 4),
                positive=bool(nodes.positive[i]),
                oracle_probability=round(float(facts.oracle.node[i]), 6),
            )
        )
    return tuple(rows)


# --- the cohort -------------------------------------------------------------------------------------------------------


def _reported(
    rng: np.random.Generator, positive_nodes: int, given_as_range: float, given_as_stage: float
) -> tuple[int, int | None]:
    """Give what the report says of the count: lowest and highest, or no highest if it says only that there are some."""
    certainty = rng.random()
    below, above = rng.integers(0, RANGE_WIDTH // 2 + 1, 2).tolist()
    if positive_nodes == 0 or certainty >= given_as_range + given_as_stage:
        return positive_nodes, positive_nodes
    if certainty < given_as_stage:
        return 1, None
    return max(positive_nodes - below, 1), positive_nodes + above


def _row(place: Place, facts: PatientFacts, reported: tuple[int, int | None]) -> dict[str, Any]:
    low, high = reported
    return {
        "patient": place.name,
        CT: f"{place.relative}/{CT}.mha",
        SEGMENTATION: f"{place.relative}/{SEGMENTATION}.mha",
        "centre": facts.centre.name,
        "lymph_node_metastasis": int(low > 0),
        "positive_nodes_low": low,
        "positive_nodes_high": high,
        "removed_nodes": facts.removed_nodes,
    }


def _field_row(patient: str, field: Field) -> dict[str, Any]:
    return {
        "patient": patient,
        "side": field.side,
        "region": field.station,
        "removed": field.removed,
        "positive": field.positive,
    }


def _place_row(node: Mapping[str, Any]) -> dict[str, Any]:
    """Where a node lies, as a reader names it, who is taken to be right about it."""
    return {"patient": node["patient"], "label": node["label"], "side": node["side"], "region": node["station"]}


def _truth_row(patient: str, facts: PatientFacts) -> dict[str, Any]:
    return {
        "patient": patient,
        "tumour_side": facts.tumour_side,
        "template": facts.dissection.template,
        "positive_nodes_on_ct": int(facts.nodes.positive.sum()),
        "oracle_probability": round(facts.oracle.patient, 6),
    }


def _node_row(patient: str, node: NodeTruth) -> dict[str, Any]:
    return {"patient": patient, **asdict(node), "positive": int(node.positive)}


def _write_images(place: Place, *, seed: int, small: bool) -> None:
    """Write the images of a patient, if they are not there yet."""
    paths = (place.folder / f"{CT}.mha", place.folder / f"{SEGMENTATION}.mha")
    if all(path.exists() for path in paths):
        return
    made = draw_small_patient(seed, place.number) if small else draw_patient(seed, place.number)
    for path, image in zip(paths, (made.ct, made.lymph_nodes), strict=True):
        write_image(image, path)


def _readme(seed: int, probabilities: NDArray[np.float64]) -> str:
    return f"""# A simulated cohort

These {len(probabilities)} patients do not exist. Their scans, lymph nodes and pathology come from a program
(`bladder_lymph_nodes/simulation`, seed {seed}). What is learned from them shows that the software works; it says
nothing about patients.

`cohort.csv` has one row per patient. `positive_nodes_low` and `positive_nodes_high` hold the pathologist's count of
positive nodes, which is exact where both are equal; an empty `positive_nodes_high` means that the report says only
that there are some. `removed_nodes` is how many nodes the pathologist found, and `fields.csv` has the same by side and
region of the dissection, for patients whose count is exact; `node_places.csv` says where each node on CT lies. `lymph-node-segmentation` has one label per node. The count is
not that of the positive nodes among them: nodes outside the template stay, so do a few inside, positive or not; one in
thirty of the removed metastases was missed at pathology, and some lie in nodes that were not segmented.

`node_truth.csv` has one row per node, with all that decided how it looks and whether it is positive; no algorithm may
see it. Its `oracle_probability` is the probability that the node is positive for an observer who knows all this; in
`patient_truth.csv` it is this observer's probability of pN+. Such an observer can expect an AUC of
{oracle_auc(probabilities):.3f} for pN+ on these patients; no algorithm can expect more.
"""
