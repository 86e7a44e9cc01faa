"""What a user says of a run beyond the platform's contract, which has no room for it: by environment variables."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Self

from preop.errors import InvalidInputError

MPP_VARIABLE = "PREOP_MPP"
TRUST_VARIABLE = "PREOP_TRUST_MODEL"


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes
    ----------
    um_per_pixel
        Resolution of a slide whose file does not state one, in micrometres per pixel (``--mpp``).
    trust_model
        Whether a model may run code of its maker (``--trust-model``).
    """

    um_per_pixel: float | None = None
    trust_model: bool = False

    @classmethod
    def from_environment(cls) -> Self:
        """Read the options of this process.

        Raises
        ------
        InvalidInputError
            If the resolution is no positive number.
        """
        written = os.environ.get(MPP_VARIABLE)
        return cls(
            None if written is None else _resolution(written), os.environ.get(TRUST_VARIABLE, "") not in {"", "0"}
        )

    def environment(self) -> dict[str, str]:
        """Give the variables that tell these options to another process."""
        found = {} if self.um_per_pixel is None else {MPP_VARIABLE: repr(self.um_per_pixel)}
        return {**found, TRUST_VARIABLE: "1"} if self.trust_model else found


def _resolution(written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InvalidInputError(
            f"{MPP_VARIABLE} is {written!r}; expected the size of a pixel in micrometres, such as 0.25."
        )
    return value
