"""What a TIFF's tags say about colours is what is read, or the file is refused."""

import itertools
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

from preop.errors import InvalidInputError
from preop.slides import Slide
from preop.slides.levels import Pixels
from preop.slides.scanner_formats import OpenSlideReader
from preop.slides.tiff import APERIO_YCBCR
from tests.slides.pictures import gradient

pytestmark = pytest.mark.slow

SHAPE = (200, 300)
LOSSLESS = (None, "deflate", "lzw", "packbits", "zstd", "lzma", "png")
LOSSY = ("jpeg", "jpeg2000", "webp", "jpegxl", "jpegxr")


@pytest.fixture(scope="module")
def picture() -> Pixels:
    colours = gradient(*SHAPE)
    colours[..., 2] //= 2  # no two channels alike
    return colours


def stored(path: Path, samples: np.ndarray, **options: object) -> Path:
    known = {"tile": (128, 128), "resolution": (20000, 20000), "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(path, samples, **(known | options))
    return path


def whole(path: Path) -> Pixels:
    with Slide(path) as slide:
        return slide.read_region((0, 0), SHAPE, 0.5)


def by_openslide(path: Path) -> Pixels | None:
    """Colours by OpenSlide, None where it cannot decode them."""
    try:
        with openslide.OpenSlide(path) as slide:
            return np.asarray(slide.read_region((0, 0), 0, SHAPE[::-1]).convert("RGB"))
    except openslide.OpenSlideError:
        return None


def differ(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - expected).max())


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", LOSSLESS)
def test_rgb_is_read_from_every_layout_and_compression(
    tmp_path: Path, picture: Pixels, compression: str | None, planar: str, bits: int
) -> None:
    samples = picture if bits == 8 else picture.astype(np.uint16) * 257
    samples = samples if planar == "contig" else np.moveaxis(samples, 2, 0)
    path = stored(tmp_path / "s.tif", samples, photometric="rgb", planarconfig=planar, compression=compression)
    assert np.array_equal(whole(path), picture)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", LOSSY)
def test_rgb_is_read_from_lossy_compressions(tmp_path: Path, picture: Pixels, compression: str, planar: str) -> None:
    if (planar, compression) == ("separate", "webp"):
        pytest.skip("WebP holds no single channels")
    samples = picture if planar == "contig" else np.moveaxis(picture, 2, 0)
    options = {"compressionargs": {"level": 95}} if compression == "jpeg" else {}
    path = stored(
        tmp_path / "s.tif", samples, photometric="rgb", planarconfig=planar, compression=compression, **options
    )
    assert np.abs(whole(path).astype(float) - picture).mean() < 2


def converted(samples: np.ndarray, photometric: str, colormap: np.ndarray) -> np.ndarray | None:
    """Colours by the definitions of TIFF 6.0 and BT.601; None where they need a white point or a profile."""
    if photometric == "rgb":
        return samples / (257 if samples.dtype == np.uint16 else 1)
    if photometric == "palette" and samples.dtype == np.uint8:
        return np.moveaxis(colormap, 0, 1)[samples] / 257
    if photometric == "ycbcr" and samples.dtype == np.uint8:
        y, cb, cr = np.moveaxis(samples.astype(float), 2, 0) - np.array([0, 128, 128])[:, None, None]
        red, blue = y + 1.402 * cr, y + 1.772 * cb
        return np.stack([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], axis=2).clip(0, 255)
    return None


COLOURS = {"rgb": 3, "ycbcr": 3, "cielab": 3, "icclab": 3, "itulab": 3, "separated": 4, "palette": 1}


def test_every_combination_that_tifffile_writes_is_read_as_openslide_does_or_refused(
    tmp_path: Path, picture: Pixels
) -> None:
    path = tmp_path / "s.tif"
    counts = {"read": 0, "refused": 0}
    for photometric, planar, compression, bits in itertools.product(
        COLOURS, ("contig", "separate"), (*LOSSLESS, *LOSSY), (8, 16)
    ):
        channels = COLOURS[photometric]
        samples = np.concatenate([picture, picture[..., :1]], axis=2)[..., : max(channels, 1)].copy()
        samples = samples if bits == 8 else samples.astype(np.uint16) * 257
        samples = samples[..., 0] if channels == 1 else samples
        planes = planar == "separate" and channels > 1
        options = {"colormap": np.random.default_rng(0).integers(0, 2**16, (3, 2**bits), np.uint16)}
        try:
            stored(
                path,
                np.moveaxis(samples, 2, 0) if planes else samples,
                photometric=photometric,
                planarconfig=planar if channels > 1 else None,
                compression=compression,
                **(options if photometric == "palette" else {}),
            )
        except Exception:  # noqa: BLE001, S112 - what tifffile cannot write is no combination
            continue
        expected = by_openslide(path)
        try:
            found = whole(path)
        except InvalidInputError as error:
            # RGB is always read; of palettes and YCbCr what OpenSlide decodes.
            assert photometric != "rgb" or (bits, compression) == (16, "jpeg")
            assert expected is None or photometric not in {"palette", "ycbcr"}
            assert str(error).startswith("s.tif stores its colours as")  # noqa: PT017
            counts["refused"] += 1
            continue
        counts["read"] += 1
        exact = converted(samples, photometric, options["colormap"])
        if compression in LOSSLESS:
            assert exact is not None
            assert differ(found, exact) <= 1.01, (photometric, planar, compression, bits)
        if expected is not None:
            assert differ(found, expected) <= 1, (photometric, planar, compression, bits)
    assert counts["read"] > 60, counts
    assert counts["refused"] > 60, counts


def test_the_same_pixels_in_planes_and_interleaved_are_equal(data: Path) -> None:
    found = []
    for name in ("planar", "interleaved"):
        with Slide(data / "faults" / "slides" / f"{name}.tif") as slide:
            found.append(slide.overview(slide.um_per_pixel))
    assert np.array_equal(*found)


def test_colours_lie_before_white_where_they_are_transparent(tmp_path: Path) -> None:
    samples = np.full((*SHAPE, 4), (200, 100, 40, 255), np.uint8)
    samples[:100, ..., 3] = 51  # a fifth is covered
    path = stored(tmp_path / "s.tif", samples, photometric="rgb", extrasamples=["unassalpha"])
    assert np.unique(whole(path)[:100].reshape(-1, 3), axis=0).tolist() == [[244, 224, 212]]
    assert np.unique(whole(path)[100:].reshape(-1, 3), axis=0).tolist() == [[200, 100, 40]]
    samples[:100, ..., :3] = 40, 20, 8
    path = stored(tmp_path / "s.tif", samples, photometric="rgb", extrasamples=["assocalpha"])
    assert np.unique(whole(path)[:100].reshape(-1, 3), axis=0).tolist() == [[244, 224, 212]]


def test_a_fourth_channel_that_is_no_alpha_changes_nothing(tmp_path: Path, picture: Pixels) -> None:
    samples = np.concatenate([picture, picture[..., :1]], axis=2)
    path = stored(tmp_path / "s.tif", samples, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(whole(path), picture)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_chroma_of_jpeg_is_read_at_any_subsampling(tmp_path: Path, picture: Pixels, subsampling: str) -> None:
    factors = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}[subsampling]
    path = stored(tmp_path / "s.tif", picture, photometric="rgb", compression="jpeg", subsampling=factors)
    expected = by_openslide(path)
    assert expected is not None
    assert differ(whole(path), expected) <= 1


def test_ycbcr_without_jpeg_is_converted(tmp_path: Path) -> None:
    # Recommendation ITU-R BT.601 with the full range, as JFIF: Y = .299 R + .587 G + .114 B
    rgb = np.full((*SHAPE, 3), (190, 90, 160), float)
    y = rgb @ [0.299, 0.587, 0.114]
    samples = np.stack([y, 128 + (rgb[..., 2] - y) / 1.772, 128 + (rgb[..., 0] - y) / 1.402], axis=2)
    path = stored(
        tmp_path / "s.tif", np.rint(samples).astype(np.uint8), photometric="ycbcr", compression="deflate",
        subsampling=(1, 1),
    )  # fmt: skip
    assert differ(whole(path), rgb) <= 2


def aperio(path: Path, tiles: list[bytes], compression: int, mpp: str = "0.5") -> Path:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter(tiles),
            shape=(*SHAPE, 3),
            dtype=np.uint8,
            tile=(256, 512),
            photometric="rgb",
            compression=compression,
            description=f"Aperio Image Library v10\n300x200 [0,0 300x200] (256x512) J2K|AppMag = 20|MPP = {mpp}",
            metadata=None,
        )
    return path


def test_jpeg_2000_of_aperio_is_rgb_or_ycbcr_as_its_compression_says(tmp_path: Path) -> None:
    rgb = np.full((256, 512, 3), (190, 90, 160), np.uint8)
    y = rgb @ np.array([0.299, 0.587, 0.114])
    ycbcr = np.stack([y, 128 + (rgb[..., 2] - y) / 1.772, 128 + (rgb[..., 0] - y) / 1.402], axis=2).round()
    for samples, compression in ((rgb, 33005), (ycbcr.astype(np.uint8), APERIO_YCBCR)):
        tile = imagecodecs.jpeg2k_encode(samples, level=0, codecformat="j2k", mct=False, reversible=True)
        path = aperio(tmp_path / f"{compression}.svs", [tile], compression)
        assert differ(whole(path), rgb[:200, :300]) <= 2, compression
        with openslide.OpenSlide(path) as slide:
            assert differ(whole(path), np.asarray(slide.read_region((0, 0), 0, SHAPE[::-1]))[..., :3]) <= 1


def test_what_openslide_reads_is_read_by_it_only_where_needed(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    with Slide(path) as slide:
        assert isinstance(slide._reader, OpenSlideReader)
    path = stored(tmp_path / "s.tif", np.moveaxis(picture, 2, 0), photometric="rgb", planarconfig="separate")
    with Slide(path) as slide:
        assert not isinstance(slide._reader, OpenSlideReader)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_grey_slide_is_refused(tmp_path: Path, picture: Pixels, photometric: str, bits: int) -> None:
    samples = picture[..., 0].astype(np.uint8 if bits == 8 else np.uint16)
    path = stored(tmp_path / "s.tif", samples, photometric=photometric)
    with pytest.raises(InvalidInputError, match=rf"is grey \(1 channels of {bits} bits, {photometric.upper()}\)"):
        Slide(path)


def test_12_bits_that_are_stored_as_16_are_refused(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture.astype(np.uint16) * 16, photometric="rgb")
    with pytest.raises(InvalidInputError, match="uses less than an eighth"):
        Slide(path)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint32])
def test_other_kinds_of_numbers_are_refused(tmp_path: Path, picture: Pixels, dtype: type) -> None:
    path = stored(tmp_path / "s.tif", picture.astype(dtype), photometric="rgb")
    with pytest.raises(InvalidInputError, match=r"stores its colours as RGB in 3 (signed or decimal )?channels of"):
        Slide(path)


def test_a_rotated_slide_is_refused(tmp_path: Path, picture: Pixels) -> None:
    path = stored(tmp_path / "s.tif", picture, photometric="rgb", extratags=[(274, "H", 1, 3, True)])
    with pytest.raises(InvalidInputError, match="stored rotated or mirrored"):
        Slide(path)
