"""Metastases found on the CT alone: ``python benchmarks/liver_ct_alone.py FOLDER --model MODEL``.

Runs a model with a detection network on the whole scans of patients that neither has seen: once with outlines as in a cohort,
once with the CT alone. Printed is what the network finds, and the figures of both, of the metastases that both assess. What is
done is kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from liver_growth_pattern.inference import predict
from liver_growth_pattern.lesions import CT, SEGMENTATION
from liver_growth_pattern.model import Model, load_model
from liver_growth_pattern.simulation import draw_patient
from preop.atomic import write_text
from preop.cohort import map_patients
from preop.errors import InvalidInputError
from preop.evidence import SharesEvidence
from preop.evidence.wording import estimate_in_words
from preop.folders import open_resumable_run, sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.values import read_json, to_json
from preop.imaging import Image
from preop.staging import Pattern
from preop.statistics import Estimate, mean_bootstrap, wilson
from preop.study import MODEL_FILE

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "liver_growth_pattern"
SEED = 34
COVERED = 0.5
"""Part of the voxels of a metastasis from which it counts as found."""
SMALL_MM = 20.0


def main() -> None:
    """Run the model in both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for results")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--model", type=Path, required=True, help="model with a detection network")
    arguments = parser.parse_args()
    print_ct_alone(arguments.folder, arguments.patients, arguments.model)


def print_table(study: SharesEvidence, *, of: str) -> None:
    """Print each model, the mean of the cohort and the oracle; and how the first model, called ``of``, compares."""
    columns = ("AUC of patients", "AUC pure or mixed", "error of shares", "predominant right")
    print(f"{'':34}" + "".join(f"{column:>24}" for column in columns) + f"{'log score':>12}")
    for model, words in study.models.items():
        shares = study.shares_by(model)
        right = shares.agreement.accuracy if shares.agreement else None
        numbers = (study.patients_by(model).auc, shares.pure_auc, shares.error, right)
        print(
            f"{words:34}" + "".join(f"{_written(each):>24}" for each in numbers) + f"{shares.log_scores.mean():>12.3f}"
        )
    print(f"{'mean of the training patients':34}{'':48}{_written(study.cohort_mean_error):>24}")
    if best := study.oracle_figures:
        print(f"{'oracle':34}" + "".join(f"{'-' if value is None else f'{value:.3f}':>24}" for value in best.values()))
    print(f"\n{of} compared with (better where the error is below 0, the AUC above 0):")
    for name, error in study.error_comparisons.items():
        area = study.auc_comparisons.get(name)
        print(f"{name:34}{_written(area.difference if area else None):>24}{'':24}{_written(error):>24}")


def _measured(function: Callable[..., None], wanted: Sequence[tuple[int, int]], folder: Path) -> list[Any]:
    """Call a function for each patient that is not known yet, by seed and number; give what it keeps of all."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [each for each in wanted if not _measured_file(folder, *each).is_file()]
    for _, result in map_patients(partial(function, folder=folder), todo, description="Measuring"):
        if result is not None:
            raise result
    return [read_json(_measured_file(folder, *each)) for each in wanted]


def _measured_file(folder: Path, seed: int, number: int) -> Path:
    return folder / f"{seed}_{number:05d}.json"


def print_ct_alone(folder: Path, patients: int, model: Path) -> None:
    """Run a model with outlines and without; print what was found, and the figures of both."""
    open_resumable_run(folder, {"model": sha256(model / MODEL_FILE)})
    known = _measured(
        partial(_with_and_without, model_folder=model),
        [(SEED, number) for number in range(patients)],
        folder / "patients",
    )
    owners = [each["patient"] for each in known for _ in each["metastases"]]
    metastases = [lesion for each in known for lesion in each["metastases"]]
    small = [lesion["long_axis_mm"] < SMALL_MM for lesion in metastases]
    found = [lesion["covered"] >= COVERED for lesion in metastases]
    print(f"{patients} patients, {len(metastases)} metastases\n")
    for words, chosen in (
        ("metastases found", [True] * len(found)),
        (f"of those under {SMALL_MM:g} mm", small),
        ("of the others", [not each for each in small]),
    ):
        rows = [number for number, each in enumerate(chosen) if each]
        hits = [found[row] for row in rows]
        rate = mean_bootstrap(hits, [owners[row] for row in rows], seed=0)
        print(f"{words:34}{sum(hits):>4} of {len(hits):<4}{_written(rate)}")
    print(f"{'false ones a patient':34}{np.mean([each['false'] for each in known]):.2f}")
    print(f"{'patients without any':34}{_share(known, lambda each: each['false'] == 0)}")
    print(f"{'patients with nothing assessed':34}{_share(known, lambda each: each['nothing'])}")
    print(f"{'Dice of a patient, median':34}{np.median([each['dice'] for each in known]):.2f}")
    both = [lesion for lesion in metastases if lesion["alone"] and lesion["given"]]
    print(f"{'class by the network right':34}{_share(both, lambda each: each['class_right'])}\n")
    print_table(SharesEvidence.read(_evidence_of(known, _loaded(model))), of="CT alone")


def _share(rows: Sequence[Any], holds: Callable[[Any], bool]) -> str:
    number = sum(map(holds, rows))
    return f"{number:>4} of {len(rows):<4}{_written(wilson(number, len(rows)))}"


def _evidence_of(known: Sequence[Any], model: Model) -> dict[str, Any]:
    """Likelihoods of all patients, and shares of the metastases that are assessed in both ways."""
    rows = []
    for each in known:
        both = [lesion for lesion in each["metastases"] if lesion["alone"] and lesion["given"]]
        rows.append(
            {
                "patient": each["patient"],
                "centre": each["centre"],
                "source": "",
                "fold": "external",
                "non_desmoplastic": each["non_desmoplastic"],
                "cohort_mean": model.description.mean_shares,
                "lesions": [{name: lesion[name] for name in ("label", "long_axis_mm", "report")} for lesion in both],
                "predictions": {
                    way: {"non_desmoplastic": each[way], "lesions": [lesion[way] for lesion in both]}
                    for way in ("alone", "given")
                },
                "second": None,
            }
        )
    return {
        "protocol": "a model that was trained on other patients",
        "models": {"alone": "CT alone", "given": "outlines given"},
        "patients": rows,
        "oracle": None,
    }


@cache
def _loaded(model: Path) -> Model:
    return load_model(model, read_algorithm(ALGORITHM))


def _with_and_without(patient: tuple[int, int], *, folder: Path, model_folder: Path) -> None:
    """Draw a patient with the whole scan, and keep what a model says of it with outlines and without."""
    made, model = draw_patient(*patient), _loaded(model_folder)
    outlines, truth = made.reader if made.facts.source == "reader" else made.network, made.reader.voxels
    given: dict[str, Any] = predict(_case(made.ct, outlines), model)
    data = model.info.training_data
    alone, of_label, false = (data.events or 0) / data.patients, {}, 0
    found = np.zeros(truth.shape, dtype=bool)
    try:
        outputs: dict[str, Any] = predict(_case(made.ct), model)
    except InvalidInputError:  # the network finds nothing, or nothing in the liver: no more is known than before
        rows: Sequence[Any] = ()
    else:
        alone, rows = outputs["non-desmoplastic-likelihood"], outputs["growth-patterns"]["metastases"]
        judged = outputs["growth-pattern-map"].voxels
        found = (judged > 0) & (judged <= len(Pattern))
    for row in rows:
        place = made.ct.geometry.index_zyx(np.array([row["position_mm"]]))[0].round().astype(int)
        label = int(truth[tuple(place)])
        of_label[label] = row
        false += label == 0
    by_outlines = {row["metastasis"]: row for row in given["growth-patterns"]["metastases"]}
    diameters = 2 * made.facts.metastases.radius_mm
    content = {
        "patient": f"{patient[1]:05d}",
        "centre": made.facts.centre.name,
        "non_desmoplastic": int(made.facts.non_desmoplastic),
        "given": given["non-desmoplastic-likelihood"],
        "alone": alone,
        "false": false,
        "nothing": not rows,
        "dice": 2 * float((found & (truth > 0)).sum()) / float(found.sum() + (truth > 0).sum()),
        "metastases": [
            {
                "label": label,
                "long_axis_mm": float(diameters[label - 1]),
                "report": report.as_tuple(),
                "covered": float(found[truth == label].mean()) if (truth == label).any() else 0.0,
                "given": _prediction_of(by_outlines.get(label)),
                "alone": _prediction_of(of_label.get(label)),
                "class_right": label in of_label and of_label[label]["pattern_by_detection"] == report.predominant,
            }
            for label, report in enumerate(made.facts.reports, start=1)
        ],
    }
    write_text(_measured_file(folder, *patient), to_json(content))


def _case(ct: Image, outlines: Image | None = None) -> Case:
    images = {CT: ct} if outlines is None else {CT: ct, SEGMENTATION: outlines}
    return Case(read_algorithm(ALGORITHM), "case", dict.fromkeys(images, Path()), {}, images)


def _prediction_of(row: Any) -> dict[str, Any] | None:
    """What evidence holds of a metastasis, by its row in the output."""
    if row is None:
        return None
    shares = row["shares"]
    return {
        "mean": [shares[pattern]["expected"] for pattern in Pattern],
        "pure": row["probability_purely_desmoplastic"],
        "at_least_half": row["probability_desmoplastic_half_or_more"],
        "predominant": [row["probability_predominant"][pattern] for pattern in Pattern],
        "log_score": None,
        "interval": [shares[Pattern.DESMOPLASTIC]["low"], shares[Pattern.DESMOPLASTIC]["high"]],
    }


def _written(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate_in_words(estimate, digits=3)


if __name__ == "__main__":
    main()
