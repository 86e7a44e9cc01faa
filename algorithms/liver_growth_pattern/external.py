"""A trained model on patients it has never seen, in one command, with the page of figures that training writes.

    python -m liver_growth_pattern.external COHORT MODEL OUTPUT

``preop validate`` judges the likelihood of patients for every algorithm alike; this adds the shares of metastases.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from preop.cohort import Cohort, read_cohort
from preop.errors import PreopError
from preop.evidence import SharesEvidence
from preop.folders import open_resumable_run, sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.report.training import write_report
from preop.study import MODEL_FILE

from .fitted import Fitted
from .model import load_model
from .training import IN_WORDS, held_out_predictions, oracle_of, prepare


def main() -> None:
    """Read, predict, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="cohort.csv of the other patients")
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("output", type=Path, help="a new folder, or one that the same call began")
    arguments = parser.parse_args()
    try:
        print(f"The page is {validate(arguments.cohort, arguments.model, arguments.output)}")
    except PreopError as error:
        sys.exit(str(error))


def validate(cohort_file: Path, model_folder: Path, output: Path) -> Path:
    """Test a model on a cohort; write ``report.html`` and ``evidence.json``, and give the first."""
    algorithm = read_algorithm(Path(__file__).parent)
    cohort = read_cohort(cohort_file, algorithm)
    model = load_model(model_folder, algorithm)
    open_resumable_run(output, {"cohort": cohort.sha256, "model": sha256(model_folder / MODEL_FILE)})
    evidence = external_evidence(
        cohort, model.fitted, cohort_mean=np.array(model.description.mean_shares), work=output / "work"
    )
    return write_report(evidence, output, title=algorithm.title, source=cohort.source, kicker="External validation")


def external_evidence(
    cohort: Cohort, fitted: Fitted, *, cohort_mean: np.ndarray[Any, Any], work: Path
) -> SharesEvidence:
    """What a model predicts of a cohort that it has not learned from.

    Parameters
    ----------
    cohort_mean
        Mean shares (3,) of the patients it has learned from.
    work
        Folder where finished patients are kept.
    """
    prepared, _ = prepare(cohort, work)
    return SharesEvidence.read(
        {
            "protocol": "a model that was trained on other patients",
            "models": IN_WORDS,
            "patients": held_out_predictions(prepared, fitted, fold="external", cohort_mean=cohort_mean),
            "oracle": oracle_of(cohort),
        }
    )


if __name__ == "__main__":
    main()
