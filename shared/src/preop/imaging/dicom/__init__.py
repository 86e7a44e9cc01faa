"""DICOM read: a series as one regular volume, contours (RTSTRUCT) and segmentations (SEG) as masks.

What only reads lives here, on the floor of images, because cases and tables name folders of slices like any other scan.
What writes, imports or asks a server has no place here.
"""
