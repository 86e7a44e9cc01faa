"""Risk of lung metastasis of a soft-tissue sarcoma, from CT, T1 MR and FDG-PET before treatment."""
