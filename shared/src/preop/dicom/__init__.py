"""Hospital data in, results back out: what lies in an export of a PACS, which series a study needs, and DICOM written.

Reading a series, contours and segmentations as images is below, in ``preop.imaging.dicom``: a folder of slices is a scan like
any other. Here lies what finds them in thousands of files, chooses among them, hides whose they are, asks a server, and
writes results that a PACS shows.
"""
