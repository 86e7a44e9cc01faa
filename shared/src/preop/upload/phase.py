"""A challenge pack: all that an organiser gives the platform for a phase, made from a cohort with its reference standard."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preop.atomic import replacing_folder, write_text
from preop.cohort import Cohort, reference_of, write_ground_truth
from preop.engines.archive import GROUND_TRUTH_ARCHIVE, write_folder_archive
from preop.engines.programs import EVALUATION_MEMORY_GB
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.sockets import describe

_SCORES = {
    "binary": {"auc": "AUC", "sensitivity": "Sensitivity", "specificity": "Specificity"},
    "ordinal": {"quadratic_weighted_kappa": "Quadratic weighted kappa", "accuracy": "Accuracy"},
}
"""For each kind of task: the score to rank by, then what else to show, with their titles; larger is better, and all are finite numbers
where the reference has every value."""


@dataclass(frozen=True)
class Phase:
    """One phase of a challenge.

    Attributes
    ----------
    name
        Of its folder in the pack, and its title.
    cohort
        Its patients.
    """

    name: str
    cohort: Cohort


def write_pack(name: str, cohort: Cohort, task: Path, output: Path, *, debug: int) -> Path:
    """Write a challenge pack: the request to the platform, and for each phase its patients, ground truth and settings.

    Parameters
    ----------
    name
        Of the challenge there (its short name): letters, digits and hyphens, for it becomes a part of its address.
    task
        ``task.toml`` of the evaluation for the algorithm.
    output
        A folder that is not there yet.
    debug
        How many patients the first phase takes, in which participants try their containers out; they are the first of the
        table in which each value of the reference standard occurs.

    Returns
    -------
    The page that leads through the rest.

    Raises
    ------
    InvalidInputError
        If the folder is there, the name cannot be one there, a patient lacks the reference standard, or there are too few
        patients for two phases.
    """
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", name):  # validate_nounderscores in challenges/models.py there
        raise InvalidInputError(
            f"A challenge there cannot be called {name!r:.60}; expected letters and digits, and hyphens between them."
        )
    if output.exists():
        raise InvalidInputError(f"{output} exists already: name a new folder, so that nothing is overwritten.")
    described = reference_of(cohort, task)
    if described["kind"] not in _SCORES:
        raise InvalidInputError(
            f"{task} is of the kind {described['kind']}; packs are made for {' and '.join(_SCORES)}: name another task, or fill "
            "in the phase by hand (evaluation/README.md)."
        )
    first = _first_patients(cohort, described["reference_column"], debug)
    phases = [Phase("debug", replace(cohort, patients=first)), Phase("final", cohort)]
    algorithm = cohort.algorithm
    own = _by_the_platforms_names(described, algorithm)
    with replacing_folder(output) as folder:
        write_text(folder / "sockets.txt", describe(_asking_for_these(cohort)) + "\n")
        for phase in phases:
            place = folder / phase.name
            names = {patient.name: patient.name for patient in phase.cohort.patients}
            place.mkdir()
            write_ground_truth(phase.cohort, own, names, place / "ground_truth")
            write_folder_archive(place / "ground_truth", place / GROUND_TRUTH_ARCHIVE)
            write_text(place / "phase.json", json.dumps(settings_of(phase, algorithm, own), indent=2) + "\n")
            write_text(place / "patients.txt", "".join(f"{patient}\n" for patient in names))
        write_text(folder / "README.md", _readme(name, algorithm, phases, described, output))
    return output / "README.md"


def _asking_for_these(cohort: Cohort) -> Algorithm:
    """Let the request be for the interfaces that the patients have: an item of no interface of the phase is passed over.

    Source: ``get_archive_items_for_interfaces`` in ``app/grandchallenge/evaluation/models.py`` of the platform.
    """
    had = {patient.case.interface for patient in cohort.patients}
    algorithm = cohort.algorithm
    core = tuple(interface for interface in algorithm.interfaces if tuple(sorted(interface)) in had)
    return algorithm.model_copy(update={"core": core})


def settings_of(phase: Phase, algorithm: Algorithm, task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the settings of a phase by the names of the platform's fields, apart by who can set them.

    Source: ``app/grandchallenge/evaluation`` of the platform, ``forms.py`` (``PhaseUpdateForm``,
    ``ConfigureAlgorithmPhasesForm``) and ``models.py`` (``EXTRA_RESULT_COLUMNS_SCHEMA``).
    """
    (score, title), *others = _SCORES[task["kind"]].items()
    return {
        "asked of support": {
            "submission_kind": "Algorithm",
            "algorithm_time_limit": algorithm.time_limit_minutes * 60,
            "algorithm_maximum_settable_memory_gb": algorithm.memory_gb,
        },
        "typed by you": {
            "title": phase.name,
            "evaluation_requires_memory_gb": EVALUATION_MEMORY_GB,
            "score_title": title,
            "score_jsonpath": _path_of(score),
            "score_default_sort": "desc",
            "extra_results_columns": [
                {"title": title, "path": _path_of(metric), "order": "desc"} for metric, title in others
            ],
        },
    }


def _path_of(metric: str) -> str:
    return f"aggregates.{metric}.value"


def _first_patients(cohort: Cohort, column: str, count: int) -> tuple[Any, ...]:
    """Take so many patients that each value of the reference standard is there, in the order of the table."""
    first = {patient.row[column]: patient for patient in reversed(cohort.patients)}
    taken = list(first.values())
    taken += [patient for patient in cohort.patients if patient not in taken][: max(count - len(taken), 0)]
    if len(taken) >= len(cohort.patients):
        raise InvalidInputError(
            f"{cohort.path.name} has {len(cohort.patients)} patients, and the phase to try things out would take "
            f"{len(taken)} of them; expected more patients."
        )
    return tuple(patient for patient in cohort.patients if patient in taken)


def _by_the_platforms_names(task: dict[str, Any], algorithm: Algorithm) -> dict[str, Any]:
    """Let the evaluation look for the sockets by what the platform calls them."""
    named = {key: algorithm.platform_slug(value) for key, value in task.items() if key.endswith("_socket")}
    return {**task, **named, "case_sockets": [algorithm.platform_slug(slug) for slug in task["case_sockets"]]}


def _readme(name: str, algorithm: Algorithm, phases: Sequence[Phase], task: dict[str, Any], output: Path) -> str:
    parts = [
        f"# {name}: a challenge on {algorithm.title.lower()}\n",
        f"Patients: {len(phases[-1].cohort.patients)}, of whom the debug phase has {len(phases[0].cohort.patients)}. "
        f"{task['source']}\n",
        "Performance on simulated patients is not clinical performance.\n" if task["simulated"] else "",
        "What each step rests on, and where on the platform it is done: docs/grand-challenge.md of preop.\n",
        f"1. Request the challenge, with the short name {name}. Ask support for the sockets and interfaces in `sockets.txt`, and for "
        "two phases with an archive each and the settings that `phase.json` calls theirs. How the archives are called there stands at "
        "the end of their addresses.",
        f"2. `preop export evaluation` and upload the image as the method of each phase; `preop export {algorithm.name}` "
        "as an algorithm of your own for step 5.",
    ]
    for number, phase in enumerate(phases, 3):
        parts.append(
            f"{number}. Phase `{phase.name}`: put the patients of `{phase.name}/patients.txt` into its archive "
            f"(`preop upload {algorithm.name} --cohort {phase.cohort.path} --archive {name.lower()}-{phase.name}-dataset"
            f"{'' if phase is phases[-1] else ' --only ' + str(output / phase.name / 'patients.txt')} --send`), upload "
            f"`{phase.name}/{GROUND_TRUTH_ARCHIVE}` as its ground truth, and type what `{phase.name}/phase.json` says into its "
            "settings."
        )
    parts.append(
        "5. Submit your own algorithm to the debug phase. When it stands on the leaderboard, open the final phase."
    )
    return "\n".join(part for part in parts if part) + "\n"
