"""What the pathologist reported by field of the dissection: ``fields.csv`` beside the table of the cohort."""

FIELDS_FILE = "fields.csv"
FIELD_COLUMNS = ("patient", "side", "region", "removed", "positive")
