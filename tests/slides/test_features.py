from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Geometry, Image
from preop.slides import EncoderInfo, FeatureStore, TileFeatures, Tiling, flat, in_regions
from preop.slides.features import code_sha256, slide_sha256
from tests.slides.pictures import disc, gradient

Write = Callable[..., Path]
INFO = EncoderInfo(
    name="mean colour", kind="timm", architecture="none", features=3, tile_px=64, um_per_pixel=0.5, sha256="0" * 64
)


@dataclass
class MeanColour:
    """An encoder whose features are known, and that counts."""

    info: EncoderInfo = INFO
    encoded: list[int] = field(default_factory=list)
    fails_after: float = np.inf

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        if sum(self.encoded) >= self.fails_after:
            raise KeyboardInterrupt
        self.encoded.append(len(tiles))
        return tiles.mean(axis=(1, 2)).astype(np.float16)


def whole(side_mm: float) -> Image:
    return Image(np.ones((20, 20), bool), Geometry.axis_aligned((20, 20), (side_mm / 20,) * 2))


def test_features_are_those_of_the_tiles_of_tissue(write: Write, tmp_path: Path) -> None:
    found = FeatureStore(tmp_path / "features", MeanColour()).features(write(disc(1024)))
    assert found.values.shape == (len(found.tiling), 3)
    assert np.hypot(*(found.tiling.corners_um + 16 - 256).T).max() < 0.35 * 512 + 32
    assert found.values[:, 1].max() < 230  # none is white, which is 255


def test_a_slide_is_encoded_once(write: Write, tmp_path: Path) -> None:
    path = write(gradient(512, 512))
    encoder = MeanColour()
    first = FeatureStore(tmp_path / "features", encoder).features(path, mask=whole(0.256))
    again = FeatureStore(tmp_path / "features", encoder).features(path, mask=whole(0.256))
    assert sum(encoder.encoded) == 64
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.tiling.corners_um, again.tiling.corners_um)
    assert len(list((tmp_path / "features").iterdir())) == 1


@pytest.mark.parametrize("changed", ["slide", "encoder", "mask", "code"])
def test_what_was_made_of_something_else_is_made_anew(write: Write, tmp_path: Path, changed: str) -> None:
    encoder, path, side = MeanColour(), write(gradient(512, 512)), 0.256
    store = FeatureStore(tmp_path / "features", encoder)
    store.features(path, mask=whole(side))
    code = code_sha256()
    if changed == "slide":
        write(gradient(512, 512)[::-1].copy())
    elif changed == "encoder":
        encoder.info = INFO.model_copy(update={"sha256": "1" * 64})
    elif changed == "mask":
        side = 0.255
    else:
        code = "another"
    with patch("preop.slides.features.code_sha256", return_value=code):
        store.features(path, mask=whole(side))
    assert sum(encoder.encoded) > 64


def test_an_interrupted_run_goes_on_where_it_was(write: Write, tmp_path: Path) -> None:
    path = write(gradient(512, 512))
    with patch("preop.slides.features.TILES_PER_PART", 10):
        with pytest.raises(KeyboardInterrupt):
            FeatureStore(tmp_path / "features", MeanColour(fails_after=30)).features(path, mask=whole(0.256))
        encoder = MeanColour()
        done: list[int] = []
        found = FeatureStore(tmp_path / "features", encoder).features(
            path, mask=whole(0.256), advance=lambda tiles, _total: done.append(tiles)
        )
    assert sum(encoder.encoded) == 64 - 30
    assert done == [10, 20, 30, 40, 50, 60, 64]
    uninterrupted = FeatureStore(tmp_path / "other", MeanColour()).features(path, mask=whole(0.256))
    assert np.array_equal(found.values, uninterrupted.values)
    assert [file.suffix for file in (tmp_path / "features").iterdir()] == [".safetensors"]


def test_a_damaged_file_is_made_anew(write: Write, tmp_path: Path) -> None:
    path = write(gradient(512, 512))
    store = FeatureStore(tmp_path / "features", MeanColour())
    first = store.features(path, mask=whole(0.256))
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(store.features(path, mask=whole(0.256)).values, first.values)


def test_stored_features_that_are_not_finite_are_made_anew(write: Write, tmp_path: Path) -> None:
    path = write(gradient(512, 512))
    store = FeatureStore(tmp_path / "features", MeanColour())
    first = store.features(path, mask=whole(0.256))
    (file,) = (tmp_path / "features").iterdir()
    content = bytearray(file.read_bytes())
    place = content.index(first.values.tobytes())
    content[place : place + 2] = np.float16(np.nan).tobytes()
    file.write_bytes(content)
    assert np.array_equal(store.features(path, mask=whole(0.256)).values, first.values)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_no_feature_is_kept_that_float16_cannot_hold(write: Write, tmp_path: Path, value: float) -> None:
    class Broken(MeanColour):
        def encode(self, tiles: np.ndarray) -> np.ndarray:
            return np.full((len(tiles), 3), value, np.float32)

    with pytest.raises(InvalidModelError, match="mean colour gives"):
        FeatureStore(tmp_path / "features", Broken()).features(write(gradient(512, 512)), mask=whole(0.256))
    assert not list((tmp_path / "features").glob("*.safetensors"))


def test_a_slide_without_resolution_is_described_at_the_one_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, gradient(512, 512), tile=(128, 128), photometric="rgb", metadata=None)
    store = FeatureStore(tmp_path / "features", MeanColour())
    with pytest.raises(InvalidInputError, match="does not state its resolution"):
        store.features(path, mask=whole(0.256))
    assert len(store.features(path, um_per_pixel=0.5, mask=whole(0.256)).tiling) == 64
    assert len(store.features(path, um_per_pixel=0.25, mask=whole(0.128)).tiling) == 16


def test_the_checksum_of_a_slide_covers_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide.mrxs").write_text("index")
    (tmp_path / "slide" / "Data0000.dat").write_text("a")
    before = slide_sha256(tmp_path / "slide.mrxs")
    (tmp_path / "slide" / "Data0000.dat").write_text("b")
    assert slide_sha256(tmp_path / "slide.mrxs") != before


def features_at(places: list[tuple[int, int]], offset: int = 0) -> TileFeatures:
    rows, columns = np.array(places, np.int32).T
    values = np.arange(offset, offset + len(places), dtype=np.float16)[:, None]
    return TileFeatures("slide", Tiling(0.5, 256, rows, columns), values)


def test_a_patient_of_several_slides_is_one_bag() -> None:
    values, slides = flat([features_at([(0, 0), (0, 1)]), features_at([(0, 0)], 2)])
    assert values[:, 0].tolist() == [0, 1, 2]
    assert slides.tolist() == [0, 0, 1]


def test_regions_hold_the_tiles_of_their_square() -> None:
    regions = in_regions([features_at([(0, 0), (0, 1), (1, 1), (0, 2)]), features_at([(1, 0)], 4)], side=2)
    assert list(zip(regions.slides.tolist(), regions.rows.tolist(), regions.columns.tolist(), strict=True)) == [
        (0, 0, 0),
        (0, 0, 1),
        (1, 0, 0),
    ]
    assert regions.present.tolist() == [
        [True, True, False, True],
        [True, False, False, False],
        [False, False, True, False],
    ]
    assert regions.values[..., 0].tolist() == [[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 0]]
    assert regions.values[regions.region, regions.place, 0].tolist() == [0, 1, 2, 3, 4]


def test_slides_of_different_encoders_are_no_bag() -> None:
    other = TileFeatures("slide", features_at([(0, 0)]).tiling, np.zeros((1, 2), np.float16))
    with pytest.raises(InvalidInputError, match="have 1 and 2 features a tile; expected those of one encoder"):
        flat([features_at([(0, 0)]), other])
    with pytest.raises(InvalidInputError, match="has no slides"):
        flat([])
