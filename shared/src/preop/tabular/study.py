"""A whole study on feature tables: train every model, validate it, compare it with its baselines, keep the evidence.

The evidence is raw: what each model predicted of each held-out patient of each split (:class:`preop.evidence.SplitsEvidence`).
Every figure follows from it, and so does the report.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.evidence import SplitsEvidence
from preop.progress import progress_bar, progress_bars
from preop.statistics import (
    adjust_p_values,
    cohort_table,
    intraclass_correlation,
    logistic_regression,
    mann_whitney,
)
from preop.tabular.cautions import cautions
from preop.tabular.fitting import fit
from preop.tabular.model import TabularModel
from preop.tabular.permutation import PermutationTest
from preop.tabular.settings import PipelineSettings
from preop.tabular.splits import RepeatedSplits
from preop.tabular.survival import FollowUp, nested_cox
from preop.tabular.table import FeatureTable
from preop.tabular.validation import leave_one_centre_out, nested_validation

_SOFTWARE = ("preop", "numpy", "scipy", "scikit-learn")

Json = dict[str, Any]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Question:
    """What a study asks of a feature table.

    Attributes
    ----------
    outcome
        What is predicted, in words.
    groups
        Columns that come together, by name: those of a scan, those of the clinical record, one that stands alone.
    models
        Groups that each model is built on, by the name of the model.
    baselines
        Names of those models that the others have to beat: volume alone, SUVmax alone, clinical information alone.
    volumes
        Columns that are a volume, for the warning of features that only repeat it.
    described
        Variables of the cohort table, one value a row: numbers, or texts; left out, the columns of the baselines.
    """

    outcome: str
    groups: Mapping[str, Sequence[str]]
    models: Mapping[str, Sequence[str]]
    baselines: Collection[str] = ()
    volumes: Collection[str] = ()
    described: Mapping[str, Sequence[float | str | None]] = field(default_factory=dict)

    def columns(self, model: str) -> list[str]:
        """Columns of a model, each once."""
        return list(dict.fromkeys(name for group in self.models[model] for name in self.groups[group]))


@dataclass(frozen=True)
class Study:
    """What a study gives.

    Attributes
    ----------
    models
        Trained on all patients who have what the model needs.
    evidence
        What they predicted of held-out patients.
    """

    models: Mapping[str, TabularModel]
    evidence: SplitsEvidence


def train_and_validate(
    table: FeatureTable,
    question: Question,
    *,
    settings: PipelineSettings,
    splits: RepeatedSplits,
    permutations: PermutationTest | None = None,
    follow_up: FollowUp | None = None,
    folder: Path | None = None,
) -> Study:
    """Train every model of a question, validate it, and compare it with the baselines on the same patients and splits.

    A model is trained on the patients of whom something is known in each of its groups.

    Parameters
    ----------
    permutations
        Of the claim that a model is better than a baseline, made where the splits show it to be; left out, 199 of them.
    follow_up
        Time to the event, where the cohort has it: adds Cox models and Kaplan-Meier curves.
    folder
        Where finished splits and permutations are kept, so that a run that was stopped goes on from there.

    Raises
    ------
    InvalidInputError
        If the question names what the table lacks, or no model has two patients with and two without the outcome.
    """
    _check(question, table)
    permutations = permutations or PermutationTest()
    # Made first, though it is small: a package that is missing is told now, not after hours.
    cohort = [asdict(row) for row in cohort_table(table.outcome, _described(table, question))]
    trained: dict[str, TabularModel] = {}
    warnings: list[str] = []
    runs = _Runs(table, question, settings, splits, folder)
    models: dict[str, Json] = {}
    eligible = {name: _eligible(table, question, name) for name in question.models}
    for name in [name for name in question.models if not _can_learn(table, eligible[name])]:
        rows = eligible.pop(name)
        events = int(table.outcome[rows].sum())
        warnings.append(
            f"{name}: not trained, for only {events} with and {rows.size - events} without the outcome have what it needs."
        )
    if not eligible:
        events = int(table.outcome.sum())
        raise InvalidInputError(
            f"No model can be trained: of {table.outcome.size} patients {events} have the outcome; "
            "expected at least 4 with and 4 without it who have what a model needs."
        )
    pairs = _pairs(table, question, eligible)
    wanted = {(name, tuple(rows)) for name, rows in eligible.items()}
    wanted |= {(name, tuple(rows)) for model, baseline, rows in pairs for name in (model, baseline)}
    with progress_bars() as progress:
        task = progress.add_task("Validating", total=len(wanted) * splits.repeats)
        for name, rows in eligible.items():
            part = table.rows(rows).select(question.columns(name))
            progress.update(task, description=f"Validating {name}")
            run = runs.get(name, rows, lambda: progress.advance(task))
            trained[name] = fit(part, settings)
            models[name] = {
                "baseline": name in question.baselines,
                "columns": question.columns(name),
                "run": run,
                "final": _final(trained[name]),
                "centres": _by_centre(part, rows, settings),
                "cox": None if follow_up is None else _cox(part, rows, follow_up, settings, splits),
            }
            warnings += cautions(
                name,
                part,
                trained[name],
                runs.finished[run]["splits"],
                volumes=table.select(tuple(question.volumes)).rows(rows),
            )
        comparisons = [
            {
                "model": model,
                "baseline": baseline,
                "runs": [runs.get(name, rows, lambda: progress.advance(task)) for name in (model, baseline)],
            }
            for model, baseline, rows in pairs
        ]
    evidence = {
        "protocol": _protocol(splits, permutations),
        "outcome": question.outcome,
        "settings": settings.model_dump(mode="json"),
        "splits": asdict(splits),
        "software": {"python": platform.python_version(), **{name: version(name) for name in _SOFTWARE}},
        "patients": {
            "patient": table.patients.tolist(),
            "centre": table.centres.tolist(),
            "outcome": table.outcome.astype(int).tolist(),
            "follow_up": None if follow_up is None else follow_up.to_json(),
        },
        "models": models,
        "runs": runs.finished,
        "comparisons": comparisons,
        "cohort": cohort,
        "univariable": univariable(table),
        "regressions": _regressions(table, question),
        "stability": stability(table),
        "warnings": warnings,
    }
    found = SplitsEvidence.read(evidence)
    claims = _test_claims(found, table, question, settings, splits, permutations, folder)
    return Study(trained, found.with_permutations(claims))


def _protocol(splits: RepeatedSplits, permutations: PermutationTest) -> str:
    return (
        f"{splits.repeats} stratified random splits by patient, {1 - splits.test_share:.0%} to train and "
        f"{splits.test_share:.0%} to test; all that learns does so on the training part; AUC with an interval over the "
        "splits (corrected resampled t); a model counts as better than a baseline where both the paired test on the splits, "
        "with no baseline counted below 0.5 and after Holm's adjustment, and a permutation test through the validation "
        f"({permutations.most} permutations of what the model adds) show it"
    ).replace("%", " %")


def _test_claims(
    evidence: SplitsEvidence,
    table: FeatureTable,
    question: Question,
    settings: PipelineSettings,
    splits: RepeatedSplits,
    test: PermutationTest,
    folder: Path | None,
) -> dict[int, Json]:
    """Make the permutation test of each comparison that the splits decide for the model, by its number.

    A model with nothing beyond its baseline has nothing to claim. Comparisons that exchange the same share a test.
    """
    found: dict[int, Json] = {}
    made: dict[tuple[int, tuple[str, ...]], Json] = {}
    for number, (pair, item) in enumerate(zip(evidence.comparisons, evidence.compared, strict=True)):
        known = question.columns(pair.baseline)
        added = tuple(name for name in question.columns(pair.model) if name not in known)
        if not item.better_on_the_splits or not added:
            continue
        run = pair.runs[0]
        if (run, added) not in made:
            part = table.rows(np.array(evidence.runs[run].rows)).select(question.columns(pair.model))
            reached = evidence.mean_auc(run, test.splits)
            with progress_bar(f"Permuting {pair.model} against {pair.baseline}", test.most) as advance:
                made[run, added] = test(
                    part, added, reached, settings, splits, folder=folder, advance=partial(advance, 1)
                )
        found[number] = made[run, added]
    return found


class _Runs:
    """Nested validations of models on rows; each is done once."""

    def __init__(
        self,
        table: FeatureTable,
        question: Question,
        settings: PipelineSettings,
        splits: RepeatedSplits,
        folder: Path | None,
    ) -> None:
        self.finished: list[Json] = []
        self._numbers: dict[tuple[str, tuple[int, ...]], int] = {}
        self._table, self._question, self._settings = table, question, settings
        self._splits, self._folder = splits, folder

    def get(self, name: str, rows: Rows, advance: Any) -> int:
        """Number of the run of a model on some rows."""
        key = (name, tuple(rows.tolist()))
        if key not in self._numbers:
            part = self._table.rows(rows).select(self._question.columns(name))
            found = nested_validation(part, self._settings, self._splits, folder=self._folder, advance=advance)
            self._numbers[key] = len(self.finished)
            self.finished.append(
                {
                    "model": name,
                    "rows": rows.tolist(),
                    "splits": [asdict(split) | {"rows": rows[split.rows].tolist()} for split in found],
                }
            )
        return self._numbers[key]


def univariable(table: FeatureTable) -> list[Json]:
    """Each column alone against the outcome, the smallest p-value first.

    AUC with the Mann-Whitney test, adjusted for the number of columns after Benjamini and Hochberg, and the odds ratio
    for one standard deviation. Columns with one value only are left out. It describes; nothing is selected by it.
    """
    from joblib import Parallel, delayed

    found = Parallel(n_jobs=-1)(
        delayed(_univariable)(name, table.values[:, column], table.outcome) for column, name in enumerate(table.columns)
    )
    rows = sorted((row for row in found if row), key=lambda row: (row["p_value"], row["name"]))
    if not rows:
        return []
    adjusted = adjust_p_values([row["p_value"] for row in rows], method="benjamini-hochberg")
    return [row | {"adjusted_p_value": float(value)} for row, value in zip(rows, adjusted, strict=True)]


def _univariable(name: str, values: NDArray[np.float64], outcome: NDArray[np.bool_]) -> Json | None:
    known = np.isfinite(values)
    labels, numbers = outcome[known], values[known]
    if labels.all() or not labels.any() or numbers.std() <= 1e-12 * np.abs(numbers).max(initial=1e-300):
        return None
    rank = mann_whitney(labels, numbers)
    regression = logistic_regression(labels, (numbers / numbers.std())[:, None], [name])
    odds = regression.variables[0]
    return {
        "name": name,
        "cases": int(known.sum()),
        "auc": rank.auc.as_dict(),
        "p_value": rank.p_value,
        "odds_ratio": odds.odds_ratio.as_dict(),
        "odds_ratio_p_value": odds.p_value,
        "firth": regression.firth,
    }


def _regressions(table: FeatureTable, question: Question) -> dict[str, Json]:
    """One multivariable regression for each baseline of more than one column, on patients with all of them.

    Columns that less than half of the patients have are left out.
    """
    result = {}
    for name in question.baselines:
        part = table.select(question.columns(name))
        part = part.select([column for column, share in _known(part) if share >= 0.5])
        part = part.rows(np.flatnonzero(np.isfinite(part.values).all(axis=1)))
        varied = [column for column in part.columns if np.unique(part.select([column]).values).size > 1]
        values = part.select(varied).values
        if len(varied) < 2 or part.outcome.all() or not part.outcome.any() or len(varied) >= len(values):
            continue
        try:
            regression = logistic_regression(part.outcome, values, varied)
        except InvalidInputError:  # one column is a combination of the others: there is no such table
            continue
        result[name] = {
            "cases": regression.cases,
            "events": regression.events,
            "firth": regression.firth,
            "variables": [
                {"name": item.name, "odds_ratio": item.odds_ratio.as_dict(), "p_value": item.p_value}
                for item in regression.variables
            ],
        }
    return result


def _known(table: FeatureTable) -> list[tuple[str, float]]:
    """Each column, and the share of the rows in which it is known."""
    return list(zip(table.columns, np.isfinite(table.values).mean(axis=0).tolist(), strict=True))


def _final(model: TabularModel) -> Json:
    coefficients = model.coefficients
    return {
        "threshold": model.threshold,
        "members": [
            {
                "classifier": member.recipe.classifier.value,
                "selection": member.recipe.selection.value,
                "features": member.recipe.features,
                "capacity": member.recipe.capacity,
            }
            for member in model.members
        ],
        "features": {name: None if coefficients is None else coefficients[name] for name in model.columns},
    }


def _by_centre(part: FeatureTable, rows: Rows, settings: PipelineSettings) -> dict[str, Json]:
    """Each centre left out, where the others are enough to learn from."""
    if np.unique(part.centres).size < 2:
        return {}
    for name in np.unique(part.centres):
        if not _can_learn(part, np.flatnonzero(part.centres != name)):
            return {}
    found = leave_one_centre_out(part, settings)
    return {name: asdict(result) | {"rows": rows[result.rows].tolist()} for name, result in found.items()}


def _cox(
    part: FeatureTable, rows: Rows, follow_up: FollowUp, settings: PipelineSettings, splits: RepeatedSplits
) -> list[Json]:
    found = nested_cox(part, follow_up.rows(rows), settings, splits)
    return [asdict(split) | {"rows": rows[split.rows].tolist()} for split in found]


def _eligible(table: FeatureTable, question: Question, model: str) -> Rows:
    """Rows in which something is known of each group of a model."""
    known = [
        np.isfinite(table.select(list(question.groups[group])).values).any(axis=1) for group in question.models[model]
    ]
    return np.flatnonzero(np.logical_and.reduce(known))


def _pairs(table: FeatureTable, question: Question, eligible: Mapping[str, Rows]) -> list[tuple[str, str, Rows]]:
    """Each model with each baseline, and the rows that both can be judged on."""
    pairs = []
    for model, rows in eligible.items():
        for baseline in question.baselines:
            if model in question.baselines or baseline not in eligible:
                continue
            common = np.intersect1d(rows, eligible[baseline])
            if _can_learn(table, common):
                pairs.append((model, baseline, common))
    return pairs


def _can_learn(table: FeatureTable, rows: Rows) -> bool:
    """Whether two groups with and two without the outcome are left on both sides of every split."""
    outcome, groups = table.outcome[rows], table.groups[rows]
    events = np.unique(groups[outcome]).size
    return events >= 4 and np.unique(groups).size - events >= 4


def _described(table: FeatureTable, question: Question) -> Mapping[str, Sequence[float | str | None]]:
    if question.described:
        return question.described
    names = list(dict.fromkeys(name for model in question.baselines for name in question.columns(model)))
    return {name: table.select([name]).values[:, 0].tolist() for name in names}


def stability(table: FeatureTable) -> dict[str, float | None]:
    """Intraclass correlation of each column that was measured again, over all rows: it describes, nothing uses it."""
    if table.perturbed is None:
        return {}
    agreement = intraclass_correlation(np.concatenate([table.values[None], table.perturbed]))
    return {name: float(value) for name, value in zip(table.columns, agreement, strict=True) if np.isfinite(value)}


def _check(question: Question, table: FeatureTable) -> None:
    for model, groups in question.models.items():
        strange = [name for name in groups if name not in question.groups]
        if strange or not groups:
            raise InvalidInputError(
                f"The model {model} names {strange[0] if strange else 'no group'}; "
                f"expected some of {', '.join(question.groups)}."
            )
    for name in question.baselines:
        if name not in question.models:
            raise InvalidInputError(f"The baseline {name} is no model; expected one of {', '.join(question.models)}.")
    table.select([name for columns in question.groups.values() for name in columns])
