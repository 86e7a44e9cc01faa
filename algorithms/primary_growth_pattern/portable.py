"""The portable form of the networks of a model: of tissue and cells, of tiles, and of the ensemble over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preop.grandchallenge.algorithm import Algorithm
from preop.mil import Ensemble, portable_ensemble, read_ensemble
from preop.slides import portable_encoder, read_encoder
from preop.study import read_description

from .model import DESCRIPTION_FILE, ENCODER_FOLDER, NETWORKS_FOLDER, Description, reader_of
from .tissue import load_torch_networks, portable_networks
from .weakly_supervised import NetworkSettings


def portable_files(folder: Path, algorithm: Algorithm) -> dict[str, bytes]:  # noqa: ARG001 - as every study's
    """Make the portable form of each network of a model folder; an encoder that is a program has none."""
    network = read_description(folder, DESCRIPTION_FILE, Description).network
    encoder = read_encoder(folder / ENCODER_FOLDER, device="cpu")
    ensemble = read_ensemble(folder, lambda: reader_of(network, encoder.info.features))
    networks = portable_networks(load_torch_networks(folder / NETWORKS_FOLDER))
    return {
        **{f"{ENCODER_FOLDER}/{name}": content for name, content in portable_encoder(encoder).items()},
        **{f"{NETWORKS_FOLDER}/{name}": content for name, content in networks.items()},
        **portable_bags(ensemble, network, encoder.info.features),
    }


def portable_bags(ensemble: Ensemble, network: NetworkSettings, features: int) -> dict[str, bytes]:
    """Give the portable form of the ensemble over tiles; regions, whose tiles are looked into, run by torch alone."""
    if network.instances == "regions":
        return {}
    return portable_ensemble(ensemble, [np.zeros((1, features), np.float32)])
