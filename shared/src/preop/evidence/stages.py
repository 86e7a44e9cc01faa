"""Evidence of nodal staging: several raters, the algorithm first, staged patients whom pathology staged too.

It holds who gave which category to whom, which stations pathology has seen, and the probability of each node whose
malignancy is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from preop.evidence.binary import BinaryPredictions
from preop.evidence.comparisons import interval_comparison
from preop.evidence.figures import ValidationFigures
from preop.evidence.ordinal import OrdinalPredictions
from preop.evidence.records import Evidence, Record, model_figures, stated_or_unknown
from preop.evidence.wording import estimate_in_words, percent
from preop.staging import Edition, N, Station, categories
from preop.statistics import Agreement, BinaryCounts, Estimate, auc, difference_in_words, mean_estimate
from preop.wording import counted

CUTS: Mapping[str, N] = {"N0 | N1-3": N.N1, "N0-1 | N2-3": N.N2}
"""Decisions between categories: the first that counts as positive."""
ALL_STATIONS = "all"


class StagedPatient(Record):
    """A patient, the category by pathology, and those that raters gave."""

    patient: str
    centre: str = ""
    fold: str = Field(description="of the cross-validation in which the algorithm did not know the patient")
    reference: N = Field(description="category by pathology")
    called: dict[str, N | None] = Field(description="category by each rater; None where a rater gave none")
    probabilities: dict[N, float] = Field(description="of each category, by the algorithm")
    sampled: tuple[str, ...] = Field((), description="stations that pathology has seen")
    positive: tuple[str, ...] = Field((), description="those of them that held a metastasis")
    involved: tuple[str, ...] = Field((), description="stations that the algorithm takes for involved")


class NodeRecord(Record):
    """A node of which it is known whether it is malignant, and its probability by models that did not know the patient."""

    patient: str
    station: str
    probability: float = Field(ge=0, le=1)
    malignant: bool


class StageEvidence(Evidence):
    """A whole validation; the first of ``raters`` is the algorithm, the others are what it is compared with."""

    described: ClassVar = "a validation of stages"

    kind: Literal["stages"] = "stages"
    raters: tuple[str, ...] = Field(min_length=1)
    terms: dict[str, float] = Field({}, description="log odds of malignancy for each standard deviation, by feature")
    patients: tuple[StagedPatient, ...] = Field(min_length=1)
    nodes: tuple[NodeRecord, ...] = ()

    @property
    def algorithm(self) -> str:
        """Name of the algorithm among the raters."""
        return self.raters[0]

    @cached_property
    def edition(self) -> Edition:
        """The eighth where pathology does not split N2 in any patient, for then nothing can be said of the split."""
        return Edition.EIGHTH if any(patient.reference is N.N2 for patient in self.patients) else Edition.NINTH

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories in their order."""
        return tuple(map(str, categories(self.edition)))

    @property
    def staging(self) -> tuple[str, ...]:
        """Raters who staged anybody."""
        return tuple(rater for rater in self.raters if self.staged(rater))

    def staged(self, rater: str) -> tuple[StagedPatient, ...]:
        """Patients to whom a rater gave a category."""
        return tuple(patient for patient in self.patients if patient.called.get(rater) is not None)

    def predictions(self, rater: str) -> OrdinalPredictions:
        """Stages by a rater; NX counts as the category furthest from the truth, of two equally far the higher."""
        patients = self.staged(rater)
        return OrdinalPredictions.of(
            [self._category(patient.reference) for patient in patients],
            [self._category(patient.called[rater]) for patient in patients],
            self.categories,
        )

    def agreement(self, rater: str) -> Agreement:
        """Table of stages."""
        return self.predictions(rater).agreement

    def cut(self, rater: str, from_category: N) -> BinaryCounts:
        """Decisions on "this category or more"; for N2 from either of its parts."""
        first = next(i for i, name in enumerate(self.categories) if name.startswith(from_category))
        return self.predictions(rater).cut(first)

    def is_right(self, patient: StagedPatient, rater: str) -> bool:
        """Tell whether a rater gave the category of pathology."""
        return self._category(patient.called.get(rater)) == self._category(patient.reference)

    def advantage(self, rater: str) -> Estimate | None:
        """Difference of accuracy of the algorithm and a rater on the patients whom both staged, with Student's interval."""
        both = [patient for patient in self.staged(self.algorithm) if patient.called.get(rater) is not None]
        if not both:
            return None
        right = [[self.is_right(patient, name) for patient in both] for name in (self.algorithm, rater)]
        return mean_estimate([float(one) - float(other) for one, other in zip(*right, strict=True)])

    @property
    def node_positive(self) -> BinaryPredictions:
        """N1 or more of all patients, by the likelihood of the algorithm."""
        return BinaryPredictions.of(
            [patient.reference is not N.N0 for patient in self.patients],
            [1 - patient.probabilities.get(N.N0, 0.0) for patient in self.patients],
        )

    def auc_of(self, rater: str) -> Estimate | None:
        """AUC of N0 against more: of the algorithm by its likelihood, of others by the order of their categories."""
        if rater == self.algorithm:
            return self.node_positive.auc
        staged = self.staged(rater)
        labels = [patient.reference is not N.N0 for patient in staged]
        return BinaryPredictions.of(labels, [float(self._place(patient.called[rater])) for patient in staged]).auc

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
        parts = ({ALL_STATIONS: everything} if everything else {}) | ordered
        return {name: BinaryCounts.of(*zip(*pairs, strict=True)) for name, pairs in parts.items()}

    @property
    def by_node(self) -> BinaryPredictions | None:
        """Malignant against benign nodes; None without nodes of both kinds."""
        predictions = BinaryPredictions.of(
            [node.malignant for node in self.nodes], [node.probability for node in self.nodes]
        )
        return predictions if predictions.has_both_outcomes else None

    @property
    def node_auc(self) -> float | None:
        """AUC of malignant against benign nodes, which come several to a patient: it has no interval."""
        nodes = self.by_node
        return None if nodes is None else auc(nodes.labels, nodes.scores)

    @property
    def verdict(self) -> tuple[str, ...]:
        """Say in sentences what the validation showed; the first answers whether the algorithm does better."""
        agreement = self.agreement(self.algorithm)
        kappa = agreement.quadratic_weighted_kappa
        found = [
            f"{self.algorithm}: exact category in {int(agreement.matrix.trace())} of {counted(agreement.cases, 'patient')}, accuracy "
            f"{estimate_in_words(agreement.accuracy)}"
            + (f", quadratic weighted kappa {estimate_in_words(kappa)}." if kappa else ".")
        ]
        first = f"The algorithm gave the category of pathology in {percent(agreement.accuracy.value)} of the patients."
        for rater in self.raters[1:]:
            difference = self.advantage(rater)
            if difference is None:
                continue
            other = self.agreement(rater)
            kappa = other.quadratic_weighted_kappa
            found.append(
                f"{rater}: exact category in {int(other.matrix.trace())} of {other.cases}, accuracy "
                f"{estimate_in_words(other.accuracy)}"
                + (f", kappa {estimate_in_words(kappa)}" if kappa else "")
                + f"; difference of accuracy {difference_in_words(difference)}."
            )
            if rater == self.raters[1]:
                first = _answer(rater, difference)
        return (first, *found)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What every output should repeat, as the end of a sentence that begins with "In cross-validation"."""
        differences = {rater: self.advantage(rater) for rater in self.raters[1:]}
        return tuple(
            f"the stage was not shown to be right more often than {rater}."
            for rater, difference in differences.items()
            if difference is not None and not difference.lower > 0
        )

    @property
    def validation(self) -> ValidationFigures:
        """The figures that ``model.json`` states: agreement of each rater, comparisons, stations and nodes."""
        return ValidationFigures(
            protocol=self.protocol,
            patients=len(self.patients),
            models={
                rater: model_figures(
                    len(self.staged(rater)),
                    sum(patient.reference is not N.N0 for patient in self.staged(rater)),
                    self.auc_of(rater),
                    baseline=rater != self.algorithm,
                )
                for rater in self.staging
            },
            comparisons=tuple(
                interval_comparison(self.algorithm, rater, "accuracy", self.advantage(rater))
                for rater in self.staging
                if rater != self.algorithm
            ),
            verdict=self.verdict,
            cautions=self.cautions,
            details=self._details(),
        )

    def _details(self) -> dict[str, Any]:
        return {
            "agreement": {rater: self._agreement_figures(rater) for rater in self.staging},
            "stations": {
                name: {
                    "sensitivity": stated_or_unknown(counts.sensitivity),
                    "specificity": stated_or_unknown(counts.specificity),
                    "seen": counts.cases,
                }
                for name, counts in self.stations().items()
            },
            "nodes": {
                "with_truth": len(self.nodes),
                "malignant": sum(node.malignant for node in self.nodes),
                "auc": self.node_auc,
            },
        }

    def _agreement_figures(self, rater: str) -> dict[str, Any]:
        agreement = self.agreement(rater)
        over, under = self.predictions(rater).over_and_under
        cuts = {name: self.cut(rater, category) for name, category in CUTS.items()}
        return {
            "patients": agreement.cases,
            "accuracy": agreement.accuracy.as_dict(),
            "quadratic_weighted_kappa": stated_or_unknown(agreement.quadratic_weighted_kappa),
            "over_staged": over.as_dict(),
            "under_staged": under.as_dict(),
            "cuts": {
                name: {
                    "sensitivity": stated_or_unknown(counts.sensitivity),
                    "specificity": stated_or_unknown(counts.specificity),
                }
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


def _answer(rater: str, difference: Estimate) -> str:
    if difference.lower > 0:
        return f"The algorithm's category was right more often than that of {rater}."
    if difference.upper < 0:
        return f"The algorithm's category was right less often than that of {rater}."
    return f"The algorithm's category was not shown to be right more or less often than that of {rater}."
