"""Growth patterns on simulated liver metastases: ``python benchmarks/liver.py FOLDER``.

Learns from 400 simulated patients, and tests what it has learned on 200 external ones of other scanners: radiomics and
network combined, each alone, the mean of the training patients, and the oracle of an observer who knows what the patients
were made from. Intervals are from resampled patients, and DeLong's for the AUC of patients.

All models come from one training run: the same folds, the same learners. Finished parts are kept in FOLDER, and a run that
was stopped goes on from there.

``python benchmarks/liver.py FOLDER --ceiling 2000`` asks what the measured features of a scan can tell at most, where the oracle
knows variables that no image shows. Boosted trees learn from so many further patients of the external scanners, told not the
report but the true chance of each; a second step reads the metastases of a patient together. What they say of the same external
patients is printed for a quarter, a half and all of the patients: while it still rises, the ceiling is higher.

``python benchmarks/liver.py FOLDER --ct-alone 60 --model MODEL`` runs a model with a detection network on the whole scans of so
many patients that neither has seen: once with outlines as in a cohort, once with the CT alone. Printed is what the network
finds, and the figures of both, of the metastases that both assess.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from liver_growth_pattern.external import external_evidence
from liver_growth_pattern.inference import predict
from liver_growth_pattern.learning import Settings, fit_model, mean_shares
from liver_growth_pattern.lesions import CT, SEGMENTATION, find_lesions
from liver_growth_pattern.model import Model, load_model
from liver_growth_pattern.preparation import SECOND_SEGMENTATION
from liver_growth_pattern.simulation import CENTRES, EXTERNAL_CENTRES, draw_patient, simulate
from liver_growth_pattern.training import prepare
from preop.atomic import write_text
from preop.cohort import Cohort, map_patients, read_cohort
from preop.errors import InvalidInputError
from preop.evidence import SharesEvidence
from preop.evidence.wording import estimate_in_words
from preop.folders import open_resumable_run, sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.values import read_json, to_json
from preop.imaging import Image
from preop.staging import Pattern
from preop.statistics import Estimate, auc_delong, mean_bootstrap, wilson
from preop.study import MODEL_FILE

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "liver_growth_pattern"
TRAINING_SEED, EXTERNAL_SEED, CEILING_SEED, CT_ALONE_SEED = 31, 32, 33, 34
COVERED = 0.5
"""Part of the voxels of a metastasis from which it counts as found."""
SMALL_MM = 20.0

Floats = NDArray[np.float64]


def main() -> None:
    """Simulate, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; 0.5 GB")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--external", type=int, default=200)
    parser.add_argument(
        "--ceiling", type=int, default=0, help="patients to learn the ceiling from, in place of the table"
    )
    parser.add_argument(
        "--ct-alone",
        type=int,
        default=0,
        help="patients to try a model on without outlines, in place of the table",
    )
    parser.add_argument("--model", type=Path, default=ALGORITHM / "model", help="model with a detection network")
    arguments = parser.parse_args()
    if arguments.ct_alone:
        print_ct_alone(arguments.folder / "ct-alone", arguments.ct_alone, arguments.model)
        return
    if arguments.ceiling:
        print_ceiling(arguments.folder / "ceiling", arguments.ceiling, arguments.external)
        return
    settings = Settings()
    open_resumable_run(
        arguments.folder,
        {
            "patients": arguments.patients,
            "external": arguments.external,
            "settings": settings.model_dump_json(),
        },
    )
    known = arguments.folder / "evidence.json"
    if not known.is_file():
        found = run(arguments.folder, arguments.patients, arguments.external, settings)
        partial = known.with_name(".evidence.json")
        partial.write_text(to_json(found), encoding="utf-8")
        partial.replace(known)
    found = read_json(known)
    print(f"{arguments.patients} patients to train, {arguments.external} external; ", end="")
    print(f"{found['minutes']:.0f} minutes of training; {os.cpu_count()} cores, torch {torch.__version__}\n")
    print_table(SharesEvidence.read(found["evidence"]), of="The combination")


def run(folder: Path, patients: int, external: int, settings: Settings) -> dict[str, Any]:
    """Train on one cohort, and gather what is predicted of the other."""
    algorithm = read_algorithm(ALGORITHM)
    simulate(patients, TRAINING_SEED, folder / "training", centres=CENTRES)
    simulate(external, EXTERNAL_SEED, folder / "external", centres=EXTERNAL_CENTRES)
    training, other = (read_cohort(folder / name / "cohort.csv", algorithm) for name in ("training", "external"))
    prepared = [each.patient for each in prepare(drawn_once(training), folder / "work" / "training")[0]]
    start = time.perf_counter()
    fitted = fit_model(prepared, settings, folder=folder / "work" / "networks")
    minutes = (time.perf_counter() - start) / 60
    work = folder / "work" / "external"
    evidence = external_evidence(other, fitted, cohort_mean=mean_shares(prepared), work=work)
    return {"minutes": minutes, "evidence": evidence.model_dump(mode="json")}


def drawn_once(cohort: Cohort) -> Cohort:
    """Leave out the second segmentation, from which nothing is learned."""
    patients = (
        replace(patient, row={name: cell for name, cell in patient.row.items() if name != SECOND_SEGMENTATION})
        for patient in cohort.patients
    )
    return replace(cohort, patients=tuple(patients))


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


def print_ceiling(folder: Path, patients: int, external: int) -> None:
    """Measure patients, learn from more and more of them, and print what is said of the external ones."""
    wanted = [(CEILING_SEED, number) for number in range(patients)] + [
        (EXTERNAL_SEED, number) for number in range(external)
    ]
    known = _measured(_measure, wanted, folder)
    learned_from, test = ([each for each in part if each["features"]] for part in (known[:patients], known[patients:]))
    names = sorted({name for each in known for row in each["features"] for name in row})
    print(f"{len(test)} external patients with a metastasis that is measured; boosted trees on {len(names)} features\n")
    print(f"{'patients to learn from':34}{'AUC of patients':>24}{'AUC pure or mixed':>24}")
    pure = [report for each in test for report in each["reported_pure"]]
    outcome = [each["non_desmoplastic"] for each in test]
    for count in (patients // 4, patients // 2, patients):
        lesions, patient = learn_ceiling(learned_from[:count], test, names)
        areas = (auc_delong(outcome, patient), auc_delong(pure, lesions))
        print(f"{count:<34}" + "".join(f"{_written(each):>24}" for each in areas))
    observer = (auc_delong(outcome, [each["oracle"] for each in test]), auc_delong(pure, _chances(test)))
    print(f"{'oracle, on these patients':34}" + "".join(f"{_written(each):>24}" for each in observer))


def learn_ceiling(known: Sequence[Any], test: Sequence[Any], names: Sequence[str]) -> tuple[Floats, Floats]:
    """Say how likely each metastasis of the test patients is reported as pure, and each patient as non-desmoplastic."""
    owners = np.concatenate([[number] * len(each["features"]) for number, each in enumerate(known)])
    table, chances = _table_of(known, names), _chances(known)
    unseen = np.empty(len(table))
    for train, held_out in GroupKFold(5).split(table, groups=owners):
        unseen[held_out] = _trees().fit(table[train], chances[train]).predict(table[held_out])
    of_test = _trees().fit(table, chances).predict(_table_of(test, names))
    together = _trees().fit(_together(unseen, known), [each["oracle"] for each in known])
    return of_test, together.predict(_together(of_test, test))


def _together(chances: Floats, patients: Sequence[Any]) -> Floats:
    """Of each patient: the number of metastases; smallest, mean, largest and product of their chances (n, 5)."""
    ends = np.cumsum([len(each["features"]) for each in patients])
    rows = np.split(chances.clip(1e-4, 1), ends[:-1])
    return np.array([(len(row), row.min(), row.mean(), row.max(), row.prod()) for row in rows])


def _trees() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=300, max_leaf_nodes=15, l2_regularization=1.0, max_features=0.2, random_state=0
    )


def _table_of(patients: Sequence[Any], names: Sequence[str]) -> Floats:
    return np.array([[row.get(name, np.nan) for name in names] for each in patients for row in each["features"]])


def _chances(patients: Sequence[Any]) -> Floats:
    return np.array([chance for each in patients for chance in each["pure_chances"]])


def _measure(patient: tuple[int, int], *, folder: Path) -> None:
    """Draw a patient of the external scanners, and keep what is measured and what is true."""
    seed, number = patient
    made = draw_patient(seed, number, centres=EXTERNAL_CENTRES, only_around=True)
    seen = find_lesions(made.ct, made.reader if made.facts.source == "reader" else made.network).seen
    drawn = made.facts.metastases
    seen = tuple(each for each in seen if each.lesion.number <= len(drawn))
    places = [each.lesion.number - 1 for each in seen]
    content = {
        "features": [each.features for each in seen],
        "pure_chances": drawn.pure_report[places].tolist(),
        "reported_pure": [int(made.facts.reports[place].pure_desmoplastic) for place in places],
        "non_desmoplastic": int(made.facts.non_desmoplastic),
        "oracle": drawn.oracle,
    }
    write_text(_measured_file(folder, seed, number), to_json(content))


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
        [(CT_ALONE_SEED, number) for number in range(patients)],
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
