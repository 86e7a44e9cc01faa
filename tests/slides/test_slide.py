import itertools
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.slides import Slide
from preop.slides.slide import in_micrometres
from preop.slides.tiff import TiffReader
from preop.slides.tiling import shares
from tests.slides.pictures import gradient

CLOSE = 3
"""Grey values by which JPEG changes the gradient at most on average."""

Write = Callable[..., Path]


def differ(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found.astype(float) - expected).mean())


def plain(path: Path, picture: np.ndarray, **options: object) -> Path:
    """A TIFF with a single level."""
    known = {"tile": (128, 128), "photometric": "rgb", "resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, picture, **(known | options))
    return path


def test_levels_are_in_micrometres_though_every_level_repeats_the_resolution_of_the_finest(write: Write) -> None:
    path = write(gradient(700, 1001))
    with tifffile.TiffFile(path) as tiff:
        assert {page.tags["XResolution"].value for page in tiff.pages} == {(50800, 1)}
    with Slide(path) as slide:
        assert [level.shape for level in slide.levels] == [(700, 1001), (350, 500), (175, 250), (87, 125)]
        assert [level.um_per_pixel for level in slide.levels] == [0.5, 1, 2, 4]
        assert slide.size_um == (350, 500.5)


def test_regions_are_where_they_were_asked_for(write: Write) -> None:
    picture = gradient(700, 1000)
    with Slide(write(picture)) as slide:
        assert differ(slide.read_region((50, 100), (300, 400), 0.5), picture[100:400, 200:600]) < CLOSE
        coarse = slide.read_region((0, 0), (87, 125), 4.0)
        assert differ(coarse, picture[:696].reshape(87, 8, 125, 8, 3).mean(axis=(1, 3))) < CLOSE
        between = slide.read_region((10.5, 20.5), (50, 60), 1.5)
        assert differ(between, picture[21:171, 41:221].reshape(50, 3, 60, 3, 3).mean(axis=(1, 3))) < CLOSE


def test_outside_a_slide_it_is_white(write: Write) -> None:
    picture = gradient(300, 300)
    with Slide(write(picture)) as slide:
        region = slide.read_region((-50, 100), (300, 300), 0.5)
        assert (region[:100] == 255).all()
        assert (region[:, 100:] == 255).all()
        assert differ(region[100:, :100], picture[:200, 200:]) < CLOSE


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("um_per_pixel", [0.5, 0.7, 1.0])
def test_tiles_are_the_regions_of_their_places(write: Write, threads: int, um_per_pixel: float) -> None:
    with Slide(write(gradient(700, 900))) as slide:
        tiling = slide.tiling(size_px=100, um_per_pixel=um_per_pixel)
        tiles = list(slide.tiles(tiling, threads=threads))
        assert [tile.number for tile in tiles] == list(range(len(tiling)))
        for tile, corner in zip(tiles, tiling.corners_um, strict=True):
            assert np.array_equal(tile.pixels, slide.read_region(tuple(corner), (100, 100), um_per_pixel))


@given(size=st.integers(60, 300), um_per_pixel=st.sampled_from([0.5, 0.61, 1.0]), threads=st.sampled_from([0, 2]))
@settings(max_examples=15)
def test_every_stored_tile_is_decoded_once(
    tmp_path_factory: pytest.TempPathFactory, size: int, um_per_pixel: float, threads: int
) -> None:
    path = plain(tmp_path_factory.mktemp("once") / "slide.tif", gradient(600, 500))
    decoded: Counter[tuple[int, int, int]] = Counter()
    lock = threading.Lock()
    read = TiffReader.read_tile

    def counted(self: TiffReader, level: int, row: int, column: int, out: object = None) -> object:
        with lock:
            decoded[level, row, column] += 1
        return read(self, level, row, column, out)

    with patch.object(TiffReader, "read_tile", counted), Slide(path) as slide:
        for _ in slide.tiles(slide.tiling(size_px=size, um_per_pixel=um_per_pixel), threads=threads):
            pass
    assert set(decoded.values()) == {1}
    assert len(decoded) == 5 * 4


def test_stored_tiles_are_read_in_the_order_of_the_file(write: Write) -> None:
    with Slide(write(gradient(300, 600))) as slide:
        reader = slide._reader
        reader._pages[0].offsets = reader._pages[0].offsets[::-1].copy()
        assert [reader.in_storage_order(0, np.array([[0, 0], [0, 1], [2, 4]])).tolist()] == [[[2, 4], [0, 1], [0, 0]]]


def test_only_two_rows_of_tiles_are_kept(write: Write) -> None:
    with Slide(write(gradient(2000, 300))) as slide:
        alive: list[weakref.ref[np.ndarray]] = []
        read = slide._reader.read_tile

        def watched(*place: object) -> np.ndarray:
            tile = read(*place[:3])
            alive.append(weakref.ref(tile))
            return tile

        with patch.object(slide._reader, "read_tile", watched):
            most = max(
                sum(tile() is not None for tile in alive) for _ in slide.tiles(slide.tiling(size_px=128), threads=0)
            )
    assert len(alive) == 16 * 3
    assert most <= 2 * 3


def test_tiles_lie_where_the_mask_is(write: Write) -> None:
    mask = Image(np.zeros((10, 10), bool), Geometry.axis_aligned((10, 10), (0.05, 0.05)))
    mask.voxels[2:4, 4:9] = True  # 100 to 200 um down, 200 to 450 um across
    with Slide(write(gradient(1000, 1000))) as slide:
        tiling = slide.tiling(size_px=200, um_per_pixel=0.5, within=mask)
        assert tiling.corners_um.tolist() == [[100, 200], [100, 300], [100, 400]]
        fewer = slide.tiling(size_px=200, um_per_pixel=0.5, within=mask, min_share=0.51)
        assert fewer.corners_um.tolist() == [[100, 200], [100, 300]]
        heat = in_micrometres(tiling, np.array([1.0, 2.0, 3.0]), slide.size_um)
        fine = in_micrometres(tiling, np.array([1.0, 2.0, 3.0]), slide.size_um, pixels=4)
    assert heat.voxels.tolist() == [[0] * 5, [0, 0, 1, 2, 3], *[[0] * 5] * 3]
    assert heat.spacing_mm == (0.1, 0.1)
    assert np.array_equal(fine.voxels[1::4, 2::4], heat.voxels)
    assert fine.spacing_mm == (0.025, 0.025)
    assert tiling.only(np.array([2, 0])).corners_um.tolist() == [[100, 200], [100, 400]]


@given(st.integers(1, 40), st.integers(1, 40), st.floats(15, 300), st.integers(0, 2**31))
def test_shares_add_up_to_the_area_of_the_mask(height: int, width: int, size_um: float, seed: int) -> None:
    voxels = np.random.default_rng(seed).random((height, width)) < 0.5
    mask = Image(voxels, Geometry.axis_aligned(voxels.shape, (0.02, 0.03)))
    grid = (int(height * 20 / size_um) + 1, int(width * 30 / size_um) + 1)
    found = shares(mask, size_um, grid)
    assert found.min() > -1e-9
    assert found.max() < 1 + 1e-9
    assert found.sum() * size_um**2 == pytest.approx(voxels.sum() * 20 * 30, abs=1e-6)


def test_a_slide_of_200_000_tiles_is_laid_out_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, side in enumerate((114_688, 7168)):
            empty = (b"" for _ in range((side // 256) ** 2))
            tiff.write(
                empty,
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(256, 256),
                photometric="ycbcr",
                compression="jpeg",
                resolution=(20000, 20000),
                resolutionunit="CENTIMETER",
                subfiletype=int(number > 0),
                metadata=None,
            )
    with Slide(path) as slide:
        tiling = slide.tiling()
        assert len(tiling) == 448**2 > 200_000
        first = next(iter(slide.tiles(tiling, threads=0)))
    assert (first.pixels == 255).all()


def test_the_real_slide_region_is_read_like_openslide_reads_it(data: Path) -> None:
    import openslide

    path = data / "slides" / "cmu_1_small_region.svs"
    with Slide(path) as slide, openslide.OpenSlide(path) as other:
        assert slide.um_per_pixel == pytest.approx(0.499)
        assert slide.levels[0].shape == (2967, 2220)
        found = slide.read_region((500 * 0.499, 300 * 0.499), (600, 700), 0.499)
        assert np.array_equal(found, np.asarray(other.read_region((300, 500), 0, (700, 600)))[..., :3])


def test_what_is_written_opens_in_openslide_and_in_the_platforms_importer(write: Write, tmp_path: Path) -> None:
    import openslide
    import panimg

    picture = gradient(400, 500)
    path = write(picture, 0.25, name="upload/slide.tif")
    with openslide.OpenSlide(path) as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert slide.level_dimensions == ((500, 400), (250, 200), (125, 100))
        assert differ(np.asarray(slide.read_region((0, 0), 0, (500, 400)))[..., :3], picture) < CLOSE
    (tmp_path / "out").mkdir()
    result = panimg.convert(input_directory=path.parent, output_directory=tmp_path / "out")
    (image,) = result.new_images
    assert (image.width, image.height, image.resolution_levels) == (500, 400, 3)
    assert image.voxel_width_mm == pytest.approx(0.00025)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "jpeg"])
def test_other_compressions_are_read_too(tmp_path: Path, compression: str) -> None:
    picture = gradient(300, 400)
    with Slide(plain(tmp_path / "slide.tif", picture, compression=compression)) as slide:
        assert differ(slide.read_region((0, 0), (300, 400), 0.5), picture) < CLOSE


def test_a_missing_resolution_is_refused(tmp_path: Path) -> None:
    path = plain(tmp_path / "slide.tif", gradient(300, 300), resolutionunit="NONE")
    with pytest.raises(InvalidInputError, match=r"slide\.tif does not state its resolution"):
        Slide(path)


def test_a_resolution_that_nobody_knew_is_refused(tmp_path: Path) -> None:
    path = plain(tmp_path / "slide.tif", gradient(300, 300), resolution=(72, 72), resolutionunit="INCH")
    with pytest.raises(InvalidInputError, match=r"states 352\.8 micrometres per pixel; expected 0\.05 to 20"):
        Slide(path)


def test_a_single_large_level_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    plain(path, np.zeros((8200, 300, 3), np.uint8), compression="deflate")
    with pytest.raises(InvalidInputError, match=r"has a single level of 300 x 8200 pixels; .*--pyramid"):
        Slide(path)


def test_a_slide_that_is_not_tiled_is_refused(tmp_path: Path) -> None:
    path = plain(tmp_path / "slide.tif", gradient(300, 300), tile=None)
    with pytest.raises(InvalidInputError, match="is not tiled"):
        Slide(path)


def test_a_scan_is_no_slide(tmp_path: Path) -> None:
    path = plain(tmp_path / "slide.tif", gradient(300, 300)[..., 0], photometric="minisblack")
    with pytest.raises(
        InvalidInputError, match=r"is grey \(1 channels of 8 bits, MINISBLACK\); expected a stained slide in RGB"
    ):
        Slide(path)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused_when_opened(write: Write, kept: float) -> None:
    path = write(gradient(600, 600))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InvalidInputError, match="damaged or cut off"):
        Slide(path)


def test_a_damaged_tile_is_named(write: Write) -> None:
    path = write(gradient(300, 300))
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[4], tiff.pages[0].databytecounts[4]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\x00" * count
    path.write_bytes(content)
    with Slide(path) as slide, pytest.raises(InvalidInputError, match="the tile in row 2, column 2 of level 1"):
        list(slide.tiles(slide.tiling()))


def test_no_tile_left_is_an_error(write: Write) -> None:
    empty = Image(np.zeros((10, 10), bool), Geometry.axis_aligned((10, 10), (0.05, 0.05)))
    with (
        Slide(write(gradient(300, 300))) as slide,
        pytest.raises(InvalidInputError, match="no tile of 128 micrometres"),
    ):
        slide.tiling(within=empty)


def test_a_slide_that_is_too_coarse_is_refused(write: Write) -> None:
    with (
        Slide(write(gradient(300, 300), 1.0)) as slide,
        pytest.raises(InvalidInputError, match=r"1 micrometres per pixel at best; expected 0\.5"),
    ):
        slide.tiling(um_per_pixel=0.5)


def test_what_is_no_slide_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "slide.mrxs").write_text("nothing")
    for name, message in {
        "missing.tif": "does not exist",
        "empty": "a folder without a DICOM whole-slide image",
        "slide.mrxs": "cannot be read as a slide",
    }.items():
        with pytest.raises(InvalidInputError, match=message):
            Slide(tmp_path / name)


def test_regions_beside_each_other_decode_what_they_share_once(write: Write) -> None:
    with Slide(write(gradient(1000, 1000))) as slide:
        decoded: list[tuple[object, ...]] = []
        read = slide._reader.read_tile

        def watched(*place: object) -> np.ndarray:
            decoded.append(place)
            return read(*place)

        um = slide.um_per_pixel
        whole = slide.read_region((0, 0), (900, 900), um)
        with patch.object(slide._reader, "read_tile", watched):
            for y, x in itertools.product(range(50, 700, 200), repeat=2):
                region = slide.read_region((y * um, x * um), (200, 200), um)
                assert (region == whole[y : y + 200, x : x + 200]).all()
    assert len(decoded) == len(set(decoded))
