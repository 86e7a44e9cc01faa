"""How files are laid out, where they state their resolution, and what happens to damaged ones."""

import itertools
import multiprocessing
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, read_tiff, write_tiff
from preop.slides import Slide
from preop.slides.levels import Pixels
from tests.slides.pictures import gradient

Write = Callable[..., Path]
SHAPE = (600, 800)
TILED = {"tile": (128, 128), "photometric": "rgb", "metadata": None}
HALF_UM = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return gradient(*SHAPE)


def stored(path: Path, picture: Pixels, **options: object) -> Path:
    tifffile.imwrite(path, picture, **(TILED | HALF_UM | options))
    return path


def um_of(path: Path, given: float | None = None) -> float:
    with Slide(path, um_per_pixel=given) as slide:
        return slide.um_per_pixel


def ome(sizes: str, images: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'{images}<Image ID="Image:1"><Pixels ID="Pixels:1" SizeX="{SHAPE[1]}" SizeY="{SHAPE[0]}" SizeC="3" SizeT="1" '
        f'SizeZ="1" Type="uint8" DimensionOrder="XYCZT" {sizes}/></Image></OME>'
    )


NO_TAGS = {"resolution": (1, 1), "resolutionunit": "NONE"}


# Layouts


def test_levels_that_lie_beneath_the_first_page_are_found(tmp_path: Path, picture: Pixels) -> None:
    path = tmp_path / "s.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, subifds=2, **TILED, **HALF_UM)
        tiff.write(picture[::2, ::2], subfiletype=1, **TILED)
        tiff.write(picture[::4, ::4], subfiletype=1, **TILED)
        tiff.write(gradient(150, 200), **TILED)  # a macro image of the same shape
    with Slide(path) as slide:
        assert [(level.shape, level.um_per_pixel) for level in slide.levels] == [
            ((600, 800), 0.5),
            ((300, 400), 1.0),
            ((150, 200), 2.0),
        ]
        assert np.array_equal(slide.read_region((0, 0), (150, 200), 2.0), picture[::4, ::4])


def test_the_largest_page_is_the_slide_though_a_thumbnail_comes_first(tmp_path: Path, picture: Pixels) -> None:
    path = tmp_path / "s.tif"
    for tile in (None, (128, 128)):
        with tifffile.TiffWriter(path) as tiff:
            tiff.write(gradient(150, 180), **(TILED | {"tile": tile}))
            tiff.write(picture, **TILED, **HALF_UM)
            tiff.write(picture[::2, ::2], subfiletype=1, **TILED)
        with Slide(path) as slide:
            assert [level.shape for level in slide.levels] == [(600, 800), (300, 400)]


def test_macro_images_of_the_same_shape_are_no_levels(tmp_path: Path, picture: Pixels) -> None:
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, **TILED, **HALF_UM)
        tiff.write(picture[::2, ::2], subfiletype=8, **TILED)
        tiff.write(picture[::4, ::4], subfiletype=9, **TILED)  # Aperio's macro image
    with Slide(path) as slide:
        assert [level.shape for level in slide.levels] == [SHAPE]


@pytest.mark.parametrize("planes", [2, 5])
def test_focal_planes_are_refused(tmp_path: Path, picture: Pixels, planes: int) -> None:
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(planes):
            tiff.write(picture, **TILED, **HALF_UM)
    with pytest.raises(InvalidInputError, match=rf"s\.tif holds {planes} images of 800 x 600 pixels"):
        Slide(path)


def test_two_slides_in_a_file_are_refused(tmp_path: Path, picture: Pixels) -> None:
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as tiff:
        for side in (600, 500):
            tiff.write(picture[:side], subifds=1, **TILED, **HALF_UM)
            tiff.write(picture[:side:2, ::2], subfiletype=1, **TILED)
    with pytest.raises(InvalidInputError, match="holds 2 slides, of 800 x 600 and 800 x 500 pixels"):
        Slide(path)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}])
@pytest.mark.parametrize("name", ["s.TIF", "s.btf", "s.qptiff"])
def test_byte_order_large_files_and_endings_do_not_matter(
    tmp_path: Path, picture: Pixels, options: dict[str, object], name: str
) -> None:
    with Slide(stored(tmp_path / name, picture, **options)) as slide:
        assert np.array_equal(slide.read_region((0, 0), SHAPE, 0.5), picture)


# Resolution


@pytest.mark.parametrize(
    ("sizes", "um"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.25"', 0.25),  # the unit's default is the micrometre
        ('PhysicalSizeX="0.25" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25" PhysicalSizeYUnit="µm"', 0.25),
        ('PhysicalSizeX="0.25" PhysicalSizeXUnit="&#956;m" PhysicalSizeY="0.25" PhysicalSizeYUnit="&#181;m"', 0.25),
        ('PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.00025" PhysicalSizeYUnit="mm"', 0.25),
        ('PhysicalSizeX="0,25" PhysicalSizeY="0,25"', 0.25),
    ],
)
def test_resolution_in_ome_xml_is_read(tmp_path: Path, picture: Pixels, sizes: str, um: float) -> None:
    label = '<Image ID="Image:0"><Pixels SizeX="80" SizeY="60" PhysicalSizeX="9" PhysicalSizeY="9"/></Image>'
    path = stored(tmp_path / "s.ome.tif", picture, description=ome(sizes, label).encode(), **NO_TAGS)
    assert um_of(path) == pytest.approx(um)


@pytest.mark.parametrize(
    "sizes", ["", 'PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1" PhysicalSizeYUnit="pixel"']
)
def test_ome_xml_without_micrometres_states_nothing(tmp_path: Path, picture: Pixels, sizes: str) -> None:
    path = stored(tmp_path / "s.ome.tif", picture, description=ome(sizes).encode(), **NO_TAGS)
    with pytest.raises(InvalidInputError, match="does not state its resolution"):
        Slide(path)
    assert um_of(path, 0.3) == 0.3


def test_resolutions_that_contradict_each_other_are_refused(tmp_path: Path, picture: Pixels) -> None:
    sizes = 'PhysicalSizeX="0.25" PhysicalSizeY="0.25"'
    path = stored(tmp_path / "s.ome.tif", picture, description=ome(sizes).encode())
    with pytest.raises(InvalidInputError, match=r"states 0\.25 and 0\.5 micrometres per pixel in two places"):
        Slide(path)
    assert um_of(path, 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize("mpp", ["0.4990", "0,4990", " 0,499 "])
def test_aperio_may_write_a_decimal_comma(tmp_path: Path, picture: Pixels, mpp: str) -> None:
    description = f"Aperio Image Library v10.0.51\n800x600|AppMag = 20|MPP = {mpp}|Left = 1"
    # Tags of 72 dpi, which say nothing, stand beside it.
    tags = {"resolution": (72, 72), "resolutionunit": "INCH"}
    assert um_of(stored(tmp_path / "s.svs", picture, description=description, **tags)) == pytest.approx(0.499)


def retagged(path: Path, tag: int, kind: int, value: bytes) -> None:
    """Give a tag of the first page of a classic little-endian TIFF another type and four bytes of value."""
    content = bytearray(path.read_bytes())
    directory = struct.unpack_from("<I", content, 4)[0]
    for entry in range(struct.unpack_from("<H", content, directory)[0]):
        place = directory + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] == tag:
            struct.pack_into("<HI4s", content, place + 2, kind, 1, value)
    path.write_bytes(content)


X_RESOLUTION, Y_RESOLUTION, TILE_WIDTH, TILE_LENGTH, WIDTH, LENGTH = 282, 283, 322, 323, 256, 257
SHORT, LONG, FLOAT = 3, 4, 11


@pytest.mark.parametrize(("kind", "value"), [(FLOAT, struct.pack("<f", 20000)), (LONG, struct.pack("<I", 20000))])
def test_resolution_tags_may_be_decimal_or_whole_numbers(
    tmp_path: Path, picture: Pixels, kind: int, value: bytes
) -> None:
    path = stored(tmp_path / "s.tif", picture)
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        retagged(path, tag, kind, value)
    assert um_of(path) == pytest.approx(0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -20000.0])
def test_a_resolution_that_is_no_number_is_none(tmp_path: Path, picture: Pixels, value: float) -> None:
    path = stored(tmp_path / "s.tif", picture)
    retagged(path, X_RESOLUTION, FLOAT, struct.pack("<f", value))
    with pytest.raises(InvalidInputError, match="does not state its resolution"):
        Slide(path)


def test_a_flat_tiff_may_state_a_decimal_resolution_too(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint8), photometric="minisblack", metadata=None, **HALF_UM)
    retagged(path, X_RESOLUTION, FLOAT, struct.pack("<f", 20000))
    assert read_tiff(path).spacing_mm == pytest.approx((0.0005, 0.0005))


@pytest.mark.parametrize("tags", [NO_TAGS, {"resolution": (72, 72), "resolutionunit": "INCH"}])
def test_a_resolution_that_is_missing_or_nobody_knew_can_be_given(
    tmp_path: Path, picture: Pixels, tags: dict[str, object]
) -> None:
    path = stored(tmp_path / "s.tif", picture, **tags)
    with pytest.raises(InvalidInputError, match="give it with --mpp"):
        Slide(path)
    assert um_of(path, 0.25) == 0.25


def test_a_given_resolution_must_be_that_of_the_file(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture)
    assert um_of(path, 0.502) == 0.5
    with pytest.raises(InvalidInputError, match=r"states 0\.5 micrometres per pixel, and 0\.25 were given"):
        Slide(path, um_per_pixel=0.25)
    with pytest.raises(
        InvalidInputError, match=r"250 micrometres per pixel were given for s\.tif; expected 0\.05 to 20"
    ):
        Slide(path, um_per_pixel=250)


# Damage


@pytest.mark.parametrize("tag", [TILE_WIDTH, TILE_LENGTH, WIDTH, LENGTH])
@pytest.mark.parametrize("value", [0, 3, 1_400_000_000, 2**32 - 1])
@pytest.mark.parametrize("read", [Slide, read_tiff])
def test_sizes_that_cannot_be_are_refused_before_memory_is_reserved(
    tmp_path: Path, picture: Pixels, tag: int, value: int, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "s.tif"
    if read is Slide:
        stored(path, picture)
    else:
        stored(path, picture[..., 0], photometric="minisblack")
    retagged(path, tag, LONG, struct.pack("<I", value))
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match=r"s\.tif"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_no_byte_of_a_tiffs_directory_gives_a_foreign_error(tmp_path: Path, picture: Pixels) -> None:
    path, small = tmp_path / "s.tif", picture[:140, :140]
    stored(path, small, compression="jpeg")
    content = path.read_bytes()
    directory = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, directory)[0]
    places = [*range(8), *range(directory, directory + 2 + 12 * entries + 4)]
    rng = np.random.default_rng(0)
    for place, value in itertools.product(places, (0, 255, int(rng.integers(1, 255)))):
        damaged = bytearray(content)
        damaged[place] = value
        path.write_bytes(damaged)
        try:
            with Slide(path) as slide:
                slide.overview(max(slide.um_per_pixel, 0.5))
        except InvalidInputError:
            continue


def test_a_jpeg_tile_that_is_cut_off_is_damaged(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture, compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start + count // 2 : start + count] = bytes(count - count // 2)
    path.write_bytes(content)
    with Slide(path) as slide, pytest.raises(InvalidInputError, match="the tile in row 1, column 1 of level 1"):
        slide.overview(0.5)


def test_a_jpeg_tile_that_states_another_size_is_damaged(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture, compression="jpeg")
    content = path.read_bytes()
    frame = content.index(b"\xff\xc0") + 5
    path.write_bytes(content[:frame] + struct.pack(">HH", 65500, 65500) + content[frame + 4 :])
    with Slide(path) as slide, pytest.raises(InvalidInputError, match="cannot be decoded"):
        slide.overview(0.5)


def test_a_flat_tiff_with_white_as_zero_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint8), photometric="miniswhite", metadata=None, **HALF_UM)
    with pytest.raises(InvalidInputError, match="stores white as 0"):
        read_tiff(path)


@pytest.mark.parametrize("tag", ["TileWidth", "TileLength", "ImageWidth"])
def test_a_size_that_is_stored_as_a_decimal_is_damaged(tmp_path: Path, picture: Pixels, tag: str) -> None:
    path = stored(tmp_path / "s.tif", picture)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        found = tiff.pages.first.tags[tag]
        found.overwrite(float(found.value), dtype="f")
    with pytest.raises(InvalidInputError, match="damaged"):
        Slide(path)


def test_a_flat_tiff_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    write_tiff(Image(np.ones((600, 600), np.uint8), Geometry.axis_aligned((600, 600), (0.016, 0.016))), path)
    content = path.read_bytes()
    for kept in (0, 3, 16, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(InvalidInputError, match=r"damaged or cut off|damaged at its beginning|is empty"):
            read_tiff(path)


# Closing and sending


def test_a_closed_slide_raises_though_its_descriptor_is_used_again(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture)
    other = stored(tmp_path / "other.tif", 255 - picture)
    slide = Slide(path)
    tiles = slide.tiles(slide.tiling(size_px=128), threads=1)
    next(tiles)
    slide.close()
    slide.close()
    with other.open("rb"), pytest.raises(ValueError, match=r"s\.tif is closed"):
        slide.read_region((0, 0), (10, 10), 0.5)
    with Slide(other), pytest.raises(ValueError, match=r"s\.tif is closed"):
        list(tiles)
    with pytest.raises(ValueError, match=r"s\.tif is closed"):
        slide.overview(0.5)


def test_closing_gives_the_descriptor_back(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with Slide(path) as slide:
            slide.overview(1.0)
    Slide(path)  # forgotten
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def overview_of(slide: Slide) -> Pixels:
    with slide:
        return slide.overview(slide.um_per_pixel)


def test_a_slide_can_be_sent_to_another_process(
    tmp_path: Path, picture: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path / "s.tif", picture, **NO_TAGS)
    monkeypatch.chdir(tmp_path)
    with Slide(Path("s.tif"), um_per_pixel=0.25) as slide:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            assert np.array_equal(pool.submit(overview_of, slide).result(), picture)
        monkeypatch.chdir("/")
        again = pickle.loads(pickle.dumps(slide))  # noqa: S301 - made here
        assert again.um_per_pixel == 0.25
