"""The public cohort of soft-tissue sarcomas as a ``cohort.csv``.

Source: TCIA collection Soft-tissue-Sarcoma (Vallieres 2015, doi 10.7937/K9/TCIA.2015.7GO2GSKS,
doi 10.1088/0031-9155/60/14/5471, CC BY 3.0), in the layout in which the IBSI distributes it (github theibsi/data_sets,
``ibsi_validation``): one folder a patient with ``CT_image.nii.gz``, ``CT_mask.nii.gz``, ``MR_T1_image.nii.gz``, ...,
beside the collection's ``clinical.csv``.

Usage: python -m sarcoma_lung_metastasis.public_cohort FOLDER COHORT.CSV (writes COHORT.TOML, its source, beside it)
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from preop.cohort import write_source
from preop.errors import InvalidInputError, PreopError
from preop.study import DataSource

SOURCE = DataSource(
    description="39 of the 51 patients of TCIA Soft-tissue-Sarcoma (those that the IBSI distributes), "
    "CT, T1 MR and FDG-PET before treatment, one centre",
    source="doi 10.7937/K9/TCIA.2015.7GO2GSKS, as prepared in github theibsi/data_sets, ibsi_validation",
    citation="Vallieres M, Freeman CR, Skamene SR, El Naqa I. A radiomics model from joint FDG-PET and MRI texture "
    "features for the prediction of lung metastases in soft-tissue sarcomas of the extremities. "
    "Phys Med Biol 2015;60:5471. doi 10.1088/0031-9155/60/14/5471",
    licence="CC BY 3.0",
)

_FILES = {
    "ct-image": "CT_image.nii.gz",
    "ct-tumour-segmentation": "CT_mask.nii.gz",
    "t1-mri": "MR_T1_image.nii.gz",
    "t1-mri-tumour-segmentation": "MR_T1_mask.nii.gz",
    "pet-image": "PET_image.nii.gz",
    "pet-tumour-segmentation": "PET_mask.nii.gz",
}
# The collection's mskcc_type; MFH is the older name of undifferentiated pleomorphic sarcoma (WHO 2013).
_HISTOLOGY = {
    "MFH": "undifferentiated_pleomorphic_sarcoma",
    "Liposarcoma": "liposarcoma",
    "Leiomyosarcoma": "leiomyosarcoma",
    "Synovial sarcoma": "synovial_sarcoma",
    "Fibrosarcoma": "fibrosarcoma",
    "Extraskeletal bone sarcoma": "extraskeletal_bone_sarcoma",
    "Other": "other",
}
_GRADE = {"Low": "low", "Intermediate": "intermediate", "High": "high"}
# Buttock and groin belong to the girdle of the limb.
_TRUNK = ("pelvis", "scapular")


def make_table(folder: Path) -> pd.DataFrame:
    """Make the cohort table of the patients in ``folder``; paths in it are absolute."""
    clinical = folder / "clinical.csv"
    if not clinical.is_file():
        raise InvalidInputError(f"{folder} holds no clinical.csv; expected the public cohort as the IBSI lays it out.")
    rows = []
    for patient in pd.read_csv(clinical).to_dict("records"):
        files = {slug: (folder / patient["patient"] / name).absolute() for slug, name in _FILES.items()}
        rows.append(
            {
                "patient": patient["patient"],
                "centre": "McGill University",
                **{slug: path if path.is_file() else "" for slug, path in files.items()},
                "age_years": patient["age"],
                "sex": patient["sex"].lower(),
                "histology": _HISTOLOGY[patient["mskcc_type"]],
                "grade": _GRADE.get(patient["grade"], ""),
                "site": "trunk" if any(part in patient["site"] for part in _TRUNK) else "extremity",
                "margin": "",
                "lung_metastasis": patient["lung_metastasis"],
                "follow_up_days": patient[
                    "days_diagnosis_to_outcome" if patient["lung_metastasis"] else "days_diagnosis_to_last_follow_up"
                ],
            }
        )
    return pd.DataFrame(rows)


def main() -> int:
    """Write the table of the folder named on the command line."""
    if len(sys.argv) != 3:
        print(__doc__.strip().splitlines()[-1], file=sys.stderr)
        return 1
    try:
        make_table(Path(sys.argv[1])).to_csv(sys.argv[2], index=False)
        write_source(SOURCE, Path(sys.argv[2]))
    except (PreopError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
