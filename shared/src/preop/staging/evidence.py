"""What a validation of nodal staging found, and the figures that follow from it.

Several raters, the algorithm first, staged the same patients whom pathology staged too. All figures are derived from
who said what of whom: nothing else is stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.errors import InvalidInputError
from preop.staging.nodal import Edition, N, categories
from preop.staging.stations import Station
from preop.statistics import Agreement, BinaryCounts, Estimate, auc, auc_delong, mean_estimate, wilson
from preop.toml import first_validation_error


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StagedPatient(_Checked):
    """A patient and what was said of the nodes."""

    patient: str
    centre: str = ""
    fold: str = Field(description="of the cross-validation in which the algorithm did not know the patient")
    reference: N = Field(description="category by pathology")
    called: dict[str, N | None] = Field(description="category by each rater; None where a rater said nothing")
    probabilities: dict[N, float] = Field(description="of each category, by the algorithm")
    sampled: tuple[str, ...] = Field((), description="stations that pathology has seen")
    positive: tuple[str, ...] = Field((), description="those of them that held a metastasis")
    involved: tuple[str, ...] = Field((), description="stations that the algorithm takes for involved")


class NodeEvidence(_Checked):
    """A node of which it is known whether it is malignant, and its probability by models that did not know the patient."""

    patient: str
    station: str
    probability: float = Field(ge=0, le=1)
    malignant: bool


class StageEvidence(_Checked):
    """A whole validation; the first of ``raters`` is the algorithm, the others are what it is held against."""

    format: Literal[1] = 1
    protocol: str
    raters: tuple[str, ...] = Field(min_length=1)
    terms: dict[str, float] = Field({}, description="log odds of malignancy for each standard deviation, by feature")
    settings: dict[str, Any] = {}
    patients: tuple[StagedPatient, ...] = Field(min_length=1)
    nodes: tuple[NodeEvidence, ...] = ()

    @cached_property
    def edition(self) -> Edition:
        """The eighth where pathology does not split N2 in any patient, for then nothing can be said of the split."""
        return Edition.EIGHTH if any(patient.reference is N.N2 for patient in self.patients) else Edition.NINTH

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories in their order."""
        return tuple(map(str, categories(self.edition)))

    def staged(self, rater: str) -> tuple[StagedPatient, ...]:
        """Patients of whom a rater said anything."""
        return tuple(patient for patient in self.patients if patient.called.get(rater) is not None)

    def agreement(self, rater: str) -> Agreement:
        """Table of stages; NX counts as the category furthest from the truth, of two equally far the higher."""
        patients = self.staged(rater)
        references = [self._category(patient.reference) for patient in patients]
        said = [
            self._furthest(reference) if patient.called[rater] is N.NX else self._category(patient.called[rater])
            for patient, reference in zip(patients, references, strict=True)
        ]
        return Agreement.of(references, said, self.categories)

    def cut(self, rater: str, from_category: N) -> BinaryCounts:
        """Decisions on "this category or more"; for N2 from either of its parts."""
        first = next(i for i, name in enumerate(self.categories) if name.startswith(from_category))
        matrix = self.agreement(rater).matrix
        return BinaryCounts(
            true_positives=int(matrix[first:, first:].sum()),
            false_positives=int(matrix[:first, first:].sum()),
            true_negatives=int(matrix[:first, :first].sum()),
            false_negatives=int(matrix[first:, :first].sum()),
        )

    def over_and_under(self, rater: str) -> tuple[Estimate, Estimate]:
        """Shares of the patients staged too high and too low."""
        agreement = self.agreement(rater)
        over, under = int(np.triu(agreement.matrix, 1).sum()), int(np.tril(agreement.matrix, -1).sum())
        return wilson(over, agreement.cases), wilson(under, agreement.cases)

    def is_right(self, patient: StagedPatient, rater: str) -> bool:
        """Tell whether a rater gave the category of pathology."""
        return self._category(patient.called.get(rater)) == self._category(patient.reference)

    def advantage(self, rater: str) -> Estimate | None:
        """Difference of accuracy of the algorithm and a rater on the patients whom both staged, with Student's interval."""
        both = [patient for patient in self.staged(self.raters[0]) if patient.called.get(rater) is not None]
        if not both:
            return None
        right = [[self.is_right(patient, name) for patient in both] for name in (self.raters[0], rater)]
        return mean_estimate([float(one) - float(other) for one, other in zip(*right, strict=True)])

    @property
    def node_positive(self) -> list[int]:
        """1 for each patient with an involved node, else 0."""
        return [int(patient.reference is not N.N0) for patient in self.patients]

    @property
    def likelihoods(self) -> list[float]:
        """Likelihood of N1 or more of each patient, by the algorithm."""
        return [1 - patient.probabilities.get(N.N0, 0.0) for patient in self.patients]

    def auc_of(self, rater: str) -> Estimate | None:
        """AUC of N0 against more: of the algorithm by its likelihood, of others by the order of their categories."""
        if rater == self.raters[0]:
            labels, scores = self.node_positive, self.likelihoods
        else:
            staged = self.staged(rater)
            labels = [int(patient.reference is not N.N0) for patient in staged]
            scores = [float(self._place(patient.called[rater])) for patient in staged]
        return auc_delong(labels, scores) if 0 < sum(labels) < len(labels) else None

    def stations(self) -> dict[str, BinaryCounts]:
        """Decisions of the algorithm on each sampled station, in the order of the map; "all" of them together first."""
        decisions: dict[str, list[tuple[bool, bool]]] = {}
        for patient in self.patients:
            positive, involved = (
                {Station.parse(name).on_map for name in names} for names in (patient.positive, patient.involved)
            )
            for name in dict.fromkeys(Station.parse(station).on_map for station in patient.sampled):
                decisions.setdefault(name, []).append((name in positive, name in involved))
        order = list(dict.fromkeys(station.on_map for station in Station))
        ordered = {name: decisions[name] for name in order if name in decisions}
        everything = [pair for pairs in ordered.values() for pair in pairs]
        parts = ({"all": everything} if everything else {}) | ordered
        return {name: BinaryCounts.of(*zip(*pairs, strict=True)) for name, pairs in parts.items()}

    @property
    def node_auc(self) -> float | None:
        """AUC of malignant against benign nodes."""
        labels = [int(node.malignant) for node in self.nodes]
        if not 0 < sum(labels) < len(labels):
            return None
        return auc(labels, [node.probability for node in self.nodes])

    @property
    def verdict(self) -> tuple[str, ...]:
        """Say in sentences what the validation showed; the first answers whether the algorithm does better."""
        model = self.raters[0]
        agreement = self.agreement(model)
        kappa = agreement.quadratic_weighted_kappa
        found = [
            f"{model}: the exact category in {_words(agreement.accuracy)} of {agreement.cases} patients"
            + (f", quadratic weighted kappa {_words(kappa)}." if kappa else ".")
        ]
        first = f"The algorithm gave the category of pathology in {agreement.accuracy.value:.0%} of the patients."
        for rater in self.raters[1:]:
            difference = self.advantage(rater)
            if difference is None:
                continue
            other = self.agreement(rater)
            kappa = other.quadratic_weighted_kappa
            found.append(
                f"{rater}: {_words(other.accuracy)} of {other.cases}"
                + (f", kappa {_words(kappa)}" if kappa else "")
                + f"; difference of accuracy {_signed(difference)}."
            )
            if rater == self.raters[1]:
                first = _comparison(rater, difference)
        return (first, *found)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What every output should repeat, as the end of a sentence that begins with "In cross-validation"."""
        cautions = []
        for rater in self.raters[1:]:
            difference = self.advantage(rater)
            if difference is not None and not difference.lower > 0:
                cautions.append(f"the stage was not shown to be right more often than {rater}.")
        return tuple(cautions)

    def figures(self) -> dict[str, Any]:
        """Give the figures for ``model.json``."""
        return {
            "protocol": self.protocol,
            "models": {
                rater: {
                    "patients": len(self.staged(rater)),
                    "events": sum(patient.reference is not N.N0 for patient in self.staged(rater)),
                    "auc": _of(self.auc_of(rater)),
                    "baseline": rater != self.raters[0],
                }
                for rater in self.raters
                if self.staged(rater)
            },
            "agreement": {rater: self._figures_of(rater) for rater in self.raters if self.staged(rater)},
            "stations": {
                name: {
                    "sensitivity": _of(counts.sensitivity),
                    "specificity": _of(counts.specificity),
                    "seen": counts.cases,
                }
                for name, counts in self.stations().items()
            },
            "nodes": {
                "with_truth": len(self.nodes),
                "malignant": sum(node.malignant for node in self.nodes),
                "auc": self.node_auc,
            },
            "verdict": list(self.verdict),
            "cautions": list(self.cautions),
        }

    def _figures_of(self, rater: str) -> dict[str, Any]:
        agreement = self.agreement(rater)
        over, under = self.over_and_under(rater)
        cuts = {"N0 | N1-3": self.cut(rater, N.N1), "N0-1 | N2-3": self.cut(rater, N.N2)}
        return {
            "patients": agreement.cases,
            "accuracy": agreement.accuracy.as_dict(),
            "quadratic_weighted_kappa": _of(agreement.quadratic_weighted_kappa),
            "over_staged": over.as_dict(),
            "under_staged": under.as_dict(),
            "cuts": {
                name: {"sensitivity": _of(counts.sensitivity), "specificity": _of(counts.specificity)}
                for name, counts in cuts.items()
            },
            "confusion": agreement.as_dict(),
        }

    def _category(self, category: N | None) -> str:
        """Name a category of the table's edition; the eighth does not split N2."""
        if self.edition is Edition.EIGHTH and category in (N.N2A, N.N2B):
            return str(N.N2)
        if self.edition is Edition.NINTH and category is N.N2:
            return str(N.N2A)  # the lower category where there is doubt (UICC, general rule 4)
        return str(category)

    def _place(self, category: N | None) -> int:
        return -1 if category is N.NX else self.categories.index(self._category(category))

    def _furthest(self, reference: str) -> str:
        names = self.categories
        return names[-1] if 2 * names.index(reference) < len(names) else names[0]


def read_stage_evidence(content: Mapping[str, Any]) -> StageEvidence:
    """Check the evidence of a validation.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    try:
        return StageEvidence.model_validate(content)
    except ValidationError as error:
        raise InvalidInputError(
            f"This is no evidence of a validation of stages: {first_validation_error(error)}."
        ) from None


def _of(estimate: Estimate | None) -> dict[str, float | None]:
    return (estimate or Estimate.without_interval(math.nan)).as_dict()


def _words(estimate: Estimate) -> str:
    if math.isnan(estimate.lower):
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.lower:.2f}, {estimate.upper:.2f}]"


def _signed(estimate: Estimate) -> str:
    words = f"{estimate.value:+.2f}"
    if not math.isnan(estimate.lower):
        words += f" [{estimate.lower:+.2f}, {estimate.upper:+.2f}]"
    return words.replace("-", "\N{MINUS SIGN}")


def _comparison(rater: str, difference: Estimate) -> str:
    if difference.lower > 0:
        return f"The algorithm's category was right more often than that of {rater}."
    if difference.upper < 0:
        return f"The algorithm's category was right less often than that of {rater}."
    return f"The algorithm's category was not shown to be right more or less often than that of {rater}."


def stages_of(texts: Sequence[str]) -> list[N]:
    """Read categories as tables write them: "N2a", "pN0", "n3".

    Raises
    ------
    InvalidInputError
        If one is none.
    """
    names = {str(category).lower(): category for category in N}
    found = []
    for text in texts:
        name = text.strip().lower().removeprefix("y").removeprefix("p").removeprefix("c")
        if name not in names:
            raise InvalidInputError(f"The nodal category is '{text}'; expected one of {', '.join(map(str, N))}.")
        found.append(names[name])
    return found
