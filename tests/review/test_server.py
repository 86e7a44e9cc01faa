"""The server: what the pages ask for, and what others may not."""

from __future__ import annotations

import gzip
import io
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from starlette.testclient import TestClient

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Image, read_image, to_sitk
from preop.review.app import MAX_IMPORT_BYTES, MAX_JSON_BYTES, make_app
from preop.review.review import Review
from preop.review.security import COOKIE, new_token
from preop.review.start import Options, open_records, open_review
from preop.review.volumes import index_in_scan, mask_bytes
from preop.segmentation import load_network
from preop.study import register
from tests.review.conftest import (
    CT,
    CT_MASK,
    HOST,
    OBLIQUE_GRID,
    ORIGIN,
    PET,
    PET_MASK,
    PROPOSAL,
    STRAIGHT_GRID,
    STUDIES,
    Browser,
    ball,
    lay_out_proposal,
    lay_out_results,
)
from tests.segmentation.networks import dataset_of, make_network, plans_of

ONE, TWO, THREE = 1, 2, 3
MASK = f"patients/{ONE}/masks/{CT_MASK}"


def test_the_work_list_names_all_patients(browser: Browser) -> None:
    rows = browser.get("patients").json()
    assert [(row["name"], row["centre"], row["state"]) for row in rows] == [
        ("one", "A", "to do"),
        ("two", "A", "to do"),
        ("three", "B", "to do"),
    ]


def test_a_patient_has_its_scans_and_masks(browser: Browser) -> None:
    patient = browser.get(f"patients/{TWO}").json()
    assert sorted(patient["scans"]) == [CT, PET]
    assert patient["masks"] == {}
    assert browser.get(f"patients/{TWO}/masks/{CT_MASK}").status_code == 204


def test_what_is_drawn_is_what_lies_in_the_file(browser: Browser, cohort: Path) -> None:
    drawn = ball(OBLIQUE_GRID, 5)
    answer = browser.save(ONE, CT_MASK, mask_bytes(drawn), 0)
    assert answer.status_code == 200
    assert answer.json()["masks"] == {CT_MASK: 1}
    assert np.array_equal(read_image(cohort.parent / "one" / "mask.r1.nii.gz").voxels, drawn.voxels)
    assert browser.get(MASK).content == mask_bytes(drawn)
    assert browser.get(f"{MASK}?number=0").content == mask_bytes(ball(OBLIQUE_GRID))


def test_what_is_drawn_is_measured_before_it_is_saved(browser: Browser) -> None:
    # 20 x 6 voxels of 1 mm, 4 slices of 3 mm; a second part touches the box and is not measured.
    box = np.zeros((4, 12, 24), np.uint8)
    box[:, 2:8, 2:22] = 1
    box[3, 10:12, :3] = 1
    answer = measured(browser, box.tobytes(), "24,12,4", "10,5,1").json()
    assert answer["short_axis_mm"] == pytest.approx(6, abs=0.6)
    assert answer["long_axis_mm"] == pytest.approx(np.hypot(20, 6), abs=0.6)
    assert answer["volume_ml"] == pytest.approx(20 * 6 * 4 * 3 / 1000)


@pytest.mark.parametrize(
    ("size", "at", "told"),
    [
        ("24,12,4", "0,0,0", "Nothing is marked"),
        ("24,12,5", "0,0,0", "has 1,152"),
        ("24,12,4", "24,0,0", "does not lie"),
    ],
)
def test_a_box_that_cannot_be_measured_is_refused(size: str, at: str, told: str, browser: Browser) -> None:
    answer = measured(browser, bytes(24 * 12 * 4), size, at)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def measured(browser: Browser, content: bytes, size: str, at: str) -> Any:
    headers = {"content-type": "application/octet-stream", "content-encoding": "gzip"}
    path = f"/api/patients/{TWO}/masks/{CT_MASK}/diameters?size={size}&at={at}"
    return browser.client.post(path, content=gzip.compress(content), headers={**browser.headers, **headers})


def test_a_scan_is_read_once_however_many_ask_for_it(
    review: Review, client: TestClient, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def slowly(path: Path) -> Image:
        read.append(path)
        time.sleep(0.05)
        return read_image(path)

    monkeypatch.setattr("preop.review.review.read_image", slowly)
    assert browser.get(f"patients/{TWO}/prepared").status_code == 204
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: browser.get(f"patients/{TWO}/scans/{CT}"), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert [path.name for path in read].count("ct.nii.gz") == 1


def test_a_saved_mask_is_approved_as_a_correction(browser: Browser) -> None:
    browser.save(ONE, CT_MASK, mask_bytes(ball(OBLIQUE_GRID, 5)), 0)
    answer = browser.post(f"patients/{ONE}/decision", {"verdict": "approve", "revision": 1, "note": "tighter"})
    assert (answer.json()["state"], answer.json()["reviewer"]) == ("corrected", "A. Meyer")


def test_the_second_reviewer_is_told_who_was_first(client: TestClient, cohort: Path) -> None:
    Browser(client, "Dr Früh").save(ONE, CT_MASK, mask_bytes(ball(OBLIQUE_GRID, 5)), 0)
    answer = Browser(client, "Dr Late").save(ONE, CT_MASK, mask_bytes(ball(OBLIQUE_GRID, 6)), 0)
    assert answer.status_code == 409
    assert "Dr Früh changed one" in answer.json()["error"]
    assert not (cohort.parent / "one" / "mask.r2.nii.gz").exists()


@pytest.mark.parametrize(("form", "ending"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd")])
def test_a_mask_goes_to_another_program_and_comes_back(
    browser: Browser, tmp_path: Path, form: str, ending: str
) -> None:
    file = browser.get(f"{MASK}/file?format={form}")
    assert f'_0{ending}"' in file.headers["content-disposition"]
    (tmp_path / f"out{ending}").write_bytes(file.content)
    assert read_image(tmp_path / f"out{ending}").geometry.difference(OBLIQUE_GRID) is None
    back = browser.client.post(
        f"/api/{MASK}/import?name=Segmentation{ending}",
        content=file.content,
        headers={**browser.headers, "content-type": "application/octet-stream"},
    )
    assert back.content == mask_bytes(ball(OBLIQUE_GRID))


def test_a_mask_from_a_program_that_turns_axes_lands_on_the_same_voxels(browser: Browser, tmp_path: Path) -> None:
    turned = sitk.DICOMOrient(to_sitk(ball(STRAIGHT_GRID, 7)), "ASR")
    sitk.WriteImage(turned, str(tmp_path / "turned.nrrd"))
    back = browser.client.post(
        f"/api/patients/{TWO}/masks/{CT_MASK}/import?name=turned.nrrd",
        content=(tmp_path / "turned.nrrd").read_bytes(),
        headers={**browser.headers, "content-type": "application/octet-stream"},
    )
    assert back.content == mask_bytes(ball(STRAIGHT_GRID, 7))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mask.exe", b"MZ", "cannot be read from 'mask.exe'"),
        ("../../etc/passwd", b"", "cannot be read from 'passwd'"),
        ("mask.nrrd", b"not one", "import.nrrd"),
        ("", b"", "cannot be read from ''"),
    ],
)
def test_what_is_no_mask_is_not_imported(browser: Browser, name: str, content: bytes, said: str) -> None:
    headers = {**browser.headers, "content-type": "application/octet-stream"}
    answer = browser.client.post(f"/api/{MASK}/import", params={"name": name}, content=content, headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_click_proposes_the_structure(browser: Browser) -> None:
    middle = [size // 2 for size in reversed(STRAIGHT_GRID.shape)]
    body = {"method": "region-growing", "inside": [middle]}
    found = np.frombuffer(browser.post(f"patients/{TWO}/masks/{CT_MASK}/prompt", body).content, np.uint8)
    truth = np.frombuffer(mask_bytes(ball(STRAIGHT_GRID)), np.uint8)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


def test_a_reading_is_kept_with_its_reader(browser: Browser) -> None:
    body = {"phase": "before", "answer": "yes", "likelihood": 0.7}
    assert browser.post(f"patients/{ONE}/readings", body).json()["readings"][0]["answer"] == "yes"
    assert browser.post(f"patients/{ONE}/readings", body).status_code == 409


def test_another_sites_page_cannot_post(browser: Browser) -> None:
    body = {"verdict": "approve", "revision": 0}
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{HOST}.evil.example"},
        {**ORIGIN, "sec-fetch-site": "cross-site"},
        {**ORIGIN, "sec-fetch-site": "same-site"},
        {},
    ):
        answer = browser.client.post(
            "/api/patients/1/decision", json=body, headers={"x-preop-reviewer": "A", **headers}
        )
        assert answer.status_code == 403, headers
    assert browser.get("patients/1").json()["state"] == "to do"


def test_another_sites_page_cannot_read_either(client: TestClient) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}):
        assert client.get("/api/patients", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8790", "127.0.0.1:80", "127.0.0.1", ""])
def test_a_name_that_was_pointed_here_is_not_served(client: TestClient, host: str) -> None:
    assert client.get("/api/patients", headers={"host": host}).status_code == 421


def test_a_form_of_another_site_has_the_wrong_type(browser: Browser) -> None:
    answer = browser.client.post(
        "/api/patients/1/decision",
        content=b'{"verdict": "approve", "revision": 0}',
        headers={**browser.headers, "content-type": "text/plain"},
    )
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "path",
    [
        "/api/patients/1/scans/..%2f..%2fcohort.csv",
        "/api/patients/1/scans/one%2fct.nii.gz",
        "/api/patients/../../cohort.csv",
        "/api/patients/1/masks/%2e%2e%2fmask.nii.gz",
        "/api/patients/1/masks/mask.nii.gz",
        "/api/patients/1/results/..%2f..%2fsecret?base=ct-image",
        "/api/patients/99",
        "/api/patients/-1",
        "/api/patients/1e3",
        "/../cohort.csv",
        "/%2e%2e/cohort.csv",
        "/cohort.csv",
        "//etc/passwd",
        "/api/jobs/..%2fx",
    ],
)
def test_no_path_outside_is_reached(review: Review, tmp_path: Path, path: str) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("the pages")
    (tmp_path / "cohort.csv").write_text((tmp_path / "cohort.csv").read_text() + "")
    with TestClient(make_app(review, pages, hosts=[HOST]), base_url=f"http://{HOST}") as client:
        assert client.get("/").text == "the pages"
        answer = client.get(path, headers=ORIGIN)
    assert answer.status_code in {400, 404}
    assert "lung_metastasis" not in answer.text


def test_hostile_names_of_patients_stay_text(cohort: Path, options: Options) -> None:
    names = ["../../etc/cron.d/x", "<script>alert(1)</script>", "a'; DROP TABLE patients;--", "con", "ü" * 300]
    rows = [f'"{name}",A,1,one/ct.nii.gz,one/mask.nii.gz,,' for name in names]
    other = cohort.with_name("hostile.csv")
    other.write_text("\n".join([cohort.read_text().splitlines()[0], *rows]) + "\n")
    masks = cohort.parent / "masks"
    records = open_records(other, STUDIES, replace(options, masks=masks))
    for standing in records.all():
        records.save_mask(standing.id, CT_MASK, ball(OBLIQUE_GRID, 5), reviewer="A", revision=0)
    assert [standing.name for standing in records.all()] == names
    saved = [standing.current(CT_MASK) for standing in records.all()]
    assert all(mask is not None and mask.path.parent.parent == masks for mask in saved)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"content": gzip.compress(bytes(10))}, 400, "has 10 voxels; expected 18,720"),
        ({"content": gzip.compress(bytes(18721))}, 400, "larger than its scan"),
        ({"content": gzip.compress(bytes(10**7))}, 400, "larger than its scan"),
        ({"content": b"x" * 30000}, 413, "too large"),
        ({"content": b"no gzip"}, 400, "not packed by gzip"),
        ({"content": gzip.compress(b"\x02" * 18720)}, 400, "the label 2; expected 1 tumour"),
        ({"content-type": "text/plain"}, 415, "Expected application/octet-stream"),
        ({"content-type": "multipart/form-data; boundary=x"}, 415, "Expected application/octet-stream"),
        ({"content-encoding": "identity"}, 415, "packed by gzip"),
        ({"if-match": "*"}, 428, "Which revision"),
        ({"if-match": None}, 428, "Which revision"),
        ({"x-preop-reviewer": ""}, 400, "Who is reviewing"),
        ({"x-preop-reviewer": "A%0aB"}, 400, "Who is reviewing"),
    ],
)
def test_a_mask_of_wrong_size_or_type_is_refused_and_nothing_is_written(
    browser: Browser, cohort: Path, change: dict[str, str | bytes | None], status: int, said: str
) -> None:
    parts: dict[str, str | bytes | None] = {
        **browser.headers,
        "content": gzip.compress(bytes(18720)),
        "content-type": "application/octet-stream",
        "content-encoding": "gzip",
        "if-match": "0",
        **change,
    }
    content = parts.pop("content")
    headers = {name: value for name, value in parts.items() if isinstance(value, str)}
    answer = browser.client.put(f"/api/{MASK}", content=content, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert sorted(path.name for path in (cohort.parent / "one").iterdir()) == ["ct.nii.gz", "mask.nii.gz"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"verdict": "approve"}',
        b'{"verdict": "maybe", "revision": 0}',
        b'{"verdict": "approve", "revision": "0"}',
    ],
)
def test_a_body_that_is_not_right_is_refused(browser: Browser, body: bytes) -> None:
    headers = {**browser.headers, "content-type": "application/json"}
    answer = browser.client.post("/api/patients/1/decision", content=body, headers=headers)
    assert answer.status_code == 400
    assert "is not right" in answer.json()["error"]


def test_a_body_without_end_is_cut_off(browser: Browser) -> None:
    headers = {**browser.headers, "content-type": "application/json"}
    answer = browser.client.post("/api/patients/1/decision", content=b" " * (MAX_JSON_BYTES + 1), headers=headers)
    assert answer.status_code == 413
    assert MAX_IMPORT_BYTES > 10 * MAX_JSON_BYTES


def test_every_answer_says_what_a_page_may_load(client: TestClient) -> None:
    for path in ("/api/patients", "/api/patients/99", "/nothing"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["connect-src"] == policy["script-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.fixture
def shared(review: Review) -> TestClient:
    app = make_app(review, None, hosts=[HOST], token="right")  # noqa: S106
    return TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)


def test_without_the_token_nothing_is_served(shared: TestClient) -> None:
    for path in ("/", "/api/patients", "/?token=wrong", "/api/patients?token=", "/?token=righ"):
        assert shared.get(path).status_code == 401
    assert shared.get("/api/patients", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 401
    assert shared.put(f"/api/{MASK}", headers=ORIGIN).status_code == 401


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(shared: TestClient) -> None:
    answer = shared.get("/?token=right")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "right" not in answer.text
    assert shared.get("/api/patients").status_code == 200


def test_tokens_are_long_and_different() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32


def test_two_hundred_requests_at_once_are_all_answered(browser: Browser) -> None:
    paths = [f"patients/{ONE}", "patients", MASK, f"patients/{TWO}/scans/{CT}", f"patients/{ONE}/history"]

    def ask(number: int) -> int:
        if number % 10 == 0:
            body = {"verdict": "approve", "revision": 0}
            return int(browser.post(f"patients/{THREE}/decision", body).status_code)
        return int(browser.get(paths[number % len(paths)]).status_code)

    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(ask, range(200)))
    decisions = sorted(found[::10])
    assert decisions == [200] + [409] * 19
    assert {code for number, code in enumerate(found) if number % 10} == {200}


def test_a_mask_is_served_packed(browser: Browser) -> None:
    raw = browser.client.get(f"/api/{MASK}", headers=browser.headers)
    assert raw.headers["content-encoding"] == "gzip"
    assert int(raw.headers["content-length"]) < len(raw.content) / 10
    assert io.BytesIO(raw.content).getbuffer().nbytes == np.prod(OBLIQUE_GRID.shape)


@pytest.fixture
def with_results(cohort: Path, options: Options) -> Iterator[Browser]:
    """A browser of a review with results: a network outlined a tumour on the CT of the second patient."""
    results = lay_out_results(cohort.parent / "validation", {"one": 0.2, "two": 0.9})
    lay_out_proposal(results, "two", ball(STRAIGHT_GRID, 6))
    lay_out_proposal(results, "one", ball(STRAIGHT_GRID, 6))  # of another scan
    review = open_review(cohort, STUDIES, replace(options, results=results))
    with TestClient(make_app(review, None, hosts=[HOST]), base_url=f"http://{HOST}") as client:
        yield Browser(client, "A. Meyer")
    review.records.engine.dispose()


def test_what_a_network_outlined_is_a_mask_to_start_from_and_nothing_is_approved_by_that(with_results: Browser) -> None:
    layers = with_results.get(f"patients/{TWO}").json()["result"]["layers"]
    assert layers == [{"slug": PROPOSAL, "of": CT, "labels": True}]
    found = with_results.get(f"patients/{TWO}/masks/{CT_MASK}/results/{PROPOSAL}")
    assert found.content == mask_bytes(ball(STRAIGHT_GRID, 6))
    patient = with_results.get(f"patients/{TWO}").json()
    assert (patient["state"], patient["masks"], patient["revision"]) == ("to do", {}, 0)


@pytest.mark.parametrize(
    ("patient", "mask", "layer", "told"),
    [
        (TWO, PET_MASK, PROPOSAL, f"The result {PROPOSAL} outlines nothing on pet-image"),
        (TWO, CT_MASK, "ct-tumour", "There is no result ct-tumour of two"),
        (ONE, CT_MASK, PROPOSAL, "does not lie on the grid of ct-image"),
    ],
)
def test_a_result_that_is_no_outline_on_the_scan_is_refused(
    with_results: Browser, patient: int, mask: str, layer: str, told: str
) -> None:
    answer = with_results.get(f"patients/{patient}/masks/{mask}/results/{layer}")
    assert answer.status_code == 400
    assert told in answer.json()["error"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped model with a network that outlines tumours on CT."""
    sarcoma = next(study for study in STUDIES if study.name == "sarcoma_lung_metastasis")
    folder = Path(shutil.copytree(sarcoma.folder / "model", tmp_path / "model"))
    make_network(folder / "tumour_segmentation" / CT, plans_of(spacing=(3.0, 1.5, 1.5)), dataset_of(["tumour"]))
    register(folder, sarcoma)
    return folder


def test_the_networks_of_a_model_propose_on_their_own_scan_alone(cohort: Path, options: Options, model: Path) -> None:
    review = open_review(cohort, STUDIES, replace(options, model=model))
    name = f"tumour_segmentation/{CT}"
    with TestClient(make_app(review, None, hosts=[HOST]), base_url=f"http://{HOST}") as client:
        browser = Browser(client, "A. Meyer")
        assert browser.get("review").json()["networks"] == [{"name": name, "of": CT}]
        refused = browser.post(f"patients/{TWO}/masks/{PET_MASK}/network", {"network": name})
        assert refused.status_code == 400
        assert refused.json()["error"] == f"The network {name} was made for {CT}; this mask is drawn on {PET}."
        job = browser.post(f"patients/{TWO}/masks/{CT_MASK}/network", {"network": name}).json()["job"]
        while not (state := browser.get(f"jobs/{job}").json())["finished"]:
            time.sleep(0.05)
        assert state["error"] == ""
        drawn = load_network(model / name).segment(read_image(cohort.parent / "two" / "ct.nii.gz"), mirroring=False)
        assert browser.get(f"jobs/{job}/mask").content == mask_bytes(drawn.with_voxels(drawn.voxels.astype(np.uint8)))
        assert browser.get(f"patients/{TWO}").json()["state"] == "to do"
    review.records.engine.dispose()


def test_a_network_of_the_model_proposes_what_it_finds_in_a_box(cohort: Path, options: Options, model: Path) -> None:
    review = open_review(cohort, STUDIES, replace(options, model=model))
    name = f"network tumour_segmentation/{CT}"
    box = ((4, 6, 5), (20, 25, 14))  # voxels (x, y, z) of the viewer
    corners = np.sort([index_in_scan(STRAIGHT_GRID, corner) for corner in box], axis=0)
    with TestClient(make_app(review, None, hosts=[HOST]), base_url=f"http://{HOST}") as client:
        browser = Browser(client, "A. Meyer")
        methods = {each["name"]: (each["needs"], each["of"]) for each in browser.get("review").json()["methods"]}
        assert methods == {"region-growing": ("click", None), "random-walker": ("box", None), name: ("box", CT)}
        answer = browser.post(f"patients/{TWO}/masks/{CT_MASK}/prompt", {"method": name, "box": box})
        seen = read_image(cohort.parent / "two" / "ct.nii.gz")  # 30 mm around the box hold all of this scan
        drawn = load_network(model / "tumour_segmentation" / CT).segment(seen, mirroring=False).voxels != 0
        inside = np.zeros_like(drawn)
        inside[tuple(slice(low, high + 1) for low, high in zip(*corners, strict=True))] = True
        assert 0 < (drawn & inside).sum() < drawn.sum()
        assert answer.content == mask_bytes(seen.with_voxels((drawn & inside).astype(np.uint8)))
        refused = browser.post(f"patients/{TWO}/masks/{PET_MASK}/prompt", {"method": name, "box": box})
        assert "was made for ct-image" in refused.json()["error"]
        assert browser.get(f"patients/{TWO}").json()["state"] == "to do"
    review.records.engine.dispose()


def test_a_network_that_cannot_be_run_is_told_to_who_drew_the_box(
    cohort: Path, options: Options, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = open_review(cohort, STUDIES, replace(options, model=model))
    monkeypatch.setattr(review.networks, "_segment", lambda *_: 1 / 0)
    with pytest.raises(InvalidInputError, match="The network failed: division by zero"):
        review.networks.segment(review.networks.names[0], ball(STRAIGHT_GRID))
    review.records.engine.dispose()


def test_a_model_without_networks_or_with_one_that_is_not_listed_is_refused(
    cohort: Path, options: Options, model: Path
) -> None:
    shipped = next(study for study in STUDIES if study.name == "sarcoma_lung_metastasis").folder / "model"
    with pytest.raises(InvalidInputError, match=r"holds no network that draws masks; .* takes tumour_segmentation/"):
        open_review(cohort, STUDIES, replace(options, model=shipped))
    shutil.copytree(model / "tumour_segmentation" / CT, model / "tumour_segmentation" / PET)
    with pytest.raises(InvalidModelError, match=r"which model\.json does not list"):
        open_review(cohort, STUDIES, replace(options, model=model))
