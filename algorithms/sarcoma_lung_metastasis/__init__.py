"""Risk of lung metastasis of a soft-tissue sarcoma, from CT and/or T1 MR before treatment."""
