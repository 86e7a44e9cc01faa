"""What a study is, as types: its three modules, the provenance and validation of its models, and what all of them say."""

from preop.evidence import Comparison, Figure, ModelFigures, Stored, ValidationFigures
from preop.study.assessability import Assessability, Assessable, supported
from preop.study.case_folder import lay_out_case
from preop.study.cases import Illustration, describe_case, is_like_the_training, write_case
from preop.study.contract import (
    Inference,
    Page,
    Plausibility,
    Progress,
    Simulation,
    Training,
    find_studies,
    importable_studies,
    inference_of,
    make_importable,
    page_of,
    plausibility_of,
    portable_of,
    simulation_of,
    training_of,
)
from preop.study.creation import remove_killed_study, remove_study, write_study
from preop.study.description import Range, read_description
from preop.study.model_files import MODEL_FILE, files_in
from preop.study.portable_forms import write_portable_forms
from preop.study.provenance import (
    DataSource,
    ModelInfo,
    NoDetails,
    TrainingData,
    model_info,
    model_provenance,
    put_into_model,
    read_model_info,
    register,
    write_model,
)
from preop.study.wording import DISCLAIMER, SIMULATED, model_entry, simulation_warnings

__all__ = [
    "DISCLAIMER",
    "MODEL_FILE",
    "SIMULATED",
    "Assessability",
    "Assessable",
    "Comparison",
    "DataSource",
    "Figure",
    "Illustration",
    "Inference",
    "ModelFigures",
    "ModelInfo",
    "NoDetails",
    "Page",
    "Plausibility",
    "Progress",
    "Range",
    "Simulation",
    "Stored",
    "Training",
    "TrainingData",
    "ValidationFigures",
    "describe_case",
    "files_in",
    "find_studies",
    "importable_studies",
    "inference_of",
    "is_like_the_training",
    "lay_out_case",
    "make_importable",
    "model_entry",
    "model_info",
    "model_provenance",
    "page_of",
    "plausibility_of",
    "portable_of",
    "put_into_model",
    "read_description",
    "read_model_info",
    "register",
    "remove_killed_study",
    "remove_study",
    "simulation_of",
    "simulation_warnings",
    "supported",
    "training_of",
    "write_case",
    "write_model",
    "write_portable_forms",
    "write_study",
]
