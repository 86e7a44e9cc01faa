"""Slides in micrometres: reading, tissue, tiles, encoders and stored features; studies are not known."""

from preop.slides.levels import Level
from preop.slides.slide import Slide, Tile
from preop.slides.tiling import Tiling

__all__ = ["Level", "Slide", "Tile", "Tiling"]
