"""Images in physical space: read, write, resample, crop and label, with millimetres kept right."""

from preop.imaging.diameters import AxialDiameters, axial_axis, axial_diameters
from preop.imaging.files import from_sitk, read_geometry, read_image, to_sitk, write_image
from preop.imaging.images import Geometry, Image
from preop.imaging.regions import bounding_box, components, crop, crop_geometry, split_touching
from preop.imaging.resampling import aligned_grid, resample, resample_like
from preop.imaging.tiff import read_tiff, write_tiff

__all__ = [
    "AxialDiameters",
    "Geometry",
    "Image",
    "aligned_grid",
    "axial_axis",
    "axial_diameters",
    "bounding_box",
    "components",
    "crop",
    "crop_geometry",
    "from_sitk",
    "read_geometry",
    "read_image",
    "read_tiff",
    "resample",
    "resample_like",
    "split_touching",
    "to_sitk",
    "write_image",
    "write_tiff",
]
