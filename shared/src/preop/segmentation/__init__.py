"""Segmentation: trained networks in this process, organs, and PET without learning."""

from preop.segmentation.loading import load_network
from preop.segmentation.model_folder import ModelFolder, read_model_folder, write_network
from preop.segmentation.network import Network
from preop.segmentation.organ_networks import (
    OrganNetworks,
    load_organ_networks,
    organ_names,
    segment_anatomy,
    write_organ_network,
)
from preop.segmentation.organs import Organs, remove_small_components
from preop.segmentation.pet import (
    PHYSIOLOGICAL,
    FixedSuv,
    FractionOfMaximum,
    LiverBased,
    Threshold,
    liver_threshold,
    segment_pet,
)
from preop.segmentation.training import Case, TrainingSettings, train_network

__all__ = [
    "PHYSIOLOGICAL",
    "Case",
    "FixedSuv",
    "FractionOfMaximum",
    "LiverBased",
    "ModelFolder",
    "Network",
    "OrganNetworks",
    "Organs",
    "Threshold",
    "TrainingSettings",
    "liver_threshold",
    "load_network",
    "load_organ_networks",
    "organ_names",
    "read_model_folder",
    "remove_small_components",
    "segment_anatomy",
    "segment_pet",
    "train_network",
    "write_network",
    "write_organ_network",
]
