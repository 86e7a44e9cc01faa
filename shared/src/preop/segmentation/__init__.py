"""Segmentation: trained networks in this process, organs, and PET without learning."""

from preop.segmentation.model_folder import ModelFolder, read_model_folder, write_network
from preop.segmentation.network import Network, load_network

__all__ = ["ModelFolder", "Network", "load_network", "read_model_folder", "write_network"]
