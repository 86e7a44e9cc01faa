"""What a user says of a run beyond the platform's contract, which has no room for it: by environment variables."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Self

from preop.errors import InvalidInputError
from preop.tables import number

MPP_VARIABLE = "PREOP_MPP"
TRUST_VARIABLE = "PREOP_TRUST_MODEL"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Of OpenMP and with it torch, of the algebra below numpy and torch, of numba and of ITK."""


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes
    ----------
    um_per_pixel
        Resolution of a slide whose file does not state one, in micrometres per pixel (``--mpp``).
    trust_model
        Whether a model may run code of its maker (``--trust-model``).
    threads
        How many a program may use where several run at once; left to its libraries where None.
    """

    um_per_pixel: float | None = None
    trust_model: bool = False
    threads: int | None = None

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
        if self.trust_model:
            found[TRUST_VARIABLE] = "1"
        if self.threads is not None:
            found |= dict.fromkeys(_THREAD_VARIABLES, str(self.threads))
        return found


def _resolution(written: str) -> float:
    try:
        value = number(written, MPP_VARIABLE)
    except InvalidInputError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InvalidInputError(
            f"{MPP_VARIABLE} is {written!r}; expected the size of a pixel in micrometres, such as 0.25."
        )
    return value
