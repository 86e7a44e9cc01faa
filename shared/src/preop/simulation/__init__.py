"""Building blocks of simulated scans: shapes, tissues, scanners and readers in millimetres, and outcomes with a known truth.

Everything random takes a ``numpy.random.Generator``; the same generator state gives the same voxels. A study makes
its anatomy of these blocks in its own ``simulation.py``.
"""

from preop.simulation.fields import correlated_noise, random_field
from preop.simulation.outcomes import LogisticOutcome, ceiling_auc
from preop.simulation.readers import draw_contour
from preop.simulation.scanners import CtScanner, MrScanner, PetScanner
from preop.simulation.shapes import Blob, Tube, distance_map, ellipse_distance_mm, occupancy, random_blob
from preop.simulation.volumes import average, finer, paint, sample_along_axes, slabs

__all__ = [
    "Blob",
    "CtScanner",
    "LogisticOutcome",
    "MrScanner",
    "PetScanner",
    "Tube",
    "average",
    "ceiling_auc",
    "correlated_noise",
    "distance_map",
    "draw_contour",
    "ellipse_distance_mm",
    "finer",
    "occupancy",
    "paint",
    "random_blob",
    "random_field",
    "sample_along_axes",
    "slabs",
]
