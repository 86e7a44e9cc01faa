"""Evidence of predicted shares: how much of the interface of each metastasis grows in which pattern, and what a patient has.

It holds what each model predicted of each metastasis and patient without having seen the patient, the reported shares, and
what the mean of the training patients would have predicted. A patient whose pattern is not known takes part in no figure
of patients, a metastasis without a report in none of shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from preop.evidence.binary import BinaryPredictions
from preop.evidence.comparisons import auc_comparison, interval_comparison
from preop.evidence.counts import count_calibration_of
from preop.evidence.figures import Comparison, ValidationFigures
from preop.evidence.records import Evidence, Record, check_each_once, model_figures, stated, stated_number
from preop.evidence.wording import enumeration
from preop.staging import Pattern, Shares
from preop.statistics import (
    Agreement,
    AucComparison,
    CountPoint,
    Estimate,
    auc_clustered,
    intraclass_correlation,
    mean_bootstrap,
    oracle_auc,
)

Floats = NDArray[np.float64]
Whole = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
"""Shares of the three patterns, in the order of ``Pattern``."""

COHORT_MEAN = "mean of the cohort"
"""The baseline that predicts the mean shares of the training patients for every metastasis."""
SIZES_MM = (20.0, 40.0)
"""Long axis at which results are divided."""
PATTERNS = tuple(str(pattern) for pattern in Pattern)
_BOOTSTRAP_SEED = 0


class ReportedLesion(Record):
    """A metastasis, and its shares where they were reported."""

    label: int
    long_axis_mm: float = Field(gt=0)
    report: Whole | None


class LesionPrediction(Record):
    """What was predicted of a metastasis."""

    mean: Whole = Field(description="expected shares")
    pure: FiniteFloat = Field(description="probability of purely desmoplastic growth")
    at_least_half: FiniteFloat = Field(description="probability that half or more is desmoplastic")
    predominant: Whole = Field(description="probability of each pattern to be the predominant one")
    log_score: FiniteFloat | None = Field(description="logarithm of the probability of the report; none without one")
    interval: tuple[float, float] = Field(description="of the desmoplastic share")


class SharesPrediction(Record):
    """What was predicted of a patient and the metastases."""

    non_desmoplastic: float = Field(ge=0, le=1)
    lesions: tuple[LesionPrediction, ...]


class SecondSegmentation(SharesPrediction):
    """The same from metastases as another person outlined them."""

    labels: tuple[int, ...]


class SharesPatient(Record):
    """What is known of a patient, and what was predicted without having seen the patient."""

    patient: str
    centre: str = ""
    source: str = Field("", description="who outlined the metastases")
    fold: str = Field(description="that the patient was held out with")
    non_desmoplastic: Literal[0, 1] | None = Field(description="the patient's pattern; null where it is not known")
    cohort_mean: Whole = Field(description="mean shares of the training patients")
    lesions: tuple[ReportedLesion, ...]
    predictions: dict[str, SharesPrediction] = Field(description="by model")
    second: SecondSegmentation | None = None


class SharesOracle(Record):
    """What is known of simulated patients: the chances of patients and of metastases, and the true shares."""

    patients: tuple[float, ...]
    lesions: tuple[float, ...]
    shares: dict[str, Whole] = Field(description="by patient and label, with a slash between them")


@dataclass(frozen=True, eq=False)
class SharePredictions:
    """Metastases whose shares were reported, and what one model predicted of them, in the order of the evidence.

    Attributes
    ----------
    patients
        Whose each is (n,).
    reported, mean
        Shares by the report and as expected by the model (n, 3).
    pure
        Predicted probability of purely desmoplastic growth (n,); none of the mean of the cohort.
    predominant
        Likeliest predominant pattern (n,).
    log_scores
        Logarithm of the probability of the report (n,).
    """

    patients: tuple[str, ...]
    reported: Floats
    mean: Floats
    pure: Floats
    predominant: tuple[str, ...]
    log_scores: Floats

    @property
    def errors(self) -> Floats:
        """Absolute error of each metastasis (n,), mean over the patterns."""
        return error_of_shares(self.mean, self.reported)

    @property
    def error(self) -> Estimate | None:
        """Mean absolute error, with an interval from resampled patients; None without reports."""
        return mean_of(self.errors, self.patients)

    @property
    def is_pure(self) -> NDArray[np.bool_]:
        """Whether each is purely desmoplastic by the report (n,)."""
        return self.reported[:, 0] >= 1

    @property
    def pure_auc(self) -> Estimate | None:
        """AUC of pure against mixed metastases; None where there is one kind."""
        return auc_of_lesions(self.is_pure, self.pure, self.patients)

    @property
    def agreement(self) -> Agreement | None:
        """Table of the predominant patterns; None without reports."""
        if not self.patients:
            return None
        true = [str(Shares(*row).predominant) for row in self.reported.tolist()]
        return Agreement.of(true, self.predominant, PATTERNS)

    @property
    def calibration(self) -> list[CountPoint]:
        """Reported against expected desmoplastic share in percent; empty with fewer than 20 metastases."""
        return count_calibration_of(100 * self.reported[:, 0], 100 * self.mean[:, 0])

    def chosen(self, rows: NDArray[np.bool_]) -> SharePredictions:
        """Some of them."""
        places = np.flatnonzero(rows).tolist()
        return SharePredictions(
            tuple(self.patients[place] for place in places),
            self.reported[places],
            self.mean[places],
            self.pure[places],
            tuple(self.predominant[place] for place in places),
            self.log_scores[places],
        )

    def figures(self) -> dict[str, Any]:
        """State them for ``model.json``."""
        agreement = self.agreement
        return {
            "lesion_auc_pure": stated(self.pure_auc),
            "error_of_shares": stated(self.error),
            "log_score": float(self.log_scores.mean()) if self.log_scores.size else None,
            "predominant_accuracy": stated(agreement.accuracy if agreement else None),
            "predominant_kappa": stated(agreement.kappa if agreement else None),
        }


@dataclass(frozen=True)
class SecondFigures:
    """What changes if another person outlines the same metastases."""

    lesions: int
    difference: Estimate | None
    intraclass: float
    error: Estimate | None
    pure_auc: Estimate | None

    def figures(self) -> dict[str, Any]:
        """State them for ``model.json``."""
        return {
            "lesions": self.lesions,
            "difference_of_desmoplastic_share": stated(self.difference),
            "intraclass_correlation": stated_number(self.intraclass),
            "error_of_shares": stated(self.error),
            "lesion_auc_pure": stated(self.pure_auc),
        }


class SharesEvidence(Evidence):
    """The evidence, and what follows from it."""

    described: ClassVar = "predicted shares"

    kind: Literal["shares"] = "shares"
    models: dict[str, str] = Field(
        min_length=1, description="what each is, in words, by name; the first is given out, the others are its parts"
    )
    patients: tuple[SharesPatient, ...] = Field(min_length=1)
    oracle: SharesOracle | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_each_once(patient.patient for patient in self.patients)
        for patient in self.patients:
            if patient.predictions.keys() != self.models.keys():
                raise ValueError(
                    f"the patient {patient.patient} is predicted by other models than {', '.join(self.models)}"
                )
            for name, each in patient.predictions.items():
                if len(each.lesions) != len(patient.lesions):
                    raise ValueError(
                        f"{name} predicts {len(each.lesions)} metastases of {patient.patient}, who has {len(patient.lesions)}"
                    )
            labels = {lesion.label for lesion in patient.lesions}
            if patient.second and (strange := set(patient.second.labels) - labels):
                raise ValueError(f"the second segmentation of {patient.patient} has the label {min(strange)} alone")
        return self

    @property
    def final(self) -> str:
        """The model that is given out."""
        return next(iter(self.models))

    @property
    def parts(self) -> tuple[str, ...]:
        """The other models, each of them alone."""
        return tuple(self.models)[1:]

    @property
    def lesions(self) -> int:
        """Number of metastases."""
        return sum(len(patient.lesions) for patient in self.patients)

    @cached_property
    def known(self) -> tuple[SharesPatient, ...]:
        """Patients whose pattern is known."""
        return tuple(patient for patient in self.patients if patient.non_desmoplastic is not None)

    def patients_by(self, model: str) -> BinaryPredictions:
        """Patterns of the known patients (1 non-desmoplastic), and the likelihoods that a model gave."""
        return BinaryPredictions.of(
            [patient.non_desmoplastic == 1 for patient in self.known],
            [patient.predictions[model].non_desmoplastic for patient in self.known],
        )

    @cached_property
    def reported(self) -> tuple[tuple[SharesPatient, ReportedLesion], ...]:
        """Metastases whose shares were reported, with their patients."""
        return tuple((patient, lesion) for patient in self.patients for lesion in patient.lesions if lesion.report)

    def shares_by(self, model: str) -> SharePredictions:
        """The reported metastases, and what a model predicted of them."""
        rows = [
            found
            for patient in self.patients
            for lesion, found in zip(patient.lesions, patient.predictions[model].lesions, strict=True)
            if lesion.report
        ]
        scores = [math.nan if row.log_score is None else row.log_score for row in rows]
        return SharePredictions(
            patients=self._owners,
            reported=_wholes([lesion.report for _, lesion in self.reported]),
            mean=_wholes([row.mean for row in rows]),
            pure=np.array([row.pure for row in rows], dtype=np.float64),
            predominant=tuple(PATTERNS[int(np.argmax(row.predominant))] for row in rows),
            log_scores=np.array(scores, dtype=np.float64),
        )

    @property
    def cohort_mean_errors(self) -> Floats:
        """Absolute error of the mean of the training patients, of each reported metastasis (n,)."""
        reports = _wholes([lesion.report for _, lesion in self.reported])
        return error_of_shares(_wholes([patient.cohort_mean for patient, _ in self.reported]), reports)

    @property
    def cohort_mean_error(self) -> Estimate | None:
        """Its mean, with an interval from resampled patients."""
        return mean_of(self.cohort_mean_errors, self._owners)

    @cached_property
    def error_comparisons(self) -> dict[str, Estimate | None]:
        """Error of the model less that of each part and of the mean of the cohort; below 0 the model is better."""
        errors = {part: self.shares_by(part).errors for part in self.parts} | {COHORT_MEAN: self.cohort_mean_errors}
        own = self.shares_by(self.final).errors
        return {name: mean_of(own - theirs, self._owners) for name, theirs in errors.items()}

    @cached_property
    def auc_comparisons(self) -> dict[str, AucComparison | None]:
        """AUC of patients, the model less each part."""
        return {part: self.patients_by(self.final).compare(self.patients_by(part)) for part in self.parts}

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The model with each part by both measures, and with the mean of the cohort by the error of shares."""
        found = []
        for name, difference in self.error_comparisons.items():
            found.append(interval_comparison(self.final, name, "error_of_shares", difference))
            if name in self.auc_comparisons:
                found.append(auc_comparison(self.final, name, self.auc_comparisons[name]))
        return tuple(found)

    @property
    def subgroups(self) -> dict[str, dict[str, SharePredictions]]:
        """The model's predictions by size of the metastasis, by centre, and by who outlined it, where these differ."""
        keys = {
            "size": [_size(lesion.long_axis_mm) for _, lesion in self.reported],
            "centre": [patient.centre for patient, _ in self.reported],
            "segmentation": [patient.source for patient, _ in self.reported],
        }
        predictions = self.shares_by(self.final)
        return {
            by: {
                name: predictions.chosen(np.array([key == name for key in names]))
                for name in sorted(set(names), key=_order)
            }
            for by, names in keys.items()
            if len(set(names)) > 1
        }

    @property
    def second(self) -> SecondFigures | None:
        """What changes if another person outlines the same metastases; None where nobody did."""
        pairs = [
            (patient.patient, lesion, first, other)
            for patient in self.patients
            if patient.second is not None
            for label, other in zip(patient.second.labels, patient.second.lesions, strict=True)
            for lesion, first in zip(patient.lesions, patient.predictions[self.final].lesions, strict=True)
            if lesion.label == label
        ]
        if not pairs:
            return None
        shares = np.array([[first.mean[0], other.mean[0]] for _, _, first, other in pairs])
        known = [(owner, lesion.report, other) for owner, lesion, _, other in pairs if lesion.report]
        owners = [owner for owner, _, _ in known]
        reports = _wholes([report for _, report, _ in known])
        return SecondFigures(
            lesions=len(pairs),
            difference=mean_of(np.abs(shares[:, 0] - shares[:, 1]), [owner for owner, *_ in pairs]),
            intraclass=float(intraclass_correlation(shares.T[:, :, None])[0]),
            error=mean_of(error_of_shares(_wholes([other.mean for *_, other in known]), reports), owners),
            pure_auc=auc_of_lesions(reports[:, 0] >= 1, np.array([other.pure for *_, other in known]), owners),
        )

    @property
    def oracle_figures(self) -> dict[str, float | None] | None:
        """What an observer could reach who knows how the patients were simulated; None for real patients."""
        if self.oracle is None:
            return None
        known = [
            (self.oracle.shares[name], lesion.report)
            for patient, lesion in self.reported
            if (name := f"{patient.patient}/{lesion.label}") in self.oracle.shares
        ]
        errors = error_of_shares(_wholes([true for true, _ in known]), _wholes([report for _, report in known]))
        return {
            "patient_auc": _oracle_auc(self.oracle.patients),
            "lesion_auc_pure": _oracle_auc(self.oracle.lesions),
            "error_of_shares": float(errors.mean()) if errors.size else None,
        }

    @property
    def verdict(self) -> list[str]:
        """Say in words whether the shares are better than those of the parts and of the mean, and how patients are ranked."""
        return [*self._about_shares(), *self._about_patients()]

    @property
    def validation(self) -> ValidationFigures:
        """The figures that ``model.json`` states: of patients, of shares, by subgroup, and of a second segmentation."""
        patients, events = len(self.known), sum(patient.non_desmoplastic == 1 for patient in self.known)
        return ValidationFigures(
            protocol=self.protocol,
            patients=len(self.patients),
            models={
                **{
                    name: model_figures(patients, events, self.patients_by(name).auc, baseline=name != self.final)
                    for name in self.models
                },
                COHORT_MEAN: model_figures(patients, events, None, baseline=True),
            },
            comparisons=self.comparisons,
            verdict=tuple(self.verdict),
            cautions=(),
            details=self._details(),
        )

    def _details(self) -> dict[str, Any]:
        second = self.second
        return {
            "lesions": self.lesions,
            "reported_lesions": len(self.reported),
            "models": {
                name: {"brier_score": self._brier(name), **self.shares_by(name).figures()} for name in self.models
            },
            "cohort_mean_error": stated(self.cohort_mean_error),
            "subgroups": {
                by: {name: _subgroup_figures(part) for name, part in parts.items()}
                for by, parts in self.subgroups.items()
            },
            "second_segmentation": second.figures() if second else None,
            "oracle": self.oracle_figures,
        }

    @property
    def _owners(self) -> tuple[str, ...]:
        return tuple(patient.patient for patient, _ in self.reported)

    def _brier(self, model: str) -> float | None:
        return self.patients_by(model).brier if self.known else None

    def _about_shares(self) -> list[str]:
        own = self.shares_by(self.final).error
        if own is None:
            return ["No shares were reported: how well they are predicted is not known."]
        errors = {part: self.shares_by(part).error for part in self.parts} | {COHORT_MEAN: self.cohort_mean_error}
        better = {
            each.baseline
            for each in self.comparisons
            if each.measure == "error_of_shares" and each.significantly_better
        }
        beaten = [f"of {self._in_words(name)}" for name in errors if name in better]
        others = [f"of {self._in_words(name)}" for name in errors if name not in better]
        numbers = [f"{error.value:.3f} for {self._in_words(name)}" for name, error in errors.items() if error]
        sentence = f"The shares predicted by {self.models[self.final]} "
        if beaten:
            sentence += f"are closer to the reported ones than those {enumeration(beaten, 'and')}"
            sentence += f", and were not shown to be closer than those {enumeration(others)}" if others else ""
        else:
            sentence += f"were not shown to be closer to the reported ones than those {enumeration(others)}"
        errors_in_words = f"Mean absolute error {own.value:.3f}, compared with {enumeration(numbers, 'and')}."
        return [f"{sentence}.", errors_in_words]

    def _about_patients(self) -> list[str]:
        areas = {name: self.patients_by(name).auc for name in self.models}
        own = areas[self.final]
        if own is None:
            return []
        parts = [f"{area.value:.2f} for {self._in_words(name)}" for name, area in areas.items() if area][1:]
        better = [each.baseline for each in self.comparisons if each.measure == "auc" and each.significantly_better]
        others = [self._in_words(name) for name in self.parts if name not in better]
        sentence = f"AUC of patients for non-desmoplastic growth: {own.value:.2f}"
        if not parts:
            return [f"{sentence}."]
        sentence += f", compared with {enumeration(parts, 'and')}"
        if not others:
            return [
                f"{sentence}; the model ranks patients better than {enumeration(list(map(self._in_words, better)), 'and')}."
            ]
        return [f"{sentence}; the model was not shown to rank patients better than {enumeration(others)}."]

    def _in_words(self, name: str) -> str:
        return f"the {COHORT_MEAN}" if name == COHORT_MEAN else self.models[name]


def error_of_shares(predicted: Floats, reported: Floats) -> Floats:
    """Mean absolute error over the three patterns, of each metastasis (n,)."""
    return np.asarray(np.abs(predicted - reported).mean(axis=1))


def mean_of(values: Floats, patients: Sequence[str]) -> Estimate | None:
    """Mean over metastases, with an interval from resampled patients; None without any."""
    return mean_bootstrap(values, patients, seed=_BOOTSTRAP_SEED) if len(patients) else None


def auc_of_lesions(pure: NDArray[np.bool_], scores: Floats, patients: Sequence[str]) -> Estimate | None:
    """AUC of pure against mixed metastases, with an interval by patient; None where there is one kind."""
    if pure.all() or not pure.any():
        return None
    return auc_clustered(pure, scores, patients)


def _wholes(rows: Sequence[Whole | None]) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(-1, len(PATTERNS))


def _subgroup_figures(part: SharePredictions) -> dict[str, Any]:
    return {
        "lesions": len(part.patients),
        "pure": int(part.is_pure.sum()),
        "lesion_auc_pure": stated(part.pure_auc),
        "error_of_shares": stated(part.error),
    }


def _oracle_auc(chances: Sequence[float]) -> float | None:
    values = np.array(chances)
    return oracle_auc(values) if 0 < values.sum() < values.size else None


def _size(mm: float) -> str:
    small, large = SIZES_MM
    if mm < small:
        return f"under {small:g} mm"
    return f"over {large:g} mm" if mm > large else f"{small:g} to {large:g} mm"


def _order(name: str) -> tuple[bool, bool, str]:
    """Sizes from the smallest, names by the alphabet."""
    return name.startswith("over"), not name.startswith("under"), name
