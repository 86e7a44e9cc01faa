"""No worker processes of their own."""

from collections.abc import Iterator

import joblib
import pytest


@pytest.fixture(autouse=True, scope="session")
def one_process() -> Iterator[None]:
    """Starting workers takes longer than what these tests do."""
    with joblib.parallel_config(backend="sequential"):
        yield
