"""Building blocks of simulated scans: shapes, tissues, scanners and readers in millimetres, and outcomes with a known truth.

Everything random takes a ``numpy.random.Generator``; the same generator state gives the same voxels. A study makes
its patients of these blocks in its own ``simulation/``, and its cohort by the skeleton in ``cohort``.
"""

from preop.simulation.cohort import Place, Table, random_generator, simulate_patients, write_cohort, write_table
from preop.simulation.fields import correlated_noise, random_field
from preop.simulation.label_maps import BodyMap
from preop.simulation.outcomes import LogisticOutcome
from preop.simulation.randomised import RandomisedCt, randomised_ct
from preop.simulation.readers import draw_contour
from preop.simulation.scanners import CtScanner, MrScanner, PetScanner
from preop.simulation.shapes import (
    Blob,
    Ellipsoid,
    Segment,
    Shape,
    Tube,
    distance_map,
    ellipse_distance_mm,
    occupancy,
    random_blob,
)
from preop.simulation.volumes import average, coordinates, finer, paint, sample_aligned, slabs

__all__ = [
    "Blob",
    "BodyMap",
    "CtScanner",
    "Ellipsoid",
    "LogisticOutcome",
    "MrScanner",
    "PetScanner",
    "Place",
    "RandomisedCt",
    "Segment",
    "Shape",
    "Table",
    "Tube",
    "average",
    "coordinates",
    "correlated_noise",
    "distance_map",
    "draw_contour",
    "ellipse_distance_mm",
    "finer",
    "occupancy",
    "paint",
    "random_blob",
    "random_field",
    "random_generator",
    "randomised_ct",
    "sample_aligned",
    "simulate_patients",
    "slabs",
    "write_cohort",
    "write_table",
]
