"""Slides in micrometres: reading, tissue, tiles, encoders and stored features; studies are not known."""

from preop.slides.levels import Level
from preop.slides.slide import Slide, Tile
from preop.slides.tiling import Tiling
from preop.slides.tissue import Tissue, assessable, find_tissue

__all__ = ["Level", "Slide", "Tile", "Tiling", "Tissue", "assessable", "find_tissue"]
