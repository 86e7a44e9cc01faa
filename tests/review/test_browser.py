"""From end to end: the built pages in a real browser, without a display or a graphics card, against the real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydicom.dataset import Dataset

from preop.imaging import read_image
from preop.review.pages import BUILT_VARIABLE, find_pages
from tests.dicom.made import edit, write_segmentation, write_structures
from tests.review.conftest import CT_MASK, PROPOSAL, STRAIGHT_GRID, ball, lay_out_proposal, lay_out_results, make_cohort

# One browser and one server for all: they run in one process, in this order.
pytestmark = pytest.mark.slow

CHROMIUM = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
]
SERVER = "import sys; from preop.cli import main; sys.argv = ['preop', *sys.argv[1:]]; sys.exit(main())"
PATIENCE_MS = 60_000


class Server:
    """The command ``preop review`` in a process of its own, which can be killed and started again."""

    def __init__(self, table: Path, pages: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.table = table
        self.address = f"http://127.0.0.1:{self.port}"
        self._pages = pages
        self._options = options
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", SERVER, "review", str(self.table), "--port", str(self.port), *self._options]
        self.process = subprocess.Popen(
            command, env={**os.environ, BUILT_VARIABLE: str(self._pages)}, stdout=subprocess.DEVNULL
        )
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.1)
        pytest.fail("the server did not start")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def pages() -> Path:
    if not shutil.which("npm"):
        pytest.skip("no Node.js is installed, with which the pages are built: apt install nodejs npm")
    return find_pages(print)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(make_cohort(tmp_path_factory.mktemp("cohort")), pages)
    yield server
    server.kill()


def new_page(chromium: Browser, server: Server, reviewer: str) -> Page:
    context = chromium.new_context(viewport={"width": 1000, "height": 640})
    context.add_init_script(f"localStorage.setItem('preop-reviewer', {reviewer!r})")
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    page.goto(server.address)
    return page


@pytest.fixture(scope="module")
def first(chromium: Browser, server: Server) -> Iterator[tuple[Page, list[str], list[str]]]:
    """The page of one reviewer, with what it asked for and what it complained about."""
    page = new_page(chromium, server, "Dr One")
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page, asked, complaints
    page.context.close()


@pytest.fixture
def page(first: tuple[Page, list[str], list[str]]) -> Page:
    return first[0]


def open_patient(page: Page, server: Server, number: int) -> None:
    page.goto(f"{server.address}/#/")
    expect(page.locator(f"tr[data-patient='{number}']")).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{server.address}/#/patient/{number}")
    expect(page.locator(f".frame[data-patient='{number}']")).to_be_visible(timeout=PATIENCE_MS)


def middle_of_the_axial_slice(page: Page) -> tuple[float, float]:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    return box["x"] + 0.32 * box["width"], box["y"] + 0.5 * box["height"]


def settle(page: Page) -> None:
    """Wait until the page has dealt with the pointer, and has drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def click(page: Page, x: float, y: float) -> None:
    page.mouse.click(x, y)
    settle(page)


def voxel_at(page: Page, x: float, y: float) -> tuple[list[int], float]:
    """What the page says lies under a point: voxel and value."""
    page.keyboard.press("v")
    click(page, x, y)
    match = re.fullmatch(r"voxel (\d+), (\d+), (\d+)\s+value (-?[\d.]+)", page.locator(".readout").inner_text())
    assert match is not None
    return [int(match[i]) for i in (1, 2, 3)], float(match[4])


def brush_of_one_voxel(page: Page) -> None:
    page.locator("#size").evaluate("input => { input.value = 0; input.dispatchEvent(new Event('input')); }")
    page.keyboard.press("b")


def save(page: Page) -> None:
    page.keyboard.press("s")
    expect(page.locator("#dirty")).to_have_text("")


def canonical(path: Path) -> NDArray[np.generic]:
    """Voxels (x, y, z) to the right, front and head, by nibabel: an order that this project did not compute."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)  # type: ignore[attr-defined]


def saved(server: Server, patient: str) -> list[Path]:
    return sorted((server.table.parent / patient).glob("*.r*.nii.gz"), key=revision)


def revision(path: Path) -> int:
    """Number of a saved mask, of which the tenth follows the ninth."""
    return int(re.findall(r"\.r(\d+)\.", path.name)[-1])


def latest_of_one(server: Server) -> NDArray[np.generic]:
    """The mask of the first patient as it stands: the last one saved, or the one that came with the scan."""
    return canonical(saved(server, "one")[-1] if saved(server, "one") else server.table.parent / "one" / "mask.nii.gz")


def test_the_work_list_is_filtered_and_walked_by_keys(page: Page, server: Server) -> None:
    page.goto(f"{server.address}/#/")
    expect(page.locator("tr[data-patient]")).to_have_count(3)
    expect(page.get_by_text("being checked")).to_have_count(0)
    expect(page.locator("tr[data-patient='3'] .finding")).to_have_text("empty")
    expect(page.locator("tr[data-patient='2'] .finding")).to_have_text("no mask")
    page.get_by_role("button", name="empty").click()
    expect(page.locator("tr[data-patient]")).to_have_count(1)
    page.get_by_role("button", name="empty").click()
    page.keyboard.press("/")
    page.keyboard.type("two")
    expect(page.locator("tr[data-patient]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".frame[data-patient='2']")).to_be_visible(timeout=PATIENCE_MS)
    page.keyboard.press("Escape")
    page.get_by_label("Find a patient").fill("")
    expect(page.locator("tr[data-patient]")).to_have_count(3)


def test_what_is_drawn_on_an_oblique_scan_is_exactly_what_is_saved(page: Page, server: Server) -> None:
    open_patient(page, server, 1)
    before = latest_of_one(server)
    scan = canonical(server.table.parent / "one" / "ct.nii.gz")
    x, y = middle_of_the_axial_slice(page)
    drawn = before.copy()
    for dx, dy in ((-150, -120), (-160, 90), (130, -100)):  # outside of the ball in the middle
        voxel, value = voxel_at(page, x + dx, y + dy)
        assert scan[tuple(voxel)] == value
        assert not before[tuple(voxel)]
        brush_of_one_voxel(page)
        click(page, x + dx, y + dy)
        drawn[tuple(voxel)] = 1
    save(page)
    found = canonical(saved(server, "one")[-1])
    assert np.argwhere(found != before).tolist() == np.argwhere(drawn != before).tolist()
    assert np.array_equal(found, drawn)


def test_a_stroke_marks_every_voxel_between_and_undo_takes_it_back(page: Page, server: Server) -> None:
    open_patient(page, server, 3)
    x, y = middle_of_the_axial_slice(page)
    start, _ = voxel_at(page, x - 90, y)
    end, _ = voxel_at(page, x + 90, y)
    assert start[1:] == end[1:]
    brush_of_one_voxel(page)
    for row in (0, 60):
        page.mouse.move(x - 90, y + row)
        page.mouse.down()
        page.mouse.move(x + 90, y + row, steps=4)
        page.mouse.up()
        settle(page)
    page.keyboard.press("z")
    save(page)
    found = np.argwhere(read_any(saved_any(server, "three")))
    low, high = sorted((start[0], end[0]))
    assert found.tolist() == [[column, start[1], start[2]] for column in range(low, high + 1)]


def saved_any(server: Server, patient: str) -> Path:
    return max((server.table.parent / patient).glob("*.r*"), key=revision)


def read_any(path: Path) -> NDArray[np.generic]:
    """Voxels (x, y, z) to the right, front and head of a MetaImage, by ITK."""
    import SimpleITK as sitk

    return np.asarray(sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "RAS"))).transpose(2, 1, 0)


def test_a_proposal_is_corrected_and_approved(page: Page, server: Server) -> None:
    open_patient(page, server, 2)
    x, y = middle_of_the_axial_slice(page)
    page.keyboard.press("g")
    click(page, x, y)
    expect(page.locator("#dirty")).to_have_text("not saved")
    voxel, _ = voxel_at(page, x, y)
    page.keyboard.press("e")
    click(page, x, y)
    page.keyboard.press("a")
    expect(page.locator("#state")).to_have_text("drawn")
    found = canonical(saved(server, "two")[-1])
    truth = canonical(server.table.parent / "two" / "ct.nii.gz") > 0
    assert found[tuple(voxel)] == 0
    assert 2 * (found * truth).sum() / (found.sum() + truth.sum()) > 0.85
    expect(page.locator(".history")).to_contain_text("Region growing")


def test_the_second_reviewer_is_told_and_loses_nothing(page: Page, chromium: Browser, server: Server) -> None:
    other = new_page(chromium, server, "Dr Two")
    open_patient(page, server, 1)
    open_patient(other, server, 1)
    x, y = middle_of_the_axial_slice(page)
    voxel, _ = voxel_at(other, x - 170, y - 20)
    for each, dx in ((page, 170), (other, -170)):
        brush_of_one_voxel(each)
        click(each, x + dx, y - 20)
    save(page)
    files = saved(server, "one")
    other.keyboard.press("s")
    expect(other.locator("dialog")).to_contain_text("Dr One changed one")
    assert saved(server, "one") == files
    other.get_by_role("button", name="Show theirs").click()
    expect(other.locator("#dirty")).to_have_text("")
    other.keyboard.press("z")  # mine again, now on top of theirs
    save(other)
    newest = canonical(saved(server, "one")[-1])
    assert len(saved(server, "one")) == len(files) + 1
    assert newest[tuple(voxel)] == 1
    other.context.close()


def test_strokes_outlive_a_server_that_was_killed(page: Page, server: Server) -> None:
    open_patient(page, server, 1)
    x, y = middle_of_the_axial_slice(page)
    voxel, _ = voxel_at(page, x, y - 150)
    files = saved(server, "one")
    latest = latest_of_one(server)
    server.kill()
    brush_of_one_voxel(page)
    click(page, x, y - 150)
    page.keyboard.press("s")
    expect(page.locator("#messages")).to_contain_text("The server does not answer")
    assert saved(server, "one") == files
    server.start()
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.locator("#messages")).to_contain_text("are back")
    expect(page.locator(".frame[data-patient='1']")).to_be_visible()
    save(page)
    found = canonical(saved(server, "one")[-1])
    assert found[tuple(voxel)] == 1
    assert np.argwhere(found != latest).tolist() == ([voxel] if not latest[tuple(voxel)] else [])


def test_a_second_scan_is_laid_over_and_put_beside(page: Page, server: Server) -> None:
    open_patient(page, server, 2)
    page.locator("#lay-pet-image").click()
    expect(page.get_by_label("Opacity of what is laid over")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#beside-pet-image").click()
    expect(page.locator(".second canvas")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#beside-none").click()
    page.locator("#lay-none").click()


def test_the_mask_is_taken_to_another_program(page: Page, server: Server, tmp_path: Path) -> None:
    open_patient(page, server, 1)
    with page.expect_download() as download:
        page.get_by_role("link", name="NRRD").click()
    download.value.save_as(tmp_path / "mask.nrrd")
    assert np.array_equal(read_any(tmp_path / "mask.nrrd"), latest_of_one(server))
    assert CT_MASK in download.value.suggested_filename


def set_size(page: Page, radius_mm: float) -> None:
    page.locator("#size").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", radius_mm
    )


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()
    settle(page)


def open_empty(page: Page, server: Server) -> tuple[float, float]:
    """Open the patient whose mask came empty, with that on the screen, whatever was saved since."""
    open_patient(page, server, 3)
    original = page.get_by_role("button", name="original", exact=True)
    if original.count():
        with page.expect_response(lambda response: response.url.endswith("number=0")):
            original.click()
        settle(page)
        if page.locator("#dirty").inner_text():
            save(page)
    return middle_of_the_axial_slice(page)


def saved_now(page: Page, server: Server) -> NDArray[np.generic]:
    """Save, and read what was saved of the patient whose mask came empty."""
    save(page)
    return read_any(saved_any(server, "three"))


def disc(centre: list[int], radius_mm: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels (x, y, z) of 1 mm in the slice of the centre that are not farther from it."""
    x, y, z = np.indices(shape)
    near = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius_mm**2
    return near & (z == centre[2])


def test_the_threshold_brush_marks_only_values_in_its_range(page: Page, server: Server) -> None:
    x, y = open_empty(page, server)
    scan = canonical(server.table.parent / "three" / "ct.nii.gz")
    centre, _ = voxel_at(page, x + 130, y)  # the edge of the ball runs through the brush
    for name, value in (("Lowest value", "-20"), ("Highest value", "200")):
        page.get_by_label(name).fill(value)
        page.get_by_label(name).blur()
    page.keyboard.press("t")
    set_size(page, 5)
    click(page, x + 130, y)
    found = saved_now(page, server) > 0
    inside = disc(centre, 5, scan.shape)
    assert np.array_equal(found, inside & (scan >= -20) & (scan <= 200))
    assert 0 < found.sum() < inside.sum()


def test_fill_marks_what_an_outline_encloses_and_refuses_an_open_one(page: Page, server: Server) -> None:
    x, y = open_empty(page, server)
    left, right, top, bottom = x - 60, x + 60, y - 80, y + 40
    low, _ = voxel_at(page, left, bottom)
    high, _ = voxel_at(page, right, top)
    brush_of_one_voxel(page)
    drag(page, (left, top), (right, top))
    drag(page, (left, bottom), (right, bottom))
    drag(page, (left, top), (left, bottom))
    page.keyboard.press("f")
    click(page, x, y - 20)
    expect(page.locator("#messages")).to_contain_text("The outline is open")
    brush_of_one_voxel(page)
    drag(page, (right, top), (right, bottom))
    page.keyboard.press("f")
    click(page, x, y - 20)
    found = saved_now(page, server)
    expected = np.zeros(found.shape, bool)
    (first, last), (back, front) = (sorted((low[axis], high[axis])) for axis in (0, 1))
    expected[first : last + 1, back : front + 1, low[2]] = True
    assert min(last - first, front - back) >= 2
    assert np.array_equal(found > 0, expected)


def test_slices_between_two_that_are_drawn_are_interpolated(page: Page, server: Server) -> None:
    x, y = open_empty(page, server)
    centre, _ = voxel_at(page, x, y)
    page.keyboard.press("b")
    set_size(page, 4)
    click(page, x, y)
    for _ in range(4):
        page.keyboard.press("ArrowUp")
        settle(page)
    click(page, x, y)
    page.keyboard.press("i")
    found = saved_now(page, server) > 0
    assert np.flatnonzero(found.any(axis=(0, 1))).tolist() == list(range(centre[2], centre[2] + 5))
    drawn = disc(centre, 4, found.shape)[..., centre[2]]
    for offset in range(5):  # the same disc below and above is the same disc between
        between = found[..., centre[2] + offset]
        assert 2 * (between & drawn).sum() / (between.sum() + drawn.sum()) > 0.9


def test_the_ruler_measures_a_line_and_by_a_click_what_is_drawn(page: Page, server: Server) -> None:
    x, y = open_empty(page, server)
    start, _ = voxel_at(page, x - 100, y)
    end, _ = voxel_at(page, x + 100, y)
    page.keyboard.press("m")
    drag(page, (x - 100, y), (x + 100, y))
    message = page.locator(".message", has_text=re.compile(r"^[\d.]+ mm$")).last
    assert float(message.inner_text().split()[0]) == pytest.approx(abs(end[0] - start[0]), abs=1.1)
    page.keyboard.press("b")
    set_size(page, 5)
    click(page, x, y)
    page.keyboard.press("m")
    click(page, x, y)
    expect(page.locator("#messages")).to_contain_text("Short axis")
    told = page.locator(".message", has_text="Short axis").last.inner_text()
    axes = [float(each) for each in re.findall(r"([\d.]+) mm", told)]
    assert axes == pytest.approx([11, 11], abs=1)  # a disc of 5 mm around the middle of a voxel of 1 mm
    page.keyboard.press("z")


def test_a_box_gives_a_proposal(page: Page, server: Server) -> None:
    x, y = open_empty(page, server)
    page.keyboard.press("x")
    drag(page, (x - 170, y - 170), (x + 170, y + 170))
    expect(page.locator("#dirty")).to_have_text("not saved")
    found = saved_now(page, server) > 0
    truth = canonical(server.table.parent / "three" / "ct.nii.gz") > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.75
    expect(page.locator(".history")).to_contain_text("walker")


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_a_mask_is_taken_from_dicom(kind: str, page: Page, server: Server, tmp_path: Path) -> None:
    open_empty(page, server)
    expected = np.zeros(
        (28, 32, 20), bool
    )  # x to the right, y to the front, z to the head; DICOM runs to the left and back
    expected[20:25, 12:18, 7:9] = True
    x_mm, y_mm = 5.0 + 28 - 1 - np.array([24, 20]), -60.0 + 32 - 1 - np.array([17, 12])
    if kind == "SEG":
        stored = np.flip(expected.transpose(2, 1, 0), (1, 2))
        path = write_segmentation(tmp_path / "seg.dcm", {"tumour": stored})

        def move(dataset: Dataset) -> None:
            (shared,) = dataset.SharedFunctionalGroupsSequence
            shared.PixelMeasuresSequence[0].PixelSpacing = [1.0, 1.0]
            for frame in dataset.PerFrameFunctionalGroupsSequence:
                (place,) = frame.PlanePositionSequence
                place.ImagePositionPatient = [5.0, -60.0, place.ImagePositionPatient[2] - 30 + 12]

        edit(path, move)
    else:
        margin = np.array([-0.4, 0.4])
        (left, right), (front, back) = x_mm + margin, y_mm + margin
        corners = [(left, front), (right, front), (right, back), (left, back)]
        contours = [np.array([(*corner, 12.0 + 3 * z) for corner in corners]) for z in (7, 8)]
        path = write_structures(tmp_path / "rs.dcm", {"tumour": contours})
    page.locator("input[type=file]").set_input_files(path)
    expect(page.locator("#dirty")).to_have_text("not saved")
    assert np.argwhere(saved_now(page, server)).tolist() == np.argwhere(expected).tolist()
    expect(page.locator(".history")).to_contain_text(path.name)


def test_a_reader_answers_before_and_after_the_result(chromium: Browser, pages: Path, tmp_path: Path) -> None:
    results = lay_out_results(tmp_path / "validation", {"one": 0.9})
    study = Server(make_cohort(tmp_path), pages, "--results", str(results), "--reader-study")
    try:
        page = new_page(chromium, study, "Dr Three")
        open_patient(page, study, 1)
        side = page.locator(".side")
        expect(side).to_contain_text("Shown after your own reading.")
        expect(side).not_to_contain_text("0.90")
        page.get_by_label("Your answer").select_option("no")
        page.get_by_label("Likelihood in per cent").fill("30")
        page.locator("#read").click()
        expect(side).to_contain_text("Before the result: no (30 %)")
        expect(side).to_contain_text("0.90")
        page.get_by_label("Your answer").select_option("yes")
        page.locator("#read").click()
        expect(side).to_contain_text("After the result: yes")
        expect(page.locator("#read")).to_have_count(0)
        page.context.close()
        other = new_page(chromium, study, "Dr Four")
        open_patient(other, study, 1)
        expect(other.locator(".side")).to_contain_text("Shown after your own reading.")
        other.context.close()
    finally:
        study.kill()


def test_what_a_network_outlined_is_a_start_that_a_person_corrects_and_approves(
    chromium: Browser, pages: Path, tmp_path: Path
) -> None:
    results = lay_out_results(tmp_path / "validation", {"two": 0.9})
    lay_out_proposal(results, "two", ball(STRAIGHT_GRID, 6))
    study = Server(make_cohort(tmp_path), pages, "--results", str(results))
    try:
        page = new_page(chromium, study, "Dr Five")
        open_patient(page, study, 2)
        page.locator(f"#lay-{PROPOSAL}").click()
        page.locator("#start-from-result").click()
        expect(page.locator("#dirty")).to_have_text("not saved")
        # A second time it would replace a drawing: that is asked first.
        page.locator("#start-from-result").click()
        page.get_by_role("button", name="Keep what is drawn").click()
        page.keyboard.press("s")
        expect(page.locator("#dirty")).to_have_text("")
        saved = read_image(next((tmp_path / "two").glob("*.r1.nii.gz")))
        assert np.array_equal(saved.voxels, ball(STRAIGHT_GRID, 6).voxels)
        expect(page.locator(".history")).to_contain_text(f"result {PROPOSAL}")
        page.keyboard.press("a")
        expect(page.locator("#state")).to_have_text("drawn")
        page.context.close()
    finally:
        study.kill()


def test_no_other_address_was_asked_and_no_page_complained(
    first: tuple[Page, list[str], list[str]], server: Server
) -> None:
    _, asked, complaints = first
    assert asked
    assert [url for url in asked if not url.startswith((server.address, "data:", "blob:"))] == []
    # While the server was killed, the browser complained that it did not answer.
    assert [each for each in complaints if "ERR_CONNECTION_REFUSED" not in each] == []
