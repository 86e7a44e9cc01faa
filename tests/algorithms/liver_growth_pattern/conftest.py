"""A small cohort, and a model trained on it in seconds, for all tests of this study."""

from pathlib import Path

import pytest

from liver_growth_pattern.learning import Settings
from liver_growth_pattern.settings import NetworkSettings
from liver_growth_pattern.simulation import simulate
from liver_growth_pattern.training import fit
from preop.cohort import Cohort, read_cohort
from preop.grandchallenge.algorithm import read_algorithm
from preop.mil import Settings as MilSettings
from tests.conftest import ROOT, one_process

ALGORITHM = read_algorithm(ROOT / "algorithms" / "liver_growth_pattern")
PATIENTS, SEED = 8, 291
"""Four of them desmoplastic, with twelve metastases together; of two patients only the pattern is known."""
QUICK = Settings(
    network=NetworkSettings(channels=(4, 4, 4)),
    training=MilSettings(epochs=1, folds=2),
    penalties=(0.1,),
    folds=2,
)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Patients of whom some are known by metastasis, some only as a whole."""
    folder = tmp_path_factory.mktemp("liver") / "cohort"
    with one_process():
        simulate(PATIENTS, SEED, folder, small=True, only_patient_known=0.3)
    return read_cohort(folder / "cohort.csv", ALGORITHM)


@pytest.fixture(scope="session")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``model`` and ``report``."""
    folder = tmp_path_factory.mktemp("trained")
    with one_process():
        fit(cohort, folder / "model", folder / "report", QUICK)
    return folder
