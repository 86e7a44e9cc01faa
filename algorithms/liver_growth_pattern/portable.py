"""The portable form of the networks of a model: all of them on the metastases of one patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from preop.grandchallenge.algorithm import Algorithm
from preop.mil import BagNetwork
from preop.study import read_description

from .model import DESCRIPTION_FILE, MADE_FROM, PORTABLE_FILE, WEIGHTS_FILE, Description
from .network import portable_networks, read_networks, to_weights


def portable_files(folder: Path, algorithm: Algorithm) -> dict[str, bytes]:  # noqa: ARG001 - as every study's
    """Make the portable form of the networks of a model folder."""
    description = read_description(folder, DESCRIPTION_FILE, Description)
    expected = f"the network that {DESCRIPTION_FILE} describes"
    networks = read_networks(folder / WEIGHTS_FILE, description.network, description.networks, expected)
    return {PORTABLE_FILE: network_files(networks)[PORTABLE_FILE]}


def network_files(networks: Sequence[BagNetwork]) -> dict[str, bytes]:
    """Give the files of the networks in both forms, by name."""
    weights = to_weights(networks)
    facts = {MADE_FROM: hashlib.sha256(weights).hexdigest()}
    return {WEIGHTS_FILE: weights, PORTABLE_FILE: portable_networks(networks, facts)}
