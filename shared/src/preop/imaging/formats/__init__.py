"""One module for each format of scans: header, size and values are checked before a voxel is believed."""
