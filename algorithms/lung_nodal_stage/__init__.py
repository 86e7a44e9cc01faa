"""Nodal stage of lung cancer from PET/CT."""
