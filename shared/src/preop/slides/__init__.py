"""Slides in micrometres: reading, tissue, tiles, encoders and stored features; studies are not known."""

from preop.slides.converting import convert_slide
from preop.slides.encoders import (
    Encoder,
    EncoderInfo,
    PortableEncoder,
    adopt_encoder,
    load_encoder,
    new_small_encoder,
    portable_encoder,
    read_encoder,
    write_encoder,
)
from preop.slides.features import FeatureStore, Regions, TileFeatures, encode_tiles, flat, in_regions
from preop.slides.levels import Level
from preop.slides.slide import Slide, Tile, in_micrometres
from preop.slides.tiling import Tiling
from preop.slides.tissue import Tissue, assessable, check_assessable, find_tissue, write_tissue_map
from preop.slides.writing import write_slide

__all__ = [
    "Encoder",
    "EncoderInfo",
    "FeatureStore",
    "Level",
    "PortableEncoder",
    "Regions",
    "Slide",
    "Tile",
    "TileFeatures",
    "Tiling",
    "Tissue",
    "adopt_encoder",
    "assessable",
    "check_assessable",
    "convert_slide",
    "encode_tiles",
    "find_tissue",
    "flat",
    "in_micrometres",
    "in_regions",
    "load_encoder",
    "new_small_encoder",
    "portable_encoder",
    "read_encoder",
    "write_encoder",
    "write_slide",
    "write_tissue_map",
]
