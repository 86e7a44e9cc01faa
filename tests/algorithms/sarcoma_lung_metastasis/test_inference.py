"""The sarcoma algorithm as the platform runs it: good cases explain themselves, bad ones end in one sentence."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import altair as alt
import numpy as np
import pytest
import SimpleITK as sitk

from preop.errors import InvalidInputError, InvalidModelError
from preop.folders import sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.outputs import check_outputs, write_outputs
from preop.grandchallenge.results import CaseOutputs
from preop.grandchallenge.roots import Roots
from preop.imaging import Image
from preop.study import register
from sarcoma_lung_metastasis.features import CLINICAL, CT, PET, SCANS, T1, scan_of
from sarcoma_lung_metastasis.inference import load_model, predict
from sarcoma_lung_metastasis.model import SEGMENTATION_NETWORKS, interface_key
from sarcoma_lung_metastasis.page import case_page
from tests.conftest import ROOT
from tests.segmentation.networks import dataset_of, make_network, plans_of

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "sarcoma_lung_metastasis"
ALGORITHM = read_algorithm(FOLDER)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A case with everything, and the shipped model, all free to be spoilt."""
    shutil.copytree(FOLDER / "test" / "ct_t1_pet_clinical" / "input", tmp_path / "input")
    shutil.copytree(FOLDER / "model", tmp_path / "model")
    (tmp_path / "output").mkdir()
    return Roots(tmp_path / "input", tmp_path / "output", tmp_path / "model")


def outputs_of(case: str) -> dict[str, Any]:
    read = read_case(ALGORITHM, FOLDER / "test" / case / "input")
    return predict(read, load_model(FOLDER / "model", ALGORITHM))


@pytest.mark.parametrize("case", ["ct", "ct_t1_pet_clinical", "t1_clinical", "pet"])
def test_contributions_add_up_to_the_likelihood(case: str) -> None:
    outputs = outputs_of(case)
    explanation = outputs["lung-metastasis-explanation"]
    log_odds = explanation["intercept_log_odds"] + sum(
        feature["contribution_log_odds"] for feature in explanation["features"]
    )
    assert outputs["lung-metastasis-likelihood"] == pytest.approx(1 / (1 + np.exp(-log_odds)))
    assert explanation["likelihood"] == outputs["lung-metastasis-likelihood"]
    above = explanation["likelihood"] >= explanation["decision_threshold"]
    assert explanation["decision"] == ("high risk" if above else "low risk")


def test_a_model_that_takes_nothing_of_a_scan_says_which_smaller_model_it_is() -> None:
    alone, joined = (outputs_of(case)["lung-metastasis-explanation"] for case in ("pet_clinical", "ct_t1_pet_clinical"))
    used = [sorted(feature["feature"] for feature in each["features"]) for each in (alone, joined)]
    assert used[0] == used[1]
    assert joined["inputs"] == "CT + T1 MR + PET + clinical"
    assert joined["inputs_with_effect"] == alone["inputs_with_effect"] == "PET + clinical"
    assert joined["warnings"][0] == (
        "CT and T1 MR have no effect on the likelihood: training chose none of the features, so this is the PET + clinical "
        "model."
    )


def test_clinical_information_has_a_part_in_every_model_that_takes_it() -> None:
    for key, logistic in load_model(FOLDER / "model", ALGORITHM).by_interface.items():
        clinical = {term.name for term in logistic.terms if scan_of(term.name) is None}
        assert clinical == ({"age_years", "male", "grade", "liposarcoma"} if key.endswith("clinical") else set())


def test_what_is_unknown_or_beyond_the_training_cohort_limits_the_assessment(roots: Roots) -> None:
    (roots.input / "clinical-information.json").write_text(json.dumps({"age_years": 110, "sex": "male"}))
    case = read_case(ALGORITHM, roots.input)
    explained = predict(case, load_model(FOLDER / "model", ALGORITHM))["lung-metastasis-explanation"]
    assert explained["assessable"] == "limited"
    assert "Age (110 years): outside the range of the training cohort." in explained["assessable_reasons"]
    assert "Liposarcoma and grade: unknown, and replaced by the training median." in explained["assessable_reasons"]


def test_each_combination_that_the_shipped_model_knows_has_a_bundled_case_and_one_case_has_every_input() -> None:
    model = load_model(FOLDER / "model", ALGORITHM)
    cases = [read_case(ALGORITHM, path) for path in sorted((FOLDER / "test").glob("*/input"))]
    assert len(model.by_interface) == 14
    everything = interface_key(socket.slug for socket in ALGORITHM.inputs)
    assert {interface_key(case.interface) for case in cases} == {*model.by_interface, everything}
    assert len(cases) == 15


def test_scans_that_the_model_was_trained_without_change_nothing_and_are_named() -> None:
    everything = read_case(ALGORITHM, FOLDER / "test" / "ct_t1_t2fs_contrast_pet_clinical" / "input")
    model = load_model(FOLDER / "model", ALGORITHM)
    known = _only(everything, "ct", "t1", "pet", CLINICAL)
    all_said, said = (predict(case, model) for case in (everything, known))
    assert all_said["lung-metastasis-likelihood"] == said["lung-metastasis-likelihood"]
    assert all_said["lung-metastasis-contributions"] == said["lung-metastasis-contributions"]
    explained, without = (each["lung-metastasis-explanation"] for each in (all_said, said))
    assert explained["features"] == without["features"]
    assert explained["likeness_to_training"] == without["likeness_to_training"]
    assert explained["assessable"] == "limited"
    assert explained["assessable_reasons"][0] == (
        "T2 FS MR and CE-T1 MR were not used: the model was trained without them."
    )
    assert explained["inputs"] == "CT + T1 MR + T2 FS MR + CE-T1 MR + PET + clinical"
    assert explained["inputs_not_used"] == ["T2 FS MR", "CE-T1 MR"]
    assert "inputs_not_used" not in without


def test_scans_that_no_model_knows_are_refused_by_themselves() -> None:
    case = read_case(ALGORITHM, FOLDER / "test" / "ct_t1_t2fs_contrast_pet_clinical" / "input")
    with pytest.raises(InvalidModelError) as caught:
        predict(_only(case, "t2fs", "t1c", CLINICAL), load_model(FOLDER / "model", ALGORITHM))
    assert str(caught.value) == (
        "The model was trained without T2 FS MR and CE-T1 MR, and can judge nothing by that: add CT or T1 MR or PET with "
        "the tumour, or train a model on patients who have these inputs."
    )


def test_the_model_on_the_most_scans_is_taken_then_that_with_clinical_information_then_the_better_one() -> None:
    model = load_model(FOLDER / "model", ALGORITHM)

    def best(given: str, *held: str) -> str:
        return replace(model, by_interface={key: model.by_interface[key] for key in held}).best_for(given)

    everything = "CT + T1 MR + PET + clinical"
    assert best(everything, "CT + T1 MR", "PET + clinical") == "CT + T1 MR"
    assert best(everything, "CT", "CT + clinical") == "CT + clinical"
    assert best(everything, "CT", "T1 MR", "PET") == "PET"
    assert best("CT + T1 MR", "CT", "T1 MR", "PET") == "CT"


def test_an_input_that_is_known_but_not_beside_the_others_is_named() -> None:
    model = load_model(FOLDER / "model", ALGORITHM)
    few = replace(model, by_interface={key: model.by_interface[key] for key in ("CT", "PET")})
    case = read_case(ALGORITHM, FOLDER / "test" / "ct_pet_clinical" / "input")
    reasons = predict(case, few)["lung-metastasis-explanation"]["assessable_reasons"]
    assert reasons[:2] == [
        "Clinical information was not used: the model was trained without it.",
        "CT was not used: the model folder holds none that takes it beside PET.",
    ]


def _only(case: Case, *names: str) -> Case:
    """Leave a case the scans of these names, with their tumours, and clinical information where it is named."""
    kept = [slug for scan in SCANS if scan.name in names for slug in (scan.image, scan.segmentation)]
    images = {slug: path for slug, path in case.image_paths.items() if slug in kept}
    return replace(case, image_paths=images, values=case.values if CLINICAL in names else {}, _images={})


@pytest.fixture
def with_networks(roots: Roots) -> Path:
    """The shipped model with small networks of random weights that outline tumours on CT and PET."""
    info = json.loads((roots.model / "model.json").read_text())
    for scan, scheme in ((CT, "CTNormalization"), (PET, "ZScoreNormalization")):
        folder = roots.model / SEGMENTATION_NETWORKS / scan.image
        make_network(folder, plans_of(spacing=(5.0, 3.0, 3.0), schemes=[scheme]), dataset_of(["tumour"]))
        info["files"] |= {
            str(path.relative_to(roots.model)): sha256(path) for path in folder.rglob("*") if path.is_file()
        }
    (roots.model / "model.json").write_text(json.dumps(info))
    return roots.model


def test_a_scan_without_its_tumour_is_outlined_by_the_network_of_the_model_and_limited(with_networks: Path) -> None:
    model = load_model(with_networks, ALGORITHM)
    case = _only(read_case(ALGORITHM, FOLDER / "test" / "ct_t1_pet_clinical" / "input"), "ct", "t1", CLINICAL)
    alone = replace(
        case, image_paths={slug: path for slug, path in case.image_paths.items() if slug != CT.segmentation}
    )
    found = predict(alone, model)
    check_outputs(found, ALGORITHM, alone)
    drawn = model.outliners[CT.image].segment(case.image(CT.image)).voxels != 0
    assert 0 < drawn.mean() < 0.9
    proposal = found[CT.proposal]
    assert isinstance(proposal, Image)
    np.testing.assert_array_equal(proposal.voxels, drawn)

    approved = predict(replace(case, _images={**case._images, CT.segmentation: proposal}), model)
    assert set(found) - set(approved) == {CT.proposal}
    assert approved["lung-metastasis-likelihood"] == found["lung-metastasis-likelihood"]
    explained, said = (each["lung-metastasis-explanation"] for each in (found, approved))
    assert explained["assessable"] == "limited"
    reason = (
        "The tumour on CT was outlined by a network, and nobody has approved that: look at the outline, and correct it where "
        "it is wrong."
    )
    assert explained["assessable_reasons"] == [reason, *said["assessable_reasons"]]


def test_the_page_of_a_case_says_what_a_network_outlined(with_networks: Path, tmp_path: Path) -> None:
    case = _only(read_case(ALGORITHM, FOLDER / "test" / "ct_t1_pet_clinical" / "input"), "ct", "t1")
    alone = replace(
        case, image_paths={slug: path for slug, path in case.image_paths.items() if slug != CT.segmentation}
    )
    (tmp_path / "made").mkdir()
    write_outputs(predict(alone, load_model(with_networks, ALGORITHM)), alone, tmp_path / "made")
    page = case_page(alone, CaseOutputs(alone, tmp_path / "made"))
    assert page.legend == [("tumour as outlined", "#ff9d1a")]
    assert page.pictures[0].caption.startswith("CT (outlined by a network), largest section")
    assert "Tumour as outlined: CT (outlined by a network) " in page.reasoning


def test_a_scan_for_which_there_is_no_network_is_refused_without_its_tumour(with_networks: Path) -> None:
    case = _only(read_case(ALGORITHM, FOLDER / "test" / "ct_t1_pet_clinical" / "input"), "ct", "t1")
    alone = replace(
        case, image_paths={slug: path for slug, path in case.image_paths.items() if slug != T1.segmentation}
    )
    with pytest.raises(InvalidModelError) as caught:
        predict(alone, load_model(with_networks, ALGORITHM))
    assert str(caught.value) == (
        "t1-mri was given without t1-mri-tumour-segmentation, and the model folder holds no network that could outline the "
        "tumour (tumour_segmentation/t1-mri/): give the segmentation, leave the scan out, or take a model with such a network."
    )


def test_a_network_does_not_see_a_scan_out_of_its_unit(with_networks: Path) -> None:
    case = _only(read_case(ALGORITHM, FOLDER / "test" / "ct_t1_pet_clinical" / "input"), "pet")
    bq = case.image(PET.image)
    images = {PET.image: bq.with_voxels(bq.voxels * 5000)}
    alone = replace(case, image_paths={PET.image: case.image_paths[PET.image]}, _images=images)
    with pytest.raises(InvalidInputError, match="pet-image is not in SUV"):
        predict(alone, load_model(with_networks, ALGORITHM))


def test_a_network_that_finds_nothing_is_told(with_networks: Path) -> None:
    case = _only(read_case(ALGORITHM, FOLDER / "test" / "ct_t1_pet_clinical" / "input"), "ct")
    alone = replace(case, image_paths={CT.image: case.image_paths[CT.image]})
    model = load_model(with_networks, ALGORITHM)
    blind = SimpleNamespace(segment=lambda image: image.with_voxels(np.zeros(image.shape, np.uint8)))
    with pytest.raises(InvalidInputError, match="found no tumour on ct-image: outline it by hand"):
        predict(alone, replace(model, outliners={CT.image: blind}))


@pytest.mark.parametrize(
    ("name", "channels", "sentence"),
    [
        ("ct", ["CT"], r"tumour_segmentation/ct is named after no scan; expected a folder for each network"),
        (
            "t1-mri",
            ["T1", "T2"],
            r"tumour_segmentation/t1-mri takes 2 scans \(T1, T2\); expected one that takes this scan alone",
        ),
    ],
)
def test_a_network_of_another_name_or_for_more_scans_is_refused(
    roots: Roots, name: str, channels: list[str], sentence: str
) -> None:
    folder = roots.model / SEGMENTATION_NETWORKS / name
    plans = plans_of(schemes=["ZScoreNormalization"] * len(channels))
    make_network(folder, plans, dataset_of(["tumour"], channels))
    assert register(roots.model, ALGORITHM) == [
        "tumour_segmentation/ (outlines the tumour where a scan is given without it, one network for each kind of scan): "
        "3 files listed, 0 before."
    ]
    with pytest.raises(InvalidModelError, match=sentence):
        load_model(roots.model, ALGORITHM)


def test_the_shipped_model_says_where_it_comes_from() -> None:
    info = load_model(FOLDER / "model", ALGORITHM).info
    assert info.training_data.patients == 39
    assert info.training_data.events == 15
    assert not info.training_data.simulated
    assert "10.1088/0031-9155/60/14/5471" in info.training_data.citation
    explained = outputs_of("ct")["lung-metastasis-explanation"]
    assert explained["model"]["validation"]["patients"] == 39
    assert "not a medical device" in explained["disclaimer"]


def test_the_chart_is_valid_vega_lite_and_names_every_feature() -> None:
    outputs = outputs_of("ct_t1_pet_clinical")
    chart = outputs["lung-metastasis-contributions"]
    alt.Chart.from_dict(chart, validate=True)
    text = json.dumps(chart)
    for feature in outputs["lung-metastasis-explanation"]["features"]:
        assert feature["label"] in text


def test_the_same_case_gives_the_same_bytes(roots: Roots, tmp_path: Path) -> None:
    again = Roots(roots.input, tmp_path / "again", roots.model)
    again.output.mkdir()
    for where in (roots, again):
        assert run(where).returncode == 0
    for path in roots.output.rglob("*.json"):
        assert path.read_bytes() == (again.output / path.relative_to(roots.output)).read_bytes()


def test_what_lies_outside_the_training_cohort_is_said_with_its_value(roots: Roots) -> None:
    path = roots.input / "clinical-information.json"
    path.write_text(json.dumps({"margin": "negative"}))
    # No tumour of the cohort takes up the same everywhere.
    edited(roots, "pet-image", lambda scan: sitk.Minimum(sitk.Cast(scan, sitk.sitkFloat32), 0.9))
    assert run(roots).returncode == 0
    explanation = json.loads((roots.output / "lung-metastasis-explanation.json").read_text())
    warnings = explanation["warnings"]
    assert any("): outside the range of the training cohort." in reason for reason in explanation["assessable_reasons"])
    assert "Given, but without effect in this model: positive margin." in warnings
    assert any(
        "was not shown to perform better than clinical information, CT volume," in warning for warning in warnings
    )


def run(roots: Roots) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "shared/src"), str(ROOT / "algorithms")])
    return subprocess.run(
        [sys.executable, "-m", "sarcoma_lung_metastasis.inference"],
        env={**os.environ, **roots.environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def image(roots: Roots, slug: str) -> Path:
    return next((roots.input / ALGORITHM.input(slug).relative_path).iterdir())


def edited(roots: Roots, slug: str, edit: Callable[[sitk.Image], sitk.Image]) -> None:
    path = image(roots, slug)
    sitk.WriteImage(edit(sitk.ReadImage(str(path))), str(path))


def filled(value: float) -> Callable[[sitk.Image], sitk.Image]:
    def fill(scan: sitk.Image) -> sitk.Image:
        result = sitk.Image(scan.GetSize(), sitk.sitkFloat32) + value
        result.CopyInformation(scan)
        return result

    return fill


def in_air_of(roots: Roots, slug: str) -> Callable[[sitk.Image], sitk.Image]:
    scan = sitk.ReadImage(str(image(roots, slug)))
    return lambda mask: sitk.Cast(scan < -900, mask.GetPixelID())


def moved(scan: sitk.Image) -> sitk.Image:
    scan.SetOrigin([value + 5 for value in scan.GetOrigin()])
    return scan


def with_nan(scan: sitk.Image) -> sitk.Image:
    scan = sitk.Cast(scan, sitk.sitkFloat32)
    scan[0, 0, 0] = float("nan")
    return scan


def without_input(roots: Roots, *slugs: str) -> None:
    path = roots.input / "inputs.json"
    items = [item for item in json.loads(path.read_text()) if item["socket"]["slug"] not in slugs]
    path.write_text(json.dumps(items))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def clinical(**changes: object) -> Callable[[Roots], object]:
    return lambda roots: (roots.input / "clinical-information.json").write_text(json.dumps(changes))


def model_of(name: str) -> Callable[[Roots], object]:
    def rename(roots: Roots) -> None:
        path = roots.model / "model.json"
        path.write_text(path.read_text().replace('"algorithm": "sarcoma_lung_metastasis"', f'"algorithm": "{name}"'))

    return rename


BAD_INPUTS: dict[str, tuple[Callable[[Roots], object], str]] = {
    "no inputs.json": (lambda roots: (roots.input / "inputs.json").unlink(), "inputs.json is missing in "),
    "broken JSON": (lambda roots: cut(roots.input / "inputs.json"), "inputs.json is not valid JSON ("),
    "clinical information alone": (
        lambda roots: without_input(
            roots,
            *("ct-image", "ct-tumour-segmentation", "t1-mri", "t1-mri-tumour-segmentation"),
            *("pet-image", "pet-tumour-segmentation"),
        ),
        "The inputs clinical-information are not a combination that sarcoma_lung_metastasis accepts; "
        "the nearest of its 484 combinations also needs ct-image.",
    ),
    "a scan without its segmentation": (
        lambda roots: without_input(roots, "t1-mri-tumour-segmentation"),
        "t1-mri was given without t1-mri-tumour-segmentation, and the model folder holds no network that could outline",
    ),
    "no image": (lambda roots: image(roots, "ct-image").unlink(), "ct-image: found no image in "),
    "two images": (
        lambda roots: shutil.copy(image(roots, "ct-image"), image(roots, "ct-image").with_name("b.mha")),
        "ct-image: found 2 files (",
    ),
    "an unreadable image": (
        lambda roots: image(roots, "ct-image").write_text("hello"),
        "ct_t1_pet_clinical.mha is in an unknown format, or damaged at its beginning; expected NIfTI",
    ),
    "a truncated image": (
        lambda roots: cut(image(roots, "t1-mri")),
        "t1-mri: ct_t1_pet_clinical.mha is cut off: its header promises 137,200 bytes of voxels",
    ),
    "an empty mask": (
        lambda roots: edited(roots, "ct-tumour-segmentation", lambda mask: mask * 0),
        "ct-tumour-segmentation is empty: not one of its voxels is labelled; draw the structure first.",
    ),
    "a mask of another geometry": (
        lambda roots: edited(roots, "ct-tumour-segmentation", moved),
        "ct_t1_pet_clinical.mha does not lie on the grid of ct-image (origin (",
    ),
    "a mask with another label": (
        lambda roots: edited(roots, "ct-tumour-segmentation", lambda mask: mask * 7),
        "ct-tumour-segmentation holds the label 7; expected only 0 and 1 (tumour).",
    ),
    "a mask in air": (
        lambda roots: edited(roots, "ct-tumour-segmentation", in_air_of(roots, "ct-image")),
        "ct-tumour-segmentation is no tumour: 0% of its voxels lie between -200 and 300 HU, where soft tissue is",
    ),
    "a CT that is all air": (
        lambda roots: edited(roots, "ct-image", filled(-1000)),
        "ct-image is not in HU: its values run from -1000 to -1000",
    ),
    "a mask without signal": (
        lambda roots: edited(roots, "t1-mri", filled(0)),
        "t1-mri-tumour-segmentation covers no tumour: there is no signal inside it",
    ),
    "a PET in Bq/ml": (
        lambda roots: edited(roots, "pet-image", lambda scan: scan * 5000),
        "pet-image is not in SUV by body weight: tissue has a median of 3.01e+03",
    ),
    "a PET without uptake": (
        lambda roots: edited(roots, "pet-image", filled(0)),
        "pet-image holds no uptake (its highest value is 0); expected SUV above 0.",
    ),
    "a 4D image": (
        lambda roots: edited(roots, "ct-image", lambda scan: sitk.JoinSeries([scan, scan])),
        "has 4 dimensions (",
    ),
    "NaN voxels": (
        lambda roots: edited(roots, "ct-image", with_nan),
        "holds 1 voxel that is not a finite number; expected none.",
    ),
    "an impossible age": (clinical(age_years=-3), "clinical-information.age_years: -3 is less than the minimum of 0."),
    "an unknown grade": (clinical(grade="G9"), "clinical-information.grade: 'G9' is not one of"),
    "an unknown item": (clinical(shoe_size=44), "('shoe_size' was unexpected)."),
    "no model": (lambda roots: (roots.model / "model.json").unlink(), "There is no model in "),
    "truncated weights": (
        lambda roots: cut(roots.model / "weights.json"),
        "is damaged: weights.json is not the file that was written (its SHA-256 differs).",
    ),
    "a truncated model.json": (
        lambda roots: cut(roots.model / "model.json"),
        "is damaged: model.json is not valid JSON",
    ),
    "a foreign model": (
        model_of("liver_growth_pattern"),
        "was trained for liver_growth_pattern; this is sarcoma_lung_",
    ),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_case_ends_with_one_sentence_and_nothing_half_written(
    roots: Roots, name: str, refused: Callable[..., str]
) -> None:
    spoil, sentence = BAD_INPUTS[name]
    spoil(roots)
    assert sentence in refused(FOLDER, roots, load_model, predict)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 kB, too small for the outputs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_output_folder_is_told_and_left_empty(roots: Roots, tiny_disk: Path) -> None:
    done = run(Roots(roots.input, tiny_disk, roots.model))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"The output folder {tiny_disk} cannot be written: the disk is full."
    assert list(tiny_disk.iterdir()) == []


def test_a_read_only_output_folder_is_told(roots: Roots, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    done = run(Roots(roots.input, tiny_disk, roots.model))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"The output folder {tiny_disk} cannot be written: it is read-only."
