"""Loads a network that nnU-Net v2 has trained, in the form that runs here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preop.portable import has_torch, missing_portable, runs_portable
from preop.segmentation.model_folder import read_descriptions
from preop.segmentation.network import Device, Network


def load_network(
    folder: Path, *, folds: Sequence[int | str] | None = None, device: Device = "auto", threads: int | None = None
) -> Network:
    """Load a network that nnU-Net v2 has trained, after checking that its files are what they should be.

    Parameters
    ----------
    folder
        Holds ``plans.json``, ``dataset.json`` and ``fold_<n>/checkpoint_final.pth``.
    folds
        Which to average over; all that are there if not given.
    device
        ``auto`` takes a CUDA device where there is one. On a processor the portable form runs where the folder holds it
        (``preop.segmentation.portable_network``), else torch.
    threads
        Number of CPU threads while it segments.

    Raises
    ------
    InvalidModelError
        If a file is missing or damaged, a checkpoint holds anything but weights and settings, or this kind of network
        is not supported (cascades, file formats other than scans), or can be run by torch alone, which is not installed.
    """
    # A program that loads no network starts without either form.
    from preop.segmentation.portable_network import PORTABLE_FILE, holds_portable, load_portable_network

    if holds_portable(folder, folds) and (device == "cpu" or (device == "auto" and runs_portable())):
        return load_portable_network(folder, folds, threads)
    if not has_torch():
        read_descriptions(folder)  # what is wrong with the folder itself is said first
        raise missing_portable(folder / PORTABLE_FILE)
    from preop.segmentation.torch_network import load_torch_network

    return load_torch_network(folder, folds, device, threads)
