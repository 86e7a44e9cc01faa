"""Encoders of tiles behind one interface: a folder that says what they are, and weights whose checksum it states.

A folder holds ``encoder.json`` (:class:`EncoderInfo`) and one file of weights:

- of an architecture of timm as safetensors, which cannot run code (the small encoder that ships is one of these);
- or a TorchScript archive. Such an archive is a program, which ``torch.jit.load`` prepares and every call runs (PyTorch,
  SECURITY.md, "TorchScript models"): it is loaded only where the user has said that its maker is trusted.

Nothing is ever downloaded, and no bare pickle is read: timm is asked for architectures and options of an exact list only,
for some of its options read checkpoints or reach for the network; PyTorch's own checkpoints are taken over with
``weights_only``.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.atomic import write_text
from preop.errors import InvalidInputError, InvalidModelError, InvalidOutputError
from preop.folders import sha256
from preop.portable import PortableNetwork, has_torch, missing_portable, read_portable, runs_portable, to_portable
from preop.slides.levels import WHITE, Pixels
from preop.toml import first_validation_error
from preop.weights import put_into, read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

INFO_FILE = "encoder.json"
TIMM_WEIGHTS = "weights.safetensors"
TORCHSCRIPT_WEIGHTS = "weights.ts"
PORTABLE_WEIGHTS = "weights.onnx"
MADE_FROM = "weights_sha256"
"""What the portable form says of the weights that it was made from."""

# Of ImageNet, with which most encoders were trained.
USUAL_MEAN = (0.485, 0.456, 0.406)
USUAL_STD = (0.229, 0.224, 0.225)


ARCHITECTURES = frozenset(
    {
        *("mobilenetv4_conv_small_050", "mobilenetv4_conv_small", "mobilenetv4_conv_medium"),
        *("resnet18", "resnet34", "resnet50", "convnext_tiny", "convnext_small", "convnext_base"),
        *("efficientnet_b0", "efficientnetv2_rw_s", "swin_tiny_patch4_window7_224", "swin_base_patch4_window7_224"),
        *("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_large_patch16_224"),
        *("vit_huge_patch14_224", "vit_giant_patch14_224"),
        *(
            "vit_small_patch14_dinov2",
            "vit_base_patch14_dinov2",
            "vit_large_patch14_dinov2",
            "vit_giant_patch14_dinov2",
        ),
        *("vit_small_patch14_reg4_dinov2", "vit_base_patch14_reg4_dinov2", "vit_large_patch14_reg4_dinov2"),
        "vit_giant_patch14_reg4_dinov2",
    }
)
"""Models of timm that an encoder may be, those of the foundation models in docs/slides.md among them."""


class TimmOptions(BaseModel):
    """Options of timm's constructors that an encoder may set; others read files or the network, or run what they name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    img_size: int = Field(224, ge=32, le=1024)
    patch_size: int = Field(16, ge=4, le=64)
    embed_dim: int = Field(768, ge=16, le=2048)
    depth: int = Field(12, ge=1, le=48)
    num_heads: int = Field(12, ge=1, le=64)
    mlp_ratio: float = Field(4.0, gt=0, le=8)
    reg_tokens: int = Field(0, ge=0, le=64)
    init_values: float = Field(1e-5, gt=0, le=10)
    mlp_layer: Literal["Mlp", "GluMlp", "SwiGLU", "SwiGLUPacked"] = "Mlp"
    act_layer: Literal["gelu", "relu", "silu"] = "gelu"
    global_pool: Literal["", "avg", "token"] = ""
    class_token: bool = True
    dynamic_img_size: bool = False
    dynamic_img_pad: bool = False
    no_embed_class: bool = False
    qkv_bias: bool = True
    qk_norm: bool = False
    pre_norm: bool = False
    fc_norm: bool = False


class EncoderInfo(BaseModel):
    """What an encoder is, and what it expects of tiles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str
    kind: Literal["timm", "torchscript"]
    architecture: str = Field("", description="name of the model in timm")
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="of timm's constructor: those of TimmOptions that differ from the architecture's",
    )
    pooling: Literal["model", "mean", "class_and_mean"] = Field(
        "model",
        description="the model's own; the mean over places; or the class token beside the mean of the patch tokens",
    )
    features: int = Field(gt=0, le=65_536, description="numbers that describe a tile")
    tile_px: int = Field(gt=0, le=4096)
    um_per_pixel: float = Field(gt=0)
    mean: tuple[float, float, float] = USUAL_MEAN
    std: tuple[float, float, float] = USUAL_STD
    licence: str = "not stated"
    source: str = "not stated"
    sha256: str = Field("", description="of the weights")

    @property
    def weights_file(self) -> str:
        """Name of the file of weights."""
        return TIMM_WEIGHTS if self.kind == "timm" else TORCHSCRIPT_WEIGHTS


SMALL = EncoderInfo(
    name="small",
    kind="timm",
    architecture="mobilenetv4_conv_small_050",
    pooling="mean",
    features=480,
    tile_px=256,
    um_per_pixel=0.5,
    licence="Apache-2.0",
    source="trained with this project",
)
"""The encoder that ships: a million weights, 8 ms of one core a tile."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network that describes tiles.

    Attributes
    ----------
    network
        In evaluation mode, on its device.
    """

    info: EncoderInfo
    network: nn.Module

    def encode(self, tiles: Pixels) -> NDArray[np.float16]:
        """Describe tiles.

        Parameters
        ----------
        tiles
            RGB (n, side, side, 3), of the size and resolution that ``info`` states.

        Returns
        -------
        Features (n, f).

        Raises
        ------
        InvalidInputError
            If tiles have another size.
        InvalidModelError
            If a feature is no finite number, or too large for float16.
        """
        import torch

        check_tiles(self.info, tiles)
        device = next(iter(self.network.parameters()), torch.empty(0)).device
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=device.type == "cuda"):
            features = self.features(torch.from_numpy(tiles).to(device))
        return in_float16(features.cpu().numpy(), self.info.name)

    def features(self, tiles: Tensor) -> Tensor:
        """Describe tiles, RGB (n, side, side, 3) of 8 bits, by features (n, f) through which the network can learn."""
        return _pooled(self.network, self.info.pooling, _normalised(self.info, tiles))


@dataclass(frozen=True, eq=False)
class PortableEncoder:
    """A network that describes tiles, in its portable form."""

    info: EncoderInfo
    _network: PortableNetwork

    def encode(self, tiles: Pixels) -> NDArray[np.float16]:
        """Describe tiles, as :meth:`Encoder.encode` does."""
        check_tiles(self.info, tiles)
        return in_float16(self._network(np.ascontiguousarray(tiles))[0], self.info.name)


def check_tiles(info: EncoderInfo, tiles: Pixels) -> None:
    """Refuse tiles of another size than an encoder's.

    Raises
    ------
    InvalidInputError
        If they have one.
    """
    side = info.tile_px
    if tiles.shape[1:] != (side, side, 3):
        raise InvalidInputError(
            f"The tiles have the shape {tiles.shape[1:]}; the encoder {info.name} expects {side} x {side} pixels of RGB."
        )


def in_float16(features: NDArray[np.floating[Any]], encoder: str) -> NDArray[np.float16]:
    """Features as they are stored.

    Raises
    ------
    InvalidModelError
        If one is no finite number, or too large.
    """
    finite = np.isfinite(features)
    if not finite.all():
        raise InvalidModelError(
            f"The encoder {encoder} gives {finite.size - finite.sum():,} of {finite.size:,} features that are no finite numbers: "
            "its weights are damaged, or were trained for another number format."
        )
    largest = float(np.abs(features).max(initial=0))
    # What is half a step beyond the largest number of the format is rounded to infinity.
    with np.errstate(over="ignore"):
        stored = features.astype(np.float16)
    if not np.isfinite(stored).all():
        raise InvalidModelError(
            f"The encoder {encoder} gives features of up to {largest:,.0f}, and the stored format (float16) ends at "
            f"{float(np.finfo(np.float16).max):,.0f}: normalise its features."
        )
    return stored


def new_small_encoder(seed: int, info: EncoderInfo = SMALL) -> Encoder:
    """Make the small encoder with new weights, for training."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Encoder(info, _timm_network(info).eval())


def write_encoder(folder: Path, encoder: Encoder) -> EncoderInfo:
    """Write an encoder of timm's architectures; the folder then loads with :func:`read_encoder`.

    Raises
    ------
    InvalidOutputError
        If the encoder is a TorchScript archive, which :func:`adopt_encoder` copies.
    """
    from safetensors.torch import save_file

    if encoder.info.kind != "timm":
        raise InvalidOutputError(f"The encoder {encoder.info.name} is a TorchScript archive; copy its folder instead.")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{TIMM_WEIGHTS}"
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.network.state_dict().items()}
    save_file(state, partial)
    return _finish(folder, encoder.info, partial)


def adopt_encoder(weights: Path, folder: Path, info: EncoderInfo) -> EncoderInfo:
    """Make an encoder's folder of weights that were downloaded, and see that they are what ``info`` says.

    Parameters
    ----------
    weights
        For timm safetensors or a checkpoint of PyTorch (``.bin``, ``.pth``), of which only tensors are read; for
        TorchScript the archive. **An archive is run here: adopt only one whose publisher you trust.**

    Raises
    ------
    InvalidModelError
        If the weights cannot be read, hold code in a checkpoint, or do not fit.
    """
    if not weights.is_file():
        raise InvalidModelError(f"There are no weights at {weights}; name the file that was downloaded.")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{info.weights_file}"
    if info.kind == "timm" and weights.suffix != ".safetensors":
        _convert_checkpoint(weights, partial)
    else:
        shutil.copyfile(weights, partial)
    try:
        encoder = Encoder(info, _read_network(info, partial, "cpu"))
        _check_features(encoder)
    except InvalidModelError:
        partial.unlink(missing_ok=True)
        raise
    return _finish(folder, info, partial)


def read_encoder(folder: Path, *, trust_model: bool = False, device: str | None = None) -> Encoder:
    """Read an encoder from its folder.

    Parameters
    ----------
    trust_model
        Whether a TorchScript archive may be loaded: only where the user has said that its maker is trusted. A checksum
        proves nothing here, for whoever made the archive has written it as well.
    device
        Of PyTorch; the first GPU where there is one, if not given.

    Raises
    ------
    InvalidModelError
        If the folder is missing, incomplete or damaged, its weights do not fit, or it is a program that may not be run.
    """
    import torch

    info = _read_info(folder)
    weights = folder / info.weights_file
    if not weights.is_file():
        raise InvalidModelError(f"The encoder in {folder} is incomplete: {info.weights_file} is missing.")
    if sha256(weights) != info.sha256:
        raise InvalidModelError(
            f"The encoder in {folder} is damaged: {info.weights_file} is not the file that was written (its SHA-256 differs)."
        )
    if info.kind == "torchscript" and not trust_model:
        raise InvalidModelError(
            f"The encoder in {folder} is a TorchScript archive, which is a program and can do whatever you can; it is run only "
            "if you trust whoever made it and say so with --trust-model."
        )
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    encoder = Encoder(info, _read_network(info, weights, chosen))
    _check_features(encoder)
    return encoder


def load_encoder(folder: Path, *, trust_model: bool = False) -> Encoder | PortableEncoder:
    """Read an encoder in the form that runs here: the portable one without a GPU, if the folder holds it; else torch's.

    Parameters and errors are those of :func:`read_encoder`, and that torch may be needed and not installed.
    """
    portable = folder / PORTABLE_WEIGHTS
    if portable.is_file() and runs_portable():
        info = _read_info(folder)
        network = read_portable(portable)
        if network.facts.get(MADE_FROM) != info.sha256:
            raise InvalidModelError(
                f"{portable} was not made from the weights that {INFO_FILE} names: write it anew by preop register --portable."
            )
        return PortableEncoder(info, network)
    if not has_torch():
        _read_info(folder)
        raise missing_portable(portable)
    return read_encoder(folder, trust_model=trust_model)


def portable_encoder(encoder: Encoder) -> dict[str, bytes]:
    """Give the portable form of an encoder, as content of a file by its name; none of a TorchScript archive.

    Raises
    ------
    InvalidModelError
        If both forms differ.
    """
    import torch

    if encoder.info.kind != "timm":
        return {}
    side = encoder.info.tile_px
    tiles = torch.randint(0, 256, (3, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    content = to_portable(
        _described(encoder),
        {"tiles": tiles},
        ["features"],
        free={"tiles": (0,)},
        facts={MADE_FROM: encoder.info.sha256},
    )
    return {PORTABLE_WEIGHTS: content}


def _described(encoder: Encoder) -> nn.Module:
    """Everything between tiles and their features as one network."""
    from torch import nn

    class Described(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = encoder.network

        def forward(self, tiles: Tensor) -> Tensor:
            return encoder.features(tiles)

    return Described().eval()


def _read_info(folder: Path) -> EncoderInfo:
    try:
        return EncoderInfo.model_validate_json((folder / INFO_FILE).read_bytes())
    except OSError:
        raise InvalidModelError(f"There is no encoder in {folder}: it holds no {INFO_FILE}.") from None
    except ValidationError as error:
        raise InvalidModelError(f"The encoder in {folder} is not right: {first_validation_error(error)}.") from None


def _finish(folder: Path, info: EncoderInfo, partial: Path) -> EncoderInfo:
    """Give the weights their name, then write what they are."""
    complete = info.model_copy(update={"sha256": sha256(partial)})
    partial.chmod(0o644)  # weights are written for their owner alone, and a container runs as somebody else
    partial.replace(folder / info.weights_file)
    write_text(folder / INFO_FILE, json.dumps(complete.model_dump(mode="json"), indent=2) + "\n")
    return complete


def _read_network(info: EncoderInfo, weights: Path, device: str) -> nn.Module:
    import torch

    if info.kind == "torchscript":
        try:
            archive: nn.Module = torch.jit.load(weights, map_location=device)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise InvalidModelError(
                f"The encoder {info.name} is no TorchScript archive: {_first_line(error)}."
            ) from None
        return archive.eval()
    network = _timm_network(info)
    put_into(network, read_weights(weights), weights, info.architecture)
    return network.to(device).eval()


def _timm_network(info: EncoderInfo) -> nn.Module:
    import timm
    import torch

    if info.architecture not in ARCHITECTURES:
        raise InvalidModelError(
            f"The encoder {info.name} has the architecture {info.architecture!r}; expected one of "
            f"{', '.join(sorted(ARCHITECTURES))}."
        )
    try:
        options = TimmOptions.model_validate(info.options).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise InvalidModelError(
            f"The encoder {info.name} has an option that is not allowed: {first_validation_error(error)}."
        ) from None
    if "mlp_layer" in options:
        options["mlp_layer"] = getattr(timm.layers, options["mlp_layer"])
    try:
        network: nn.Module = timm.create_model(info.architecture, pretrained=False, num_classes=0, **options)
    # Options that do not go together fail anywhere in a constructor, with assertions and divisions by zero among others.
    except Exception as error:  # noqa: BLE001
        raise InvalidModelError(
            f"timm {timm.__version__} cannot build {info.architecture} with these options: {_first_line(error)}"
        ) from None
    laid_out: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid_out


def _normalised(info: EncoderInfo, tiles: Tensor) -> Tensor:
    import torch

    mean, std = (torch.tensor(values, device=tiles.device)[:, None, None] for values in (info.mean, info.std))
    scaled: Tensor = (tiles.permute(0, 3, 1, 2).float() / WHITE - mean) / std
    return scaled


def _pooled(network: nn.Module, pooling: str, tiles: Tensor) -> Tensor:
    import torch

    if pooling == "model":
        features: Tensor = network(tiles)
        return features
    places: Tensor = network.forward_features(tiles)  # type: ignore[operator]
    if pooling == "mean":
        return places.mean(dim=(2, 3)) if places.ndim == 4 else places.mean(dim=1)
    first_patch = int(getattr(network, "num_prefix_tokens", 1))
    return torch.cat([places[:, 0], places[:, first_patch:].mean(dim=1)], dim=1)


def _check_features(encoder: Encoder) -> None:
    """See that a white tile is described by as many numbers as are stated."""
    side = encoder.info.tile_px
    try:
        shape = encoder.encode(np.full((1, side, side, 3), WHITE, np.uint8)).shape
    except (RuntimeError, AttributeError, AssertionError, IndexError, TypeError) as error:
        raise InvalidModelError(
            f"The encoder {encoder.info.name} cannot describe a tile of {side} pixels: {_first_line(error)}"
        ) from None
    if shape != (1, encoder.info.features):
        raise InvalidModelError(
            f"The encoder {encoder.info.name} describes a tile by the shape {shape[1:]}; expected {encoder.info.features} numbers."
        )


def _convert_checkpoint(source: Path, target: Path) -> None:
    """Take the tensors, and nothing else, out of a checkpoint of PyTorch."""
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InvalidModelError(
            f"{source.name} holds more than weights, or is damaged, and is not read: {_first_line(error)}"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InvalidModelError(f"{source.name} is no dictionary of weights; save the model's state_dict.")
    # Shared tensors are copied, for safetensors stores each by itself.
    save_file({name: value.clone().contiguous() for name, value in state.items()}, target)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
