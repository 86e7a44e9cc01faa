"""A hospital's cohort: one row a patient, each row a case that any algorithm can run on."""

from preop.cohort.answers import Answers, answers_of
from preop.cohort.copies import refuse_copies
from preop.cohort.extraction import extract_cohort, write_extraction
from preop.cohort.measuring import FailedPatientsError, Outcome, failures_told, learning_folder, measure_patients, tell
from preop.cohort.running import PatientFailedError, map_patients
from preop.cohort.table import Cohort, Patient, read_cohort, write_source
from preop.cohort.validation import Predicted, predict_cohort, reference_of, write_ground_truth

__all__ = [
    "Answers",
    "Cohort",
    "FailedPatientsError",
    "Outcome",
    "Patient",
    "PatientFailedError",
    "Predicted",
    "answers_of",
    "extract_cohort",
    "failures_told",
    "learning_folder",
    "map_patients",
    "measure_patients",
    "predict_cohort",
    "read_cohort",
    "reference_of",
    "refuse_copies",
    "tell",
    "write_extraction",
    "write_ground_truth",
    "write_source",
]
