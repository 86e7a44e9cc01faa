from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from preop.errors import PreopError


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do patients one after another here: starting processes takes longer than what tests do in them."""

    def one_after_another(
        function: Callable[[Any], Any], patients: Sequence[Any], *, description: str | None
    ) -> Iterator[tuple[Any, Any]]:
        assert description
        for patient in patients:
            try:
                yield patient, function(patient)
            except PreopError as error:
                yield patient, error

    for module in ("copies", "measuring"):
        monkeypatch.setattr(f"preop.cohort.{module}.map_patients", one_after_another)
