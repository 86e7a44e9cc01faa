"""Small DICOM whole-slide images (DICOM PS3.3, A.32.8), uncompressed, as far as OpenSlide needs them."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from preop.slides.levels import Pixels

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
CT = "1.2.840.10008.5.1.4.1.1.2"
TILE_PX = 64


def write_dicom_slide(
    path: Path,
    picture: Pixels,
    *,
    series: str,
    um_per_pixel: float = 0.5,
    flavour: str = "VOLUME",
    container: str = "S1",
    sop_class: str = WHOLE_SLIDE,
) -> None:
    """Write one level or label, in tiles of 64 pixels."""
    height, width = picture.shape[:2]
    rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
    whole = np.full((rows * TILE_PX, columns * TILE_PX, 3), 255, np.uint8)
    whole[:height, :width] = picture
    tiles = whole.reshape(rows, TILE_PX, columns, TILE_PX, 3).swapaxes(1, 2)
    slide = Dataset()
    slide.file_meta = FileMetaDataset()
    slide.file_meta.MediaStorageSOPClassUID = sop_class
    slide.file_meta.MediaStorageSOPInstanceUID = slide.SOPInstanceUID = generate_uid()
    slide.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slide.SOPClassUID = sop_class
    slide.SeriesInstanceUID, slide.StudyInstanceUID = series, "1.2.3"
    slide.ContainerIdentifier, slide.Modality = container, "SM"
    slide.ImageType = ["ORIGINAL", "PRIMARY", flavour, "NONE"]
    slide.TotalPixelMatrixColumns, slide.TotalPixelMatrixRows = width, height
    slide.Rows = slide.Columns = TILE_PX
    slide.NumberOfFrames = rows * columns
    slide.TotalPixelMatrixFocalPlanes = slide.NumberOfOpticalPaths = 1
    slide.DimensionOrganizationType = "TILED_FULL"
    slide.SamplesPerPixel, slide.PlanarConfiguration, slide.PhotometricInterpretation = 3, 0, "RGB"
    slide.BitsAllocated = slide.BitsStored = 8
    slide.HighBit, slide.PixelRepresentation = 7, 0
    measures = Dataset()
    measures.PixelSpacing = [um_per_pixel / 1000] * 2
    measures.SliceThickness = 0.001
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    slide.SharedFunctionalGroupsSequence = Sequence([shared])
    optical = Dataset()
    optical.OpticalPathIdentifier = "1"
    slide.OpticalPathSequence = Sequence([optical])
    slide.PixelData = tiles.tobytes()
    slide["PixelData"].VR = "OB"
    slide.save_as(path, enforce_file_format=True)
