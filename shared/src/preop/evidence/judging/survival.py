"""Time to an event, predicted by a risk: every figure of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.evidence.binary import CASES_OF_A_CALIBRATION_GROUP
from preop.evidence.judging.base import Chosen, Figures, Json, Judged, some
from preop.evidence.judging.pairs import compared, no_comparison
from preop.evidence.records import stated_or_unknown
from preop.statistics import (
    Estimate,
    compare_concordances,
    concordance_estimate,
    event_share,
    horizon_calibration,
    owners_of,
)

Floats = NDArray[np.float64]
_MAX_CALIBRATION_GROUPS = 10
_NO_PAIR = "No two cases can be compared: none had the event while another was seen."


@dataclass(frozen=True, eq=False)
class JudgedSurvival(Judged):
    """Cases with a time each, whether it ended in the event, and a risk.

    Attributes
    ----------
    times, events, risks
        (n,); a risk is higher where the event is expected sooner.
    horizon
        Where there is one, risks are probabilities of the event by then.
    patients
        Whom each case belongs to (n,), where several may be of one; None where each is a patient of its own.
    """

    times: Floats
    events: NDArray[np.bool_]
    risks: Floats
    horizon: float | None = None
    patients: tuple[str, ...] | None = None

    @property
    def cases(self) -> int:
        """How many there are."""
        return self.times.size

    @property
    def smallest_class(self) -> int:
        """How many events there are."""
        return int(self.events.sum())

    def take(self, chosen: Chosen) -> Self:
        """Give some of the cases (n,)."""
        return replace(
            self,
            times=self.times[chosen],
            events=self.events[chosen],
            risks=self.risks[chosen],
            patients=some(self.patients, chosen),
        )

    def headline(self) -> Figures:
        """Concordance."""
        found = Figures({"events": int(self.events.sum())})
        found.put("concordance", self.concordance, _NO_PAIR)
        return found

    def figures(self) -> Figures:
        """Give all figures."""
        found = self.headline()
        if self.horizon is not None:
            observed = event_share(self.times, self.events, self.horizon)
            part = Figures({"horizon": self.horizon, "expected_share": float(self.risks.mean())})
            part.put("observed_share", observed, "Nobody was seen for so long.")
            ratio = observed.value / part.stated["expected_share"] if observed and self.risks.any() else None
            part.number(
                "observed_to_expected", ratio, "It takes somebody who was seen for so long, and an expected event."
            )
            found.stated["calibration"] = part.as_dict()
        return found

    def curves(self) -> Json:
        """Observed against expected share with the event at the horizon."""
        found: Json = {}
        groups = min(self.cases // CASES_OF_A_CALIBRATION_GROUP, _MAX_CALIBRATION_GROUPS)
        if self.horizon is not None and groups > 1:
            points = horizon_calibration(self.times, self.events, self.risks, self.horizon, groups=groups)
            found["calibration"] = [
                {"predicted": point.predicted, "observed": stated_or_unknown(point.observed), "cases": point.cases}
                for point in points
            ]
        return found

    def compare(self, others: Floats) -> Json:
        """Compare with the risks of another reader or algorithm on the same cases (n,), on a scale of their own."""
        found: Json = {"cases": self.cases, "events": self.smallest_class}
        first, second = self.concordance, replace(self, risks=others).concordance
        if first is None:
            return found | {"concordance": no_comparison()}
        owners = owners_of(self.patients, self.cases)
        result = compare_concordances(self.times, self.events, self.risks, others, owners=owners)
        return found | {"concordance": compared(first, second, result.difference, result.p_value)}

    @property
    def concordance(self) -> Estimate | None:
        """Harrell's C; None where no two cases can be compared."""
        try:
            owners = owners_of(self.patients, self.cases)
            return concordance_estimate(self.times, self.events, self.risks, owners=owners)
        except InvalidInputError:
            return None
