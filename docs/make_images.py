"""Makes the pictures of README.md, of docs and of the model cards anew: python docs/make_images.py.

It needs chromium, and for lymph node stations and growth patterns the public data beside the repository (or where
PREOP_DATA says).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import vl_convert
from liver_pictures import liver_pictures
from numpy.typing import NDArray
from PIL import Image as Pillow
from slide_pictures import slide_pictures
from station_pictures import station_colour, station_pictures

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import read_case
from preop.grandchallenge.values import read_json
from preop.report.case import case_page_file
from preop.report.charts import VEGA_LITE_VERSION

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PREOP_DATA", ROOT.parent / "shared" / "data"))
IMAGES = ROOT / "docs" / "images"
SARCOMA = ROOT / "algorithms" / "sarcoma_lung_metastasis"
BLADDER = ROOT / "algorithms" / "bladder_lymph_nodes"
LIVER = ROOT / "algorithms" / "liver_growth_pattern"
LUNG = ROOT / "algorithms" / "lung_nodal_stage"
PRIMARY = ROOT / "algorithms" / "primary_growth_pattern"
CASES = {
    SARCOMA: "ct_t1_pet_clinical",
    BLADDER: "positive",
    LUNG: "n3_given",
    LIVER: "non_desmoplastic",
    PRIMARY: "desmoplastic",
}
"""What the gallery shows of each study."""
PAGE_WIDTH, PAGE_HEIGHT = 1000, 1560
CASE_WIDTH, CASE_HEIGHT = 1300, 1480
CLEAR_UPTAKE_SUV = 12
CLEAR_LUNG_UPTAKE_SUV = 8


def main() -> None:
    """Make all pictures."""
    sys.path.insert(0, str(ROOT / "algorithms"))
    IMAGES.mkdir(exist_ok=True)
    result_page()
    case_pages()
    chart_of(
        SARCOMA / "test" / "ct_t1_pet" / "expected" / "lung-metastasis-contributions.json", "sarcoma-contributions"
    )
    chart_of(BLADDER / "test" / "positive" / "expected" / "positive-lymph-nodes-chart.json", "bladder-counts")
    chart_of(LIVER / "test" / "non_desmoplastic" / "expected" / "growth-pattern-chart.json", "growth-shares")
    chart_of(LIVER / "test" / "desmoplastic" / "expected" / "growth-pattern-chart.json", "growth-rings-output")
    simulated_patient()
    simulated_pelvis()
    simulated_chest()
    liver_pictures(DATA / "liver" / "crlm_ct_1004.nii.gz", IMAGES)
    station_pictures(DATA / "anatomy" / "thorax_totalsegmentator_labels.nii.gz", IMAGES)
    slide_pictures(DATA / "slides" / "cmu_1_small_region.svs", IMAGES)


def chart_of(output: Path, name: str) -> None:
    """Draw a chart that an algorithm gave."""
    drawn = vl_convert.vegalite_to_png(read_json(output), vl_version=VEGA_LITE_VERSION, scale=1.5)
    (IMAGES / f"{name}.png").write_bytes(drawn)


def result_page() -> None:
    """Run the bundled cases and photograph their result page."""
    with tempfile.TemporaryDirectory() as folder:
        preop = Path(sys.executable).with_name("preop")
        subprocess.run([preop, "examples", "--engine", "process", "--output", folder], check=True)
        photograph(Path(folder) / SARCOMA.name / "results.html", IMAGES / "result-page.png", PAGE_WIDTH, PAGE_HEIGHT)


def case_pages() -> None:
    """Photograph the page of a bundled case of each study, made of its stored outputs."""
    for study, case in CASES.items():
        algorithm, place = read_algorithm(study), study / "test" / case
        with tempfile.TemporaryDirectory() as folder:
            page, picture = Path(folder) / "case.html", Path(folder) / "case.png"
            case_page_file(read_case(algorithm, place / "input"), place / "expected", page, model=study / "model")
            photograph(page, picture, CASE_WIDTH, CASE_HEIGHT)
            Pillow.open(picture).convert("RGB").save(IMAGES / f"case-{study.name}.webp", quality=80, method=6)


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    """Show the upper part of a page as a browser does."""
    subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--window-size={width},{height}",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        check=True,
    )


def simulated_patient() -> None:
    """Show the middle of a simulated tumour, on CT, T1, fat-suppressed T2 and contrast T1 MR, and PET, with its contour."""
    from sarcoma_lung_metastasis.simulation import simulate_patient

    patients = (simulate_patient(3, number) for number in range(40))
    patient = next(
        patient
        for patient in patients
        if patient.ct
        and patient.t2_fs
        and patient.contrast_t1
        and patient.pet
        and patient.pet.image.voxels.max() > CLEAR_UPTAKE_SUV
    )
    sequences = (patient.t1, patient.t2_fs, patient.contrast_t1)
    hottest = float(patient.pet.image.voxels[patient.pet.tumour.voxels != 0].max())
    views = []
    for scan, low, high in (
        (patient.ct, -160.0, 240.0),
        *((scan, 0.0, float(np.quantile(scan.image.voxels, 0.995))) for scan in sequences),
        (patient.pet, 0.0, hottest),
    ):
        middle = int(np.flatnonzero(scan.tumour.voxels.any(axis=(1, 2))).mean())
        grey = np.clip((scan.image.voxels[middle] - low) / (high - low), 0, 1)
        views.append(_enlarged(grey, scan.tumour.voxels[middle] != 0, scan.image.spacing_mm[1]))
    height = max(view.shape[0] for view in views)
    padded = [np.pad(view, ((0, height - view.shape[0]), (0, 12), (0, 0)), constant_values=255) for view in views]
    picture = sitk.GetImageFromArray(np.concatenate(padded, axis=1), isVector=True)
    sitk.WriteImage(picture, str(IMAGES / "sarcoma-simulation.png"))


def simulated_pelvis() -> None:
    """Show three slices of a simulated pelvis with its lymph nodes: benign ones in yellow, metastases in red."""
    from bladder_lymph_nodes.simulation import draw_facts, draw_patient

    number = next(i for i in range(100) if draw_facts(7, i).positive_nodes > 5 and draw_facts(7, i).sex == "male")
    patient = draw_patient(7, number)
    positive = [node.label for node in patient.nodes if node.positive]
    nodes = patient.lymph_nodes.voxels
    views = []
    for start, stop in ((0.15, 0.35), (0.35, 0.6), (0.6, 0.85)):
        slices = range(int(start * len(nodes)), int(stop * len(nodes)))
        shown = max(slices, key=lambda z: np.isin(np.unique(nodes[z]), positive).sum())
        grey = np.clip((patient.ct.voxels[shown] + 160.0) / 400.0, 0, 1)
        metastases = np.isin(nodes[shown], positive)
        spacing_mm = patient.ct.spacing_mm[1]
        view = _enlarged(grey, (nodes[shown] != 0) & ~metastases, spacing_mm, colour=(250, 210, 60))
        with_metastases = _enlarged(grey, metastases, spacing_mm, colour=(240, 60, 40))
        differs = (with_metastases == (240, 60, 40)).all(axis=-1)
        view[differs] = with_metastases[differs]
        views.append(np.pad(view, ((0, 0), (0, 12), (0, 0)), constant_values=255))
    picture = sitk.GetImageFromArray(np.concatenate(views, axis=1), isVector=True)
    sitk.WriteImage(picture, str(IMAGES / "bladder-simulation.png"))


def simulated_chest() -> None:
    """Show a simulated chest: CT with its lesions, the stations of that slice, and the PET from the front.

    Benign nodes in yellow, the primary and metastases in red.
    """
    from lung_nodal_stage.simulation import draw_facts, draw_patient
    from preop.anatomy import STATIONS
    from preop.staging import N

    wanted = {"4R", "10R"}  # both show in one slice
    number = next(
        i
        for i in range(2000)
        if wanted <= set(draw_facts(7, i).involved)
        and draw_facts(7, i).n_tnm9 is N.N2B
        and {"4R", "10L", "5"} & {lesion.station for lesion in draw_facts(7, i).lesions if not lesion.malignant}
    )
    patient = draw_patient(7, number)
    lesions, spacing_mm = patient.lesions.voxels, patient.ct.spacing_mm[1]
    malignant = [lesion.label for lesion in patient.facts.lesions if lesion.malignant]
    shown = max(range(len(lesions)), key=lambda z: np.unique(lesions[z]).size)
    grey = np.clip((patient.ct.voxels[shown] + 160.0) / 400.0, 0, 1)
    with_lesions = _enlarged(grey, np.isin(lesions[shown], malignant), spacing_mm, colour=(240, 60, 40))
    benign = _enlarged(
        grey, (lesions[shown] > 0) & ~np.isin(lesions[shown], malignant), spacing_mm, colour=(250, 210, 60)
    )
    drawn = (benign == (250, 210, 60)).all(axis=-1)
    with_lesions[drawn] = benign[drawn]
    stations = patient.stations.on(patient.ct.geometry).voxels[shown]
    with_stations = _enlarged(grey, np.zeros(grey.shape, dtype=bool), spacing_mm)
    rows, columns = (
        np.minimum((np.arange(size) * (old / size)).astype(int), old - 1)
        for size, old in zip(with_stations.shape, stations.shape, strict=False)
    )
    enlarged = stations[np.ix_(rows, columns)]
    for label, name in enumerate(STATIONS, 1):
        inside = enlarged == label
        with_stations[inside] = (0.45 * with_stations[inside] + 0.55 * np.array(station_colour(name))).astype(np.uint8)
    projection = patient.pet.voxels[::-1].max(axis=1)
    height = with_lesions.shape[0]
    pixels_per_mm = height / (projection.shape[0] * patient.pet.spacing_mm[0])
    pet = _enlarged(
        1 - np.clip(projection / CLEAR_LUNG_UPTAKE_SUV, 0, 1),
        np.zeros(projection.shape, dtype=bool),
        patient.pet.spacing_mm[0] * pixels_per_mm / 2,
    )
    views = [view[:height] for view in (with_lesions, with_stations, pet)]
    padded = [np.pad(view, ((0, height - view.shape[0]), (0, 12), (0, 0)), constant_values=255) for view in views]
    picture = sitk.GetImageFromArray(np.concatenate(padded, axis=1), isVector=True)
    sitk.WriteImage(picture, str(IMAGES / "lung-simulation.png"))


def _enlarged(
    grey: NDArray[np.float64],
    mask: NDArray[np.bool_],
    spacing_mm: float,
    colour: tuple[int, int, int] = (240, 120, 30),
) -> NDArray[np.uint8]:
    """Draw a slice at 2 pixels a mm with the contour of what is segmented, in orange unless told."""
    from scipy import ndimage

    factor = 2 * spacing_mm
    large = ndimage.zoom(grey, factor, order=1)
    inside = ndimage.zoom(mask.astype(float), factor, order=1) > 0.5
    contour = inside & ~ndimage.binary_erosion(inside, iterations=2)
    picture = np.repeat((255 * large).astype(np.uint8)[..., None], 3, axis=2)
    picture[contour] = colour
    return picture


if __name__ == "__main__":
    main()
