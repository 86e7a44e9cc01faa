"""Tests that share fixtures run in one process: a silent failure would make each fixture once for every process."""

import pytest


def test_a_test_that_is_not_slow_belongs_to_its_file(request: pytest.FixtureRequest) -> None:
    if not hasattr(request.config, "workerinput"):
        pytest.skip("all tests run in one process here")
    assert request.node.nodeid.endswith("@tests/test_processes.py")
