"""A hospital's cohort: one row a patient, each row a case that any algorithm can run on."""

from preop.cohort.running import map_patients
from preop.cohort.table import Cohort, Patient, read_cohort, write_source

__all__ = ["Cohort", "Patient", "map_patients", "read_cohort", "write_source"]
