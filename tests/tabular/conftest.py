"""What the tests of this folder share: their made-up cohorts, and no worker processes of their own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def one_process() -> Iterator[None]:
    """Starting workers takes longer than what these tests do."""
    with joblib.parallel_config(backend="sequential"):
        yield
