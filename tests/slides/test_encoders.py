import json
import pickle
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from preop.errors import InvalidInputError, InvalidModelError
from preop.slides.encoders import (
    INFO_FILE,
    SMALL,
    TIMM_WEIGHTS,
    TORCHSCRIPT_WEIGHTS,
    Encoder,
    EncoderInfo,
    adopt_encoder,
    in_float16,
    new_small_encoder,
    read_encoder,
    write_encoder,
)

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning"),
]

TILES = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3)).astype(np.uint8)
VIT = EncoderInfo(
    name="vit",
    kind="timm",
    architecture="vit_tiny_patch16_224",
    options={"depth": 2, "reg_tokens": 4, "mlp_layer": "SwiGLUPacked", "act_layer": "silu", "init_values": 1e-5},
    pooling="class_and_mean",
    features=2 * 192,
    tile_px=224,
    um_per_pixel=0.5,
    mean=(0.2, 0.4, 0.6),
)
SCRIPT = EncoderInfo(
    name="brightness",
    kind="torchscript",
    features=3,
    tile_px=32,
    um_per_pixel=1.0,
    mean=(0.0, 0.5, 0.0),
    std=(1.0, 1.0, 0.5),
)


class Brightness(torch.nn.Module):
    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return tiles.mean(dim=(2, 3))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "download.pt"
    torch.jit.script(Brightness()).save(path)
    return path


def test_the_small_encoder_is_read_as_it_was_written(tmp_path: Path) -> None:
    encoder = new_small_encoder(1)
    info = write_encoder(tmp_path, encoder)
    again = read_encoder(tmp_path, device="cpu")
    assert again.info == info
    features = encoder.encode(TILES)
    assert features.shape == (3, SMALL.features)
    assert features.dtype == np.float16
    assert np.array_equal(again.encode(TILES), features)
    assert not np.array_equal(new_small_encoder(2).encode(TILES), features)


def test_tiles_are_described_one_by_one() -> None:
    encoder = new_small_encoder(1)
    together = encoder.encode(TILES)
    assert np.allclose(encoder.encode(TILES[1:2])[0], together[1], atol=2e-3)


def test_normalisation_is_that_of_the_encoder(tmp_path: Path, archive: Path) -> None:
    adopt_encoder(archive, tmp_path / "encoder", SCRIPT)
    encoder = read_encoder(tmp_path / "encoder", trust_model=True, device="cpu")
    tile = np.full((1, 32, 32, 3), (51, 102, 255), np.uint8)
    assert encoder.encode(tile)[0] == pytest.approx([0.2, -0.1, 2.0], abs=1e-3)


def test_a_program_is_run_only_where_that_was_said(tmp_path: Path, archive: Path) -> None:
    adopt_encoder(archive, tmp_path / "encoder", SCRIPT)
    with pytest.raises(InvalidModelError, match="say so with --trust-model"):
        read_encoder(tmp_path / "encoder")


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_weights_of_a_foundation_model_are_adopted(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model(
        VIT.architecture,
        num_classes=0,
        depth=2,
        reg_tokens=4,
        mlp_layer=timm.layers.SwiGLUPacked,
        act_layer=torch.nn.SiLU,
        init_values=1e-5,
    ).eval()
    path = tmp_path / f"model{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    adopt_encoder(path, tmp_path / "encoder", VIT)
    encoder = read_encoder(tmp_path / "encoder", device="cpu")
    tokens = network.forward_features(torch.zeros(1, 3, 224, 224)).detach()
    found = encoder.encode(np.full((1, 224, 224, 3), (51, 102, 153), np.uint8))[0]
    expected = torch.cat([tokens[0, 0], tokens[0, 5:].mean(dim=0)])
    assert found == pytest.approx(expected.numpy(), abs=0.01)


def test_a_checkpoint_that_holds_code_is_not_read(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (touched,)

    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(InvalidModelError, match="holds more than weights, or is damaged, and is not read"):
        adopt_encoder(path, tmp_path / "encoder", VIT)
    assert not touched.exists()
    assert not (tmp_path / "encoder" / INFO_FILE).exists()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, archive: Path) -> None:
    write_encoder(tmp_path / "small", new_small_encoder(0))
    weights = tmp_path / "small" / TIMM_WEIGHTS
    with pytest.raises(InvalidModelError, match="do not fit vit_tiny_patch16_224"):
        adopt_encoder(weights, tmp_path / "encoder", VIT)
    with pytest.raises(InvalidModelError, match="expected 5 numbers"):
        adopt_encoder(archive, tmp_path / "encoder", SCRIPT.model_copy(update={"features": 5}))
    with pytest.raises(InvalidModelError, match="no TorchScript archive"):
        adopt_encoder(weights, tmp_path / "encoder", SCRIPT)
    with pytest.raises(InvalidModelError, match="has the architecture 'resnet_of_nobody'; expected one of"):
        adopt_encoder(weights, tmp_path / "encoder", VIT.model_copy(update={"architecture": "resnet_of_nobody"}))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="There is no encoder in"):
        read_encoder(tmp_path)
    write_encoder(tmp_path, new_small_encoder(0))
    weights = tmp_path / TIMM_WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InvalidModelError, match="its SHA-256 differs"):
        read_encoder(tmp_path)
    weights.unlink()
    with pytest.raises(InvalidModelError, match=r"weights\.safetensors is missing"):
        read_encoder(tmp_path)
    info = json.loads((tmp_path / INFO_FILE).read_text()) | {"tile_px": 0}
    (tmp_path / INFO_FILE).write_text(json.dumps(info))
    with pytest.raises(InvalidModelError, match="tile_px: Input should be greater than 0"):
        read_encoder(tmp_path)


@pytest.mark.parametrize(
    "architecture",
    [
        "hf-hub:somebody/model",
        "hf_hub:somebody/model",
        "local-dir:/tmp/model",
        "https://example.org/resnet18",
        "resnet18.a1_in1k",
        "models/resnet18",
        "",
    ],
)
def test_an_architecture_leads_nowhere_else(tmp_path: Path, architecture: str) -> None:
    with (
        patch.object(timm, "create_model", side_effect=AssertionError),
        pytest.raises(InvalidModelError, match="has the architecture"),
    ):
        new_small_encoder(0, SMALL.model_copy(update={"architecture": architecture}))


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_path": "weights.pth"},
        {"pretrained": True},
        {"pretrained_cfg": "a1_in1k"},
        {"cache_dir": "elsewhere"},
        {"num_classes": 10},
        {"mlp_layer": "torch"},
        {"act_layer": "os.system"},
        {"depth": 1_000_000},
        {"embed_dim": 2**31},
        {"img_size": "224"},
    ],
)
def test_options_that_could_read_run_or_reserve_something_are_refused(options: dict[str, object]) -> None:
    with (
        patch.object(timm, "create_model", side_effect=AssertionError),
        pytest.raises(InvalidModelError, match=f"an option that is not allowed: .*{next(iter(options))}"),
    ):
        new_small_encoder(0, VIT.model_copy(update={"options": options}))


def test_a_pickle_that_an_encoder_names_is_not_read(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (touched,)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    write_encoder(tmp_path, new_small_encoder(0))
    info = json.loads((tmp_path / INFO_FILE).read_text())
    info["options"] = {"checkpoint_path": str(tmp_path / "evil.pth")}
    (tmp_path / INFO_FILE).write_text(json.dumps(info))
    with pytest.raises(InvalidModelError, match="checkpoint_path"):
        read_encoder(tmp_path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"gives 3 of 9 features that are no finite numbers"),
        (np.inf, r"gives 3 of 9 features that are no finite numbers"),
        (-np.inf, r"no finite numbers"),
        (70_000, r"features of up to 70,000, and the stored format \(float16\) ends at 65,504"),
        (-1e30, r"ends at 65,504"),
    ],
)
def test_features_that_cannot_be_stored_are_refused(value: float, message: str) -> None:
    class Broken(torch.nn.Module):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, value]).repeat(len(tiles), 1)

    with pytest.raises(InvalidModelError, match=message):
        Encoder(SCRIPT, Broken()).encode(np.zeros((3, 32, 32, 3), np.uint8))


def test_the_largest_numbers_of_float16_are_stored() -> None:
    assert in_float16(np.array([65_504.0, -65_504.0, 1e-9], np.float32), "e").tolist() == [65_504, -65_504, 0]


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    encoder = new_small_encoder(0)
    next(encoder.network.parameters()).data[0] = np.nan
    write_encoder(tmp_path, encoder)
    with pytest.raises(InvalidModelError, match=r"conv_stem\.weight holds numbers that are not finite"):
        read_encoder(tmp_path)


def test_tiles_of_another_size_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="expects 256 x 256 pixels"):
        new_small_encoder(0).encode(np.zeros((1, 224, 224, 3), np.uint8))


def test_archives_have_a_name_of_their_own(tmp_path: Path, archive: Path) -> None:
    adopt_encoder(archive, tmp_path / "encoder", SCRIPT)
    assert {path.name for path in (tmp_path / "encoder").iterdir()} == {INFO_FILE, TORCHSCRIPT_WEIGHTS}
