"""Slides that OpenSlide reads: DICOM made here, NDPI and MRXS by real files where they are."""

from pathlib import Path

import numpy as np
import openslide
import pytest

from preop.errors import InvalidInputError
from preop.slides import Slide
from preop.slides.levels import on_white
from tests.slides.dicom_slides import CT, write_dicom_slide
from tests.slides.pictures import gradient

PICTURE = gradient(200, 300)
SLIDE, OTHER, THIRD = "1.2.3.1", "1.2.3.2", "1.2.3.3"


def pyramid(folder: Path, series: str = SLIDE, container: str = "S1", names: str = "level{}.dcm") -> None:
    folder.mkdir(exist_ok=True)
    write_dicom_slide(folder / names.format(0), PICTURE, series=series, container=container)
    write_dicom_slide(folder / names.format(1), PICTURE[::2, ::2], series=series, container=container, um_per_pixel=1.0)


def test_a_dicom_folder_is_a_slide(tmp_path: Path) -> None:
    pyramid(tmp_path)
    with Slide(tmp_path) as slide:
        assert [(level.shape, level.um_per_pixel) for level in slide.levels] == [((200, 300), 0.5), ((100, 150), 1.0)]
        assert np.array_equal(slide.read_region((0, 0), (200, 300), 0.5), PICTURE)


@pytest.mark.parametrize("names", ["IM0000{}", "{}.DCM", "{}"])
def test_endings_do_not_matter(tmp_path: Path, names: str) -> None:
    pyramid(tmp_path, names=names)
    with Slide(tmp_path) as slide:
        assert np.array_equal(slide.read_region((0, 0), (200, 300), 0.5), PICTURE)


def test_the_slide_is_found_among_other_series(tmp_path: Path) -> None:
    for number, (flavour, sop_class) in enumerate({"LABEL": None, "OVERVIEW": None, "AXIAL": CT}.items()):
        options = {} if sop_class is None else {"sop_class": sop_class}
        write_dicom_slide(
            tmp_path / f"{number}.dcm", 255 - PICTURE, series=f"1.2.9.{number}", flavour=flavour, **options
        )
    (tmp_path / "notes.txt").write_text("nothing")
    pyramid(tmp_path, names="z{}.dcm")
    with Slide(tmp_path) as slide:
        assert np.array_equal(slide.read_region((0, 0), (200, 300), 0.5), PICTURE)


def test_two_slides_in_a_folder_are_refused_with_their_names(tmp_path: Path) -> None:
    pyramid(tmp_path, SLIDE, "S21-17 A1", "a{}.dcm")
    pyramid(tmp_path, OTHER, "S21-17 A2", "b{}.dcm")
    with pytest.raises(InvalidInputError, match=r"holds 2 slides: S21-17 A1 \(a0\.dcm\), S21-17 A2 \(b0\.dcm\)"):
        Slide(tmp_path)
    with Slide(tmp_path / "b0.dcm") as slide:
        assert len(slide.levels) == 2


def test_slides_in_folders_beneath_are_found(tmp_path: Path) -> None:
    pyramid(tmp_path / "series1")
    with Slide(tmp_path) as slide:
        assert slide.um_per_pixel == 0.5
    pyramid(tmp_path / "series2", OTHER, "S2")
    pyramid(tmp_path / "series3", THIRD, "S3")
    with pytest.raises(InvalidInputError, match=r"holds 3 slides: S1 .*, S2 .*, S3 "):
        Slide(tmp_path)


def test_a_folder_with_a_label_or_a_scan_alone_is_no_slide(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "label.dcm", PICTURE, series=SLIDE, flavour="LABEL")
    with pytest.raises(InvalidInputError, match="a folder without a DICOM whole-slide image; expected"):
        Slide(tmp_path)
    write_dicom_slide(tmp_path / "ct.dcm", PICTURE, series=OTHER, sop_class=CT)
    with pytest.raises(InvalidInputError, match="whole-slide image, but CT Image Storage; expected"):
        Slide(tmp_path)
    with pytest.raises(InvalidInputError, match=r"ct\.dcm cannot be read as a slide"):
        Slide(tmp_path / "ct.dcm")


def test_a_damaged_dicom_file_is_refused(tmp_path: Path) -> None:
    pyramid(tmp_path)
    path = tmp_path / "level0.dcm"
    content = path.read_bytes()
    for kept in (140, 400, len(content) - 5000):
        path.write_bytes(content[:kept])
        with pytest.raises(InvalidInputError), Slide(tmp_path) as slide:
            slide.read_region((0, 0), (200, 300), 0.5)


def test_a_closed_slide_raises_and_can_be_closed_twice(tmp_path: Path) -> None:
    pyramid(tmp_path)
    slide = Slide(tmp_path)
    slide.close()
    slide.close()
    with pytest.raises(ValueError, match="is closed"):
        slide.overview(1.0)


def test_transparent_colours_lie_before_white() -> None:
    pixels = np.array([[[200, 100, 40, 255], [200, 100, 40, 0], [200, 100, 40, 51]]], np.uint8)
    assert on_white(pixels).tolist() == [[[200, 100, 40], [255, 255, 255], [244, 224, 212]]]
    assert on_white(pixels[:, :1]).tolist() == [[[200, 100, 40]]]


@pytest.mark.parametrize("ending", ["ndpi", "mrxs", "scn", "bif", "svslide", "vms"])
def test_real_slides_of_scanners_are_read_as_openslide_reads_them(data: Path, ending: str) -> None:
    paths = sorted(data.rglob(f"*.{ending}"))
    if not paths:
        pytest.skip(f"there is no real .{ending} in {data}: put one of OpenSlide's test data there")
    with Slide(paths[0]) as slide, openslide.OpenSlide(paths[0]) as other:
        level = len(slide.levels) - 1
        height, width = slide.levels[level].shape
        expected = on_white(np.asarray(other.read_region((0, 0), level, (width, height))))
        um_per_pixel = slide.levels[level].um_per_pixel
        assert float(other.properties["openslide.mpp-x"]) == pytest.approx(slide.um_per_pixel, rel=0.01)
        assert np.array_equal(slide.read_region((0, 0), (height, width), um_per_pixel), expected)
