"""A virtual card for the tests of what runs on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from probes.virtual import Machine, virtual_cuda


@pytest.fixture
def card() -> Iterator[Machine]:
    """One H100 as the installed torch would drive it, whatever the environment of the tests says."""
    with virtual_cuda("h100", environ={}) as machine:
        yield machine
