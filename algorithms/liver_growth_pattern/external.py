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
from preop.folders import open_resumable_run, sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import to_json
from preop.study import MODEL_FILE

from .learning import Fitted
from .model import load_model
from .pages import evidence_page
from .training import oracle_of, prepare, said_of


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
    """Try a model on a cohort; write ``report.html`` and ``evidence.json``, and give the first."""
    algorithm = read_algorithm(Path(__file__).parent)
    cohort = read_cohort(cohort_file, algorithm)
    model = load_model(model_folder, algorithm)
    open_resumable_run(output, {"cohort": cohort.sha256, "model": sha256(model_folder / MODEL_FILE)})
    without = np.array(model.description.mean_shares)
    evidence = external_evidence(cohort, model.fitted, without=without, work=output / "work")
    (output / "evidence.json").write_text(to_json(evidence), encoding="utf-8")
    page = output / "report.html"
    evidence_page(
        evidence,
        page,
        kicker="External validation",
        title=algorithm.title,
        source=cohort.source.description,
        simulated=cohort.source.simulated,
    )
    return page


def external_evidence(cohort: Cohort, fitted: Fitted, *, without: np.ndarray[Any, Any], work: Path) -> dict[str, Any]:
    """What a model says of a cohort that it has not learned from.

    Parameters
    ----------
    without
        Mean shares (3,) of the patients it has learned from.
    work
        Folder where finished patients are kept.
    """
    prepared = prepare(cohort, work)
    return {
        "format": 1,
        "protocol": "a model that was trained on other patients",
        "settings": {},
        "patients": said_of(prepared, fitted, fold="external", without=without),
        "oracle": oracle_of(cohort),
    }


if __name__ == "__main__":
    main()
