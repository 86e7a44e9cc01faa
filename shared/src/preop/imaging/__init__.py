"""Images in physical space: read, write, resample, crop and label, with millimetres kept right."""

from preop.imaging.diameters import AxialDiameters, axial_axis, axial_diameters
from preop.imaging.files import files_of, from_sitk, read_geometry, read_image, to_sitk, write_image
from preop.imaging.frames import overlap, to_common_frame
from preop.imaging.images import Geometry, Image
from preop.imaging.masks import matching_regions, on_grid, read_labels, read_mask, region_names
from preop.imaging.orientation import reorient, reorient_like, slice_axis, slices_first
from preop.imaging.regions import bounding_box, components, crop, crop_geometry, split_touching
from preop.imaging.resampling import aligned_grid, resample, resample_like
from preop.imaging.separation import SPECK_MM3, check_drawn, separate_instances
from preop.imaging.tiff import read_tiff, write_tiff
from preop.imaging.units import check_hu, check_mm, check_suv

__all__ = [
    "SPECK_MM3",
    "AxialDiameters",
    "Geometry",
    "Image",
    "aligned_grid",
    "axial_axis",
    "axial_diameters",
    "bounding_box",
    "check_drawn",
    "check_hu",
    "check_mm",
    "check_suv",
    "components",
    "crop",
    "crop_geometry",
    "files_of",
    "from_sitk",
    "matching_regions",
    "on_grid",
    "overlap",
    "read_geometry",
    "read_image",
    "read_labels",
    "read_mask",
    "read_tiff",
    "region_names",
    "reorient",
    "reorient_like",
    "resample",
    "resample_like",
    "separate_instances",
    "slice_axis",
    "slices_first",
    "split_touching",
    "to_common_frame",
    "to_sitk",
    "write_image",
    "write_tiff",
]
