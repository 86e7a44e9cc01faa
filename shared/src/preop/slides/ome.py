"""Resolution in OME-XML, the description of an OME-TIFF (Open Microscopy Environment, schema 2016-06, element ``Pixels``)."""

from __future__ import annotations

import html
import re

from preop.slides.levels import Resolution, number_in

_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_ATTRIBUTE = re.compile(r"""\b(\w+)\s*=\s*["']([^"']*)["']""")
_UM_PER_UNIT = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25_400.0}
_GREEK_MU, _MICRO_SIGN = "\u03bc", "\u00b5"


def ome_um(xml: str, shape: tuple[int, int]) -> Resolution | None:
    """Micrometres per pixel along y and x of the image with a shape; None where they are not stated."""
    for element in _PIXELS.findall(xml):
        stated = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(element)}
        if (stated.get("SizeY"), stated.get("SizeX")) == (str(shape[0]), str(shape[1])):
            y, x = (_um(stated.get(f"PhysicalSize{axis}"), stated.get(f"PhysicalSize{axis}Unit")) for axis in "YX")
            return None if y is None or x is None else (y, x)
    return None


def _um(value: str | None, unit: str | None) -> float | None:
    size = number_in(value or "")
    um = _UM_PER_UNIT.get((unit or _MICRO_SIGN + "m").replace(_GREEK_MU, _MICRO_SIGN).strip())
    return None if size is None or um is None else size * um
