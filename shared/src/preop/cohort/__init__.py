"""A hospital's cohort: one row a patient, each row a case that any algorithm can run on."""

from preop.cohort.extraction import extract_cohort, write_extraction
from preop.cohort.running import map_patients
from preop.cohort.table import Cohort, Patient, read_cohort, write_source
from preop.cohort.validation import predict_cohort

__all__ = [
    "Cohort",
    "Patient",
    "extract_cohort",
    "map_patients",
    "predict_cohort",
    "read_cohort",
    "write_extraction",
    "write_source",
]
