"""Weights of networks in safetensors, which cannot run code: finite and of the shapes that are expected, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from preop.errors import InvalidModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of safetensors.

    Returns
    -------
    Tensors by name, on the processor.

    Raises
    ------
    InvalidModelError
        If it is missing or damaged, or a number in it is not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise InvalidModelError(f"The model in {path.parent} is incomplete: {path.name} is missing.") from None
    except (OSError, SafetensorError) as error:
        raise InvalidModelError(f"The weights {path} cannot be read: {error}.") from None
    for name, values in weights.items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise InvalidModelError(f"The weights {path} are damaged: {name} holds numbers that are not finite.")
    return weights


def put_into(network: nn.Module, weights: Mapping[str, Tensor], path: Path, expected: str) -> None:
    """Give a network its weights, every one of them and no other.

    Parameters
    ----------
    path
        File they come from.
    expected
        What they should be the weights of, in words.

    Raises
    ------
    InvalidModelError
        If one is missing, surplus or of another shape.
    """
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError:
        raise InvalidModelError(
            f"The weights {path} do not fit {expected}: take the model folder that belongs to this version."
        ) from None


def part_of(weights: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Give the weights of one of several networks that are stored in one file, as ``<number>.<name>``."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}
