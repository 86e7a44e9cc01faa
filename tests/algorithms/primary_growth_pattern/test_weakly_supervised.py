"""The weakly supervised model: bags of tiles or regions, contributions of each tile, memory that does not grow with pictures."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from preop.imaging import Geometry, Image
from preop.mil import Ensemble
from preop.slides import EncoderInfo, Slide, TileFeatures, Tiling, encode_tiles
from preop.slides.features import TILES_PER_BATCH
from primary_growth_pattern.readers import make_network
from primary_growth_pattern.weakly_supervised import NetworkSettings, bag_of, describe, tile_contributions

FEATURES = 12
FLAT = NetworkSettings(width=8, dropout=0)
REGIONS = NetworkSettings(instances="regions", side=2, width=8, dropout=0)


class FirstPixel:
    """An encoder of small tiles that costs next to nothing."""

    def __init__(self, tile_px: int, features: int = 480) -> None:
        self.info = EncoderInfo(
            name="first pixel", kind="timm", architecture="none", features=features, tile_px=tile_px, um_per_pixel=0.5
        )
        self.largest_batch = 0

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        self.largest_batch = max(self.largest_batch, len(tiles))
        return np.broadcast_to(tiles[:, :1, 0, 0].astype(np.float16), (len(tiles), self.info.features))


def tiles_at(places: list[tuple[int, int]], seed: int = 0) -> TileFeatures:
    rows, columns = np.array(places, np.int32).T
    values = np.random.default_rng(seed).normal(size=(len(places), FEATURES)).astype(np.float16)
    return TileFeatures("slide", Tiling(0.5, 256, rows, columns), values)


def ensemble_of(settings: NetworkSettings, members: int = 2) -> Ensemble:
    torch.manual_seed(0)
    return Ensemble(tuple(make_network(settings, FEATURES).eval() for _ in range(members)))


@pytest.mark.parametrize("settings", [FLAT, REGIONS])
def test_contributions_of_tiles_add_up_to_the_likelihood(settings: NetworkSettings) -> None:
    ensemble = ensemble_of(settings, members=1)
    slides = [tiles_at([(0, 0), (0, 1), (1, 0), (4, 4), (5, 5)]), tiles_at([(0, 3), (2, 3)], 1)]
    (prediction,) = ensemble.predict([bag_of("p", slides, settings)])
    by_tile = tile_contributions(prediction, ensemble, slides, settings)
    assert by_tile.shape == (7,)
    bias = float(ensemble.members[0].head.classifier.bias.detach())
    logit = np.log(prediction.probability / (1 - prediction.probability))
    assert by_tile.sum() + bias == pytest.approx(logit, abs=1e-4)


def test_the_order_of_tiles_does_not_matter() -> None:
    ensemble = ensemble_of(FLAT)
    places = [(0, 0), (0, 1), (1, 0), (4, 4)]
    there = tiles_at(places)
    back = TileFeatures("slide", tiles_at(places[::-1]).tiling, there.values[::-1].copy())
    predictions = [ensemble.predict([bag_of("p", [slide], FLAT)])[0] for slide in (there, back)]
    by_tile = [
        tile_contributions(each, ensemble, [slide], FLAT)
        for each, slide in zip(predictions, (there, back), strict=True)
    ]
    assert predictions[0].probability == pytest.approx(predictions[1].probability, abs=1e-6)
    assert by_tile[0] == pytest.approx(by_tile[1][::-1], abs=1e-6)


def sparse_slide(path: Path, side_px: int) -> Path:
    """A slide whose tiles are all left out of the file, which is allowed, and read as white."""
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level, factor in enumerate((1, 4)):
            side = side_px // factor
            count = (-(-side // 256)) ** 2
            tiff.write(
                iter([b""] * count),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                resolution=(20_000, 20_000),
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )
    return path


def resident_bytes(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def forget_peak() -> None:
    """Let the peak of the resident memory begin anew (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the peak of the memory cannot be measured here")


@pytest.mark.slow
def test_200_000_tiles_take_the_memory_of_their_features(tmp_path: Path) -> None:
    side = 448 * 16
    settings, encoder = NetworkSettings(), FirstPixel(tile_px=16)
    ensemble = Ensemble((make_network(settings, 480).eval(),))
    with Slide(sparse_slide(tmp_path / "slide.tif", side)) as slide:
        everywhere = Image(np.ones((10, 10), bool), Geometry.axis_aligned((10, 10), (side * 0.5 / 1000 / 10,) * 2))
        forget_peak()
        before = resident_bytes("VmRSS")
        tiles = describe(slide, everywhere, encoder, threads=0)
        (prediction,) = ensemble.predict([bag_of("p", [tiles], settings)], instances_per_chunk=1024)
        grown = resident_bytes("VmHWM") - before
    assert len(tiles.tiling) == len(prediction.contributions) == 448**2 > 200_000
    # A tile leaves 480 numbers of 16 bits, and about a dozen times 64 of 32 bits in the attention: 4 kB.
    assert grown < 1.2e9
    assert encoder.largest_batch <= TILES_PER_BATCH


def test_tiles_are_described_in_their_order(tmp_path: Path) -> None:
    from preop.slides import write_slide

    picture = np.repeat(np.arange(64, dtype=np.uint8)[:, None] * 3, 64, axis=1).repeat(8, axis=0).repeat(8, axis=1)
    write_slide([np.repeat(picture[..., None], 3, axis=2)], picture.shape, 0.5, tmp_path / "slide.tif")
    with Slide(tmp_path / "slide.tif") as slide:
        tiling = slide.tiling(size_px=8, um_per_pixel=0.5)
        values = encode_tiles(slide, tiling, FirstPixel(tile_px=8, features=2))
    assert values[:, 0] == pytest.approx(tiling.rows * 3, abs=6)
