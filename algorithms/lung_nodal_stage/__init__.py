"""Nodal stage of lung cancer, from FDG-PET/CT: stations, N, and why."""
